"""Unpacking by content: whatever the name or the headers said, the first bytes tell what a file is packed in.

All in a stream and in flat memory; what is unpacked is bounded in bytes and in ratio, so a bomb costs a bounded time.
"""

import bz2
import contextlib
import lzma
import re
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from types import TracebackType
from typing import BinaryIO, Protocol

import brotli
from isal import isal_zlib

from servicekit.errors import BadAnswer, TooLarge

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES = 256 * 1024
MAX_LAYERS = 2
MAX_RATIO = 250
_RATIO_FREE_BYTES = 32 * 1024 * 1024  # small files may be as dull as they like
_XZ_MEMORY_BYTES = 100 * 1024 * 1024
_ZSTD_WINDOW_LOG = 27
_SNIFF_BYTES = 4096  # brotli gives nothing before its tables end
_SPOOL_BYTES = 8 * 1024 * 1024
_MAGIC_BYTES = 6  # the longest of those that begin another member
_BLOCK_BYTES = tarfile.BLOCKSIZE
_LONG_NAME_BYTES = 64 * 1024
_PAX_PATH = re.compile(rb"(?:\A|\n)\d+ path=([^\n]+)\n")

_Layer = Callable[[Iterator[bytes], "Wanted", "Told"], Iterator[bytes]]
_GZIP, _ZLIB, _RAW = 31, 15, -15  # the window bits that choose the wrapper
_TRAILER_BYTES = {_GZIP: 8, _ZLIB: 4, _RAW: 0}  # the checksum, and in gzip the length, behind the data


class Readable(Protocol):
    """A binary stream, as far as it is needed here."""

    def read(self, size: int = -1, /) -> bytes: ...


