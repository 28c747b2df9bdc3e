"""All channels and all viewers of the process: who comes, what is opened for them, how they end.

    join ── waits for the channel's first packets ── first bytes at once ── the wheel carries it from there
    a channel's dial ── slot ── connection ── opened or refused ── the channel decides what is next

One lock: whoever touches a channel, a ring, a client or a breaker holds it, and nobody waits while holding it. The
hub knows nothing of other processes; slots are behind a protocol that can be shared with them.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import cast

from servicekit.clock import Clock, SystemClock
from servicekit.errors import Unavailable
from servicekit.notify import Notifier
from stream_service import native
from stream_service.domain.circuit import Breakers
from stream_service.domain.failover import Health, Trouble
from stream_service.domain.model import ChannelTarget
from stream_service.domain.slots import Lease
from stream_service.domain.watching import End, Via
from stream_service.relay import report, rivals
from stream_service.relay.bandwidth import Bandwidth
from stream_service.relay.channel import Channel
from stream_service.relay.circuits import Circuits
from stream_service.relay.client import SENT_BLOBS, Client, Viewer, cut, stream_socket
from stream_service.relay.dial import Connection, Dialer, OpenStream
from stream_service.relay.following import Following
from stream_service.relay.journal import Journal
from stream_service.relay.ring import Cursor
from stream_service.relay.rivals import audience, by_number
from stream_service.relay.settings import RelaySettings
from stream_service.relay.slate import Slates
from stream_service.relay.slots import RENEW_EVERY_S, LocalSlots, Slots
from stream_service.relay.states import State
from stream_service.relay.throttle import Throttle
from stream_service.relay.wheel import Wheel

log = logging.getLogger(__name__)

_DRAIN_PAUSE_S = 0.01
NO_SLOT = "no_slot"
"""The word for "all connections of the account are in use" among an error's fields (`code`)."""
NO_PICTURE = "no_picture"
"""The same for a channel that connects and sends nothing that can be shown."""


