"""One channel: its upstream, its ring, and the state between them.

States and moves (every move is logged with its reason, and told to the hub):

    state       meaning                                          moves to
    idle        nothing is open; only a moment                   connecting
    connecting  an address is being opened, waits for its        running (packets came), failed (nobody has had a byte
                first packets, or the pause before the next      and every address failed), closing (nobody is left)
                try runs
    running     packets come                                     stalled, connecting (ended, bad), closing
    stalled     open, but silent for `stall_notice_s`            running, connecting (silent for `stall_s`), closing
    closing     no client is left; open for the grace            running, connecting (a client came), idle (grace over)
    failed      no address gave a packet; viewers are refused    connecting (a client came after the pause), idle
                until the pause is over

Which address next: a connection that was stable is opened again at once, since most breaks are short; one that ran
only a while is followed by the next address at once; what gave nothing, or next to nothing, is a failure: the next
address, and after each vain pass over all of them a pause, doubling from 1 s to 30 s with jitter.

A channel belongs to the hub: all methods run under the hub's lock and none of them waits. Opening happens elsewhere
(`dial`), and its outcome comes back as `opened` or `refused` with the number of the attempt, so that an attempt that
was given up cannot come back as another one's answer.
"""

import logging
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from servicekit.redact import redact
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.relay.mpegts import Scanner, other_content
from stream_service.relay.ring import Ring
from stream_service.relay.settings import RelaySettings
from stream_service.relay.upstream import Upstream

if TYPE_CHECKING:
    from stream_service.relay.client import Client

log = logging.getLogger(__name__)

_HEAD_BYTES = 512
_JUNK_MAX_BYTES = 256 * 1024
_COLD_READS = 20
_COLD_S = 2.0
_MAX_DOUBLINGS = 8


class State(StrEnum):
    """See the table above."""

    IDLE = "idle"
    CONNECTING = "connecting"
    RUNNING = "running"
    STALLED = "stalled"
    CLOSING = "closing"
    FAILED = "failed"


MOVES: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.CONNECTING}),
    State.CONNECTING: frozenset({State.RUNNING, State.FAILED, State.CLOSING}),
    State.RUNNING: frozenset({State.STALLED, State.CONNECTING, State.CLOSING}),
    State.STALLED: frozenset({State.RUNNING, State.CONNECTING, State.CLOSING}),
    State.CLOSING: frozenset({State.RUNNING, State.CONNECTING, State.IDLE}),
    State.FAILED: frozenset({State.CONNECTING, State.IDLE}),
}

Dial = Callable[["Channel", StreamAddress, int], None]
"""Start to open the address; the number is handed back with the outcome. Must not wait."""


