"""XMLTV out: pieces of a file that is valid against the XMLTV DTD, whatever the input said.

A programme whose bytes are in the DTD's own form already (one pattern proves it) is copied behind a new start tag. One
whose children are valid one by one but in another order, or stand beside elements that the DTD does not know, is cut
into them and put in order. Any other is read and written anew.
"""

import re
from collections.abc import Callable, Container, Iterable, Sequence
from operator import itemgetter

from epg_service.domain.days import IN_FORM, NUMBERED
from epg_service.xmltv.details import CREDIT_KINDS
from epg_service.xmltv.elements import Node, folded, tree
from epg_service.xmltv.repair import without_illegal
from epg_service.xmltv.times import text_utc

_CONTROLS = re.compile("[\x7f-\x9f]")
_SUBTITLE_TYPES = frozenset(("teletext", "onscreen", "deaf-signed"))
_LENGTH_UNITS = frozenset(("seconds", "minutes", "hours"))
_IMAGE_CHOICES = {
    "type": frozenset(("poster", "backdrop", "still", "person", "character")),
    "size": frozenset("123"),
    "orient": frozenset("PL"),
}
_PART = r"\s*\d*(?:\s*/\s*\d+)?\s*"
_XMLTV_NS = re.compile(rf"{_PART}\.{_PART}\.{_PART}", re.ASCII)


# ---- the pieces of a file -----------------------------------------------------------------------------------------


def head(generator: str, date_s: int | None = None) -> bytes:
    """The declaration and `<tv>`; `date_s` (epoch seconds) says when the listings were made."""
    date = f' date="{text_utc(date_s)}"' if date_s is not None else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<tv{date} generator-info-name="{_attribute(generator)}">\n'.encode()
    )


def channel(
    channel_id: str,
    names: Sequence[tuple[str | None, str]],
    icon: str | None = None,
    urls: Iterable[str] = (),
) -> bytes:
    """A `<channel>`: names as (lang, name), the id where none is left."""
    lines = [f'  <channel id="{_attribute(channel_id)}">']
    written = [_element("display-name", _attributes(lang=lang), text) for lang, name in names if (text := _text(name))]
    lines += written or [_element("display-name", "", _text(channel_id))]
    if icon and (src := _attribute(icon)):
        lines.append(f'<icon src="{src}"/>')
    lines += [_element("url", "", text) for url in urls if (text := _text(url))]
    return ("\n    ".join(lines) + "\n  </channel>\n").encode()


def full_channel(
    channel_id: str,
    display_name: str,
    icon: str | None,
    elements: Iterable[bytes],
    *,
    urls: bool = True,
    extras: bool = False,
) -> bytes:
    """A `<channel>` with all that its providers' elements say of it, each thing once; `display_name` and `icon` stand
    first where no element has them. `extras`: what the DTD does not know stands behind it."""
    elements = list(elements)
    found: dict[str, dict[str, None]] = {"display-name": {}, "icon": {}, "url": {}}
    said: set[str | None] = {None}
    for element in elements:
        for node in tree(element).nodes():
            if node.name in found and (text := _CHANNEL_CHILDREN[node.name](node)):
                found[node.name][text] = None
                said.add(node.attributes.get("src", "").strip() if node.name == "icon" else node.text())
    names, icons = list(found["display-name"]), list(found["icon"])
    if display_name not in said or not names:
        names.insert(0, _element("display-name", "", _text(display_name) or _text(channel_id)))
    if icon not in said and (src := _attributes(src=icon)):
        icons.insert(0, f"<icon{src}/>")
    lines = [f'  <channel id="{_attribute(channel_id)}">', *names, *icons, *(found["url"] if urls else ())]
    if extras:
        lines += dict.fromkeys(text for element in elements for text in _strangers(tree(element), _CHANNEL_CHILDREN))
    return ("\n    ".join(lines) + "\n  </channel>\n").encode()


