"""The stream database: migrations, sources, runs."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from servicekit.errors import Conflict, NotFound, Unavailable
from servicekit.store.sqlite import DatabaseUnusable, integrity
from stream_service.store.connection import open_database
from stream_service.store.schema import APPLICATION_ID, MIGRATIONS
from tests.stream.sourcekit import House, playlist


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.connections.close()


def test_a_new_database_is_ours_and_whole(house: House) -> None:
    connection = house.connections.get()
    asked = ("application_id", "user_version", "journal_mode", "foreign_keys", "auto_vacuum", "page_size")
    found = {name: connection.execute(f"PRAGMA {name}").fetchall()[0][0] for name in asked}
    assert found == {
        "application_id": APPLICATION_ID,
        "user_version": len(MIGRATIONS),
        "journal_mode": "wal",
        "foreign_keys": 1,
        "auto_vacuum": 2,
        "page_size": 8192,
    }
    assert connection.execute("SELECT version FROM schema_version").fetchall() == [(len(MIGRATIONS),)]
    assert integrity(house.connections.path) == []


@pytest.mark.parametrize(
    ("pragma", "says"),
    [(f"user_version = {len(MIGRATIONS) + 1}", "newer"), ("application_id = 7", "another program")],
)
def test_a_database_that_is_not_ours_to_change_is_refused(tmp_path: Path, pragma: str, says: str) -> None:
    House(tmp_path).connections.close()
    connection = apsw.Connection(str(tmp_path / "stream.db"))
    connection.execute(f"PRAGMA {pragma}")
    connection.close()
    with pytest.raises(DatabaseUnusable, match=says):
        open_database(tmp_path / "stream.db", backups=tmp_path / "backups", lock=tmp_path / "lock")


def test_a_source_is_made_changed_and_hidden(house: House) -> None:
    source = house.add("http://h/a", name="A", schedule="30 4 * * *", headers={"X": "y"}, timeouts={"read_s": 5})
    assert (source.id, source.enabled, source.headers, source.timeouts) == (1, True, {"X": "y"}, {"read_s": 5})
    changed = house.sources.update(1, {"name": "B", "enabled": False})
    assert (changed.name, changed.enabled, changed.url) == ("B", False, "http://h/a")
    house.sources.delete(1)
    assert house.sources.all() == []
    assert house.sources.deleted_ids() == [1]
    with pytest.raises(NotFound):
        house.sources.get(1)


def test_names_are_unique_whatever_the_case_until_their_source_is_gone(house: House) -> None:
    house.add("http://h/a", name="My List")
    house.add("http://h/b", name="Other")
    with pytest.raises(Conflict, match="my list"):
        house.add("http://h/c", name="my list")
    with pytest.raises(Conflict):
        house.sources.update(2, {"name": "MY LIST"})
    house.sources.delete(1)
    assert house.add("http://h/c", name="my list").id == 3


def test_an_id_of_a_deleted_source_is_not_given_again(house: House) -> None:
    house.add("http://h/a", name="A")
    house.sources.delete(1)
    house.lists.purge_source(1)
    assert house.add("http://h/a", name="A").id == 2


def test_queued_runs_of_a_source_that_goes_are_cancelled(house: House) -> None:
    house.add("http://h/a")
    run = house.runs.enqueue(1, reason="manual")
    house.sources.update(1, {"enabled": False})
    assert house.runs.get(run.id).status == "cancelled"
    assert not house.runs.start(run.id)


def test_a_run_waits_for_its_time_and_does_not_hide_the_one_before(house: House) -> None:
    house.add("http://h/a")
    first = house.runs.enqueue(1, reason="schedule")
    house.runs.finish(first.id, "failed", error="no")
    retry = house.runs.enqueue(1, reason="retry", attempt=1, not_before=house.clock.now_s() + 300)
    assert house.runs.due() == []
    assert house.runs.last_of_each([1])[1].status == "failed"
    house.clock.s += 300
    assert [run.id for run in house.runs.due()] == [retry.id]
    assert house.runs.last_of_each([1])[1].id == retry.id


def test_old_runs_go_but_the_newest_of_each_source_stays(house: House) -> None:
    house.add("http://h/a")
    for _ in range(3):
        run = house.runs.enqueue(1, reason="manual")
        house.runs.start(run.id)
        house.runs.finish(run.id, "unchanged")
    house.clock.s += 100
    assert house.runs.forget_before(house.clock.now_s()) == 2
    assert [run.id for run in house.runs.of_source(1, limit=10)] == [3]


@pytest.mark.parametrize("call", ["sources.create", "sources.delete", "runs.enqueue", "lineups.mark", "channels.link"])
def test_every_write_against_a_lock_says_unavailable(house: House, call: str) -> None:
    house.add(house.put(playlist(["A"])))
    house.connections.get().set_busy_timeout(0)
    other = apsw.Connection(str(house.connections.path))
    other.execute("BEGIN IMMEDIATE")
    noun, verb = call.split(".")
    arguments: dict[str, tuple[tuple[object, ...], dict[str, object]]] = {
        "create": (({"name": "x", "type": "m3u", "url": "x"},), {}),
        "delete": ((1,), {}),
        "enqueue": ((1,), {"reason": "manual"}),
        "mark": ((None,), {"stale": True}),
        "link": (([(1, "a")],), {}),
    }
    positional, named = arguments[verb]
    with pytest.raises(Unavailable):
        getattr(getattr(house, noun), verb)(*positional, **named)
    other.close()
