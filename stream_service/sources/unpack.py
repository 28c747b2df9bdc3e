"""Unpacking what a provider sends, by its first bytes and never by its name; sizes are limited while unpacking."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from servicekit.errors import BadAnswer

MAX_LAYERS = 2
"""A packed file that is sent packed once more is met in the wild; more is malice."""
STEP_BYTES = 262_144
_HEAD_BYTES = 6


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...


def unpacked(chunks: Iterable[bytes], *, max_bytes: int) -> Iterator[bytes]:
    """The plain bytes of a body that may be gzip, xz or bz2, or one of them within another.

    Raises `BadAnswer` when it is damaged, ends too early, or unpacks to more than `max_bytes`.
    """
    for _ in range(MAX_LAYERS):
        head, chunks = _peek(chunks)
        make = _unpacker_of(head)
        if make is None:
            return _limited(chunks, max_bytes)
        chunks = _limited(_layer(chunks, make), max_bytes)
    head, chunks = _peek(chunks)
    if _unpacker_of(head):
        raise BadAnswer(f"the list is packed more than {MAX_LAYERS} times over")
    return _limited(chunks, max_bytes)


def _peek(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    rest = iter(chunks)
    head = b""
    for chunk in rest:
        head += chunk
        if len(head) >= _HEAD_BYTES:
            break

    def again() -> Iterator[bytes]:
        if head:
            yield head
        yield from rest

    return head, again()


def _unpacker_of(head: bytes) -> Callable[[], _Unpacker] | None:
    if head.startswith(b"\x1f\x8b"):
        return _Gzip
    if head.startswith(b"\xfd7zXZ\0"):
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 << 20)
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor
    if head.startswith(b"PK\x03\x04"):
        raise BadAnswer("the answer is a ZIP archive; unpack it and put the list into the import directory")
    return None


class _Gzip:
    """zlib's object with the face of the others: it keeps what it was not allowed to unpack yet."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)
        self._kept = b""

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        out = self._inner.decompress(self._kept + data, max_length)
        self._kept = self._inner.unconsumed_tail
        return out

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _layer(chunks: Iterable[bytes], make: Callable[[], _Unpacker]) -> Iterator[bytes]:
    """One layer, all its members: packers write several in a row, with padding or junk after the last."""
    member: _Unpacker | None = make()
    between = b""
    for chunk in chunks:
        data: bytes | None = chunk
        while data is not None:
            if member is None:
                between = (between + data).lstrip(b"\0")
                if len(between) < _HEAD_BYTES:
                    break  # too little yet to say what comes
                following = _unpacker_of(between)
                if following is None:
                    return
                member, data, between = following(), between, b""
            out = _step(member, data)
            if out:
                yield out
            if member.eof:
                data, member = member.unused_data, None
            else:
                data = b"" if len(out) == STEP_BYTES else None
    if member is not None:
        raise BadAnswer("the packed list ends too early: the download was cut short")


def _step(member: _Unpacker, data: bytes) -> bytes:
    try:
        return member.decompress(data, STEP_BYTES)
    except (zlib.error, lzma.LZMAError, OSError) as error:
        raise BadAnswer(f"the packed list is damaged: {error}") from error


def _limited(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise BadAnswer(f"the list unpacks to more than {max_bytes} bytes (4 x fetch.max_bytes)")
        yield chunk
