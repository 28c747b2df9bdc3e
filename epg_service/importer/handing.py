"""Hands what was cut out of programmes over to the search index, in a file of each provider; faults only end it."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from epg_service.domain.pieces import Cut, framed
from servicekit.uncached import UncachedFile

MOST_PROGRAMMES = 20_000
"""Of a larger channel nothing is handed over: it would be in memory whole."""


class Handing:
    """Writes the file, which is good for as much as was written. `path`: None when nobody wants it."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stream: UncachedFile | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.unlink(missing_ok=True)  # who reads the one before goes on with it
                self._stream = UncachedFile(self._path)
        return self

    def add(self, channel: str, days: Sequence[tuple[int, bytes]], cut: Sequence[Cut]) -> None:
        """The pieces of all programmes of a channel that was not known, and the days that are stored of it, each with
        its `contents`."""
        if self._stream is None or len(cut) > MOST_PROGRAMMES:
            return
        try:
            self._stream.write(framed(channel, days, cut))
        except OSError:
            self.__exit__(OSError, None, None)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._stream is None or self._path is None:
            return
        stream, self._stream = self._stream, None
        try:
            stream.__exit__(kind, error, at)
        except OSError:
            kind = OSError
        if kind is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
