"""From the store to published files: the whole guide under its own ids, and each lineup's guide under the lineup's.

    store > match (lineups) > render (timeline, placeholders, xmltv.write, xmltv.shape) > published files > index

A channel is read in one short read transaction at a time, so no reader holds the log of the database for long. A guide
that would be made from the same as last time is not made again.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import TypeVar

import xxhash

from epg_service.domain.entities import LineupChannel
from epg_service.domain.profiles import FULL, STANDARD, Options, Profile
from epg_service.domain.profiles import options as options_of
from epg_service.domain.rules import ProgrammeRules
from epg_service.lineups.match import Matching
from epg_service.lineups.published import Publication, PublishedGuides
from epg_service.lineups.render import Entry, Piece, Rendering
from epg_service.store.guide import Guide
from epg_service.store.lineups import Lineups
from epg_service.xmltv import write
from servicekit.clock import Clock
from servicekit.errors import Invalid

Thing = TypeVar("Thing")
WHOLE = "guide"
_LINEUP = "lineup-"
_FORM = "3"
"""Another one when the same guide is written in another way, so that files are made again."""
_MOST_NAMED = 10
_HOUR_S = 3_600

_log = logging.getLogger("publish")


def lineup_publication(name: str) -> str:
    """The name under which a lineup's guide is published."""
    return f"{_LINEUP}{name}"


class Contents:
    """What stands in the file of a publication, for any options; used by the keeper and by web workers."""

    def __init__(self, *, guide: Guide, lineups: Lineups) -> None:
        self._guide = guide
        self._lineups = lineups

    def usual(self, name: str) -> Options:
        """How a guide is published when nothing more is asked."""
        return options_of(usual=FULL if name == WHOLE else STANDARD)

    def settled(self, name: str) -> bool:
        """Whether what it is made from is complete: a lineup has to be matched first."""
        return name == WHOLE or self._lineups.get(name.removeprefix(_LINEUP)).matched_at is not None

    def pieces(self, name: str, options: Options, now_s: int) -> Iterator[Piece]:
        """The file of a publication; raises `Invalid` for channels and groups that it has not."""
        if name == WHOLE:
            return self.whole(options, now_s)
        lineup = name.removeprefix(_LINEUP)
        return self.lineup(self._lineups.channels(lineup), options, now_s, self.ruled(lineup, now_s))

    def ruled(self, lineup: str, now_s: int) -> ProgrammeRules:
        """The rules and filters for programmes that a lineup was sent with."""
        return ProgrammeRules(self._lineups.extras(lineup), now_s=lambda: now_s)

    def whole(self, options: Options, now_s: int) -> Iterator[Piece]:
        """Every channel under its own id."""
        if options.groups:
            raise Invalid("group: the whole guide has no groups; ask for the guide of a lineup")
        channels = list(self._guide.every_channel())
        kept = _kept(channels, [one.name for one in channels], options.channels)
        rules, entries = options.rules, []
        for one, elements in zip(kept, self._guide.elements([one.id for one in kept]), strict=True):
            element = write.full_channel(
                one.name, one.display_name, one.icon_url, elements, urls=rules.urls, extras=options.extras
            )
            entries.append(Entry(one.name, one.display_name, element, one.id))
        source = self.source(None if not options.channels else [one.id for one in kept]) if rules.as_it_came else None
        return Rendering(guide=self._guide, options=options, now_s=now_s, source=source).file(entries)

    def source(self, channels: Sequence[int] | None = None) -> dict[str, str]:
        """What is said of where the whole guide comes from, or that of some channels."""
        return self._guide.source(channels)

    def lineup(
        self, channels: Sequence[LineupChannel], options: Options, now_s: int, ruled: ProgrammeRules | None = None
    ) -> Iterator[Piece]:
        """The channels of a lineup under the lineup's ids, with the programmes of their matches as its rules want."""
        kept = _in_groups(_kept(channels, [one.id for one in channels], options.channels), channels, options.groups)
        entries = [
            Entry(
                one.id,
                one.name,
                write.channel(one.id, [(None, name) for name in _names(one, options.rules)], one.logo),
                one.channel_id,
                one.shift_minutes * 60,
                one.group or "",
            )
            for one in kept
        ]
        return Rendering(guide=self._guide, options=options, now_s=now_s, ruled=ruled).file(entries)


