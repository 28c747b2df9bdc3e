"""A download on a thread of its own, and a reader that follows the file as it grows."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from epg_service.providers.download import Begun, Progress, Validators
from servicekit.errors import Unreachable
from servicekit.redact import redact

WAIT_S = 0.5
LEAVE_S = 2.0
_log = logging.getLogger("download")
Run = Callable[[Progress, Begun], tuple[str, Validators] | None]


class StartedAnew(Exception):
    """The download began again with another version of the file: what was read of it is void."""


class _Unwanted(BaseException):
    """Ends the download's thread; no error of it, so nothing may take it for one worth another try."""


class Arriving:
    """Runs a download and says how far it is. `waiting` hears the bytes and the total while somebody waits for more;
    it may raise to end that. `part_will_do`: when it breaks off for good, what came is the file."""

    def __init__(self, run: Run, *, waiting: Progress, part_will_do: bool = False) -> None:
        self._run = run
        self._waiting = waiting
        self._part_will_do = part_will_do
        self._change = threading.Condition()
        self._unwanted = False
        self._beginnings = 0
        self._ended = False
        self._error: Exception | None = None
        self.result: tuple[str, Validators] | None = None
        """Digest and validators, when it is whole; None on 304 and of a part."""
        self.is_part = False
        self.done = 0
        self.total: int | None = None
        self._thread = threading.Thread(target=self._work, name="download", daemon=True)

    def start(self) -> None:
        """Begins; returns when the answer's head is there, or the end. Raises what the download ended with."""
        self._thread.start()
        self._until(lambda: self._beginnings > 0)

    def whole(self) -> None:
        """Waits for the end. Raises what the download ended with."""
        self._until(lambda: False)

    @property
    def ended(self) -> bool:
        """Whether all of it is there."""
        return self._ended

    @property
    def beginnings(self) -> int:
        """How often the file was begun."""
        return self._beginnings

    def beyond(self, position: int, beginning: int) -> int:
        """How many bytes there are, once they are more than `position`, or it has ended."""
        self._until(lambda: self.done > position or self._beginnings != beginning)
        if self._beginnings != beginning:
            raise StartedAnew
        return self.done

    def leave(self) -> None:
        """Nobody wants the rest. A thread that hears nothing from its provider ends when it hears again."""
        self._unwanted = True
        self._thread.join(LEAVE_S)

    def _until(self, enough: Callable[[], bool]) -> None:
        while True:
            with self._change:
                waits = not (enough() or self._ended)
                self._change.wait_for(lambda: enough() or self._ended, WAIT_S)
                there, error = self._ended or enough(), self._error
            if error is not None:
                raise error
            if waits:  # also when it came at once: a provider that drips is waited for all the time
                self._waiting(self.done, self.total)
            if there:
                return

    # ---- on its thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        error: Exception | None = None
        try:
            self.result = self._run(self._progress, self._begin)
        except _Unwanted:
            pass
        except Exception as reason:  # noqa: BLE001 - whatever it is, it rises where the file is read
            _log.warning("the download ended: %s", redact(str(reason)))
            self.is_part = self._part_will_do and self.done > 0 and isinstance(reason, Unreachable)
            error = None if self.is_part else reason
        with self._change:
            self._error, self._ended = error, True
            self._change.notify_all()

    def _begin(self, total: int | None) -> None:
        with self._change:
            self._beginnings += 1
            self.done, self.total = 0, total
            self._change.notify_all()

    def _progress(self, done: int, total: int | None) -> None:
        if self._unwanted:
            raise _Unwanted
        with self._change:
            self.done, self.total = done, total
            self._change.notify_all()


class Following:
    """Reads the file of a download from its beginning, waiting for what is not there yet."""

    def __init__(self, arriving: Arriving, path: Path) -> None:
        self._arriving = arriving
        self._beginning = arriving.beginnings
        self._stream: IO[bytes] = path.open("rb", buffering=0)
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; b"" at the end. Raises what the download ended with, and `StartedAnew`."""
        there = self._arriving.beyond(self._position, self._beginning)
        wanted = there - self._position if size < 0 else min(size, there - self._position)
        piece = self._stream.read(wanted) if wanted else b""
        self._position += len(piece)
        return piece

    def tell(self) -> int:
        """How many bytes were read."""
        return self._position

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.close()
