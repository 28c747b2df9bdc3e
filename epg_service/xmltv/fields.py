"""The fields that lists show, read from an element's bytes without a tree; `details` reads all the rest.

Elements whose children stand plainly one after the other (no comments, no CDATA) are read by one pattern, at a fifth
of the cost of `details`; any other goes through `details`, so both always say the same.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from epg_service.xmltv.details import details
from epg_service.xmltv.elements import folded

ATTRIBUTES = rb"""(?:\s++[A-Za-z_:][\w:.-]*+\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'))*+\s*+"""
_OPENING = re.compile(rb"<programme" + ATTRIBUTES + rb">")
_CHILD = re.compile(
    rb"\s*+<([A-Za-z_][\w.-]*+)(" + ATTRIBUTES + rb")(?:/>|>((?:[^<]++|<(?!/\1\s*+>|[!?]))*+)</\1\s*+>)"
)
_ATTRIBUTE = re.compile(rb"""([A-Za-z_:][\w:.-]*+)\s*+=\s*+(?:"([^"]*)"|'([^']*)')""")
_REFERENCE = re.compile(r"&(?:#x([0-9A-Fa-f]++)|#([0-9]++)|(amp|lt|gt|quot|apos));|&")
_PREDEFINED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


class Fields(NamedTuple):
    """What lists show of a programme beside its times and title; see the properties of `details.Programme`."""

    subtitle: str | None
    description: str | None
    category: str | None
    episode_num: str | None
    rating: str | None
    actors: str | None
    directors: str | None
    icon_url: str | None
    categories: tuple[str, ...]
    """Each category once, none of them empty."""
    new: bool
    premiere: bool


class _NotPlain(Exception):
    """The element is not of the form that is read here."""


def fields(raw: bytes) -> Fields:
    """The fields of one `<programme>`; raises ValueError when the bytes are not one well-formed element."""
    try:
        return _plain(raw)
    except _NotPlain:
        return _from_details(raw)


def plain_text(data: bytes) -> str:
    """Bytes between two tags as text: references replaced, blanks folded. Raises ValueError for other references."""
    text = data.decode()
    if "&" in text:
        return folded(_REFERENCE.sub(_referred, text))
    if "\n" in text or "  " in text or "\t" in text or "\r" in text:
        return folded(text)
    return text.strip(" ")


def _referred(match: re.Match[str]) -> str:
    if match[3]:
        return _PREDEFINED[match[3]]
    if match[1] or match[2]:
        return chr(int(match[1], 16) if match[1] else int(match[2]))
    raise ValueError("a reference that XML does not know by itself")


def _children(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, bytes, bytes | None]]:
    """Name, attributes and content of each child; raises `_NotPlain` when something else stands between them."""
    for child in _CHILD.finditer(data, position, end):
        if child.start() != position:
            raise _NotPlain
        position = child.end()
        yield child[1], child[2], child[3]
    if data[position:end].strip(b" \t\r\n"):
        raise _NotPlain


class _Found:
    """The texts of the children that are shown, in the order of the element."""

    __slots__ = ("people", "texts")

    def __init__(self) -> None:
        self.texts: dict[bytes, list[str]] = {}
        self.people: dict[bytes, dict[str, None]] = {}

    def first(self, name: bytes) -> str | None:
        for text in self.texts.get(name, ()):
            if text:
                return text
        return None

    def crew(self, kind: bytes) -> str | None:
        names = self.people.get(kind)
        return ", ".join(names) if names else None


_TEXTS = frozenset((b"sub-title", b"desc", b"category", b"image"))
_SHOWN = _TEXTS | {b"episode-num", b"credits", b"rating", b"icon", b"new", b"premiere"}


def _plain(raw: bytes) -> Fields:
    opening, end = _OPENING.match(raw), raw.rfind(b"</programme")
    if opening is None or end < 0:
        raise _NotPlain
    found = _Found()
    try:
        for name, attributes, content in _children(raw, opening.end(), end):
            if name in _SHOWN:
                _take(found, name, attributes, content or b"")
    except ValueError:
        raise _NotPlain from None
    categories = tuple(dict.fromkeys(filter(None, found.texts.get(b"category", ()))))
    return Fields(
        subtitle=found.first(b"sub-title"),
        description=found.first(b"desc"),
        category=", ".join(categories) or None,
        episode_num=found.first(b"onscreen") or found.first(b"episode-num"),
        rating=found.first(b"rating"),
        actors=found.crew(b"actor"),
        directors=found.crew(b"director"),
        icon_url=found.first(b"icon") or found.first(b"image"),
        categories=categories,
        new=b"new" in found.texts,
        premiere=b"premiere" in found.texts,
    )


def _take(found: _Found, name: bytes, attributes: bytes, content: bytes) -> None:
    texts = found.texts
    if name in _TEXTS:
        texts.setdefault(name, []).append(_own(content))
    elif name == b"episode-num":
        onscreen = not attributes.strip() or _attribute(attributes, b"system", "onscreen") == "onscreen"
        texts.setdefault(b"onscreen" if onscreen else name, []).append(_own(content))
    elif name == b"credits":
        for kind, _, person in _children(content, 0, len(content)):
            if kind in (b"actor", b"director") and (text := _own(person or b"")):
                found.people.setdefault(kind, {})[text] = None
    elif name == b"rating":
        texts.setdefault(name, []).append(_rated(content))
    elif name == b"icon":
        texts.setdefault(name, []).append(_attribute(attributes, b"src", "").strip())
    elif name in (b"new", b"premiere"):
        texts[name] = []


def _own(content: bytes) -> str:
    if b"<" in content:
        raise _NotPlain
    return plain_text(content)


def _rated(content: bytes) -> str:
    if b"<" not in content:
        return plain_text(content)
    values = [text for name, _, text in _children(content, 0, len(content)) if name == b"value"]
    return _own(values[0] or b"") if values else ""


def _attribute(attributes: bytes, name: bytes, default: str) -> str:
    for key, double, single in _ATTRIBUTE.findall(attributes):
        if key == name:
            text = (double or single).decode()
            if not text.isprintable():  # a parser hands out each blank as a space
                text = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ").replace("\r", " ")
            return _REFERENCE.sub(_referred, text) if "&" in text else text
    return default


def _from_details(raw: bytes) -> Fields:
    told = details(raw)
    return Fields(
        subtitle=told.subtitle,
        description=told.description,
        category=told.category,
        episode_num=told.episode_num,
        rating=told.rating,
        actors=told.actors,
        directors=told.directors,
        icon_url=told.icon_url,
        categories=tuple(dict.fromkeys(one.value for one in told.categories if one.value)),
        new=told.new,
        premiere=told.premiere is not None,
    )
