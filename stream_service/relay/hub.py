"""All channels and all viewers of the process, carried by one wheel.

    join ── waits for the channel's first packets ── first bytes at once ──┐
                                                                          ▼
    upstreams ── tick (each channel, every 100 ms) ── ring ── one send per client ── short? alone till epoll names it
                                                                          ▲
                    who is behind (joined, or has room again) ── in rotation, 3 ms a turn

The wheel is one thread (a greenlet under gevent). It turns every 10 ms while somebody is behind or a channel is new,
else sleeps to the next channel's tick; channels are spread over the turns of a tick, so no turn is long. Nothing in it
waits: sockets are non-blocking, addresses are opened beside it, and it gives way after every 256 sends.

One lock: whoever touches a channel, a ring or a client holds it, and nobody waits while holding it.
"""

import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from servicekit.clock import Clock, SystemClock, iso
from servicekit.errors import AerialError, Unavailable
from servicekit.notify import Notifier
from servicekit.redact import redact
from stream_service import native
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.relay.channel import Channel, State
from stream_service.relay.client import SENT_BLOBS, Client, Viewer, stream_socket
from stream_service.relay.readiness import readiness
from stream_service.relay.ring import Cursor
from stream_service.relay.settings import RelaySettings
from stream_service.relay.upstream import OpenAddress, Upstream, open_upstream

log = logging.getLogger(__name__)

_BUFFER_BYTES = 4 * 1024 * 1024
_SLICE_CLIENTS = 256
_BEHIND_S = 0.003
_BREATH_S = 0.004
_SHORT_TURNS = 2
_SWEEP_S = 1.0
_DRAIN_PAUSE_S = 0.01


