"""Bytes of a list to text: encodings and lines; and telling a list from something else. Pure."""

import codecs
import html
import re
from collections.abc import Iterable, Iterator

import chardet

from servicekit.errors import BadAnswer
from stream_service.domain.losses import Losses
from stream_service.domain.text import clean

HEAD_BYTES = 65_536
_SAMPLE_BYTES = 20_480
_SURE = 0.25
_FOREIGN_WORD = re.compile(rb"[A-Za-z]*[\x80-\xff][A-Za-z\x80-\xff]*")
_TITLE = re.compile(rb"<title[^>]*>(.{0,200}?)</title", re.IGNORECASE | re.DOTALL)
_JSON = re.compile(rb'(?:\{\s*["}]|\[\s*[\[{"\]])')


def with_head(chunks: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first `size` bytes (fewer when there are no more), and all chunks again from the start."""
    rest = iter(chunks)
    first: list[bytes] = []
    have = 0
    for chunk in rest:
        first.append(chunk)
        have += len(chunk)
        if have >= size:
            break

    def again() -> Iterator[bytes]:
        yield from first
        yield from rest

    return b"".join(first)[:size], again()


def lines(chunks: Iterable[bytes], max_bytes: int, losses: Losses) -> Iterator[bytes]:
    """Lines without their ends. CR, LF and CRLF end a line and nothing else does (`str.splitlines` knows eight more).

    A line longer than `max_bytes` is left out and counted, so memory does not depend on what is sent.
    """
    kept, skipping = b"", False
    for chunk in chunks:
        first, *others = (kept + chunk).replace(b"\r", b"\n").split(b"\n")
        if others:
            if not skipping:
                yield first
            skipping = False
            yield from others[:-1]
            kept = others[-1]
        else:
            kept = first
        if len(kept) > max_bytes:
            if not skipping:
                losses.lost("line_too_long", kept[:80].decode("utf-8", "replace"))
            kept, skipping = b"", True
    if kept and not skipping:
        yield kept


class Decoder:
    """Decodes line by line: UTF-8 where it is valid, else what the head of the file says its legacy encoding is.

    One list may mix both (providers paste lists together), so a line that is valid UTF-8 is taken as such unless the
    head shows that lines which are not are the rule. Lines in a legacy encoding are counted.
    """

    def __init__(self, head: bytes, losses: Losses) -> None:
        self._losses = losses
        self._wide = _wide_encoding(head)
        self._legacy = ""
        self._always = False
        self._sample = b""
        if not self._wide:
            self._look(head)

    @property
    def encoding(self) -> str:
        """The encoding of the list, as far as it has been read."""
        return self._wide or self._legacy or "utf-8"

    def unwrap(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks without a byte order mark, UTF-16 turned into UTF-8 so that lines can be found in bytes."""
        if not self._wide:
            start = True
            for chunk in chunks:
                yield chunk.removeprefix(codecs.BOM_UTF8) if start else chunk
                start = False
            return
        wide = codecs.getincrementaldecoder(self._wide)("replace")
        for chunk in chunks:
            yield wide.decode(chunk).encode("utf-8", "replace")
        yield wide.decode(b"", final=True).encode("utf-8", "replace")

    def text(self, raw: bytes) -> str:
        """One line as text."""
        if not self._always or raw.isascii():
            try:
                return raw.decode("utf-8")
            except UnicodeDecodeError:
                self._legacy = self._legacy or _detected(raw)
        text = raw.decode(self._legacy, "replace")
        self._losses.note("legacy_encoding", f"{self._legacy}: {clean(text)}")
        if "\ufffd" in text:
            self._losses.note("undecodable", clean(text))
        return text

    def _look(self, head: bytes) -> None:
        valid: int = 0
        broken: list[bytes] = []
        for line in head.split(b"\n")[: -1 if head.count(b"\n") else None]:
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                valid += 1
            except UnicodeDecodeError:
                broken.append(line)
        if broken:
            self._legacy = _detected(b"\n".join(broken)[:_SAMPLE_BYTES])
            self._always = len(broken) > valid


def _wide_encoding(head: bytes) -> str:
    """utf-16 by its mark, or by the NUL in every second byte of a first line in ASCII; '' for all others."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head[1:2] == b"\0" and head[3:4] == b"\0" and head[:1] != b"\0":
        return "utf-16-le"
    if head[:1] == b"\0" and head[2:3] == b"\0" and head[1:2] != b"\0":
        return "utf-16-be"
    return ""


def _detected(sample: bytes) -> str:
    """The legacy encoding of `sample`, cp1252 when in doubt.

    The detector guesses wildly on a few words, so it is believed when it is sure, or when most letters of the words
    are not ASCII (Cyrillic, Greek, Chinese: whatever it is, it is not the Western encoding).
    """
    told = chardet.detect(sample)
    try:
        name = codecs.lookup(told["encoding"] or "").name
        sample.decode(name)
    except (LookupError, UnicodeDecodeError):
        return "cp1252"
    words = b"".join(_FOREIGN_WORD.findall(sample))
    foreign = sum(byte >= 0x80 for byte in words) > 0.6 * len(words)
    # Latin-1 has control characters where cp1252 has quotes and dashes: nobody means the former.
    if name in ("ascii", "utf-8", "iso8859-1") or not (foreign or told["confidence"] >= _SURE):
        return "cp1252"
    return name


def refuse_other_formats(head: bytes) -> None:
    """Raise `BadAnswer`, saying what it is, when the head of a body cannot be the head of a list of channels."""
    text = head.replace(b"\0", b"").lstrip(codecs.BOM_UTF8 + codecs.BOM_UTF16_LE + codecs.BOM_UTF16_BE + b" \t\r\n")
    low = text[:4096].lower()
    if not text:
        raise BadAnswer("the answer is empty")
    if low.startswith((b"<?xml", b"<tv")):
        raise BadAnswer("the answer is XML (a guide?), not a list of channels")
    if low.startswith(b"<"):
        title = _TITLE.search(text)
        words = clean(html.unescape(title[1].decode("utf-8", "replace"))) if title else ""
        raise BadAnswer("the answer is a web page, not a list of channels" + (f": {words!r}" if words else ""))
    if low.startswith(b"[playlist]"):
        raise BadAnswer("the answer is a PLS playlist, not an M3U list")
    if _JSON.match(text):
        raise BadAnswer("the answer is JSON, not a list of channels: " + clean(text[:120].decode("utf-8", "replace")))
    if head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G":
        raise BadAnswer("the answer is a picture stream (MPEG-TS), not a list of channels")