class Told(Protocol):
    """Who is told what was wrong with a file that could be read all the same; may raise to refuse it."""

    def warn(self, kind: str, text: str, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for in an archive: files whose whole name fits `name`; `noun` is the word for it in sentences."""

    noun: str
    name: re.Pattern[str]


class _Inflater(Protocol):
    """The decompressors of the standard library but zlib's."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Unpacked:
    """The unpacked bytes, to be read once from front to back."""

    def __init__(self, pieces: Iterator[bytes], kinds: tuple[str, ...]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.kinds = kinds

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, fewer at will, all without a size; b"" at the end.

        Raises TooLarge over the limit of bytes, BadAnswer for a bomb or for what cannot be unpacked at all.
        """
        if size < 0:
            rest, self._rest = self._rest, memoryview(b"")
            return b"".join(chain([rest], self._pieces))
        if not self._rest:
            whole = next(self._pieces, b"")
            if len(whole) <= size:
                return whole
            self._rest = memoryview(whole)
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)

    def close(self) -> None:
        """Forget the rest. The stream that was handed in stays its owner's."""
        close = getattr(self._pieces, "close", None)
        if close:
            close()

    def __enter__(self) -> "Unpacked":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Budget:
    """What may come out of the layers, and what went in."""

    def __init__(self, noun: str, max_bytes: int, max_ratio: int) -> None:
        self._noun = noun
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self._packed_bytes = 0

    def counted_in(self, stream: Readable) -> Iterator[bytes]:
        """The pieces of the stream as it came."""
        while piece := stream.read(PIECE_BYTES):
            self._packed_bytes += len(piece)
            yield piece

    def checked_out(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces that a layer gave, as long as they are within bounds."""
        total = 0
        for piece in pieces:
            total += len(piece)
            if total > self._max_bytes:
                raise TooLarge(
                    f"the {self._noun} is larger than {self._max_bytes:,} bytes unpacked (fetch.max_bytes x 4)"
                )
            if total > _RATIO_FREE_BYTES and total > self._max_ratio * self._packed_bytes:
                raise BadAnswer(f"the file unpacks to over {self._max_ratio} times its size: taken for a bomb")
            yield piece


def unpacked(stream: Readable, *, wanted: Wanted, max_bytes: int, told: Told, max_ratio: int = MAX_RATIO) -> Unpacked:
    """The bytes inside `stream`: plain, gzip, zlib, raw deflate, brotli, xz, bzip2, zstd, zip or tar, at most two of
    them nested.

    A file that ends early or breaks off yields what is there, and `told` is warned ("truncated", "corrupt"); several
    members are joined; zeros behind the last are nothing, junk is warned of ("trailing_junk"). Of an archive the first
    file that is called as `wanted` is read ("several_guides" where there are more, for the noun "guide"). Reading, and
    this call too, raise TooLarge and BadAnswer.
    """
    budget = _Budget(wanted.noun, max_bytes, max_ratio)
    pieces = budget.counted_in(stream)
    kinds: tuple[str, ...] = ()
    while True:
        head, pieces = _peeked(pieces)
        kind = _kind(head)
        if kind is None:
            return Unpacked(pieces if kinds else budget.checked_out(pieces), kinds)
        if len(kinds) == MAX_LAYERS:
            raise BadAnswer(f"the file is packed more than {MAX_LAYERS} times over ({', '.join(kinds)}, {kind})")
        kinds += (kind,)
        pieces = budget.checked_out(_LAYERS[kind](pieces, wanted, told))


def _peeked(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all pieces with them."""
    first: list[bytes] = []
    size = 0
    while size < _SNIFF_BYTES and (piece := next(pieces, b"")):
        first.append(piece)
        size += len(piece)
    return b"".join(first)[:_SNIFF_BYTES], chain(first, pieces)


def _kind(head: bytes) -> str | None:
    """What the bytes are packed in; None when in nothing that is known."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "tar"
    if head[:1] == b"x" and len(head) > 1 and int.from_bytes(head[:2], "big") % 31 == 0 and not head[1:2].isalpha():
        return "zlib"
    return _kind_without_mark(head)


def _kind_without_mark(head: bytes) -> str | None:
    """Raw deflate and brotli have no mark of their own: they are what turns into the beginning of markup."""
    if not head or head[:1] in b"<\xef\xfe\xff\0 \t\r\n#":
        return None
    with contextlib.suppress(zlib.error):
        if head[:1] not in b"{[" and _begins(zlib.decompressobj(_RAW).decompress(head, 64), b"<"):
            return "deflate"
    with contextlib.suppress(brotli.error):
        if _begins(_Brotli().decompress(head, 64), (b"<?xml", b"<tv", b"<!DOCTYPE", b"#EXTM3U")):
            return "brotli"
    return None


def _begins(text: bytes, with_: bytes | tuple[bytes, ...]) -> bool:
    return text.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(with_)


def _spoiled(kind: str, reason: Exception, given: bool, told: Told) -> None:
    """What cannot be unpacked further: keep what came before, refuse when nothing did."""
    if not given:
        raise BadAnswer(f"the file looks like {kind} but cannot be unpacked: {reason}") from reason
    told.warn("corrupt", f"the {kind} data are damaged ({reason})")


def _deflated(bits: int, kind: str) -> _Layer:
    """gzip, zlib and raw deflate, by isal's inflater."""

    def layer(pieces: Iterator[bytes], wanted: Wanted, told: Told) -> Iterator[bytes]:
        given = False
        inflater = isal_zlib.decompressobj(bits)
        pieces = _trailer_apart(pieces, _TRAILER_BYTES[bits])
        for piece in pieces:
            data = piece
            while True:
                try:
                    out = inflater.decompress(data, PIECE_BYTES)
                except (isal_zlib.IsalError, EOFError) as reason:  # type: ignore[misc]  # a class, whatever the stub says
                    return _spoiled(kind, reason, given, told)
                if out:
                    given = True
                    yield out
                if inflater.eof:
                    data = _behind(inflater.unused_data, pieces)
                    if bits != _GZIP or not data.startswith(b"\x1f\x8b"):
                        return _ended(data, pieces, kind, told)
                    inflater = isal_zlib.decompressobj(bits)
                    continue
                data = inflater.unconsumed_tail
                if not data and len(out) < PIECE_BYTES:
                    break
        told.warn("truncated", f"the {kind} data end early")
        return None

    return layer


def _trailer_apart(pieces: Iterator[bytes], trailer_bytes: int) -> Iterator[bytes]:
    """The same bytes, the last few alone: a wrong checksum is told when everything before it was handed out."""
    tail = b""
    for piece in pieces:
        held = tail + piece
        end = len(held) - trailer_bytes
        if end > 0:
            yield held[:end]
        tail = held[max(end, 0) :]
    if tail:
        yield tail


def _behind(rest: bytes, pieces: Iterator[bytes]) -> bytes:
    """What stands behind the end of a member, long enough to tell whether that is another one."""
    while len(rest) < _MAGIC_BYTES and (piece := next(pieces, b"")):
        rest += piece
    return rest


def _ended(rest: bytes, pieces: Iterator[bytes], kind: str, told: Told) -> None:
    """Behind the last member: zeros are padding, anything else is worth a word."""
    rest += next(pieces, b"")
    if rest.strip(b"\0"):
        told.warn("trailing_junk", f"something that is not {kind} follows the packed data")


def _inflated(make: Callable[[], _Inflater], kind: str, magic: bytes | None) -> _Layer:
    """xz, bzip2, zstd and brotli, whose decompressors share one form. `magic`: what another member begins with."""

    def layer(pieces: Iterator[bytes], wanted: Wanted, told: Told) -> Iterator[bytes]:
        given = False
        inflater = make()
        for piece in pieces:
            data = piece
            while True:
                try:
                    out = inflater.decompress(data, PIECE_BYTES)
                except (lzma.LZMAError, OSError, EOFError, ValueError, zstd.ZstdError, brotli.error) as reason:
                    return _spoiled(kind, reason, given, told)
                if out:
                    given = True
                    yield out
                data = b""
                if inflater.eof:
                    data = _behind(inflater.unused_data, pieces)
                    if magic is None or not data.startswith(magic):
                        return _ended(data, pieces, kind, told)
                    inflater = make()
                elif inflater.needs_input:
                    break
        told.warn("truncated", f"the {kind} data end early")
        return None

    return layer


def _xz() -> _Inflater:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)


def _zstd() -> _Inflater:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    return zstd.ZstdDecompressor(options=options)


class _Brotli:
    """Brotli's decompressor in that form. Bytes behind the end in one piece with it are an error to it, not junk."""

    def __init__(self) -> None:
        self._inner = brotli.Decompressor()
        self._dry = False  # it takes more input while it still holds output: only an empty answer tells the end of it
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return bool(self._inner.is_finished())

    @property
    def needs_input(self) -> bool:
        return self._dry and bool(self._inner.can_accept_more_data())

    def decompress(self, data: bytes, max_length: int) -> bytes:
        text: bytes = self._inner.process(data, output_buffer_limit=max_length)
        self._dry = not text
        return text


def _zipped(pieces: Iterator[bytes], wanted: Wanted, told: Told) -> Iterator[bytes]:
    """The wanted file of a zip archive. Its directory stands at the end, so the packed bytes are put aside first."""
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
        for piece in pieces:
            spool.write(piece)
        try:
            with zipfile.ZipFile(spool) as archive, _chosen(archive, wanted, told) as member:
                yield from _zip_pieces(member, told)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, UnicodeError, ValueError) as reason:
            raise BadAnswer(f"the zip archive cannot be read: {reason}") from reason


def _chosen(archive: zipfile.ZipFile, wanted: Wanted, told: Told) -> zipfile.ZipExtFile:
    members = [member for member in archive.infolist() if not member.is_dir()]
    fitting = [member for member in members if wanted.name.fullmatch(member.filename)]
    if not fitting and len(members) != 1:
        names = _said(m.filename for m in members)
        raise BadAnswer(f"no file of the zip archive is called like a {wanted.noun} ({names})")
    chosen = (fitting or members)[0]
    if len(fitting) > 1:
        told.warn(
            f"several_{wanted.noun}s", f"of {_said(m.filename for m in fitting)} in the archive, the first was read"
        )
    if chosen.flag_bits & 1:
        raise BadAnswer(f"the {wanted.noun} inside the zip archive is encrypted")
    return archive.open(chosen)  # type: ignore[return-value]


def _said(names: Iterable[str]) -> str:
    """A few names for a sentence."""
    return ", ".join(repr(name[:40]) for name in islice(names, 5)) or "it is empty"


def _zip_pieces(member: BinaryIO | zipfile.ZipExtFile, told: Told) -> Iterator[bytes]:
    given = False
    while True:
        try:
            piece = member.read(PIECE_BYTES)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError) as reason:
            return _spoiled("zip", reason, given, told)
        if not piece:
            return None
        given = True
        yield piece


