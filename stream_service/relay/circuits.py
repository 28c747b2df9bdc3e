"""The circuit breakers from outside: looked at, forced and reset while the relay runs."""

import threading
from collections.abc import Callable, Iterable

from servicekit.clock import Clock
from stream_service.domain.circuit import Breakers
from stream_service.relay.channel import Channel


class Circuits:
    """Stands on the hub's lock. What a person changes counts at once for channels that wait for their next try."""

    def __init__(
        self,
        breakers: Breakers,
        *,
        lock: threading.Lock,
        clock: Clock,
        channels: Callable[[], Iterable[Channel]],
    ) -> None:
        self._breakers = breakers
        self._lock = lock
        self._clock = clock
        self._channels = channels

    def items(self) -> list[dict[str, object]]:
        """All of them by name."""
        with self._lock:
            return self._breakers.items()

    def shown(self, name: str) -> dict[str, object]:
        """One; raises `NotFound`."""
        with self._lock:
            return self._breakers.shown(name)

    def force(self, name: str, state: str) -> dict[str, object]:
        """Set its state; raises `NotFound`, `Invalid`."""
        with self._lock:
            shown = self._breakers.force(name, state)
            self._ask_again()
            return shown

    def reset(self, name: str) -> dict[str, object]:
        """As if it had never seen a failure; raises `NotFound`."""
        with self._lock:
            shown = self._breakers.reset(name)
            self._ask_again()
            return shown

    def _ask_again(self) -> None:
        """A channel whose streams may still not be tried fails anew, and waits on."""
        for channel in self._channels():
            channel.ask_again(self._clock.monotonic())
