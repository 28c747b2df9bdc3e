"""Channel names, reduced to what tells channels apart, and what a name or an id says of the country."""

import re
import unicodedata
from dataclasses import dataclass

from anyascii import anyascii

# What says how a channel is carried, not which channel it is.
_QUALITY = frozenset(
    ("hd", "fhd", "uhd", "sd", "qhd", "2k", "4k", "8k", "hevc", "h264", "h265", "x264", "x265", "avc", "hdr", "hdr10",
     "dv", "720", "720p", "1080", "1080p", "1080i", "2160p", "480p", "576p", "50fps", "60fps", "raw", "backup", "vip")
)  # fmt: skip
_BRACKETED = re.compile(r"[(\[{|][^()\[\]{}|]*[)\]}|]")
# "UK: ", "DE | ", "|FR| ", "US - ": a country in capitals and a separator, before the name. Three letters are
# mostly broadcasters ("RTL: Plus"), so only well-known ones count.
_COUNTRY = re.compile(
    r"^\s*[|\[(]?\s*(?P<code>[A-Z]{2}|USA|UAE|GER|FRA|ITA|ESP|POR|NED|TUR|POL|SWE|NOR|DEN|EX-?YU)"
    r"\s*(?:[:|\])»▎┃]+|\s[-–—•★✦>]\s)\s*(?=\S)"
)
_NOTE = re.compile(r"[(\[{]([^()\[\]{}]*)[)\]}]")
_PAST = re.compile(r"\s*(?:f\.?k\.?a|ex|formerly|formerl|ehem|antes)\b", re.IGNORECASE)
# In brackets these say nothing of which channel it is: "[Not 24/7]", "(Geo-blocked)", "(1280p)".
_NOISE = frozenset(
    ("geo", "blocked", "geoblocked", "non", "not", "24", "7", "offline", "on", "air", "only", "live", "test", "low",
     "high", "bitrate", "multi", "audio", "main", "feed", "tv", "source", "alt", "h", "quality", "opt", "event", "hq")
)  # fmt: skip
_LINES = re.compile(r"\d{3,4}[pi]")
# American stations: "WLUK", "KSAZ-DT2", "WCBS-TV". The number is the subchannel.
_CALL_SIGN = re.compile(r"(?<![^\W_])([KW][A-Z]{2,3})(?:-?(?:TV|DT|LD|CD|HD)?(\d)?)?(?![^\W_])")
_AMERICAN = re.compile(r"(?<![^\W_])(?:ABC|NBC|CBS|FOX|PBS|CW|ION|MyTV|Telemundo|Univision|LR)\s?\d{0,2}(?![^\W_])")
# At the end of a name only these stand for a country; ID, IN, IT, NO, TV … are words too often.
_LAST_WORD = re.compile(r"\s(UK|USA?|DE|AT|CH|FR|ES|PT|NL|BE|PL|CZ|HU|RO|GR|TR|SE|DK|FI|CA|AU|NZ|IE|BR|MX)\s*$")
_WORD = re.compile(r"\+\d+|[^\W_]+")
_PLUS = re.compile(r"(?:\bplus\s*|(?<![^\W_])\+\s*|\+)(\d{1,2})(?:\s*h\b)?", re.IGNORECASE)
_BARE_PLUS = re.compile(r"\+(?!\d)")
_UNUSUAL = re.compile(r"[+&'(){}\[\]|]|plus", re.IGNORECASE)
_ACCENTS = re.compile("[\u0300-\u036f]")  # other combining marks (Japanese voicing, Indic vowels) are letters
_SUPERSCRIPT_HD = str.maketrans({"ᴴ": "H", "ᴰ": "D", "ᶠ": "F", "ᵁ": "U", "ˢ": "S", "⁴": "4", "ᴷ": "K"})
_LONGEST = 200
"""Letters of a name that are looked at; no channel's name is longer, and work stays bounded whatever is sent."""

# Words that a name may have at its end, and at its start, without being another channel; numbers written out.
_ENDINGS = frozenset(("tv", "тв", "channel", "television", "network"))
_ARTICLE = "the"
_SHORTEST_CORE = 5
_NUMBERS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eins": "1", "zwei": "2", "drei": "3", "uno": "1", "dos": "2", "due": "2", "tres": "3",
    "tre": "3", "un": "1", "deux": "2", "trois": "3",
}  # fmt: skip
_DIGITS = re.compile(r"\d+")