def _tarred(pieces: Iterator[bytes], wanted: Wanted, told: Told) -> Iterator[bytes]:
    """The wanted file of a tar archive, read as it comes.

    The headers are walked by hand: `tarfile` would take a hostile header's word for how much to hold in memory.
    """
    blocks = _Blocks(pieces)
    names: list[str] = []
    fitting: list[str] = []
    long_name: str | None = None
    while (member := _tar_member(blocks)) is not None:
        if member.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
            long_name = _long_name(member, blocks)
            continue
        name, long_name = long_name or member.name, None
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            blocks.skip(member.size)
            continue
        names.append(name)
        if not wanted.name.fullmatch(name):
            blocks.skip(member.size)
        elif fitting:
            fitting.append(name)
            blocks.skip(member.size)
        else:
            fitting.append(name)
            yield from blocks.file(member.size)
        if blocks.short:
            break
    if not fitting:
        raise BadAnswer(f"no file of the tar archive is called like a {wanted.noun} ({_said(names)})")
    if blocks.short:
        told.warn("truncated", "the tar archive ends early")
    if len(fitting) > 1:
        told.warn(f"several_{wanted.noun}s", f"of {_said(fitting)} in the archive, the first was read")


def _tar_member(blocks: "_Blocks") -> tarfile.TarInfo | None:
    """The next header of a tar archive; None at its end, which zeros or nothing mark."""
    header = b"".join(blocks.file(_BLOCK_BYTES))
    if not header.strip(b"\0"):
        return None
    try:
        member = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
    except tarfile.HeaderError as reason:
        raise BadAnswer(f"the tar archive cannot be read: {reason}") from reason
    if member.size < 0:
        raise BadAnswer("the tar archive cannot be read: a size below zero")
    return member


