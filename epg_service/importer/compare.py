"""Compares a channel's new programmes with what is stored, day by day, and keeps only the days that differ.

What the provider no longer sends is gone inside the window that its file covers for the channel: from the channel's
first programme in the file to the last day of the whole file. Older programmes are history: they stay until retention
takes them. Days after the file's last one stay too: a shorter file is no word about them. Which day that is, only the
end of the file tells, so emptied days are told apart here and judged afterwards (`RedoLog.days`). Where a provider's
times are read in another way than before (zone, shift), what is not over yet is no history: it stands at wrong times.

An element in the DTD's own form is stored as it is published, its start tag in UTC; any other as the provider wrote
it. Its digest is that of the provider's text, so that the next file can be compared. Of what was not read, because it
stands in the file as it did (`domain.parts`), only times, digests and flags are at hand: its element stays where it is
stored.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from epg_service.domain.days import (
    DAY_S,
    LAST_DAY,
    ORDINAL_BITS,
    ROW_BYTES,
    UNREAD,
    Contents,
    PackedDay,
    StoredDay,
    by_day,
    digest_of,
    identity_of,
    unpacked_contents,
)
from epg_service.domain.model import Rows
from epg_service.domain.parts import MAX_FILE_BYTES, DayRows, InFile, OldDay, assembled, parts_of, thinned
from epg_service.xmltv.records import KnownPart
from epg_service.xmltv.write import stored_elements
from servicekit.errors import Conflict

DaysRead = Callable[[Sequence[int]], Mapping[int, StoredDay]]
"""Reads stored days whole."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a channel's elements stand in its file, so that they can be known again in the next one."""

    gap: bytes
    """What stands between two of them."""
    basis: int
    """Tells one way of reading times from another."""

    def told(self, raws: Sequence[bytes]) -> InFile | None:
        """How elements stand that follow one on the other; None when that is more than is looked at."""
        text = self.gap.join(raws)
        if len(text) > MAX_FILE_BYTES:
            return None
        return InFile(self.basis, len(text), digest_of(text), tuple(map(len, raws)))


@dataclass(frozen=True)
class StoredChannel:
    """What is stored of a provider's channel before an import."""

    name: str
    """The channel's id in the provider's file."""
    mapping_id: int
    """0 when it is new."""
    days: Mapping[int, tuple[bytes, bytes]]
    """Day -> its packed contents, and its packed parts."""

    def contents(self, day: int) -> bytes:
        """The packed contents of a day; empty when there is none."""
        return self.days.get(day, (b"", b""))[0]

    @cached_property
    def unpacked(self) -> dict[int, Contents]:
        """The contents of each day."""
        return {day: unpacked_contents(contents) for day, (contents, _) in self.days.items()}

    @cached_property
    def flags(self) -> dict[int, int]:
        """The digest of every element that is stored, and its flags."""
        found: dict[int, int] = {}
        for known in self.unpacked.values():
            found.update(zip(known.digests, known.flags, strict=True))
        return found

    def old(self, day: StoredDay) -> OldDay:
        """A day of which a new version is made."""
        return OldDay(day, self.unpacked[day.day] if day.packed == self.contents(day.day) else None)

    def parts(self, basis: int, shift_s: int) -> list[KnownPart]:
        """What of it can be known again in a file that is read in this way, by start. `shift_s`: so much later than
        they stand in the file are the stored times."""
        found: list[KnownPart] = []
        for day in sorted(self.days):
            if parts := parts_of(self.days[day][1]):
                known = self.unpacked[day]
                starts = [(key >> ORDINAL_BITS) - shift_s for key in known.keys]
                stops = [stop - shift_s for stop in known.stops] if shift_s else known.stops
                first = 0
                for count, _, told in parts:
                    end = first + count
                    if told and told.basis == basis:
                        times = (starts[first:end], stops[first:end])
                        columns = (*times, *_unread(count), known.digests[first:end], known.flags[first:end])
                        found.append(KnownPart(told, columns))
                    first = end
        return found


@cache
def _unread(count: int) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    """Titles and elements that were not read."""
    return (UNREAD,) * count, (b"",) * count


def deleted_meanwhile() -> Conflict:
    """What was known is there no longer: `prune` was called by hand."""
    return Conflict("programmes were deleted while this import ran; it has to be run again")


