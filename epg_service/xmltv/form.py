"""The DTD's own form of a programme: patterns that prove it, so that its bytes can be published as they stand.

Children in the order of the DTD, attributes too, no comments, no CDATA, nothing empty that should speak. The patterns
are possessive throughout, so a mismatch costs one pass. Blanks stand behind what they follow: a kind of child that is
not there is told by its first letters.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from operator import itemgetter

from epg_service.domain.days import IN_FORM, NUMBERED
from epg_service.xmltv.details import CREDIT_KINDS

CHILDREN: dict[str, bool] = {
    "title": True,
    "sub-title": True,
    "desc": True,
    "credits": False,
    "date": False,
    "category": True,
    "keyword": True,
    "language": False,
    "orig-language": False,
    "length": False,
    "icon": True,
    "url": True,
    "country": True,
    "episode-num": True,
    "video": False,
    "audio": False,
    "previously-shown": False,
    "premiere": False,
    "last-chance": False,
    "new": False,
    "subtitles": True,
    "rating": True,
    "star-rating": True,
    "review": True,
    "image": True,
}
"""The children of a programme in the order of the DTD, and whether they may stand there more than once."""

_RUNS = (
    ("keyword", "language", "orig-language", "length"),
    ("url", "country"),
    ("video", "audio", "previously-shown", "premiere", "last-chance", "new"),
    ("subtitles", "rating", "star-rating", "review", "image"),
)
"""Neighbours that most programmes have none of: one look at the next letter passes them all."""

_CUT = (("title", "sub-title"), ("credits", "category"), ("premiere", "new"))
"""The first and the last of the children that are taken together."""

_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_TEXT = rb"\s*+[^<\s][^<]*+"
_NAME = rb"[A-Za-z_:][\w:.-]*+"
_QUOTED = rb"""(?:"[^"<]*+"|'[^'<]*+')"""


def _form(name: str, attributes: bytes = b"", content: bytes = _TEXT) -> bytes:
    word = name.encode()
    return rb"<" + word + attributes + rb">" + content + rb"</" + word + rb">"


def _maybe(name: str, choice: bytes | None = None) -> bytes:
    """An attribute that may be there: any value, or one of a choice."""
    value = _QUOTED if choice is None else rb"(?:\"" + choice + rb"\"|'" + choice + rb"')"
    return rb"(?:\s++" + name.encode() + rb"=" + value + rb")?+"


def _any(*forms: bytes) -> bytes:
    return rb"(?:(?:" + b"|".join(forms) + rb")\s*+)*+"


def _once(*forms: bytes) -> bytes:
    return rb"(?:(?:" + b"|".join(forms) + rb")\s*+)?+"


def _if_any(names: Iterable[str], patterns: Iterable[bytes]) -> bytes:
    """What stands there only when the next element begins like one of the names."""
    letters = "".join(sorted({name[0] for name in names})).encode()
    return rb"(?:(?=<[" + letters + rb"])" + b"".join(patterns) + rb")?+"


def _credits() -> bytes:
    image = _any(_image(), _form("url", _maybe("system")))
    person = _TEXT + _if_any(("image", "url"), [image])
    actor = _form("actor", _maybe("role") + _maybe("guest", b"(?:yes|no)"), person)
    kinds = [_any(actor if kind == "actor" else _form(kind, b"", person)) for kind in CREDIT_KINDS]
    return _form("credits", b"", rb"\s*+" + b"".join(kinds[:2]) + _if_any(CREDIT_KINDS[2:], kinds[2:]))


def _image() -> bytes:
    choices = (("type", b"(?:poster|backdrop|still|person|character)"), ("size", b"[123]"), ("orient", b"[PL]"))
    return _form("image", b"".join(_maybe(*choice) for choice in choices) + _maybe("system"))


