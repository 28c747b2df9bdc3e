"""Tuners of lineups: one stream of one client takes one, as in a device.

Who holds a tuner is what the relay carries, so none can be lost: it is free the moment its viewer has gone, whatever
the way. Here stands only what is being tuned right now, before the relay knows of it.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import Unavailable

IN_USE = "tuner_in_use"
ALL_IN_USE = "tuners_in_use"
"""Words among an error's fields (`code`)."""
WAIT_S = 0.5
"""A player that tunes anew leaves its old stream in the same moment: so long it may take to be noticed."""
PAUSE_S = 0.02
SCAN_S = 3.0


class Relay(Protocol):
    """What is asked of the relay's hub."""

    def tuners(self) -> Sequence[str]:
        """The tuners that viewers hold."""
        ...


class Tuners:
    """All tuners of all lineups. `taking` may wait for a moment."""

    def __init__(self, relay: Relay, *, clock: Clock, wait_s: float = WAIT_S) -> None:
        self._relay = relay
        self._clock = clock
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._taking: set[str] = set()

    @contextmanager
    def taking(self, lineup: str, count: int, wanted: int | None = None) -> Iterator[str]:
        """A free tuner of the lineup's `count` ("kids/0"), or the `wanted` one: hand it to the relay inside.

        Raises `Unavailable` (`code` is `IN_USE` for a wanted one, else `ALL_IN_USE`).
        """
        tuner = self._chosen([f"{lineup}/{number}" for number in (range(count) if wanted is None else [wanted])])
        if tuner is None:
            words = f"all {count} tuners are in use" if wanted is None else f"tuner {wanted} is in use"
            raise Unavailable(words, code=ALL_IN_USE if wanted is None else IN_USE)
        try:
            yield tuner
        finally:
            with self._lock:
                self._taking.discard(tuner)

    def _chosen(self, candidates: Sequence[str]) -> str | None:
        end_s = self._clock.monotonic() + self._wait_s
        while (tuner := self._free(candidates)) is None and self._clock.monotonic() < end_s:
            time.sleep(PAUSE_S)
        return tuner

    def _free(self, candidates: Sequence[str]) -> str | None:
        with self._lock:
            held = {*self._relay.tuners(), *self._taking}
            tuner = next((one for one in candidates if one not in held), None)
            if tuner is not None:
                self._taking.add(tuner)
            return tuner


class Scans:
    """Scans for channels, as clients see them: there is nothing to find, but they wait for the end of one."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._began: dict[str, float] = {}

    def start(self, lineup: str) -> None:
        """Begin one; one that runs begins anew."""
        self._began[lineup] = self._clock.monotonic()

    def abort(self, lineup: str) -> None:
        """End it."""
        self._began.pop(lineup, None)

    def progress(self, lineup: str) -> int | None:
        """Percent of the one that runs, None when none does."""
        began = self._began.get(lineup)
        percent = 100 if began is None else int((self._clock.monotonic() - began) / SCAN_S * 100)
        if percent < 100:
            return percent
        self._began.pop(lineup, None)
        return None
