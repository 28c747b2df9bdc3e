"""What rules may ask of a programme and change in it: fields read from, and written into, an element's bytes.

Elements are in the form of the DTD (`xmltv.form`), so searches find no tags inside texts. A field that is written
keeps what else its element says (language, system); an empty one takes the element away.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping

from epg_service.domain.episodes import as_ns, as_onscreen, read_ns, read_onscreen
from epg_service.domain.rules import ProgrammeRules
from epg_service.xmltv import escape
from epg_service.xmltv.fields import ATTRIBUTES, plain_text
from epg_service.xmltv.shape import Child, cut, joined

CATEGORY_JOINT = ", "
NO_TITLE = "No title"
_NUMBER = re.compile(rb"""<episode-num(?:\s++system=(?:"([^"]*+)"|'([^']*+)'))?+\s*+>([^<]*+)</""")
_SRC = re.compile(rb"""\ssrc\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""")
_VALUE = re.compile(rb"<value\s*+>([^<]*+)</value\s*+>")
_VIDEO_PART = re.compile(rb"<(present|colour|aspect|quality)\s*+>([^<]*+)</")
_VIDEO_ORDER = (b"present", b"colour", b"aspect", b"quality")
_OUR_NUMBERS = (b"xmltv_ns", b"onscreen")
_DIGITS = re.compile(r"\s*([0-9]{1,5})\s*", re.ASCII)


def _first(name: str) -> Callable[[bytes], str]:
    """A reader of the first element of that name that says something."""
    pattern = re.compile(b"<" + name.encode() + ATTRIBUTES + rb">([^<]*+)<")

    def read(element: bytes) -> str:
        for found in pattern.finditer(element):
            if text := plain_text(found[1]):
                return text
        return ""

    return read


_CATEGORY = re.compile(b"<category" + ATTRIBUTES + rb">([^<]*+)<")


def _categories(element: bytes) -> str:
    said = (plain_text(found[1]) for found in _CATEGORY.finditer(element))
    return CATEGORY_JOINT.join(dict.fromkeys(text for text in said if text))


def _numbers(element: bytes) -> tuple[int | None, int | None]:
    """Season and episode as people count, None where not said."""
    texts = [(found[1] or found[2] or b"onscreen", plain_text(found[3])) for found in _NUMBER.finditer(element)]
    for system, read in ((b"onscreen", read_onscreen), (b"xmltv_ns", read_ns)):
        for one, text in texts:
            if one == system and (numbers := read(text)) is not None:
                return numbers
    return None, None


def _shown(number: int | None) -> str:
    return "" if number is None else str(number)


def _child(element: bytes, name: bytes) -> Child | None:
    """The first child of that name; inner elements (a rating's icon) are none."""
    return next((one for one in cut(element)[1] if one.name == name), None) if b"<" + name in element else None


def _icon(element: bytes) -> str:
    icon = _child(element, b"icon")
    found = _SRC.search(icon.attributes) if icon is not None else None
    return plain_text(found[1] or found[2] or b"") if found else ""


def _language(element: bytes) -> str:
    found = _child(element, b"language")
    return "" if found is None else plain_text(found.content)


READERS: dict[str, Callable[[bytes], str]] = {
    "programme_title": _first("title"),
    "programme_subtitle": _first("sub-title"),
    "programme_description": _first("desc"),
    "programme_category": _categories,
    "programme_icon": _icon,
    "language": _language,
    "rating": lambda element: plain_text(found[1]) if (found := _VALUE.search(_rating(element))) else "",
    "aspect_ratio": _first("aspect"),
    "season_num": lambda element: _shown(_numbers(element)[0]),
    "episode_num": lambda element: _shown(_numbers(element)[1]),
}
"""A reader for each field that rules may change."""

_RATING = re.compile(b"<rating" + ATTRIBUTES + rb">.*?</rating", re.DOTALL)


def _rating(element: bytes) -> bytes:
    found = _RATING.search(element)
    return found[0] if found else b""


def read(element: bytes, names: Container[str]) -> dict[str, str]:
    """Those of the fields that are named."""
    return {name: reader(element) for name, reader in READERS.items() if name in names}


def judged(
    ruled: ProgrammeRules, element: bytes, start_s: int, stop_s: int, of_channel: Mapping[str, str]
) -> tuple[tuple[str, str], ...] | None:
    """What a lineup's rules write into a programme; None when its filters leave it out."""
    record = {**read(element, ruled.needs), **of_channel}
    record["programme_start"], record["programme_stop"] = str(start_s), str(stop_s)
    return ruled.judged(record)


def of_channel(channel_id: str, name: str, group: str) -> dict[str, str]:
    """The fields of a programme that its channel in the lineup says."""
    return {"channel_id": channel_id, "channel_name": name, "channel_group_title": group}


# ---- writing ---------------------------------------------------------------------------------------------------------


