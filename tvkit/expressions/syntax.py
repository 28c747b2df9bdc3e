"""Words to a tree, by the grammar in grammar.lark. A missing or surplus word is found and mended, so that one pass
finds all that is wrong.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvkit.expressions.building import Building
from tvkit.expressions.faults import Findings
from tvkit.expressions.fields import Fields
from tvkit.expressions.nodes import Program
from tvkit.expressions.roles import VALUES
from tvkit.expressions.tokens import Token

if TYPE_CHECKING:
    from lark import Lark

END = "$END"
_MOST_MENDS = 6
"""Words put in before one word, until it is left out."""


@functools.cache
def grammar() -> "Lark":
    """The parser, built once and only where an expression is read: lark costs 90 ms to import."""
    from lark import Lark
    from lark.lexer import Lexer

    class Ready(Lexer):
        """Words come from tokens.py and roles.py; nothing is left to do."""

        def __init__(self, conf: object) -> None:
            del conf

        def lex(self, data: Any, parser_state: Any = None) -> Iterator[Any]:
            return iter(data)

    text = Path(__file__).with_name("grammar.lark").read_text("utf-8")
    return Lark(text, parser="lalr", lexer=Ready, maybe_placeholders=False)


@functools.cache
def _unexpected() -> type[Exception]:
    from lark import UnexpectedInput

    return UnexpectedInput


def tree_of(tokens: list[Token], fields: Fields, found: Findings, end: int) -> Program | None:
    """The program that the words spell; None when too much is missing. `end` is the length of the text."""
    raw = _Feeding(found, end).tree(tokens)
    return None if raw is None else Building(fields, found).program(raw)


class _Feeding:
    """Feeds words to the grammar, and puts in what it misses."""

    def __init__(self, found: Findings, end: int) -> None:
        self._found = found
        self._end = end
        self._parser: Any = None
        self._open: list[Token] = []
        self._last: Token | None = None
        self._skipping = False
        self._closes_later = False

    def tree(self, tokens: list[Token]) -> Any:
        """The tree of lark; None when it cannot be mended. A text without faults costs no look ahead."""
        words = [*tokens, Token(END, "", self._end)]
        plain: Any = grammar().parse_interactive([])
        with suppress(_unexpected()):
            for token in words:
                result = plain.feed_token(token)
            return result
        self._parser = grammar().parse_interactive([])
        for index, token in enumerate(words):
            self._closes_later = any(one.type == "RPAR" for one in words[index:])
            result = self._careful(token)
            if self._found.full:
                return None
        return result

    def _careful(self, token: Token) -> Any:
        """Feeds a word, what is missing before it first; a word that cannot be placed is left out."""
        for _ in range(_MOST_MENDS):
            if self._takes(token):
                return self._feed(token)
            if not self._mend(token, self._parser.accepts()):
                return None
        return None

    def _takes(self, token: Token) -> bool:
        """Tried on a copy that builds nothing: a table of LALR may reduce before it sees that a word cannot follow."""
        trial = self._parser.copy(deepcopy_values=False)
        trial.parser_state.parse_conf = copy(trial.parser_state.parse_conf)
        trial.parser_state.parse_conf.callbacks = {}
        try:
            trial.feed_token(token)
        except _unexpected():
            return False
        return True

    def _feed(self, token: Token) -> Any:
        if token.type == "LPAR":
            self._open.append(token)
        elif token.type == "RPAR" and self._open:
            self._open.pop()
        self._last = token
        self._skipping = False
        return self._parser.feed_token(token)

    def _put(self, kind: str, text: str, position: int) -> None:
        token = Token(kind, text, position, made=True)
        if self._takes(token):
            self._feed(token)

    def _mend(self, token: Token, wanted: set[str]) -> bool:
        """Says what is missing or too much, puts in what is missing; False leaves the token out."""
        for applies, mend in self._table():
            if applies(token, wanted):
                return mend(token, wanted)
        return self._surplus(token)

    def _table(self) -> list[tuple[Callable[[Token, set[str]], bool], Callable[[Token, set[str]], bool]]]:
        return [
            (lambda token, wanted: token.type == "RPAR" and not self._open, self._unmatched),
            (lambda token, wanted: bool(wanted & VALUES) and "FIELD" not in wanted, self._value),
            (lambda token, wanted: "OP" in wanted, self._operator),
            (lambda token, wanted: "ASSIGN" in wanted, self._assignment),
            (lambda token, wanted: {"LPAR", "FIELD"} <= wanted and self._wants_condition(), self._condition),
            (lambda token, wanted: "FIELD" in wanted and self._wants_action(), self._action),
            (lambda token, wanted: "RPAR" in wanted and not self._closes_later, self._unclosed),
        ]

    def _wants_condition(self) -> bool:
        return self._last is None or self._last.type in ("LPAR", "AND", "OR", "NOT")

    def _wants_action(self) -> bool:
        return self._last is not None and self._last.type in ("EFFECT", "DELETE", "COMMA")

    # ---- one for each thing that can be missing ------------------------------------------------------------------

    def _unmatched(self, token: Token, wanted: set[str]) -> bool:
        self._found.add("syntax", "unmatched_closing_parenthesis", "Closing parenthesis without an opening one",
                        token.position, suggestion="leave out )")  # fmt: skip
        return False

    def _unclosed(self, token: Token, wanted: set[str]) -> bool:
        opening = self._open[-1]
        self._found.add("syntax", "unclosed_parenthesis", "Missing closing parenthesis", opening.position,
                        details="This parenthesis is never closed.", suggestion=")")  # fmt: skip
        self._put("RPAR", ")", token.position)
        return True

    def _value(self, token: Token, wanted: set[str]) -> bool:
        after = "assignment operator" if self._last is not None and self._last.type == "ASSIGN" else "operator"
        self._found.add(
            "syntax",
            "missing_value",
            f"Expected value after {after}, found {_shown(token)}",
            token.position,
            details="A value is a text in quotes, a number, true, false, $1, $field or @word.",
            suggestion='"…"',
        )
        self._put("STRING", '""', token.position)
        return True

    def _operator(self, token: Token, wanted: set[str]) -> bool:
        name = self._last.text if self._last is not None else ""
        twice = token.type in ("NOT", "CASE")
        self._found.add("syntax", "missing_operator",
                        f"Expected operator after {'modifier' if twice else 'field'} {name!r}, found {_shown(token)}",
                        token.position, suggestion="contains")  # fmt: skip
        self._put("OP", "equals", token.position)
        if token.type not in VALUES:
            self._put("STRING", '""', token.position)
        return True

    def _assignment(self, token: Token, wanted: set[str]) -> bool:
        name = self._last.text if self._last is not None else ""
        if token.text == "==":
            self._found.add(
                "operator",
                "comparison_as_assignment",
                "'==' compares; '=' sets a value",
                token.position,
                suggestion="=",
            )
        elif token.type == "OP":
            self._found.add("syntax", "unexpected_condition", "Conditions stand before the actions", token.position)
        if token.type == "OP":
            self._put("ASSIGN", "=", token.position)
            return False
        self._found.add("syntax", "missing_assignment", f"Expected assignment operator after field {name!r}, "
                        f"found {_shown(token)}", token.position, suggestion="= ?= += -=")  # fmt: skip
        self._put("ASSIGN", "=", token.position)
        if token.type not in VALUES:
            self._put("STRING", '""', token.position)
        return True

    def _condition(self, token: Token, wanted: set[str]) -> bool:
        self._found.add("syntax", "missing_condition", f"Expected a condition, found {_shown(token)}", token.position,
                        details="A condition is FIELD OPERATOR VALUE, or conditions in parentheses.",
                        suggestion='channel_name contains "…"')  # fmt: skip
        self._put("TRUTH", "true", token.position)
        return token.type not in VALUES | {"ASSIGN", "COMMA"}

    def _action(self, token: Token, wanted: set[str]) -> bool:
        after = self._last.text if self._last is not None and self._last.type != "COMMA" else "comma"
        self._found.add("syntax", "missing_action", f"Expected action after {after}, found {_shown(token)}",
                        token.position, suggestion='FIELD = "…"')  # fmt: skip
        self._put("FIELD", "", token.position)
        if "ASSIGN" in self._parser.accepts() and token.type != "ASSIGN":
            self._put("ASSIGN", "=", token.position)
            if token.type not in VALUES:
                self._put("STRING", '""', token.position)
        return True

    def _surplus(self, token: Token) -> bool:
        """Said once for a run of words that have no place."""
        if self._skipping:
            return False
        self._skipping = True
        if token.type in ("EFFECT", "DELETE") and self._open:
            self._found.add(
                "syntax",
                "mixed_groups",
                "Actions inside parentheses need a condition and actions in every group",
                token.position,
                details="(CONDITION SET …) AND (CONDITION SET …)",
            )
            return False
        what = "Unexpected end of expression" if token.type == END else f"Unexpected {_shown(token)}"
        expected = ", ".join(sorted(_WORDS.get(one, one) for one in self._parser.accepts()))
        self._found.add("syntax", "unexpected_token", what, token.position, details=f"Expected {expected}.")
        return False


_WORDS = {
    "LPAR": "(",
    "RPAR": ")",
    "FIELD": "a field",
    "OP": "an operator",
    "ASSIGN": "an assignment",
    "TRUTH": "true or false",
    "CASE": "case_sensitive",
    "EFFECT": "an action",
    "COMMA": "a comma",
    END: "the end",
    "NUMBER": "a number",
    "STRING": "a text in quotes",
    "CAPTURE": "$1",
    "REFERENCE": "$field",
    "ASKED": "@word",
}


def _shown(token: Token) -> str:
    return "the end" if token.type == END else token.text[:40]
