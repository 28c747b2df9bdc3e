"""Actions as closures: each makes a field's new value from its old one, the record and the match."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvkit.expressions.asking import Lookups
from tvkit.expressions.conditions import Record
from tvkit.expressions.nodes import Action, Asked, Capture, FieldValue, Number, Text, Truth, Value

Write = Callable[[Record, Any], str]
"""A record and what its condition answered, to a text."""


@dataclass(frozen=True, slots=True)
class Step:
    """One action ready to be done: `value` makes the new text; None empties the field."""

    field: str
    effect: str
    value: Write | None

    def after(self, before: str, record: Record, answer: Any) -> str:
        """The field's new value."""
        if self.value is None:
            return ""
        if self.effect == "SET":
            return self.value(record, answer)
        if self.effect == "SET_IF_EMPTY":
            return before if before.strip() else self.value(record, answer)
        text = self.value(record, answer)
        if self.effect == "APPEND":
            return before + text
        return before.replace(text, "") if text else before


def step(action: Action, lookups: Lookups) -> Step:
    """The action, compiled."""
    return Step(action.field, action.effect, None if action.value is None else _write(action.value, lookups))


def _write(value: Value, lookups: Lookups) -> Write:
    if isinstance(value, Text):
        return _template(tuple(_part(part) for part in value.parts))
    if isinstance(value, Number):
        return _fixed(value.text)
    if isinstance(value, Truth):
        return _fixed("true" if value.true else "false")
    if isinstance(value, Asked):
        return lambda record, answer: lookups.text_of(value, record)
    return _part(value)


def _fixed(text: str) -> Write:
    return lambda record, answer: text


def _part(part: str | Capture | FieldValue) -> Write:
    if isinstance(part, str):
        return _fixed(part)
    if isinstance(part, FieldValue):
        name = part.name
        return lambda record, answer: record.get(name, "")
    number = part.number
    return lambda record, answer: captured(answer, number)


def _template(parts: tuple[Write, ...]) -> Write:
    if len(parts) == 1:
        return parts[0]
    return lambda record, answer: "".join([part(record, answer) for part in parts])


def captured(answer: Any, number: int) -> str:
    """Group `number` of the match that a condition answered; empty when there is none, or it took no part."""
    if answer is True or not answer or number > answer.re.groups:
        return ""
    return answer.group(number) or ""