class Channel:
    """See the module's words. `moved(channel, before)` is called after each move."""

    def __init__(
        self,
        target: ChannelTarget,
        *,
        settings: RelaySettings,
        dial: Dial,
        moved: Callable[["Channel", State], None],
        jitter: Callable[[], float],
        now_s: float,
    ) -> None:
        self.target = target
        self.state = State.IDLE
        self.reason = ""
        self.since_s = now_s
        self.ring = Ring(span_s=settings.ring_span_s, max_bytes=settings.ring_max_bytes)
        self.clients: dict[Client, None] = {}
        """Those being served, in the order they came."""
        self.waiting: set[Client] = set()
        """Those who wait for the first packets."""
        self.reconnects = 0
        self.slot = 0
        """Which turn of the wheel is this channel's."""
        self._settings = settings
        self._dial = dial
        self._moved = moved
        self._jitter = jitter
        self._upstream: Upstream | None = None
        self._scanner = Scanner()
        self._head = b""
        self._address_index = 0
        self._attempt = 0
        self._dialing_since_s: float | None = None
        self._opened_at_s = 0.0
        self._heard_at_s = 0.0
        self._running_since_s: float | None = None
        self._reads = 0
        self._failures = 0
        self._retry_at_s = now_s
        self._closes_at_s = 0.0

    # -- what others ask

    @property
    def address(self) -> StreamAddress | None:
        """The address in use, or the next to be tried; None when the channel has none."""
        streams = self.target.streams
        return streams[self._address_index % len(streams)] if streams else None

    @property
    def wanted(self) -> bool:
        """True while anybody is served or waits."""
        return bool(self.clients or self.waiting)

    def ready(self, now_s: float) -> bool:
        """True when a client can be started: on a keyframe, or without one where none is to be had."""
        if self.state not in (State.RUNNING, State.STALLED) or self._running_since_s is None:
            return False
        waited_s = now_s - self._running_since_s
        no_keyframes = self._scanner.without_video or waited_s >= self._settings.start_point_wait_s
        return self.ring.start_points > 0 or no_keyframes

    def cold(self, now_s: float) -> bool:
        """True while a connection is new: it is read every turn, so that viewers start at once."""
        return self._upstream is not None and self._reads < _COLD_READS and now_s - self._opened_at_s < _COLD_S

    def retry_in_s(self, now_s: float) -> int:
        """Whole seconds until a failed channel may be tried again, at least 1."""
        return max(1, round(self._retry_at_s - now_s + 0.5))

    # -- what happens to it

    def want(self, target: ChannelTarget, now_s: float) -> None:
        """A client came. New addresses of the target count from the next connection on."""
        self.target = target
        if self.state is State.IDLE or (self.state is State.FAILED and now_s >= self._retry_at_s):
            self._connect("a client came", now_s)
        elif self.state is State.CLOSING and self._running_since_s is not None:
            self._move(State.RUNNING, "a client came", now_s)
        elif self.state is State.CLOSING:
            self._move(State.CONNECTING, "a client came", now_s)

    def opened(self, attempt: int, upstream: Upstream, now_s: float) -> bool:
        """The attempt connected; False when it is no longer wanted (the caller closes it)."""
        if attempt != self._attempt or self._dialing_since_s is None:
            return False
        self._dialing_since_s = None
        self._upstream = upstream
        self._scanner = Scanner()
        self._head = b""
        self._reads = 0
        self._opened_at_s = self._heard_at_s = now_s
        return True

    def refused(self, attempt: int, reason: str, now_s: float) -> None:
        """The attempt failed."""
        if attempt == self._attempt and self._dialing_since_s is not None:
            self._lose(reason, now_s)

    def tick(self, now_s: float, buffer: memoryview) -> bool:
        """Read what came and look at the clock; True when the ring has a new blob."""
        fresh = False
        if self._upstream is not None:
            fresh = self._read(self._upstream, now_s, buffer)
        elif self._dialing_since_s is not None:
            limit_s = self._settings.connect_s + self._settings.first_byte_s
            if now_s - self._dialing_since_s > limit_s:
                self._lose(f"no answer within {limit_s:g} s", now_s)
        elif self.state is State.CONNECTING and now_s >= self._retry_at_s:
            self._open_next(now_s)
        self._mind_the_audience(now_s)
        return fresh

    def close(self, reason: str, now_s: float) -> None:
        """End the upstream and be idle for good; clients are the hub's to end."""
        self._drop_upstream()
        if self.state not in (State.CLOSING, State.FAILED, State.IDLE):
            self._move(State.CLOSING, reason, now_s)
        if self.state is not State.IDLE:
            self._move(State.IDLE, reason, now_s)

    # -- how

    def _connect(self, reason: str, now_s: float) -> None:
        self._move(State.CONNECTING, reason, now_s)
        self._retry_at_s = now_s
        self._open_next(now_s)

    def _open_next(self, now_s: float) -> None:
        address = self.address
        if address is None:
            self._lose("the channel has no address", now_s)
            return
        self._attempt += 1
        self._dialing_since_s = now_s
        self._dial(self, address, self._attempt)

    def _read(self, upstream: Upstream, now_s: float, buffer: memoryview) -> bool:
        count = upstream.drain(buffer)
        fresh = False
        if count:
            self._heard_at_s = now_s
            self._reads += 1
            blob = self._scanner.feed(buffer[:count])
            if blob is not None:
                self.ring.append(blob, now_s)
                fresh = True
                self._packets_came(now_s)
            elif self._running_since_s is None and len(self._head) < _HEAD_BYTES:
                self._head += bytes(buffer[: min(count, _HEAD_BYTES)])
        if upstream.ended is not None:
            self._lose(self._named(upstream.ended), now_s)
        elif self._running_since_s is None:
            self._judge_start(now_s)
        else:
            self._judge_silence(now_s)
        return fresh

    def _packets_came(self, now_s: float) -> None:
        if self._running_since_s is None:
            self._running_since_s = now_s
        if self.state in (State.CONNECTING, State.STALLED):
            self._move(State.RUNNING, "packets come", now_s)

    def _named(self, reason: str) -> str:
        """`reason`, and what came instead of packets, when none came."""
        if self._running_since_s is not None:
            return reason
        if not self._head:
            return f"{reason} before the first packet"
        what = other_content(self._head) or f"no transport stream (it starts with {self._head[:40]!r})"
        return f"{reason}; what it sent was {redact(what)}"

    def _judge_start(self, now_s: float) -> None:
        what = other_content(self._head)
        if what is not None:
            self._lose(f"the provider sent {what} instead of a transport stream", now_s)
        elif self._scanner.junk_bytes > _JUNK_MAX_BYTES:
            self._lose(f"no transport stream in the first {_JUNK_MAX_BYTES // 1024} KB", now_s)
        elif now_s - self._opened_at_s > self._settings.first_byte_s:
            self._lose(self._named(f"no packet within {self._settings.first_byte_s:g} s"), now_s)

    def _judge_silence(self, now_s: float) -> None:
        silent_s = now_s - self._heard_at_s
        if silent_s > self._settings.stall_s:
            self._lose(f"silent for {self._settings.stall_s:g} s", now_s)
        elif silent_s > self._settings.stall_notice_s and self.state is State.RUNNING:
            self._move(State.STALLED, f"silent for {self._settings.stall_notice_s:g} s", now_s)

    def _lose(self, reason: str, now_s: float) -> None:
        """The connection, or the try to get one, is over: decide what comes next."""
        ran_s = now_s - self._running_since_s if self._running_since_s is not None else 0.0
        self._drop_upstream()
        if self.state is State.CLOSING:
            self._closes_at_s = now_s  # nobody is left to reconnect for
            self.reason = reason
            return
        pause_s = 0.0
        if ran_s < self._settings.stable_s:
            self._address_index += 1
        if ran_s >= self._settings.brief_s:
            self._failures = 0
        else:
            self._failures += 1
            pause_s = self._pause_s()
        self._retry_at_s = now_s + pause_s
        if pause_s and not self.clients and self.state is State.CONNECTING:
            self._move(State.FAILED, reason, now_s)
            return
        self.reconnects += 1
        if self.state is State.CONNECTING:
            self.reason = reason
            log.info("channel %s: still connecting: %s", self.target.id, reason)
        else:
            self._move(State.CONNECTING, reason, now_s)

    def _pause_s(self) -> float:
        """No pause within a pass over the addresses; after a vain pass twice that of the pass before."""
        passes, within = divmod(self._failures, max(1, len(self.target.streams)))
        if within:
            return 0.0
        doubled = self._settings.backoff_min_s * 2.0 ** min(passes - 1, _MAX_DOUBLINGS)
        return min(self._settings.backoff_max_s, doubled) * (0.75 + 0.5 * self._jitter())

    def _drop_upstream(self) -> None:
        self._attempt += 1  # whatever is being opened is no longer wanted
        self._dialing_since_s = None
        self._running_since_s = None
        if self._upstream is not None:
            self._upstream.close()
            self._upstream = None

    def _mind_the_audience(self, now_s: float) -> None:
        if self.state is State.CLOSING and now_s >= self._closes_at_s:
            self.close("nobody watches", now_s)
        elif self.state is State.FAILED and not self.wanted and now_s >= self._retry_at_s + self._settings.grace_s:
            self.close("nobody asked again", now_s)
        elif self.state in (State.CONNECTING, State.RUNNING, State.STALLED) and not self.wanted:
            self._closes_at_s = now_s + self._settings.grace_s
            self._move(State.CLOSING, "the last client left", now_s)

    def _move(self, state: State, reason: str, now_s: float) -> None:
        if state not in MOVES[self.state]:
            raise AssertionError(f"channel {self.target.id}: no way from {self.state} to {state} ({reason})")
        before, self.state = self.state, state
        self.reason = reason
        self.since_s = now_s
        log.info("channel %s: %s -> %s: %s", self.target.id, before, state, reason)
        self._moved(self, before)