class Hub:
    """The relay's door: `join` and `follow` for viewers, `sessions` and `figures` for people, `drain` for the end."""

    def __init__(
        self,
        *,
        open_stream: OpenStream,
        settings: RelaySettings | None = None,
        slots: Slots | None = None,
        slates: Slates | None = None,
        notifier: Notifier | None = None,
        journal: Journal | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings or RelaySettings()
        self._notifier = notifier
        self._journal = journal or Journal()
        self._clock = clock or SystemClock()
        self._slots = slots or LocalSlots(clock=self._clock)
        self._slates = slates or Slates()
        self._jitter = random.SystemRandom().random
        self._health = Health(self._settings.failover)
        self._breakers = Breakers(self._settings.circuit, self._clock.monotonic)
        self._lock = threading.Lock()
        self._channels: dict[str, Channel] = {}
        self._down: set[str] = set()
        self._ending = threading.Event()
        self._renewed_s = 0.0
        self._last_number = 0
        self._timed: dict[Client, float] = {}
        """Viewers who asked for so many seconds, and when those are over."""
        self._totals = dict.fromkeys(report.TOTALS, 0)
        self._bandwidth = Bandwidth()
        self.hls_audience: Callable[[], dict[str, list[dict[str, object]]]] = dict
        """Players of HLS by channel: they are clients of another part, which is built on this one."""
        self._wheel = Wheel(
            settings=self._settings,
            clock=self._clock,
            lock=self._lock,
            totals=self._totals,
            bandwidth=self._bandwidth,
            drop=self._drop,
            swept=self._swept,
        )
        self.throttle = Throttle(
            self._bandwidth,
            lock=self._lock,
            clock=self._clock,
            totals=self._totals,
            channels=self._channels.values,
            wake=self._wheel.wake,
            turn_s=self._settings.turn_ms / 1000,
        )
        self.circuits = Circuits(self._breakers, lock=self._lock, clock=self._clock, channels=self._channels.values)
        self._dialer = Dialer(
            open_stream=open_stream,
            slots=self._slots,
            outcome=self,
            slot_wait_s=self._settings.slot_wait_s,
            clock=self._clock,
        )

    # -- viewers

    def join(
        self,
        target: ChannelTarget,
        sock_fd: int,
        *,
        address: str,
        user_agent: str = "",
        user: str = "",
        priority: int = 0,
        lineup: str = "",
        tuner: str = "",
        for_s: float | None = None,
        head: bytes = b"",
    ) -> None:
        """Carry the viewer at `address` behind `sock_fd`, which the hub owns from now on, until either side ends.

        Waits for the channel's first packets, then `head` (the answer's headers), tables and the first of the backlog
        go out at once. Raises `Unavailable` (stopping, the channel does not come; with `code="no_slot"` when all
        connections of its account are in use) with nothing sent and `sock_fd` closed; the caller's own descriptor of
        the connection can still carry an answer. `tuner`: what this viewer takes of its lineup's tuners; `for_s`: it
        is ended after so many seconds.
        """
        try:
            sock = stream_socket(sock_fd)
        except OSError as error:
            raise Unavailable(f"the client has gone: {error}") from error
        try:
            viewer = Viewer(address, user_agent, user, priority, lineup, tuner=tuner)
            self._wait_and_start(self._enter(target, viewer, sock, for_s), head)
        except BaseException:
            sock.close()
            raise
        self._wheel.wake()

    def follow(
        self,
        target: ChannelTarget,
        *,
        address: str,
        user_agent: str = "",
        user: str = "",
        priority: int = 0,
        lineup: str = "",
        tuner: str = "",
        for_s: float | None = None,
        inside: bool = False,
    ) -> Following:
        """The stream as an iterator, for servers whose sockets cannot be had. Waits and raises as `join`.

        `inside`: no person, but a reader of ours; it is neither limited nor written down.
        """
        via = Via.INSIDE if inside else Via.TS
        viewer = Viewer(address, user_agent, user, priority, lineup, via, tuner)
        client = self._enter(target, viewer, None, for_s)
        self._wait_and_start(client, b"")
        return Following(self, client)

    def _enter(
        self, target: ChannelTarget, viewer: Viewer, sock: native.BareSocket | None, for_s: float | None
    ) -> Client:
        """Register the viewer with its channel; both exist before anything can yield, so there is one upstream."""
        now_s = self._clock.monotonic()
        with self._lock:
            if self._ending.is_set():
                raise Unavailable("the stream service is stopping")
            channel = self._channels.get(target.id) or self._new_channel(target, now_s)
            self._last_number += 1
            client = Client(
                channel, viewer, since=self._clock.now_s(), sock=sock, number=self._last_number, now_s=now_s
            )
            channel.waiting.add(client)
            if for_s is not None:
                self._timed[client] = now_s + for_s
            channel.want(target, now_s)
            self._wheel.enter(client)
            self._wheel.start()
        self._wheel.wake()
        return client

    def _new_channel(self, target: ChannelTarget, now_s: float) -> Channel:
        channel = Channel(
            target,
            settings=self._settings,
            dial=self._dialer.dial,
            moved=self._moved,
            jitter=self._jitter,
            health=self._health,
            breakers=self._breakers,
            slate_of=self._slates.of,
            now_s=now_s,
        )
        self._wheel.add(channel)
        self._channels[target.id] = channel
        return channel

    def _wait_and_start(self, client: Client, head: bytes) -> None:
        limit_s = max(self._settings.first_byte_s, client.channel.first_byte_s)
        until_s = self._clock.monotonic() + limit_s
        try:
            while not self._try_start(client, head):
                if not client.woken.wait(until_s - self._clock.monotonic()):
                    words = f"channel {client.channel.target.name} sent no picture within {limit_s:g} s"
                    raise Unavailable(words, code=NO_PICTURE)
        except BaseException:
            with self._lock:
                self._totals["refused"] += 1
                self._forget(client)
            raise

    def _try_start(self, client: Client, head: bytes) -> bool:
        """Start the client if its channel is ready; False when it has to wait; raises `Unavailable` when in vain."""
        with self._lock:
            now_s = self._clock.monotonic()
            channel = client.channel
            if self._ending.is_set():
                raise Unavailable("the stream service is stopping")
            if client.gone:
                raise Unavailable("the client has gone")
            if channel.state is State.FAILED:
                raise self._refusal(channel, now_s)
            if not channel.ready(now_s):
                client.woken.clear()
                return False
            client.cursor = Cursor(channel.ring.start_position(now_s, self._settings.backlog_s), before=head)
            channel.waiting.discard(client)
            channel.clients[client] = None
            self._totals["joins"] += 1
            client.started(now_s)
            self._journal.happened("join", **report.who(client))
            self._wheel.serve(client, now_s)
            return True

    def _refusal(self, channel: Channel, now_s: float) -> Unavailable:
        words, retry_s = f"channel {channel.target.name}: {channel.reason}", channel.retry_in_s(now_s)
        if channel.trouble is not Trouble.BUSY:
            return Unavailable(words, retry_after_s=retry_s)
        self._totals["no_slot"] += 1
        return Unavailable(words, retry_after_s=retry_s, code=NO_SLOT)

    # -- ends

    def _drop(self, client: Client, end: End) -> None:
        self._totals["left"] += 1
        self._forget(client)
        if client.started_at_s is not None:
            over = report.watched(client, end, self._clock.monotonic())
            self._journal.happened("leave", **report.who(client), **report.how_well(over))
            if over.via is not Via.INSIDE:
                self._journal.watched(over)
        if client.sock is not None:
            client.sock.close()

    def _forget(self, client: Client) -> None:
        """Take the client off every list; its socket is the caller's to close."""
        client.gone = True
        client.channel.waiting.discard(client)
        client.channel.clients.pop(client, None)
        if client.cursor is not None:
            self._totals["jumps"] += client.cursor.jumps
        self._timed.pop(client, None)
        self._bandwidth.forget(client)
        self._wheel.leave(client)

    def drain(self, limit_s: float | None = None) -> int:
        """End everything: no new viewers, each client on a packet boundary, upstreams closed, slots given back.

        Waits at most `limit_s` (default `drain_s`) for clients without room, and returns how many had to be cut inside
        a packet. A second call returns at once.
        """
        with self._lock:
            if self._ending.is_set():
                return 0
            self._ending.set()
            self._wheel.stop()
            left = self._wheel.clients()
            for channel in self._channels.values():
                for client in channel.waiting:
                    client.woken.set()
        until_s = self._clock.monotonic() + (self._settings.drain_s if limit_s is None else limit_s)
        while (left := self._finish(left)) and self._clock.monotonic() < until_s:
            time.sleep(_DRAIN_PAUSE_S)
        with self._lock:
            for client in left:
                self._totals["cut_short"] += 1
                self._drop(client, End.STOPPED)
            for channel in list(self._channels.values()):
                channel.close("the stream service is stopping", self._clock.monotonic())
        self._wheel.wait_for_end(5.0)
        with self._lock:
            self._wheel.close()
        self._journal.close()
        log.info("streams ended, %d of them inside a packet", len(left))
        return len(left)

    def _finish(self, clients: list[Client]) -> list[Client]:
        """End those that can be ended now; those without room come back. Who still waits answers for itself."""
        left = []
        for client in clients:
            with self._lock:
                if client.gone or client.cursor is None:
                    continue
                try:
                    if client.finish():
                        self._drop(client, End.STOPPED)
                    else:
                        left.append(client)
                except OSError:
                    self._drop(client, End.LEFT)
        return left

    # -- connections

    def opened(self, channel: Channel, attempt: int, line: Connection) -> bool:
        """An attempt connected; False when it is not wanted any more."""
        with self._lock:
            taken = channel.opened(attempt, line, self._clock.monotonic())
            if taken:
                self._wheel.warm(channel)
        self._wheel.wake()
        return taken

    def refused(self, channel: Channel, attempt: int, reason: str, trouble: Trouble) -> None:
        """An attempt failed."""
        with self._lock:
            channel.refused(attempt, reason, trouble, self._clock.monotonic())
        self._wheel.wake()

    def free_unwatched(self, account: str) -> bool:
        """End a channel that holds a slot of `account` and that nobody watches any more; False when there is none."""
        with self._lock:
            for one in rivals.holders(self._channels.values(), account):
                if not one.wanted:
                    return self._end_channel(one, "its slot is needed")
            return self._dialer.given_up(account)

    def make_room(self, channel: Channel, attempt: int, account: str) -> bool:
        """Free a slot of `account` for `channel`; False when there is no way.

        In this order: a channel that nobody watches any more; one that is watched by nobody but a viewer who has moved
        on to this channel; an attempt that was given up (its slot comes back soon); and, where that is asked for, the
        channel with the least important viewers, if they are less important than this one's.
        """
        with self._lock:
            if attempt != channel.attempt or self._ending.is_set():
                return False
            held = rivals.holders((one for one in self._channels.values() if one is not channel), account)
            loser = rivals.given_up(held, channel)
            if loser is None and self._dialer.given_up(account):
                return True
            if loser is None and self._settings.preempt:
                loser = rivals.least_important(held, channel)
            if loser is None:
                return False
            self._totals["preempted"] += loser.preempted
            return self._end_channel(loser.channel, loser.reason)

    def _end_channel(self, channel: Channel, reason: str) -> bool:
        """End the channel at once, its viewers on a packet boundary where they have room. True: its slot is free."""
        for client in audience(channel):
            self._end_client(client, End.SLOT_TAKEN)
        channel.waiting.clear()
        channel.close(reason, self._clock.monotonic())
        return True

    def _end_client(self, client: Client, end: End) -> None:
        """End one viewer; who still waits for its first packets is told so where it waits."""
        if client.cursor is None:
            client.gone = True
            client.woken.set()
            return
        try:
            client.finish()
        except OSError:
            log.debug("client %s had gone already", client.viewer.address)
        self._drop(client, end)

    def _swept(self, now_s: float) -> None:
        """Every second, under the lock."""
        self.throttle.note(now_s)
        for client in [one for one, until_s in self._timed.items() if until_s <= now_s]:
            self._end_client(client, End.LEFT)  # it has had the seconds that it asked for
        if now_s - self._renewed_s >= RENEW_EVERY_S:
            self._renewed_s = now_s
            lines = [cast("Connection", one.line) for one in self._channels.values() if one.line is not None]
            if lines:
                native.spawn(lambda: self._dialer.renew(lines), name="relay leases")

    def _moved(self, channel: Channel, before: State) -> None:
        """A channel's state has changed (under the lock)."""
        name = channel.target.id
        state = channel.state
        self._totals["moves"] += 1
        self._totals[f"moves_to_{state}"] += 1
        self._journal.happened("state", **report.move(channel, self._clock.now_s()))
        if state is State.IDLE:
            self._wheel.remove(channel)
            self._down.discard(name)
            del self._channels[name]
            for total, count in report.counts_of(channel).items():
                self._totals[total] += count
        elif state is State.FAILED:
            for client in channel.waiting:
                client.woken.set()
        elif state is State.SWITCHING:
            native.spawn(lambda: native.call(self._slates.look), name="slates")
        if state in (State.FAILED, State.SWITCHING) and name not in self._down:
            self._down.add(name)
            self._tell("stream_down", "warning", f"{channel.target.name}: {channel.reason}", channel)
        elif state is State.RUNNING and name in self._down:
            self._down.discard(name)
            self._tell("stream_up", "info", f"{channel.target.name} runs again", channel)

    def _tell(self, kind: str, level: str, message: str, channel: Channel) -> None:
        """Beside the wheel: whoever listens may wait."""
        notifier, name = self._notifier, channel.target.id
        if notifier is not None:
            native.spawn(lambda: notifier.event(kind, level, message, channel=name), name="relay event")

    # -- seen from outside

    def sessions(self) -> list[dict[str, object]]:
        """What runs: one entry per channel, each with its clients; plain values, addresses redacted."""
        hls = self.hls_audience()
        with self._lock:
            now_s, epoch_s = self._clock.monotonic(), self._clock.now_s()
            found = [report.session(channel, now_s, epoch_s) for channel in self._channels.values()]
        return [one | {"hls_clients": hls.get(str(one["id"]), [])} for one in found]

    def figures(self) -> dict[str, float]:
        """Numbers for metrics. Totals count since the start; `late_s`: the wheel's worst delay since the last call."""
        slots = len(self._slots.held())
        with self._lock:
            figures = report.figures(self._channels.values(), self._totals)
            figures |= {"breakers_open": self._breakers.open_count(), "slots": slots}
            return figures | {"late_s": round(self._wheel.worst_delay_s(), 4)}

    def seats_of(self, user: str) -> list[tuple[int, str, str]]:
        """The viewers of a user, the oldest first: number, address, user agent."""
        with self._lock:
            viewers = [one for channel in self._channels.values() for one in audience(channel)]
            mine = sorted((one for one in viewers if one.viewer.user == user and not one.gone), key=by_number)
            return [(one.number, one.viewer.address, one.viewer.user_agent) for one in mine]

    def tuners(self) -> list[str]:
        """The tuners that viewers hold."""
        with self._lock:
            viewers = [one for channel in self._channels.values() for one in audience(channel)]
            return [one.viewer.tuner for one in viewers if one.viewer.tuner and not one.gone]

    def let_go(self, number: int) -> None:
        """End the viewer of that number, on a packet boundary where it has room; nothing when it has gone."""
        with self._lock:
            for channel in self._channels.values():
                for client in audience(channel):
                    if client.number == number:
                        self._end_client(client, End.SEAT_TAKEN)
                        return

    @property
    def slots(self) -> Slots:
        """The slots of accounts: whoever else connects to one takes a slot of these."""
        return self._slots

    def leases(self) -> list[Lease]:
        """The slots that are held now."""
        return self._slots.held()

    # -- for `Following`

    def take(self, client: Client) -> bytes | None:
        """The next bytes for a follower, empty when it is level, None when it has ended."""
        with self._lock:
            cursor, ring = client.cursor, client.channel.ring
            if cursor is None or client.gone or self._ending.is_set():
                return None
            pieces = ring.gather(cursor, SENT_BLOBS)
            person = client.viewer.via is not Via.INSIDE
            if person and self._bandwidth.on:
                pieces = cut(pieces, self._bandwidth.share(client, 1, self._clock.monotonic()))
            data = b"".join(pieces)
            ring.advance(cursor, len(data))
            client.bytes_sent += len(data)
            if person:
                self._bandwidth.sent(client, len(data))
                self._totals["sent_bytes"] += len(data)
            return data or (None if client.channel.state is State.FAILED else b"")

    def pause(self) -> None:
        """Wait one tick, or until the relay ends."""
        self._ending.wait(self._settings.tick_ms / 1000)

    def leave(self, client: Client) -> None:
        """A follower has gone."""
        with self._lock:
            if not client.gone:
                self._drop(client, End.LEFT)
