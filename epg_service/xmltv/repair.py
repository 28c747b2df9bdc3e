"""Mending of one element that is not well formed, by changes that cannot move a tag."""

import re
from html.entities import html5

# Said by what is left out, both: the wide ranges of what is meant take 5 ms to compile.
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# Sections whose text is no markup; one that is never closed reaches to the end, so the search stays linear.
_VERBATIM = re.compile(r"(<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z))", re.DOTALL)
_PAIR = re.compile(r"&#(?:x([0-9a-f]{1,6})|(\d{1,7}));&#(?:x([0-9a-f]{1,6})|(\d{1,7}));", re.IGNORECASE)
_REFERENCE = re.compile(r"&(?:#x([0-9a-fA-F]{1,7});|#([0-9]{1,8});|([A-Za-z][A-Za-z0-9]{0,31});)?")
_LONE_LESS = re.compile(r"<(?![A-Za-z_:/!?]|[^\x00-\x7f])")
_PREDEFINED = frozenset(("amp", "lt", "gt", "quot", "apos"))
_MAX_BAD_RUNS = 500


def without_illegal(text: str) -> str:
    """The text without the code points that XML 1.0 forbids."""
    return _ILLEGAL.sub("", text)


def is_legal(code: int) -> bool:
    """Whether XML 1.0 allows this code point (production Char)."""
    return 0x20 <= code <= 0xD7FF or code in (9, 10, 13) or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF


def _joined_pair(match: re.Match[str]) -> str:
    """Two references to the halves of a UTF-16 pair are the one character they stand for."""
    high = int(match[1], 16) if match[1] else int(match[2])
    low = int(match[3], 16) if match[3] else int(match[4])
    if 0xD800 <= high <= 0xDBFF and 0xDC00 <= low <= 0xDFFF:
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    return match[0]


def _mended(match: re.Match[str]) -> str:
    hexadecimal, decimal, name = match.groups()
    if hexadecimal or decimal:
        code = int(hexadecimal, 16) if hexadecimal else int(decimal)
        return match[0] if is_legal(code) else ""
    if name in _PREDEFINED:
        return match[0]
    if name and (text := html5.get(name + ";")):
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return "&amp;" + match[0][1:]


def decoded(raw: bytes, fallback: str) -> str:
    """UTF-8 text; bytes that are none are read in `fallback`, run by run, or all when nothing looks like UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        pass
    text = raw.decode("utf-8", "surrogateescape")
    runs = re.findall("[\udc80-\udcff]+|[^\udc80-\udcff]+", text)
    if len(runs) > _MAX_BAD_RUNS or not any(c > "\x7f" and not "\udc80" <= c <= "\udcff" for c in text):
        return raw.decode(fallback, "replace")
    return "".join(
        run.encode("utf-8", "surrogateescape").decode("cp1252", "replace") if "\udc80" <= run[0] <= "\udcff" else run
        for run in runs
    )


def repaired(raw: bytes, fallback: str = "cp1252") -> bytes:
    """An element's bytes with HTML entities, bare `&`, `<` before no name, forbidden characters and bytes that are
    no UTF-8 mended. Whether it is well formed now, the caller proves.
    """
    parts = _VERBATIM.split(without_illegal(decoded(raw, fallback)))
    for index in range(0, len(parts), 2):
        text = _PAIR.sub(_joined_pair, parts[index])
        parts[index] = _LONE_LESS.sub("&lt;", _REFERENCE.sub(_mended, text))
    return "".join(parts).encode("utf-8", "replace")
