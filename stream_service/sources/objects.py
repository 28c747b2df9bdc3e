"""Lists of JSON objects of any length, one object at a time, from answers that PHP has had its hands on. Pure.

Panels answer an array of objects, an object of objects ({"0": {...}}: PHP's idea of an array with a gap), one object
alone, null for nothing; with a byte order mark or a warning in front, junk behind, or cut off in the middle.
"""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from servicekit.errors import BadAnswer

MAX_OBJECT_CHARS = 1 << 21
_HEAD_CHARS = 16_384
_NOTHING = frozenset({"", "null", "false", "[]", "{}", '""', "0"})
START = re.compile(r'\[\s*(?=[\[{\]"n])|\{\s*(?=["}])')
_BLANKS = re.compile(r"[\s,]*")
_TITLE = re.compile(r"<title[^>]*>(.{0,200}?)</title", re.IGNORECASE | re.DOTALL)
_MARKUP = re.compile(r"<[^>]{0,200}>")


def _small_int(text: str) -> int | float:
    """A number with thousands of digits would take the parser minutes; nothing here has more than nineteen."""
    return int(text) if len(text) < 20 else float("inf")


_DECODER = json.JSONDecoder(parse_int=_small_int)


def objects(chunks: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    """Every value of the answer's array (key '') or object (its key), as it was written.

    Raises `BadAnswer` when this is no JSON, says what it is instead, or ends too early.
    """
    text = _Text(chunks)
    opening = text.begin()
    if not opening:
        return
    closing = "]" if opening == "[" else "}"
    while True:
        mark = text.past_blanks()
        if mark == closing:
            return
        key = str(text.value()) if opening == "{" else ""
        if opening == "{" and text.past_blanks(":") == "":
            raise BadAnswer("the answer ends too early: the download was cut short")
        yield key, text.value()


class _Text:
    """The answer as text, read as it is needed; what was used is let go."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._pieces = (decoder.decode(chunk) for chunk in chunks)
        self._text = ""
        self._at = 0
        self._ended = False

    def begin(self) -> str:
        """Where the JSON starts: '[', '{', or '' for an answer that says there is nothing."""
        while len(self._text) < _HEAD_CHARS and self._more():
            pass
        head = self._text[:_HEAD_CHARS]
        low = head.lstrip()[:200].lower()
        if self._ended and self._text.strip().lower() in _NOTHING - {""}:
            return ""
        if not head.strip("\0 \t\r\n"):
            raise BadAnswer("the answer is empty")
        if low.startswith(("<!doctype", "<html", "<?xml", "<head")):
            title = _TITLE.search(head)
            raise BadAnswer("the answer is a web page" + (f": {title[1].strip()!r}" if title else ", no list"))
        start = START.search(head)
        if start is None:
            raise BadAnswer("the answer is no JSON: " + _MARKUP.sub(" ", head).strip()[:100])
        self._at = start.end()
        return start[0][0]

    def past_blanks(self, extra: str = "") -> str:
        """The next sign that is no blank or comma (nor one of `extra`); '' raises nothing, the end does."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n," + extra:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise BadAnswer("the answer ends too early: the download was cut short")

    def value(self) -> Any:
        """The next value, whole."""
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:
                    self._at = end
                    return found
            except json.JSONDecodeError as error:
                if self._ended:
                    raise BadAnswer(f"the answer is broken JSON: {error.msg}, or was cut short") from error
            except RecursionError as error:
                raise BadAnswer("the answer is nested too deep") from error
            if len(self._text) - self._at > MAX_OBJECT_CHARS:
                raise BadAnswer(f"the answer is broken JSON, or one entry is over {MAX_OBJECT_CHARS} characters")
            self._more()

    def _more(self) -> bool:
        """Read on; False at the end. After False a value that ends with the text is whole."""
        for piece in self._pieces:
            self._text = self._text[self._at :] + piece
            self._at = 0
            return True
        self._ended = True
        return False
