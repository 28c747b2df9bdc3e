"""One programme at a time: rows without overlaps, for grids, "now" and published guides."""

from epg_service.domain.model import Rows


def timeline(rows: Rows) -> Rows:
    """Rows in which every instant belongs to one programme at most.

    Of programmes with one start, the one with the longer element is shown, the later in the file of equals; one with a
    length beats one without. A programme ends where the next begins. Zero lengths are left out. Gaps stay.
    """
    starts, stops, raws = rows.starts, rows.stops, rows.raws
    if all(map(int.__lt__, starts, stops)) and all(map(int.__le__, stops, starts[1:])):
        return rows
    winners: list[int] = []
    for index in range(len(starts)):
        if stops[index] <= starts[index]:
            continue
        if winners and starts[winners[-1]] == starts[index]:
            if len(raws[index]) >= len(raws[winners[-1]]):
                winners[-1] = index
        else:
            winners.append(index)
    shown = rows.at(winners)
    following = [*shown.starts[1:], 2**32]
    ends = list(map(min, shown.stops, following))
    return Rows(shown.starts, ends, shown.ordinals, shown.titles, shown.raws)
