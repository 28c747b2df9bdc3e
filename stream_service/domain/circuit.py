"""Circuit breakers: who failed again and again is left alone for a while, then tried once.

    closed ── `failures` within `window_s` ──> open ── after `open_s` ──> half open ── the one trial works ──> closed
                                                 ^────────── the trial fails ──────────┘

Pure: the clock is handed in. Two breakers stand before each stream: its provider's host, which counts what is the
host's fault (no connection, a server error), and the stream itself, which counts everything. So one dead stream never
closes the door to a provider's other streams.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from servicekit.errors import Invalid, NotFound
from stream_service.domain.failover import Trouble
from stream_service.domain.model import StreamAddress

MOST_BREAKERS = 4_000
"""More than so many names are not remembered; the longest unused that are closed go first."""


class CircuitState(StrEnum):
    """See the drawing above."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """So many failures within so many seconds open a breaker for so long."""

    failures: int = 5
    window_s: float = 300.0
    open_s: float = 30.0


class Circuit:
    """One breaker. Whoever uses it asks `begin` and tells what became of it."""

    def __init__(self, policy: CircuitPolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=policy.failures)
        self._opened_at_s: float | None = None
        self._held = False
        self._trial_until_s: float | None = None
        self.opened_times = 0
        self.reason = ""
        """Of the last failure."""

    @property
    def state(self) -> CircuitState:
        """What it is now; an open one becomes half open by the clock alone."""
        if self._opened_at_s is None:
            return CircuitState.CLOSED
        if self._held or self._clock() < self._opened_at_s + self._policy.open_s:
            return CircuitState.OPEN
        return CircuitState.HALF_OPEN

    @property
    def failures(self) -> int:
        """Failures within the window."""
        since_s = self._clock() - self._policy.window_s
        return sum(1 for at_s in self._failures if at_s > since_s)

    def ready(self) -> bool:
        """Whether `begin` would say yes."""
        state = self.state
        if state is CircuitState.HALF_OPEN:
            return self._trial_until_s is None or self._clock() >= self._trial_until_s
        return state is CircuitState.CLOSED

    def begin(self) -> bool:
        """Ask before a try. Half open: yes for one, until its outcome is told (or `open_s` have passed)."""
        if not self.ready():
            return False
        if self.state is CircuitState.HALF_OPEN:
            self._trial_until_s = self._clock() + self._policy.open_s
        return True

    def succeeded(self) -> None:
        """The try worked: closed, and nothing is held against it. One that people hold open stays so."""
        if not self._held:
            self.reset()

    def failed(self, reason: str) -> None:
        """The try failed."""
        now_s, state = self._clock(), self.state
        self.reason = reason
        self._trial_until_s = None
        self._failures.append(now_s)
        if state is CircuitState.HALF_OPEN or (state is CircuitState.CLOSED and self.failures >= self._policy.failures):
            self._opened_at_s = now_s
            self.opened_times += 1

    def abandoned(self) -> None:
        """The try was given up before its outcome: it says nothing, and the trial is free again."""
        self._trial_until_s = None

    def retry_in_s(self) -> float:
        """Seconds until a try may go through; 0 when it may now, infinite while people hold it open."""
        if self._opened_at_s is None:
            return 0.0
        if self._held:
            return float("inf")
        until_s = max(self._opened_at_s + self._policy.open_s, self._trial_until_s or 0.0)
        return max(0.0, until_s - self._clock())

    def force(self, state: CircuitState) -> None:
        """Set by people: `open` holds until `reset` or another word, `half_open` lets one trial through now."""
        self.reset()
        if state is not CircuitState.CLOSED:
            self._opened_at_s = self._clock() - (self._policy.open_s if state is CircuitState.HALF_OPEN else 0.0)
            self._held = state is CircuitState.OPEN

    def reset(self) -> None:
        """As new."""
        self._failures.clear()
        self._opened_at_s = self._trial_until_s = None
        self._held = False

    def shown(self) -> dict[str, object]:
        """For people to read."""
        retry_s = self.retry_in_s()
        return {
            "state": str(self.state),
            "forced": self._held,
            "failures": self.failures,
            "threshold": self._policy.failures,
            "opened": self.opened_times,
            "retry_in_s": None if retry_s == float("inf") else round(retry_s, 1),
            "reason": self.reason or None,
        }


class Breakers:
    """The breakers of all hosts and streams, by name: `example.org:8080`, `stream-12`."""

    def __init__(self, policy: CircuitPolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._by_name: OrderedDict[str, Circuit] = OrderedDict()

    def ready(self, address: StreamAddress) -> bool:
        """Whether a try of `address` may be made now."""
        return all(circuit.ready() for circuit in self._known(names_of(address)))

    def begin(self, address: StreamAddress) -> bool:
        """Ask before a try of `address`; its outcome has to be told."""
        return self.ready(address) and all([self._of(name).begin() for name in names_of(address)])

    def succeeded(self, address: StreamAddress) -> None:
        """Packets came."""
        for circuit in self._known(names_of(address)):
            circuit.succeeded()

    def failed(self, address: StreamAddress, trouble: Trouble, reason: str) -> None:
        """Nothing came, or next to nothing."""
        host, stream = names_of(address)
        if not trouble.is_the_providers:
            self.abandoned(address)
            return
        self._of(stream).failed(reason)
        if trouble.is_the_hosts:
            self._of(host).failed(reason)
        else:
            self._of(host).succeeded()  # it answered

    def abandoned(self, address: StreamAddress) -> None:
        """Nobody waits for the outcome any more."""
        for circuit in self._known(names_of(address)):
            circuit.abandoned()

    def retry_in_s(self, addresses: Iterable[StreamAddress]) -> float:
        """Seconds until one of `addresses` may be tried; infinite without any."""
        return min((self._retry_in_s(one) for one in addresses), default=float("inf"))

    def _retry_in_s(self, address: StreamAddress) -> float:
        return max((circuit.retry_in_s() for circuit in self._known(names_of(address))), default=0.0)

    def items(self) -> list[dict[str, object]]:
        """All of them by name, as people read them."""
        return [self.shown(name) for name in sorted(self._by_name)]

    def shown(self, name: str) -> dict[str, object]:
        """One of them; raises `NotFound`."""
        return {"name": name, **self._named(name).shown()}

    def force(self, name: str, state: str) -> dict[str, object]:
        """Set its state; raises `NotFound`, `Invalid`."""
        if state not in set(CircuitState):
            raise Invalid(f"state: one of {', '.join(CircuitState)}, not {state!r}")
        self._named(name).force(CircuitState(state))
        return self.shown(name)

    def reset(self, name: str) -> dict[str, object]:
        """As new; raises `NotFound`."""
        self._named(name).reset()
        return self.shown(name)

    def open_count(self) -> int:
        """How many are not closed."""
        return sum(circuit.state is not CircuitState.CLOSED for circuit in self._by_name.values())

    def _named(self, name: str) -> Circuit:
        circuit = self._by_name.get(name)
        if circuit is None:
            raise NotFound(f"there is no circuit breaker {name!r}: one exists once its host or stream was asked")
        return circuit

    def _known(self, names: Iterable[str]) -> Iterator[Circuit]:
        return (circuit for name in names if (circuit := self._by_name.get(name)) is not None)

    def _of(self, name: str) -> Circuit:
        circuit = self._by_name.get(name)
        if circuit is None:
            circuit = self._by_name[name] = Circuit(self._policy, self._clock)
            self._make_room()
        self._by_name.move_to_end(name)
        return circuit

    def _make_room(self) -> None:
        if len(self._by_name) > MOST_BREAKERS:
            idle = next((n for n, c in self._by_name.items() if c.state is CircuitState.CLOSED), None)
            if idle is not None:
                del self._by_name[idle]


def names_of(address: StreamAddress) -> tuple[str, str]:
    """The names of the two breakers before an address: its provider's host, the stream."""
    host = urlsplit(address.url).netloc.rpartition("@")[2].lower()
    return host or f"source-{address.source_id}", f"stream-{address.id}"