def edited(element: bytes, texts: Mapping[str, str]) -> bytes:
    """The element with these fields written; what is no field of an element is left out."""
    opening, children, ending = cut(element)
    for name, text in texts.items():
        if name in _WRITERS:
            children = _WRITERS[name](children, text)
    if "season_num" in texts or "episode_num" in texts:
        children = _numbered(children, _number(texts, "season_num", element), _number(texts, "episode_num", element))
    return joined(opening, children, ending)


def _number(texts: Mapping[str, str], name: str, element: bytes) -> int | None:
    """The number that is to stand there; one that cannot be read changes nothing."""
    text = texts.get(name)
    if text is not None and not text.strip():
        return None
    found = _DIGITS.fullmatch(text) if text is not None else None
    if found is not None:
        return int(found[1])
    season, episode = _numbers(element)
    return season if name == "season_num" else episode


def _numbered(children: Iterable[Child], season: int | None, episode: int | None) -> list[Child]:
    """The children with these numbers in both systems, in place of those that were there."""
    kept = [one for one in children if not _is_our_number(one)]
    said: list[tuple[str, str | None]] = []
    if episode is not None:
        said = [("onscreen", as_onscreen(season, episode)), ("xmltv_ns", as_ns(season, episode))]
    elif season:
        said = [("xmltv_ns", f"{season - 1}..")]
    return kept + [_element(b"episode-num", b' system="%b"' % system.encode(), text) for system, text in said if text]


def _is_our_number(child: Child) -> bool:
    found = _NUMBER.match(child.whole) if child.name == b"episode-num" else None
    return found is not None and (found[1] or found[2] or b"onscreen") in _OUR_NUMBERS


def _element(name: bytes, attributes: bytes, text: str) -> Child:
    content = escape.text(text).encode()
    return Child(name, attributes, content, b"<%b%b>%b</%b>" % (name, attributes.rstrip(), content, name))


def _texted(name: bytes, fallback: str = "") -> Callable[[list[Child], str], list[Child]]:
    """A writer of the first element of that name that says something; an empty text takes all of them away."""

    def write(children: list[Child], text: str) -> list[Child]:
        text = text if escape.text(text) else fallback
        if not escape.text(text):
            return [one for one in children if one.name != name]
        at = next((n for n, one in enumerate(children) if one.name == name and plain_text(one.content)), None)
        if at is None:
            return [*(one for one in children if one.name != name), _element(name, b"", text)]
        return [*children[:at], _element(name, children[at].attributes, text), *children[at + 1 :]]

    return write


def _write_categories(children: list[Child], text: str) -> list[Child]:
    """The categories as they are listed; one that stood there already keeps its language."""
    known = {plain_text(one.content): one for one in reversed(children) if one.name == b"category"}
    wanted = dict.fromkeys(part.strip() for part in text.split(CATEGORY_JOINT.strip()))
    written = [known.get(one) or _element(b"category", b"", one) for one in wanted if escape.text(one)]
    return [*(one for one in children if one.name != b"category"), *written]


def _write_icon(children: list[Child], text: str) -> list[Child]:
    """The picture in place of the first one; none where the text is empty."""
    rest = [one for one in children if one.name != b"icon"]
    if not (source := escape.attribute(text)):
        return rest
    icons = [one for one in children if one.name == b"icon"][1:]
    return [*rest, Child(b"icon", b"", b"", b'<icon src="%b"/>' % source.encode()), *icons]


def _write_rating(children: list[Child], text: str) -> list[Child]:
    value = escape.text(text).encode()
    if not value:
        return [one for one in children if one.name != b"rating"]
    at = next((n for n, one in enumerate(children) if one.name == b"rating"), None)
    attributes = b"" if at is None else children[at].attributes.rstrip()
    made = Child(b"rating", attributes, b"", b"<rating%b><value>%b</value></rating>" % (attributes, value))
    return [*children, made] if at is None else [*children[:at], made, *children[at + 1 :]]


def _write_aspect(children: list[Child], text: str) -> list[Child]:
    video = next((one for one in children if one.name == b"video"), None)
    parts = {found[1]: found[2] for found in _VIDEO_PART.finditer(video.content)} if video is not None else {}
    parts[b"aspect"] = escape.text(text).encode()
    inside = b"".join(b"<%b>%b</%b>" % (name, parts[name], name) for name in _VIDEO_ORDER if parts.get(name))
    rest = [one for one in children if one.name != b"video"]
    return [*rest, Child(b"video", b"", inside, b"<video>%b</video>" % inside)] if inside else rest


_WRITERS: dict[str, Callable[[list[Child], str], list[Child]]] = {
    "programme_title": _texted(b"title", NO_TITLE),
    "programme_subtitle": _texted(b"sub-title"),
    "programme_description": _texted(b"desc"),
    "programme_category": _write_categories,
    "programme_icon": _write_icon,
    "language": _texted(b"language"),
    "rating": _write_rating,
    "aspect_ratio": _write_aspect,
}
