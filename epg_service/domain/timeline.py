"""One programme at a time: rows without overlaps, for grids, "now" and published guides."""

from collections.abc import Sequence
from dataclasses import replace

from epg_service.domain.model import Rows

_END_OF_TIME_S = 2**32


def apart(starts: Sequence[int], stops: Sequence[int]) -> bool:
    """Whether every programme (sorted by start) has a length and ends before the next begins: nothing to decide."""
    return all(map(int.__lt__, starts, stops)) and all(map(int.__le__, stops, starts[1:]))


def shown(starts: Sequence[int], stops: Sequence[int], lengths: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which of the programmes (sorted by start) are shown, as indexes, and where each of them ends.

    Of programmes with one start, the one with the longer element is shown, the later in the file of equals; one with a
    length beats one without. A programme ends where the next begins. Zero lengths are left out. Gaps stay.
    """
    winners: list[int] = []
    for index in range(len(starts)):
        if stops[index] <= starts[index]:
            continue
        if winners and starts[winners[-1]] == starts[index]:
            if lengths[index] >= lengths[winners[-1]]:
                winners[-1] = index
        else:
            winners.append(index)
    following = [*(starts[index] for index in winners[1:]), _END_OF_TIME_S]
    return winners, [min(stops[index], after) for index, after in zip(winners, following, strict=False)]


def timeline(rows: Rows) -> Rows:
    """Rows in which every instant belongs to one programme at most (see `shown`)."""
    if apart(rows.starts, rows.stops):
        return rows
    winners, ends = shown(rows.starts, rows.stops, list(map(len, rows.raws)))
    return replace(rows.at(winners), stops=ends)
