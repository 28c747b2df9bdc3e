"""Nodes of what the grammar recognised: lark's trees of words become the tree that means something."""

from collections.abc import Iterator
from typing import Any

from tvkit.expressions.asking import asked
from tvkit.expressions.faults import Findings
from tvkit.expressions.fields import Fields
from tvkit.expressions.nodes import (
    Action,
    All,
    Asked,
    Capture,
    Condition,
    Constant,
    FieldValue,
    Group,
    Not,
    Number,
    Program,
    Term,
    Truth,
    Value,
)
from tvkit.expressions.nodes import Any as AnyOf
from tvkit.expressions.quoting import literal, template
from tvkit.expressions.roles import unknown_field
from tvkit.expressions.tokens import EFFECTS, NEGATED, OPERATORS, Token


class Building:
    """Makes nodes of what the grammar recognised."""

    def __init__(self, fields: Fields, found: Findings) -> None:
        self._fields = fields
        self._found = found

    def program(self, raw: Any) -> Program:
        if not raw.children:
            return Program()
        top = raw.children[0]
        if top.data == "condition":
            return Program((Group(self._condition(top.children[0]), ()),))
        if top.data == "rule":
            return Program((self._group(*top.children, joint=None),))
        groups = [self._group(part.children[1], part.children[2], joint=None) for part in top.children[::2]]
        joints = [None, *(part.children[0].type for part in top.children[1::2])]
        return Program(
            tuple(Group(one.condition, one.actions, joint) for one, joint in zip(groups, joints, strict=True))
        )

    def _group(self, condition: Any, actions: Any, *, joint: Any) -> Group:
        return Group(self._condition(condition), tuple(self._actions(actions)), joint)

    # ---- conditions ----------------------------------------------------------------------------------------------

    def _condition(self, raw: Any) -> Condition:
        """As deep as the expression, which the limits hold shallow."""
        kind = str(raw.data)
        if kind == "term":
            return self._term(raw.children)
        if kind == "constant":
            return Constant(raw.children[0].word == "true")
        if kind == "negation":
            return Not(self._condition(raw.children[1]))
        if kind == "inner":
            return self._condition(raw.children[1])
        parts = [self._condition(part) for part in raw.children[::2]]
        return _flat(All, parts) if kind == "and_expr" else _flat(AnyOf, parts)

    def _term(self, children: list[Any]) -> Term:
        field, *modifiers, operator, value = children
        word = operator.word
        name = OPERATORS.get(word) or NEGATED[word]
        negations = [one for one in modifiers if one.type == "NOT"]
        cases = [one for one in modifiers if one.type == "CASE"]
        if len(negations) + (word in NEGATED) > 1:
            self._found.add("operator", "duplicate_modifier", "Duplicate 'not' modifier", negations[-1].position,
                            details="Two negations cancel each other out.", suggestion="leave one out")  # fmt: skip
        if len(cases) > 1:
            self._found.add("operator", "duplicate_modifier", "Duplicate 'case_sensitive' modifier", cases[-1].position,
                            suggestion="leave one out")  # fmt: skip
        token = value.children[0]
        return Term(
            field.text,
            name,  # type: ignore[arg-type]
            self._value(token, in_action=False),
            bool(negations) or word in NEGATED,
            bool(cases),
            -1 if field.made or operator.made or token.made else field.position,
            token.position,
        )

    # ---- actions -------------------------------------------------------------------------------------------------

    def _actions(self, raw: Any) -> Iterator[Action]:
        """A keyword goes on behind commas: `SET a = "1", b = "2"`; without a comma the next one stands for itself."""
        carried, comma = "SET", False
        for part in raw.children:
            if not hasattr(part, "children"):
                comma = True
                continue
            first = part.children[0]
            if first.type == "EFFECT":
                carried = first.word.upper()
            elif not comma or first.type == "DELETE":
                carried = "SET"
            yield self._action(part.children, "DELETE" if first.type == "DELETE" else carried)
            comma = False

    def _action(self, children: list[Any], effect: str) -> Action:
        if effect == "DELETE":
            return Action("DELETE", children[1].text, None, -1 if children[1].made else children[1].position)
        field, sign, value = children[-3:]
        token = value.children[0]
        if sign.text != "=":
            effect = EFFECTS[sign.text]
        return Action(
            effect,  # type: ignore[arg-type]
            field.text,
            self._value(token, in_action=True),
            -1 if field.made or sign.made or token.made else field.position,
            token.position,
        )

    # ---- values --------------------------------------------------------------------------------------------------

    def _value(self, token: Token, *, in_action: bool) -> Value:
        if token.type == "STRING":
            quoted = token.text if not token.made else f'"{token.text.strip(chr(34))}"'
            return template(quoted, self._name_of) if in_action else literal(quoted)
        if token.type == "NUMBER":
            return Number(token.text)
        if token.type == "TRUTH":
            return Truth(token.word == "true")
        if token.type == "CAPTURE":
            return Capture(int(token.text.strip("${}")))
        if token.type == "REFERENCE":
            return self._reference(token)
        return asked(token.text, token.position, self._fields, self._found) or Asked("time")

    def _name_of(self, word: str) -> str | None:
        field = self._fields.find(word)
        return None if field is None else field.name

    def _reference(self, token: Token) -> Value:
        word = token.text.strip("${}")
        name = self._name_of(word)
        if name is None:
            unknown_field(word, token.position + 1, self._fields, self._found)
        return FieldValue(name or word)


def _flat(kind: Any, parts: list[Condition]) -> Condition:
    inner: list[Condition] = []
    for part in parts:
        inner.extend(part.parts if isinstance(part, kind) else (part,))
    made: Condition = kind(tuple(inner))
    return made
