"""Which channels are one channel with several streams, pure.

Streams belong to permanent channels. Where sources carry the same channel, a lineup shows one of them, with the streams
of all, ranked as they came. Two entries of one source are never made one because they look alike (an HD and an SD
variant share a tvg-id, regional variants share a name): that takes a rule, or the same `merge-key` in the list itself.

A decision is kept: `aliases` remembers which channel stands for which, so that the one that clients know stays the one
they get, whichever provider is away today.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stream_service.domain.lineup import LineupOptions
from stream_service.domain.model import LineupStream
from tvkit.names import normalised, read_name

MERGE_KEY = "merge-key"
"""The attribute by which a list, or a channel typed by hand, says which of its entries are one."""
MOST_ALIKE = 8
"""A key that one source gives to more entries than this tells nothing ("none", "Unknown", "24/7")."""

MOST_COMPARED = 32

RuleKey = Callable[[LineupStream], str]
"""What a rule says a stream is merged by, '' where none speaks of it."""


@dataclass(slots=True, eq=False)
class Group:
    """Channels that are one: their ids and their streams, in the order of their rank."""

    ids: list[str]
    streams: list[LineupStream]
    sources: set[int]
    regions: frozenset[str] = frozenset()

    def take(self, other: "Group") -> None:
        """The other's channels are this one's from now on."""
        self.ids += other.ids
        self.streams += other.streams
        self.sources |= other.sources
        self.regions |= other.regions


@dataclass(frozen=True, slots=True)
class Merged:
    """Channel id -> its streams, in the order they came; and what `aliases` became."""

    channels: dict[str, list[LineupStream]]
    aliases: dict[str, str] = field(default_factory=dict)


def merged(
    streams: Sequence[LineupStream],
    options: LineupOptions,
    *,
    aliases: Mapping[str, str],
    shown: Collection[str],
    rule_keys: Callable[[Sequence[str]], RuleKey],
) -> tuple[Merged, int]:
    """The channels of a lineup as its options want them merged, and how many were merged away.

    `rule_keys`: what the lineup's merge rules say of a stream; for `aliases` and `shown` see `settle`.
    """
    if options.merge == "off":
        groups = _by_channel(streams)
        return Merged({group.ids[0]: group.streams for group in groups}, dict(aliases)), 0
    groups = merge(
        streams,
        by_id=options.merge in ("id", "all"),
        by_name=options.merge in ("name", "all"),
        rule_key=rule_keys(options.merge_rules),
    )
    ages = {stream.channel_id: stream.xtream_id for stream in streams}
    away = sum(len(group.ids) for group in groups) - len(groups)
    return settle(groups, aliases=aliases, shown=shown, age=lambda one: ages.get(one, 0)), away


def merge(
    streams: Iterable[LineupStream], *, by_id: bool, by_name: bool, rule_key: RuleKey | None = None
) -> list[Group]:
    """Groups of channels in the order of their first streams. Streams without a channel do not take part."""
    groups = _by_channel(streams)
    if rule_key is not None:
        groups = _by_rule(groups, rule_key)
    if len({source for group in groups for source in group.sources}) < 2:
        return groups
    if by_id:
        groups = _across_sources(groups, _id_key)
    if by_name:
        groups = _across_sources(groups, _name_key, regions=True)
    return groups


def _by_channel(streams: Iterable[LineupStream]) -> list[Group]:
    found: dict[str, Group] = {}
    for stream in streams:
        if stream.channel_id is None:
            continue
        group = found.get(stream.channel_id)
        if group is None:
            found[stream.channel_id] = Group([stream.channel_id], [stream], {stream.stream.source_id})
        else:
            group.streams.append(stream)
            group.sources.add(stream.stream.source_id)
    return list(found.values())


def _by_rule(groups: Sequence[Group], rule_key: RuleKey) -> list[Group]:
    found: dict[str, Group] = {}
    kept: list[Group] = []
    for group in groups:
        key = next((key for stream in group.streams if (key := rule_key(stream))), "")
        if not key:
            kept.append(group)
        elif key in found:
            found[key].take(group)
        else:
            found[key] = group
            kept.append(group)
    return kept


def _id_key(group: Group) -> str:
    """A tvg-id; one of digits only is a provider's own count."""
    tvg_id = group.streams[0].tvg_id
    return "" if not tvg_id or tvg_id.isdigit() else tvg_id.casefold()


