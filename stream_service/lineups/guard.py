"""The guard before a build: waits while what the lineup is made of is being brought in, but not for ever.

Building from a list that is half an hour old while the new one is being read is no fault, only wasted work, and a
guide that is being imported would be matched twice. So the guard is patient, and then goes on and says so.
"""

import threading
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

    def __init__(self, patience: Patience, *, busy_here: Busy, busy_there: Busy) -> None:
        self._patience = patience
        self._busy_here = busy_here
        self._busy_there = busy_there
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let everyone who waits go on at once."""
        self._stopping.set()

    def wait(self, source_ids: Sequence[int] | None, say: Callable[[str], None]) -> list[str]:
        """Return when nothing is being brought in, or the patience ends; then the names of what still is.

        `say` is told what is waited for, at each look.
        """
        if not self._patience.enabled:
            return []
        for attempt in range(1, self._patience.max_attempts + 1):
            here = self._busy_here(source_ids)
            busy = [*here, *self._busy_there(source_ids)]
            if not busy or self._stopping.is_set():
                return []
            say(f"waits for {', '.join(busy)} ({attempt} of {self._patience.max_attempts})")
            self._pause(source_ids if here else None, only_here=len(here) == len(busy))
        return [*self._busy_here(source_ids), *self._busy_there(source_ids)]

    def _pause(self, source_ids: Sequence[int] | None, *, only_here: bool) -> None:
        waited_s = 0.0
        while waited_s < self._patience.delay_s and not self._stopping.wait(min(AGAIN_S, self._patience.delay_s)):
            waited_s += AGAIN_S
            if only_here and not self._busy_here(source_ids):
                return


def nobody(source_ids: Sequence[int] | None) -> Sequence[str]:
    """A `Busy` that never finds anything."""
    return ()
