"""An expression written the one way, and as a tree of plain values for programs that show it."""

from collections.abc import Mapping
from typing import Any as Whatever

from tvkit.expressions.fields import HEADER
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
    Text,
    Truth,
    Value,
)
from tvkit.expressions.quoting import quote

Tree = dict[str, Whatever]


def canonical(program: Program) -> str:
    """The text that reads back as the same program: canonical names, words for operators, no needless parentheses."""
    groups = program.groups
    if not groups:
        return ""
    if len(groups) == 1:
        return _group(groups[0])
    written = [f"({_group(group)})" for group in groups]
    joints = ["", *(f" {group.joint} " for group in groups[1:])]
    return "".join(joint + text for joint, text in zip(joints, written, strict=True))


def _group(group: Group) -> str:
    condition = _condition(group.condition, 0)
    if not group.actions:
        return condition
    effects = ["", *(action.effect for action in group.actions)]
    written = [_action(action, before) for action, before in zip(group.actions, effects, strict=False)]
    return f"{condition} {', '.join(written)}"


def _condition(node: Condition, around: int) -> str:
    """`around` is how tightly the place binds: 0 alone, 1 beside OR, 2 beside AND, 3 behind NOT."""
    if isinstance(node, Constant):
        return "true" if node.true else "false"
    if isinstance(node, Term):
        return _term(node)
    if isinstance(node, Not):
        return f"NOT {_condition(node.inner, 3)}"
    strength, word = (2, " AND ") if isinstance(node, All) else (1, " OR ")
    text = word.join(_condition(part, strength) for part in node.parts)
    return f"({text})" if around > strength else text


def _term(term: Term) -> str:
    case = " case_sensitive" if term.case_sensitive else ""
    word = term.operator
    negated = "not_" if term.negated else ""
    return f"{_field(term.field)}{case} {negated}{word} {_value(term.value, in_action=False)}"


def _field(name: str) -> str:
    return f"@dynamic(request.headers):{name.removeprefix(HEADER)}" if name.startswith(HEADER) else name


def _action(action: Action, before: str) -> str:
    """A keyword goes on behind a comma, so it is written where it changes."""
    if action.value is None:
        return f"DELETE {action.field}"
    keyword = "" if action.effect == before else f"{action.effect} "
    return f"{keyword}{action.field} = {_value(action.value, in_action=True)}"


def _value(value: Value, *, in_action: bool) -> str:
    if isinstance(value, Text):
        return quote(value, in_action=in_action)
    if isinstance(value, Number):
        return value.text
    if isinstance(value, Truth):
        return "true" if value.true else "false"
    if isinstance(value, Capture):
        return f"${value.number}"
    if isinstance(value, FieldValue):
        return f"${value.name}"
    return _asked(value)


def _asked(value: Asked) -> str:
    if value.kind == "logo":
        return f"@logo:{value.argument}"
    if value.kind == "header":
        return f"@dynamic(request.headers):{value.argument}"
    offset = f"{value.offset_s:+d}s" if value.offset_s else ""
    return f"@time:{value.argument or 'now'}{offset}"


# ---- as plain values -----------------------------------------------------------------------------------------------


def tree(program: Program) -> Tree | None:
    """The program as nested dicts; None when it is empty."""
    if not program.groups:
        return None
    if len(program.groups) == 1:
        return _group_tree(program.groups[0])
    groups = [_group_tree(group) | ({"joined_by": group.joint} if group.joint else {}) for group in program.groups]
    return {"type": "groups", "groups": groups}


def _group_tree(group: Group) -> Tree:
    condition = _condition_tree(group.condition)
    if not group.actions:
        return condition
    return {"type": "rule", "condition": condition, "actions": [_action_tree(action) for action in group.actions]}


def _condition_tree(node: Condition) -> Tree:
    if isinstance(node, Constant):
        return {"type": "constant", "value": node.true}
    if isinstance(node, Not):
        return {"type": "not", "operand": _condition_tree(node.inner)}
    if isinstance(node, Term):
        operator = f"not_{node.operator}" if node.negated else node.operator
        return {"type": "condition", "field": node.field, "operator": operator, "case_sensitive": node.case_sensitive,
                "negate": False, "value": _value_tree(node.value)}  # fmt: skip
    return {
        "type": "and" if isinstance(node, All) else "or",
        "operands": [_condition_tree(part) for part in node.parts],
    }


def _action_tree(action: Action) -> Tree:
    value: Mapping[str, Whatever] = {} if action.value is None else {"value": _value_tree(action.value)}
    return {"type": "action", "action": action.effect.lower(), "field": action.field, **value}


def _value_tree(value: Value) -> Whatever:
    if isinstance(value, Text):
        return value.literal if all(isinstance(part, str) for part in value.parts) else _parts_tree(value)
    if isinstance(value, Number):
        return float(value.text) if "." in value.text else int(value.text)
    if isinstance(value, Truth):
        return value.true
    if isinstance(value, Capture):
        return {"capture": value.number}
    if isinstance(value, FieldValue):
        return {"field": value.name}
    return {"helper": _asked(value)}


def _parts_tree(text: Text) -> list[Whatever]:
    return [part if isinstance(part, str) else _value_tree(part) for part in text.parts]