class Publishing:
    """Publishes guides; runs in the keeper alone."""

    def __init__(
        self,
        *,
        contents: Contents,
        lineups: Lineups,
        matching: Matching,
        published: PublishedGuides,
        clock: Clock,
        mark: Callable[[], int],
    ) -> None:
        """`mark()` is another number after every change of the guide."""
        self._contents = contents
        self._lineups = lineups
        self._matching = matching
        self._published = published
        self._clock = clock
        self._mark = mark

    def whole(self) -> Publication:
        """`/guide.xml`: every channel under its own id, with everything that the providers said.

        A provider's new date alone makes no new file: its `date` is that of the listings which stand in it.
        """
        options = self._contents.usual(WHOLE)
        made_from = self._mark(), {name: text for name, text in self._contents.source().items() if name != "date"}
        return self._publish(WHOLE, repr(made_from), lambda: self._contents.whole(options, self._clock.now_s()))

    def exported(self) -> Iterator[bytes]:
        """The text of the whole guide with nothing left out, overlaps included, a part at a time."""
        for piece in self._contents.whole(self._contents.usual(WHOLE), self._clock.now_s()):
            yield piece if isinstance(piece, bytes) else piece.text

    def tidy(self) -> None:
        """Removes what an earlier publisher left half written."""
        self._published.tidy()

    def lineup(self, name: str) -> Publication:
        """A lineup's guide: its channels are matched to the guide anew, then written under the lineup's own ids."""
        mark = self._mark()
        channels = self._matching.matched(self._lineups.get(name))
        publication = lineup_publication(name)
        options = self._contents.usual(publication)
        now_s = self._clock.now_s()
        ruled = self._contents.ruled(name, now_s)
        made = self._publish(
            publication,
            f"{mark} {channels!r}{self._ruled_by(name, ruled, now_s)}",
            lambda: self._contents.lineup(channels, options, now_s, ruled),
        )
        _tell(name, ruled)
        return made

    def _ruled_by(self, name: str, ruled: ProgrammeRules, now_s: int) -> str:
        """What the rules are, for the basis of a publication; those that ask for the time make another one hourly."""
        if not ruled:
            return ""
        return f" {self._lineups.extras(name)!r} {now_s // _HOUR_S if ruled.timed else ''}"

    def everything(self) -> None:
        """All publications: after an import, and hourly."""
        self.whole()
        for lineup in self._lineups.all():
            self.lineup(lineup.name)

    def _publish(self, name: str, made_from: str, pieces: Callable[[], Iterator[Piece]]) -> Publication:
        """Publishes a guide, unless it was made from the same before."""
        basis, now_s = xxhash.xxh3_128_hexdigest(f"{_FORM} {made_from}".encode()), self._clock.now_s()
        known = self._published.find(name)
        if known is not None and known.basis == basis and known.there:
            return self._published.still(known, basis=basis, at=now_s)
        return self._published.publish(name, pieces(), basis=basis, at=now_s)


def _tell(name: str, ruled: ProgrammeRules) -> None:
    for fault in ruled.faults:
        _log.warning("lineup %s: %s %r is left out: %s", name, fault.kind, fault.name, fault.message)
    for one in ruled.gave_up:
        _log.warning("lineup %s: %r takes too long for some programmes; those stay as they are", name, one)
    if ruled.changed or ruled.left_out:
        _log.info("lineup %s: rules changed %d programmes, left out %d", name, ruled.changed, ruled.left_out)


def _kept(things: Sequence[Thing], ids: Sequence[str], wanted: Sequence[str]) -> list[Thing]:
    """The things whose ids are wanted, all where none are named; raises `Invalid` for an id that is not there."""
    if not wanted:
        return list(things)
    if missing := sorted(set(wanted) - set(ids)):
        raise Invalid(f"channels: the guide has no channel {', '.join(map(repr, missing[:_MOST_NAMED]))}")
    chosen = frozenset(wanted)
    return [one for one, id_ in zip(things, ids, strict=True) if id_ in chosen]


def _in_groups(
    kept: Sequence[LineupChannel], every: Sequence[LineupChannel], wanted: Sequence[str]
) -> list[LineupChannel]:
    """Those in some groups; raises `Invalid` for a group that the lineup has not."""
    if not wanted:
        return list(kept)
    groups = {one.group.strip().casefold(): one.group.strip() for one in every if one.group}
    missing = {one for one in wanted if one not in groups}
    chosen = {*wanted, *_with_commas(groups, missing, frozenset(wanted))}
    if missing := missing.difference(*map(_parts, chosen - {*wanted})):
        there = ", ".join(sorted(groups.values())[:_MOST_NAMED]) or "none"
        raise Invalid(f"group: the lineup has no group {min(missing)!r}; it has: {there}")
    return [one for one in kept if one.group and one.group.strip().casefold() in chosen]


def _with_commas(groups: Iterable[str], missing: Set[str], wanted: Set[str]) -> list[str]:
    """The groups whose own name has commas, by which it was cut when it was asked for."""
    return [name for name in groups if "," in name and _parts(name) <= wanted and not missing.isdisjoint(_parts(name))]


def _parts(name: str) -> frozenset[str]:
    return frozenset(part.strip() for part in name.split(",")) - {""}


def _names(one: LineupChannel, rules: Profile) -> list[str]:
    """What a channel is called, in the order that the client wants."""
    if not one.number:
        return [one.name]
    return [f"{one.number} {one.name}", one.number, one.name] if rules.number_first else [one.name, one.number]
