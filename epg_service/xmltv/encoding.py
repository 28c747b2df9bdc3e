"""Whatever bytes a guide comes in, UTF-8 bytes go out; and the guess for bytes that are none."""

import codecs
import re
from collections.abc import Iterator

from epg_service.domain.losses import Losses
from epg_service.domain.model import Readable

SAMPLE_BYTES = 64 * 1024
GUESS_BYTES = 20_000
_PREAMBLE_BYTES = 4096

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"""<\?xml\s[^>]{0,200}?encoding\s*=\s*["']\s*([^"'>]{1,40}?)\s*["']""")
_BEYOND_ASCII = bytes(range(0x80, 0x100))
_MIN_EVIDENCE = 12  # bytes beyond ASCII; fewer fit any page of any alphabet
_ODD_TEXT = re.compile(rb"[^<>]*[\x80-\xff][^<>]*")
# Character sets that a guide may sensibly be written in. Others that Python knows (punycode, unicode_escape,
# utf-7 …) turn plain text into something else, so a label naming one is not believed.
_CREDIBLE = re.compile(r"iso8859|cp\d|koi8|gb|big5|shift_jis|euc_|mac-|tis-620|johab|kz1048|ptcp154|iso2022")
# Real feeds that say Latin-1 mean Windows' superset of it (curly quotes and dashes at 0x80 to 0x9F).
_MEANT = {"iso8859-1": "cp1252", "ascii": "utf-8", "utf-8-sig": "utf-8", "iso8859-9": "cp1254"}


def _codec(label: str) -> str | None:
    """The codec a declared label stands for; None when it is unknown or none for guides."""
    label = re.sub(r"^iso(\d{4}-)", r"iso-\1", label.lower())
    try:
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    name = _MEANT.get(name, name)
    if name == "utf-8":
        return name
    return (
        name if _CREDIBLE.match(name) and b"<tv>".decode(name, "replace") == "<tv>" else None
    )  # EBCDIC pages are cp… too


def guess(sample: bytes) -> str:
    """The likeliest legacy encoding of bytes that are not UTF-8; cp1252 when nothing says otherwise.

    The detector sees only the texts that hold bytes beyond ASCII, or the markup would drown them; its confidence is
    small on any guide (names, times) and not asked.
    """
    texts = b" ".join(_ODD_TEXT.findall(sample))[:GUESS_BYTES]
    if len(texts) - len(texts.translate(None, _BEYOND_ASCII)) < _MIN_EVIDENCE:
        return "cp1252"
    from chardet import EncodingEra, detect  # with its tables, for the few files that are no UTF-8

    era = EncodingEra.MODERN_WEB | EncodingEra.LEGACY_ISO
    found = detect(texts, prefer_superset=True, encoding_era=era)
    name = _codec(found["encoding"] or "")
    return name if name and name != "utf-8" else "cp1252"


def _utf8_evidence(sample: bytes) -> tuple[int, int]:
    """How many characters of more than one byte read well as UTF-8, and how many bytes do not read at all."""
    sample = sample[: len(sample) - 3] if len(sample) >= SAMPLE_BYTES else sample  # a cut character is no fault
    text = sample.decode("utf-8", "surrogateescape")
    bad = sum(1 for char in text if "\udc80" <= char <= "\udcff")
    return len(text) - bad - len(text.encode("ascii", "ignore")), bad


def _without_bom(sample: bytes) -> str | None:
    """UTF-16 shows itself: '<' beside a zero byte."""
    head = sample.lstrip(b"\r\n\t ")[:4]
    if head[:1] == b"<" and head[1:2] == b"\0" and head[3:4] == b"\0":
        return "utf-16-le"
    if head[:2] == b"\0<" and head[2:3] == b"\0":
        return "utf-16-be"
    return None


def detected(sample: bytes, losses: Losses) -> tuple[str, int]:
    """The encoding of a file by its first bytes, and the length of its byte order mark.

    The mark is believed first, then what the bytes plainly are (UTF-16; UTF-8 with characters beyond ASCII), then
    the declaration, then a guess. Warns where the declaration was wrong or missing.
    """
    for mark, name in _BOMS:
        if sample.startswith(mark):
            return name, len(mark)
    if wide := _without_bom(sample):
        return wide, 0
    match = _DECLARED.search(sample[:_PREAMBLE_BYTES])
    label = match[1].decode("latin-1") if match else "utf-8"
    declared = _codec(label)
    good, bad = _utf8_evidence(sample)
    if declared == "utf-8" or declared is None:
        if declared is None and not label.lower().startswith(("utf-16", "utf-32", "ucs-2", "utf16")):
            losses.warn("encoding", f"the file names the encoding {label!r}, which is none; its bytes were believed")
        if bad <= good:
            return "utf-8", 0
        named = guess(sample)
        losses.warn("encoding", f"the file says {label}, but its bytes are no UTF-8; read as {named}")
        return named, 0
    if good and not bad:
        losses.warn("encoding", f"the file says {label}, but its bytes are UTF-8; read as UTF-8")
        return "utf-8", 0
    return declared, 0


def utf8_chunks(stream: Readable, losses: Losses, chunk_bytes: int) -> Iterator[bytes]:
    """The file in UTF-8, in pieces. UTF-8 passes as it is, faults included; others are decoded with replacement."""
    sample = b""
    while len(sample) < SAMPLE_BYTES and (piece := stream.read(min(chunk_bytes, SAMPLE_BYTES))):
        sample += piece
    encoding, mark_bytes = detected(sample, losses)
    sample = sample[mark_bytes:]
    if encoding == "utf-8":
        for start in range(0, len(sample), chunk_bytes):
            yield sample[start : start + chunk_bytes]
        while piece := stream.read(chunk_bytes):
            yield piece
        return
    yield from _decoded(sample, stream, encoding, losses, chunk_bytes)


def _decoded(sample: bytes, stream: Readable, encoding: str, losses: Losses, chunk_bytes: int) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    piece, replaced = sample, False
    while piece:
        text = decoder.decode(piece)
        replaced = replaced or "\ufffd" in text
        if text:
            yield text.encode("utf-8", "replace")
        piece = stream.read(chunk_bytes)
    if text := decoder.decode(b"", True):
        yield text.encode("utf-8", "replace")
    if replaced:
        losses.warn("undecodable", f"some bytes mean nothing in {encoding}; they were replaced by U+FFFD")
