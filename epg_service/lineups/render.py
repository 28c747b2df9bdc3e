"""One XMLTV file, piece by piece: which programmes stand in it, and how each of them is written.

What needs no rewriting is copied, and the more so the less is asked:

    a day whose elements all stand as they are published, under the same id     its text and its deflated bytes
    such a day under another id                                                 its text, the id replaced in one go
    an element that stands as it is published                                   a new start tag before its bytes
    any other element, or a client that wants more                              xmltv.write, xmltv.shape
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol, TypeAlias

from epg_service.domain.days import DAY_S, IN_FORM, NUMBERED, ORDINAL_BITS, Contents, StoredDay, inflated, raws_of
from epg_service.domain.entities import Mapped
from epg_service.domain.merging import merged
from epg_service.domain.placeholders import gaps, least_span
from epg_service.domain.profiles import Options
from epg_service.domain.rules import ProgrammeRules
from epg_service.domain.shown import SEVERAL_LOOK_S
from epg_service.domain.timeline import apart, shown
from epg_service.xmltv import edit, shape, write
from epg_service.xmltv.gzipped import Ready

GENERATOR = "Aerial"
FOREVER_S = 1 << 32
Piece: TypeAlias = bytes | Ready


class StoredGuide(Protocol):
    """Hands out a channel's days as they are stored."""

    def days(self, channel_id: int) -> list[tuple[Mapped, list[StoredDay]]]: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A channel of a file: its id and `<channel>` element there, and whose programmes it shows (None: nobody's)."""

    id: str
    name: str
    element: bytes
    channel_id: int | None
    shift_s: int = 0
    group: str = ""


class _Row(NamedTuple):
    """One programme on its way into the file."""

    start_s: int
    stop_s: int
    raw: bytes
    flags: int
    edits: tuple[tuple[str, str], ...] = ()
    """Fields that rules write, and their texts."""


class Rendering:
    """Writes one file, at one time, for one kind of reader."""

    def __init__(
        self,
        *,
        guide: StoredGuide,
        options: Options,
        now_s: int,
        ruled: ProgrammeRules | None = None,
        source: Mapping[str, str] | None = None,
    ) -> None:
        """`ruled`: the rules and filters that every programme goes through. `source`: what the file says of where it
        comes from."""
        self._guide = guide
        self._source = source
        self._ruled = ruled or None
        self._options = options
        self._rules = options.rules
        self._from_s = 0 if options.past_days is None else max(0, now_s - options.past_days * DAY_S)
        self._to_s = FOREVER_S if options.days is None else now_s + options.days * DAY_S
        self._filled = least_span(now_s, self._from_s, self._to_s) if options.placeholders else None
        self._looked_into = self._rules.shapes or bool(options.languages) or options.extras
        self._copied = IN_FORM | NUMBERED if self._rules.both_numbers else IN_FORM

    def file(self, entries: Sequence[Entry]) -> Iterator[Piece]:
        """The whole file."""
        yield write.head(GENERATOR, self._source)
        for one in entries:
            yield one.element
        for one in entries:
            yield from self.programmes(one)
        yield write.tail()

    def programmes(self, entry: Entry) -> Iterator[Piece]:
        """The programmes of one channel, by start."""
        sources = self._guide.days(entry.channel_id) if entry.channel_id is not None else []
        if len(sources) == 1 and self._filled is None and not self._looked_into and self._ruled is None:
            mapped, days = sources[0]
            if not mapped.shift_s + entry.shift_s and (self._rules.overlaps or _apart(days)):
                yield from self._by_day(mapped, days, entry.id)
                return
        guides = [[_moved(day, mapped.shift_s + entry.shift_s) for day in days] for mapped, days in sources]
        rows = merged([_rows(days, *self._reach(guides)) for days in guides])
        rows = self._in_window(self._one_at_a_time(rows))
        if self._ruled is not None:
            rows = list(self._by_rules(rows, entry, self._ruled))
        yield from self._written(rows, entry)

    # ---- copying -----------------------------------------------------------------------------------------------------

    def _by_day(self, mapped: Mapped, days: Sequence[StoredDay], channel_id: str) -> Iterator[Piece]:
        for day in days:
            if day.all_have(self._copied) and self._holds(day):
                text = inflated(day.body)
                renamed = write.under_id(text, day.programmes, mapped.provider_channel_id, channel_id)
                if renamed is not None:
                    yield Ready(text, day.body) if renamed == text else renamed
                    continue
            yield self._each(self._in_window(_rows([_moved(day, 0)])), channel_id, marks_new=False)

    def _holds(self, day: StoredDay) -> bool:
        """Whether the window holds the day whole."""
        return day.day * DAY_S >= self._from_s and (day.day + 1) * DAY_S <= self._to_s

    # ---- writing -----------------------------------------------------------------------------------------------------

    def _reach(self, guides: Sequence[Sequence["_Day"]]) -> tuple[int, int]:
        """From when to when programmes begin that decide what is shown in the window: what reaches into it may have
        been cut off by something that is over. Where several providers fill one channel, what they fill depends on
        what was filled before."""
        if not self._from_s and self._to_s >= FOREVER_S:
            return 0, FOREVER_S
        look_s = SEVERAL_LOOK_S if len(guides) > 1 else 0
        low, high = self._from_s - look_s, self._to_s + look_s
        for day in chain.from_iterable(guides):
            for start, stop in zip(day.starts, day.stops, strict=True):
                if self._touches(start, stop):
                    low, high = min(low, start), max(high, stop)
        return low, high

    def _touches(self, start_s: int, stop_s: int) -> bool:
        return start_s < self._to_s and (stop_s > self._from_s or start_s >= self._from_s)

    def _in_window(self, rows: list[_Row]) -> list[_Row]:
        """Those that touch the window, judged by what is left of them."""
        if not self._from_s and self._to_s >= FOREVER_S:
            return rows
        return [one for one in rows if self._touches(one.start_s, one.stop_s)]

    def _one_at_a_time(self, rows: list[_Row]) -> list[_Row]:
        starts, stops = [one.start_s for one in rows], [one.stop_s for one in rows]
        if self._rules.overlaps or apart(starts, stops):
            return rows
        winners, ends = shown(starts, stops, [len(one.raw) for one in rows])
        return [rows[at]._replace(stop_s=end) for at, end in zip(winners, ends, strict=True)]

    def _written(self, rows: list[_Row], entry: Entry) -> Iterator[bytes]:
        marks_new = self._rules.repeats_told and any(b"<new" in one.raw or b"<premiere" in one.raw for one in rows)
        if self._filled is not None:
            rows = self._with_placeholders(rows, entry, *self._filled)
        for at in range(0, len(rows), 64):
            yield self._each(rows[at : at + 64], entry.id, marks_new=marks_new)

    def _by_rules(self, rows: list[_Row], entry: Entry, ruled: ProgrammeRules) -> Iterator[_Row]:
        """The rows that the filters let through, with what the rules write."""
        of_channel = edit.of_channel(entry.id, entry.name, entry.group)
        for row in rows:
            element = self._in_form(row, entry.id) if ruled.reads_elements else b""
            edits = edit.judged(ruled, element, row.start_s, row.stop_s, of_channel)
            if edits is not None:
                yield row._replace(edits=edits) if edits else row

    def _in_form(self, row: _Row, channel_id: str) -> bytes:
        if row.flags & IN_FORM:
            return row.raw
        return write.programme(
            row.raw,
            start=row.start_s,
            stop=row.stop_s,
            channel_id=channel_id,
            title_fallback=edit.NO_TITLE,
            as_it_came=self._rules.as_it_came,
        )

    def _with_placeholders(self, rows: list[_Row], entry: Entry, from_s: int, to_s: int) -> list[_Row]:
        spans = gaps([one.start_s for one in rows], [one.stop_s for one in rows], from_s, to_s)
        raw = write.placeholder(entry.name or entry.id, repeat=self._rules.repeats_told)
        return sorted([*rows, *(_Row(start, stop, raw, 0) for start, stop in spans)])

    def _each(self, rows: Sequence[_Row], channel_id: str, *, marks_new: bool) -> bytes:
        tags = write.start_tags([one.start_s for one in rows], [one.stop_s for one in rows], channel_id)
        return b"".join(
            self._one(row, tag, channel_id, marks_new=marks_new) for row, tag in zip(rows, tags, strict=True)
        )

    def _one(self, row: _Row, tag: bytes, channel_id: str, *, marks_new: bool) -> bytes:
        """One element as this reader wants it."""
        if row.flags & IN_FORM:
            written = tag + row.raw[row.raw.index(b">") + 1 :] + b"\n"
        else:
            written = self._in_form(row, channel_id)
        if row.edits:
            written = edit.edited(written, dict(row.edits))
        if self._rules.both_numbers and not row.flags & NUMBERED:
            written = shape.with_both_numbers(written)
        if not self._looked_into:
            return written
        if self._rules.shapes:
            written = shape.shaped(written, self._rules, shape.Airing(row.start_s, marks_new))
        if self._options.languages:
            written = shape.in_languages(written, self._options.languages)
        if self._options.extras and not row.flags & IN_FORM:
            written = write.with_extras(written, row.raw)
        return written


class _Day(NamedTuple):
    """A stored day, unpacked but for its elements, with the times of its programmes as they are shown."""

    day: StoredDay
    contents: Contents
    starts: list[int]
    stops: list[int]


def _moved(day: StoredDay, by_s: int) -> _Day:
    known = day.contents
    starts = [max(0, (key >> ORDINAL_BITS) + by_s) for key in known.keys]
    return _Day(day, known, starts, [max(0, stop + by_s) for stop in known.stops])


def _rows(days: Iterable[_Day], from_s: int = 0, to_s: int = FOREVER_S) -> list[_Row]:
    """The programmes of some days that begin in a window."""
    found: list[_Row] = []
    for one in days:
        if one.starts and one.starts[-1] >= from_s and one.starts[0] < to_s:
            rows = map(_Row, one.starts, one.stops, raws_of(one.contents, one.day.body), one.contents.flags)
            found += (
                rows
                if from_s <= one.starts[0] and one.starts[-1] < to_s
                else (row for row in rows if from_s <= row.start_s < to_s)
            )
    return found


def _apart(days: Sequence[StoredDay]) -> bool:
    contents = [day.contents for day in days]
    starts = [key >> ORDINAL_BITS for one in contents for key in one.keys]
    return apart(starts, [stop for one in contents for stop in one.stops])
