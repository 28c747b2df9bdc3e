"""An expression from text to something that tests and changes records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tvkit.expressions.actions import Step, step
from tvkit.expressions.asking import Lookups
from tvkit.expressions.canonical import Tree, canonical, tree
from tvkit.expressions.checks import check
from tvkit.expressions.conditions import Conditions, Test
from tvkit.expressions.faults import ExpressionError, Fault, Findings
from tvkit.expressions.fields import HEADER, Fields
from tvkit.expressions.limits import short_enough, small_enough
from tvkit.expressions.nodes import Asked, Condition, Constant, FieldValue, Not, Program, Term, Text, Value
from tvkit.expressions.patterns import Bound, GaveUp
from tvkit.expressions.roles import Roles
from tvkit.expressions.syntax import tree_of
from tvkit.expressions.tokens import words_of

_USUAL: Final = Bound()


class Change(NamedTuple):
    """A field that an expression changed. (A tuple: millions are made while a playlist is mapped.)"""

    field: str
    before: str
    after: str


class Applied(NamedTuple):
    """Whether the condition held, and what came of it; `changes` names each field once, in order of first change."""

    matched: bool
    changes: tuple[Change, ...] = ()


Do = Callable[[dict[str, str], Any], Applied]
UNMATCHED: Final = Applied(matched=False)
_UNCHANGED: Final = Applied(matched=True)


@dataclass(frozen=True, slots=True)
class _Part:
    """One group, compiled."""

    test: Test
    steps: tuple[Step, ...]
    only_if_none: bool


class Expression:
    """A compiled expression. An empty one matches every record and changes none."""

    def __init__(self, program: Program, parts: tuple[_Part, ...]) -> None:
        self._test, self._do = _compiled(parts)
        self.canonical: Final = canonical(program)
        self.tree: Final = tree(program)
        self.reads: Final = frozenset(_read(program))
        self.writes: Final = frozenset(action.field for group in program.groups for action in group.actions)
        self.given_up = 0
        """Records that a pattern could not judge in its time; they count as not matched."""

    def matches(self, record: Mapping[str, str]) -> bool:
        """Whether the condition holds; with groups, whether one of theirs does."""
        try:
            return bool(self._test(record))
        except GaveUp:
            self.given_up += 1
            return False

    def apply(self, record: dict[str, str]) -> Applied:
        """Changes the record in place when the condition holds. Groups all test the record as it was before."""
        try:
            answer = self._test(record)
        except GaveUp:
            self.given_up += 1
            return UNMATCHED
        return self._do(record, answer) if answer else UNMATCHED

    def apply_all(self, records: Sequence[dict[str, str]]) -> list[tuple[int, Applied]]:
        """As `apply` to each of different records: the places of those that matched, and what came of it.

        Most rules match few records; without a call for each of the others a playlist costs a fifth less.
        """
        test, do = self._test, self._do
        try:
            held = [(place, answer) for place, record in enumerate(records) if (answer := test(record))]
        except GaveUp:  # nothing was changed yet; `apply` says which of them cannot be judged
            applied = [(place, self.apply(record)) for place, record in enumerate(records)]
            return [one for one in applied if one[1].matched]
        return [(place, do(records[place], answer)) for place, answer in held]


def _compiled(parts: tuple[_Part, ...]) -> tuple[Test, Do]:
    """A test, and what is done with a record and the true answer of the test."""
    if not parts:
        return _always, _nothing
    if len(parts) > 1:
        return _of_groups(parts), _done
    test, steps = parts[0].test, parts[0].steps
    if not steps:
        return test, _nothing
    if len(steps) == 1:
        return test, _one_step(steps[0])
    return test, lambda record, answer: _done(record, [(one, answer) for one in steps])


def _always(record: Mapping[str, str]) -> bool:
    return True


def _nothing(record: dict[str, str], answer: Any) -> Applied:
    return _UNCHANGED


def _of_groups(parts: tuple[_Part, ...]) -> Test:
    """A test whose answer is the steps of all groups that hold, each with its own condition's answer."""

    def test(record: Mapping[str, str]) -> Any:
        held: list[tuple[Step, Any]] = []
        for part in parts:
            if part.only_if_none and held:
                continue
            if answer := part.test(record):
                held += [(one, answer) for one in part.steps]
        return held

    return test


