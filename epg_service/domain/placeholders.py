"""What stands where a guide says nothing: blocks of a few hours, so that a client never shows an unknown airing."""

from collections.abc import Iterator, Sequence

BLOCK_S = 3 * 3600
"""Longest block; blocks end at multiples of it, so that they stay the same from one publication to the next."""
AHEAD_S = 2 * 86_400
"""How far a channel without a guide is filled, counted from the end of the present day."""
DAY_S = 86_400


def least_span(now_s: int, from_s: int, to_s: int) -> tuple[int, int]:
    """What is filled at least: the present day (UTC) and the next two, inside the published window."""
    day_s = now_s - now_s % DAY_S
    return max(from_s, day_s), max(from_s, min(to_s, day_s + DAY_S + AHEAD_S))


def gaps(starts: Sequence[int], stops: Sequence[int], from_s: int, to_s: int) -> Iterator[tuple[int, int]]:
    """The blocks between programmes that do not overlap, and from `from_s` and up to `to_s` where those reach further
    than the programmes; all in epoch seconds, half open."""
    before = min(from_s, *starts) if starts else from_s
    end = max(to_s, *stops) if stops else to_s
    for start, stop in zip([*starts, end], [*stops, end], strict=True):
        yield from _blocks(before, start)
        before = stop


def _blocks(from_s: int, to_s: int) -> Iterator[tuple[int, int]]:
    while from_s < to_s:
        end = min(to_s, (from_s // BLOCK_S + 1) * BLOCK_S)
        yield from_s, end
        from_s = end
