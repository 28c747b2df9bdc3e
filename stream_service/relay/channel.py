"""One channel: its connection, its ring, and the state between them.

Its states and the moves between them are `relay.states`'; what viewers get meanwhile is `relay.bridge`'s.
Which stream is next, and when, is `domain.failover`'s; whether it may be asked is `domain.circuit`'s. What comes from a
new connection goes through a joint once viewers have had bytes, so that their players follow from the one to the other.

A channel belongs to the hub: all methods run under the hub's lock and none of them waits. Opening happens elsewhere
(`dial`), and its outcome comes back as `opened` or `refused` with the number of the attempt, so that an attempt that
was given up cannot come back as another one's answer.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from servicekit.redact import redact
from stream_service.domain.circuit import Breakers
from stream_service.domain.failover import Failover, Health, Trouble, first_byte_s
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.domain.slots import Lease
from stream_service.relay.bridge import Bridge, joint_behind
from stream_service.relay.joint import Joint
from stream_service.relay.mpegts import Blob, Scanner, other_content
from stream_service.relay.ring import Ring
from stream_service.relay.settings import RelaySettings
from stream_service.relay.slate import SlateOf
from stream_service.relay.states import MOVES, Move, State
from stream_service.relay.upstream import Upstream

if TYPE_CHECKING:
    from stream_service.relay.client import Client

log = logging.getLogger(__name__)

_HEAD_BYTES = 512
_JUNK_MAX_BYTES = 256 * 1024
_COLD_READS = 20
_COLD_S = 2.0
_MOVES_KEPT = 20


class Line(Protocol):
    """An open connection together with the slot that it holds."""

    @property
    def upstream(self) -> Upstream: ...
    @property
    def lease(self) -> Lease: ...
    def close(self) -> None:
        """End the connection, give the slot back; never waits, may be called twice."""
        ...


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
        health: Health,
        breakers: Breakers,
        slate_of: SlateOf,
        now_s: float,
    ) -> None:
        self.target = target
        self.state = State.IDLE
        self.reason = ""
        self.trouble = Trouble.ENDED
        """The kind of the last failure."""
        self.since_s = now_s
        self.moves: deque[Move] = deque(maxlen=_MOVES_KEPT)
        self.clients: dict[Client, None] = {}
        """Those being served, in the order they came."""
        self.waiting: set[Client] = set()
        """Those who wait for the first packets."""
        self.reconnects = 0
        """Connections that were lost after packets had come."""
        self.slates = 0
        """How often the slate had to be shown."""
        self.slot = 0
        """Which turn of the wheel is this channel's."""
        self.attempt = 0
        """Number of the newest attempt to open a stream; an older one is not wanted any more."""
        self.failover = Failover(target.id, health=health, jitter=jitter)
        self.ring = Ring(span_s=settings.ring_span_s, max_bytes=settings.ring_max_bytes)
        self._settings = settings
        self._dial = dial
        self._moved = moved
        self._health = health
        self._breakers = breakers
        self._slate_of = slate_of
        self.line: Line | None = None
        """The open connection."""
        self._scanner = Scanner()
        self._joint: Joint | None = None
        self._joint_due = False
        self._bridge: Bridge | None = None
        self._head = b""
        self._asked: StreamAddress | None = None
        self._dialing_since_s: float | None = None
        self._opened_at_s = self._heard_at_s = self._lost_at_s = now_s
        self._packets_since_s: float | None = None
        self._running_since_s: float | None = None
        self._steady = False
        self._reads = 0
        self._retry_at_s = now_s
        self._closes_at_s = 0.0

    # -- what others ask

    @property
    def address(self) -> StreamAddress | None:
        """The stream in use, or the last one tried."""
        return self.failover.current

    @property
    def dialing(self) -> bool:
        """True while an address is being opened."""
        return self._dialing_since_s is not None

    @property
    def wanted(self) -> bool:
        """True while anybody is served or waits."""
        return bool(self.clients or self.waiting)

    @property
    def slate_shown(self) -> bool:
        """True while viewers get the slate."""
        return self._bridge is not None

    @property
    def stall_s(self) -> float:
        """Silence after which the present stream is given up."""
        told: float | None = getattr(self.line.upstream, "stall_s", None) if self.line else None
        if told is not None:
            return told  # a kind of upstream that knows better, such as a playlist's target duration
        return self._health.stall_s(self.address) if self.address else self._settings.stall_s

    @property
    def first_byte_s(self) -> float:
        """How long the slowest of the channel's streams may take to its first packet."""
        usual_s = self._settings.first_byte_s
        return max((first_byte_s(one, usual_s) for one in self.target.streams), default=usual_s)

    def ready(self, now_s: float) -> bool:
        """True when a client can be started: on a keyframe, or without one where none is to be had."""
        if self._bridge is not None:
            return self.ring.start_points > 0
        if self.state not in (State.RUNNING, State.STALLED) or self._running_since_s is None:
            return False
        waited_s = now_s - self._running_since_s
        no_keyframes = self._scanner.without_video or waited_s >= self._settings.start_point_wait_s
        return self.ring.start_points > 0 or no_keyframes

    def cold(self, now_s: float) -> bool:
        """True while a connection is new: it is read every turn, so that viewers start at once."""
        return self.line is not None and self._reads < _COLD_READS and now_s - self._opened_at_s < _COLD_S

    def retry_in_s(self, now_s: float) -> int:
        """Whole seconds until a failed channel may be tried again, at least 1."""
        return max(1, round(self._retry_at_s - now_s + 0.5))

    # -- what happens to it

    def want(self, target: ChannelTarget, now_s: float) -> None:
        """A client came. New streams of the target count from the next connection on."""
        self.target = target
        # A slot may be free by now, and to ask for one costs no provider anything: no pause is due.
        due = now_s >= self._retry_at_s or self.trouble is Trouble.BUSY
        if self.state is State.FAILED and due and not self.clients:
            self.ring = Ring(span_s=self._settings.ring_span_s, max_bytes=self._settings.ring_max_bytes)
            self._connect("a client came", now_s)
        elif self.state is State.IDLE:
            self._connect("a client came", now_s)
        elif self.state is State.CLOSING:
            lost = State.SWITCHING if self.ring.head else State.CONNECTING
            self._move(State.RUNNING if self._running_since_s is not None else lost, "a client came", now_s)

    def ask_again(self, now_s: float) -> None:
        """What it waits for has changed: its pause is over."""
        self._retry_at_s = min(self._retry_at_s, now_s)

    def opened(self, attempt: int, line: Line, now_s: float) -> bool:
        """The attempt connected; False when it is no longer wanted (the caller closes it)."""
        if attempt != self.attempt or self._dialing_since_s is None:
            return False
        self._dialing_since_s = None
        self.line = line
        self._scanner = Scanner()
        self._joint = None
        self._joint_due = self.ring.head > 0
        self._head = b""
        self._reads = 0
        self._steady = False
        self._packets_since_s = None
        self._opened_at_s = self._heard_at_s = now_s
        return True

    def refused(self, attempt: int, reason: str, trouble: Trouble, now_s: float) -> None:
        """The attempt failed."""
        if attempt == self.attempt and self._dialing_since_s is not None:
            self._lose(reason, trouble, now_s)

    def tick(self, now_s: float, buffer: memoryview) -> bool:
        """Read what came and look at the clock; True when the ring has a new blob."""
        fresh = False
        if self.line is not None:
            fresh = self._read(self.line.upstream, now_s, buffer)
        elif self._dialing_since_s is not None:
            limit_s = self._settings.connect_s + self._settings.slot_wait_s + self.first_byte_s
            if now_s - self._dialing_since_s > limit_s:
                self._lose(f"no answer within {limit_s:g} s", Trouble.UNREACHABLE, now_s)
        elif self.state in (State.CONNECTING, State.SWITCHING) and now_s >= self._retry_at_s:
            self._open_next(now_s)
        if self.state is State.SWITCHING:
            fresh = self._bridge_over(now_s) or fresh
        self._mind_the_audience(now_s)
        return fresh

    def close(self, reason: str, now_s: float) -> None:
        """End the connection and be idle for good; clients are the hub's to end."""
        self._drop_line()
        if self.state not in (State.CLOSING, State.FAILED, State.IDLE):
            self._move(State.CLOSING, reason, now_s)
        if self.state is not State.IDLE:
            self._move(State.IDLE, reason, now_s)

    # -- opening

    def _connect(self, reason: str, now_s: float) -> None:
        self._move(State.CONNECTING, reason, now_s)
        self._retry_at_s = now_s
        self._open_next(now_s)

    def _open_next(self, now_s: float) -> None:
        streams = self.target.streams
        address = self.failover.choose(streams, now_s, ready=self._breakers.ready)
        if address is None or not self._breakers.begin(address):
            self._lose_all(now_s)
            return
        self.attempt += 1
        self._asked = address
        self._dialing_since_s = now_s
        self._dial(self, address, self.attempt)

    def _lose_all(self, now_s: float) -> None:
        """No stream may be tried at all."""
        if not self.target.streams:
            self._after_loss("the channel has no address", self.failover.none_ready(), now_s)
            return
        breakers_s = self._breakers.retry_in_s(self.target.streams)
        pause_s = max(self.failover.none_ready(), min(breakers_s, self._settings.breaker_open_s))
        reason = self.reason if self.state is State.SWITCHING else "its streams failed again and again"
        self._after_loss(f"{reason}; they are left alone for {pause_s:.0f} s", pause_s, now_s)

    # -- reading

    def _read(self, upstream: Upstream, now_s: float, buffer: memoryview) -> bool:
        count = upstream.drain(buffer)
        fresh = False
        if count:
            self._hear(now_s)
            blob = self._scanner.feed(buffer[:count])
            if blob is not None:
                fresh = self._take(blob, now_s)
            elif self._packets_since_s is None and len(self._head) < _HEAD_BYTES:
                self._head += bytes(buffer[: min(count, _HEAD_BYTES)])
        if upstream.ended is not None:
            self._lose(self._named(upstream.ended), self._ended_as(), now_s)
        elif self._packets_since_s is None:
            self._judge_start(now_s)
        else:
            self._judge_silence(now_s)
        return fresh

    def _hear(self, now_s: float) -> None:
        self._reads += 1
        if self._running_since_s is not None and self.address is not None:
            ran_s = now_s - self._running_since_s
            self._health.paused(self.address.id, now_s - self._heard_at_s, ran_s)
            if self._asked is not None and ran_s >= self._settings.brief_s:
                self._breakers.succeeded(self._asked)
                self._asked = None
            if not self._steady and ran_s >= self._settings.stable_s:
                self._steady = True
                self.failover.steady()
        self._heard_at_s = now_s

    def _take(self, blob: Blob, now_s: float) -> bool:
        """Packets came: into the ring, once the joint lets them pass."""
        if self._packets_since_s is None:
            self._packets_since_s = now_s
        if self._joint_due:
            waited = now_s - self._packets_since_s >= self._settings.start_point_wait_s
            if not (blob.starts or waited or self._scanner.without_video):
                return False
            self._joint, self._joint_due = joint_behind(self.ring), False
        if self._joint is not None:
            blob = self._joint.feed(blob)
        self._bridge = None
        self.ring.append(blob, now_s)
        if self._running_since_s is None:
            self._running_since_s = now_s
        if self.state in (State.CONNECTING, State.STALLED, State.SWITCHING):
            self._move(State.RUNNING, "packets come", now_s)
        return True

    def _ended_as(self) -> Trouble:
        return Trouble.ENDED if self._packets_since_s is not None else Trouble.CONTENT

    def _named(self, reason: str) -> str:
        """`reason`, and what came instead of packets, when none came."""
        if self._packets_since_s is not None:
            return reason
        if not self._head:
            return f"{reason} before the first packet"
        what = other_content(self._head) or f"no transport stream (it starts with {self._head[:40]!r})"
        return f"{reason}; what it sent was {redact(what)}"

    def _judge_start(self, now_s: float) -> None:
        what = other_content(self._head)
        limit_s = first_byte_s(self.address, self._settings.first_byte_s) if self.address else 0.0
        if what is not None:
            self._lose(f"the provider sent {what} instead of a transport stream", Trouble.CONTENT, now_s)
        elif self._scanner.junk_bytes > _JUNK_MAX_BYTES:
            self._lose(f"no transport stream in the first {_JUNK_MAX_BYTES // 1024} KB", Trouble.CONTENT, now_s)
        elif now_s - self._opened_at_s > limit_s:
            self._lose(self._named(f"no packet within {limit_s:g} s"), Trouble.STALLED, now_s)

    def _judge_silence(self, now_s: float) -> None:
        silent_s, notice_s = now_s - self._heard_at_s, self._settings.stall_notice_s
        if silent_s > self.stall_s:
            self._lose(f"silent for {self.stall_s:g} s", Trouble.STALLED, now_s)
        elif silent_s > notice_s and self.state is State.RUNNING:
            self._move(State.STALLED, f"silent for {notice_s:g} s", now_s)

    # -- losing

    def _lose(self, reason: str, trouble: Trouble, now_s: float) -> None:
        """The connection, or the try to get one, is over: decide what comes next."""
        ran_s = now_s - self._running_since_s if self._running_since_s is not None else 0.0
        self.trouble = trouble
        if self._running_since_s is not None:
            self.reconnects += 1
            self._lost_at_s = self._heard_at_s
        asked = self._asked
        self._asked = None  # its outcome is told here
        self._drop_line()
        if self.state is State.CLOSING:
            if asked is not None:
                self._breakers.abandoned(asked)
            self._closes_at_s = now_s  # nobody is left to reconnect for
            self.reason = reason
            return
        if asked is not None:
            self._breakers.failed(asked, trouble, reason)
        pause_s = self.failover.lost(self.target.streams, ran_s, now_s, blame=trouble.is_the_providers)
        self._after_loss(reason, pause_s, now_s)

    def _after_loss(self, reason: str, pause_s: float, now_s: float) -> None:
        self._retry_at_s = now_s + pause_s
        if self.state is State.CONNECTING:
            self._still_connecting(reason, vain=pause_s > 0, now_s=now_s)
        elif self.state is State.SWITCHING:
            self.reason = reason
            log.info("channel %s: still switching: %s", self.target.id, reason)
        else:
            self._move(State.SWITCHING, reason, now_s)
        if self.state is State.SWITCHING and pause_s and self._settings.slate_s:
            self._begin_slate(now_s)
        elif self.state is State.SWITCHING and pause_s:
            self._move(State.FAILED, reason, now_s)

    def _still_connecting(self, reason: str, *, vain: bool, now_s: float) -> None:
        if not vain:
            self.reason = reason
            log.info("channel %s: still connecting: %s", self.target.id, reason)
        elif self._settings.slate_before_first_byte and self._settings.slate_s:
            self._lost_at_s = now_s
            self._move(State.SWITCHING, reason, now_s)
        else:
            self._move(State.FAILED, reason, now_s)

    def _drop_line(self) -> None:
        self.attempt += 1  # whatever is being opened is no longer wanted
        self._dialing_since_s = None
        self._running_since_s = None
        if self._asked is not None:
            self._breakers.abandoned(self._asked)
            self._asked = None
        if self.line is not None:
            self.line.close()
            self.line = None

    # -- bridging

    def _bridge_over(self, now_s: float) -> bool:
        """Keep viewers while the next stream is sought; True when the ring has a new blob."""
        if self._bridge is None:
            if now_s - self._lost_at_s < self._settings.slate_after_s or not self._settings.slate_s:
                return False
            self._begin_slate(now_s)
        if now_s - self._lost_at_s >= self._settings.slate_s:
            self._drop_line()
            self._bridge = None
            self._retry_at_s = max(self._retry_at_s, now_s)
            self._move(State.FAILED, f"nothing for {self._settings.slate_s:g} s: {self.reason}", now_s)
            return False
        return self._bridge is not None and self._bridge.play(self.ring, now_s)

    def _begin_slate(self, now_s: float) -> None:
        if self._bridge is not None:
            return
        # Players have used up what they had in hand since the stream was lost: it is given back to them at once.
        lost_s = max(self._lost_at_s, now_s - self._settings.backlog_s)
        began_s = lost_s if self.ring.latest(1) else now_s
        self._bridge = Bridge(self._slate_of(self.trouble), self.ring, began_s=began_s)
        self.slates += 1
        log.info("channel %s: shows the slate %s: %s", self.target.id, self.trouble, self.reason)

    # -- the audience

    def _mind_the_audience(self, now_s: float) -> None:
        if self.state is State.CLOSING and now_s >= self._closes_at_s:
            self.close("nobody watches", now_s)
        elif self.state is State.FAILED and not self.wanted and now_s >= self._retry_at_s + self._settings.grace_s:
            self.close("nobody asked again", now_s)
        elif not self.wanted and self.state not in (State.CLOSING, State.FAILED, State.IDLE):
            self._closes_at_s = now_s + self._settings.grace_s
            self._bridge = None
            self._move(State.CLOSING, "the last client left", now_s)

    def _move(self, state: State, reason: str, now_s: float) -> None:
        if state not in MOVES[self.state]:
            raise AssertionError(f"channel {self.target.id}: no way from {self.state} to {state} ({reason})")
        before, self.state = self.state, state
        self.reason = reason
        self.since_s = now_s
        self.moves.append(Move(now_s, before, state, reason))
        log.info("channel %s: %s -> %s: %s", self.target.id, before, state, reason)
        self._moved(self, before)
