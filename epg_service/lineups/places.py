"""Where stored texts stand in a published file: the version after copies them from there, and inflates only the rest.

    NAME~DIGEST.xml.places      a row for each text, channel after channel; the channels; an end

A row is (the digest of the deflated bytes, the digest of the text, offset, length). What is written here proves
nothing: the file has to be the one of this digest and size, and each text is checked before it is used. So a damaged
file costs time, never a wrong guide. All numbers are little-endian.
"""

import logging
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeAlias

import xxhash

from servicekit.uncached import BLOCK_BYTES, PAGE_BYTES, UncachedWindow

Place: TypeAlias = tuple[bytes, int, int, int]
"""The digest of the deflated bytes (xxh3, 128 bits), that of the text (64 bits), and where that stands."""
_ROW = struct.Struct("<16sQQQ")
_CHANNEL = struct.Struct("<QQ")  # the digest of its id, and the row at which it begins
_END = struct.Struct("<8sQQQ16sQ")  # what it is, rows, channels, bytes and digest of the text, digest of the channels
_MAGIC = b"places01"
_BUFFER_BYTES = 64 << 10
SPAN_BYTES = (BLOCK_BYTES - PAGE_BYTES) // 2
"""Texts that begin so near each other are read in one go; a longer one is never copied."""

_log = logging.getLogger("publish")


def key_of(body: bytes) -> bytes:
    """What a text is found by: the digest of its deflated bytes."""
    return xxhash.xxh3_128_digest(body)


def check_of(text: bytes | memoryview) -> int:
    """What shows that a text is unharmed."""
    return xxhash.xxh3_64_intdigest(text)


class PlacesFile:
    """Writes down where texts stand."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self._channels = bytearray()
        self._rows = 0

    def channel(self, channel_id: str) -> None:
        """The texts that follow are of this channel."""
        self._channels += _CHANNEL.pack(_named(channel_id), self._rows)

    def add(self, place: Place) -> None:
        """The next text."""
        self._buffer += _ROW.pack(*place)
        self._rows += 1
        if len(self._buffer) >= _BUFFER_BYTES:
            self._stream.write(self._buffer)
            self._buffer.clear()

    def end(self, digest: bytes, size: int) -> None:
        """The whole text is so long, and this is its digest (128 bits). Nothing is written where nothing was added."""
        if not self._rows:
            return
        count = len(self._channels) // _CHANNEL.size
        self._buffer += self._channels
        self._buffer += _END.pack(_MAGIC, self._rows, count, size, digest, xxhash.xxh3_64_intdigest(self._channels))
        self._stream.write(self._buffer)


class EarlierText:
    """A published file and its places, open: texts that need not be inflated."""

    def __init__(self, plain: Path, places: Path, digest: bytes) -> None:
        """Raises OSError when a file cannot be read, ValueError when the places are not those of this text."""
        self._path = plain
        self._told = False
        self._places = places.open("rb")
        try:
            self._channels = _directory(self._places, digest, plain.stat().st_size)
            self._window = UncachedWindow(plain)
        except BaseException:
            self._places.close()
            raise

    def channel(self, channel_id: str) -> Mapping[bytes, Place]:
        """The places of a channel's texts by what they are found by."""
        rows = self._channels.get(_named(channel_id))
        if rows is None:
            return {}
        self._places.seek(rows.start * _ROW.size)
        found = self._places.read(len(rows) * _ROW.size)
        return {row[0]: row for row in _ROW.iter_unpack(found[: len(found) // _ROW.size * _ROW.size])}

    def texts(self, places: Sequence[Place]) -> list[memoryview | None]:
        """The texts of some places, good until the next call; None for one that is harmed."""
        found: list[memoryview | None] = []
        near = list[Place]()
        for place in places:
            if place[3] > SPAN_BYTES:
                found += [*map(_kept, self._near(near)), None]
                near = []
                continue
            if near and not 0 <= place[2] - near[0][2] <= SPAN_BYTES:
                found += map(_kept, self._near(near))
                near = []
            near.append(place)
        return found + self._near(near)

    def _near(self, places: Sequence[Place]) -> list[memoryview | None]:
        """The texts of places that are close to each other; the first of them stands first."""
        if not places:
            return []
        start = places[0][2]
        try:
            read = self._window.view(start, max(one[2] + one[3] for one in places) - start)
        except (OSError, OverflowError) as error:
            read = memoryview(b"")
            self._tell(str(error))
        texts = [read[offset - start : offset - start + length] for _, _, offset, length in places]
        found = [text if check_of(text) == one[1] else None for one, text in zip(places, texts, strict=True)]
        if None in found:
            self._tell("it is not what was written")
        return found

    def _tell(self, why: str) -> None:
        if not self._told:
            _log.warning("%s is damaged (%s); what it held is made anew", self._path.name, why)
            self._told = True

    def close(self) -> None:
        """Closes both files."""
        self._places.close()
        self._window.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _directory(places: BinaryIO, digest: bytes, size: int) -> dict[int, range]:
    """The rows of each channel."""
    length = places.seek(0, 2)
    if length < _END.size:
        raise ValueError("no end")
    places.seek(length - _END.size)
    magic, rows, count, known_size, known_digest, check = _END.unpack(places.read(_END.size))
    if (magic, known_size, known_digest) != (_MAGIC, size, digest):
        raise ValueError("not of this text")
    if rows * _ROW.size + count * _CHANNEL.size + _END.size != length:
        raise ValueError("cut off")
    places.seek(rows * _ROW.size)
    channels = places.read(count * _CHANNEL.size)
    if xxhash.xxh3_64_intdigest(channels) != check:
        raise ValueError("damaged")
    starts = [start for _, start in _CHANNEL.iter_unpack(channels)]
    named = (name for name, _ in _CHANNEL.iter_unpack(channels))
    return {name: range(a, b) for name, a, b in zip(named, starts, [*starts[1:], rows], strict=True)}


def _kept(text: memoryview | None) -> memoryview | None:
    return None if text is None else memoryview(bytes(text))


def _named(channel_id: str) -> int:
    return xxhash.xxh3_64_intdigest(channel_id.encode("utf-8", "surrogatepass"))
