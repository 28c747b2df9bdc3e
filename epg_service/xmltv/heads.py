"""How the start tags of a file's programmes are written, and patterns that read them in that form and no other."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeAlias

from epg_service.xmltv.form import BODY, BODY_CUT

_WANTED = (b"start", b"stop", b"channel")
_BLANK = rb"[ \t\r\n]"
_NAME = rb"[A-Za-z_][\w.-]*+"
_ANY_HEAD = re.compile(
    _BLANK + rb"*+<programme((?:" + _BLANK + rb"++" + _NAME + rb"=(?:\"[^\"<]*+\"|'[^'<]*+'))++)" + _BLANK + rb"*+>"
)
_ATTRIBUTE = re.compile(rb"(" + _NAME + rb")=(?:(\")[^\"]*+\"|(')[^']*+')")
_NONE = rb"((?!))?+"
_PLAIN_TITLE = rb"(?:" + _BLANK + rb"*+<title(?:" + _BLANK + rb"++lang=\"[^\"<]*+\")?+>([^<\r]*+)</title>)?+"


_ODD = re.compile(rb"[\"'<>&\t\r\n]")

Piece: TypeAlias = tuple[bytes | None, ...]
"""Groups of one of the patterns of `Form`."""


class OddValue(Exception):
    """An attribute is one for the exact reader."""


class Form:
    """How the start tag of a file's programmes is written: which attributes in which order, in which quotes.

    `whole` matches an element in form (`xmltv.form`) up to its end, `head` only its beginning. Groups of both: the
    element without the blanks before it (as far as it was matched), start, stop and channel as they are ordered, the
    first title (None: look for it), and the episode numbers of an element in form (None: not looked at). With `cut`
    also the pieces of an element in form (`domain.pieces`), in the order of `BODY_CUT`.

    Start, stop and channel are whatever stands in the quotes, which is matched fast; the same few hundred stand there
    again and again, so it costs less to ask once of each whether it is `odd`.
    """

    def __init__(self, attributes: Sequence[tuple[bytes, bytes]], *, cut: bool = False) -> None:
        order = [name for name, _ in attributes if name in _WANTED]
        before, behind = (_NONE, 3 * _NONE) if cut else (b"", _NONE)
        self.head = _pattern(_tag(attributes) + before + _PLAIN_TITLE, behind)
        self.whole = None
        if len(order) == len(attributes):
            self.whole = _pattern(_tag(attributes) + (BODY_CUT if cut else BODY) + rb"</programme>")
        first = 1 + len(order)
        self.values = slice(1, first)
        self.title, self.numbers = (first + 1, first + 3) if cut else (first, first + 1)
        self.pieces = (first, first + 2, first + 4) if cut else ()
        self.start = order.index(b"start")
        self.channel = order.index(b"channel")
        self.stop = order.index(b"stop") if b"stop" in order else -1


def _pattern(element: bytes, more: bytes = b"") -> Callable[..., re.Match[bytes] | None]:
    return re.compile(_BLANK + rb"*+(" + element + rb")" + more).match


def _tag(attributes: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A pattern for the start tag with these attributes in their quotes."""
    parts = []
    for name, quote in attributes:
        value = rb"([^" + quote + rb"]*+)" if name in _WANTED else rb"[^" + quote + rb"<]*+"
        parts.append(_BLANK + rb"++" + name.replace(b".", rb"\.") + rb"=" + quote + value + quote)
    return rb"<programme" + b"".join(parts) + _BLANK + rb"*+>"


@lru_cache(64)
def _form(attributes: tuple[tuple[bytes, bytes], ...], *, cut: bool) -> Form | None:
    names = [name for name, _ in attributes]
    usable = b"start" in names and b"channel" in names and len(set(names)) == len(names)
    return Form(attributes, cut=cut) if usable else None


def form_of(text: bytes, position: int = 0, *, cut: bool = False) -> Form | None:
    """The form of the start tag that begins here; None when it is one for the exact reader."""
    head = _ANY_HEAD.match(text, position)
    if not head:
        return None
    return _form(tuple((name, double or single) for name, double, single in _ATTRIBUTE.findall(head[1])), cut=cut)


def odd(value: bytes) -> bool:
    """Whether an attribute's value holds what is not to be read, or written, as it stands."""
    return _ODD.search(value) is not None
