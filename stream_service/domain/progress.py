"""How far something is that goes on in the background, whatever it is. Pure."""

from dataclasses import dataclass, field

ENDED = frozenset({"success", "unchanged", "failed", "rejected", "interrupted", "cancelled"})
_SPANS = (
    ("login", 0, 2), ("fetching live", 2, 25), ("fetching vod", 25, 45), ("fetching series", 45, 50),
    ("fetching", 2, 50), ("reading", 50, 90), ("comparing", 90, 95), ("taking over", 95, 100),
)  # fmt: skip
"""Where each stage of a refresh begins and ends within the whole, in percent."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that goes on, or went on until a moment ago. `id` is one among all; `kind`: refresh, build.

    `percent`: of the whole, None where nobody can know. `counts`: what it counted so far.
    """

    id: str
    kind: str
    subject: str
    subject_id: int | str
    status: str
    stage: str = ""
    percent: float | None = None
    counts: dict[str, object] = field(default_factory=dict)
    started_at: int | None = None
    completed_at: int | None = None
    error_message: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ENDED


def percent_of_refresh(stage: str, within: object) -> float | None:
    """How much of a refresh is done, from its stage and how far this is."""
    for name, first, last in _SPANS:
        if stage == name:
            share = float(within) / 100 if isinstance(within, int | float) else 0.0
            return round(first + (last - first) * share, 1)
    return None
