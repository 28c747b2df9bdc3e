"""Text as people see it on one line."""

import re
import unicodedata

_SUSPECT = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
_DIRECTION = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
_BLANKS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def clean(text: str) -> str:
    """One line without control or direction characters and without blanks at the ends, in Unicode's composed form."""
    if text.isascii() and text.isprintable():
        return text.strip()
    if _SUSPECT.search(text) is not None:
        text = _BLANKS.sub(" ", _DIRECTION.sub("", text))
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)
