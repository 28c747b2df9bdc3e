"""One channel's recent past: one buffer, many cursors.

Pure, and without a lock: the one writer owns it, and whoever reads does so under that owner's lock. The rules:

- The ring is bounded in seconds (by arrival) and in bytes; the oldest blobs leave, whoever still needs them.
- A cursor always stands on a packet boundary. When a send ends inside a packet, the rest of that packet moves to the
  cursor's `pending`; so a client can be moved or ended at any time and sees whole packets only.
- A cursor whose blob has left has *fallen out*: it jumps. It finishes the packet in hand, then gets the tables and the
  newest start point. Every jump is counted.
"""

from collections import deque
from dataclasses import dataclass

from stream_service.relay.mpegts import PACKET_BYTES, Blob

_LEAVING_SHARE = 0.8
"""A start point older than this share of the span is about to leave: a slow joiner would fall out at once."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the ring, and the tables a decoder needs before it."""

    index: int
    offset: int
    tables: bytes


@dataclass(frozen=True, slots=True)
class _Held:
    blob: Blob
    at_s: float


@dataclass(frozen=True, slots=True)
class _Start:
    position: Position
    at_s: float


class Cursor:
    """Where one client is: the next byte is `pending`'s first, else the one at `offset` of blob `index`."""

    __slots__ = ("index", "jumps", "offset", "pending")

    def __init__(self, position: Position, *, before: bytes = b"") -> None:
        self.index = position.index
        self.offset = position.offset
        self.pending = before + position.tables
        self.jumps = 0


class Ring:
    """The blobs of the last `span_s` seconds, at most `max_bytes` of them, each numbered for good."""

    def __init__(self, *, span_s: float, max_bytes: int) -> None:
        self._span_s = span_s
        self._max_bytes = max_bytes
        self._held: deque[_Held] = deque()
        self._starts: deque[_Start] = deque()
        self.tail = 0
        """Number of the oldest blob."""
        self.head = 0
        """Number the next blob will get."""
        self.size_bytes = 0

    def append(self, blob: Blob, now_s: float) -> None:
        """Take the newest blob; the oldest leave when a bound is passed."""
        self._held.append(_Held(blob, now_s))
        self.size_bytes += len(blob.data)
        for offset, tables in blob.starts:
            self._starts.append(_Start(Position(self.head, offset, tables), now_s))
        self.head += 1
        held = self._held
        while len(held) > 1 and (now_s - held[0].at_s > self._span_s or self.size_bytes > self._max_bytes):
            self.size_bytes -= len(held.popleft().blob.data)
            self.tail += 1
        while self._starts and self._starts[0].position.index < self.tail:
            self._starts.popleft()

    @property
    def start_points(self) -> int:
        """How many places are held where a decoder can start."""
        return len(self._starts)

    @property
    def span_s(self) -> float:
        """Seconds between the oldest and the newest blob."""
        return self._held[-1].at_s - self._held[0].at_s if self._held else 0.0

    def newest(self) -> bytes:
        """The packets of the newest blob."""
        return self._held[-1].blob.data if self._held else b""

    def latest(self, count: int) -> list[bytes]:
        """The packets of the newest blobs, the oldest of them first."""
        return [held.blob.data for held in list(self._held)[-count:]]

    @property
    def tables(self) -> bytes:
        """The tables in force at the end; empty while none came."""
        return self._held[-1].blob.tables if self._held else b""

    def bitrate_bps(self) -> float:
        """Bits per second over what is held; 0 while that is less than half a second."""
        span_s = self.span_s
        return (self.size_bytes - len(self._held[0].blob.data)) * 8 / span_s if span_s >= 0.5 else 0.0

    def start_position(self, now_s: float, backlog_s: float) -> Position:
        """Where a client starts that shall have `backlog_s` of picture at once.

        The newest start point of at least that age, else the oldest one, but none that is about to leave the ring
        when a newer one exists; without any (radio, no marks) the newest blob of that age, else the oldest. Raises
        `IndexError` on an empty ring.
        """
        if self._starts:
            return self._start_of_age(now_s, backlog_s)
        for back, held in enumerate(reversed(self._held), start=1):
            if now_s - held.at_s >= backlog_s:
                return Position(self.head - back, 0, held.blob.tables)
        return Position(self.tail, 0, self._held[0].blob.tables)

    def _start_of_age(self, now_s: float, backlog_s: float) -> Position:
        newer: _Start | None = None
        for start in reversed(self._starts):
            if now_s - start.at_s >= backlog_s:
                leaving = now_s - start.at_s > self._span_s * _LEAVING_SHARE
                return newer.position if leaving and newer is not None else start.position
            newer = start
        return self._starts[0].position

    def newest_start(self) -> Position:
        """The newest start point, else the newest blob."""
        if self._starts:
            return self._starts[-1].position
        return Position(self.head - 1, 0, self._held[-1].blob.tables)

    def level(self, cursor: Cursor) -> bool:
        """True when the cursor has had everything."""
        return cursor.index == self.head and not cursor.pending

    def lag_s(self, cursor: Cursor) -> float:
        """Seconds of arrival between the cursor's next byte and the newest."""
        if cursor.index >= self.head or not self._held:
            return 0.0
        return self._held[-1].at_s - self._held[max(0, cursor.index - self.tail)].at_s

    def gather(self, cursor: Cursor, blobs: int) -> list[bytes | memoryview]:
        """What to send next: the pending bytes and up to `blobs` blobs. A cursor that fell out jumps first."""
        if cursor.index < self.tail:
            start = self.newest_start()
            cursor.pending += start.tables
            cursor.index, cursor.offset = start.index, start.offset
            cursor.jumps += 1
        pieces: list[bytes | memoryview] = [cursor.pending] if cursor.pending else []
        offset = cursor.offset
        first = cursor.index - self.tail
        for at in range(first, min(first + blobs, len(self._held))):
            data = self._held[at].blob.data
            pieces.append(memoryview(data)[offset:] if offset else data)
            offset = 0
        return pieces

    def advance(self, cursor: Cursor, sent_bytes: int) -> None:
        """Move the cursor over what was sent of the last `gather` (no `append` between the two)."""
        left = sent_bytes
        if cursor.pending:
            taken = min(left, len(cursor.pending))
            cursor.pending = cursor.pending[taken:]
            left -= taken
        while left:
            data = self._held[cursor.index - self.tail].blob.data
            rest = len(data) - cursor.offset
            if left < rest:
                self._stop_inside(cursor, data, cursor.offset + left)
                return
            left -= rest
            cursor.index += 1
            cursor.offset = 0

    def _stop_inside(self, cursor: Cursor, data: bytes, at: int) -> None:
        boundary = at + -at % PACKET_BYTES
        cursor.pending = data[at:boundary]
        if boundary == len(data):
            cursor.index += 1
            boundary = 0
        cursor.offset = boundary
