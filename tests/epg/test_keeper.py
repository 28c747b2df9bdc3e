"""The keeper: what it starts by itself, when, how often, and what it takes over from one that was killed."""

import errno
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from epg_service import keeper as keeper_room
from epg_service.domain.entities import LineupChannel, Run
from epg_service.domain.schedule import cron_of, last_fire
from epg_service.importer.redo import RedoLog
from epg_service.keeper import CATCH_UP_AFTER_S, FULL_DISK_REST_S, RETRY_AFTER_S
from epg_service.lineups.published import PublishedGuides
from epg_service.store.applying import Applying
from servicekit.errors import Conflict
from servicekit.files import run_lock
from servicekit.health import alive
from servicekit.store.sqlite import DiskFull, integrity
from servicekit.timetable import Timetable, next_fire
from tests.epg.guidekit import DAY, HOUR, MIDNIGHT, NOON, REPOSITORY, Show, Station, guide_of, hourly
from tests.providerkit import Reply, ScriptedProvider
from tests.waiting import until


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.close()


@pytest.fixture
def kept(station: Station) -> Iterator[Callable[[], Any]]:
    """Starts the keeper on a thread of its own; it ends with the test."""
    threads: list[threading.Thread] = []

    def start() -> Any:
        keeper = station.keeper()

        def work() -> None:
            keeper.run(Timetable(UTC))

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        until(lambda: alive(station.paths.heartbeat), what="the keeper")
        return keeper

    yield start
    station.stopping.set()
    for one in threads:
        one.join(30)
        assert not one.is_alive()


def runs(station: Station) -> list[Run]:
    return station.it.imports.latest(limit=100)


def at(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


# ---- the clock -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "time_of_day", "now", "expected"),
    [
        ("UTC", "03:00", "2026-03-10T02:59:59", "2026-03-10T03:00:00"),
        ("UTC", "03:00", "2026-03-10T03:00:00", "2026-03-11T03:00:00"),
        ("Europe/Berlin", "03:00", "2026-03-28T12:00:00", "2026-03-29T03:00:00"),
        ("Europe/Berlin", "02:30", "2026-03-28T12:00:00", "2026-03-29T03:00:00"),
        ("Europe/Berlin", "02:30", "2026-10-24T12:00:00", "2026-10-25T02:30:00"),
        ("Europe/Berlin", "02:30", "2026-10-25T02:30:00", "2026-10-26T02:30:00"),
        ("America/New_York", "01:30", "2026-11-01T00:00:00", "2026-11-01T01:30:00"),
        ("Australia/Lord_Howe", "01:45", "2026-04-04T12:00:00", "2026-04-05T01:45:00"),
    ],
)
def test_the_daily_import_comes_once_a_day_in_its_zone(zone: str, time_of_day: str, now: str, expected: str) -> None:
    assert next_fire(cron_of(time_of_day), ZoneInfo(zone), at(now, zone)) == at(expected, zone)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])
@pytest.mark.parametrize("time_of_day", ["00:00", "01:45", "02:30", "03:00", "23:59"])
def test_a_year_has_as_many_daily_imports_as_days(zone: str, time_of_day: str) -> None:
    moment, fired = at("2026-01-01T00:00:00", zone) - timedelta(seconds=1), []
    end = at("2027-01-01T00:00:00", zone)
    while (found := next_fire(cron_of(time_of_day), ZoneInfo(zone), moment)) is not None and found < end:
        fired.append(found.date())
        moment = found
    assert len(fired) == len(set(fired)) == 365


@pytest.mark.parametrize(("text", "expected"), [("04:30", "30 4 * * *"), ("4:05", "5 4 * * *"), ("0 */6 * * *",) * 2])
def test_a_time_of_day_is_a_cron_expression(text: str, expected: str) -> None:
    assert cron_of(text) == expected


def test_the_last_time_a_schedule_fired_is_found_as_far_back_as_a_week() -> None:
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    assert last_fire("0 3 * * *", ZoneInfo("UTC"), now) == datetime(2026, 3, 10, 3, tzinfo=UTC)
    assert last_fire("0 12 * * *", ZoneInfo("UTC"), now) == now
    assert last_fire("0 3 * * 2", ZoneInfo("UTC"), now - timedelta(hours=10)) == datetime(2026, 3, 3, 3, tzinfo=UTC)
    assert last_fire("0 3 1 1 *", ZoneInfo("UTC"), now) is None