def with_extras(written: bytes, raw: bytes) -> bytes:
    """A written programme with what its element holds beside the DTD: attributes in its start tag, elements at its end.

    Prefixes get a namespace of their own: the one that the provider declared stood outside the element.
    """
    root = tree(raw)
    attributes = {name: value for name, value in root.attributes.items() if name not in _OWN_ATTRIBUTES}
    inside = _strangers(root, dict.fromkeys(name for name, _, _ in _CHILDREN))
    tag_end = written.index(b">")
    end = written.rindex(b"\n  </programme>")
    prefixes = _declared(["", *attributes], attributes)
    return b"".join(
        (
            written[:tag_end],
            (prefixes + "".join(f' {name}="{_attribute(value)}"' for name, value in attributes.items())).encode(),
            written[tag_end:end],
            "".join(f"\n    {text}" for text in inside).encode(),
            written[end:],
        )
    )


def programme(raw: bytes, *, start: int, stop: int, channel_id: str, title_fallback: str) -> bytes:
    """One `<programme>` from the bytes of an element, under another channel id, with its times in UTC.

    `stop` 0 leaves the attribute out; `title_fallback` stands where no title says anything. Raises ValueError when the
    bytes are not one well-formed element.
    """
    ends = f' stop="{text_utc(stop)}"' if stop else ""
    opening = f'  <programme start="{text_utc(start)}"{ends} channel="{_attribute(channel_id)}"'
    if not (b"\xc2" in raw and _C1.search(raw)):
        if match := _READY.fullmatch(raw):
            return b"%b>%b\n  </programme>\n" % (opening.encode(), match[1])
        if copied := _sorted(opening.encode(), raw):
            return copied
    return _rewritten(opening, tree(raw), title_fallback).encode()


def in_form(raw: bytes) -> bool:
    """Whether an element's children are in the DTD's own form, so that publishing changes nothing but its start tag,
    which ends at the first `>`."""
    match = _READY.fullmatch(raw)
    return match is not None and raw.index(b">") + 1 == match.start(1) and not (b"\xc2" in raw and _C1.search(raw))


def flags_of(raw: bytes) -> int:
    """What is noted of an element when it is stored (`domain.days`); a flag that is missing costs time, no more."""
    if not in_form(raw):
        return 0
    at = raw.find(b"<episode-num")
    rest = raw[at:] if at >= 0 else b""
    both = not rest or (b'system="xmltv_ns"' in rest and b'system="onscreen"' in rest)
    return IN_FORM | NUMBERED if both else IN_FORM


def start_tags(starts: Iterable[int], stops: Iterable[int], channel_id: str) -> list[bytes]:
    """The start tags of a channel's programmes, times in UTC."""
    rest = f'" channel="{_attribute(channel_id)}">'
    return [
        f'<programme start="{text_utc(start)}" stop="{text_utc(stop)}{rest}'.encode()
        for start, stop in zip(starts, stops, strict=True)
    ]


def under_id(text: bytes, count: int, was: str, channel_id: str) -> bytes | None:
    """`count` elements as they are stored (`start_tags`), with another channel id in their start tags; None when
    another text looks like the end of a start tag, so that each has to be written by itself."""
    end = f' +0000" channel="{_attribute(was)}">'.encode()
    if text.count(end) != count:
        return None
    return text if was == channel_id else text.replace(end, f' +0000" channel="{_attribute(channel_id)}">'.encode())


def placeholder(title: str, *, repeat: bool) -> bytes:
    """An element for a time of which nothing is known. `repeat`: it says that it is nothing new."""
    mark = "<previously-shown/>" if repeat else ""
    return f"<programme><title>{_text(title)}</title>{mark}</programme>".encode()


def tail() -> bytes:
    """The end of the file."""
    return b"</tv>\n"


# ---- text ---------------------------------------------------------------------------------------------------------


