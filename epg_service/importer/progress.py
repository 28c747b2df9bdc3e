"""Shows how far a run is, and hears whether it is to stop."""

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import Unavailable

PROGRESS_EVERY_S = 0.5
_log = logging.getLogger("import")


class Cancelled(Exception):
    """The run was asked to stop."""


class Stopping(Exception):
    """The keeper is ending."""


class ProgressLog(Protocol):
    """The run's row."""

    def progress(self, run_id: int, progress: Mapping[str, object]) -> bool: ...


class Progress:
    """Shows how far a run is, at most twice a second, and hears whether it is to stop."""

    def __init__(
        self,
        log: ProgressLog,
        run_id: int,
        clock: Clock,
        stopping: Callable[[], bool],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """`meanwhile` is called as often as progress is shown: what need not wait until the run has ended."""
        self._log = log
        self._run_id = run_id
        self._clock = clock
        self._stopping = stopping
        self._meanwhile = meanwhile
        self._said = 0.0
        self._stage = ""

    def stage(self, name: str) -> None:
        """The next part of the pipe."""
        self._stage = name
        self._say({"stage": name}, now=True)

    def bytes(self, done: int, total: int | None) -> None:
        """How much of the file is here."""
        percent = round(100 * done / total, 1) if total else None
        self._say({"stage": self._stage, "bytes": done, "total_bytes": total, "percent": percent})

    def count(self, programmes: int, channels: int, done: int, total: int | None) -> None:
        """How much of the file was read."""
        percent = round(100 * done / total, 1) if total else None
        counted = {"programmes": programmes, "channels": channels}
        self._say({"stage": self._stage, **counted, "bytes": done, "total_bytes": total, "percent": percent})

    def _say(self, progress: Mapping[str, object], *, now: bool = False) -> None:
        moment = self._clock.monotonic()
        if self._stopping():
            raise Stopping
        if now or moment - self._said >= PROGRESS_EVERY_S:
            self._said = moment
            try:
                cancelled = self._log.progress(self._run_id, progress)
            except Unavailable as error:
                _log.info("progress of run %d is not shown: %s", self._run_id, error.detail)
                return
            if cancelled:
                raise Cancelled
            self._meanwhile()
