"""Compares a channel's new programmes with what is stored, day by day, and keeps only the days that differ.

What the provider no longer sends is gone inside the window that its file covers for the channel: from the channel's
first programme in the file to the last day of the whole file. Older programmes are history: they stay until retention
takes them. Days after the file's last one stay too: a shorter file is no word about them. Which day that is, only the
end of the file tells, so emptied days are told apart here and judged afterwards (`RedoLog.days`).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

from epg_service.domain.days import (
    DAY_S,
    ORDINAL_BITS,
    DayColumns,
    PackedDay,
    by_day,
    contents_of,
    digests_of,
    packed,
)
from epg_service.domain.model import Rows


def changed_days(
    rows: Rows, stored: Mapping[int, bytes], day_columns: Callable[[int], DayColumns]
) -> Iterator[PackedDay]:
    """The days of `rows` that differ from `stored` (day -> contents), packed; then later days without a programme.

    `day_columns` reads a stored day whole; it is asked only for the first day, when that day began before the file.
    """
    if not rows.starts:
        return
    first_day = rows.starts[0] // DAY_S
    keys = [start << ORDINAL_BITS | ordinal for start, ordinal in zip(rows.starts, rows.ordinals, strict=True)]
    digests = digests_of(rows.raws)
    present = set()
    for day, part in by_day(rows.starts):
        present.add(day)
        columns = DayColumns(keys[part], digests[part], rows.stops[part], rows.titles[part], rows.raws[part])
        contents = _contents(columns)
        if stored.get(day) == contents:
            continue
        if day == first_day and day in stored:
            columns = _with_history(day_columns(day), columns)
            contents = _contents(columns)
            if stored[day] == contents:
                continue
        yield packed(day, columns, contents)
    for day in sorted(stored):
        if day > first_day and day not in present:
            yield PackedDay(day, b"", b"", b"")


def _contents(columns: DayColumns) -> bytes:
    return contents_of(columns.keys, columns.digests, columns.stops, columns.raws)


def _with_history(old: DayColumns, new: DayColumns) -> DayColumns:
    """The old programmes of the day that start before the new ones, and the new ones."""
    kept = bisect_left(old.keys, new.keys[0] >> ORDINAL_BITS << ORDINAL_BITS)
    return DayColumns(
        [*old.keys[:kept], *new.keys],
        [*old.digests[:kept], *new.digests],
        [*old.stops[:kept], *new.stops],
        [*old.titles[:kept], *new.titles],
        [*old.raws[:kept], *new.raws],
    )
