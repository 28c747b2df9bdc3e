"""A lineup's rules and filters for programmes: what becomes of one on its way into the lineup's guide.

    record of a programme > rules, in their order (each sees what the ones before did) > filters (the last one that
    matches decides; without an include filter everything stays)

They are written in the expression language and come from the stream service, which judged them; one that cannot be
used here all the same is left out and told.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tvkit.expressions import Expression

MOST: Final = 1_000
"""Rules, and filters, that a lineup may have."""
_OUTSIDE = frozenset(("channel_id", "channel_name", "channel_group_title", "programme_start", "programme_stop"))
"""Fields that a programme's element does not say."""


@dataclass(frozen=True, slots=True)
class RuleFault:
    """A rule or filter that cannot be used."""

    kind: str
    name: str
    message: str

    def as_json(self) -> dict[str, str]:
        return {"kind": self.kind, "name": self.name, "message": self.message}


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    expression: "Expression"
    stop: bool


@dataclass(frozen=True, slots=True)
class _Filter:
    name: str
    expression: "Expression"
    includes: bool


class ProgrammeRules:
    """Compiled once for a file; false when there is nothing to do. Counts what it did."""

    def __init__(self, sent: Mapping[str, Any], *, now_s: Callable[[], int]) -> None:
        """`sent` holds the lists `rules` and `filters` as they came; keys that nobody here knows are not looked at."""
        self._now_s = now_s
        self._found: list[RuleFault] = []
        self._rules = [
            _Rule(name, expression, bool(one.get("stop"))) for name, expression, one in self._compiled("rule", sent)
        ]
        self._filters = [
            _Filter(name, expression, _includes(one)) for name, expression, one in self._compiled("filter", sent)
        ]
        self._named = [(one.name, one.expression) for one in self._rules]
        self._named += [(one.name, one.expression) for one in self._filters]
        expressions = [expression for _, expression in self._named]
        self.needs: Final = frozenset(name for one in expressions for name in one.reads | one.writes)
        """The fields that a record must hold."""
        self.reads_elements: Final = not self.needs <= _OUTSIDE
        """Whether elements must be looked into."""
        self.timed: Final = any("@time:now" in one.canonical for one in expressions)
        """Whether what they do depends on when they are applied."""
        self.changed = 0
        self.left_out = 0

    def __bool__(self) -> bool:
        return bool(self._rules or self._filters)

    @property
    def faults(self) -> tuple[RuleFault, ...]:
        """Rules and filters that were left out."""
        return tuple(self._found)

    @property
    def gave_up(self) -> tuple[str, ...]:
        """Names of those that took too long for some programme; it counted as not matched."""
        return tuple(name for name, expression in self._named if expression.given_up)

    @property
    def counts(self) -> dict[str, int]:
        """How many there are."""
        return {"rules": len(self._rules), "filters": len(self._filters)}

    def judged(self, record: dict[str, str]) -> tuple[tuple[str, str], ...] | None:
        """The fields that the rules write, with their new texts; None when the programme is to be left out."""
        before = dict(record)
        for rule in self._rules:
            applied = rule.expression.apply(record)
            if applied.matched and rule.stop:
                break
        if self._filters and not self._kept(record):
            self.left_out += 1
            return None
        edits = tuple((name, text) for name, text in record.items() if text != before.get(name, ""))
        self.changed += bool(edits)
        return edits

    def _kept(self, record: Mapping[str, str]) -> bool:
        for one in reversed(self._filters):
            if one.expression.matches(record):
                return one.includes
        return not any(one.includes for one in self._filters)

    def _compiled(self, kind: str, sent: Mapping[str, Any]) -> Iterator[tuple[str, "Expression", Mapping[str, Any]]]:
        listed = sent.get(f"{kind}s")
        for number, one in enumerate(listed if isinstance(listed, list) else (), 1):
            name = str(one.get("name") or number)[:200] if isinstance(one, dict) else str(number)
            text = one.get("expression") if isinstance(one, dict) else None
            if not isinstance(text, str):
                self._found.append(RuleFault(kind, name, "it has no expression"))
            elif number > MOST:
                self._found.append(RuleFault(kind, name, f"only the first {MOST:,} are used"))
                return
            elif one.get("enabled", True) and text.strip():
                expression, fault = _expression(text, self._now_s)
                if expression is None:
                    self._found.append(RuleFault(kind, name, fault))
                else:
                    yield name, expression, one


def _expression(text: str, now_s: Callable[[], int]) -> "tuple[Expression | None, str]":
    """A text as an expression; without one, what is wrong with it."""
    # The language is heavy, and most lineups have no rules: a process that meets none does without it.
    from tvkit.expressions import PROGRAMME, ExpressionError, Helpers, compile_expression

    try:
        return compile_expression(text, PROGRAMME, helpers=Helpers(now=now_s)), ""
    except ExpressionError as error:
        return None, str(error)


def _includes(sent: Mapping[str, Any]) -> bool:
    """`action` is `include` or `exclude`; without it, `include` is true or false."""
    action = sent.get("action")
    return action != "exclude" if isinstance(action, str) else bool(sent.get("include", True))