def _clean(text: str) -> str:
    text = text if text.isascii() and text.isprintable() else _CONTROLS.sub("", without_illegal(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text(text: str) -> str:
    return folded(_clean(text))


def _attribute(text: str) -> str:
    return folded(_clean(text)).replace('"', "&quot;")


def _attributes(**pairs: str | None) -> str:
    return "".join(f' {name}="{text}"' for name, value in pairs.items() if value and (text := _attribute(value)))


def _kept(node: Node, *names: str) -> str:
    """These attributes of a node, where they say anything."""
    if not node.attributes:
        return ""
    return _attributes(**{name: node.attributes.get(name) for name in names})


def _element(name: str, attributes: str, text: str) -> str:
    return f"<{name}{attributes}>{text}</{name}>"


# ---- the children of a programme: each writer gives "" for what says nothing valid -----------------------------------


def _texted(*attributes: str) -> Callable[[Node], str]:
    def write(node: Node) -> str:
        text = _text(node.whole_text())
        return _element(node.name, _kept(node, *attributes), text) if text else ""

    return write


def _worded(node: Node) -> str:
    """`<premiere>` and `<last-chance>` mean something without a word, too."""
    return _element(node.name, _kept(node, "lang"), _text(node.whole_text()))


def _icon(node: Node) -> str:
    attributes = _kept(node, "src", "width", "height")
    return f"<icon{attributes}/>" if attributes.startswith(" src=") else ""


def _image(node: Node) -> str:
    given = node.attributes
    attributes = {key: value for key, choice in _IMAGE_CHOICES.items() if (value := given.get(key)) in choice}
    text = _text(node.whole_text())
    return _element("image", _attributes(**attributes, system=given.get("system")), text) if text else ""


def _length(node: Node) -> str:
    units, text = node.attributes.get("units"), _text(node.whole_text())
    return _element("length", f' units="{units}"', text) if units in _LENGTH_UNITS and text else ""


def _episode_num(node: Node) -> str:
    text, system = node.text(), node.attributes.get("system")
    if system == "xmltv_ns" and not _XMLTV_NS.fullmatch(text):
        system = None  # not what that system is; people can still read it
    said = _text(text)
    return _element("episode-num", _attributes(system=system), said) if said else ""


def _wrapped(*names: str) -> Callable[[Node], str]:
    """`<video>` and `<audio>`: each of these children once, in this order."""

    def write(node: Node) -> str:
        found: dict[str, str] = {}
        for child in node.nodes():
            if child.name in names and (text := _text(child.whole_text())):
                found.setdefault(child.name, _element(child.name, "", text))
        inside = "".join(found[name] for name in names if name in found)
        return _element(node.name, "", inside) if inside else ""

    return write


def _previously_shown(node: Node) -> str:
    return f"<previously-shown{_kept(node, 'start', 'channel')}/>"


def _new(_: Node) -> str:
    return "<new/>"


_LANGUAGE = _texted("lang")


def _subtitles(node: Node) -> str:
    kind = node.attributes.get("type")
    languages = (_LANGUAGE(child) for child in node.nodes() if child.name == "language")
    inside = next((language for language in languages if language), "")
    return _element("subtitles", f' type="{kind}"' if kind in _SUBTITLE_TYPES else "", inside)


def _rating(node: Node) -> str:
    values = [child.text() for child in node.nodes() if child.name == "value"] or [node.own_text()]
    value = next((text for value in values if (text := _text(value))), "")
    icons = "".join(_icon(child) for child in node.nodes() if child.name == "icon")
    return _element(node.name, _kept(node, "system"), f"<value>{value}</value>{icons}") if value else ""


def _review(node: Node) -> str:
    text, kind = _text(node.whole_text()), node.attributes.get("type")
    if kind not in ("text", "url"):
        kind = "url" if text.startswith(("http://", "https://")) else "text"
    return _element("review", f' type="{kind}"' + _kept(node, "source", "reviewer", "lang"), text) if text else ""


_URL = _texted("system")


def _person(node: Node) -> str:
    attributes = ""
    if node.name == "actor" and node.attributes:
        guest = node.attributes.get("guest")
        attributes = _kept(node, "role") + (f' guest="{guest}"' if guest in ("yes", "no") else "")
    extra, name = "", ""
    for part in node.content:
        if isinstance(part, str):
            name += part
        elif part.name == "image":
            extra += _image(part)
        elif part.name == "url":
            extra += _URL(part)
        else:
            name += part.whole_text()
    text = _text(name) + extra
    return _element(node.name, attributes, text) if text else ""


_CHANNEL_CHILDREN: dict[str, Callable[[Node], str]] = {"display-name": _LANGUAGE, "icon": _icon, "url": _URL}
_RANK_OF_KIND = {kind: rank for rank, kind in enumerate(CREDIT_KINDS)}


def _credits(wrappers: list[Node]) -> str:
    """All credits of a programme in one element, people in the DTD's order."""
    people = [node for wrapper in wrappers for node in wrapper.nodes() if node.name in _RANK_OF_KIND]
    people.sort(key=lambda node: _RANK_OF_KIND[node.name])
    inside = "".join(map(_person, people))
    return _element("credits", "", inside) if inside else ""


# Name, how it is written, whether it may stand more than once: in the order of the DTD.
_CHILDREN: tuple[tuple[str, Callable[[Node], str], bool], ...] = (
    ("title", _texted("lang"), True),
    ("sub-title", _texted("lang"), True),
    ("desc", _texted("lang"), True),
    ("credits", _texted(), False),  # see _credits
    ("date", _texted(), False),
    ("category", _texted("lang"), True),
    ("keyword", _texted("lang"), True),
    ("language", _LANGUAGE, False),
    ("orig-language", _texted("lang"), False),
    ("length", _length, False),
    ("icon", _icon, True),
    ("url", _URL, True),
    ("country", _texted("lang"), True),
    ("episode-num", _episode_num, True),
    ("video", _wrapped("present", "colour", "aspect", "quality"), False),
    ("audio", _wrapped("present", "stereo"), False),
    ("previously-shown", _previously_shown, False),
    ("premiere", _worded, False),
    ("last-chance", _worded, False),
    ("new", _new, False),
    ("subtitles", _subtitles, True),
    ("rating", _rating, True),
    ("star-rating", _rating, True),
    ("review", _review, True),
    ("image", _image, True),
)


def _rewritten(opening: str, root: Node, title_fallback: str) -> str:
    groups: dict[str, list[Node]] = {}
    for node in root.nodes():
        groups.setdefault(node.name, []).append(node)
    lines = [opening + _kept(root, "pdc-start", "vps-start", "showview", "videoplus", "clumpidx") + ">"]
    for name, write, repeats in _CHILDREN:
        nodes = groups.get(name)
        if name == "credits":
            written = [_credits(nodes)] if nodes else []
        else:
            written = [text for node in nodes if (text := write(node))] if nodes else []
        if name == "title" and not written:
            written = [_element("title", "", _text(title_fallback) or "-")]
        lines += written if repeats else written[:1]
    return "\n    ".join(filter(None, lines)) + "\n  </programme>\n"


# ---- what the DTD does not know --------------------------------------------------------------------------------------

_OWN_ATTRIBUTES = frozenset(("start", "stop", "channel", "pdc-start", "vps-start", "showview", "videoplus", "clumpidx"))


def _strangers(root: Node, known: Container[str]) -> list[str]:
    return [_as_it_was(node) for node in root.nodes() if node.name not in known]


def _as_it_was(node: Node) -> str:
    attributes = "".join(f' {name}="{_attribute(value)}"' for name, value in node.attributes.items())
    attributes = _declared([node.name, *node.attributes], node.attributes) + attributes
    inside = "".join(_clean(part) if isinstance(part, str) else _as_it_was(part) for part in node.content)
    return f"<{node.name}{attributes}>{inside}</{node.name}>" if inside.strip() else f"<{node.name}{attributes}/>"


def _declared(names: Iterable[str], given: Container[str]) -> str:
    """A declaration for each prefix of the names that has none among the given attributes."""
    prefixes = dict.fromkeys(name.partition(":")[0] for name in names if ":" in name)
    undeclared = (one for one in prefixes if one not in ("xml", "xmlns", "") and f"xmlns:{one}" not in given)
    return "".join(f' xmlns:{one}="urn:xmltv:{one}"' for one in undeclared)


# ---- the forms that are copied ---------------------------------------------------------------------------------------
# Patterns for children that are valid as they stand: attributes in the order of the DTD, no comments, no CDATA, nothing
# empty that should speak. Possessive throughout, so that a mismatch costs one pass.

_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_TEXT = rb"\s*+[^<\s][^<]*+"
_NAME = rb"[A-Za-z_:][\w:.-]*+"
_QUOTED = rb"""(?:"[^"<]*+"|'[^'<]*+')"""


def _form(name: str, attributes: bytes = b"", content: bytes = _TEXT) -> bytes:
    word = name.encode()
    return rb"<" + word + attributes + rb"\s*+>" + content + rb"</" + word + rb"\s*+>"


def _maybe(name: str, choice: bytes | None = None) -> bytes:
    """An attribute that may be there: any value, or one of a choice."""
    value = _QUOTED if choice is None else rb"(?:\"" + choice + rb"\"|'" + choice + rb"')"
    return rb"(?:\s++" + name.encode() + rb"=" + value + rb")?+"


def _any(*forms: bytes) -> bytes:
    return rb"(?:\s*+(?:" + b"|".join(forms) + rb"))*+"


def _once(*forms: bytes) -> bytes:
    return rb"(?:\s*+(?:" + b"|".join(forms) + rb"))?+"


def _forms() -> dict[str, bytes]:
    """A pattern for each child of a programme, in the order of the DTD."""
    lang, system = _maybe("lang"), _maybe("system")
    part = rb"\s*+[0-9]*+(?:\s*+/\s*+[0-9]++)?+\s*+"
    icon = rb"<icon\s++src=(?!''|\"\")" + _QUOTED + _maybe("width") + _maybe("height") + rb"\s*+/>"
    choices = (("type", b"(?:poster|backdrop|still|person|character)"), ("size", b"[123]"), ("orient", b"[PL]"))
    image = _form("image", b"".join(_maybe(*choice) for choice in choices) + system)
    url = _form("url", system)
    person = _TEXT + _any(image, url) + rb"\s*+"
    actor = _form("actor", _maybe("role") + _maybe("guest", b"(?:yes|no)"), person)
    people = [_any(actor if kind == "actor" else _form(kind, b"", person)) for kind in CREDIT_KINDS]
    value = rb"\s*+" + _form("value") + _any(icon) + rb"\s*+"
    kind = _maybe("type", rb"(?:teletext|onscreen|deaf-signed)")
    spoken = _once(_form("language", lang)) + rb"\s*+"
    pictures = b"".join(_once(_form(name)) for name in ("present", "colour", "aspect", "quality")) + rb"\s*+"
    sounds = b"".join(_once(_form(name)) for name in ("present", "stereo")) + rb"\s*+"
    ns = rb"""\s++system=(?:"xmltv_ns"|'xmltv_ns')"""
    special = {
        "credits": _form("credits", b"", b"".join(people) + rb"\s*+"),
        "length": _form("length", rb"""\s++units=(?:"(?:seconds|minutes|hours)"|'(?:seconds|minutes|hours)')"""),
        "icon": icon,
        "url": url,
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
        "image": image,
    }  # fmt: skip
    return {name: special.get(name) or _form(name, lang) for name, _, _ in _CHILDREN}


def _ready() -> re.Pattern[bytes]:
    """Elements that are valid as they stand: the children follow the DTD's order. Group 1: all of them."""
    body = [rb"\s*+" + _form("title", _maybe("lang"))]
    repeats = {name: repeated for name, _, repeated in _CHILDREN}
    body += [_any(form) if repeats[name] else _once(form) for name, form in _forms().items()]
    opening = rb"<programme(?:\s++(?:start|stop|channel)=" + _QUOTED + rb")*+\s*+>"
    return re.compile(opening + rb"(" + b"".join(body) + rb")\s*+</programme\s*+>")


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


_READY = _ready()
_CHILD = _child()
_OPENING = re.compile(rb"<programme((?:\s++" + _NAME + rb"\s*+=\s*+" + _QUOTED + rb")*+)\s*+>")
_KEPT_ATTRIBUTES = re.compile(rb"\s(?:pdc-start|vps-start|showview|videoplus|clumpidx)\s*+=\s*+" + _QUOTED)
_SINGLE_RANKS = frozenset(rank for rank, (_, _, repeats) in enumerate(_CHILDREN, 1) if not repeats)
_CREDITS_RANK = 1 + [name for name, _, _ in _CHILDREN].index("credits")


def _sorted(opening: bytes, raw: bytes) -> bytes | None:
    """The element with its valid children put in order; None when it takes more than that."""
    tag = _OPENING.match(raw)
    if not tag:
        return None
    position, end = tag.end(), raw.rfind(b"</programme")
    parts: list[tuple[int, bytes]] = []
    for child in _CHILD.finditer(raw, position, end):
        if child.start() != position:
            return None
        position = child.end()
        rank = child.lastindex or 0
        if rank <= len(_CHILDREN):
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