def _forms() -> dict[str, bytes]:
    """A pattern for each child of a programme, in the order of the DTD."""
    lang, system = _maybe("lang"), _maybe("system")
    part = rb"\s*+[0-9]*+(?:\s*+/\s*+[0-9]++)?+\s*+"
    icon = rb"<icon\s++src=(?!''|\"\")" + _QUOTED + _maybe("width") + _maybe("height") + rb"\s*+/>"
    value = rb"\s*+" + _form("value") + rb"\s*+" + _any(icon)
    kind = _maybe("type", rb"(?:teletext|onscreen|deaf-signed)")
    spoken = rb"\s*+" + _once(_form("language", lang))
    pictures = rb"\s*+" + b"".join(_once(_form(name)) for name in ("present", "colour", "aspect", "quality"))
    sounds = rb"\s*+" + b"".join(_once(_form(name)) for name in ("present", "stereo"))
    ns = rb"""\s++system=(?:"xmltv_ns"|'xmltv_ns')"""
    special = {
        "credits": _credits(),
        "length": _form("length", rb"""\s++units=(?:"(?:seconds|minutes|hours)"|'(?:seconds|minutes|hours)')"""),
        "icon": icon,
        "url": _form("url", system),
        "episode-num": _form("episode-num", ns, part + rb"\." + part + rb"\." + part)
        + rb"|" + _form("episode-num", rb"(?!" + ns + rb")" + system),
        "video": _form("video", b"", pictures),
        "audio": _form("audio", b"", sounds),
        "previously-shown": rb"<previously-shown" + _maybe("start") + _maybe("channel") + rb"\s*+/>",
        "premiere": rb"<premiere\s*+/>|" + _form("premiere", lang),
        "last-chance": rb"<last-chance\s*+/>|" + _form("last-chance", lang),
        "new": rb"<new\s*+/>",
        "date": _form("date"),
        "subtitles": rb"<subtitles" + kind + rb"\s*+/>|" + _form("subtitles", kind, spoken),
        "rating": _form("rating", system, value),
        "star-rating": _form("star-rating", system, value),
        "review": _form("review", rb"""\s++type=(?:"(?:text|url)"|'(?:text|url)')"""
                        + _maybe("source") + _maybe("reviewer") + lang),
        "image": _image(),
    }  # fmt: skip
    return {name: special.get(name) or _form(name, lang) for name in CHILDREN}


def _body(*, cut: bool = False) -> bytes:
    """All children of an element that is valid as it stands. Group 1: the first title; group 2: the episode numbers.

    `cut`: group 1: titles and sub-titles; 2: the first title; 3: people to categories; 4: the episode numbers; 5: what
    may say that it is a premiere or new.
    """
    body = {name: _any(form) if CHILDREN[name] else _once(form) for name, form in _forms().items()}
    body["title"] = _form("title", _maybe("lang"), rb"(" + _TEXT + rb")") + rb"\s*+" + body["title"]
    body["episode-num"] = rb"(" + body["episode-num"] + rb")"
    if cut:
        for first, last in _CUT:
            body[first] = rb"(" + body[first]
            body[last] += rb")"
    for run in _RUNS:
        body[run[0]] = _if_any(run, [body.pop(name) if name != run[0] else body[name] for name in run])
    return rb"\s*+" + b"".join(body.values())


BODY = _body()
"""What may stand between the tags of a programme in form."""
BODY_CUT = _body(cut=True)
"""The same with more groups."""


@cache
def _child() -> re.Pattern[bytes]:
    """One child in valid form, group n for the n-th kind of the DTD; the last group: what is to be left out, elements
    that the DTD does not know and texts that say nothing."""
    forms = _forms()
    attributes = rb"(?:\s++" + _NAME + rb"\s*+=\s*+" + _QUOTED + rb")*+\s*+"
    known = b"|".join(name.encode() for name in forms)
    strange = rb"<(?!(?:" + known + rb")[\s/>])" + _NAME + attributes + rb"(?:/>|>[^<]*+</" + _NAME + rb"\s*+>)"
    texts = rb"<(?:title|sub-title|desc|date|category|keyword|country)" + attributes
    empty = texts + rb"(?:/>|>\s*+</" + _NAME + rb"\s*+>)"
    groups = [rb"(" + form + rb")" for form in forms.values()] + [rb"(" + empty + rb"|" + strange + rb")"]
    return re.compile(rb"\s*+(?:" + b"|".join(groups) + rb")")


