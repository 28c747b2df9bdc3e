"""One channel's states, stepped by hand: every move, its reason, and which address is next."""

from dataclasses import dataclass, field, replace

import pytest

from stream_service.domain.circuit import Breakers
from stream_service.domain.failover import Health, Trouble
from stream_service.domain.model import StreamAddress
from stream_service.domain.slots import Lease
from stream_service.relay.channel import Channel
from stream_service.relay.client import Client, Viewer
from stream_service.relay.settings import RelaySettings
from stream_service.relay.slate import Slates
from stream_service.relay.states import MOVES, State
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.viewers import target

SETTINGS = RelaySettings(slate_s=3600.0, breaker_failures=1000)
SLATES = Slates()


class Told:
    """An upstream that gives what the test puts in, and the line that it is on."""

    def __init__(self) -> None:
        self.upstream = self
        self.lease = Lease("source-1", "news", 1, 0.0)
        self.ended: str | None = None
        self.data = b""
        self.closed = False

    def drain(self, into: memoryview) -> int:
        count = len(self.data)
        into[:count] = self.data
        self.data = b""
        return count

    def close(self) -> None:
        self.closed = True


@dataclass
class Bench:
    """A channel of `addresses`, its clock, and what it asked for."""

    addresses: int = 1
    settings: RelaySettings = SETTINGS
    now_s: float = 1000.0
    dialled: list[str] = field(default_factory=list)
    attempt: int = 0
    moves: list[str] = field(default_factory=list)
    stream: ts.Numbered = field(default_factory=ts.Numbered)
    upstream: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self.target = target(*(f"http://example.org/{n}" for n in range(self.addresses)))
        self.buffer = memoryview(bytearray(1 << 20))
        self.breakers = Breakers(self.settings.circuit, lambda: self.now_s)
        self.health = Health(self.settings.failover)
        self.channel = Channel(
            self.target,
            settings=self.settings,
            dial=self._dial,
            moved=lambda channel, before: self.moves.append(f"{before}>{channel.state}"),
            jitter=lambda: 0.5,
            health=self.health,
            breakers=self.breakers,
            slate_of=SLATES.of,
            now_s=self.now_s,
        )

    def _dial(self, channel: Channel, address: StreamAddress, attempt: int) -> None:
        self.dialled.append(address.url.rpartition("/")[2])
        self.attempt = attempt

    def state(self) -> State:
        return self.channel.state

    def come(self, *, served: bool = False) -> Client:
        client = Client(self.channel, Viewer("192.0.2.1"), since=0, sock=None)
        if served:
            self.channel.clients[client] = None
        else:
            self.channel.waiting.add(client)
        self.channel.want(self.target, self.now_s)
        return client

    def leave(self) -> None:
        self.channel.clients.clear()
        self.channel.waiting.clear()

    def open(self) -> None:
        self.upstream = Told()
        assert self.channel.opened(self.attempt, self.upstream, self.now_s)

    def refuse(self, reason: str = "no", trouble: Trouble = Trouble.REFUSED) -> None:
        self.channel.refused(self.attempt, reason, trouble, self.now_s)

    def packets(self, pictures: int = 1) -> None:
        self.upstream.data = self.stream.pictures(pictures)
        self.tick()

    def tick(self, after_s: float = 0.1) -> None:
        self.now_s += after_s
        self.channel.tick(self.now_s, self.buffer)

    def running(self) -> "Bench":
        self.come(served=True)
        self.open()
        self.packets()
        assert self.state() is State.RUNNING
        return self

    def lost(self) -> "Bench":
        """It ran for less than a blink, with a viewer who now waits for what comes next."""
        self.running()
        self.upstream.ended = "closed"
        self.tick()
        assert self.state() is State.SWITCHING
        return self


def test_the_plain_life_of_a_channel() -> None:
    bench = Bench().running()
    bench.leave()
    bench.tick()
    bench.tick(SETTINGS.grace_s + 1)
    assert bench.moves == ["idle>connecting", "connecting>running", "running>closing", "closing>idle"]
    assert bench.upstream.closed


def test_every_state_can_be_reached_and_left() -> None:
    reached = {state for moves in MOVES.values() for state in moves}
    assert reached == set(State)
    assert all(MOVES.values())


def test_a_move_that_is_not_in_the_table_is_a_fault() -> None:
    channel = Bench().channel
    with pytest.raises(AssertionError, match="no way from idle to running"):
        channel._move(State.RUNNING, "test", 0.0)


def test_it_is_ready_at_its_first_keyframe_not_before() -> None:
    bench = Bench()
    bench.come()
    bench.open()
    bench.stream.picture()  # the keyframe is missed
    bench.packets(2)
    assert not bench.channel.ready(bench.now_s)
    bench.packets(3)
    assert bench.channel.ready(bench.now_s)


def test_it_is_ready_without_a_keyframe_after_a_while() -> None:
    bench = Bench()
    bench.stream.picture()
    bench.come()
    bench.open()
    bench.packets(1)
    assert not bench.channel.ready(bench.now_s)
    assert bench.channel.ready(bench.now_s + SETTINGS.start_point_wait_s)


def test_silence_is_first_noticed_then_acted_upon() -> None:
    bench = Bench().running()
    bench.tick(SETTINGS.stall_notice_s + 0.1)
    assert bench.state() is State.STALLED
    bench.packets()
    assert bench.state() is State.RUNNING
    bench.tick(SETTINGS.stall_s + 0.1)
    assert bench.state() is State.SWITCHING
    assert "silent" in bench.channel.reason
    assert bench.upstream.closed


