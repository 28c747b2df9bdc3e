"""The XMLTV DTD in short, and what a document says by it, read by ElementTree, which knows nothing of this project."""

import xml.etree.ElementTree as ET

from epg_service.xmltv.details import CREDIT_KINDS
from epg_service.xmltv.elements import folded
from epg_service.xmltv.times import Stamps

FREE = ""  # any text
PEOPLE = set(CREDIT_KINDS)

# What the DTD knows, once more and in short: the attributes of every element with their choices, and its content.
ATTRIBUTES: dict[str, dict[str, str]] = {
    "tv": dict.fromkeys(("date", "source-info-url", "source-info-name", "source-data-url", "generator-info-name",
                         "generator-info-url"), FREE),
    "channel": {"id": FREE},
    "programme": dict.fromkeys(("start", "stop", "pdc-start", "vps-start", "showview", "videoplus", "channel",
                                "clumpidx"), FREE),
    **{name: {"lang": FREE} for name in ("display-name", "title", "sub-title", "desc", "category", "keyword",
                                         "language", "orig-language", "country", "premiere", "last-chance")},
    "icon": {"src": FREE, "width": FREE, "height": FREE},
    "url": {"system": FREE},
    "actor": {"role": FREE, "guest": "no yes"},
    "length": {"units": "seconds minutes hours"},
    "episode-num": {"system": FREE},
    "previously-shown": {"start": FREE, "channel": FREE},
    "subtitles": {"type": "teletext onscreen deaf-signed"},
    "rating": {"system": FREE},
    "star-rating": {"system": FREE},
    "review": {"type": "text url", "source": FREE, "reviewer": FREE, "lang": FREE},
    "image": {"type": "poster backdrop still person character", "size": "1 2 3", "orient": "P L", "system": FREE},
}  # fmt: skip
REQUIRED = {("icon", "src"), ("length", "units"), ("review", "type")}
CONTENT: dict[str, str] = {
    "tv": "channel* programme*",
    "channel": "display-name+ icon* url*",
    "programme": "title+ sub-title* desc* credits? date? category* keyword* language? orig-language? length? icon* "
    "url* country* episode-num* video? audio? previously-shown? premiere? last-chance? new? subtitles* rating* "
    "star-rating* review* image*",
    "credits": " ".join(f"{kind}*" for kind in CREDIT_KINDS),
    "video": "present? colour? aspect? quality?",
    "audio": "present? stereo?",
    "subtitles": "language?",
    "rating": "value icon*",
    "star-rating": "value icon*",
    **{kind: "(image|url)*" for kind in CREDIT_KINDS},
    **dict.fromkeys(("icon", "previously-shown", "new"), ""),
}
RANK = {part.rstrip("+*?"): rank for rank, part in enumerate(CONTENT["programme"].split())}

Said = tuple[str, tuple[tuple[str, str], ...], str, tuple[object, ...]]


def said(element: ET.Element) -> Said:
    """Everything an element says: blanks folded, defaults filled in, no matter how it is written."""
    given = {key: folded(text) for key, text in element.attrib.items() if folded(text)}
    if element.tag == "episode-num":
        given.setdefault("system", "onscreen")
    text = folded(element.text or "")
    return element.tag, tuple(sorted(given.items())), text, tuple(map(said, element))


def programme_said(element: ET.Element) -> tuple[object, ...]:
    """The same for a programme, its times as instants; its children in the order of the DTD."""
    stamps = Stamps()
    _, given, _, _ = said(element)
    others = [pair for pair in given if pair[0] not in ("start", "stop")]
    inside = sorted(element, key=lambda child: RANK[child.tag])
    return stamps[element.attrib["start"]], stamps[element.attrib["stop"]], others, [said(child) for child in inside]


def programmes_said(root: ET.Element) -> list[tuple[object, ...]]:
    found = [(element.attrib["channel"], programme_said(element)) for element in root.iter("programme")]
    return sorted(found, key=lambda one: (one[0], one[1][0]))  # type: ignore[index]
