"""A guide's text, its gzip and the places in it, written side by side in one go.

What a guide takes over as it is stored comes with its deflated bytes alone. Its text is copied from the version before
where that has it, and inflated where not; many of them are read, counted and written as one.
"""

from collections.abc import Iterable, Sequence
from typing import BinaryIO, NamedTuple, TypeAlias

import xxhash

from epg_service.domain.days import inflated
from epg_service.lineups.places import EarlierText, Found, Known, Places, PlacesFile, check_of, keys_of
from epg_service.xmltv.gzipped import GzipText, Ready, Writable

BATCH_BYTES = 64 << 10
"""So much deflated text is written at a time."""


class AsStored(NamedTuple):
    """Elements of a channel that stand in the file as they are stored: deflated and flushed (`days.deflated`)."""

    channel_id: str
    bodies: Sequence[bytes]

    @property
    def text(self) -> bytes:
        """The elements."""
        return b"".join(map(inflated, self.bodies))


Piece: TypeAlias = bytes | AsStored


class GuideText:
    """Writes a guide to three streams."""

    def __init__(self, text: Writable, packed: Writable, places: BinaryIO, earlier: Sequence[EarlierText] = ()) -> None:
        """`earlier`: where texts may be found; the first that has one is taken."""
        self._stream = text
        self._gzip = GzipText(packed)
        self._places_file = PlacesFile(places)
        self._places = Places()
        self._earlier = earlier
        self._known: list[tuple[EarlierText, Known]] = []
        self._channel_id = ""
        self._digest = xxhash.xxh3_128()
        self._size = 0
        self._batch: list[bytes] = []
        self._batched = 0

    @property
    def digest(self) -> str:
        """Of the text so far."""
        return self._digest.hexdigest()

    def write(self, pieces: Iterable[Piece]) -> None:
        """The whole guide."""
        for piece in pieces:
            if isinstance(piece, bytes):
                self._end_batch()
                self._put(piece)
                self._gzip.write(piece)
                continue
            if piece.channel_id != self._channel_id:
                self._turn_to(piece.channel_id)
            self._batch += piece.bodies
            self._batched += sum(map(len, piece.bodies))
            if self._batched > BATCH_BYTES:
                self._end_batch()
        self._end_channel()
        self._gzip.close()
        self._places_file.end(self._digest.digest(), self._size)

    def _turn_to(self, channel_id: str) -> None:
        self._end_channel()
        self._channel_id = channel_id
        self._known = [(one, known) for one in self._earlier if (known := one.channel(channel_id)).rows]

    def _end_channel(self) -> None:
        self._end_batch()
        if self._places.keys:
            self._places_file.add(self._channel_id, self._places)
            self._places = Places()

    def _put(self, text: bytes) -> None:
        self._digest.update(text)
        self._stream.write(text)
        self._size += len(text)

    def _end_batch(self) -> None:
        """Writes what is stored and was not written yet."""
        bodies, self._batch, self._batched = self._batch, [], 0
        if not bodies:
            return
        keys = keys_of(bodies)
        found: dict[int, Found] = {}
        for source, known in self._known:
            source.texts(known, keys, found)
        texts: list[bytes | memoryview] = []
        checks: list[int] = []
        for at, body in enumerate(bodies):
            text, check = found[at] if at in found else _anew(body)
            texts.append(text)
            checks.append(check)
        whole = b"".join(texts)
        self._places.add(keys, texts, checks, self._size)
        self._put(whole)
        self._gzip.write(Ready(whole, b"".join(bodies)))


def _anew(body: bytes) -> tuple[bytes, int]:
    """A text that stands nowhere, and its check."""
    text = inflated(body)
    return text, check_of(text)
