"""Reads ahead on a thread: what unpacks a guide works while the pieces before are parsed."""

import logging
import queue
import threading
from types import TracebackType
from typing import Self

from epg_service.domain.model import Readable

PIECE_BYTES = 256 * 1024
PIECES = 4
_log = logging.getLogger("import")


class Ahead:
    """A few pieces of a stream, read before they are asked for."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._pieces: queue.Queue[bytes | Exception] = queue.Queue(PIECES)
        self._unwanted = threading.Event()
        self._rest = b""
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="unpack", daemon=True)
        self._thread.start()

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; b"" at the end. Raises what the stream raised, where it did."""
        if not self._rest and not self._ended:
            piece = self._pieces.get()
            if isinstance(piece, Exception):
                self._ended = True
                raise piece
            self._ended = not piece
            self._rest = piece
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _work(self) -> None:
        try:
            while not self._unwanted.is_set():
                piece = self._stream.read(PIECE_BYTES)
                self._pieces.put(piece)
                if not piece:
                    return
        except Exception as reason:  # noqa: BLE001 - whatever it is, it rises where the piece is read
            _log.warning("reading ahead ended: %s", reason)
            self._pieces.put(reason)

    def close(self) -> None:
        """Ends the thread; the stream is its owner's again."""
        self._unwanted.set()
        while self._thread.is_alive():
            try:
                self._pieces.get(timeout=0.05)
            except queue.Empty:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