def _name_key(group: Group) -> str:
    return normalised(group.streams[0].name)


def _across_sources(groups: Sequence[Group], key: Callable[[Group], str], *, regions: bool = False) -> list[Group]:
    """Merge groups whose keys are equal and whose sources differ; names that are equal to the letter go first."""
    first: dict[str, Group] = {}
    more: dict[str, list[Group]] = {}
    for group in groups:
        if (said := key(group)) and (before := first.setdefault(said, group)) is not group:
            more.setdefault(said, [before]).append(group)
    gone: set[int] = set()
    for alike in more.values():
        if len({source for group in alike for source in group.sources}) < 2:
            continue
        if regions:
            for group in alike:
                group.regions = read_name(group.streams[0].name).regions
        if len(alike) == 2:  # nearly always
            if _can_be_one(*alike):
                alike[0].take(alike[1])
                gone.add(id(alike[1]))
        else:
            gone |= {id(group) for group in _joined(alike)}
    return [group for group in groups if id(group) not in gone] if gone else list(groups)


def _joined(alike: Sequence[Group]) -> Iterator[Group]:
    """Let groups take others of their kind; yields those that were taken."""
    by_name: dict[str, list[Group]] = {}
    for group in alike:
        by_name.setdefault(group.streams[0].name.casefold(), []).append(group)
    taken: list[Group] = []
    for named in by_name.values():
        taken += _taken(named)
    yield from taken
    gone = {id(group) for group in taken}
    left = [group for group in alike if id(group) not in gone]
    if max(Counter(source for group in left for source in group.sources).values()) <= MOST_ALIKE:
        yield from _taken(left)


def _taken(groups: Sequence[Group]) -> list[Group]:
    """Each goes to the first before it that shares no source with it (of very many: the n-th to the n-th)."""
    kept: list[Group] = []
    gone: list[Group] = []
    seen: Counter[int] = Counter()
    for group in groups:
        nth = max(seen[source] for source in group.sources)
        seen.update(group.sources)
        near = kept if len(kept) <= MOST_COMPARED else kept[nth : nth + 1]
        home = next((one for one in near if _can_be_one(one, group)), None)
        if home is None:
            kept.append(group)
        else:
            home.take(group)
            gone.append(group)
    return gone


def _can_be_one(one: Group, other: Group) -> bool:
    if not one.sources.isdisjoint(other.sources):
        return False
    return not one.regions or not other.regions or not one.regions.isdisjoint(other.regions)


def settle(
    groups: Sequence[Group], *, aliases: Mapping[str, str], shown: Collection[str], age: Callable[[str], int]
) -> Merged:
    """Which channel each group is shown as.

    `aliases`: what was decided before (channel -> the one that stands for it), `shown`: the channels that stand in the
    lineup now, `age`: what channels are told apart by where nothing else does, the lowest first. A channel that stood
    for others goes on to do so though its own stream is away, unless it is back and no longer one of them.
    """
    members = {ident for group in groups for ident in group.ids}
    plain = [group for group in groups if len(group.ids) == 1 and group.ids[0] not in aliases]
    channels: dict[str, list[LineupStream]] = {}
    chosen: dict[int, str] = {id(group): group.ids[0] for group in plain}
    claimed = {group.ids[0] for group in plain}
    changed = dict(aliases)
    for group in groups:
        if id(group) in chosen:
            continue
        own = set(group.ids)
        homes = {home for ident in group.ids if (home := aliases.get(ident, ident)) in own or home not in members}
        candidates = (homes | own) - claimed
        best = min(candidates, key=lambda one: (one not in homes, one not in shown, age(one), one))
        chosen[id(group)] = best
        claimed.add(best)
        changed.pop(best, None)
        changed.update({ident: best for ident in group.ids if ident != best})
    for group in groups:
        channels[chosen[id(group)]] = group.streams
    return Merged(channels, changed)


def resolved(aliases: Mapping[str, str], present: Collection[str]) -> dict[str, str]:
    """Where an id that is not shown leads: along `aliases` to a channel that is; ids that lead nowhere are left out."""
    found: dict[str, str] = {}
    for ident in aliases:
        if ident in present:
            continue
        seen, at = {ident}, aliases[ident]
        while at not in present and at in aliases and at not in seen:
            seen.add(at)
            at = aliases[at]
        if at in present:
            found[ident] = at
    return found
