"""Which part each word plays: field, operator, value. Wrong words are found here, with what was probably meant, and
replaced by something of the right type, so that one slip does not hide the next.
"""

from tvkit.expressions.faults import Findings
from tvkit.expressions.fields import HEADER, Fields, nearest
from tvkit.expressions.tokens import NEGATED, OPERATORS, Token

VALUES = frozenset(("STRING", "NUMBER", "TRUTH", "CAPTURE", "REFERENCE", "ASKED"))
_MODIFIERS = frozenset(("NOT", "CASE"))
_BEFORE_CONDITION = frozenset(("", "LPAR", "AND", "OR", "NOT"))
_JOINING = ("and", "or", "not", "set", "set_if_empty", "append", "remove", "delete")
_OPERATOR_WORDS = tuple(word for word in (*OPERATORS, *NEGATED) if word.isidentifier())
_DYNAMIC = "@dynamic(request.headers):"
_MEANT = {
    "is": "equals", "in": "equals", "like": "contains", "has": "contains", "includes": "contains",
    "does": "not_contains",
    "starts": "starts_with", "begins": "starts_with", "begins_with": "starts_with", "ends": "ends_with",
    "regex": "matches", "regexp": "matches", "above": "greater_than", "over": "greater_than", "below": "less_than",
    "under": "less_than",
}  # fmt: skip
"""What people mean by words that are no operators."""


