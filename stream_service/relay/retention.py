"""The sessions log as the settings want it: written or not, and kept for so many days."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from servicekit.clock import Clock
from stream_service.domain.watching import Watched

log = logging.getLogger(__name__)

_DAY_S = 86_400
_EVERY_S = 3_600.0


class Rows(Protocol):
    """Where viewings are kept; see `store.sessions_log`."""

    def write(self, viewings: Sequence[Watched]) -> None: ...
    def forget_before(self, moment: int) -> int: ...


class KeptLog:
    """`days`: for how many viewings are kept now, 0 for not at all. Calls may wait for the database."""

    def __init__(self, rows: Rows, *, days: Callable[[], int], clock: Clock) -> None:
        self._rows = rows
        self._days = days
        self._clock = clock
        self._pruned_s: float | None = None

    def write(self, viewings: Sequence[Watched]) -> None:
        """Write them, unless nothing is to be kept; now and then forget what is too old. Raises `Unavailable`."""
        if self._days():
            self._rows.write(viewings)
        if self._pruned_s is None or self._clock.monotonic() - self._pruned_s > _EVERY_S:
            self.prune()

    def prune(self) -> None:
        """Forget what is older than it may be. Raises `Unavailable`."""
        self._pruned_s = self._clock.monotonic()
        gone = self._rows.forget_before(self._clock.now_s() - self._days() * _DAY_S)
        if gone:
            log.info("%d old viewings were forgotten", gone)
