"""What happens in the relay, told as it happens and written down when it is over; nobody waits for either.

    hub (under its lock) ── happened ──► whoever listens now
                         └─ watched ──► a queue ──► written in batches, off the loop ──► the sessions log

The writer lives while there is something to write. A database that is locked costs the queue some seconds of waiting;
what does not fit into it is counted and lost.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from servicekit.errors import AerialError
from stream_service import native
from stream_service.domain.watching import Watched

log = logging.getLogger(__name__)

BATCH_S = 1.0
"""How long viewings are gathered before they are written together."""
AGAIN_S = 2.0
MOST_WAITING = 20_000
MOST_AT_ONCE = 500

Write = Callable[[Sequence[Watched]], object]
"""Writes viewings down; may wait, raises `AerialError` when it cannot (all or none are written)."""
Tell = Callable[[str, Mapping[str, object]], object]
"""Tells listeners what happened: a kind and its fields; never waits."""


def _nothing(*_: object) -> None:
    """Nobody listens, nothing is written."""


class Journal:
    """See the module's words."""

    def __init__(self, *, write: Write = _nothing, tell: Tell = _nothing, batch_s: float = BATCH_S) -> None:
        self.lost = 0
        """Viewings that could not be written down."""
        self._write = write
        self._tell = tell
        self._batch_s = batch_s
        self._waiting: deque[Watched] = deque()
        self._writing = False
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._written = threading.Lock()

    def happened(self, kind: str, **said: object) -> None:
        """Something that people who look on want to know."""
        self._tell(kind, said)

    def watched(self, one: Watched) -> None:
        """A viewing is over."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self.lost += 1
                return
            self._waiting.append(one)
            begin, self._writing = not self._writing and not self._closing.is_set(), True
        if begin:
            native.spawn(self._write_all, name="sessions log")

    def close(self) -> None:
        """Write what is left, now; the caller may wait."""
        self._closing.set()
        try:
            while self._write_some():
                pass
        except AerialError as error:
            with self._lock:
                self.lost += len(self._waiting)
                log.warning("%d viewings were not written down: %s", len(self._waiting), error.detail)
                self._waiting.clear()

    def _write_all(self) -> None:
        pause_s = self._batch_s
        while not self._closing.wait(pause_s):
            pause_s = self._batch_s
            try:
                more = self._write_some()
            except AerialError as error:
                log.warning("the sessions log is written later: %s", error.detail)
                more, pause_s = True, AGAIN_S
            with self._lock:
                if not more and not self._waiting:
                    self._writing = False
                    return

    def _write_some(self) -> bool:
        """Write the oldest ones; True when more wait. They stay in the queue until they are written."""
        with self._written:
            with self._lock:
                batch = [self._waiting[at] for at in range(min(len(self._waiting), MOST_AT_ONCE))]
            if not batch:
                return False
            native.call(self._write, batch)
            with self._lock:
                for _ in batch:
                    self._waiting.popleft()
                return bool(self._waiting)
