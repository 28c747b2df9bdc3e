"""Which stream of the last list is which entry of the new one.

A provider's list is thrown over night after night: addresses get new tokens, names change, entries move. A stream that
is the same keeps its permanent id, and with it the channel, its number and everything set by hand. This module decides,
and touches nothing: it is handed what vanished from the list and what is new in it.
"""

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from stream_service.domain.model import StreamKeys

_XTREAM_PATH = re.compile(r"/(live|movie|series)/[^/]+/[^/]+/([0-9]+)(?:\.[A-Za-z0-9]+)?/?$", re.ASCII)

Key = Callable[[StreamKeys], Hashable | None]
"""What a rule compares; None where the rule has nothing to say about a stream."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """`matches`: place of the new entry -> (permanent stream id, name of the rule that found it)."""

    matches: dict[int, tuple[int, str]]

    def by_rule(self) -> dict[str, int]:
        """How many streams each rule found again."""
        return dict(Counter(rule for _, rule in self.matches.values()))


def provider_id_of(url: str) -> str:
    """The provider's own id as it stands in an Xtream address (`/live/USER/PASSWORD/1234.ts` -> "live:1234"), or ''."""
    if "/live/" not in url and "/movie/" not in url and "/series/" not in url:
        return ""
    found = _XTREAM_PATH.search(_path(url))
    return f"{found[1]}:{found[2]}" if found else ""


def reconcile(
    vanished: Iterable[StreamKeys], new: Iterable[StreamKeys], *, retained: Iterable[StreamKeys] = ()
) -> Reconciled:
    """Find vanished streams again among the new entries.

    The rules are tried in their order; a rule matches where it finds exactly one stream that vanished and exactly one
    entry that is new, so a doubtful pair is left for a later rule or for nobody. `retained` are streams that vanished
    in earlier refreshes and are kept for their return; each rule looks at them after those that vanished now.
    All are in the order of their lists. They are iterated once a rule and never held, only their keys' hashes are: a
    provider may change half a million addresses in a night.
    """
    matches: dict[int, tuple[int, str]] = {}
    found: set[int] = set()
    for rule, find in _RULES:
        for pool in (vanished, retained):
            for stream_id, entry_id in find(
                (one for one in pool if one.id not in found), (one for one in new if one.id not in matches)
            ):
                matches[entry_id] = (stream_id, rule)
                found.add(stream_id)
    return Reconciled(matches)


def adopt(orphans: Sequence[tuple[str, StreamKeys]], new: Sequence[StreamKeys]) -> dict[int, str]:
    """Which channels without a stream take which new streams: stream's place -> channel id.

    A source that was deleted and added again, or a channel that another provider carries now, keeps its channel. Ids
    and addresses of one provider say nothing about another's, so only the rules about names take part.
    """
    keys = [StreamKeys(i, "", k.tvg_id, k.name, k.group, "") for i, (_, k) in enumerate(orphans)]
    pool, open_new = {key.id: key for key in keys}, {entry.id: entry for entry in new}
    found: dict[int, str] = {}
    for rule, find in _RULES:
        if rule not in ("kind", "tvg-id"):
            continue
        for place, entry_id in find(list(pool.values()), list(open_new.values())):
            found[entry_id] = orphans[place][0]
            del pool[place], open_new[entry_id]
    return found


Pairs = list[tuple[int, int]]
Find = Callable[[Iterable[StreamKeys], Iterable[StreamKeys]], Pairs]


def _by(key: Key) -> Find:
    """A rule: pairs whose key stands exactly once on either side."""

    def find(old: Iterable[StreamKeys], new: Iterable[StreamKeys]) -> Pairs:
        olds = _once((hash(k), one.id) for one in old if (k := key(one)) is not None)
        return _paired(olds, ((hash(k), one.id) for one in new if (k := key(one)) is not None))

    return find


def _by_kind(old: Iterable[StreamKeys], new: Iterable[StreamKeys]) -> Pairs:
    """Same tvg-id, name and group, and the same place among its likes (providers list one channel several times)."""
    return _paired(_once(_numbered(old)), _numbered(new))


def _paired(olds: Mapping[int, int], new: Iterable[tuple[int, int]]) -> Pairs:
    if not olds:
        return []
    news = _once((key, ident) for key, ident in new if key in olds)
    return [(olds[key], entry_id) for key, entry_id in news.items()]


def _numbered(streams: Iterable[StreamKeys]) -> Iterator[tuple[int, int]]:
    seen: dict[int, int] = {}
    for stream in streams:
        kind = hash((stream.tvg_id, stream.name, stream.group))
        place = seen.get(kind, 0)
        seen[kind] = place + 1
        yield hash((kind, place)), stream.id


def _once(keyed: Iterable[tuple[int, int]]) -> dict[int, int]:
    """What stands under a key that is met once. Keys are hashes of 64 bits: two that are not alike never share one."""
    found: dict[int, int] = {}
    doubtful: set[int] = set()
    for key, ident in keyed:
        if key in found:
            doubtful.add(key)
        else:
            found[key] = ident
    for key in doubtful:
        del found[key]
    return found


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # a bracket that is no IPv6 address: such an entry simply has no path to compare
        return ""


def _path_key(stream: StreamKeys) -> Hashable | None:
    path = _path(stream.url)
    return path if len(path) > 1 else None


_RULES: tuple[tuple[str, Find], ...] = (
    ("provider-id", _by(lambda s: s.provider_id or None)),
    ("kind", _by_kind),
    ("tvg-id", _by(lambda s: s.tvg_id.casefold() or None)),
    ("name", _by(lambda s: (s.name, s.group))),
    ("path", _by(_path_key)),
)
RULE_NAMES = tuple(name for name, _ in _RULES)
