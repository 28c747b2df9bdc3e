"""Quoted strings: what they say, and how a text is written as one.

`\\"`, `\\'`, `\\\\`, `\\n` and `\\t` are escapes; any other backslash stays as written, so that "\\d+" is a pattern as
people type it. In actions `$1` and `$field` (or `${1}`, `${field}`) stand for a capture and a field; `\\$` is a dollar.
"""

import re
from collections.abc import Callable

from tvkit.expressions.nodes import Capture, FieldValue, Text

_ESCAPES = {'"': '"', "'": "'", "\\": "\\", "n": "\n", "t": "\t"}
_PIECE = re.compile(r"""\\(["'\\nt])""")
_TEMPLATE_PIECE = re.compile(
    r"""\\(?P<escape>["'\\nt$])|\$(?:(?P<number>[0-9]{1,3})|\{(?P<braced>[0-9]{1,3})\}|(?P<word>[^\W\d]\w*)|\{(?P<name>[^\W\d]\w*)\})"""
)
_MUST_DOUBLE = re.compile(r"""\\(?=["'\\nt]|$)""")
_MUST_DOUBLE_IN_TEMPLATE = re.compile(r"""\\(?=["'\\nt$]|$)""")
_DOLLAR = re.compile(r"\$(?=[0-9{]|[^\W\d])")


def literal(quoted: str) -> Text:
    """A quoted string of a condition: `$` means nothing in it."""
    text = _PIECE.sub(lambda found: _ESCAPES[found[1]], quoted[1:-1])
    return Text((text,) if text else ())


def template(quoted: str, name_of: Callable[[str], str | None]) -> Text:
    """A quoted string of an action. `name_of` gives a field's canonical name, None for a word that is no field: such
    a `$word` stays as written.
    """
    inner = quoted[1:-1]
    parts: list[str | Capture | FieldValue] = []
    at = 0
    for found in _TEMPLATE_PIECE.finditer(inner):
        part = _part(found, name_of)
        if part is not None:
            parts += (inner[at : found.start()], part)
            at = found.end()
    return Text(_joined([*parts, inner[at:]]))


def _part(found: re.Match[str], name_of: Callable[[str], str | None]) -> str | Capture | FieldValue | None:
    if escape := found["escape"]:
        return "$" if escape == "$" else _ESCAPES[escape]
    if digits := found["number"] or found["braced"]:
        return Capture(int(digits))
    name = name_of(found["word"] or found["name"])
    return None if name is None else FieldValue(name)


def _joined(parts: list[str | Capture | FieldValue]) -> tuple[str | Capture | FieldValue, ...]:
    """The parts with neighbouring texts made one and empty ones left out."""
    joined: list[str | Capture | FieldValue] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(part for part in joined if part != "")


def quote(text: Text, *, in_action: bool) -> str:
    """The string as it is written, in double quotes, such that it is read back the same."""
    written = []
    for index, part in enumerate(text.parts):
        if isinstance(part, str):
            written.append(_escaped(part, in_action))
        else:
            after = text.parts[index + 1] if index + 1 < len(text.parts) else ""
            word = str(part.number) if isinstance(part, Capture) else part.name
            glued = isinstance(after, str) and bool(re.match(r"\w", after))
            written.append(f"${{{word}}}" if glued else f"${word}")
    return '"' + "".join(written) + '"'


def _escaped(text: str, in_action: bool) -> str:
    text = (_MUST_DOUBLE_IN_TEMPLATE if in_action else _MUST_DOUBLE).sub(r"\\\\", text)
    if in_action:
        text = _DOLLAR.sub(r"\\$", text)
    return text.replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