class Roles:
    """Goes once over the words of an expression, left to right."""

    def __init__(self, tokens: list[Token], fields: Fields, found: Findings) -> None:
        self._tokens = tokens
        self._fields = fields
        self._found = found
        self._done: list[Token] = []
        self._acting = False  # behind the first action of a rule or group

    def assigned(self) -> list[Token]:
        for index, token in enumerate(self._tokens):
            if token.type == "WORD" and self._belongs_to_typo(token):
                continue
            if token.type == "WORD":
                self._name(index, token)
            elif token.type == "ASKED" and self._in_front(index) and self._next_matters(index):
                self._field(index, Token("FIELD", token.text, token.position))
            elif token.type == "CASE" and not self._after_field():
                self._found.add("syntax", "misplaced_modifier", "case_sensitive stands behind the field name",
                                token.position, suggestion="FIELD case_sensitive contains …")  # fmt: skip
            else:
                self._plain(token)
        return self._done

    # ---- what stands around --------------------------------------------------------------------------------------

    def _last(self) -> str:
        return self._done[-1].type if self._done else ""

    def _type(self, index: int) -> str:
        return self._tokens[index].type if index < len(self._tokens) else ""

    def _after_modifiers(self, index: int) -> int:
        index += 1
        while self._type(index) in _MODIFIERS:
            index += 1
        return index

    def _next_matters(self, index: int) -> bool:
        """Whether an operator follows, modifiers apart."""
        return self._type(self._after_modifiers(index)) == "OP"

    def _in_front(self, index: int) -> bool:
        return index == 0 or self._last() not in ("OP", "ASSIGN")

    def _after_field(self) -> bool:
        """Whether what comes next is the operator of a condition."""
        at = len(self._done) - 1
        while at >= 0 and self._done[at].type in _MODIFIERS:
            at -= 1
        return at >= 0 and self._done[at].type == "FIELD" and not self._acting

    # ---- names ----------------------------------------------------------------------------------------------------

    def _plain(self, token: Token) -> None:
        if token.type in ("EFFECT", "DELETE", "ASSIGN"):
            self._acting = True
        elif token.type in ("RPAR", "LPAR", "AND", "OR"):
            self._acting = False
        self._done.append(token)

    def _name(self, index: int, token: Token) -> None:
        if self._after_field():
            self._operator(token)
        elif self._last() in ("OP", "ASSIGN") and not self._starts_something(index):
            self._found.add("value", "unquoted_value", f"Expected quoted value, found {token.text}", token.position,
                            details="Texts stand in quotes.", suggestion=f'"{token.text}"')  # fmt: skip
            self._done.append(Token("STRING", token.text, token.position, made=True))
        elif self._last() in VALUES | {"RPAR"} and self._type(index + 1) in ("WORD", "LPAR", "NOT"):
            self._joint(index, token)
        else:
            self._field(index, Token("FIELD", token.text, token.position))

    def _starts_something(self, index: int) -> bool:
        """Whether the word at `index` is a field, because an operator or an assignment follows it."""
        return self._type(self._after_modifiers(index)) in ("OP", "ASSIGN")

    def _operator(self, token: Token) -> None:
        close = _MEANT.get(token.word) or nearest(token.word, _OPERATOR_WORDS)
        close = f"not_{OPERATORS[close[4:]]}" if close.startswith("not_") else OPERATORS.get(close, close)
        self._found.add(
            "operator",
            "operator_typo",
            f"Unknown operator: {token.text}",
            token.position,
            details=f"Operators are {', '.join(_shown())}." + (f" Did you mean {close!r}?" if close else ""),
            suggestion=close or ", ".join(_shown()),
        )
        self._done.append(Token("OP", close or "equals", token.position, made=True))

    def _belongs_to_typo(self, token: Token) -> bool:
        """`starts with`: the second word of an operator that was told already."""
        last = self._done[-1] if self._done else None
        return token.word == "with" and last is not None and last.made and last.text in ("starts_with", "ends_with")

    def _joint(self, index: int, token: Token) -> None:
        """A word that no grammar knows between two conditions, or between conditions and actions."""
        if self._next_matters(index) and not self._acting:  # `contains "x" NOT …` cannot be; a field with modifiers
            return self._field(index, Token("FIELD", token.text, token.position))
        assigns = self._type(index + 2) == "ASSIGN"
        close = nearest(token.word, _JOINING) or ("set" if assigns else "and")
        self._found.add("syntax", "invalid_logical_operator", f"Expected AND, OR or an action, found {token.text}",
                        token.position, suggestion=close.upper())  # fmt: skip
        kind = {"and": "AND", "or": "OR", "not": "NOT", "delete": "DELETE"}.get(close, "EFFECT")
        self._plain(Token(kind, close, token.position, made=True))
        return None

    def _field(self, index: int, token: Token) -> None:
        if self._last() in _BEFORE_CONDITION and self._type(index + 1) == "ASSIGN":
            self._no_condition(index, token)
        elif self._last() in VALUES | {"RPAR"} and not self._acting and self._compares(index):
            self._found.add("syntax", "missing_logical_operator", f"Expected AND or OR before {token.text}",
                            token.position, suggestion="AND")  # fmt: skip
            self._done.append(Token("AND", "AND", token.position, made=True))
        elif self._type(index + 1) == "ASSIGN":
            self._acting = True
        self._done.append(self._known(token))

    def _compares(self, index: int) -> bool:
        at = self._after_modifiers(index)
        return self._type(at) == "OP" or (self._type(at) == "WORD" and self._type(at + 1) in VALUES)

    def _no_condition(self, index: int, token: Token) -> None:
        """`FIELD = "x"` where a condition must stand."""
        sign = self._tokens[index + 1]
        if sign.text == "=":
            self._found.add("operator", "assignment_as_condition", "'=' sets a value; '==' compares", sign.position,
                            details="A rule begins with a condition.", suggestion="==")  # fmt: skip
            self._tokens[index + 1] = Token("OP", "==", sign.position, made=True)
            return
        self._found.add("syntax", "missing_condition", "Expected a condition before the first action", token.position,
                        details="`true` is the condition that always holds.", suggestion="true …")  # fmt: skip
        self._done.append(Token("TRUTH", "true", token.position, made=True))
        self._acting = True

    def _known(self, token: Token) -> Token:
        """The field under its canonical name; an unknown one is a fault."""
        if token.text.lower().startswith(_DYNAMIC) and self._fields.headers:
            return Token("FIELD", HEADER + token.text[len(_DYNAMIC) :].lower(), token.position)
        field = self._fields.find(token.word)
        if field is None:
            unknown_field(token.text, token.position, self._fields, self._found)
            return Token("FIELD", token.text, token.position, made=True)
        return Token("FIELD", field.name, token.position)


def unknown_field(word: str, position: int, fields: Fields, found: Findings) -> None:
    close = fields.nearest(word)
    meant = f". Did you mean {close!r}?" if close else ""
    found.add("field", "unknown_field", f"Unknown field {word!r}{meant}", position,
              details=f"Available fields: {', '.join(fields.names)}", suggestion=close)  # fmt: skip


def _shown() -> list[str]:
    return list(dict.fromkeys(OPERATORS.values()))
