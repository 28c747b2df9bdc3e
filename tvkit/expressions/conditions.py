"""Conditions as closures: chosen once, when an expression is compiled, then only called.

A closure takes a record and answers something true or false. A `matches` that holds answers its match, an AND the last
match within it, an OR that of the part that held: so the answer to the whole is what `$1` asks for.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tvkit.expressions.asking import Lookups
from tvkit.expressions.fields import Fields
from tvkit.expressions.nodes import All, Asked, Condition, Constant, FieldValue, Not, Number, Term, Text, Truth, Value
from tvkit.expressions.patterns import Bound, Search, parted
from tvkit.expressions.scalars import number_of, time_of, truth_of

Record = Mapping[str, str]
Test = Callable[[Record], Any]


class Conditions:
    """Makes closures of conditions, for the fields of one domain."""

    def __init__(self, fields: Fields, lookups: Lookups, bound: Bound) -> None:
        self._fields = fields
        self._lookups = lookups
        self._bound = bound

    def test(self, node: Condition) -> Test:
        if isinstance(node, Constant):
            return _always if node.true else _never
        if isinstance(node, Not):
            return _negated(self.test(node.inner))
        if isinstance(node, Term):
            made = self._term(node)
            return _negated(made) if node.negated and not _negates_itself(node) else made
        parts = tuple(self.test(part) for part in node.parts)
        return _all(parts) if isinstance(node, All) else _any(parts)

    def _term(self, term: Term) -> Test:
        kind = self._kind(term.field)
        if term.operator == "matches":
            assert isinstance(term.value, Text)  # noqa: S101 - checked before
            pattern, exact = term.value.literal, term.case_sensitive
            return _matches(term.field, *parted(pattern, case_sensitive=exact, bound=self._bound))
        if term.operator not in _TEXTUAL:
            return self._comparison(term, kind)
        fixed = _fixed(term.value)
        if term.operator == "equals" and fixed is not None and kind != "text":
            special = _equals_typed(term.field, kind, fixed)
            if special is not None:
                return special
        if fixed is None:
            return _dynamic(term.field, term.operator, self._text(term.value), term.case_sensitive)
        if term.case_sensitive:
            return _TEXTUAL[term.operator](term.field, fixed)
        if term.negated and term.operator == "contains":
            return _lacks_folded(term.field, fixed.casefold())
        return _TEXTUAL_FOLDED[term.operator](term.field, fixed.casefold())

    def _comparison(self, term: Term, kind: str) -> Test:
        read, holds, fixed = self._reader(kind, term.value), _COMPARED[term.operator], _fixed(term.value)
        if fixed is None:
            return _compares(term.field, holds, self._text(term.value), read)
        number = read(fixed)
        return _never if number is None else _compares_with(term.field, holds, number, read)

    def _kind(self, name: str) -> str:
        field = self._fields.find(name)
        return "text" if field is None else field.kind

    def _text(self, value: Value) -> Callable[[Record], str]:
        """What stands on the right, of a record."""
        if isinstance(value, FieldValue):
            name = value.name
            return lambda record: record.get(name, "")
        if isinstance(value, Asked):
            text_of = self._lookups.text_of
            return lambda record: text_of(value, record)
        fixed = _fixed(value) or ""
        return lambda record: fixed

    def _reader(self, kind: str, value: Value) -> Callable[[str], float | None]:
        """How both sides of a comparison are read: as the field's type says, else as the value's."""
        if kind == "number":
            return number_of
        if kind == "time" or (isinstance(value, Asked) and value.kind == "time"):
            return time_of
        if isinstance(value, FieldValue):
            return time_of if self._kind(value.name) == "time" else number_of
        fixed = _fixed(value)
        return time_of if fixed is not None and number_of(fixed) is None else number_of


def _fixed(value: Value) -> str | None:
    """The text of a value that is the same for every record."""
    if isinstance(value, Text):
        return value.literal
    if isinstance(value, Number):
        return value.text
    return ("true" if value.true else "false") if isinstance(value, Truth) else None


def _negates_itself(term: Term) -> bool:
    return term.operator == "contains" and not term.case_sensitive and _fixed(term.value) is not None


# ---- joints --------------------------------------------------------------------------------------------------------


def _always(record: Record) -> bool:
    return True


def _never(record: Record) -> bool:
    return False


def _negated(inner: Test) -> Test:
    return lambda record: not inner(record)


class _Both:
    """Two matches, the later of which captured nothing: `$0` is its text, `$1` the earlier one's."""

    __slots__ = ("_groups", "_whole", "re")

    def __init__(self, groups: Any, whole: Any) -> None:
        self._groups = groups
        self._whole = whole
        self.re = groups.re

    def group(self, number: int) -> str | None:
        found: str | None = (self._groups if number else self._whole).group(number)
        return found


