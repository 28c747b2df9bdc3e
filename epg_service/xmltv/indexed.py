"""What search and its filters need of a programme, cut out of its bytes unread: pieces that a cache can know again.

A series says the same title, people and categories each time, so a piece is looked up by its bytes and read only when
it is new. Elements in form are cut by their tags, others in the order of the DTD by a pattern, the rest by a slower
one, and those with comments or CDATA are read whole.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape
from typing import TypeAlias, cast

from epg_service.domain.tags import NEW, PREMIERE
from epg_service.xmltv.details import CREDIT_KINDS, details
from epg_service.xmltv.elements import folded
from epg_service.xmltv.fields import ATTRIBUTES, plain_text

Said: TypeAlias = tuple[bytes, bytes, int]
"""Of one programme, unread: titles with sub-titles, people with categories; `NEW` and `PREMIERE`."""
_Pieces: TypeAlias = tuple[bytes, bytes, bytes, bytes | None, bytes, bytes | None, bytes | None]
"""Titles, sub-titles, descriptions, people, categories; anything where it is a premiere, anything where it is new."""


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
_TEXT = re.compile(rb"<[A-Za-z_][\w.-]*+" + ATTRIBUTES + rb">([^<]*+)</")
_PERSON = re.compile(rb"<(?:" + _PEOPLE + rb")" + ATTRIBUTES + rb">([^<]*+)<")
_REFERENCE = re.compile(r"&[#A-Za-z0-9]++;")


def said(raw: bytes) -> Said:
    """The pieces of one `<programme>`; raises ValueError when the bytes are not one well-formed element."""
    titles, sub_titles, _, people, categories, premiere, new = _pieces(raw)
    flags = (NEW if new is not None else 0) | (PREMIERE if premiere is not None else 0)
    return titles + sub_titles, b"<credits>%b</credits>%b" % (people or b"", categories), flags


def said_in_form(raw: bytes) -> Said:
    """The same of an element in the DTD's own form (`xmltv.form`), found by its tags."""
    find = raw.find
    begin = find(b">") + 1
    end = find(b"<desc", begin)
    crew = find(b"<credits>", end)
    last = raw.rfind(b"</category>") + 11
    if end < 0 or crew < 0 or last < 11:
        end, crew, last = _ends(raw, end, last)
    flags = 0
    if find(b"<new", last) >= 0:
        flags = NEW
    if find(b"<premiere", last) >= 0:
        flags |= PREMIERE
    return raw[begin:end], raw[crew:last], flags


def _ends(raw: bytes, end: int, last: int) -> tuple[int, int, int]:
    """Where titles end, where people or categories begin, where they end: some of these are missing."""
    if end < 0:
        end = max(raw.rfind(b"</title>") + 8, raw.rfind(b"</sub-title>") + 12)
    crew = raw.find(b"<credits>", end)
    if crew < 0:
        crew = raw.find(b"<category", end)
    if crew < 0:
        return end, end, end
    return end, crew, max(last, raw.find(b"</credits>", crew) + 10)


def description(raw: bytes) -> bytes:
    """The descriptions of one `<programme>`, for `words`; raises ValueError as `said` does."""
    return _pieces(raw)[2]


def texts(piece: bytes) -> bytes:
    """The texts of a piece, a line each, as they stand; for `readable`."""
    return b"\n".join(_TEXT.findall(piece))


def readable(texts: Sequence[bytes]) -> list[str]:
    """Texts with their references read, blanks as they stand; a reference that cannot be read stays as it is."""
    told = _told([b"\0".join(texts)]).split("\0")
    return told if len(told) == len(texts) else [_told([text]).replace("\0", " ") for text in texts]


def words(piece: bytes) -> str:
    """The texts of a piece, a line each."""
    return readable([texts(piece)])[0]


def titles(piece: bytes) -> tuple[bytes, bytes]:
    """The first piece of `Said` taken apart: titles and sub-titles, for `words`."""
    end = piece.find(b"<sub-title")
    return (piece[:end], piece[end:]) if end >= 0 else (piece, b"")


def crew(piece: bytes) -> tuple[bytes, bytes]:
    """The second piece of `Said` taken apart: people, for `people`, and categories, for `categories`."""
    end = max(0, piece.find(b"</credits>"))
    begin = piece.find(b"<category", end)
    return piece[:end], piece[begin:] if begin >= 0 else b""


def names(piece: bytes) -> bytes:
    """The names of people, a line each, as they stand; for `readable`."""
    return b"\n".join(_PERSON.findall(piece))


def categories(piece: bytes) -> tuple[str, ...]:
    """The categories of a piece, each once, blanks folded."""
    return tuple(dict.fromkeys(filter(None, map(_category, _TEXT.findall(piece)))))


@lru_cache(4096)
def _category(text: bytes) -> str:
    """One category as it is read; the same few are told again and again."""
    return folded(_told([text]))


def _told(texts: list[bytes]) -> str:
    text = b"\n".join(texts).decode("utf-8", "replace")
    return _REFERENCE.sub(_readable, text) if "&" in text else text


def _readable(reference: re.Match[str]) -> str:
    try:
        return plain_text(reference[0].encode()) or " "
    except (ValueError, OverflowError):
        return reference[0]


def _pieces(raw: bytes) -> _Pieces:
    found = _IN_ORDER.fullmatch(raw)
    return cast(_Pieces, found.groups()) if found else _cut(raw)


def _cut(raw: bytes) -> _Pieces:
    if b"<!" in raw or b"<?" in raw:
        return _read(raw)
    found: dict[bytes, list[bytes]] = {}
    for name, text in _ANY_ORDER.findall(raw):
        kind = name if name in _OWN_KINDS else b"actor"
        found.setdefault(kind, []).append(b"<%b>%b</%b>" % (kind, text, kind))
    joined = {kind: b"".join(texts) for kind, texts in found.items()}
    return (
        joined.get(b"title", b""),
        joined.get(b"sub-title", b""),
        joined.get(b"desc", b""),
        joined.get(b"actor"),
        joined.get(b"category", b""),
        joined.get(b"premiere"),
        joined.get(b"new"),
    )


_OWN_KINDS = frozenset((b"title", b"sub-title", b"desc", b"category", b"new", b"premiere"))


def _read(raw: bytes) -> _Pieces:
    told = details(raw)
    return (
        _again("title", (one.value for one in told.titles)),
        _again("sub-title", (one.value for one in told.sub_titles)),
        _again("desc", (one.value for one in told.descs)),
        _again("actor", (one.name for one in told.credits)),
        _again("category", (one.value for one in told.categories)),
        None if told.premiere is None else b"premiere",
        b"new" if told.new else None,
    )


def _again(name: str, texts: Iterator[str]) -> bytes:
    return "".join(f"<{name}>{escape(text, quote=False)}</{name}>" for text in texts).encode()
