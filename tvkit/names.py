"""Channel names, reduced to what tells channels apart."""

import re
import unicodedata

# What says how a channel is carried, not which channel it is.
_QUALITY = frozenset(
    ("hd", "fhd", "uhd", "sd", "qhd", "2k", "4k", "8k", "hevc", "h264", "h265", "x264", "x265", "avc", "hdr", "hdr10",
     "dv", "720", "720p", "1080", "1080p", "1080i", "2160p", "480p", "576p", "50fps", "60fps", "raw", "backup", "vip")
)  # fmt: skip
_BRACKETED = re.compile(r"[(\[{|][^()\[\]{}|]*[)\]}|]")
# "UK: ", "DE | ", "|FR| ", "US - ": a country in capitals and a separator, before the name. Three letters are
# mostly broadcasters ("RTL: Plus"), so only well-known ones count.
_COUNTRY = re.compile(
    r"^\s*[|\[(]?\s*(?:[A-Z]{2}|USA|UAE|GER|FRA|ITA|ESP|POR|NED|TUR|POL|SWE|NOR|DEN)\s*(?:[:|\])]+|\s[-–—•★]\s)\s*(?=\S)"
)
_WORD = re.compile(r"\+\d+|[^\W_]+")
_PLUS = re.compile(r"(?:\bplus\s*|\+\s*)(\d{1,2})(?:\s*h\b)?", re.IGNORECASE)
_BARE_PLUS = re.compile(r"\+(?!\d)")
_ACCENTS = re.compile("[\u0300-\u036f]")  # other combining marks (Japanese voicing, Indic vowels) are letters
_SUPERSCRIPT_HD = str.maketrans({"ᴴ": "H", "ᴰ": "D", "ᶠ": "F", "ᵁ": "U", "ˢ": "S", "⁴": "4", "ᴷ": "K"})


def _words(text: str) -> list[str]:
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
    timeshifts = [f"+{hours}" for hours in _PLUS.findall(name)][-1:]
    for attempt in (_BRACKETED.sub(" ", stripped), stripped, name):
        words = [word for word in _words(attempt) if word not in _QUALITY]
        if words:
            return " ".join(words + [shift for shift in timeshifts if shift not in words])
    return " ".join(_words(name))