def test_a_stable_connection_that_breaks_is_opened_again_at_once_at_the_same_address() -> None:
    bench = Bench(addresses=3).running()
    bench.now_s += SETTINGS.stable_s
    bench.packets()
    bench.upstream.ended = "closed"
    bench.tick()
    bench.tick()
    assert bench.dialled == ["0", "0"]


def test_after_a_failure_comes_the_next_address_and_after_all_of_them_a_pause() -> None:
    bench = Bench(addresses=2).lost()
    for _ in range(60):
        bench.refuse()
        bench.tick(0.5)
    assert bench.dialled[:4] == ["0", "1", "0", "1"]
    assert len(bench.dialled) < 16


def test_the_pauses_double_up_to_the_longest() -> None:
    bench = Bench().lost()
    pauses = []
    for _ in range(8):
        began, dialled = bench.now_s, len(bench.dialled)
        for _ in range(400):
            bench.tick()
            if len(bench.dialled) > dialled:
                break
        pauses.append(round(bench.now_s - began))
        bench.refuse()
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_provider_that_cuts_every_few_seconds_is_reconnected_without_a_pause() -> None:
    bench = Bench(addresses=2, stream=ts.Numbered(gop=1))
    bench.come(served=True)
    for _ in range(6):
        bench.open()
        bench.packets()
        bench.now_s += SETTINGS.brief_s
        bench.packets()
        bench.upstream.ended = "closed"
        bench.tick()
        bench.tick()
    assert bench.dialled == ["0", "1", "0", "1", "0", "1", "0"]


def test_a_provider_that_gives_a_blink_and_closes_is_asked_ever_less_often() -> None:
    bench = Bench(stream=ts.Numbered(gop=1))
    bench.come(served=True)
    for _ in range(5):
        bench.open()
        bench.packets()
        bench.upstream.ended = "closed"
        dialled, began = len(bench.dialled), bench.now_s
        while len(bench.dialled) == dialled:
            bench.tick()
    assert bench.now_s - began > 15


def test_nobody_has_had_a_byte_and_every_address_failed_is_failed() -> None:
    bench = Bench(addresses=2)
    bench.come()
    bench.refuse("first")
    assert bench.state() is State.CONNECTING
    bench.tick()
    bench.refuse("second")
    assert bench.state() is State.FAILED
    assert bench.channel.reason == "second"
    bench.come()
    assert bench.state() is State.FAILED
    bench.now_s += bench.channel.retry_in_s(bench.now_s)
    bench.come()
    assert bench.state() is State.CONNECTING


def test_a_channel_that_found_no_slot_is_tried_again_as_soon_as_somebody_asks() -> None:
    bench = Bench()
    bench.come()
    bench.refuse("in use", Trouble.BUSY)
    assert bench.state() is State.FAILED
    bench.leave()
    bench.come()
    assert bench.state() is State.CONNECTING
    assert bench.dialled == ["0", "0"]


def test_a_failed_channel_that_nobody_asks_for_is_forgotten() -> None:
    bench = Bench()
    bench.come()
    bench.refuse()
    bench.leave()
    bench.tick(SETTINGS.grace_s + SETTINGS.backoff_max_s)
    assert bench.state() is State.IDLE


def test_an_attempt_that_takes_too_long_is_given_up_and_its_late_answer_not_taken() -> None:
    bench = Bench(addresses=2)
    bench.come()
    late = bench.attempt
    bench.tick(SETTINGS.connect_s + SETTINGS.slot_wait_s + SETTINGS.first_byte_s + 1)
    bench.tick()
    assert bench.dialled == ["0", "1"]
    assert not bench.channel.opened(late, Told(), bench.now_s)
    bench.channel.refused(late, "late", Trouble.REFUSED, bench.now_s)
    assert bench.dialled == ["0", "1"]


def test_a_channel_that_closes_opens_nothing_more() -> None:
    bench = Bench().running()
    bench.leave()
    bench.tick()
    bench.upstream.ended = "closed"
    bench.tick()
    assert bench.state() is State.IDLE
    assert bench.dialled == ["0"]


def test_a_client_that_comes_within_the_grace_keeps_the_connection() -> None:
    bench = Bench().running()
    bench.leave()
    bench.tick()
    bench.come()
    assert bench.state() is State.RUNNING
    bench.tick(SETTINGS.grace_s - 1)
    assert not bench.upstream.closed


def test_new_addresses_count_from_the_next_connection_on() -> None:
    bench = Bench().running()
    bench.target = replace(bench.target, streams=target("http://example.org/new").streams)
    bench.come()
    bench.upstream.ended = "closed"
    bench.tick()
    bench.tick(3)
    assert bench.dialled == ["0", "new"]


def test_a_new_connection_starts_with_a_clean_scanner() -> None:
    bench = Bench().running()
    bench.upstream.data = bench.stream.picture()[:100]  # cut inside a packet
    bench.tick()
    bench.upstream.ended = "closed"
    bench.tick()
    bench.tick(3)
    bench.open()
    bench.packets(2)
    for data in bench.channel.ring.latest(100):
        list(ts.packets(data))


def test_no_packet_within_the_limit_says_what_came_instead() -> None:
    bench = Bench()
    bench.come()
    bench.open()
    bench.upstream.data = b"please try again later"
    bench.tick()
    bench.tick(SETTINGS.first_byte_s + 1)
    assert "please try again" in bench.channel.reason
