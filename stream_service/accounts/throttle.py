"""How often somebody may guess: a bucket of tries for each address, filled again at a steady rate."""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address

from servicekit.clock import Clock
from servicekit.errors import RateLimited

TRIES = 10
REFILL_S = 20.0
"""A further try comes back every so many seconds: three a minute."""
MOST_ADDRESSES = 10_000
REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class _Bucket:
    """What was left at a moment, and digests of the last wrong guesses."""

    left: float
    at_s: float
    recent: tuple[bytes, ...]


class Throttle:
    """Counts wrong credentials by address (IPv6: by its /64, which one home has whole).

    Right ones cost nothing, so players that ask often are never slowed; but while an address has used up its tries,
    right ones are refused too: otherwise the answer would tell a guesser which guess was right. The same wrong guess
    again costs nothing: a player with an old password asks for ever, and must not lock its home out.
    """

    def __init__(self, *, clock: Clock, tries: int = TRIES, refill_s: float = REFILL_S) -> None:
        self._clock = clock
        self._tries = float(tries)
        self._refill_s = refill_s
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._key = secrets.token_bytes(16)

    def check(self, address: str) -> None:
        """Raises `RateLimited` while the address has no try left."""
        with self._lock:
            left = self._left(_home_of(address))
        if left < 1.0:
            wait_s = max(1, round((1.0 - left) * self._refill_s))
            raise RateLimited("too many wrong names or passwords from this address", retry_after_s=wait_s)

    def failed(self, address: str, guess: str) -> None:
        """A wrong try; `guess` is told apart from others and not kept."""
        home = _home_of(address)
        digest = blake2b(guess.encode("utf-8", "surrogatepass"), key=self._key, digest_size=8).digest()
        with self._lock:
            recent = self._buckets[home].recent if home in self._buckets else ()
            if digest in recent:
                return
            left = max(0.0, self._left(home) - 1.0)
            self._buckets[home] = _Bucket(left, self._clock.monotonic(), (*recent, digest)[-REMEMBERED:])
            self._buckets.move_to_end(home)
            while len(self._buckets) > MOST_ADDRESSES:
                self._buckets.popitem(last=False)

    def _left(self, home: str) -> float:
        bucket = self._buckets.get(home)
        if bucket is None:
            return self._tries
        return min(self._tries, bucket.left + (self._clock.monotonic() - bucket.at_s) / self._refill_s)


def _home_of(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(IPv6Address(int(found) >> 64 << 64))
    return address
