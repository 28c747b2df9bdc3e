"""Which programmes are kept: a window around now."""

from dataclasses import dataclass
from typing import Protocol

from epg_service.domain.losses import Losses, called

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Window:
    """How many days of the past and of the future are kept."""

    past_days: float
    future_days: float

    def bounds(self, now_s: int) -> tuple[int, int]:
        """The window around `now_s` as (from, to), epoch seconds."""
        return now_s - int(self.past_days * DAY_S), now_s + int(self.future_days * DAY_S)


class Titles(Protocol):
    """Titles by index; read only where one is told."""

    def __getitem__(self, index: int, /) -> str: ...


def keep(
    starts: list[int],
    stops: list[int],
    bounds: tuple[int, int],
    *,
    losses: Losses | None = None,
    titles: Titles | None = None,
) -> list[int]:
    """Indexes of the programmes that touch the window.

    The past is judged by the end, so that the programme that is running stays; one that ended exactly at the bound
    goes. The future is judged by the start; one that starts exactly at the bound goes. What goes is counted in
    `losses`, with a title as sample where `titles` are given.
    """
    begin, end = bounds
    if not starts or (min(stops) > begin and max(starts) < end):
        return list(range(len(starts)))
    kept = [i for i, (start, stop) in enumerate(zip(starts, stops, strict=True)) if stop > begin and start < end]
    if losses is not None and len(kept) < len(starts):
        _count(starts, stops, begin, titles, set(kept), losses)
    return kept


def _count(
    starts: list[int], stops: list[int], begin: int, titles: Titles | None, kept: set[int], losses: Losses
) -> None:
    past = [i for i in range(len(starts)) if i not in kept and stops[i] <= begin]
    future = [i for i in range(len(starts)) if i not in kept and stops[i] > begin]
    for kind, gone in (("outside_retention_past", past), ("outside_retention_future", future)):
        if gone:
            told = titles is not None and losses.wants_samples(kind)
            losses.add(kind, called(titles[gone[0]], starts[gone[0]]) if titles and told else "", len(gone))