def _one_step(one: Step) -> Do:
    """Most rules have one action."""
    name, make = one

    def do(record: dict[str, str], answer: Any) -> Applied:
        before = record.get(name, "")
        after = make(before, record, answer)
        if after == before:
            record.setdefault(name, after)
            return _UNCHANGED
        record[name] = after
        return Applied(True, (Change(name, before, after),))

    return do


def _done(record: dict[str, str], steps: Sequence[tuple[Step, Any]]) -> Applied:
    """Does the steps in order and tells what differs afterwards."""
    was: dict[str, str] = {}
    for (name, make), answer in steps:
        before = record.get(name, "")
        was.setdefault(name, before)
        record[name] = make(before, record, answer)
    changes = tuple([Change(name, before, record[name]) for name, before in was.items() if before != record[name]])
    return Applied(True, changes) if changes else _UNCHANGED


def compile_expression(
    text: str, fields: Fields, *, helpers: Lookups | None = None, bound: Bound = _USUAL
) -> Expression:
    """The expression that a text writes, for the fields of one domain.

    `helpers` answer the @ words, `bound` says what patterns may cost. Raises `ExpressionError` with every fault.
    """
    found = Findings(text)
    program = _read_program(text, fields, found)
    if found or program is None:
        raise ExpressionError(found.faults)
    lookups = helpers or Lookups()
    conditions = Conditions(fields, lookups, bound)
    parts = tuple(
        _Part(
            conditions.test(group.condition),
            tuple(step(action, lookups) for action in group.actions),
            group.joint == "OR",
        )
        for group in program.groups
    )
    return Expression(program, parts)


@dataclass(frozen=True, slots=True)
class Validation:
    """What can be said of a text: its canonical form and tree when it is valid, else its faults."""

    canonical: str
    faults: tuple[Fault, ...]
    tree: Tree | None = field(default=None)

    @property
    def is_valid(self) -> bool:
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        return {
            "is_valid": self.is_valid,
            "canonical_expression": self.canonical,
            "errors": [fault.as_json() for fault in self.faults],
            "expression_tree": self.tree,
        }


def validate(text: str, fields: Fields) -> Validation:
    """Every fault of a text, or its canonical form and its tree. Never raises."""
    found = Findings(text)
    program = _read_program(text, fields, found)
    if found or program is None:
        return Validation("", found.faults)
    return Validation(canonical(program), (), tree(program))


def parse(text: str, fields: Fields) -> Program:
    """The tree of a text; raises `ExpressionError`."""
    found = Findings(text)
    program = _read_program(text, fields, found)
    if found or program is None:
        raise ExpressionError(found.faults)
    return program


def _read_program(text: str, fields: Fields, found: Findings) -> Program | None:
    if not short_enough(text, found):
        return None
    words = words_of(text, found)
    if not small_enough(words, found):
        return None
    program = tree_of(Roles(words, fields, found).assigned(), fields, found, len(text))
    if program is not None:
        check(program, fields, found)
    return program


# ---- what it reads -------------------------------------------------------------------------------------------------


def _read(program: Program) -> Iterator[str]:
    for group in program.groups:
        yield from _read_by(group.condition)
        for action in group.actions:
            yield from _read_value(action.value)
            if action.effect not in ("SET", "DELETE"):
                yield action.field


def _read_by(node: Condition) -> Iterator[str]:
    if isinstance(node, Term):
        yield node.field
        yield from _read_value(node.value)
    elif isinstance(node, Not):
        yield from _read_by(node.inner)
    elif not isinstance(node, Constant):
        for part in node.parts:
            yield from _read_by(part)


def _read_value(value: Value | None) -> Iterator[str]:
    if isinstance(value, FieldValue):
        yield value.name
    elif isinstance(value, Asked) and value.kind == "header":
        yield HEADER + value.argument
    elif isinstance(value, Text):
        for part in value.parts:
            if isinstance(part, FieldValue):
                yield part.name