def _long_name(member: tarfile.TarInfo, blocks: "_Blocks") -> str | None:
    """The name that stands before its file, as GNU tar or POSIX write those that are too long for a header."""
    if member.size > _LONG_NAME_BYTES:
        blocks.skip(member.size)
        return None
    said = b"".join(blocks.file(member.size))
    if member.type == tarfile.GNUTYPE_LONGNAME:
        return said.rstrip(b"\0").decode("utf-8", "replace")
    path = _PAX_PATH.search(said)
    return path[1].decode("utf-8", "replace") if path else None


class _Blocks:
    """The bytes of a tar archive in parts of a known length, each padded to whole blocks."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self.short = False
        """The archive ended inside a part."""

    def file(self, size: int) -> Iterator[bytes]:
        """A part of `size` bytes, piece by piece, without its padding."""
        left = size + -size % _BLOCK_BYTES
        while left:
            piece = self._rest or next(self._pieces, b"")
            if not piece:
                self.short = True
                return
            piece, self._rest = piece[:left], piece[left:]
            if size > 0:
                yield piece[:size]
            left -= len(piece)
            size -= len(piece)

    def skip(self, size: int) -> None:
        """Passes over a part."""
        for _ in self.file(size):
            pass


_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)
_LAYERS: dict[str, _Layer] = {
    "gzip": _deflated(_GZIP, "gzip"),
    "zlib": _deflated(_ZLIB, "zlib"),
    "deflate": _deflated(_RAW, "deflate"),
    "brotli": _inflated(_Brotli, "brotli", None),
    "xz": _inflated(_xz, "xz", b"\xfd7zXZ\0"),
    "bzip2": _inflated(bz2.BZ2Decompressor, "bzip2", b"BZh"),
    "zstd": _inflated(_zstd, "zstd", b"\x28\xb5\x2f\xfd"),
    "zip": _zipped,
    "tar": _tarred,
}
