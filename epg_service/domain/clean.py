"""Cleaning of one channel's programmes: order, stop times, doubles, and room for what starts at the same instant."""

from dataclasses import replace
from functools import partial

from epg_service.domain.losses import MAX_SAMPLES, Losses, called
from epg_service.domain.model import Rows

DEFAULT_LENGTH_S = 30 * 60
MAX_LENGTH_S = 24 * 3600
MAX_SAME_START = 8
_MAX_EPOCH_S = 2**32 - 1


def clean(
    rows: Rows,
    *,
    losses: Losses,
    default_length_s: int = DEFAULT_LENGTH_S,
    channel: str = "",
    plain: bool | None = None,
) -> Rows:
    """The programmes of one whole channel, in file order (ordinals are not looked at), as rows that the store can keep.

    - Sorted by start; equal starts keep the order of the file.
    - A stop that is missing (0) or before the start becomes the next start on the channel when that comes within 24
      hours, else start + `default_length_s`. A stop equal to the start stays: real guides have such pairs.
    - Exact doubles (start, stop, title) fold into one, the one with the longer element, the later of equals.
    - Programmes with one start get ordinals 0 to 7; a ninth is left out.

    `plain`: what `is_plain` said of them, where it was asked already.

    Everything is counted; samples name the `channel` where a title is missing. The rows that come out and the losses
    counted here add up to the rows that went in. Cleaning what is clean changes nothing.
    """
    starts, stops = rows.starts, rows.stops
    _note(starts, stops, rows.titles, losses, channel)
    if is_plain(starts, stops) if plain is None else plain:
        return replace(rows, ordinals=[0] * len(rows))
    order = sorted(range(len(starts)), key=starts.__getitem__)
    ends = _ends(order, starts, stops, default_length_s)
    kept: list[int] = []
    ordinals: list[int] = []
    position = 0
    while position < len(order):
        group_end = position + 1
        start = starts[order[position]]
        while group_end < len(order) and starts[order[group_end]] == start:
            group_end += 1
        group, doubles = _folded(order[position:group_end], ends, rows.titles, rows.raws)
        for index in doubles:
            losses.add("double", called(rows.titles[index], start, channel))
        for index in group[MAX_SAME_START:]:
            losses.add("crowded", called(rows.titles[index], start, channel))
        kept += group[:MAX_SAME_START]
        ordinals += range(min(len(group), MAX_SAME_START))
        position = group_end
    return replace(rows.at(kept), stops=[ends[index] for index in kept], ordinals=ordinals)


def is_plain(starts: list[int], stops: list[int]) -> bool:
    """Whether starts rise strictly and every stop is there, behind its start, as in nearly every channel."""
    return all(stops) and all(map(int.__le__, starts, stops)) and all(map(int.__lt__, starts, starts[1:]))


def _note(starts: list[int], stops: list[int], titles: list[str], losses: Losses, channel: str) -> None:
    """Count what is odd but kept."""
    if not all(titles):
        untitled = [start for start, title in zip(starts, titles, strict=True) if not title]
        for start in untitled[:MAX_SAMPLES]:
            losses.add("no_title", called("", start, channel))
        losses.add("no_title", n=len(untitled) - MAX_SAMPLES)
    lengths = list(map(int.__sub__, stops, starts))
    if not lengths or (min(lengths) > 0 and max(lengths) <= MAX_LENGTH_S):
        return
    name = partial(called, channel=channel)
    for start, stop, title in zip(starts, stops, titles, strict=True):
        length = stop - start
        if 0 < length <= MAX_LENGTH_S:
            continue
        if not stop:
            losses.add("missing_stop", name(title, start))
        elif length < 0:
            losses.add("backward_stop", f"{name(title, start)}: stop {-length} s before its start")
        elif length == 0:
            losses.add("zero_length", name(title, start))
        else:
            losses.add("overlong", f"{name(title, start)}: {length // 3600} hours")


def _ends(order: list[int], starts: list[int], stops: list[int], default_length_s: int) -> list[int]:
    """The stop of every programme, made up where there is none, by index."""
    ends = list(stops)
    following: int | None = None  # the next later start
    later = order[-1] if order else 0
    for index in reversed(order):
        if starts[index] != starts[later]:
            following = starts[later]
        later = index
        if stops[index] < starts[index] or not stops[index]:
            near = following is not None and following - starts[index] <= MAX_LENGTH_S
            ends[index] = following if near and following else min(starts[index] + default_length_s, _MAX_EPOCH_S)
    return ends


def _folded(group: list[int], ends: list[int], titles: list[str], raws: list[bytes]) -> tuple[list[int], list[int]]:
    """One index for each different (stop, title) of programmes with one start, in the order of the file; and those that
    are left out."""
    if len(group) == 1:
        return group, []
    best: dict[tuple[int, str], int] = {}
    doubles: list[int] = []
    for index in group:
        key = (ends[index], titles[index])
        if key in best:
            doubles.append(index)
            if len(raws[index]) < len(raws[best[key]]):
                continue
        best[key] = index
    return list(best.values()), doubles
