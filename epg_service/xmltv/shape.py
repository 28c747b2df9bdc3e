"""What clients want of a programme, done to its written form: the bytes of an element in the form of the DTD.

Such an element is cut into its children, each of them bytes; the rules take some out, put others in, and what is left
is joined in the order of the DTD. Nothing here reads an element that is not in that form.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from epg_service.domain.episodes import as_ns, as_onscreen, read_ns, read_onscreen
from epg_service.domain.profiles import Profile
from epg_service.xmltv.fields import ATTRIBUTES, plain_text
from epg_service.xmltv.times import text_utc

_CHILD = re.compile(rb"\s*+<([a-z][a-z-]*+)(" + ATTRIBUTES + rb")(?:/>|>((?:[^<]++|<(?!/\1\s*+>))*+)</\1\s*+>)")
_NUMBER = re.compile(rb"""<episode-num(?:\s++system=(?:"([^"]*+)"|'([^']*+)'))?+\s*+>([^<]*+)</episode-num\s*+>""")
_PLAIN_NUMBER = re.compile(rb'<episode-num system="onscreen">S\d\d++E\d\d++</episode-num>')
_URLS = re.compile(rb"<url" + ATTRIBUTES + rb">[^<]*+</url\s*+>")
_LANG = re.compile(rb"""\slang\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""")
_SRC = re.compile(rb"""\ssrc\s*+=\s*+(?:"([^"]*+)"|'([^']*+)')""")
_POSTER = re.compile(rb"""\stype\s*+=\s*+["']poster["']""")

ORDER = (
    b"title", b"sub-title", b"desc", b"credits", b"date", b"category", b"keyword", b"language", b"orig-language",
    b"length", b"icon", b"url", b"country", b"episode-num", b"video", b"audio", b"previously-shown", b"premiere",
    b"last-chance", b"new", b"subtitles", b"rating", b"star-rating", b"review", b"image",
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(ORDER)}
_SPOKEN = (b"title", b"sub-title", b"desc", b"category", b"keyword", b"country", b"premiere", b"last-chance")
_FILMS = frozenset(("movie", "movies", "film", "feature film", "spielfilm", "fernsehfilm", "película", "cinéma"))
_KINDS = frozenset((b"Series", b"Movie", b"Sports", b"News", b"Kids"))


class Child(NamedTuple):
    """A child of a programme: its name, its attributes as they stand, its content, all of it."""

    name: bytes
    attributes: bytes
    content: bytes
    whole: bytes


@dataclass(frozen=True, slots=True)
class Airing:
    """What the rules must know that the element does not say."""

    start_s: int
    marks_new: bool
    """Whether its channel's guide says of some programmes that they are new."""


# ---- episode numbers -------------------------------------------------------------------------------------------------


def with_both_numbers(element: bytes) -> bytes:
    """The element with its episode number in `onscreen` and `xmltv_ns`, one made from the other where one is missing.

    The one that is added stands behind those that are there. Nothing is added for specials and texts without numbers.
    """
    found = list(_NUMBER.finditer(element)) if b"<episode-num" in element else []
    if not found:
        return element
    numbers = [(one[1] or one[2] or b"onscreen", plain_text(one[3])) for one in found]
    made = _made(numbers)
    if not made:
        return element
    end = found[-1].end()
    return b"%b\n    %b%b" % (element[:end], made, element[end:])


def _made(numbers: Sequence[tuple[bytes, str]]) -> bytes:
    systems = {system for system, _ in numbers}
    if b"xmltv_ns" not in systems:
        for system, text in numbers:
            read = read_onscreen(text) if system == b"onscreen" else None
            if read and (ns := as_ns(*read)):
                return _number(b"xmltv_ns", ns)
    elif b"onscreen" not in systems:
        for system, text in numbers:
            read = read_ns(text) if system == b"xmltv_ns" else None
            if read:
                return _number(b"onscreen", as_onscreen(*read))
    return b""


def _number(system: bytes, text: str) -> bytes:
    return b'<episode-num system="%b">%b</episode-num>' % (system, text.encode())


# ---- all rules of a profile ------------------------------------------------------------------------------------------


def shaped(element: bytes, rules: Profile, airing: Airing) -> bytes:
    """The element as a client wants it."""
    if _as_wanted(element, rules):
        return element
    opening, said, ending = cut(element)
    children = [one for one in said if one.name.decode() not in rules.left_out]
    if not rules.urls:
        children = [_without_urls(one) for one in children if one.name != b"url"]
    if rules.plain_numbers:
        children = _plain_numbers(children)
    if rules.poster_icon:
        children = _with_icon(children, [one for one in said if one.name == b"image"])
    if rules.kinds:
        children += _kind(children)
    if rules.repeats_told and _is_repeat(children, airing):
        children.append(_child(b"previously-shown", b"<previously-shown/>"))
    if rules.new_by_date and _has(children, b"new") and not _has(children, b"date"):
        day = text_utc(airing.start_s)[:8].encode()
        children.append(_child(b"date", b"<date>%b</date>" % day, day))
    return joined(opening, children, ending)


