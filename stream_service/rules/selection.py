"""The entries of a lineup: changed by its rules, chosen by its filters; and what each of them did."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from servicekit.errors import Invalid
from stream_service.domain.model import LineupStream
from stream_service.domain.rules import Attached, Rule
from stream_service.rules.engine import BUDGET_S, Chain, Count, Sieve
from stream_service.rules.fields import SourceTexts
from tvkit.expressions import Helpers


@dataclass(frozen=True, slots=True)
class Selection:
    """The streams that stay, in their order. `rules`, `filters`: what each did, by id. `left_out`: rules that did not
    take part, by id, and why.
    """

    streams: list[LineupStream]
    entered: int = 0
    rules: dict[int, Count] = field(default_factory=dict)
    filters: dict[int, Count] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, object]:
        """What each rule and filter did, as JSON knows it."""
        return {
            "rules": [
                {"id": ident, "matched": one.matched, "changed": one.changed, "cpu_ms": round(one.spent_s * 1_000)}
                for ident, one in self.rules.items()
            ],
            "filters": [
                {"id": ident, "matched": one.matched, "cpu_ms": round(one.spent_s * 1_000)}
                for ident, one in reversed(self.filters.items())
            ],
            "rules_left_out": [{"id": ident, "why": why} for ident, why in self.left_out.items()],
        }


def select(
    streams: Sequence[LineupStream],
    *,
    rules: Iterable[Rule],
    filters: Iterable[Attached],
    source_of: Callable[[int], SourceTexts],
    helpers: Helpers,
    budget_s: float = BUDGET_S,
) -> Selection:
    """Streams through rules and filters.

    A rule that is over its budget of time, or cannot be understood, is left out and named. A filter that is, raises
    `OverBudget` or `Invalid`: without it the lineup would show what it was to hide, so the last one had better stay.
    """
    taking_part, attached = list(rules), list(filters)
    left_out: dict[int, str] = {}
    if not taking_part and not attached:
        return Selection(list(streams), len(streams))
    while True:
        chain = Chain(taking_part, helpers=helpers, budget_s=budget_s)
        sieve = Sieve(attached, helpers=helpers, budget_s=budget_s)
        if sieve.faults:
            filter_id, why = next(iter(sieve.faults.items()))
            raise Invalid(f"filter {filter_id} cannot be understood: {why}")
        kept = [one.done() for one in sieve.run(chain.run(streams, source_of))]
        if not chain.slow:
            return Selection(kept, len(streams), chain.counts, sieve.counts, {**chain.faults, **left_out})
        left_out |= chain.slow
        taking_part = [rule for rule in taking_part if rule.id not in left_out]
