"""Slots of provider accounts: the protocol the relay uses, and the kind that lives in this process's memory."""

import threading
from typing import Protocol

from servicekit.clock import Clock, SystemClock
from stream_service.domain.model import StreamAddress
from stream_service.domain.slots import Lease, LeaseTable

TTL_S = 30.0
RENEW_EVERY_S = 10.0


class Slots(Protocol):
    """Leases of an account's connections. All calls may wait: they are made beside the wheel, but for `release`."""

    def acquire(self, account: str, owner: str, *, limit: int | None) -> Lease | None:
        """A lease, or None when all are held."""
        ...

    def renew(self, lease: Lease) -> bool:
        """Hold it for longer; False when it had ended."""
        ...

    def release(self, lease: Lease) -> None:
        """Give it back; must not wait, may be called twice."""
        ...

    def held(self) -> list[Lease]:
        """Who holds what."""
        ...


class LocalSlots:
    """In memory: right as long as one process carries all streams."""

    def __init__(self, *, ttl_s: float = TTL_S, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._table = LeaseTable(ttl_s=ttl_s)
        self._lock = threading.Lock()

    def acquire(self, account: str, owner: str, *, limit: int | None) -> Lease | None:
        with self._lock:
            return self._table.acquire(account, owner, limit=limit, now_s=self._clock.monotonic())

    def renew(self, lease: Lease) -> bool:
        with self._lock:
            return self._table.renew(lease, self._clock.monotonic())

    def release(self, lease: Lease) -> None:
        with self._lock:
            self._table.release(lease)

    def held(self) -> list[Lease]:
        with self._lock:
            return self._table.held(self._clock.monotonic())


def account_of(address: StreamAddress) -> str:
    """The account whose connections an address uses: its source's."""
    return f"source-{address.source_id}"