# ---- imports by themselves -------------------------------------------------------------------------------------------


def test_a_queued_run_is_taken_up_by_the_running_keeper(station: Station, kept: Callable[[], Any]) -> None:
    station.lay(guide_of(hourly("x", MIDNIGHT, 24)))
    provider = station.provider()
    kept()
    assert runs(station) == [], "adding a provider imports nothing"
    run = station.it.imports.enqueue(provider.id, reason="manual")
    until(lambda: station.it.imports.get(run.id).status == "success", what="the import")
    until(lambda: PublishedGuides(station.paths.published).find("guide"), what="the published guide")


def test_a_lineup_does_not_wait_for_a_provider_that_drips(
    station: Station, site: ScriptedProvider, kept: Callable[[], Any]
) -> None:
    site.drip("/guide.xml", guide_of(hourly("x", MIDNIGHT, 24)) * 500, piece=500, pause_s=0.05)
    run = station.it.imports.enqueue(station.provider(address=site.url("/guide.xml")).id, reason="manual")
    kept()
    until(lambda: station.it.imports.get(run.id).progress.get("bytes"), what="the import to be under way")
    station.it.lineups.put("home", "1", [LineupChannel("c1", "One")], {})
    until(lambda: PublishedGuides(station.paths.published).find("lineup-home"), what="the lineup's guide")
    assert station.it.imports.get(run.id).status == "running"


def test_runs_that_wait_are_done_one_after_the_other(station: Station) -> None:
    station.lay(guide_of(hourly("x", MIDNIGHT, 24)))
    first, second = station.provider(), station.provider("second")
    station.lay(guide_of(hourly("y", MIDNIGHT, 24)), "second.xml")
    asked = [station.it.imports.enqueue(one.id, reason="manual") for one in (first, second, first)]
    station.keeper().work_off()
    assert [station.it.imports.get(run.id).status for run in asked] == ["success", "success", "unchanged"]


