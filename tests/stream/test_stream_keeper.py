"""The keeper: what it does at its start, when runs are due, after failures, and when lineups are stale."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from servicekit.errors import Invalid
from servicekit.timetable import Timetable, next_fire
from stream_service.domain.entities import Run, RunStatus, Source
from stream_service.domain.schedule import cron_of, last_before
from stream_service.keeper import CATCH_UP_DELAY_S, RETRY_AFTER_S, RETRY_JITTER, Keeper
from tests.stream.sourcekit import START_S, House, playlist
from tests.waiting import until

SETTLE_S = 1.0


class Kept:
    """A keeper over real stores, whose work can be scripted."""

    def __init__(self, directory: Path) -> None:
        self.house = House(directory)
        self.built = 0
        self.asked = 0
        self.beats = 0
        self.refresh: Callable[[Run, Source], RunStatus] = self.house.refresher.refresh
        self.build: Callable[[str], object] = self.house.builder.build

    def keeper(self) -> Keeper:
        house = self.house
        return Keeper(
            sources=house.sources,
            runs=house.runs,
            lists=house.lists,
            lineups=house.lineups,
            refresh=self._refresh,
            builds=house.builds,
            build=self._build,
            tidy_lineups=house.builder.tidy,
            settle_s=SETTLE_S,
            build_log_days=30,
            reconcile=self._reconcile,
            guide_imported=lambda: False,
            beat=self._beat,
            clock=house.clock,
            notifier=house.events,
            daily_cron=cron_of("03:30"),
            zone=UTC,
            look=lambda: None,
            log_days=90,
            keep_vanished_days=30,
        )

    def _refresh(self, run: Run, source: Source) -> RunStatus:
        return self.refresh(run, source)

    def _build(self, name: str) -> None:
        self.build(name)
        self.built += 1

    def _reconcile(self) -> bool:
        self.asked += 1
        return True

    def _beat(self) -> None:
        self.beats += 1

    def turned(self, keeper: Keeper, *, later_s: float = 0.0) -> bool:
        """One turn, `later_s` after the last; always true, to stand before a condition."""
        self.house.clock.s += later_s
        keeper.turn()
        return True

    def fail(self, run: Run, source: Source) -> RunStatus:
        """A refresh that fails."""
        self.house.runs.finish(run.id, "failed", error="no")
        return "failed"

    def ended(self, run_id: int) -> bool:
        """Whether a run has ended."""
        return self.house.runs.get(run_id).ended


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.house.connections.close()


def test_a_queued_run_is_done_and_the_lineup_follows(kept: Kept) -> None:
    house, keeper = kept.house, kept.keeper()
    house.add(house.put(playlist(["A"])))
    run = house.runs.enqueue(1, reason="manual")
    keeper.turn()
    until(lambda: kept.ended(run.id), what="the run")
    assert house.runs.get(run.id).status == "success"
    keeper.turn()
    assert kept.built == 0  # it waits for other changes to settle
    house.clock.s += SETTLE_S
    keeper.turn()
    until(lambda: kept.built == 1, what="the build")
    assert house.numbers() == {"A": "1"}
    until(lambda: kept.turned(keeper) and kept.asked >= 2, what="the word to the guide service")


def test_a_run_that_was_running_is_interrupted_at_the_start(kept: Kept) -> None:
    house = kept.house
    house.add(house.put(playlist(["A"])))
    run = house.runs.enqueue(1, reason="manual")
    house.runs.start(run.id)
    kept.keeper().recover()
    after = house.runs.get(run.id)
    assert after.status == "interrupted"
    assert after.error_message
    assert house.lineups.stale() == ["default"]


def test_runs_of_one_source_wait_for_each_other(kept: Kept) -> None:
    house, keeper = kept.house, kept.keeper()
    house.add(house.put(playlist(["A"])))
    going, held = threading.Event(), threading.Event()

    def slow(run: Run, source: Source) -> RunStatus:
        going.set()
        held.wait(20)
        return house.refresher.refresh(run, source)

    kept.refresh = slow
    first, second = (house.runs.enqueue(1, reason="manual") for _ in range(2))
    keeper.turn()
    assert going.wait(20)
    keeper.turn()
    assert house.runs.get(second.id).status == "queued"
    held.set()
    until(lambda: kept.ended(first.id), what="the first run")
    until(lambda: kept.turned(keeper) and kept.ended(second.id), what="the second run")


def test_a_failed_scheduled_run_is_tried_again_three_times(kept: Kept) -> None:
    house, keeper = kept.house, kept.keeper()
    house.add("http://127.0.0.1:1/")
    kept.refresh = kept.fail
    run = house.runs.enqueue(1, reason="schedule")
    for attempt, pause_s in enumerate(RETRY_AFTER_S, start=1):
        keeper.turn()
        until(lambda: kept.ended(run.id) and house.runs.waiting(1), what="the retry")  # noqa: B023
        assert house.runs.due() == []
        house.clock.s += pause_s - 1
        assert house.runs.due() == []
        house.clock.s += 2 + RETRY_JITTER * pause_s
        (run,) = house.runs.due()
        assert (run.reason, run.attempt) == ("retry", attempt)
    keeper.turn()
    until(lambda: "refresh_given_up" in house.events.kinds, what="giving up")
    assert not house.runs.waiting(1)


def test_a_failed_manual_run_is_not_tried_again(kept: Kept) -> None:
    house, keeper = kept.house, kept.keeper()
    house.add("http://127.0.0.1:1/")
    kept.refresh = kept.fail
    run = house.runs.enqueue(1, reason="manual")
    keeper.turn()
    until(lambda: kept.ended(run.id), what="the run")
    assert not house.runs.waiting(1)


def test_a_fault_of_ours_ends_the_run_and_not_the_keeper(kept: Kept) -> None:
    house, keeper = kept.house, kept.keeper()
    house.add("http://127.0.0.1:1/")

    def broken(run: Run, source: Source) -> RunStatus:
        raise ZeroDivisionError

    kept.refresh = broken
    run = house.runs.enqueue(1, reason="manual")
    keeper.turn()
    until(lambda: kept.ended(run.id), what="the run")
    assert "ZeroDivisionError" in (house.runs.get(run.id).error_message or "")


@pytest.mark.parametrize(
    ("created_before_s", "asked_before_s", "comes"),
    [
        pytest.param(86_400, None, True, id="slept through"),
        pytest.param(86_400, 30_000, False, id="done in time"),
        pytest.param(86_400, 40_000, True, id="done the day before"),
        pytest.param(60, None, False, id="younger than its last time"),
    ],
)
def test_what_was_slept_through_comes_two_minutes_after_the_start(
    kept: Kept, created_before_s: int, asked_before_s: int | None, comes: bool
) -> None:
    house = kept.house  # it is noon; the daily refresh was due at 03:30, 30,600 s ago
    house.clock.s = START_S - created_before_s
    house.add(house.put(playlist(["A"])))
    if asked_before_s:
        house.clock.s = START_S - asked_before_s
        house.refresh()
    house.clock.s = START_S
    kept.keeper().recover()
    assert house.runs.due() == []
    house.clock.s += CATCH_UP_DELAY_S
    assert [run.reason for run in house.runs.due()] == (["catch-up"] if comes else [])


def test_a_build_that_fails_is_tried_again_later_and_what_is_published_stays(kept: Kept) -> None:
    house, keeper = kept.house, kept.keeper()

    def broken(name: str) -> None:
        raise OSError("disk full")

    kept.build = broken
    keeper.turn()
    house.clock.s += SETTLE_S
    keeper.turn()
    work = keeper._alone["lineup-default"]
    until(lambda: not work._running.locked() and house.lineups.stale(), what="the failed build")
    kept.build = house.builder.build
    until(lambda: kept.turned(keeper, later_s=10) and kept.built, what="the next build")
    assert house.lineups.stale() == []


def test_deleted_sources_are_purged_and_old_things_pruned(kept: Kept) -> None:
    house, keeper = kept.house, kept.keeper()
    house.add(house.put(playlist(["A"])))
    house.refresh()
    house.sources.delete(1)
    keeper.turn()
    assert house.sources.deleted_ids() == []
    assert keeper.prune() == (0, 0)


def test_it_runs_until_it_is_stopped_and_beats_meanwhile(kept: Kept) -> None:
    stop, ready = threading.Event(), threading.Event()

    def run() -> None:
        kept.keeper().run(Timetable(UTC), stop, ready=ready.set)
        kept.house.connections.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert kept.beats


@pytest.mark.parametrize(
    ("text", "cron"), [("03:30", "30 3 * * *"), ("4:05", "5 4 * * *"), (" 0 5 * * 1 ", "0 5 * * 1")]
)
def test_schedules_are_cron_or_a_time_of_day(text: str, cron: str) -> None:
    assert cron_of(text) == cron


@pytest.mark.parametrize("text", ["", "24:00", "1:2", "* * *", "@daily", "61 * * * *", "0 0 31 2 *"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="cron expression"):
        cron_of(text)


def fired(expression: str, zone: ZoneInfo, moment: datetime) -> datetime:
    found = next_fire(expression, zone, moment)
    assert found is not None
    return found


def test_a_time_fires_once_at_both_switches_of_the_clocks() -> None:
    zone = ZoneInfo("Europe/Berlin")
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert fired("30 2 * * *", zone, spring).astimezone(UTC) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    first = fired("30 2 * * *", zone, autumn)
    assert fired("30 2 * * *", zone, first).date() > first.date()
    assert last_before("30 2 * * 1", spring, zone).isoweekday() == 1


def test_a_provider_that_says_when_to_come_again_is_heard(kept: Kept) -> None:
    house, keeper = kept.house, kept.keeper()
    house.add("http://127.0.0.1:1/")

    def refused(run: Run, source: Source) -> RunStatus:
        house.runs.finish(run.id, "failed", error="429", report={"retry_after_s": 5_000})
        return "failed"

    kept.refresh = refused
    run = house.runs.enqueue(1, reason="schedule")
    keeper.turn()
    until(lambda: kept.ended(run.id) and house.runs.waiting(1), what="the retry")
    house.clock.s += 4_999
    assert house.runs.due() == []
    house.clock.s += 2 + RETRY_JITTER * 5_000
    assert len(house.runs.due()) == 1
