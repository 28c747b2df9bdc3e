"""One guide out of several providers' guides of the same channel: the best one's programmes, its gaps filled."""

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar


class Timed(Protocol):
    """Anything with a place in time."""

    @property
    def start_s(self) -> int: ...
    @property
    def stop_s(self) -> int: ...


Row = TypeVar("Row", bound=Timed)


def merged(guides: Sequence[Sequence[Row]]) -> list[Row]:
    """The programmes of the first guide, and of each next one those that fit whole into what is still free.

    `guides` are ordered best first, each sorted by start. The first one comes as it is, overlaps included; nothing
    that fills its gaps overlaps anything. A programme without length takes no room and fills none.
    """
    taken = list(guides[0]) if guides else []
    for guide in guides[1:]:
        if fitting := list(_fitting(guide, taken)):
            taken = list(heapq.merge(taken, fitting, key=lambda row: row.start_s))
    return taken


def _fitting(guide: Sequence[Row], taken: Sequence[Row]) -> Iterator[Row]:
    """The programmes that overlap neither what is taken nor one another, the earlier one first."""
    starts, stops = _spans(taken)
    end_s = 0
    for row in guide:
        at = bisect_right(starts, row.start_s)
        free_before = row.start_s >= end_s and (at == 0 or stops[at - 1] <= row.start_s)
        free_after = at == len(starts) or row.stop_s <= starts[at]
        if free_before and free_after and row.stop_s > row.start_s:
            end_s = row.stop_s
            yield row


def _spans(rows: Sequence[Timed]) -> tuple[list[int], list[int]]:
    """Starts and stops of the time that rows sorted by start take, overlapping ones as one."""
    starts: list[int] = []
    stops: list[int] = []
    for row in rows:
        if row.stop_s <= row.start_s:
            continue
        if stops and row.start_s <= stops[-1]:
            stops[-1] = max(stops[-1], row.stop_s)
        else:
            starts.append(row.start_s)
            stops.append(row.stop_s)
    return starts, stops
