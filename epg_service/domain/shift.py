"""Tells when a feed's times look shifted, by holding it against another guide of the same channels.

Feeds write local times as UTC, keep an offset over the switch of the clocks, or stamp the wrong one; every programme is
then off by the same amount. Two guides of one channel name most programmes alike, so the difference of their starts
shows it: of all pairs with the same title on the same channel, nearly all are apart by one and the same amount.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MAX_SHIFT_S = 14 * 3600
STEP_S = 15 * 60
"""Offsets of zones are multiples of a quarter of an hour."""
MIN_PAIRS = 20
MIN_SHARE = 0.6
RARE = 4
"""A title that runs more often than this on a channel in the window says nothing: the news is on every hour."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The feed's times are `minutes` later than those of the guide it was held against (earlier when negative)."""

    minutes: int
    pairs: int
    share: float


Starts = Mapping[str, Sequence[int]]
"""Title -> the starts of its programmes on one channel, epoch seconds."""


def shift_between(channels: Iterable[tuple[Starts, Starts]]) -> Shift | None:
    """The shift of the first guide against the second over their common channels; None when there is none to tell.

    None too when too few programmes can be compared: then nothing is known, and nothing is said.
    """
    apart: Counter[int] = Counter()
    for ours, others in channels:
        for title, starts in ours.items():
            elsewhere = others.get(title, ())
            if not elsewhere or len(starts) > RARE or len(elsewhere) > RARE:
                continue
            for start in starts:
                nearest = min(elsewhere, key=lambda other: abs(start - other))
                if abs(start - nearest) <= MAX_SHIFT_S:
                    apart[round((start - nearest) / STEP_S)] += 1
    pairs = sum(apart.values())
    if pairs < MIN_PAIRS:
        return None
    steps, count = apart.most_common(1)[0]
    if steps == 0 or count / pairs < MIN_SHARE:
        return None
    return Shift(steps * STEP_S // 60, pairs, count / pairs)
