"""What a well-formed expression may still have wrong: patterns, types of values, fields that cannot be written."""

from collections.abc import Callable, Iterator

from tvkit.expressions.faults import Findings
from tvkit.expressions.fields import Field, Fields
from tvkit.expressions.nodes import (
    Action,
    Asked,
    Capture,
    Condition,
    Constant,
    FieldValue,
    Not,
    Number,
    Program,
    Term,
    Text,
    Truth,
)
from tvkit.expressions.patterns import InvalidPattern, compiled
from tvkit.expressions.scalars import number_of, time_of, truth_of

COMPARISONS = frozenset(("greater_than", "less_than", "greater_than_or_equal", "less_than_or_equal"))


def check(program: Program, fields: Fields, found: Findings) -> None:
    """Adds every fault of meaning. Terms and actions that were mended have had their fault already."""
    for group in program.groups:
        for term in _terms(group.condition):
            if term.position >= 0:
                _check_term(term, fields, found)
        for action in group.actions:
            if action.position >= 0:
                _check_action(action, fields, found)


def _terms(node: Condition) -> Iterator[Term]:
    if isinstance(node, Term):
        yield node
    elif isinstance(node, Not):
        yield from _terms(node.inner)
    elif not isinstance(node, Constant):
        for part in node.parts:
            yield from _terms(part)


def _check_term(term: Term, fields: Fields, found: Findings) -> None:
    if isinstance(term.value, Capture):
        found.add(
            "value",
            "capture_in_condition",
            f"${term.value.number} stands for a capture, which exists in actions only",
            term.value_position,
            suggestion='"…"',
        )
        return
    field = fields.find(term.field)
    if field is None:
        return
    if term.operator == "matches":
        _check_pattern(term, found)
    elif term.operator in COMPARISONS:
        _check_comparison(term, field, fields, found)
    elif field.kind == "bool" and term.operator == "equals":
        _check_truth(term, field, found)


def _check_pattern(term: Term, found: Findings) -> None:
    if not isinstance(term.value, Text):
        found.add(
            "value", "invalid_value", "'matches' needs a pattern in quotes", term.value_position, suggestion='"…"'
        )
        return
    try:
        compiled(term.value.literal, case_sensitive=term.case_sensitive)
    except InvalidPattern as error:
        found.add(
            "value",
            "invalid_regex",
            f"Invalid regular expression: {error}",
            term.value_position,
            details=f"At character {error.position + 1} of the pattern. A backslash in front makes a character plain.",
            suggestion=_instead(term.value.literal),
        )


def _instead(pattern: str) -> str:
    """`*HD` is how files are named, `.*HD` how patterns are written."""
    return f'".{pattern}"' if pattern.startswith("*") else "contains looks for a text as it is written"


def _check_truth(term: Term, field: Field, found: Findings) -> None:
    if isinstance(term.value, Text | Number) and truth_of(_written(term.value)) is None:
        found.add("value", "type_mismatch", f"{field.name} is true or false, not {_written(term.value)!r}",
                  term.value_position, suggestion="true")  # fmt: skip


def _check_comparison(term: Term, field: Field, fields: Fields, found: Findings) -> None:
    """Numbers with numbers, times with times; a text's type is known only when it is applied."""
    if field.kind == "bool":
        found.add("operator", "type_mismatch", f"{field.name} is true or false: it is neither greater nor less",
                  term.position, suggestion=f"{field.name} equals true")  # fmt: skip
        return
    readable: Callable[[str], float | None] | None = {"number": number_of, "time": time_of}.get(field.kind)
    value = term.value
    if isinstance(value, FieldValue):
        other = fields.find(value.name)
        fits = other is None or other.kind in (field.kind, "text") or field.kind == "text"
    elif isinstance(value, Asked):
        fits = field.kind != "number" if value.kind == "time" else value.kind == "header"
    elif isinstance(value, Truth | Capture):
        fits = False
    else:
        written = _written(value)
        fits = (
            (number_of(written) is not None or time_of(written) is not None)
            if readable is None
            else readable(written) is not None
        )
    if not fits:
        wanted = {"number": "a number", "time": "a time"}.get(field.kind, "a number or a time")
        found.add("value", "type_mismatch", f"{field.name} can be compared with {wanted} only", term.value_position,
                  details="Numbers compare with numbers, times with times.",
                  suggestion={"number": "100", "time": "@time:now"}.get(field.kind, "100"))  # fmt: skip


def _written(value: Text | Number) -> str:
    return value.literal if isinstance(value, Text) else value.text


def _check_action(action: Action, fields: Fields, found: Findings) -> None:
    field = fields.find(action.field)
    if field is None or not field.read_only:
        return
    writable = ", ".join(one.name for one in fields if not one.read_only)
    found.add(
        "field",
        "read_only_field",
        f"Field {field.name!r} is read-only",
        action.position,
        details=f"It can be asked about, not changed. Fields that can be changed: {writable or 'none here'}",
    )
