"""The relay's limits from outside: set while it runs, looked at, and kept by what is sent beside the wheel."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from servicekit.clock import Clock
from stream_service.relay import report
from stream_service.relay.bandwidth import Bandwidth, Limits, Meter
from stream_service.relay.channel import Channel

_PIECE_BYTES = 64 * 1024


class Throttle:
    """Stands on the hub's lock. `totals["sent_bytes"]` is what was sent; `wake`: there may be something to send now."""

    def __init__(
        self,
        bandwidth: Bandwidth,
        *,
        lock: threading.Lock,
        clock: Clock,
        totals: dict[str, int],
        channels: Callable[[], Iterable[Channel]],
        wake: Callable[[], None],
        turn_s: float,
    ) -> None:
        self._bandwidth = bandwidth
        self._lock = lock
        self._clock = clock
        self._totals = totals
        self._channels = channels
        self._wake = wake
        self._turn_s = turn_s
        self._meter = Meter()

    def limit(self, limits: Limits) -> None:
        """Other limits, at once, for those who watch too."""
        with self._lock:
            self._bandwidth.set(limits, self._clock.monotonic())
        self._wake()

    def bandwidth(self) -> dict[str, object]:
        """The limits, and what viewers get now: Mbit/s of the last seconds, bytes since the start, how many."""
        with self._lock:
            sent_bytes = self._totals["sent_bytes"]
            mbps = self._meter.mbps(sent_bytes, self._clock.monotonic())
            return report.bandwidth(self._bandwidth.limits, mbps, sent_bytes, self._channels())

    def note(self, now_s: float) -> None:
        """What was sent by now (under the lock)."""
        self._meter.note(self._totals["sent_bytes"], now_s)

    def paced(self, data: bytes, who: object) -> Iterator[bytes]:
        """`data` (a segment) for `who` in pieces, each when the limits allow it; all at once when there are none."""
        at = 0
        while at < len(data):
            with self._lock:
                free = not self._bandwidth.on
                allowed = free or bool(self._bandwidth.share(who, 1, self._clock.monotonic()))
                piece = data[at:] if free else data[at : at + _PIECE_BYTES]
                if allowed:
                    self._bandwidth.sent(who, len(piece))
                    self._totals["sent_bytes"] += len(piece)
            if allowed:
                at += len(piece)
                yield piece
            else:
                time.sleep(self._turn_s)