# ISO 3166-1 alpha-2, without those that mean something else behind a dot (.tv, .fm, .io, .to, .cc, .ws).
_CODES = (
    "ad ae af ag ai al am ao ar at au aw az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz ca cd cf cg ch "
    "ci ck cl cm cn co cr cu cv cw cy cz de dj dk dm do dz ec ee eg er es et fi fj fo fr ga gb gd ge gf gg gh gi "
    "gl gm gn gp gq gr gt gu gw gy hk hn hr ht hu id ie il im in iq ir is it je jm jo jp ke kg kh ki km kn kp kr "
    "kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mk ml mm mn mo mq mr mt mu mv mw mx my mz na nc ne "
    "ng ni nl no np nr nz om pa pe pf pg ph pk pl pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg si sk sl sm "
    "sn so sr ss st sv sy sz td tg th tj tl tm tn tr tt tw tz ua ug us uy uz va vc ve vg vi vn vu xk ye yt za zm "
    "zw"
)
_REGIONS = frozenset(_CODES.split())
_REGION_NAMES = {
    "uk": "gb", "usa": "us", "uae": "ae", "ger": "de", "fra": "fr", "ita": "it", "esp": "es", "por": "pt", "ned": "nl",
    "tur": "tr", "pol": "pl", "swe": "se", "nor": "no", "den": "dk", "united kingdom": "gb", "great britain": "gb",
    "england": "gb", "united states": "us", "america": "us", "germany": "de", "deutschland": "de", "german": "de",
    "austria": "at", "osterreich": "at", "switzerland": "ch", "schweiz": "ch", "france": "fr", "french": "fr",
    "italy": "it", "italia": "it", "italian": "it", "spain": "es", "espana": "es", "portugal": "pt",
    "netherlands": "nl", "netherland": "nl", "nederland": "nl", "belgium": "be", "belgie": "be", "poland": "pl",
    "polska": "pl", "turkey": "tr", "turkiye": "tr", "sweden": "se", "sverige": "se", "norway": "no", "norge": "no",
    "denmark": "dk", "danmark": "dk", "finland": "fi", "suomi": "fi", "ireland": "ie", "canada": "ca", "canadian": "ca",
    "australia": "au", "new zealand": "nz", "india": "in", "pakistan": "pk", "brazil": "br", "brasil": "br",
    "mexico": "mx", "argentina": "ar", "colombia": "co", "chile": "cl", "peru": "pe", "romania": "ro", "bulgaria": "bg",
    "greece": "gr", "greek": "gr", "hungary": "hu", "czech": "cz", "russia": "ru", "ukraine": "ua", "israel": "il",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReadName:
    """A name taken apart: what it is called, what it is behind ("+1"), where it says it is from."""

    words: tuple[str, ...]
    """Its normalised words without the timeshift: ("bbc", "one")."""
    notes: tuple[str, ...] = ()
    """Words in brackets that may tell it from another: "Cinemax (West)"."""
    shift_hours: int = 0
    regions: frozenset[str] = frozenset()
    """Countries that a prefix, a bracket or the last word names: ISO codes in small letters, or what a prefix says
    instead ("exyu"). Usually none or one."""

    @property
    def key(self) -> str:
        """The whole name in one line; "+1" is another channel."""
        return " ".join((*self.words, *self.notes, *([f"+{self.shift_hours}"] if self.shift_hours else [])))

    @property
    def core(self) -> tuple[str, ...]:
        """The words that tell channels apart: numbers as digits, no "TV" at the end, no "The" at the start.

        A country's code at the end ("AXN DE") is no word of it either when the name says so in capitals. What would
        leave less than five letters stays: "Metro TV" may be "Metro", but "Pop TV" and "Pop" are two.
        """
        words = [_NUMBERS.get(word, word) for word in self.words]
        if len(words) > 1 and region(words[-1]) in self.regions:
            words.pop()
        kept = words[1:] if words[0:1] == [_ARTICLE] else words[:]
        while kept and kept[-1] in _ENDINGS:
            kept.pop()
        return tuple(kept if len("".join(kept)) >= _SHORTEST_CORE else words)


def _words(text: str) -> list[str]:
    if text.isascii() and not _UNUSUAL.search(text):
        return _WORD.findall(text.lower())
    decomposed = unicodedata.normalize("NFKD", text.translate(_SUPERSCRIPT_HD))
    plain = unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed)).casefold()
    plain = plain.replace("&", " and ").replace("'", "").replace("’", "")
    return _WORD.findall(_BARE_PLUS.sub(" plus ", _PLUS.sub(r" +\1 ", plain)))


