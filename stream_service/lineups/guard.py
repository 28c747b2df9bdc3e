"""The guard before a build: waits while what the lineup is made of is being brought in, but not for ever.

Building from a list that is half an hour old while the new one is being read is no fault, only wasted work, and a
guide that is being imported would be matched twice. So the guard is patient, and then goes on and says so.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

AGAIN_S = 0.25

Busy = Callable[[Sequence[int] | None], Sequence[str]]
"""Names of what is being refreshed or imported of these sources (None: of all) and their linked guides."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long it waits: it looks every `delay_s`, at most `max_attempts` times."""

    enabled: bool = True
    delay_s: float = 15.0
    max_attempts: int = 20


class Guard:
    """What is refreshed here (`busy_here`) is looked at more often than the guide service is asked (`busy_there`)."""

    def __init__(
        self, patience: Patience, *, busy_here: Busy, busy_there: Busy, pause: Callable[[float], object] = time.sleep
    ) -> None:
        self._patience = patience
        self._pause = pause
        self._busy_here = busy_here
        self._busy_there = busy_there

    def wait(self, source_ids: Sequence[int] | None, say: Callable[[str], None]) -> list[str]:
        """Return when nothing is being brought in, or the patience ends; then the names of what still is.

        `say` is told what is waited for, at each look.
        """
        if not self._patience.enabled:
            return []
        for attempt in range(1, self._patience.max_attempts + 1):
            here = self._busy_here(source_ids)
            busy = [*here, *self._busy_there(source_ids)]
            if not busy:
                return []
            say(f"waits for {', '.join(busy)} ({attempt} of {self._patience.max_attempts})")
            self._rest(source_ids, only_here=len(here) == len(busy))
        return [*self._busy_here(source_ids), *self._busy_there(source_ids)]

    def _rest(self, source_ids: Sequence[int] | None, *, only_here: bool) -> None:
        """Until the next look, or until our own refreshes have ended where nothing else is waited for."""
        waited_s = 0.0
        while waited_s < self._patience.delay_s:
            self._pause(min(AGAIN_S, self._patience.delay_s))
            waited_s += AGAIN_S
            if only_here and not self._busy_here(source_ids):
                return
