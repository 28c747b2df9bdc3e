"""Numbers, times, truths and spans as people write them. What cannot be read is None, never an error."""

import re
from datetime import UTC, datetime

_DIGITS = 18
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?\s*")
_EPOCH = re.compile(r"\s*-?[0-9]{1,11}\s*")
_XMLTV = re.compile(r"\s*([0-9]{14}|[0-9]{12})\s*([+-][0-9]{4}|Z)?\s*")
_SPAN = re.compile(r"\s*([+-])\s*([0-9]{1,9})\s*([a-z]*)")
_UNITS_S = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_TRUE = frozenset(("true", "1", "yes", "on"))
_FALSE = frozenset(("false", "0", "no", "off", ""))


def number_of(text: str) -> float | None:
    """`"101"`, `"-1.5"`; only ASCII digits."""
    if text.isdecimal() and text.isascii() and len(text) <= _DIGITS:
        return float(text)
    return float(text) if _NUMBER.fullmatch(text) else None


def time_of(text: str) -> float | None:
    """Epoch seconds of epoch seconds, ISO 8601 (no offset means UTC) or XMLTV's `20261121201500 +0100`."""
    if _EPOCH.fullmatch(text):
        return float(text)
    if (found := _XMLTV.fullmatch(text)) is not None:
        text = f"{found[1][:8]}T{found[1][8:]}{found[2] or ''}"
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def truth_of(text: str) -> bool | None:
    """`true 1 yes on` and `false 0 no off`, in any case; nothing at all is false."""
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def span_s(text: str) -> int | None:
    """Seconds of `+2h`, `- 30m + 10s`; units s m h d w, seconds when there is none."""
    total, at = 0, 0
    while at < len(text):
        found = _SPAN.match(text, at)
        if found is None or found[3] not in _UNITS_S:
            return None
        total += (1 if found[1] == "+" else -1) * int(found[2]) * _UNITS_S[found[3]]
        at = found.end()
    return total
