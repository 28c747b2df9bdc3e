"""How the start tags of a file's programmes are written, and patterns that read them in that form and no other."""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile

from epg_service.xmltv.form import BODY

_WANTED = (b"start", b"stop", b"channel")
_BLANK = rb"[ \t\r\n]"
_NAME = rb"[A-Za-z_][\w.-]*+"
_ANY_HEAD = re.compile(
    _BLANK + rb"*+<programme((?:" + _BLANK + rb"++" + _NAME + rb"=(?:\"[^\"<]*+\"|'[^'<]*+'))++)" + _BLANK + rb"*+>"
)
_ATTRIBUTE = re.compile(rb"(" + _NAME + rb")=(?:(\")[^\"]*+\"|(')[^']*+')")
_PLAIN_TITLE = rb"(?:" + _BLANK + rb"*+<title(?:" + _BLANK + rb"++lang=\"[^\"<]*+\")?+>([^<\r]*+)</title>)?+"


class Form:
    """How the start tag of a file's programmes is written: which attributes in which order, in which quotes.

    Groups of both patterns: start, stop and channel as they are ordered, the first title (None: look for it), and the
    episode numbers of an element in form (`xmltv.form`; None: not looked at).
    """

    def __init__(self, attributes: Sequence[tuple[bytes, bytes]]) -> None:
        order = [name for name, _ in attributes if name in _WANTED]
        self.head = re.compile(_tag(attributes, rb"[^\"'<&\t\r\n]*+") + _PLAIN_TITLE + rb"((?!))?+").match
        self.whole = None
        if len(order) == len(attributes):
            self.whole = re.compile(_tag(attributes, rb"[^\"'<>&\t\r\n]*+") + BODY).fullmatch
        self.start = order.index(b"start")
        self.channel = order.index(b"channel")
        self.stop = order.index(b"stop") if b"stop" in order else -1


def _tag(attributes: Sequence[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    """A pattern for the start tag with these attributes in their quotes."""
    parts = []
    for name, quote in attributes:
        value = rb"(" + wanted + rb")" if name in _WANTED else rb"[^" + quote + rb"<]*+"
        parts.append(_BLANK + rb"++" + name.replace(b".", rb"\.") + rb"=" + quote + value + quote)
    return _BLANK + rb"*+<programme" + b"".join(parts) + _BLANK + rb"*+>"


@lru_cache(64)
def _form(attributes: tuple[tuple[bytes, bytes], ...]) -> Form | None:
    names = [name for name, _ in attributes]
    usable = b"start" in names and b"channel" in names and len(set(names)) == len(names)
    return Form(attributes) if usable else None


def form_of(piece: bytes) -> Form | None:
    """The form of the start tag at the head of a piece; None when it is one for the exact reader."""
    head = _ANY_HEAD.match(piece)
    if not head:
        return None
    return _form(tuple((name, double or single) for name, double, single in _ATTRIBUTE.findall(head[1])))


def heads_of(form: Form, pieces: list[bytes], *, whole: bool) -> list[re.Match[bytes]]:
    """The start tags of the first pieces, as long as they are of the form; with `whole` elements in form as a whole."""
    if not whole or form.whole is None:
        return list(takewhile(bool, map(form.head, pieces)))  # type: ignore[arg-type]
    found = list(map(form.whole, pieces))
    if all(found):
        return found  # type: ignore[return-value]
    heads = (one or form.head(piece) for one, piece in zip(found, pieces, strict=True))
    return list(takewhile(bool, heads))  # type: ignore[arg-type]
