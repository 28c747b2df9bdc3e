"""Opening a channel's stream beside the wheel: slot first, then the connection, then the outcome told to the hub.

The slot is acquired, renewed and given back here and nowhere else: `Connection.close` ends both, connection and lease.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import AerialError, BadAnswer, Unreachable
from servicekit.redact import redact
from stream_service import native
from stream_service.domain.failover import Trouble
from stream_service.domain.model import StreamAddress
from stream_service.domain.slots import Lease
from stream_service.relay.channel import Channel
from stream_service.relay.slots import Slots, account_of
from stream_service.relay.upstream import Upstream

log = logging.getLogger(__name__)

_SLOT_PAUSE_S = 0.05
_VAIN_ASKS = 2
_SERVER_FAULT = 500

OpenStream = Callable[[StreamAddress], Upstream]
"""Opens an address; waits. Raises `AerialError`, `OSError`."""


class Outcome(Protocol):
    """Who is told what became of an attempt, and asked for room. Both take the hub's lock."""

    def opened(self, channel: Channel, attempt: int, line: "Connection") -> bool:
        """It connected; False when nobody wants it any more."""
        ...

    def refused(self, channel: Channel, attempt: int, reason: str, trouble: Trouble) -> None:
        """It failed."""
        ...

    def make_room(self, channel: Channel, attempt: int, account: str) -> bool:
        """See that the account gets a free slot; False when there is no way, or nobody wants it any more."""
        ...


class Connection:
    """An open upstream and the lease of its slot."""

    __slots__ = ("_slots", "lease", "upstream")

    def __init__(self, upstream: Upstream, lease: Lease, slots: Slots) -> None:
        self.upstream = upstream
        self.lease = lease
        self._slots = slots

    def close(self) -> None:
        """End the connection, then give the slot back."""
        self.upstream.close()
        self._slots.release(self.lease)


class Dialer:
    """Opens streams, each in a greenlet or thread of its own."""

    def __init__(
        self, *, open_stream: OpenStream, slots: Slots, outcome: Outcome, slot_wait_s: float, clock: Clock
    ) -> None:
        self._open_stream = open_stream
        self._slots = slots
        self._outcome = outcome
        self._slot_wait_s = slot_wait_s
        self._clock = clock
        self._opening: dict[int, tuple[Lease, Channel, int]] = {}

    def dial(self, channel: Channel, address: StreamAddress, attempt: int) -> None:
        """Begin; does not wait."""
        native.spawn(lambda: self._dial(channel, address, attempt), name="upstream dial")

    def given_up(self, account: str) -> bool:
        """Whether a slot of the account is held by an attempt that nobody wants any more, and so will be free soon."""
        held = list(self._opening.values())
        return any(lease.account == account and channel.attempt != attempt for lease, channel, attempt in held)

    def renew(self, lines: list[Connection]) -> None:
        """Hold the slots of these connections, and of those being opened, for longer. May wait."""
        for lease in [line.lease for line in lines] + [lease for lease, _, _ in list(self._opening.values())]:
            if not self._slots.renew(lease):
                log.debug("the lease of %s for %s is over", lease.account, lease.owner)

    def _dial(self, channel: Channel, address: StreamAddress, attempt: int) -> None:
        lease = self._leased(channel, address, attempt)
        if lease is None:
            limit = address.connection_limit
            self._outcome.refused(
                channel, attempt, f"all {limit} connections of the provider's account are in use", Trouble.BUSY
            )
            return
        self._opening[lease.number] = (lease, channel, attempt)
        try:
            line = self._opened(channel, address, attempt, lease)
        finally:
            del self._opening[lease.number]
        if line is None:
            self._slots.release(lease)
        elif not self._outcome.opened(channel, attempt, line):
            line.close()

    def _leased(self, channel: Channel, address: StreamAddress, attempt: int) -> Lease | None:
        account, owner = account_of(address), channel.target.id
        until_s = self._clock.monotonic() + self._slot_wait_s
        vain = 0
        while True:
            lease = self._slots.acquire(account, owner, limit=address.connection_limit)
            if lease is not None:
                return lease
            # Asked twice: a slot that another attempt has just got belongs to no channel for an instant.
            vain = 0 if self._outcome.make_room(channel, attempt, account) else vain + 1
            if vain == _VAIN_ASKS or self._clock.monotonic() > until_s:
                return None
            time.sleep(_SLOT_PAUSE_S)

    def _opened(self, channel: Channel, address: StreamAddress, attempt: int, lease: Lease) -> Connection | None:
        try:
            return Connection(self._open_stream(address), lease, self._slots)
        except (AerialError, OSError) as error:
            self._slots.release(lease)
            self._outcome.refused(channel, attempt, redact(str(error)), trouble_of(error))
        except Exception:  # whatever it is, the channel has to hear of it
            log.exception("opening a stream of channel %s failed", channel.target.id)
            self._slots.release(lease)
            self._outcome.refused(channel, attempt, "an internal error while opening the stream", Trouble.CONTENT)
        return None


def trouble_of(error: Exception) -> Trouble:
    """Which kind of failure an error of opening is."""
    if isinstance(error, BadAnswer):
        if error.status is None:
            return Trouble.CONTENT
        return Trouble.BROKEN if error.status >= _SERVER_FAULT else Trouble.REFUSED
    return Trouble.UNREACHABLE if isinstance(error, Unreachable | OSError) else Trouble.REFUSED
