"""What search and its filters need of a programme, cut out of its bytes unread: pieces that a cache can know again.

A series says the same title, people and categories each time, so a piece is looked up by its bytes and read only when
it is new. Elements in the order of the DTD are cut by one pattern, others by a slower one, and those with comments or
CDATA are read whole.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias, cast
from xml.sax.saxutils import escape

from epg_service.xmltv.details import CREDIT_KINDS, details
from epg_service.xmltv.elements import folded
from epg_service.xmltv.fields import ATTRIBUTES, plain_text

Pieces: TypeAlias = tuple[bytes, bytes, bytes, bytes | None, bytes, bytes | None, bytes | None]
"""Bytes of one programme that `words` reads: titles, sub-titles, descriptions, people, categories; empty or None where
it says nothing of the kind. Then anything where it is a premiere, anything where it is new."""


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
_LANG = rb"""(?:\s++lang=(?:"[^"<]*+"|'[^'<]*+'))?+"""
_TITLES = re.compile(
    rb"<programme[^>]*+>\s*+((?:<title" + _LANG + rb">[^<]*+</title>\s*+)++)"
    rb"((?:<sub-title" + _LANG + rb">[^<]*+</sub-title>\s*+)*+)"
)
_ANY_ORDER = re.compile(
    rb"<(title|sub-title|desc|category|new|premiere|" + _PEOPLE + rb")(?=[\s/>])" + ATTRIBUTES + rb"(?:/>|>([^<]*+)<)"
)
_TEXT = re.compile(rb"<[A-Za-z_][\w.-]*+" + ATTRIBUTES + rb">([^<]*+)</")
_REFERENCE = re.compile(r"&[#A-Za-z0-9]++;")


def pieces(raw: bytes) -> Pieces:
    """The pieces of one `<programme>`; raises ValueError when the bytes are not one well-formed element."""
    found = _IN_ORDER.fullmatch(raw)
    return cast(Pieces, found.groups()) if found else _cut(raw)


def pieces_in_form(raw: bytes) -> Pieces:
    """The same of an element in the DTD's own form (`xmltv.form`), but for its descriptions: found by its tags."""
    head = _TITLES.match(raw)
    if head is None:
        return pieces(raw)
    at, people, named = head.end(), None, b""
    begin = raw.find(b"<credits>", at)
    if begin >= 0:
        at = raw.index(b"</credits>", begin)
        people = raw[begin + 9 : at].lstrip()
        if b"<image" in people or b"<url" in people:
            return pieces(raw)
    begin = raw.find(b"<category", at)
    if begin >= 0:
        at = raw.rindex(b"</category>") + 11
        named = raw[begin:at]
    premiere = b"<premiere" if raw.find(b"<premiere", at) >= 0 else None
    return head[1], head[2], b"", people, named, premiere, b"<new" if raw.find(b"<new", at) >= 0 else None


def words(piece: bytes) -> str:
    """The texts of a piece, a line each, blanks as they stand; a reference that cannot be read stays as it is."""
    text = b"\n".join(_TEXT.findall(piece)).decode("utf-8", "replace")
    return _REFERENCE.sub(_readable, text) if "&" in text else text


def categories(piece: bytes) -> tuple[str, ...]:
    """The categories of a piece, each once, blanks folded."""
    return tuple(dict.fromkeys(filter(None, map(_category, _TEXT.findall(piece)))))


@lru_cache(4096)
def _category(text: bytes) -> str:
    """One category as it is read; the same few are told again and again."""
    return folded(words(b"<t>%b</t>" % text))


def _readable(reference: re.Match[str]) -> str:
    try:
        return plain_text(reference[0].encode()) or " "
    except (ValueError, OverflowError):
        return reference[0]


def _cut(raw: bytes) -> Pieces:
    if b"<!" in raw or b"<?" in raw:
        return _read(raw)
    found: dict[bytes, list[bytes]] = {}
    for name, text in _ANY_ORDER.findall(raw):
        kind = name if name in _OWN_KINDS else b"people"
        found.setdefault(kind, []).append(b"<t>" + text + b"</t>")
    joined = {kind: b"".join(texts) for kind, texts in found.items()}
    return (
        joined.get(b"title", b""),
        joined.get(b"sub-title", b""),
        joined.get(b"desc", b""),
        joined.get(b"people"),
        joined.get(b"category", b""),
        joined.get(b"premiere"),
        joined.get(b"new"),
    )


_OWN_KINDS = frozenset((b"title", b"sub-title", b"desc", b"category", b"new", b"premiere"))


def _read(raw: bytes) -> Pieces:
    told = details(raw)
    return (
        _again(one.value for one in told.titles),
        _again(one.value for one in told.sub_titles),
        _again(one.value for one in told.descs),
        _again(one.name for one in told.credits),
        _again(one.value for one in told.categories),
        None if told.premiere is None else b"premiere",
        b"new" if told.new else None,
    )


def _again(texts: Iterator[str]) -> bytes:
    return "".join(f"<t>{escape(text)}</t>" for text in texts).encode()