def _all(parts: tuple[Test, ...]) -> Test:
    if len(parts) == 2:  # nearly always
        return _two(*parts)

    def test(record: Record) -> Any:
        held: Any = True
        for part in parts:
            answer = part(record)
            if not answer:
                return False
            if answer is not True:
                held = answer if held is True or answer.re.groups else _Both(held, answer)
        return held

    return test


def _two(first: Test, second: Test) -> Test:
    """As `_all` of two, without a loop."""

    def test(record: Record) -> Any:
        held = first(record)
        if not held:
            return False
        answer = second(record)
        if not answer or answer is True:
            return held if answer else False
        return answer if held is True or answer.re.groups else _Both(held, answer)

    return test


def _any(parts: tuple[Test, ...]) -> Test:
    if len(parts) == 2:
        first, second = parts
        return lambda record: first(record) or second(record)

    def test(record: Record) -> Any:
        for part in parts:
            answer = part(record)
            if answer:
                return answer
        return False

    return test


# ---- operators on texts --------------------------------------------------------------------------------------------


def _matches(name: str, literals: tuple[str, ...], search: Search) -> Test:
    if not literals:
        return lambda record: search(record.get(name, ""))
    if len(literals) == 1:
        return _matches_with(name, literals[0], search)
    first, second, *_ = literals  # a third would say little that these do not

    def test(record: Record) -> Any:
        text = record.get(name, "")
        folded = text.casefold()
        return search(text) if first in folded and second in folded else None

    return test


def _matches_with(name: str, literal: str, search: Search) -> Test:
    def test(record: Record) -> Any:
        text = record.get(name, "")
        return search(text) if literal in text.casefold() else None

    return test


def _equals(name: str, value: str) -> Test:
    return lambda record: record.get(name, "") == value


def _contains(name: str, value: str) -> Test:
    return lambda record: value in record.get(name, "")


def _starts(name: str, value: str) -> Test:
    return lambda record: record.get(name, "").startswith(value)


def _ends(name: str, value: str) -> Test:
    return lambda record: record.get(name, "").endswith(value)


def _equals_folded(name: str, value: str) -> Test:
    return lambda record: record.get(name, "").casefold() == value


def _contains_folded(name: str, value: str) -> Test:
    return lambda record: value in record.get(name, "").casefold()


def _lacks_folded(name: str, value: str) -> Test:
    return lambda record: value not in record.get(name, "").casefold()


def _starts_folded(name: str, value: str) -> Test:
    return lambda record: record.get(name, "").casefold().startswith(value)


def _ends_folded(name: str, value: str) -> Test:
    return lambda record: record.get(name, "").casefold().endswith(value)


_TEXTUAL = {"equals": _equals, "contains": _contains, "starts_with": _starts, "ends_with": _ends}
_TEXTUAL_FOLDED = {
    "equals": _equals_folded, "contains": _contains_folded, "starts_with": _starts_folded, "ends_with": _ends_folded,
}  # fmt: skip
_PLAIN: dict[str, Callable[[str, str], bool]] = {
    "equals": str.__eq__, "contains": str.__contains__, "starts_with": str.startswith, "ends_with": str.endswith,
}  # fmt: skip


def _dynamic(name: str, operator: str, value: Callable[[Record], str], case_sensitive: bool) -> Test:
    """A text operator whose right side comes from the record or from outside."""
    holds = _PLAIN[operator]
    if case_sensitive:
        return lambda record: holds(record.get(name, ""), value(record))
    return lambda record: holds(record.get(name, "").casefold(), value(record).casefold())


# ---- types ---------------------------------------------------------------------------------------------------------


def _equals_typed(name: str, kind: str, fixed: str) -> Test | None:
    """`5` equals `5.0` in a field of numbers, `yes` equals `true` in one of truths; None when the value is a text."""
    if kind == "bool":
        wanted = truth_of(fixed)
        return lambda record: truth_of(record.get(name, "")) is wanted
    read = number_of if kind == "number" else time_of
    number = read(fixed)
    return None if number is None else lambda record: read(record.get(name, "")) == number


_COMPARED: dict[str, Callable[[float, float], bool]] = {
    "greater_than": float.__gt__, "less_than": float.__lt__,
    "greater_than_or_equal": float.__ge__, "less_than_or_equal": float.__le__,
}  # fmt: skip


Holds = Callable[[float, float], bool]
Read = Callable[[str], float | None]


def _compares(name: str, holds: Holds, value: Callable[[Record], str], read: Read) -> Test:
    def test(record: Record) -> bool:
        left, right = read(record.get(name, "")), read(value(record))
        return left is not None and right is not None and holds(left, right)

    return test


def _compares_with(name: str, holds: Holds, right: float, read: Read) -> Test:
    def test(record: Record) -> bool:
        left = read(record.get(name, ""))
        return left is not None and holds(left, right)

    return test
