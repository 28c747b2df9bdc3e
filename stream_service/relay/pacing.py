"""Media that comes in lumps, given out as it plays: what was put with its duration is drained over that duration.

A segment of ten seconds arrives within one. Passed on like that, viewers would get nothing for nine seconds and the
silence would look like a stall; so the wheel's `drain` gives out as much as is due by the clock.
"""

import threading
from collections import deque
from dataclasses import dataclass

from servicekit.clock import Clock

_FAST = 1.1
"""How much faster than it plays media is given out while too much of it has gathered."""


@dataclass(slots=True)
class _Lump:
    data: bytes
    duration_s: float
    given: int = 0


class PacedQueue:
    """A bounded queue of lumps between a reader that waits and the wheel. `ended` as in `Upstream`."""

    def __init__(self, *, clock: Clock, max_bytes: int, burst_s: float = 0.0) -> None:
        self.burst_s = burst_s
        """How much may be given out at once at the beginning."""
        self.ended: str | None = None
        self._clock = clock
        self._max_bytes = max_bytes
        self._lumps: deque[_Lump] = deque()
        self._queued_bytes = 0
        self._change = threading.Condition()
        self._closed = False
        self._finish: str | None = None
        self._started_s: float | None = None
        self._looked_s = 0.0
        self._played_s = 0.0

    @property
    def closed(self) -> bool:
        """True when nobody wants more."""
        return self._closed

    def put(self, data: bytes, duration_s: float) -> bool:
        """Take a lump when there is room; False when nobody wants it."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._queued_bytes < self._max_bytes)
            self._lumps.append(_Lump(data, max(0.0, duration_s)))
            self._queued_bytes += len(data)
            return not self._closed

    def finish(self, reason: str) -> None:
        """No more will be put."""
        with self._change:
            self._finish = reason

    def pause(self, seconds: float) -> bool:
        """Wait; True when the queue was closed meanwhile."""
        with self._change:
            return self._change.wait_for(lambda: self._closed, seconds)

    def drain(self, into: memoryview) -> int:
        """As much as is due, and as there is room for."""
        filled = 0
        with self._change:
            due_s = self._due_s()
            while self._lumps and filled < len(into):
                lump = self._lumps[0]
                given = lump.given + self._give(lump, into[filled:], due_s)
                if given == lump.given and lump.data:
                    break
                filled += given - lump.given
                if lump.data:
                    self._played_s += lump.duration_s * (given - lump.given) / len(lump.data)
                lump.given = given
                if given == len(lump.data):
                    self._lumps.popleft()
            self._queued_bytes -= filled
            if not self._lumps:
                self.ended = self._finish
            self._change.notify_all()
        return filled

    def close(self) -> None:
        """Throw everything away; the reader's next `put` says False."""
        with self._change:
            self._closed = True
            self._lumps.clear()
            self._queued_bytes = 0
            self._change.notify_all()

    def _give(self, lump: _Lump, into: memoryview, due_s: float) -> int:
        """Copy what is due of a lump; returns how many bytes."""
        size = len(lump.data)
        ahead_s = due_s - self._played_s
        if lump.duration_s > 0:
            due = max(0, min(size - lump.given, round(size * ahead_s / lump.duration_s)))
        else:
            due = size - lump.given
        count = min(due, len(into))
        into[:count] = lump.data[lump.given : lump.given + count]
        return count

    def _due_s(self) -> float:
        """How far the media should have been given out by now."""
        now_s = self._clock.monotonic()
        if self._started_s is None:
            if not self._lumps:
                return 0.0
            self._started_s = self._looked_s = now_s
        waiting_s = sum(one.duration_s for one in self._lumps)
        if waiting_s > 2 * self.burst_s + 30:
            self._started_s -= (now_s - self._looked_s) * (_FAST - 1)
        self._looked_s = now_s
        due_s = now_s - self._started_s + self.burst_s
        late_s = due_s - self._played_s - self.burst_s
        if not self._lumps and late_s > 0:
            # Nothing was there for longer than players had in hand: what comes next starts a new count.
            self._started_s += late_s
            due_s -= late_s
        return due_s