def _as_wanted(element: bytes, rules: Profile) -> bool:
    """Whether no rule has anything to do, told by searches of bytes; False where that does not tell."""
    if rules.repeats_told or rules.kinds or any(mark in element for mark in _marks(rules)):
        return False
    if not rules.plain_numbers or b"<episode-num" not in element:
        return True
    return element.count(b"onscreen") == 1 and _PLAIN_NUMBER.search(element) is not None


@lru_cache
def _marks(rules: Profile) -> tuple[bytes, ...]:
    """What an element holds that a rule looks at."""
    names = {*rules.left_out, *(() if rules.urls else ("url",)), *(("image",) if rules.poster_icon else ())}
    return tuple(f"<{name}".encode() for name in sorted(names | ({"new"} if rules.new_by_date else set())))


def in_languages(element: bytes, languages: Sequence[str]) -> bytes:
    """The element with each of its texts in the first of the languages that it has it in, where it has one of them."""
    opening, children, ending = cut(element)
    kept: list[Child] = []
    for name in dict.fromkeys(one.name for one in children):
        same = [one for one in children if one.name == name]
        kept += _spoken(same, languages) if name in _SPOKEN else same
    return joined(opening, kept, ending)


def cut(element: bytes) -> tuple[bytes, list[Child], bytes]:
    """Start tag, children and end tag."""
    begin, end = element.index(b">") + 1, element.rindex(b"</programme")
    children = [Child(one[1], one[2], one[3] or b"", one[0].lstrip()) for one in _CHILD.finditer(element, begin, end)]
    return element[:begin], children, element[end:]


def joined(opening: bytes, children: list[Child], ending: bytes) -> bytes:
    """An element of children in any order; of one name, the order stays."""
    ranked = sorted(children, key=lambda one: _RANK.get(one.name, len(ORDER)))
    return b"\n    ".join((opening, *(one.whole for one in ranked))) + b"\n  " + ending


def _child(name: bytes, whole: bytes, content: bytes = b"") -> Child:
    return Child(name, b"", content, whole)


def _has(children: Sequence[Child], *names: bytes) -> bool:
    return any(one.name in names for one in children)


def _without_urls(child: Child) -> Child:
    if child.name != b"credits" or b"<url" not in child.whole:
        return child
    return child._replace(whole=_URLS.sub(b"", child.whole), content=_URLS.sub(b"", child.content))


def _plain_numbers(children: list[Child]) -> list[Child]:
    """One on-screen number, as SxxExx, where any number can be read; texts of that system without one are left out."""
    numbers = [(one, _NUMBER.fullmatch(one.whole)) for one in children if one.name == b"episode-num"]
    read = None
    onscreen: list[Child] = []
    for child, match in numbers:
        if match is None:
            continue
        system, text = match[1] or match[2] or b"onscreen", plain_text(match[3])
        if system == b"onscreen":
            onscreen.append(child)
            read = read_onscreen(text) or read
        elif system == b"xmltv_ns":
            read = read or read_ns(text)
    if read is None:
        return children
    whole = _number(b"onscreen", as_onscreen(*read))
    return [*(one for one in children if one not in onscreen), _child(b"episode-num", whole)]


def _with_icon(children: list[Child], images: Sequence[Child]) -> list[Child]:
    """The poster as the first icon; where there is neither poster nor icon, another picture."""
    picture = next((one for one in images if _POSTER.search(one.attributes)), None)
    if picture is None and not _has(children, b"icon"):
        picture = next(iter(images), None)
    if picture is None:
        return children
    source = picture.content.strip().replace(b'"', b"&quot;")
    icon = _child(b"icon", b'<icon src="%b"/>' % source)
    return [icon, *(one for one in children if one.name != b"icon" or source not in _sources(one))]


def _sources(icon: Child) -> tuple[bytes, ...]:
    match = _SRC.search(icon.attributes)
    return (match[1] or match[2] or b"",) if match else ()


def _kind(children: Sequence[Child]) -> list[Child]:
    """`Series` for what has an episode number, `Movie` for what a film's category says, unless such a word is there."""
    said = [plain_text(one.content) for one in children if one.name == b"category"]
    if _KINDS & {one.encode() for one in said}:
        return []
    film = not _FILMS.isdisjoint(one.casefold() for one in said)
    word = b"Movie" if film else b"Series" if _has(children, b"episode-num") else None
    return [_child(b"category", b'<category lang="en">%b</category>' % word, word)] if word else []


def _is_repeat(children: Sequence[Child], airing: Airing) -> bool:
    """Whether a programme that does not say so itself was shown before: its full date lies before its day; or it has
    no date at all and is not called new in a guide that calls others new."""
    if _has(children, b"previously-shown", b"new", b"premiere"):
        return False
    date = next((one.content.strip() for one in children if one.name == b"date"), b"")
    if len(date) >= len(b"20261121") and date[:8].isdigit():
        return date[:8] < text_utc(airing.start_s)[:8].encode()
    return not date and airing.marks_new


def _spoken(children: list[Child], languages: Sequence[str]) -> list[Child]:
    tongues = [_language(one) for one in children]
    for wanted in languages:
        kept = [
            one
            for one, tongue in zip(children, tongues, strict=True)
            if tongue == wanted or tongue.startswith(wanted + "-")
        ]
        if kept:
            return kept
    return children


def _language(child: Child) -> str:
    match = _LANG.search(child.attributes)
    return (match[1] or match[2] or b"").decode().casefold().replace("_", "-") if match else ""
