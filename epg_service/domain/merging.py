"""One guide out of several providers' guides of the same channel: the best one's programmes, its gaps filled."""

from bisect import bisect_left
from collections.abc import Sequence
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

    `guides` are ordered best first, each sorted by start. One guide alone comes back as it is, overlaps included.
    """
    if len(guides) < 2:
        return list(guides[0]) if guides else []
    taken = sorted(guides[0], key=lambda row: row.start_s)
    starts = [row.start_s for row in taken]
    for guide in guides[1:]:
        for row in guide:
            at = bisect_left(starts, row.start_s)
            free_before = at == 0 or taken[at - 1].stop_s <= row.start_s
            free_after = at == len(taken) or row.stop_s <= taken[at].start_s
            if free_before and free_after and row.stop_s > row.start_s:
                taken.insert(at, row)
                starts.insert(at, row.start_s)
    return taken
