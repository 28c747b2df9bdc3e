"""The meaning of an expression as a tree of values; two that mean the same are equal, wherever they stand."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

Operator = Literal[
    "equals", "contains", "starts_with", "ends_with", "matches",
    "greater_than", "less_than", "greater_than_or_equal", "less_than_or_equal",
]  # fmt: skip
Effect = Literal["SET", "SET_IF_EMPTY", "APPEND", "REMOVE", "DELETE"]
Joint = Literal["AND", "OR"]


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written."""

    text: str


@dataclass(frozen=True, slots=True)
class Truth:
    """`true` or `false` as a value."""

    true: bool


@dataclass(frozen=True, slots=True)
class Capture:
    """`$N`: a group of the pattern that matched; 0 is the whole match."""

    number: int


@dataclass(frozen=True, slots=True)
class FieldValue:
    """`$field`: the current value of another field."""

    name: str


@dataclass(frozen=True, slots=True)
class Asked:
    """`@logo:ID`, `@time:now`, `@dynamic(…):name`: what is asked for when the expression is applied."""

    kind: Literal["logo", "time", "header"]
    argument: str = ""
    offset_s: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted string: literal texts, and in actions captures and fields between them."""

    parts: tuple["str | Capture | FieldValue", ...]

    @property
    def literal(self) -> str:
        """The text of a string without captures."""
        return "".join(part for part in self.parts if isinstance(part, str))


Value = Number | Truth | Capture | FieldValue | Asked | Text


@dataclass(frozen=True, slots=True)
class Term:
    """FIELD { not | case_sensitive } OP value."""

    field: str
    operator: Operator
    value: Value
    negated: bool = False
    case_sensitive: bool = False
    position: int = dataclasses.field(default=0, compare=False)
    value_position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Constant:
    """`true` or `false` as a condition."""

    true: bool


@dataclass(frozen=True, slots=True)
class Not:
    inner: "Condition"


@dataclass(frozen=True, slots=True)
class All:
    """Conditions joined by AND: two or more, none of them an All."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """Conditions joined by OR: two or more, none of them an Any."""

    parts: tuple["Condition", ...]


Condition = Term | Constant | Not | All | Any


@dataclass(frozen=True, slots=True)
class Action:
    """What is done to a field; DELETE has no value."""

    effect: Effect
    field: str
    value: Value | None = None
    position: int = dataclasses.field(default=0, compare=False)
    value_position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Group:
    """A condition and what is done when it holds; `joint` is how it hangs on the group before it."""

    condition: Condition
    actions: tuple[Action, ...]
    joint: Joint | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """A whole expression. Without groups it is empty: it matches everything and does nothing.

    One group is the plain form; several are conditional groups in parentheses.
    """

    groups: tuple[Group, ...] = ()
