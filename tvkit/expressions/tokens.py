"""An expression's text as words with a place and a type. Nothing inside quotes is ever touched."""

import re
from dataclasses import dataclass

from tvkit.expressions.faults import Findings

OPERATORS: dict[str, str] = {
    "equals": "equals", "eq": "equals", "==": "equals",
    "contains": "contains",
    "starts_with": "starts_with", "startswith": "starts_with",
    "ends_with": "ends_with", "endswith": "ends_with",
    "matches": "matches", "=~": "matches",
    "greater_than": "greater_than", "gt": "greater_than", ">": "greater_than",
    "less_than": "less_than", "lt": "less_than", "<": "less_than",
    "greater_than_or_equal": "greater_than_or_equal", "gte": "greater_than_or_equal", ">=": "greater_than_or_equal",
    "less_than_or_equal": "less_than_or_equal", "lte": "less_than_or_equal", "<=": "less_than_or_equal",
}  # fmt: skip
"""Every spelling of every operator. `not_` may stand before the words."""
NEGATED = {f"not_{word}": name for word, name in OPERATORS.items() if word.isidentifier()}
NEGATED |= {"neq": "equals", "!=": "equals", "!~": "matches"}
EFFECTS = {"=": "SET", "?=": "SET_IF_EMPTY", "+=": "APPEND", "-=": "REMOVE"}
KEYWORDS = {
    "and": "AND", "&&": "AND", "or": "OR", "||": "OR", "not": "NOT", "!": "NOT", "case_sensitive": "CASE",
    "true": "TRUTH", "false": "TRUTH", "delete": "DELETE", "(": "LPAR", ")": "RPAR", ",": "COMMA",
    **{effect.lower(): "EFFECT" for effect in EFFECTS.values()},
    **dict.fromkeys(EFFECTS, "ASSIGN"),
    **dict.fromkeys((*OPERATORS, *NEGATED), "OP"),
}  # fmt: skip

_STRING = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*\'"""
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+)
    |(?P<STRING>{_STRING})
    |(?P<open>["'].*)
    |(?P<curly>[“”„«][^“”„«»"']*[“”»])
    |(?P<ASKED>@(?:time:(?:now(?:\(\))?|parse\(\s*(?:{_STRING})\s*\)|[0-9]+)(?:\s*[+-]\s*[0-9]+[a-z]*)*
               |\w+(?:\([^()"']*\))?(?::[\w.-]*(?:\(\s*(?:{_STRING})?\s*\))?)?))
    |(?P<CAPTURE>\$(?:[0-9]+|\{{[0-9]+\}}))
    |(?P<REFERENCE>\$(?:[^\W\d]\w*|\{{[^\W\d]\w*\}}))
    |(?P<NUMBER>-?[0-9]+(?:\.[0-9]+)?(?![\w.]))
    |(?P<symbol>&&|\|\||==|!=|=~|!~|>=|<=|\?=|\+=|-=|[=><!(),])
    |(?P<word>[^\W\d]\w*(?:-\w+)*)
    |(?P<junk>[0-9][\w.]*|.)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_INSTEAD = {"&": "AND (or &&)", "|": "OR (or ||)", ";": "a comma", "“": 'straight quotes: "', "=": "== or ="}


@dataclass(frozen=True, slots=True)
class Token:
    """One word: its type in the grammar, its text as written, and where it starts. `made` marks a word that was put in
    for a missing or wrong one, so that the rest can be read.
    """

    type: str
    text: str
    position: int
    made: bool = False

    @property
    def end(self) -> int:
        return self.position + len(self.text)

    @property
    def word(self) -> str:
        """The text as keywords and field names are compared."""
        return self.text.lower().replace("-", "_") if self.type in ("WORD", "FIELD") else self.text.lower()


def words_of(text: str, found: Findings) -> list[Token]:
    """The words of a text; names are of type WORD still. What is no word is found and left out."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind, piece, at = match.lastgroup or "junk", match[0], match.start()
        if kind == "space":
            continue
        if kind in ("word", "symbol"):
            tokens.append(Token(KEYWORDS.get(piece.lower(), "WORD"), piece, at))
        elif kind in ("open", "curly", "junk"):
            tokens.extend(_mended(kind, piece, at, found))
        else:
            tokens.append(Token(kind, piece, at))
    return tokens


def _mended(kind: str, piece: str, at: int, found: Findings) -> list[Token]:
    if kind == "open":
        found.add(
            "syntax",
            "unclosed_quote",
            f"Unmatched quote: the {piece[0]} is never closed",
            at,
            details="A string ends with the quote it began with.",
            suggestion=f"put {piece[0]} behind it",
        )
        return [Token("STRING", piece, at, made=True)]
    if kind == "curly":
        found.add(
            "syntax",
            "unexpected_character",
            f"Unexpected character {piece[0]!r}: strings stand in straight quotes",
            at,
            suggestion=f'"{piece[1:-1]}"',
        )
        return [Token("STRING", piece, at, made=True)]
    if len(piece) > 1:
        found.add(
            "value", "unquoted_value", f"{piece!r} is no number; texts stand in quotes", at, suggestion=f'"{piece}"'
        )
        return [Token("STRING", piece, at, made=True)]
    found.add(
        "syntax", "unexpected_character", f"Unexpected character {piece!r}", at, suggestion=_INSTEAD.get(piece, "")
    )
    meant = {"&": "AND", "|": "OR"}.get(piece)
    return [Token(meant, piece, at, made=True)] if meant else []
