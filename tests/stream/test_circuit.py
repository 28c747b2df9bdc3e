"""Circuit breakers: closed, open, half open with one trial, and what people may do to them."""

import pytest

from servicekit.errors import Invalid, NotFound
from stream_service.domain import circuit
from stream_service.domain.circuit import Breakers, Circuit, CircuitPolicy, CircuitState, names_of
from stream_service.domain.failover import Trouble
from stream_service.domain.model import StreamAddress

POLICY = CircuitPolicy(failures=3, window_s=60.0, open_s=30.0)
NEWS = StreamAddress(id=1, source_id=1, url="http://joe:secret@Example.org:8080/live/1.ts")
FILM = StreamAddress(id=2, source_id=1, url="http://example.org:8080/live/2.ts")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Circuit:
    return Circuit(POLICY, clock)


def opened(breaker: Circuit) -> Circuit:
    for _ in range(POLICY.failures):
        assert breaker.begin()
        breaker.failed("no")
    assert breaker.state is CircuitState.OPEN
    return breaker


def test_so_many_failures_within_the_window_open_it(breaker: Circuit) -> None:
    opened(breaker)
    assert not breaker.begin()
    assert breaker.retry_in_s() == POLICY.open_s


def test_failures_that_lie_far_apart_do_not(breaker: Circuit, clock: Clock) -> None:
    for _ in range(10):
        breaker.failed("no")
        clock.now_s += POLICY.window_s / 2 + 1
    assert breaker.state is CircuitState.CLOSED


def test_a_success_wipes_what_was_counted(breaker: Circuit) -> None:
    for _ in range(10):
        breaker.failed("no")
        breaker.succeeded()
    assert breaker.state is CircuitState.CLOSED


def test_after_a_while_exactly_one_trial_goes_through(breaker: Circuit, clock: Clock) -> None:
    opened(breaker)
    clock.now_s += POLICY.open_s
    assert breaker.state is CircuitState.HALF_OPEN
    assert [breaker.begin() for _ in range(5)] == [True, False, False, False, False]


def test_the_trials_success_closes_and_its_failure_opens_again(breaker: Circuit, clock: Clock) -> None:
    opened(breaker)
    clock.now_s += POLICY.open_s
    assert breaker.begin()
    breaker.failed("still no")
    assert breaker.state is CircuitState.OPEN
    clock.now_s += POLICY.open_s
    assert breaker.begin()
    breaker.succeeded()
    assert breaker.state is CircuitState.CLOSED
    assert breaker.failures == 0


def test_a_trial_that_was_given_up_or_forgotten_blocks_nobody_for_ever(breaker: Circuit, clock: Clock) -> None:
    opened(breaker)
    clock.now_s += POLICY.open_s
    assert breaker.begin()
    breaker.abandoned()
    assert breaker.begin()
    clock.now_s += POLICY.open_s
    assert breaker.begin()


def test_people_may_hold_it_open_let_one_through_and_reset_it(breaker: Circuit, clock: Clock) -> None:
    breaker.force(CircuitState.OPEN)
    clock.now_s += 10 * POLICY.open_s
    breaker.succeeded()  # a connection from before
    assert breaker.state is CircuitState.OPEN
    assert breaker.shown()["retry_in_s"] is None
    breaker.force(CircuitState.HALF_OPEN)
    assert breaker.begin()
    breaker.reset()
    assert breaker.state is CircuitState.CLOSED


class TestTheTwoBeforeEachStream:
    @pytest.fixture
    def breakers(self, clock: Clock) -> Breakers:
        return Breakers(POLICY, clock)

    def test_their_names_hold_no_secret(self) -> None:
        assert names_of(NEWS) == ("example.org:8080", "stream-1")

    def test_one_dead_stream_leaves_the_hosts_others_alone(self, breakers: Breakers) -> None:
        for _ in range(POLICY.failures):
            breakers.failed(NEWS, Trouble.REFUSED, "404")
        assert not breakers.ready(NEWS)
        assert breakers.ready(FILM)

    @pytest.mark.parametrize("trouble", [Trouble.UNREACHABLE, Trouble.BROKEN])
    def test_a_dead_host_is_left_alone_whole(self, breakers: Breakers, trouble: Trouble) -> None:
        for _ in range(POLICY.failures):
            breakers.failed(NEWS, trouble, "no connection")
        assert not breakers.ready(FILM)
        assert breakers.open_count() == 2
        assert breakers.retry_in_s([FILM]) == POLICY.open_s

    def test_an_account_without_a_free_slot_counts_for_nothing(self, breakers: Breakers) -> None:
        for _ in range(9):
            breakers.failed(NEWS, Trouble.BUSY, "in use")
        assert breakers.ready(NEWS)

    def test_they_are_listed_forced_and_reset_by_name(self, breakers: Breakers) -> None:
        assert breakers.begin(NEWS)
        assert [one["name"] for one in breakers.items()] == ["example.org:8080", "stream-1"]
        assert breakers.force("stream-1", "open")["state"] == "open"
        assert not breakers.begin(NEWS)
        assert breakers.reset("stream-1")["state"] == "closed"
        with pytest.raises(NotFound):
            breakers.shown("stream-9")
        with pytest.raises(Invalid):
            breakers.force("stream-1", "ajar")

    def test_their_number_is_bounded(self, breakers: Breakers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(circuit, "MOST_BREAKERS", 10)
        for n in range(50):
            breakers.begin(StreamAddress(id=n, source_id=1, url="http://example.org/"))
        assert len(breakers.items()) <= 10
