"""What search and its filters need of a programme, cut out of its bytes unread: pieces that a cache can know again.

A series says the same title, people and categories each time, so a piece is looked up by its bytes and read only when
it is new. Elements in the order of the DTD are cut by one pattern, others by a slower one, and those with comments or
CDATA are read whole.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

from epg_service.xmltv.details import CREDIT_KINDS, details
from epg_service.xmltv.fields import ATTRIBUTES, plain_text


class Pieces(NamedTuple):
    """Bytes of one programme; `words` and `categories` read them. Empty where it says nothing of the kind."""

    titles: bytes
    sub_titles: bytes
    descriptions: bytes
    people: bytes
    tags: tuple[bytes, bool, bool]
    """Its categories, whether it is new, whether it is a premiere."""


_PEOPLE = "|".join(CREDIT_KINDS).encode()
_REST = rb"(?:[^<]++|<(?!(?:title|sub-title|desc|credits|category|premiere|new)[\s/>]|[!?]))*+"


def _run(name: bytes) -> bytes:
    """As many elements of a name as stand one after the other, as one group."""
    return rb"((?:<" + name + ATTRIBUTES + rb">[^<]*+</" + name + rb"\s*+>\s*+)*+)"


_IN_ORDER = re.compile(
    rb"<programme" + ATTRIBUTES + rb">\s*+"
    + _run(b"title") + _run(b"sub-title") + _run(b"desc")
    + rb"(?:<credits" + ATTRIBUTES + rb">\s*+" + _run(rb"(?:" + _PEOPLE + rb")") + rb"</credits\s*+>\s*+)?+"
    + rb"(?:<date" + ATTRIBUTES + rb">[^<]*+</date\s*+>\s*+)?+"
    + _run(b"category") + _REST + rb"(<premiere)?+" + _REST + rb"(<new)?+" + _REST
)  # fmt: skip
_ANY_ORDER = re.compile(
    rb"<(title|sub-title|desc|category|new|premiere|" + _PEOPLE + rb")(?=[\s/>])" + ATTRIBUTES + rb"(?:/>|>([^<]*+)<)"
)
_TEXT = re.compile(rb">([^<]*+)</")


def pieces(raw: bytes) -> Pieces:
    """The pieces of one `<programme>`; raises ValueError when the bytes are not one well-formed element."""
    if found := _IN_ORDER.fullmatch(raw):
        title, sub, desc, people, categories, premiere, new = found.groups()
        return Pieces(title, sub, desc, people or b"", (categories, new is not None, premiere is not None))
    return _cut(raw)


def words(piece: bytes) -> str:
    """The texts of a piece, a line each; raises nothing: a reference that cannot be read stands as it is."""
    texts = (_readable(text) for text in _TEXT.findall(piece))
    return "\n".join(dict.fromkeys(filter(None, texts)))


def categories(piece: bytes) -> tuple[str, ...]:
    """The categories of a piece, each once."""
    return tuple(words(piece).split("\n")) if piece else ()


def _readable(text: bytes) -> str:
    try:
        return plain_text(text)
    except (ValueError, OverflowError):
        return text.decode("utf-8", "replace")


def _cut(raw: bytes) -> Pieces:
    if b"<!" in raw or b"<?" in raw:
        return _read(raw)
    found: dict[bytes, list[bytes]] = {}
    for name, text in _ANY_ORDER.findall(raw):
        kind = name if name in _OWN_KINDS else b"people"
        found.setdefault(kind, []).append(b">" + text + b"</")
    joined = {kind: b"".join(texts) for kind, texts in found.items()}
    return Pieces(
        joined.get(b"title", b""),
        joined.get(b"sub-title", b""),
        joined.get(b"desc", b""),
        joined.get(b"people", b""),
        (joined.get(b"category", b""), b"new" in found, b"premiere" in found),
    )


_OWN_KINDS = frozenset((b"title", b"sub-title", b"desc", b"category", b"new", b"premiere"))


def _read(raw: bytes) -> Pieces:
    told = details(raw)
    return Pieces(
        _again(one.value for one in told.titles),
        _again(one.value for one in told.sub_titles),
        _again(one.value for one in told.descs),
        _again(one.name for one in told.credits),
        (_again(one.value for one in told.categories), told.new, told.premiere is not None),
    )


def _again(texts: Iterator[str]) -> bytes:
    return "".join(f">{escape(text)}</" for text in texts).encode()