class _Texts:
    """The elements of a day of a channel: those that were read, and those of the stored day."""

    def __init__(self, rows: DayRows, raws: Sequence[bytes], channel: str, layout: Layout | None, old: OldDay | None):
        self._rows = rows
        self._raws = raws
        self._channel = channel
        self._layout = layout
        self._old = old

    def elements(self, rows: slice) -> list[bytes]:
        raws, keys = self._raws[rows], self._rows.keys[rows]
        if not all(raws):
            if self._old is None:
                raise deleted_meanwhile()
            try:
                raws = [raw or self._old.raw(key) for raw, key in zip(raws, keys, strict=True)]
            except KeyError as reason:
                raise deleted_meanwhile() from reason
        starts = [key >> ORDINAL_BITS for key in keys]
        return stored_elements(raws, starts, self._rows.stops[rows], self._rows.flags[rows], self._channel)

    def in_file(self, rows: slice) -> InFile | None:
        raws = self._raws[rows]
        return self._layout.told(raws) if self._layout and all(raws) else None


def changed_days(
    rows: Rows,
    stored: StoredChannel,
    read: DaysRead,
    *,
    layout: Layout | None = None,
    over_by_s: int | None = None,
) -> Iterator[PackedDay]:
    """The days of `rows` that differ from what is stored, packed, and days without a programme any more; rising.

    `read` is asked once, for days that are packed anew. Of the first day's history, when that day began before the
    file, with `over_by_s` only what had ended by then stays. `layout`: None where elements are not to be known again.
    """
    if not rows.starts:
        return
    first_day = rows.starts[0] // DAY_S
    keys = [start << ORDINAL_BITS | ordinal for start, ordinal in zip(rows.starts, rows.ordinals, strict=True)]
    if over_by_s is not None:
        yield from _without_stale(stored, first_day, read, over_by_s)
    days = list(by_day(rows.starts))
    gone = stored.days.keys() - {day for day, _ in days}
    waiting = sorted((day for day in gone if day > first_day), reverse=True)
    other = [
        (day, part)
        for day, part in days
        if not _same(stored.contents(day), keys[part], rows.digests[part], rows.stops[part])
    ]
    before = read([day for day, _ in other if day in stored.days]) if stored.days else {}
    for day, part in other:
        yield from _emptied(waiting, day)
        old = stored.old(before[day]) if day in before else None
        columns = DayRows(keys[part], rows.digests[part], rows.stops[part], rows.flags[part], rows.titles[part])
        raws: Sequence[bytes] = rows.raws[part]
        if old and day == first_day and old.contents.keys[0] < rows.starts[0] << ORDINAL_BITS:
            history = _history(old.contents, rows.starts[0] << ORDINAL_BITS, over_by_s)
            columns, raws = _joined(history, columns), [b""] * len(history.keys) + rows.raws[part]
            if _same(stored.contents(day), columns.keys, columns.digests, columns.stops):
                continue
        yield assembled(day, columns, _Texts(columns, raws, stored.name, layout, old), old)
    yield from _emptied(waiting, LAST_DAY)


def _emptied(waiting: list[int], until: int) -> Iterator[PackedDay]:
    """Of the days (the last one first) that the file has not, those before another one, as days that are to go."""
    while waiting and waiting[-1] < until:
        yield _gone(waiting.pop())


def _without_stale(stored: StoredChannel, first_day: int, read: DaysRead, over_by_s: int) -> Iterator[PackedDay]:
    """The days before the first that hold something that is not over, without it."""
    stale = [day for day, known in stored.unpacked.items() if day < first_day and max(known.stops) > over_by_s]
    for day, found in sorted(read(stale).items()):
        yield thinned(found, lambda _, stop: stop <= over_by_s) or _gone(day)


def _gone(day: int) -> PackedDay:
    return PackedDay(day, b"", b"", b"")


def _history(old: Contents, before_key: int, over_by_s: int | None) -> DayRows:
    """The stored programmes that start before those of the file; of an instant: that had ended by then."""
    kept = [at for at in range(bisect_left(old.keys, before_key)) if over_by_s is None or old.stops[at] <= over_by_s]
    columns = (old.keys, old.digests, old.stops, old.flags)
    keys, digests, stops, flags = ([column[at] for at in kept] for column in columns)
    return DayRows(keys, digests, stops, flags, [UNREAD] * len(kept))


def _joined(history: DayRows, rows: DayRows) -> DayRows:
    return DayRows(*([*old, *new] for old, new in zip(history, rows, strict=True)))  # type: ignore[arg-type]


def _same(before: bytes, keys: Sequence[int], digests: Sequence[int], stops: Sequence[int]) -> bool:
    """Whether a stored day holds these programmes: their lengths and flags follow from their digests."""
    return len(before) == len(keys) * ROW_BYTES and before.startswith(identity_of(keys, digests, stops))