def normalised(name: str) -> str:
    """A name without what providers add to it: "UK: BBC Oné ᴴᴰ [backup]" is "bbc one".

    Accents, case, punctuation, quality marks (HD, FHD, 4K …), notes in brackets and country prefixes go; "+1", which
    is another channel, stays, however it is written. A name that is nothing else ("4K", "(TV)") keeps its words. Two
    providers' channels are one only when these are equal.
    """
    stripped = _COUNTRY.sub("", name)
    if name.isascii() and not _UNUSUAL.search(name):  # most names: no "+1", no brackets, nothing to be decomposed
        words = [word for word in _WORD.findall(stripped.lower()) if word not in _QUALITY]
        if words:
            return " ".join(words)
    timeshifts = [f"+{hours}" for hours in _PLUS.findall(name)][-1:]
    for attempt in (_BRACKETED.sub(" ", stripped), stripped, name):
        words = [word for word in _words(attempt) if word not in _QUALITY]
        if words:
            return " ".join(words + [shift for shift in timeshifts if shift not in words])
    return " ".join(_words(name))


def read_name(name: str) -> ReadName:
    """A name taken apart, see `ReadName`; its words and timeshift are those of `normalised`."""
    name = name[:_LONGEST]
    words = normalised(name).split()
    shifts = [word for word in words if word.startswith("+")]
    kept = tuple(word for word in words if not word.startswith("+"))
    regions: set[str] = set()
    if prefix := _COUNTRY.match(name):
        code = "".join(char for char in prefix["code"].casefold() if char.isalnum())
        regions.add(region(code) or code)
        name = name[prefix.end() :]
    notes = _notes(name, regions)
    last = None if regions else _LAST_WORD.search(_NOTE.sub("", name))
    if last:
        regions.add(region(last[1]) or "")
    hours = int(shifts[-1][1:]) if shifts and kept else 0
    return ReadName(kept or tuple(words), () if notes == kept else notes, hours, frozenset(regions - {""}))


def _notes(name: str, regions: set[str]) -> tuple[str, ...]:
    """The words in brackets that may tell channels apart; a country goes to `regions` instead."""
    notes: list[str] = []
    for text in _NOTE.findall(name):
        if _PAST.match(text):
            continue
        if country := region(text):
            regions.add(country)
            continue
        notes += [
            word
            for word in _words(text)
            if word not in _NOISE and word not in _QUALITY and not word.startswith("+") and not _LINES.fullmatch(word)
        ]
    return tuple(notes)


def call_sign(name: str) -> str | None:
    """The American station a name tells ("FOX 11 Green Bay (WLUK)": "wluk"; its second programme: "wluk2").

    A word such as KIDS looks like one: it counts only alone or beside the name of a network.
    """
    name = _COUNTRY.sub("", name[:_LONGEST])
    found = {(sign, "" if number in ("", "1") else number) for sign, number in _CALL_SIGN.findall(name)}
    if len(found) != 1:
        return None
    sign, number = found.pop()
    alone = not _words(_CALL_SIGN.sub(" ", name))
    return (sign + number).casefold() if alone or _AMERICAN.search(name) else None


def region(text: str) -> str | None:
    """The country that a code or a name stands for (ISO, small letters), None for everything else."""
    folded = " ".join(_words(text))
    found = _REGION_NAMES.get(folded, folded)
    return found if found in _REGIONS else None


def regions_of_group(group: str) -> frozenset[str]:
    """Countries that a group of channels names: "UK | Sports", "Germany", "[FR] Cinema"."""
    parts = re.split(r"[|:;,/()\[\]–—-]+", group[:_LONGEST])
    return frozenset(code for part in parts if (code := region(part)))


def id_parts(xmltv_id: str) -> tuple[str, str | None, str | None]:
    """An id such as "BBCOne.uk@HD" as its stem, its country and its feed: ("BBCOne", "gb", "HD")."""
    base, _, feed = xmltv_id.strip()[:_LONGEST].partition("@")
    stem, dot, last = base.rpartition(".")
    country = region(last) if dot and last.isascii() and len(last) == 2 else None
    return (stem if country else base), country, feed or None


def is_quality(text: str) -> bool:
    """Whether a word says only how a channel is carried (HD, 4K …)."""
    return text.casefold() in _QUALITY


def latin(text: str) -> str:
    """A weaker key: the letters as they are written in ASCII, small, without blanks ("Здоровое ТВ": "zdorovoetv")."""
    return "".join(char for char in anyascii(text).casefold() if char.isalnum())


def numbers(text: str) -> tuple[str, ...]:
    """The numbers in a text, in order: channels whose numbers differ are never the same."""
    return tuple(number.lstrip("0") or "0" for number in _DIGITS.findall(text))