def test_a_full_disk_ends_no_keeper_and_the_guide_is_published_when_there_is_room(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    station.lay(guide_of(hourly("x", MIDNIGHT, 24)))
    station.it.imports.enqueue(station.provider().id, reason="manual")
    keeper = station.keeper()
    real, tries = keeper._publications, []

    class Full:
        def everything(self) -> None:
            tries.append(station.clock.at)
            raise OSError(errno.ENOSPC, "No space left on device")

        def tidy(self) -> None:
            real.tidy()

    monkeypatch.setattr(keeper, "_publications", Full())
    keeper.work_off()
    keeper.work_off()
    assert runs(station)[0].status == "success"
    assert len(tries) == 1, "not again and again"
    monkeypatch.setattr(keeper, "_publications", real)
    station.clock.at += FULL_DISK_REST_S
    keeper.work_off()
    assert PublishedGuides(station.paths.published).find("guide")


def test_a_disk_that_is_full_while_an_import_is_written_is_waited_for(
    station: Station, kept: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    station.lay(guide_of(hourly("x", MIDNIGHT, 24)))
    run = station.it.imports.enqueue(station.provider().id, reason="manual")
    real, tries = Applying.apply, []

    def apply(self: Applying, **given: Any) -> dict[str, int]:
        tries.append(given["provider_id"])
        if len(tries) < 3:
            raise DiskFull("the disk is full")
        return real(self, **given)

    monkeypatch.setattr(Applying, "apply", apply)
    monkeypatch.setattr(keeper_room, "FULL_DISK_REST_S", 0)
    kept()
    until(lambda: station.it.imports.get(run.id).status == "success", what="room on the disk")
    assert len(tries) == 3


def test_a_provider_disabled_or_deleted_meanwhile_is_not_imported(station: Station, site: ScriptedProvider) -> None:
    site.serve("/guide.xml", guide_of(hourly("x", MIDNIGHT, 24)))
    first, second = station.provider("a", site.url("/guide.xml")), station.provider("b", site.url("/guide.xml"))
    asked = [station.it.imports.enqueue(one.id, reason="manual") for one in (first, second)]
    station.it.providers.update(first.id, {"enabled": False})
    station.it.providers.delete(second.id)
    station.keeper().work_off()
    assert station.it.imports.get(asked[0].id).status == "cancelled"
    assert [run.id for run in runs(station)] == [asked[0].id], "the deleted provider's log went with it"
    assert site.requests == []


@pytest.fixture
def site() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        yield running


def test_a_scheduled_run_that_failed_is_tried_again_three_times(station: Station) -> None:
    provider = station.provider(address="missing.xml")
    keeper = station.keeper()
    station.it.imports.enqueue(provider.id, reason="schedule")
    for attempt, pause_s in enumerate(RETRY_AFTER_S, 1):
        keeper.work_off()
        waiting, failed = runs(station)[:2]
        assert (failed.status, waiting.status, waiting.reason, waiting.attempt) == (
            "failed", "queued", "retry", attempt,
        )  # fmt: skip
        station.clock.at += pause_s - 1
        keeper.work_off()
        assert station.it.imports.get(waiting.id).status == "queued", "not before its time"
        station.clock.at += 1
    keeper.work_off()
    assert [run.status for run in runs(station)] == ["failed"] * 4


def test_the_pauses_are_five_fifteen_and_sixty_minutes() -> None:
    assert [pause_s // 60 for pause_s in RETRY_AFTER_S] == [5, 15, 60]


def test_a_run_asked_for_by_hand_is_not_tried_again(station: Station) -> None:
    provider = station.provider(address="missing.xml")
    station.it.imports.enqueue(provider.id, reason="manual")
    station.keeper().work_off()
    assert [run.status for run in runs(station)] == ["failed"]


def test_the_scheduler_asks_for_one_run_at_the_providers_time(station: Station) -> None:
    station.provider("daily")
    station.provider("own", schedule="30 */2 * * *")
    station.provider("off", enabled=False)
    keeper = station.keeper()

    class Table:
        def __init__(self) -> None:
            self.jobs: dict[str, tuple[Callable[[], object], datetime | None]] = {}

        def at(self, expression: str, name: str, work: Callable[[], object]) -> None:
            self.jobs[name] = (work, next_fire(expression, UTC, station.clock.now()))

        def drop(self, name: str) -> None:
            del self.jobs[name]

    table = Table()
    keeper._schedule(table)
    assert {name: when for name, (_, when) in table.jobs.items()} == {
        "import-1": datetime(2026, 3, 11, 3, tzinfo=UTC),
        "import-2": datetime(2026, 3, 10, 12, 30, tzinfo=UTC),
    }
    work, _ = table.jobs["import-1"]
    work()
    work()
    assert [(run.provider_id, run.reason) for run in runs(station)] == [(1, "schedule")]
    station.it.providers.update(2, {"schedule": "13:00"})
    station.it.providers.delete(1)
    keeper._schedule(table)
    assert {name: when for name, (_, when) in table.jobs.items()} == {"import-2": datetime(2026, 3, 10, 13, tzinfo=UTC)}


def due(station: Station, kept: Callable[[], Any]) -> list[tuple[int, int]]:
    """Starts the keeper; what it asks for at once, as (provider, seconds from now)."""
    kept()
    guides = PublishedGuides(station.paths.published)
    until(lambda: guides.find("guide"), what="the first look, which publishes")
    rows = station.it.connections.get().execute(
        "SELECT provider_id, not_before FROM import_log WHERE status = 'queued'"
    )
    return [(int(str(row[0])), int(str(row[1])) - station.clock.at) for row in rows.fetchall()]


def test_a_box_that_was_off_at_import_time_imports_two_minutes_after_start(
    station: Station, kept: Callable[[], Any]
) -> None:
    station.provider("daily")
    station.provider("off", enabled=False)
    station.provider("later", schedule="23:00")
    station.clock.at += 18 * HOUR  # past 03:00 of the next day, past 23:00 too
    station.it.imports.enqueue(3, reason="schedule", not_before=1 << 40)
    assert due(station, kept) == [(3, (1 << 40) - station.clock.at), (1, CATCH_UP_AFTER_S)]


def test_a_provider_that_asked_for_a_pause_gets_it_though_an_import_was_missed(
    station: Station, kept: Callable[[], Any]
) -> None:
    station.provider("busy")
    put_off = station.clock.at + 20 * HOUR
    station.it.imports.enqueue(1, reason="retry", attempt=1, not_before=put_off)
    station.clock.at += 18 * HOUR
    assert due(station, kept) == [(1, put_off - station.clock.at)]


@pytest.mark.parametrize("later_s", [HOUR, 14 * HOUR], ids=["same day", "before the time"])
def test_a_start_that_missed_nothing_asks_for_nothing(station: Station, kept: Callable[[], Any], later_s: int) -> None:
    station.provider("daily")
    station.clock.at += later_s
    assert due(station, kept) == []


# ---- one keeper ------------------------------------------------------------------------------------------------------


def test_a_second_keeper_refuses_with_a_sentence(station: Station) -> None:
    with run_lock(station.paths.keeper_lock):
        done = subprocess.run(
            [sys.executable, "-m", "epg_service", "keeper", "--config", str(station.file)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert "another process of this service is running" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_lock_is_free_again_after_the_keeper(station: Station) -> None:
    with run_lock(station.paths.keeper_lock), pytest.raises(Conflict), run_lock(station.paths.keeper_lock):
        raise AssertionError("two hold it")
    with run_lock(station.paths.keeper_lock):
        pass


# ---- taking over -----------------------------------------------------------------------------------------------------


def left_running(station: Station, reason: Any = "manual") -> Run:
    provider = station.provider()
    run = station.it.imports.enqueue(provider.id, reason=reason)
    assert station.it.imports.start(run.id)
    return run


def test_a_run_left_running_without_a_verdict_is_interrupted(station: Station) -> None:
    run = left_running(station)
    (station.paths.redo).mkdir(parents=True)
    with RedoLog(station.paths.redo, run.id).writer():
        pass
    (station.paths.work / "spool-1").mkdir(parents=True)
    (station.paths.work / "feed-1").write_bytes(b"half a download")
    station.keeper().work_off()
    ended = station.it.imports.get(run.id)
    assert (ended.status, ended.completed_at) == ("interrupted", NOON)
    assert ended.error_message
    assert [run.status for run in runs(station)] == ["interrupted"]
    assert not station.paths.work.exists()
    assert not station.paths.redo.exists()


def test_a_scheduled_run_that_was_interrupted_is_tried_again(station: Station) -> None:
    left_running(station, "schedule")
    station.keeper().work_off()
    assert [(run.status, run.reason) for run in runs(station)] == [("queued", "retry"), ("interrupted", "schedule")]


class Killed(BaseException):
    """Ends the work as abruptly as a signal would: nothing of ours catches it."""


@pytest.mark.parametrize("after", [0, 1, 2, 3], ids=["before the first", "after one", "after two", "at the end"])
def test_a_verdict_that_was_given_is_carried_out_by_the_next_keeper(
    station: Station, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    old = [one for n in range(3) for one in hourly(f"c{n}", MIDNIGHT, 24, "Old")]
    new = [one for n in range(3) for one in hourly(f"c{n}", MIDNIGHT, 24, "New")]
    station.take(guide_of(old))
    days = RedoLog.days
    monkeypatch.setattr("epg_service.store.applying.LOCK_S", 0.0)  # a transaction for each channel

    def cut_off(self: RedoLog, last_day: int) -> Iterator[Any]:
        for number, group in enumerate(days(self, last_day)):
            if number == after:
                raise Killed
            yield group
        raise Killed

    with monkeypatch.context() as cut:
        cut.setattr(RedoLog, "days", cut_off)
        with pytest.raises(Killed):
            station.take(guide_of(new))
    words = [{title.split()[0] for title in station.titles(f"c{n}")} for n in range(3)]
    assert all(len(one) == 1 for one in words), "each channel is old or new, never both"
    run = runs(station)[0]
    assert run.status == "running"
    station.keeper().work_off()
    ended = station.it.imports.get(run.id)
    assert (ended.status, ended.programs_imported) == ("success", 72)
    assert {title.split()[0] for n in range(3) for title in station.titles(f"c{n}")} == {"New"}
    assert not station.paths.redo.exists()
    assert integrity(station.paths.database) == []
    assert station.run(station.it.providers.all()[0]).status == "unchanged"


def test_a_damaged_log_is_told_and_not_carried_out_further(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    station.take(guide_of(hourly("x", MIDNIGHT, 24, "Old")))

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as cut:
        cut.setattr("epg_service.store.applying.Applying.apply", killed)
        with pytest.raises(Killed):
            station.take(guide_of(hourly("x", MIDNIGHT, 24, "New")))
    run = runs(station)[0]
    log = station.paths.redo / f"{run.id}.redo"
    data = bytearray(log.read_bytes())
    data[-3] ^= 1
    log.write_bytes(data)
    station.keeper().work_off()
    ended = station.it.imports.get(run.id)
    assert ended.status == "interrupted"
    assert "damaged" in str(ended.error_message)
    assert {title.split()[0] for title in station.titles("x")} == {"Old"}


# ---- pruning ---------------------------------------------------------------------------------------------------------


def test_each_provider_is_pruned_by_its_own_window(station: Station) -> None:
    station.take(guide_of(hourly("x", MIDNIGHT, 48)), station.provider("short", retention_days=1))
    station.take(guide_of(hourly("y", MIDNIGHT, 48)), station.provider("usual"))
    station.clock.at = MIDNIGHT + 2 * DAY + HOUR
    assert station.keeper().prune() == 25
    assert len(station.titles("x")) == 11
    assert len(station.titles("y")) == 48


def test_a_provider_that_asks_for_patience_gets_it(station: Station) -> None:
    patience_s = 2 * RETRY_AFTER_S[0]
    with ScriptedProvider() as server:
        server.script("/g", lambda asked: Reply(status=429, headers={"Retry-After": str(patience_s)}))
        provider = station.provider(address=server.url("/g"))
        station.it.imports.enqueue(provider.id, reason="schedule")
        station.keeper().work_off()
    waiting, failed = runs(station)
    assert (failed.status, failed.report["retry_after_s"]) == ("failed", patience_s)
    station.clock.at += patience_s - 1
    assert station.it.imports.due() == []
    station.clock.at += 1
    assert [run.id for run in station.it.imports.due()] == [waiting.id]


def test_a_schedule_asks_a_provider_once_within_the_least_interval(tmp_path: Path) -> None:
    station = Station(tmp_path, settings={"imports": {"min_interval_minutes": 30, "jitter_s": 0}})
    try:
        station.lay(guide_of(hourly("x", MIDNIGHT, 24)))
        provider = station.provider()
        keeper = station.keeper()
        keeper._ask_for_import(provider.id)
        keeper.work_off()
        station.clock.at += 29 * 60
        keeper._ask_for_import(provider.id)
        assert [run.status for run in runs(station)] == ["success"]
        station.clock.at += 2 * 60
        keeper._ask_for_import(provider.id)
        assert len(runs(station)) == 2
    finally:
        station.close()


def test_scheduled_imports_are_spread_by_chance(tmp_path: Path) -> None:
    station = Station(tmp_path, settings={"imports": {"min_interval_minutes": 0, "jitter_s": 600}})
    try:
        keeper = station.keeper()
        moments = set()
        for number in range(20):
            one = station.provider(f"p{number}")
            keeper._ask_for_import(one.id)
        while station.it.imports.due() != runs(station)[::-1] and station.clock.at <= NOON + 600:
            moments.add(len(station.it.imports.due()))
            station.clock.at += 30
        assert len(moments) > 3, "they come one by one, not all at once"
        assert len(station.it.imports.due()) == 20
    finally:
        station.close()


def test_a_feed_that_is_an_hour_off_the_other_one_is_told_and_not_mended(station: Station) -> None:
    keeper = station.keeper()
    for name, shift_s in (("right", 0), ("wrong", HOUR)):
        shows = hourly("same.example", MIDNIGHT, 40)
        moved = [Show(one.channel, one.start + shift_s, one.stop + shift_s, one.title) for one in shows]
        station.lay(guide_of(moved, {"same.example": "The Same"}), f"{name}.xml")
        provider = station.provider(name)
        station.it.imports.enqueue(provider.id, reason="manual")
        keeper.work_off()
    wrong, right = runs(station)
    assert wrong.report["times_shifted"] == {"minutes": 60, "pairs": 40, "share": 1.0}
    assert "times_shifted" not in right.report
    assert len(wrong.report["losses"]) == 0, "what stood in the report stays"
