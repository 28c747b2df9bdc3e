"""Which stream is next, after which pause, and how patient the relay is with it."""

from dataclasses import dataclass, field

import pytest

from stream_service.domain.failover import Failover, FailoverPolicy, Health, Trouble, first_byte_s
from stream_service.domain.model import StreamAddress

POLICY = FailoverPolicy()


def stream(number: int, **more: object) -> StreamAddress:
    return StreamAddress(id=number, source_id=1, url=f"http://example.org/{number}", **more)  # type: ignore[arg-type]


@dataclass
class Played:
    """A channel of some streams, played by hand."""

    count: int
    health: Health = field(default_factory=lambda: Health(POLICY))
    now_s: float = 1000.0

    def __post_init__(self) -> None:
        self.streams = [stream(n) for n in range(self.count)]
        self.closed: set[int] = set()
        self.again()

    def again(self) -> None:
        """The channel rests and is wanted anew."""
        self.failover = Failover("news", health=self.health, jitter=lambda: 0.5)

    def next(self) -> int | None:
        chosen = self.failover.choose(self.streams, self.now_s, ready=lambda one: one.id not in self.closed)
        return chosen.id if chosen else None

    def ran(self, seconds: float) -> float:
        self.now_s += seconds
        return self.failover.lost(self.streams, seconds, self.now_s)


def test_streams_are_tried_by_rank_and_a_vain_pass_brings_a_pause() -> None:
    played = Played(3)
    pauses = []
    tried = []
    for _ in range(6):
        tried.append(played.next())
        pauses.append(played.ran(0.0))
    assert tried == [0, 1, 2, 0, 1, 2]
    assert pauses == [0.0, 0.0, 1.0, 0.0, 0.0, 2.0]


def test_pauses_double_to_the_longest_with_jitter_around_them() -> None:
    pauses = []
    for jitter in (0.0, 0.5, 1.0):
        failover = Failover("news", health=Health(POLICY), jitter=lambda it=jitter: it)  # type: ignore[misc]
        pauses.append([failover.none_ready() for _ in range(8)])
    assert pauses[1] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert [low < middle < high for low, middle, high in zip(*pauses, strict=True)] == [True] * 8
    assert min(pauses[0]) >= 0.75
    assert max(pauses[2]) <= 37.5


def test_a_stable_stream_is_opened_again_and_then_the_next_follows() -> None:
    played = Played(2)
    played.next()
    assert played.ran(POLICY.stable_s) == 0.0
    assert played.next() == 0
    assert played.failover.why == "the same again, it had been stable"
    assert played.ran(0.0) == 0.0
    assert played.next() == 1
    assert played.failover.switches == 1


def test_a_stream_that_ran_for_a_while_is_followed_by_the_next_without_a_pause() -> None:
    played = Played(2)
    order = []
    for _ in range(5):
        order.append(played.next())
        assert played.ran(POLICY.brief_s) == 0.0
    assert order == [0, 1, 0, 1, 0]


def test_the_last_good_one_comes_first_when_the_channel_is_wanted_again() -> None:
    played = Played(3)
    played.next()
    played.ran(0.0)
    assert played.next() == 1
    played.failover.steady()
    played.again()
    assert played.next() == 1
    assert played.failover.why == "the last good one"


def test_what_is_held_against_a_stream_is_forgotten_after_a_while() -> None:
    played = Played(2)
    played.next()
    played.ran(0.0)
    played.again()
    assert played.next() == 1
    played.now_s += POLICY.forget_s + 1
    played.again()
    assert played.next() == 0


def test_a_stable_stream_wipes_what_was_held_against_the_others_in_this_pass() -> None:
    played = Played(2)
    played.next()
    played.ran(0.0)
    played.next()
    played.ran(POLICY.stable_s)  # stable, then lost
    assert played.next() == 1
    played.ran(0.0)
    assert played.next() == 0


def test_streams_whose_breakers_are_open_are_passed_over() -> None:
    played = Played(3)
    played.closed = {0, 1}
    assert played.next() == 2
    played.closed = {0, 1, 2}
    assert played.next() is None


def test_a_stream_that_left_the_channel_is_not_tried_again() -> None:
    played = Played(2)
    played.next()
    played.ran(POLICY.stable_s)
    played.streams = [stream(7)]
    assert played.next() == 7


def test_no_free_slot_is_not_held_against_the_stream() -> None:
    played = Played(1)
    played.next()
    assert played.failover.lost(played.streams, 0.0, played.now_s, blame=Trouble.BUSY.is_the_providers) > 0
    assert played.health.penalty(0, played.now_s) == 0


@pytest.mark.parametrize(
    ("pause_s", "ran_s", "stall_s"),
    [
        pytest.param(0.1, 1.0, 12.0, id="not known yet"),
        pytest.param(0.1, 30.0, 4.0, id="a steady stream"),
        pytest.param(2.0, 30.0, 6.0, id="one that pauses"),
        pytest.param(9.0, 30.0, 12.0, id="one that pauses long"),
    ],
)
def test_patience_is_three_times_the_longest_pause_within_bounds(pause_s: float, ran_s: float, stall_s: float) -> None:
    health = Health(POLICY)
    health.paused(1, pause_s, ran_s)
    assert health.stall_s(stream(1)) == stall_s


def test_patience_can_be_told_by_the_source() -> None:
    assert Health(POLICY).stall_s(stream(1, timeouts={"stall_s": 20.0})) == 20.0


@pytest.mark.parametrize(
    ("url", "limit_s"),
    [
        ("file:///x.ts", 1.0),
        ("http://d111.cloudfront.net/a.ts", 10.0),
        ("https://archive.org/download/a.ts", 60.0),
        ("http://ia800.us.archive.org/a.ts", 60.0),
        ("http://192.0.2.1:32400/library/parts/1/file.ts", 60.0),
        ("https://1-2-3-4.abc.plex.direct/a", 60.0),
        ("http://notarchive.org/a.ts", 30.0),
        ("http://example.org/a.ts", 30.0),
        ("http://[broken/a.ts", 30.0),
    ],
)
def test_the_first_byte_may_take_as_long_as_its_kind_does(url: str, limit_s: float) -> None:
    address = StreamAddress(id=1, source_id=1, url=url)
    assert first_byte_s(address, 30.0) == limit_s
    told = StreamAddress(id=1, source_id=1, url=url, timeouts={"first_byte_s": 7.0})
    assert first_byte_s(told, 30.0) == 7.0
