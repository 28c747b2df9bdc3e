"""Compares a channel's new programmes with what is stored, day by day, and keeps only the days that differ.

What the provider no longer sends is gone inside the window that its file covers for the channel: from the channel's
first programme in the file to the last day of the whole file. Older programmes are history: they stay until retention
takes them. Days after the file's last one stay too: a shorter file is no word about them. Which day that is, only the
end of the file tells, so emptied days are told apart here and judged afterwards (`RedoLog.days`). Where a provider's
times are read in another way than before (zone, shift), what is not over yet is no history: it stands at wrong times.

An element in the DTD's own form is stored as it is published, its start tag in UTC; any other as the provider wrote
it. Its digest is that of the provider's text, so that the next file can be compared.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from epg_service.domain.days import (
    DAY_BITS,
    DAY_S,
    ORDINAL_BITS,
    ROW_BYTES,
    DayColumns,
    PackedDay,
    by_day,
    contents_of,
    first_key,
    identity_of,
    packed,
    unpacked_contents,
)
from epg_service.domain.model import Rows
from epg_service.xmltv.write import stored_text

MAX_DAY = (1 << DAY_BITS) - 1
"""Behind all that can start before the end of 32 bits of seconds."""


@dataclass(frozen=True)
class StoredChannel:
    """What is stored of a provider's channel before an import."""

    name: str
    """The channel's id in the provider's file."""
    mapping_id: int
    """0 when it is new."""
    contents: Mapping[int, bytes]
    """Day -> its packed contents."""

    @property
    def programmes(self) -> int:
        """How many programmes are stored."""
        return sum(map(len, self.contents.values())) // ROW_BYTES

    @cached_property
    def flags(self) -> dict[int, int]:
        """The digest of every element that is stored, and its flags."""
        found: dict[int, int] = {}
        for contents in self.contents.values():
            known = unpacked_contents(contents)
            found.update(zip(known.digests, known.flags, strict=True))
        return found


def changed_days(
    rows: Rows, stored: StoredChannel, day_columns: Callable[[int], DayColumns], over_by_s: int | None = None
) -> Iterator[PackedDay]:
    """The days of `rows` that differ from what is stored, packed, and days without a programme any more; rising.

    `day_columns` reads a stored day whole; it is asked only for the first day, when that day began before the file,
    and for days of which a part goes: with `over_by_s`, of the history only what had ended by then stays.
    """
    if not rows.starts:
        return
    first_day = rows.starts[0] // DAY_S
    keys = [start << ORDINAL_BITS | ordinal for start, ordinal in zip(rows.starts, rows.ordinals, strict=True)]
    waiting = sorted((day for day in stored.contents if day > first_day), reverse=True)
    if over_by_s is not None:
        yield from _without_stale(stored, first_day, day_columns, over_by_s)
    for day, part in by_day(rows.starts):
        if waiting:
            yield from _emptied(waiting, day)
        before = stored.contents.get(day, b"")
        if before and _same(before, keys[part], rows.digests[part], rows.stops[part]):
            continue
        columns = _columns(keys[part], rows, part, stored.name)
        if day == first_day and before and first_key(before) < rows.starts[0] << ORDINAL_BITS:
            columns = _with_history(_over(day_columns(day), over_by_s), columns)
        contents = contents_of(columns)
        if before != contents:
            yield packed(day, columns, contents)
    yield from _emptied(waiting, MAX_DAY)


def _emptied(waiting: list[int], until: int) -> Iterator[PackedDay]:
    """The days (the last one first) before one that the file has, as days that are to go; that one waits no more."""
    while waiting and waiting[-1] <= until:
        day = waiting.pop()
        if day < until:
            yield PackedDay(day, b"", b"", b"")


def _without_stale(
    stored: StoredChannel, first_day: int, day_columns: Callable[[int], DayColumns], over_by_s: int
) -> Iterator[PackedDay]:
    """The days before the first that hold something that is not over, without it."""
    for day in sorted(stored.contents):
        if day < first_day and max(unpacked_contents(stored.contents[day]).stops) > over_by_s:
            columns = _over(day_columns(day), over_by_s)
            yield packed(day, columns, contents_of(columns)) if columns.keys else PackedDay(day, b"", b"", b"")


def _over(old: DayColumns, by_s: int | None) -> DayColumns:
    """The programmes that had ended at an instant; None: all."""
    if by_s is None:
        return old
    return old.at([at for at, stop in enumerate(old.stops) if stop <= by_s])


def _same(before: bytes, keys: list[int], digests: list[int], stops: list[int]) -> bool:
    """Whether a stored day holds these programmes: their lengths and flags follow from their digests."""
    return before.startswith(identity_of(keys, digests, stops)) and len(before) == len(keys) * ROW_BYTES


def _columns(keys: list[int], rows: Rows, part: slice, channel_id: str) -> DayColumns:
    """A day as it is to be stored."""
    starts, stops, flags = rows.starts[part], rows.stops[part], rows.flags[part]
    text, lengths = stored_text(rows.raws[part], starts, stops, flags, channel_id)
    return DayColumns(keys, rows.digests[part], stops, rows.titles[part], lengths, flags, text)


def _with_history(old: DayColumns, new: DayColumns) -> DayColumns:
    """The old programmes of the day that start before the new ones, and the new ones."""
    kept = old.at(range(bisect_left(old.keys, new.keys[0] >> ORDINAL_BITS << ORDINAL_BITS)))
    return DayColumns(
        [*kept.keys, *new.keys],
        [*kept.digests, *new.digests],
        [*kept.stops, *new.stops],
        [*kept.titles, *new.titles],
        [*kept.lengths, *new.lengths],
        [*kept.flags, *new.flags],
        kept.text + new.text,
    )
