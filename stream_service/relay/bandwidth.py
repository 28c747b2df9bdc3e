"""Limits on what viewers get together and each: token buckets, and how much is being sent now.

A bucket fills at its rate and holds a moment's worth; who sends takes from it, in whole packets. Off by default, and
then nobody asks a bucket anything. No clock of its own and no lock: its caller has both.
"""

from collections import deque
from dataclasses import dataclass

from stream_service.relay.mpegts import PACKET_BYTES

_BITS = 8
_MEGA = 1_000_000
_HELD_S = 0.2
"""What a bucket holds, in seconds of its rate: two ticks, so that a rate is met although data comes in lumps."""
LEAST_BYTES = 7 * PACKET_BYTES
"""Less than this is not worth a send: the seven packets that fill one frame of a network."""
_RATE_OVER_S = 5.0
_MOST_EACH = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """In Mbit/s; 0 is none."""

    enabled: bool = False
    total_mbps: float = 0.0
    """What all viewers get together."""
    client_mbps: float = 0.0
    """What one viewer gets."""

    @property
    def on(self) -> bool:
        """Whether anything is limited."""
        return self.enabled and (self.total_mbps > 0 or self.client_mbps > 0)


class Bucket:
    """Tokens are bytes. They may be owed: the next ones pay first."""

    __slots__ = ("_at_s", "_holds", "_rate", "_tokens")

    def __init__(self, mbps: float, now_s: float) -> None:
        self._rate = mbps * _MEGA / _BITS
        self._holds = max(self._rate * _HELD_S, 2.0 * LEAST_BYTES)
        self._tokens = self._holds
        self._at_s = now_s

    def there(self, now_s: float) -> int:
        """Bytes that may be sent now; 0 while fewer than `LEAST_BYTES`."""
        if now_s > self._at_s:
            self._tokens = min(self._holds, self._tokens + (now_s - self._at_s) * self._rate)
            self._at_s = now_s
        return int(self._tokens) if self._tokens >= LEAST_BYTES else 0

    def take(self, count: int) -> None:
        """So many bytes were sent."""
        self._tokens -= count


class Bandwidth:
    """The limits in force. While `on` is false nothing else needs to be asked."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.on = False
        self._all: Bucket | None = None
        self._each: dict[object, Bucket] = {}

    def set(self, limits: Limits, now_s: float) -> None:
        """Other limits, from this moment on, for whoever is there too."""
        if limits == self.limits:
            return
        self.limits, self.on = limits, limits.on
        self._all = Bucket(limits.total_mbps, now_s) if limits.on and limits.total_mbps else None
        self._each.clear()

    def share(self, who: object, sharers: int, now_s: float) -> int:
        """Bytes, in whole packets, that `who` may be sent now when `sharers` want something; 0: not now.

        What there is is shared evenly, but nobody gets less than is worth a send.
        """
        most = 1 << 40
        if self._all is not None:
            there = self._all.there(now_s)
            most = min(there, max(LEAST_BYTES, there // max(1, sharers)))
        if self.limits.client_mbps and most:
            bucket = self._each.get(who)
            if bucket is None:
                if len(self._each) >= _MOST_EACH:  # players of HLS come and go without a word
                    self._each.clear()
                bucket = self._each[who] = Bucket(self.limits.client_mbps, now_s)
            most = min(most, bucket.there(now_s))
        return most - most % PACKET_BYTES

    def dry(self, now_s: float) -> bool:
        """True when nobody may be sent anything now."""
        return self._all is not None and not self._all.there(now_s)

    def sent(self, who: object, count: int) -> None:
        """So many bytes went to `who`."""
        if self._all is not None:
            self._all.take(count)
        bucket = self._each.get(who)
        if bucket is not None:
            bucket.take(count)

    def forget(self, who: object) -> None:
        """`who` has gone."""
        self._each.pop(who, None)


class Meter:
    """The rate at which a count grows, over the last seconds. Costs nothing but a note now and then."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, int]] = deque()

    def note(self, count: int, now_s: float) -> None:
        """What the count is now."""
        self._notes.append((now_s, count))
        while len(self._notes) > 1 and now_s - self._notes[0][0] > _RATE_OVER_S:
            self._notes.popleft()

    def mbps(self, count: int, now_s: float) -> float:
        """Mbit/s of late, the count being a number of bytes."""
        self.note(count, now_s)
        at_s, before = self._notes[0]
        span_s = now_s - at_s
        return (count - before) * _BITS / _MEGA / span_s if span_s > 0 else 0.0