@cache
def _ready() -> re.Pattern[bytes]:
    """A whole element in form; compiled when it is first asked for, as commands that read no guide never do."""
    tag = rb"<programme(?:\s++(?:start|stop|channel)=(?:\"[^\"<>]*+\"|'[^'<>]*+'))*+\s*+>"
    return re.compile(tag + BODY + rb"</programme\s*+>")


_OPENING = re.compile(rb"<programme((?:\s++" + _NAME + rb"\s*+=\s*+" + _QUOTED + rb")*+)\s*+>")
_KEPT_ATTRIBUTES = re.compile(rb"\s(?:pdc-start|vps-start|showview|videoplus|clumpidx)\s*+=\s*+" + _QUOTED)
_SINGLE_RANKS = frozenset(rank for rank, repeats in enumerate(CHILDREN.values(), 1) if not repeats)
_CREDITS_RANK = 1 + list(CHILDREN).index("credits")


def flags_of(raws: Sequence[bytes]) -> list[int]:
    """What is noted of each element when it is stored (`domain.days`); a flag that is missing costs time, no more.

    In form: publishing changes nothing of it but its start tag, which ends at the first `>`.
    """
    return flags_in_form(raws, b"".join(raws), [found and found[2] for found in map(_ready().fullmatch, raws)])


def flags_in_form(raws: Sequence[bytes], joined: bytes, numbers: Sequence[bytes | None]) -> list[int]:
    """The flags of elements of which `numbers` says whether they are in form: group 2 of `BODY`, or None."""
    flags = [0 if one is None else IN_FORM | NUMBERED if _numbered(one) else IN_FORM for one in numbers]
    if has_controls(joined):
        return [0 if has_controls(raw) else flag for raw, flag in zip(raws, flags, strict=True)]
    return flags


def _numbered(numbers: bytes) -> bool:
    return not numbers or (b'"xmltv_ns"' in numbers and b'"onscreen"' in numbers)


def copied(opening: bytes, raw: bytes) -> bytes | None:
    """The element behind another start tag (`opening` lacks its `>`); None when it is not in form."""
    found = _ready().fullmatch(raw)
    if found is None or has_controls(raw):
        return None
    return b"%b>%b\n  </programme>\n" % (opening, raw[raw.index(b">") + 1 : raw.rindex(b"<")].rstrip())


def put_in_order(opening: bytes, raw: bytes) -> bytes | None:
    """The element with its valid children put in order; None when it takes more than that."""
    tag = None if has_controls(raw) else _OPENING.match(raw)
    if not tag:
        return None
    position, end = tag.end(), raw.rfind(b"</programme")
    parts: list[tuple[int, bytes]] = []
    for child in _child().finditer(raw, position, end):
        if child.start() != position:
            return None
        position = child.end()
        rank = child.lastindex or 0
        if rank <= len(CHILDREN):
            parts.append((rank, child[rank]))
    if raw[position:end].strip() or not parts:
        return None
    parts.sort(key=itemgetter(0))
    if parts[0][0] != 1:
        return None
    lines = [opening + b"".join(_KEPT_ATTRIBUTES.findall(tag[1])) + b">"]
    before = 0
    for rank, text in parts:
        if rank != before or rank not in _SINGLE_RANKS:
            lines.append(text)
        elif rank == _CREDITS_RANK:
            return None  # two of them are joined, not dropped
        before = rank
    return b"\n    ".join(lines) + b"\n  </programme>\n"


def has_controls(raw: bytes) -> bool:
    """Whether it holds control characters from U+0080 on, which are written nowhere."""
    return b"\xc2" in raw and _C1.search(raw) is not None
