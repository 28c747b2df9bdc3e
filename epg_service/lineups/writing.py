"""A guide's text, its gzip and the places in it, written side by side in one go.

What a guide takes over as it is stored comes with its deflated bytes alone. Its text is copied from the version before
where that has it, and inflated where not; many of them are read, counted and written as one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, NamedTuple, TypeAlias

import xxhash

from epg_service.domain.days import inflated
from epg_service.lineups.places import EarlierText, Place, PlacesFile, check_of, key_of
from epg_service.xmltv.gzipped import GzipText, Ready, Writable

BATCH_BYTES = 64 << 10
"""So much deflated text is written at a time."""
_Waiting: TypeAlias = tuple[bytes, bytes]  # what it is found by, and its deflated bytes


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
        self._places = PlacesFile(places)
        self._earlier = earlier
        self._known: list[tuple[EarlierText, Mapping[bytes, Place]]] = []
        self._channel_id: str | None = None
        self._digest = xxhash.xxh3_128()
        self._size = 0
        self._batch: list[_Waiting] = []
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
                self._end_batch()
                self._turn_to(piece.channel_id)
            self._batch += [(key_of(body), body) for body in piece.bodies]
            self._batched += sum(map(len, piece.bodies))
            if self._batched > BATCH_BYTES:
                self._end_batch()
        self._end_batch()
        self._gzip.close()
        self._places.end(self._digest.digest(), self._size)

    def _turn_to(self, channel_id: str) -> None:
        self._channel_id = channel_id
        self._known = [(one, found) for one in self._earlier if (found := one.channel(channel_id))]
        self._places.channel(channel_id)

    def _put(self, text: bytes) -> None:
        self._digest.update(text)
        self._stream.write(text)
        self._size += len(text)

    def _end_batch(self) -> None:
        """Writes what is stored and was not written yet."""
        if not self._batch:
            return
        batch, self._batch, self._batched = self._batch, [], 0
        copied = self._copied(batch)
        texts = [inflated(body) if found is None else found[0] for found, (_, body) in zip(copied, batch, strict=True)]
        at = self._size
        for found, (key, _), text in zip(copied, batch, texts, strict=True):
            self._places.add((key, check_of(text) if found is None else found[1], at, len(text)))
            at += len(text)
        whole = b"".join(texts)
        self._put(whole)
        self._gzip.write(Ready(whole, b"".join([body for _, body in batch])))

    def _copied(self, batch: list[_Waiting]) -> list[tuple[memoryview, int] | None]:
        """The texts that stand somewhere already, with their checks; they are good until the next batch."""
        copied: list[tuple[memoryview, int] | None] = [None] * len(batch)
        for source, known in self._known:
            found = [(at, known[key]) for at, (key, _) in enumerate(batch) if copied[at] is None and key in known]
            texts = source.texts([place for _, place in found])
            for (at, place), text in zip(found, texts, strict=True):
                if text is not None:
                    copied[at] = text, place[1]
        return copied
