"""A relay with a provider, put up for one test and checked afterwards: nothing may be left."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from servicekit.addresses import AddressPolicy
from servicekit.fetch import Answer, Fetcher
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.domain.watching import Watched
from stream_service.relay.hub import Hub
from stream_service.relay.journal import Journal
from stream_service.relay.settings import RelaySettings
from stream_service.relay.upstream import open_upstream
from tests.stream.relaykit.held import leaves_nothing
from tests.stream.relaykit.upstream import ScriptedUpstream
from tests.stream.relaykit.viewers import ViewerEnd
from tests.waiting import until

QUICK = RelaySettings(
    tick_ms=20,
    turn_ms=5,
    first_byte_s=5.0,
    stall_notice_s=0.2,
    stall_min_s=0.6,
    stall_s=0.6,
    start_point_wait_s=0.5,
    grace_s=0.2,
    stable_s=0.3,
    brief_s=0.1,
    backoff_min_s=0.05,
    backoff_max_s=0.4,
    slate_after_s=1.0,
    slate_s=20.0,
    breaker_open_s=0.5,
    slot_wait_s=1.0,
)
"""The relay's figures for tests: seconds become tenths, the order of the limits stays."""


@dataclass
class Events:
    """Remembers what was told to people."""

    kinds: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def event(self, kind: str, level: str, message: str, **fields: object) -> None:
        assert level in {"info", "warning", "error"}
        self.kinds.append(kind)
        self.messages.append(message)


@dataclass
class House:
    """A hub, its provider, and the viewers that came."""

    hub: Hub
    provider: ScriptedUpstream
    events: Events
    viewers: list[ViewerEnd] = field(default_factory=list)
    told: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    """What listeners to the relay's events heard."""
    viewings: list[Watched] = field(default_factory=list)
    """What was written into the sessions log."""

    def viewer(
        self, channel: ChannelTarget, *, reads: bool = True, address: str = "192.0.2.7", priority: int = 0
    ) -> ViewerEnd:
        viewer = ViewerEnd(self.hub, channel, reads=reads, address=address, priority=priority)
        self.viewers.append(viewer)
        return viewer

    def session(self) -> dict[str, object]:
        """The only channel's entry; empty when none runs."""
        return next(iter(self.hub.sessions()), {})

    def wait_for_state(self, state: str) -> None:
        until(lambda: self.session().get("state") == state, what=f"state {state}, now {self.session()}")

    def wait_until_idle(self) -> None:
        until(lambda: not self.hub.sessions(), what="the channel's end")


@contextmanager
def house(settings: RelaySettings = QUICK, **changes: object) -> Iterator[House]:
    """Put it up; afterwards drain, and fail when a descriptor, a thread or a slot is left."""
    fetcher = Fetcher(policy=AddressPolicy())

    def open_address(address: StreamAddress) -> Answer:
        return fetcher.open(
            address.url,
            typed=False,
            private_ok=address.private_ok,
            timeout_s=2,
            read_timeout_s=5,
            headers=address.headers,
        )

    with leaves_nothing(), ScriptedUpstream() as provider:
        events = Events()
        told: list[tuple[str, dict[str, object]]] = []
        viewings: list[Watched] = []
        hub = Hub(
            open_stream=partial(open_upstream, open_address=open_address),
            settings=replace(settings, **changes),  # type: ignore[arg-type]
            notifier=events,
            journal=Journal(
                write=viewings.extend, tell=lambda kind, said: told.append((kind, dict(said))), batch_s=0.01
            ),
        )
        there = House(hub, provider, events, told=told, viewings=viewings)
        try:
            yield there
        finally:
            hub.drain(0.5)
            for viewer in there.viewers:
                viewer.leave()
            until(lambda: hub.leases() == [], what=f"the slots to come back: {hub.leases()}")
