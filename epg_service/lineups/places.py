"""Where stored texts stand in a file: who publishes them again copies them from there, and inflates only the rest.

    NAME~DIGEST.xml.places      channel after channel what its texts are found by (the digests of their deflated bytes),
                                the digests of the texts, offsets, lengths; then the channels; an end

What is written here proves nothing: the file has to be the one of this digest and size, and each text is checked before
it is used. So a damaged file costs time, never a wrong guide. Numbers are in this machine's order.
"""

import logging
import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self, TypeAlias

import xxhash

from servicekit.uncached import CACHED_BYTES, PAGE_BYTES, WINDOW_BYTES, UncachedWindow

Found: TypeAlias = tuple[memoryview, int]
"""A text, and what shows that it is unharmed."""
_KEY_BYTES = 16
_ROW_BYTES = _KEY_BYTES + 8 + 8 + 4
_CHANNEL = struct.Struct("=QQ")  # the digest of its id, and how many rows
_END = struct.Struct("=8sQQQ16sQ")  # what it is, rows, channels, bytes and digest of the text, digest of the channels
_MAGIC = b"places01"
SPAN_BYTES = WINDOW_BYTES - PAGE_BYTES
"""So far apart may texts be that are asked for together."""


_log = logging.getLogger("publish")


def keys_of(bodies: Iterable[bytes]) -> list[bytes]:
    """What texts are found by: the digests of their deflated bytes (xxh3, 128 bits)."""
    return list(map(xxhash.xxh3_128_digest, bodies))


def check_of(text: bytes | memoryview) -> int:
    """What shows that a text is unharmed."""
    return xxhash.xxh3_64_intdigest(text)


@dataclass(slots=True)
class Places:
    """Where the texts of a channel stand; all columns of the same length."""

    keys: list[bytes] = field(default_factory=list)
    checks: "array[int]" = field(default_factory=lambda: array("Q"))
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    lengths: "array[int]" = field(default_factory=lambda: array("I"))

    def add(
        self, keys: Sequence[bytes], texts: Sequence[bytes | memoryview], checks: Sequence[int], offset: int
    ) -> None:
        """Texts that follow each other, the first of them at `offset`."""
        lengths = list(map(len, texts))
        self.keys += keys
        self.checks.extend(checks)
        self.lengths.extend(lengths)
        self.offsets.extend(accumulate(lengths[:-1], initial=offset))


class PlacesFile:
    """Writes down where texts stand."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._channels = bytearray()
        self._rows = 0

    def add(self, channel_id: str, places: Places) -> None:
        """The places of a channel, or more of them."""
        self._stream.write(
            b"".join((*places.keys, places.checks.tobytes(), places.offsets.tobytes(), places.lengths.tobytes()))
        )
        self._channels += _CHANNEL.pack(_named(channel_id), len(places.keys))
        self._rows += len(places.keys)

    def end(self, digest: bytes, size: int) -> None:
        """The whole text is so long, and this is its digest (128 bits). Nothing is written where nothing was added."""
        if self._rows:
            count = len(self._channels) // _CHANNEL.size
            self._stream.write(self._channels)
            check = xxhash.xxh3_64_intdigest(self._channels)
            self._stream.write(_END.pack(_MAGIC, self._rows, count, size, digest, check))


class Known(NamedTuple):
    """Where texts of a channel stand, and which of them is found by what."""

    rows: Mapping[bytes, int]
    places: Places


class EarlierText:
    """A file and its places, open: texts that need not be inflated."""

    def __init__(self, plain: Path, places: Path, digest: bytes, *, cached_bytes: int = CACHED_BYTES) -> None:
        """Raises OSError when a file cannot be read, ValueError when the places are not those of this text."""
        self._path = plain
        self._told = False
        self._places = places.open("rb")
        try:
            self._channels = _directory(self._places, digest, plain.stat().st_size)
            self._window = UncachedWindow(plain, cached_bytes=cached_bytes)
        except BaseException:
            self._places.close()
            raise

    def channel(self, channel_id: str) -> Known:
        """What is known of a channel's texts."""
        found = Places()
        for rows in self._channels.get(_named(channel_id), ()):
            self._places.seek(rows.start * _ROW_BYTES)
            _append(found, self._places.read(len(rows) * _ROW_BYTES), len(rows))
        return Known(dict(zip(found.keys, range(len(found.keys)), strict=True)), found)

    def texts(self, known: Known, keys: Sequence[bytes], found: dict[int, Found]) -> None:
        """Adds the texts that are found by these keys, but those that are there; they are good until the next call. One
        that stands too far from the first, or is harmed, is not found."""
        rows = known.rows
        hits = [(at, rows[key]) for at, key in enumerate(keys) if key in rows and at not in found]
        if not hits:
            return
        checks, offsets, lengths = known.places.checks, known.places.offsets, known.places.lengths
        start = offsets[hits[0][1]]
        hits = [(at, row) for at, row in hits if 0 <= offsets[row] - start <= SPAN_BYTES - lengths[row]]
        try:
            read = self._window.view(start, max((offsets[row] - start + lengths[row] for _, row in hits), default=0))
        except (OSError, OverflowError) as error:
            self._tell(str(error))
            return
        for at, row in hits:
            begin = offsets[row] - start
            text = read[begin : begin + lengths[row]]
            check = checks[row]
            if check_of(text) == check:
                found[at] = text, check
            else:
                self._tell("it is not what was written")

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


def _directory(places: BinaryIO, digest: bytes, size: int) -> dict[int, list[range]]:
    """The rows of each channel."""
    length = places.seek(0, 2)
    if length < _END.size:
        raise ValueError("no end")
    places.seek(length - _END.size)
    magic, rows, count, known_size, known_digest, check = _END.unpack(places.read(_END.size))
    if (magic, known_size, known_digest) != (_MAGIC, size, digest):
        raise ValueError("not of this text")
    if rows * _ROW_BYTES + count * _CHANNEL.size + _END.size != length:
        raise ValueError("cut off")
    places.seek(rows * _ROW_BYTES)
    channels = places.read(count * _CHANNEL.size)
    if xxhash.xxh3_64_intdigest(channels) != check:
        raise ValueError("damaged")
    found: dict[int, list[range]] = {}
    at = 0
    for name, more in _CHANNEL.iter_unpack(channels):
        found.setdefault(name, []).append(range(at, at + more))
        at += more
    return found


def _append(places: Places, data: bytes, count: int) -> None:
    """Rows as `PlacesFile.add` wrote them."""
    view, at = memoryview(data), count * _KEY_BYTES
    places.keys += (key for (key,) in struct.iter_unpack("16s", view[:at]))
    for column in (places.checks, places.offsets, places.lengths):
        column.frombytes(view[at : at + count * column.itemsize])
        at += count * column.itemsize


def _named(channel_id: str) -> int:
    return xxhash.xxh3_64_intdigest(channel_id.encode("utf-8", "surrogatepass"))
