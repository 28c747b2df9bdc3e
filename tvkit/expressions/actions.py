"""Actions as closures: each makes a field's new value from its old one, the record and what the condition answered."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tvkit.expressions.asking import Lookups
from tvkit.expressions.conditions import Record
from tvkit.expressions.nodes import Action, Asked, Capture, FieldValue, Number, Text, Truth, Value

Write = Callable[[Record, Any], str]
"""A record and what its condition answered, to a text."""
After = Callable[[str, Record, Any], str]
"""A field's old value, the record and what its condition answered, to the new value."""


class Step(NamedTuple):
    """One action ready to be done."""

    field: str
    after: After


def step(action: Action, lookups: Lookups) -> Step:
    """The action, compiled."""
    if action.value is None:
        return Step(action.field, lambda before, record, answer: "")
    return Step(action.field, _EFFECTS[action.effect](_write(action.value, lookups)))


def _set(write: Write) -> After:
    return lambda before, record, answer: write(record, answer)


def _set_if_empty(write: Write) -> After:
    return lambda before, record, answer: before if before.strip() else write(record, answer)


def _append(write: Write) -> After:
    return lambda before, record, answer: before + write(record, answer)


def _remove(write: Write) -> After:
    def after(before: str, record: Record, answer: Any) -> str:
        text = write(record, answer)
        return before.replace(text, "") if text else before

    return after


_EFFECTS: dict[str, Callable[[Write], After]] = {
    "SET": _set, "SET_IF_EMPTY": _set_if_empty, "APPEND": _append, "REMOVE": _remove,
}  # fmt: skip


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
