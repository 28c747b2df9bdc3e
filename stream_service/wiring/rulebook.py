"""The part of the composition that keeps rules and filters. Only `wiring` calls it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servicekit.clock import Clock
from servicekit.errors import Invalid
from servicekit.store.sqlite import Connections
from stream_service import native
from stream_service.domain.calls import Call
from stream_service.domain.entities import Source
from stream_service.rules import shipped
from stream_service.rules.check import check_filter, check_rule, understood
from stream_service.store.filters import Filters
from stream_service.store.rules import Rules
from tvkit.expressions import Expression

Ask = Callable[[str, Mapping[str, object]], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """What the views are handed; `api.rulebook` says what they ask of it."""

    rules: Rules
    filters: Filters
    source_names: Callable[[], Mapping[int, str]]
    ask: Ask
    call: Call = native.call
    shipped_rules: Sequence[Mapping[str, Any]] = shipped.RULES
    shipped_filters: Sequence[Mapping[str, Any]] = shipped.FILTERS


def rule_store(connections: Connections, *, clock: Clock) -> Rules:
    """The store of rules, which lets nothing in that cannot be understood."""
    return Rules(connections, clock=clock, check=check_rule)


def filter_store(connections: Connections, *, clock: Clock) -> Filters:
    """The store of filters, which lets nothing in that cannot be understood."""
    return Filters(connections, clock=clock, check=check_filter)


def condition(text: str) -> Expression:
    """An expression that only asks; raises `Invalid` with every fault and its place."""
    found = understood(text, "stream")
    if found.writes:
        raise Invalid("merge_rules: a condition alone is needed; actions belong in rules")
    return found


def rulebook(connections: Connections, *, sources: Callable[[], Sequence[Source]], ask: Ask, clock: Clock) -> Rulebook:
    """Rules and filters for the views."""
    return Rulebook(
        rules=rule_store(connections, clock=clock),
        filters=filter_store(connections, clock=clock),
        source_names=lambda: {one.id: one.name for one in sources()},
        ask=ask,
    )
