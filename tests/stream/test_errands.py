"""Errands between two sides of one real database: answers, errors as themselves, limits, deaths."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest

from servicekit.clock import SystemClock
from servicekit.errors import (
    AerialError,
    BadAnswer,
    Conflict,
    Invalid,
    NotFound,
    RateLimited,
    TooLarge,
    Unavailable,
)
from stream_service.errands import ErrandRunner, Errands, Handler, KeeperFault, packed, unpacked
from stream_service.store.connection import open_database
from stream_service.store.errands import MOST_OPEN, ErrandQueue
from tests.waiting import until

P = ParamSpec("P")
T = TypeVar("T")


def directly(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    return fn(*args, **kwargs)


class Pair:
    """Both sides, each on threads of its own."""

    def __init__(self, directory: Path) -> None:
        connections = open_database(directory / "stream.db", backups=directory, lock=directory / "lock")
        self.queue = ErrandQueue(connections, clock=SystemClock())
        self.stop = threading.Event()
        self.threads: list[threading.Thread] = []

    def serve(self, handlers: Mapping[str, Handler], *, limit_s: float = 60.0) -> None:
        runner = ErrandRunner(self.queue, handlers=handlers, clock=SystemClock(), limit_s=limit_s)
        self.threads.append(runner.start(self.stop))

    def asking(self, *, wait_s: float = 60.0, lives: bool = True) -> Errands:
        return Errands(self.queue, call=directly, keeper_lives=lambda: lives, wait_s=wait_s)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.stop.set()
    for thread in made.threads:
        thread.join()


def test_an_errand_brings_the_keepers_answer_home(pair: Pair) -> None:
    pair.serve({"double": lambda params: {"twice": params["n"] * 2, "text": "ä"}})
    assert pair.asking().ask("double", {"n": 21}) == {"twice": 42, "text": "ä"}
    with pytest.raises(NotFound):
        pair.queue.get(1)


def test_many_ask_at_once_and_each_gets_its_own_answer(pair: Pair) -> None:
    pair.serve({"echo": lambda params: {"n": params["n"]}})
    answers: dict[int, Any] = {}

    def ask(n: int) -> None:
        answers[n] = pair.asking().ask("echo", {"n": n})["n"]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: n for n in range(12)}


def test_one_kind_runs_once_at_a_time_and_another_beside_it(pair: Pair) -> None:
    begun, go_on, at_once = threading.Event(), threading.Event(), []

    def slow(params: Mapping[str, Any]) -> Mapping[str, object]:
        at_once.append(params["n"])
        begun.set()
        go_on.wait(60)
        at_once.remove(params["n"])
        return {"others": len(at_once)}

    pair.serve({"slow": slow, "quick": lambda params: {"ok": True}})
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(pair.asking().ask("slow", {"n": n}))) for n in (1, 2)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    assert pair.asking().ask("quick", {}) == {"ok": True}
    go_on.set()
    for thread in threads:
        thread.join()
    assert answers == [{"others": 0}, {"others": 0}]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Invalid("wrong", errors=[{"where": "expression", "what": "x"}]), id="with extras"),
        pytest.param(NotFound("no such lineup"), id="not found"),
        pytest.param(Conflict("twice"), id="conflict"),
        pytest.param(RateLimited("slower", retry_after_s=7), id="rate limited"),
        pytest.param(Unavailable("busy", retry_after_s=9), id="unavailable"),
        pytest.param(BadAnswer("403 of the provider", retry_after_s=3), id="bad answer"),
    ],
)
def test_an_error_travels_back_as_itself(pair: Pair, error: AerialError) -> None:
    def fails(params: Mapping[str, Any]) -> Mapping[str, object]:
        raise error

    pair.serve({"fails": fails})
    with pytest.raises(type(error)) as caught:
        pair.asking().ask("fails", {})
    assert (caught.value.detail, caught.value.extra) == (error.detail, error.extra)
    assert getattr(caught.value, "retry_after_s", None) == getattr(error, "retry_after_s", None)


def test_a_kind_that_only_one_side_knows_travels_as_the_nearest_both_know() -> None:
    class Odd(Invalid):
        pass

    assert type(unpacked(packed(Odd("odd", id=3)))) is Invalid


def test_a_fault_of_the_handler_is_told_without_its_inside(pair: Pair) -> None:
    pair.serve({"breaks": lambda params: {"n": 1 // params["n"]}})
    with pytest.raises(KeeperFault, match="breaks: ZeroDivisionError; see the keeper's log"):
        pair.asking().ask("breaks", {"n": 0})


def test_an_unknown_errand_is_not_found(pair: Pair) -> None:
    pair.serve({})
    with pytest.raises(NotFound, match="knows no errand"):
        pair.asking().ask("dance", {})


def test_an_answer_that_is_too_large_is_an_error(pair: Pair) -> None:
    pair.serve({"large": lambda params: {"text": "x" * (1 << 21)}})
    with pytest.raises(TooLarge, match="ask for less"):
        pair.asking().ask("large", {})


def test_without_a_keeper_nothing_is_asked(pair: Pair) -> None:
    with pytest.raises(Unavailable, match="keeper is not running"):
        pair.asking(lives=False).ask("echo", {})
    assert pair.queue.queued() == []


def test_what_nobody_waits_for_any_more_is_taken_back(pair: Pair) -> None:
    with pytest.raises(Unavailable, match="did not come to this"):
        pair.asking(wait_s=0.1).ask("echo", {})
    assert pair.queue.queued() == []


def test_an_errand_that_takes_too_long_is_given_up_and_its_late_answer_dropped(pair: Pair) -> None:
    go_on, ended = threading.Event(), threading.Event()

    def endless(params: Mapping[str, Any]) -> Mapping[str, object]:
        go_on.wait(60)
        ended.set()
        return {"late": True}

    pair.serve({"endless": endless}, limit_s=0.1)
    with pytest.raises(Unavailable, match=r"over 0\.1 s and was given up|nobody waits"):
        pair.asking().ask("endless", {})
    go_on.set()


def test_what_ran_when_the_keeper_died_ends_as_unavailable(pair: Pair) -> None:
    errand = pair.queue.add("echo", {})
    assert pair.queue.start(errand)
    pair.serve({})
    until(lambda: pair.queue.status(errand) == "failed")
    assert "started anew" in str(pair.queue.get(errand).error["detail"])


def test_too_many_at_a_time_are_turned_away(pair: Pair) -> None:
    for n in range(MOST_OPEN):
        pair.queue.add("echo", {"n": n})
    with pytest.raises(Unavailable, match="wait for the keeper already"):
        pair.queue.add("echo", {})


def test_old_errands_are_swept_away(pair: Pair) -> None:
    errand, now = pair.queue.add("echo", {}), SystemClock().now_s()
    assert not pair.queue.sweep(now - 60)
    assert pair.queue.sweep(now + 60)
    with pytest.raises(NotFound):
        pair.queue.get(errand)
