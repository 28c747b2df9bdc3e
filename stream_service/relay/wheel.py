"""The wheel: reads every channel ten times a second and sends each client what is new.

    upstreams ── tick (each channel, every 100 ms) ── ring ── one send per client ── short? alone till epoll names it
                                                                          ▲
                    who is behind (joined, or has room again) ── in rotation, 3 ms a turn
                    bandwidth is limited? all are, and each turn shares out what the buckets hold

One thread (a greenlet under gevent). It turns every 10 ms while somebody is behind or a channel is new, else sleeps to
the next channel's tick; channels are spread over the turns of a tick, so no turn is long. Nothing in it waits: sockets
are non-blocking, addresses are opened beside it, and it gives way after every 256 sends.

The lock is the hub's: whoever touches a channel, a ring or a client holds it, and nobody waits while holding it.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from servicekit.clock import Clock
from stream_service import native
from stream_service.domain.watching import End
from stream_service.relay.bandwidth import Bandwidth
from stream_service.relay.channel import Channel
from stream_service.relay.client import Client
from stream_service.relay.readiness import readiness
from stream_service.relay.settings import RelaySettings
from stream_service.relay.states import State

log = logging.getLogger(__name__)

_BUFFER_BYTES = 4 * 1024 * 1024
_SLICE_CLIENTS = 256
_BEHIND_S = 0.003
_BREATH_S = 0.004
_SHORT_TURNS = 2
_SWEEP_S = 1.0
_LAST_WORDS_S = 5.0


class Wheel:
    """See the module's words. `drop` ends a client for a reason, `swept` comes every second, both under the lock."""

    def __init__(
        self,
        *,
        settings: RelaySettings,
        clock: Clock,
        lock: threading.Lock,
        totals: dict[str, int],
        bandwidth: Bandwidth,
        drop: Callable[[Client, End], None],
        swept: Callable[[float], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = lock
        self._totals = totals
        self._bandwidth = bandwidth
        self._drop = drop
        self._swept = swept
        self._clients: dict[int, Client] = {}
        self._short: set[Client] = set()
        self._behind: OrderedDict[Client, None] = OrderedDict()
        self._cold: set[Channel] = set()
        self._slots: list[list[Channel]] = [[] for _ in range(max(1, settings.tick_ms // settings.turn_ms))]
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._ready = readiness()
        self._work = threading.Event()
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._turning = False
        self._breathed_s = 0.0
        self._swept_s = 0.0
        self._late_s = 0.0

    # -- what is on it (all under the lock)

    def add(self, channel: Channel) -> None:
        """Carry a channel from now on, in the turn that has the fewest."""
        channel.slot = min(range(len(self._slots)), key=lambda slot: len(self._slots[slot]))
        self._slots[channel.slot].append(channel)

    def remove(self, channel: Channel) -> None:
        """No more of this channel."""
        self._slots[channel.slot].remove(channel)
        self._cold.discard(channel)

    def warm(self, channel: Channel) -> None:
        """Its connection is new: read it every turn at first."""
        self._cold.add(channel)

    def enter(self, client: Client) -> None:
        """Watch the client's socket, if it has one."""
        if client.sock is not None:
            self._clients[client.fd] = client
            self._ready.watch(client.fd)

    def leave(self, client: Client) -> None:
        """Take the client off every list; to be called before its socket is closed."""
        self._short.discard(client)
        self._behind.pop(client, None)
        if self._clients.get(client.fd) is client:
            del self._clients[client.fd]
            self._ready.forget(client.fd)

    def clients(self) -> list[Client]:
        """Those with a socket, served or waiting."""
        return list(self._clients.values())

    def worst_delay_s(self) -> float:
        """The longest delay of a turn since the last call."""
        late_s, self._late_s = self._late_s, 0.0
        return max(0.0, late_s)

    # -- its life

    def start(self) -> None:
        """Begin to turn, unless it does (under the lock)."""
        if not self._turning:
            self._turning = True
            native.spawn(self._turn_forever, name="relay wheel")

    def wake(self) -> None:
        """There is work."""
        self._work.set()

    def stop(self) -> None:
        """No more turns begin."""
        self._stopping.set()
        self._work.set()

    def wait_for_end(self, limit_s: float) -> None:
        """Until the last turn is over."""
        if self._turning:
            self._stopped.wait(limit_s)

    def close(self) -> None:
        """Forget all clients and give the kernel's object back (under the lock)."""
        for client in self.clients():
            self._ready.forget(client.fd)
        self._clients.clear()
        self._ready.close()

    # -- turning

    def _turn_forever(self) -> None:
        turn_s = self._settings.turn_ms / 1000
        origin_s = self._clock.monotonic()
        done = 0
        while not self._stopping.is_set():
            next_s = origin_s + (done + self._turns_to_wait(done)) * turn_s
            wait_s = next_s - self._clock.monotonic()
            idle = not any(self._slots)
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
        self._stopped.set()

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
            if self._stopping.is_set():
                return
            self._take_news()
            self._serve_behind(now_s)
            if now_s - self._swept_s >= _SWEEP_S:
                self._swept_s = now_s
                self._drop_stuck(now_s)
                self._swept(now_s)

    def _tick(self, channel: Channel, now_s: float) -> None:
        with self._lock:
            if self._stopping.is_set() or channel not in self._slots[channel.slot]:
                return
            fresh = channel.tick(now_s, self._buffer)
            if not channel.cold(now_s):
                self._cold.discard(channel)
            if channel.waiting and channel.ready(now_s):
                for client in channel.waiting:
                    client.woken.set()
            clients = list(channel.clients) if fresh else []
            if channel.state is State.FAILED and channel.clients:
                self._let_go(channel, now_s)
        for at in range(0, len(clients), _SLICE_CLIENTS):
            self._fan_out(channel, clients[at : at + _SLICE_CLIENTS], now_s)
            self._breathe()
        self._breathe()

    # -- sending

    def _fan_out(self, channel: Channel, clients: list[Client], now_s: float) -> None:
        """One send to each; who has no room is left alone until the kernel names it."""
        sent_bytes = 0
        with self._lock:
            if self._stopping.is_set():
                return
            if self._bandwidth.on:
                self._behind |= dict.fromkeys(one for one in clients if one not in self._behind and one.behind())
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
                    self._drop(client, End.LEFT)
            self._totals["sent_bytes"] += sent_bytes

    def _serve_behind(self, now_s: float) -> None:
        """Who is behind, in rotation, as long as there is time; each once, and while the buckets last, when limited."""
        until_s = self._clock.monotonic() + _BEHIND_S
        limited = self._bandwidth.on
        turns = len(self._behind) if limited else None
        while self._behind and turns != 0 and self._clock.monotonic() < until_s:
            if turns is not None:
                if self._bandwidth.dry(now_s):
                    return  # the next turn goes on with whoever was not served
                turns -= 1
            self.serve(self._behind.popitem(last=False)[0], now_s)

    def serve(self, client: Client, now_s: float) -> None:
        """One send to a client that is behind; it stays among those behind while it has room and is not level."""
        if not client.behind():
            return
        most = self._bandwidth.share(client, len(self._behind) + 1, now_s) if self._bandwidth.on else None
        if most == 0:
            self._behind[client] = None
            return
        try:
            sent = client.send_behind(most)
            self._totals["sent_bytes"] += sent
            if most is not None:
                self._bandwidth.sent(client, sent)
        except BlockingIOError:
            client.room = False
        except OSError:
            self._drop(client, End.LEFT)
            return
        if self._too_slow(client, now_s):
            log.info("client %s fell behind again and again", client.viewer.address)
            self._totals["too_slow"] += 1
            self._drop(client, End.TOO_SLOW)
        elif not client.room:
            self._fell_short(client, now_s)
        elif client.behind():
            self._behind[client] = None

    def _too_slow(self, client: Client, now_s: float) -> bool:
        """Whether it jumped too often by its own fault: who is held back by a limit of ours has none."""
        if self._bandwidth.on:
            client.excuse_jumps()
            return False
        return client.jumped_too_often(now_s, most=self._settings.most_jumps, within_s=self._settings.jumps_within_s)

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
                self._drop(client, End.LEFT)
            elif client in self._short:
                self._short.discard(client)
                client.room = True
                self._behind[client] = None

    def _drop_stuck(self, now_s: float) -> None:
        for client in [one for one in self._short if now_s - one.short_since_s > self._settings.stuck_s]:
            log.info("client %s took nothing for %g s", client.viewer.address, self._settings.stuck_s)
            self._totals["stuck"] += 1
            self._drop(client, End.STUCK)

    def _let_go(self, channel: Channel, now_s: float) -> None:
        """The channel's end, for each of its clients: once it has had everything, and on a packet boundary."""
        late = now_s - channel.since_s > _LAST_WORDS_S
        for client in [one for one in channel.clients if one.sock is not None and one.cursor is not None]:
            if not (late or client.has_had_everything()):
                continue
            try:
                if client.finish() or late:
                    self._drop(client, End.FAILED)
            except OSError:
                self._drop(client, End.LEFT)

    def _breathe(self) -> None:
        """Let others run when they have waited long enough."""
        if self._clock.monotonic() - self._breathed_s > _BREATH_S:
            time.sleep(0)
            self._breathed_s = self._clock.monotonic()
