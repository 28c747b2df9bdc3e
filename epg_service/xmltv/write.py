"""XMLTV out: pieces of a file that is valid against the XMLTV DTD, whatever the input said.

A programme whose bytes are in the DTD's own form already (one pattern proves it) is copied behind a new start tag. One
whose children are valid one by one but in another order, or stand beside elements that the DTD does not know, is cut
into them and put in order. Any other is read and written anew.
"""

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from epg_service.domain.days import IN_FORM
from epg_service.domain.episodes import read_onscreen
from epg_service.xmltv import form
from epg_service.xmltv.details import CREDIT_KINDS
from epg_service.xmltv.elements import Node, tree
from epg_service.xmltv.escape import attribute as _attribute
from epg_service.xmltv.escape import clean as _clean
from epg_service.xmltv.escape import text as _text
from epg_service.xmltv.form import CHILDREN
from epg_service.xmltv.times import bytes_utc, text_utc

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


def head(generator: str, source: Mapping[str, str] | None = None) -> bytes:
    """The declaration and `<tv>`; `source`: attributes that say where the listings come from, and from when. Who made
    the file says `generator`, whatever the source says of that."""
    said = {name: value for name, value in (source or {}).items() if not name.startswith("generator-")}
    attributes = _attributes(**said, **{"generator-info-name": generator})
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<tv{attributes}>\n'.encode()


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
    inside = _strangers(root, CHILDREN)
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


def programme(
    raw: bytes, *, start: int, stop: int, channel_id: str, title_fallback: str, as_it_came: bool = False
) -> bytes:
    """One `<programme>` from the bytes of an element, under another channel id, with its times in UTC.

    `stop` 0 leaves the attribute out; `title_fallback` stands where no title says anything. `as_it_came`: an empty
    title stands there, and an `xmltv_ns` number that is none stays, which would mislead clients. Raises ValueError when
    the bytes are not one well-formed element.
    """
    ends = f' stop="{text_utc(stop)}"' if stop else ""
    opening = f'  <programme start="{text_utc(start)}"{ends} channel="{_attribute(channel_id)}"'
    if copied := form.copied(opening.encode(), raw) or form.put_in_order(opening.encode(), raw):
        return copied
    return _rewritten(opening, tree(raw), None if as_it_came else title_fallback).encode()


def start_tags(starts: Iterable[int], stops: Iterable[int], channel_id: str) -> list[bytes]:
    """The start tags of a channel's programmes, times in UTC."""
    rest = f'" channel="{_attribute(channel_id)}">'
    return [
        f'<programme start="{text_utc(start)}" stop="{text_utc(stop)}{rest}'.encode()
        for start, stop in zip(starts, stops, strict=True)
    ]


def stored_elements(
    raws: Sequence[bytes], starts: Iterable[int], stops: Iterable[int], flags: Sequence[int], channel_id: str
) -> list[bytes]:
    """Elements as they are stored, a line feed behind each: one in form (see `domain.days`), whose start tag ends at
    the first `>`, behind the tag that `start_tags` writes; any other as it is."""
    rest = _attribute(channel_id).encode().replace(b"%", b"%%")
    tagged = b'<programme start="%b" stop="%b" channel="' + rest + b'">%b\n'
    return [
        tagged % (start, stop, raw[raw.index(b">") + 1 :]) if flag & IN_FORM else raw + b"\n"
        for start, stop, raw, flag in zip(map(bytes_utc, starts), map(bytes_utc, stops), raws, flags, strict=True)
    ]


def under_id(text: bytes, count: int, was: str, channel_id: str) -> bytes | None:
    """`count` elements as they are stored (`start_tags`), with another channel id in their start tags; None when
    another text looks like the end of a start tag, so that each has to be written by itself."""
    if was == channel_id:
        return text
    end = f' +0000" channel="{_attribute(was)}">'.encode()
    if text.count(end) != count:
        return None
    return text.replace(end, f' +0000" channel="{_attribute(channel_id)}">'.encode())


def placeholder(title: str, *, repeat: bool) -> bytes:
    """An element for a time of which nothing is known. `repeat`: it says that it is nothing new."""
    mark = "<previously-shown/>" if repeat else ""
    return f"<programme><title>{_text(title)}</title>{mark}</programme>".encode()


def tail() -> bytes:
    """The end of the file."""
    return b"</tv>\n"


# ---- text ---------------------------------------------------------------------------------------------------------


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


_NUMBER = _texted("system")


def _episode_num(node: Node) -> str:
    """A number that is not of the system it names is an on-screen one where it can be read as such."""
    text = node.text()
    if node.attributes.get("system") != "xmltv_ns" or _XMLTV_NS.fullmatch(text):
        return _NUMBER(node)
    return _element("episode-num", "", _text(text)) if read_onscreen(text) else ""


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


_WRITERS: Mapping[str, Callable[[Node], str]] = {
    "title": _texted("lang"),
    "sub-title": _texted("lang"),
    "desc": _texted("lang"),
    "credits": _texted(),  # see _credits
    "date": _texted(),
    "category": _texted("lang"),
    "keyword": _texted("lang"),
    "language": _LANGUAGE,
    "orig-language": _texted("lang"),
    "length": _length,
    "icon": _icon,
    "url": _URL,
    "country": _texted("lang"),
    "episode-num": _episode_num,
    "video": _wrapped("present", "colour", "aspect", "quality"),
    "audio": _wrapped("present", "stereo"),
    "previously-shown": _previously_shown,
    "premiere": _worded,
    "last-chance": _worded,
    "new": _new,
    "subtitles": _subtitles,
    "rating": _rating,
    "star-rating": _rating,
    "review": _review,
    "image": _image,
}
_AS_IT_CAME: Mapping[str, Callable[[Node], str]] = {**_WRITERS, "episode-num": _NUMBER}


def _rewritten(opening: str, root: Node, title_fallback: str | None) -> str:
    """`title_fallback` None: as it came."""
    writers = _WRITERS if title_fallback is not None else _AS_IT_CAME
    groups: dict[str, list[Node]] = {}
    for node in root.nodes():
        groups.setdefault(node.name, []).append(node)
    lines = [opening + _kept(root, "pdc-start", "vps-start", "showview", "videoplus", "clumpidx") + ">"]
    for name, repeats in CHILDREN.items():
        nodes, write = groups.get(name), writers[name]
        if name == "credits":
            written = [_credits(nodes)] if nodes else []
        else:
            written = [text for node in nodes if (text := write(node))] if nodes else []
        if name == "title" and not written:
            written = [_no_title(nodes, title_fallback)]
        lines += written if repeats else written[:1]
    return "\n    ".join(filter(None, lines)) + "\n  </programme>\n"


def _no_title(nodes: Sequence[Node] | None, fallback: str | None) -> str:
    """The title of what has none: the DTD asks for one."""
    if fallback is None:
        return f"<title{_kept(nodes[0], 'lang') if nodes else ''}/>"
    return _element("title", "", _text(fallback) or "-")


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
