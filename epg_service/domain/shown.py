"""What a viewer sees of a channel: one programme at a time, and of those the present one and the next."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from epg_service.domain.entities import Listing
from epg_service.domain.model import Rows
from epg_service.domain.timeline import timeline

LOOK_S = 4 * 3600
"""How far around a window is read at first: what lies outside decides who is shown at its ends."""
SEVERAL_LOOK_S = 12 * 3600
"""The same where several providers fill one channel: who fills a gap depends on who filled the one before."""
_ROUNDS = 8


def one_at_a_time(listings: Sequence[Listing]) -> list[Listing]:
    """The programmes without overlaps; of several with one start, the longer element (`raw`) wins."""
    rows = timeline(
        Rows(
            [one.start_s for one in listings],
            [one.stop_s for one in listings],
            list(range(len(listings))),
            [one.title for one in listings],
            [one.raw for one in listings],
        )
    )
    return [
        listings[at] if listings[at].stop_s == stop else replace(listings[at], stop_s=stop)
        for at, stop in zip(rows.ordinals, rows.stops, strict=True)
    ]


def needs_elements(listings: Sequence[Listing]) -> bool:
    """Whether the elements decide who is shown: two programmes with a length start at one instant."""
    lasting = [one.start_s for one in listings if one.stop_s > one.start_s]
    return any(map(int.__eq__, lasting, lasting[1:]))


def in_window(
    read: Callable[[int, int], Sequence[Listing]], from_s: int, to_s: int
) -> tuple[Sequence[Listing], Callable[[Sequence[Listing]], list[Listing]]]:
    """Reads (`read(from, to)`) all that decides what is shown in a window, and how to cut the result to it.

    A programme that began before the window may have been cut off by one that ended before it, so everything is read
    from the start of the first programme that reaches into the window to the end of the last one.
    """
    low, high = max(0, from_s - LOOK_S), to_s + LOOK_S
    found: Sequence[Listing] = ()
    for _ in range(_ROUNDS):
        found = read(low, high)
        inside = [one for one in found if one.stop_s > from_s and one.start_s < to_s]
        lowest = min((one.start_s for one in inside), default=low)
        highest = max((one.stop_s for one in inside), default=high)
        if len({one.provider_id for one in found}) > 1:
            lowest, highest = min(lowest, from_s - SEVERAL_LOOK_S), max(highest, to_s + SEVERAL_LOOK_S)
            lowest = max(0, lowest)
        if lowest >= low and highest <= high:
            break
        low, high = min(low, lowest), max(high, highest)
    return found, lambda shown: [one for one in shown if one.stop_s > from_s and one.start_s < to_s]


def now_and_next(shown: Sequence[Listing], at_s: int) -> tuple[Listing | None, Listing | None]:
    """Of programmes without overlaps, the one that runs at an instant and the one that starts after it."""
    now = next((one for one in shown if one.start_s <= at_s < one.stop_s), None)
    return now, next((one for one in shown if one.start_s > at_s), None)