class Hub:
    """The relay's door: `join` and `follow` for viewers, `sessions` and `figures` for people, `drain` for the end."""

    def __init__(
        self,
        *,
        open_address: OpenAddress,
        open_stream: Callable[[StreamAddress], Upstream] | None = None,
        settings: RelaySettings | None = None,
        notifier: Notifier | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._open_stream = open_stream or (lambda address: open_upstream(address, open_address=open_address))
        self._settings = settings or RelaySettings()
        self._notifier = notifier
        self._clock = clock or SystemClock()
        self._jitter = random.SystemRandom().random
        self._lock = threading.Lock()
        self._channels: dict[str, Channel] = {}
        self._clients: dict[int, Client] = {}
        self._short: set[Client] = set()
        self._behind: OrderedDict[Client, None] = OrderedDict()
        self._cold: set[Channel] = set()
        self._down: set[str] = set()
        self._slots: list[list[Channel]] = [[] for _ in range(max(1, self._settings.tick_ms // self._settings.turn_ms))]
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._ready = readiness()
        self._work = threading.Event()
        self._ending = threading.Event()
        self._wheel_ended = threading.Event()
        self._turning = False
        self._breathed_s = 0.0
        self._swept_s = 0.0
        self._late_s = 0.0
        self._totals = dict.fromkeys(
            ("joins", "refused", "left", "stuck", "jumps", "sent_bytes", "reconnects", "cut_short"), 0
        )

    # -- viewers

    def join(
        self, target: ChannelTarget, sock_fd: int, *, address: str, user_agent: str = "", head: bytes = b""
    ) -> None:
        """Carry the viewer at `address` behind `sock_fd`, which the hub owns from now on, until either side ends.

        Waits for the channel's first packets, then `head` (the answer's headers), tables and the first of the backlog
        go out at once. Raises `Unavailable` (stopping, the channel does not come) with nothing sent and `sock_fd`
        closed; the caller's own descriptor of the connection can still carry an answer.
        """
        try:
            sock = stream_socket(sock_fd)
        except OSError as error:
            raise Unavailable(f"the client has gone: {error}") from error
        try:
            self._wait_and_start(self._enter(target, Viewer(address, user_agent), sock), head)
        except BaseException:
            sock.close()
            raise
        self._work.set()

    def follow(self, target: ChannelTarget, *, address: str, user_agent: str = "") -> "Following":
        """The stream as an iterator, for servers whose sockets cannot be had. Waits and raises as `join`."""
        client = self._enter(target, Viewer(address, user_agent), None)
        self._wait_and_start(client, b"")
        return Following(self, client)

    def _enter(self, target: ChannelTarget, viewer: Viewer, sock: native.BareSocket | None) -> Client:
        """Register the viewer with its channel; both exist before anything can yield, so there is one upstream."""
        now_s = self._clock.monotonic()
        with self._lock:
            if self._ending.is_set():
                raise Unavailable("the stream service is stopping")
            channel = self._channels.get(target.id) or self._new_channel(target, now_s)
            client = Client(channel, viewer, since=iso(self._clock.now_s()), sock=sock)
            channel.waiting.add(client)
            channel.want(target, now_s)
            if sock is not None:
                self._clients[client.fd] = client
                self._ready.watch(client.fd)
            if not self._turning:
                self._turning = True
                native.spawn(self._turn_forever, name="relay wheel")
        self._work.set()
        return client

    def _new_channel(self, target: ChannelTarget, now_s: float) -> Channel:
        channel = Channel(
            target, settings=self._settings, dial=self._dial, moved=self._moved, jitter=self._jitter, now_s=now_s
        )
        channel.slot = min(range(len(self._slots)), key=lambda slot: len(self._slots[slot]))
        self._slots[channel.slot].append(channel)
        self._channels[target.id] = channel
        return channel

    def _wait_and_start(self, client: Client, head: bytes) -> None:
        limit_s = self._settings.first_byte_s
        until_s = self._clock.monotonic() + limit_s
        try:
            while not self._try_start(client, head):
                if not client.woken.wait(until_s - self._clock.monotonic()):
                    raise Unavailable(f"channel {client.channel.target.name} sent no picture within {limit_s:g} s")
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
                raise Unavailable(
                    f"channel {channel.target.name}: {channel.reason}", retry_after_s=channel.retry_in_s(now_s)
                )
            if not channel.ready(now_s):
                client.woken.clear()
                return False
            client.cursor = Cursor(channel.ring.start_position(now_s, self._settings.backlog_s), before=head)
            channel.waiting.discard(client)
            channel.clients[client] = None
            self._totals["joins"] += 1
            self._serve(client, now_s)
            return True

    # -- the wheel

    def _turn_forever(self) -> None:
        turn_s = self._settings.turn_ms / 1000
        origin_s = self._clock.monotonic()
        done = 0
        while not self._ending.is_set():
            next_s = origin_s + (done + self._turns_to_wait(done)) * turn_s
            wait_s = next_s - self._clock.monotonic()
            idle = not self._channels
            if not idle and 0 < wait_s <= _SHORT_TURNS * turn_s:
                time.sleep(wait_s)  # a third of what waiting for the event costs, and nobody minds so short a time
            elif idle or wait_s > 0:
                self._work.wait(None if idle else wait_s)
            self._work.clear()
            now_s = self._clock.monotonic()
            if not idle:
                self._late_s = max(self._late_s, now_s - next_s)
            turn = int((now_s - origin_s) / turn_s + 1e-6)
            try:
                self._turn(now_s, range(max(done, turn - len(self._slots)) + 1, turn + 1))
            except Exception:  # a fault in one turn must not end every stream
                log.exception("a turn of the wheel failed")
            done = max(done, turn)
        self._wheel_ended.set()

    def _turns_to_wait(self, done: int) -> int:
        """One while somebody can be sent to or a channel is new, else as many as the next slot in use is away.

        Who waits for room is looked after every other turn: a slow viewer waits nearly always, and asking costs.
        """
        if self._behind or self._cold:
            return 1
        count = len(self._slots)
        most = _SHORT_TURNS if self._short else count
        return next((ahead for ahead in range(1, most) if self._slots[(done + ahead) % count]), most)

    def _turn(self, now_s: float, turns: range) -> None:
        with self._lock:
            due = dict.fromkeys(channel for turn in turns for channel in self._slots[turn % len(self._slots)])
            due |= dict.fromkeys(self._cold)
        for channel in due:
            self._tick(channel, now_s)
        with self._lock:
            if self._ending.is_set():
                return
            self._take_news()
            until_s = self._clock.monotonic() + _BEHIND_S
            while self._behind and self._clock.monotonic() < until_s:
                self._serve(self._behind.popitem(last=False)[0], now_s)
            if now_s - self._swept_s >= _SWEEP_S:
                self._swept_s = now_s
                self._drop_stuck(now_s)

    def _tick(self, channel: Channel, now_s: float) -> None:
        with self._lock:
            if self._ending.is_set() or self._channels.get(channel.target.id) is not channel:
                return
            fresh = channel.tick(now_s, self._buffer)
            if not channel.cold(now_s):
                self._cold.discard(channel)
            if channel.waiting and channel.ready(now_s):
                for client in channel.waiting:
                    client.woken.set()
            clients = list(channel.clients) if fresh else []
        for at in range(0, len(clients), _SLICE_CLIENTS):
            self._fan_out(channel, clients[at : at + _SLICE_CLIENTS], now_s)
            self._breathe()
        self._breathe()

    def _fan_out(self, channel: Channel, clients: list[Client], now_s: float) -> None:
        """One send to each; who has no room is left alone until the kernel names it."""
        sent_bytes = 0
        with self._lock:
            if self._ending.is_set():
                return
            head, data = channel.ring.head, channel.ring.newest()
            for client in [one for one in clients if one.room and not one.gone]:
                try:
                    sent_bytes += client.send_newest(data, head)
                    if not client.room:
                        self._fell_short(client, now_s)
                except BlockingIOError:
                    self._fell_short(client, now_s)
                except OSError:
                    self._drop(client)
            self._totals["sent_bytes"] += sent_bytes

    def _serve(self, client: Client, now_s: float) -> None:
        """One send to a client that is behind; it stays among those behind while it has room and is not level."""
        if not client.behind():
            return
        try:
            self._totals["sent_bytes"] += client.send_behind()
        except BlockingIOError:
            client.room = False
        except OSError:
            self._drop(client)
            return
        if not client.room:
            self._fell_short(client, now_s)
        elif client.behind():
            self._behind[client] = None

    def _fell_short(self, client: Client, now_s: float) -> None:
        client.room = False
        client.short_since_s = now_s
        self._short.add(client)
        self._ready.short(client.fd)

    def _take_news(self) -> None:
        for fd, gone in self._ready.news():
            client = self._clients.get(fd)
            if client is None:
                continue
            if gone and client.cursor is None:
                client.gone = True
                client.woken.set()
            elif gone:
                self._drop(client)
            elif client in self._short:
                self._short.discard(client)
                client.room = True
                self._behind[client] = None

    def _drop_stuck(self, now_s: float) -> None:
        for client in [one for one in self._short if now_s - one.short_since_s > self._settings.stuck_s]:
            log.info("client %s took nothing for %g s", client.viewer.address, self._settings.stuck_s)
            self._totals["stuck"] += 1
            self._drop(client)

    def _breathe(self) -> None:
        """Let others run when they have waited long enough."""
        if self._clock.monotonic() - self._breathed_s > _BREATH_S:
            time.sleep(0)
            self._breathed_s = self._clock.monotonic()

    # -- ends

    def _drop(self, client: Client) -> None:
        self._totals["left"] += 1
        self._forget(client)
        if client.sock is not None:
            client.sock.close()

    def _forget(self, client: Client) -> None:
        """Take the client off every list; its socket is the caller's to close."""
        client.gone = True
        channel = client.channel
        channel.waiting.discard(client)
        channel.clients.pop(client, None)
        self._short.discard(client)
        self._behind.pop(client, None)
        if client.cursor is not None:
            self._totals["jumps"] += client.cursor.jumps
        if self._clients.get(client.fd) is client:
            del self._clients[client.fd]
            self._ready.forget(client.fd)

    def drain(self, limit_s: float | None = None) -> int:
        """End everything: no new viewers, each client on a packet boundary, upstreams closed.

        Waits at most `limit_s` (default `drain_s`) for clients without room, and returns how many had to be cut inside
        a packet. A second call returns at once.
        """
        with self._lock:
            if self._ending.is_set():
                return 0
            self._ending.set()
            left = list(self._clients.values())
            for channel in self._channels.values():
                for client in channel.waiting:
                    client.woken.set()
        self._work.set()
        until_s = self._clock.monotonic() + (self._settings.drain_s if limit_s is None else limit_s)
        while (left := self._finish(left)) and self._clock.monotonic() < until_s:
            time.sleep(_DRAIN_PAUSE_S)
        with self._lock:
            for client in left:
                self._totals["cut_short"] += 1
                self._drop(client)
            for channel in list(self._channels.values()):
                channel.close("the stream service is stopping", self._clock.monotonic())
        if self._turning:
            self._wheel_ended.wait(5.0)
        with self._lock:
            for client in list(self._clients.values()):
                self._ready.forget(client.fd)
            self._clients.clear()
            self._ready.close()
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
                        self._drop(client)
                    else:
                        left.append(client)
                except OSError:
                    self._drop(client)
        return left

    # -- upstreams

    def _dial(self, channel: Channel, address: StreamAddress, attempt: int) -> None:
        native.spawn(lambda: self._open(channel, address, attempt), name="upstream dial")

    def _open(self, channel: Channel, address: StreamAddress, attempt: int) -> None:
        try:
            upstream = self._open_stream(address)
        except (AerialError, OSError) as error:
            self._refuse(channel, attempt, redact(str(error)))
            return
        except Exception:  # whatever it is, the channel has to hear of it
            log.exception("opening a stream of channel %s failed", channel.target.id)
            self._refuse(channel, attempt, "an internal error while opening the stream")
            return
        with self._lock:
            taken = channel.opened(attempt, upstream, self._clock.monotonic())
            if taken:
                self._cold.add(channel)
        if not taken:
            upstream.close()
        self._work.set()

    def _refuse(self, channel: Channel, attempt: int, reason: str) -> None:
        with self._lock:
            channel.refused(attempt, reason, self._clock.monotonic())
        self._work.set()

    def _moved(self, channel: Channel, before: State) -> None:
        """A channel's state has changed (under the lock)."""
        name = channel.target.id
        state = channel.state
        if state is State.IDLE:
            self._slots[channel.slot].remove(channel)
            self._cold.discard(channel)
            self._down.discard(name)
            del self._channels[name]
            self._totals["reconnects"] += channel.reconnects
        elif state is State.FAILED:
            for client in channel.waiting:
                client.woken.set()
        lost = state is State.CONNECTING and before in (State.RUNNING, State.STALLED)
        if (state is State.FAILED or lost) and name not in self._down:
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
        with self._lock:
            now_s = self._clock.monotonic()
            return [self._session(channel, now_s) for channel in self._channels.values()]

    def _session(self, channel: Channel, now_s: float) -> dict[str, object]:
        address = channel.address
        return {
            "id": channel.target.id,
            "name": channel.target.name,
            "state": str(channel.state),
            "reason": channel.reason,
            "since": iso(self._clock.now_s() - round(now_s - channel.since_s)),
            "upstream": redact(address.url) if address else None,
            "bitrate_mbps": round(channel.ring.bitrate_bps() / 1e6, 3),
            "buffer_s": round(channel.ring.span_s, 1),
            "buffer_bytes": channel.ring.size_bytes,
            "start_points": channel.ring.start_points,
            "reconnects": channel.reconnects,
            "waiting": len(channel.waiting),
            "clients": [_client_session(client) for client in channel.clients],
        }

    def figures(self) -> dict[str, float]:
        """Numbers for metrics. Totals count since the start; `late_s`: the wheel's worst delay since the last call."""
        with self._lock:
            late_s, self._late_s = self._late_s, 0.0
            states = [channel.state for channel in self._channels.values()]
            live = [client for channel in self._channels.values() for client in channel.clients]
            figures: dict[str, float] = {f"{name}_total": count for name, count in self._totals.items()}
            figures["jumps_total"] += sum(client.cursor.jumps for client in live if client.cursor)
            figures["reconnects_total"] += sum(channel.reconnects for channel in self._channels.values())
            figures |= {f"channels_{state}": states.count(state) for state in State if state is not State.IDLE}
            return figures | {"clients": len(live), "late_s": round(max(0.0, late_s), 4)}

    # -- for `Following`

    def take(self, client: Client) -> bytes | None:
        """The next bytes for a follower, empty when it is level, None when it has ended."""
        with self._lock:
            cursor, ring = client.cursor, client.channel.ring
            if cursor is None or client.gone or self._ending.is_set():
                return None
            data = b"".join(ring.gather(cursor, SENT_BLOBS))
            ring.advance(cursor, len(data))
            client.bytes_sent += len(data)
            self._totals["sent_bytes"] += len(data)
            return data

    def pause(self) -> None:
        """Wait one tick, or until the relay ends."""
        self._ending.wait(self._settings.tick_ms / 1000)

    def leave(self, client: Client) -> None:
        """A follower has gone."""
        with self._lock:
            if not client.gone:
                self._drop(client)


class Following(Iterator[bytes]):
    """One viewer's stream as an iterator of whole packets; `close` ends it, also when it was never read."""

    def __init__(self, hub: Hub, client: Client) -> None:
        self._hub = hub
        self._client = client

    def __next__(self) -> bytes:
        while (data := self._hub.take(self._client)) is not None:
            if data:
                return data
            self._hub.pause()
        raise StopIteration

    def close(self) -> None:
        """End the stream."""
        self._hub.leave(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _client_session(client: Client) -> dict[str, object]:
    cursor = client.cursor
    return {
        "address": client.viewer.address,
        "user_agent": client.viewer.user_agent,
        "lag_s": round(client.channel.ring.lag_s(cursor), 1) if cursor else 0.0,
        "jumps": cursor.jumps if cursor else 0,
        "bytes": client.bytes_sent,
        "since": client.since,
    }
