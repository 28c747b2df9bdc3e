"""The keeper's job behind publishing: brings the search index up to date, in steps that leave room for other work."""

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from servicekit.errors import AerialError, Unavailable
from servicekit.store.sqlite import DiskFull

REST_S = 60.0
"""After a fault the index is left alone for so long."""
_log = logging.getLogger("search")


class Index(Protocol):
    """The search index."""

    def up_to_date(self) -> bool: ...
    def update(self) -> Iterator[int]: ...
    def discard(self) -> None: ...


class Indexing:
    """Works on the index while there is work; a fault of it never stops the keeper."""

    def __init__(self, *, index: Index, damaged: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._index = index
        self._damaged = damaged
        self._monotonic = monotonic
        self._running: Iterator[int] | None = None
        self._done = 0
        self._rest_until = 0.0
        self._discarded = False

    def work(self, seconds: float) -> bool:
        """Works for about so long; True while there is more to do."""
        if self._monotonic() < self._rest_until:
            return False
        try:
            if self._damaged.exists():
                self._anew("a reader found it damaged")
            more = self._work(self._monotonic() + seconds)
        except (Unavailable, DiskFull) as error:  # neither says anything against the index that is there
            self._rest(f"{error.detail}; it is tried again")
            return False
        except AerialError as error:
            return self._after_damage(error.detail)
        self._discarded = self._discarded and more
        return more

    def _work(self, end: float) -> bool:
        if self._running is None:
            if self._index.up_to_date():
                return False
            self._running, self._done = self._index.update(), 0
        with _no_collector():
            for programmes in self._running:
                self._done += programmes
                if self._monotonic() >= end:
                    return True
        self._running = None
        _log.info("the search index is up to date: %d programmes read", self._done)
        return not self._index.up_to_date()

    def _after_damage(self, why: str) -> bool:
        """Makes the index anew, once; when that does not help it rests."""
        if self._discarded:
            self._rest(why)
            return False
        try:
            self._anew(why)
        except (AerialError, OSError) as error:
            self._rest(str(error))
            return False
        self._discarded = True
        return True

    def _anew(self, why: str) -> None:
        _log.warning("the search index is made anew: %s", why)
        self._running = None
        self._index.discard()
        self._damaged.unlink(missing_ok=True)

    def _rest(self, why: str) -> None:
        _log.error("the search index is left as it is for %.0f s: %s", REST_S, why)
        self._running = None
        self._rest_until = self._monotonic() + REST_S


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """A step makes a hundred thousand tuples and no cycle: looking through them again and again costs a tenth."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
