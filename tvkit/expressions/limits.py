"""How long, deep and many an expression may be. Looked at before it is read, so that nothing in it can cost."""

from typing import Final

from tvkit.expressions.faults import Findings
from tvkit.expressions.tokens import Token

EXPRESSION_CHARS: Final = 4_096
VALUE_CHARS: Final = 1_024
DEPTH: Final = 32
TERMS: Final = 200
ACTIONS: Final = 50


def short_enough(text: str, found: Findings) -> bool:
    """Whether the whole text is short enough to be looked at."""
    if len(text) <= EXPRESSION_CHARS:
        return True
    found.add(
        "syntax",
        "expression_too_long",
        f"The expression has {len(text):,} characters; {EXPRESSION_CHARS:,} are allowed",
        EXPRESSION_CHARS,
        suggestion="make two rules of it",
    )
    return False


def small_enough(words: list[Token], found: Findings) -> bool:
    """Whether values, depth, conditions and actions are within bounds; each has its own fault."""
    fine = all([_value(word, found) for word in words])
    fine = _deep(words, found) and fine
    fine = _many([word for word in words if word.type == "OP"], TERMS, "too_many_terms", "conditions", found) and fine
    acting = [word for word in words if word.type in ("ASSIGN", "DELETE")]
    return _many(acting, ACTIONS, "too_many_actions", "actions", found) and fine


def _value(word: Token, found: Findings) -> bool:
    length = len(word.text) - (2 if word.type == "STRING" and not word.made else 0)
    if length <= VALUE_CHARS:
        return True
    found.add(
        "value",
        "value_too_long",
        f"The value has {length:,} characters; {VALUE_CHARS:,} are allowed",
        word.position,
        suggestion="shorten it",
    )
    return False


def _deep(words: list[Token], found: Findings) -> bool:
    """Parentheses, and every NOT in front of what they hold, are one level each."""
    depth, nots = 0, 0
    held: list[int] = []
    for word in words:
        if word.type == "NOT":
            nots += 1
        elif word.type == "LPAR":
            held.append(nots + 1)
            depth, nots = depth + nots + 1, 0
        else:
            nots = 0
            if word.type == "RPAR" and held:
                depth -= held.pop()
        if depth + nots > DEPTH:
            found.add("syntax", "too_deep", f"Parentheses and NOTs nest more than {DEPTH} deep", word.position,
                      suggestion="fewer parentheses")  # fmt: skip
            return False
    return True


def _many(words: list[Token], most: int, error_type: str, what: str, found: Findings) -> bool:
    if len(words) <= most:
        return True
    found.add("syntax", error_type, f"The expression has {len(words)} {what}; {most} are allowed", words[most].position,
              suggestion="make two rules of it")  # fmt: skip
    return False
