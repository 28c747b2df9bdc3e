"""The search index follows the guide: whatever happened on the way, it says what one made from nothing would say."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import apsw
import pytest

from epg_service.indexing import REST_S, Indexing
from epg_service.store import search_index
from epg_service.store.search_index import SearchIndex
from epg_service.wiring.for_web import web
from epg_service.xmltv import indexed
from servicekit.errors import Unavailable
from servicekit.store.sqlite import DatabaseUnusable
from tests.epg.guidekit import DAY, HOUR, NOON, Show, guide_of, hourly
from tests.epg.querykit import Asked, shows, station, wish  # noqa: F401 (a fixture)

Told: TypeAlias = tuple[set[Any], set[Any], set[Any], set[Any]]


def told(path: Path) -> Told:
    """All that an index says, free of the numbers it gave: who shows which text, its words, sets with counts, days."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    ask = connection.execute
    try:
        names = {row[0]: row[1] for row in ask("SELECT id, name FROM categories")}
        sets = {
            row[0]: (frozenset(names[int(one)] for one in row[1].split(",") if one), row[2])
            for row in ask("SELECT id, key, programs FROM sets")
        }
        rows = {
            row[0]: row[1:] for row in ask("SELECT id, titles, people, said, sub_titles, digests, shows FROM texts")
        }
        hits = set()
        for id_, text, place, tag in ask("SELECT id, text, place, tag FROM hits"):
            titles, people, _, sub_titles, digests, shows = rows[text]
            length, said = json.loads(shows)[place][0], json.loads(sub_titles)[place].strip() if sub_titles else ""
            digest = digests[8 * place :][:8]
            hits.add((id_, digest, titles, length, people, said, sets[tag >> 2][0], tag & 3))
        counted = {(members, programs) for members, programs in sets.values() if programs}
        days = set(ask("SELECT id, identity FROM days"))
        shown = {text: id_ for id_, text in ask("SELECT id, text FROM hits")}
        assert rows.keys() == shown.keys(), "texts that nobody shows were not swept"
        ask("CREATE VIRTUAL TABLE temp.said USING fts5vocab (main, words, instance)")
        words = set()
        for term, doc, column, offset in ask('SELECT term, doc, col, "offset" FROM temp.said'):
            if column == "sub_title":
                assert f" {term} " in rows[doc][3]
            else:
                words |= {
                    (term, id_, column, offset) for id_, text in ask("SELECT id, text FROM hits WHERE text = ?", (doc,))
                }
        return hits, words, counted, days
    finally:
        connection.close()


def from_nothing(station: Asked) -> Told:  # noqa: F811
    path = station.folder / "again.db"
    index = SearchIndex(path, station.it.connections, texts=indexed, descriptions=False)
    index.discard()
    for _ in index.update():
        pass
    index.close()
    return told(path)


def index_of(station: Asked) -> SearchIndex:  # noqa: F811
    return SearchIndex(station.paths.search, station.it.connections, texts=indexed, descriptions=False)


def random_guide(source: random.Random) -> list[Show]:
    found = []
    for channel in ("a", "b", "c"):
        for at in range(NOON, NOON + 3 * DAY, HOUR):
            if source.random() < 0.8:
                more = f"<category>C{source.randrange(3)}</category>" + ("<new/>" if source.random() < 0.3 else "")
                people = f"<credits><actor>Actor {source.randrange(3)}</actor></credits>"
                part = f"<sub-title>Part {source.randrange(40)}</sub-title>" if source.random() < 0.8 else ""
                found.append(Show(channel, at, at + HOUR, f"Title {source.randrange(4)}", part + people + more))
    return found


def test_after_any_history_the_index_is_as_one_made_from_nothing(station: Asked) -> None:  # noqa: F811
    source = random.Random(7)
    for _ in range(6):
        station.take(guide_of(random_guide(source)), force=True)
        station.index()
        assert told(station.paths.search) == from_nothing(station)
    other = station.provider("other")
    station.take(guide_of(hourly("z", NOON, 30)), other)
    station.index()
    station.it.providers.delete(1)
    station.keeper().work_off()
    station.index()
    assert told(station.paths.search) == from_nothing(station)
    assert station.found("title") == []


def cut_short(station: Asked, steps: int) -> int:  # noqa: F811
    """Works some steps of an update, then ends as when the process does; returns the programmes that were read."""
    index = index_of(station)
    run = index.update()
    read = sum(next(run) for _ in range(steps))
    run.close()
    index.close()
    assert not index.up_to_date()
    index.close()
    return read


def test_a_killed_run_goes_on_where_it_was(station: Asked, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    station.take(guide_of(random_guide(random.Random(1))))
    station.index()
    station.take(guide_of(random_guide(random.Random(2))), force=True)
    monkeypatch.setattr(search_index, "STEP_PROGRAMMES", 20)
    done = cut_short(station, 2) + cut_short(station, 3)
    assert done >= 100
    index = index_of(station)
    assert sum(index.update()) <= 3 * 72 - done + 24
    index.close()
    assert told(station.paths.search) == from_nothing(station)


def test_a_first_index_that_was_killed_is_begun_again(
    station: Asked,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search_index, "BUILD_PROGRAMMES", 20)
    station.take(guide_of(random_guide(random.Random(1))))
    before = set(station.paths.search.parent.iterdir())
    cut_short(station, 3)
    assert set(station.paths.search.parent.iterdir()) == before
    with pytest.raises(Unavailable, match="not made yet") as refused:
        station.found("title")
    assert refused.value.retry_after_s > 0
    leftover = station.paths.search.with_name(f".{station.paths.search.name}.new")
    leftover.write_bytes(b"what a kill -9 leaves" * 999)
    station.index()
    assert not leftover.exists()
    assert told(station.paths.search) == from_nothing(station)
    station.take(guide_of(random_guide(random.Random(2))), force=True)
    station.index()
    assert told(station.paths.search) == from_nothing(station)


class FailingReader:
    """Reads as the real one does, but for one time."""

    def __init__(self, times: int) -> None:
        self._left = times

    def __getattr__(self, name: str) -> Any:
        self._left -= 1
        if self._left == 0:
            raise Unavailable("the database is locked")
        return getattr(indexed, name)


@pytest.mark.parametrize("known", [False, True], ids=["first", "update"])
def test_a_step_that_fails_leaves_nothing_behind(station: Asked, known: bool) -> None:  # noqa: F811
    if known:
        station.take(guide_of(random_guide(random.Random(1))))
        station.index()
    station.take(guide_of(random_guide(random.Random(2))), force=True)
    index = SearchIndex(
        station.paths.search,
        station.it.connections,
        texts=FailingReader(200),  # type: ignore[arg-type]
        descriptions=False,
    )
    indexing = Indexing(index=index, damaged=station.paths.search_damaged, monotonic=lambda: 0.0)
    assert not indexing.work(60)  # it rests, and what was served is served on
    index.close()
    assert [one.name for one in station.paths.search.parent.glob(".*.new*")] == []
    assert station.paths.search.exists() == known
    station.index()
    assert told(station.paths.search) == from_nothing(station)


def test_a_long_channel_is_taken_in_parts(station: Asked, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(search_index, "BUILD_PROGRAMMES", 30)
    station.take(guide_of([Show("a", at, at + HOUR, "Same") for at in range(NOON, NOON + 6 * DAY, HOUR)]))
    index = index_of(station)
    steps = list(index.update())
    index.close()
    assert len(steps) >= 4
    assert len(station.found("same")) == 24 * 6
    connection = apsw.Connection(str(station.paths.search))
    assert connection.execute("SELECT count(*) FROM texts").fetchall() == [(1,)]
    connection.close()


def test_the_old_index_answers_while_one_of_much_more_is_made(
    station: Asked,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    station.take(guide_of(hourly("a", NOON, 30)))
    station.index()
    search = station.search()
    station.take(guide_of([show for name in "abcdef" for show in hourly(name, NOON, 30)]))
    monkeypatch.setattr(search_index, "BUILD_PROGRAMMES", 20)
    index = index_of(station)
    run = index.update()
    next(run)
    assert len(search.find(wish("show"), after=None, limit=1000)) == 30
    assert not search.complete()
    for _ in run:
        assert len(search.find(wish("show"), after=None, limit=1000)) in (30, 180)
    index.close()
    assert len(search.find(wish("show"), after=None, limit=1000)) == 180
    assert search.complete()
    assert told(station.paths.search) == from_nothing(station)


def test_an_unchanged_guide_is_not_read_again(station: Asked) -> None:  # noqa: F811
    station.take(guide_of(shows()))
    station.index()
    index = index_of(station)
    assert index.up_to_date()
    assert list(index.update()) == []
    index.close()


def test_only_changed_days_are_read_again(station: Asked) -> None:  # noqa: F811
    listed = hourly("a", NOON, 24 * 5)
    station.take(guide_of(listed))
    station.index()
    listed[-1] = Show("a", listed[-1].start, listed[-1].stop, "Another end")
    station.take(guide_of(listed))
    index = index_of(station)
    assert sum(index.update()) <= 24 + 1
    index.close()
    assert station.found("another end") == ["Another end"]


@pytest.mark.parametrize("damage", [b"no database at all" * 999, b"", None], ids=["garbage", "empty", "gone"])
def test_a_damaged_or_missing_index_is_made_anew(station: Asked, damage: bytes | None) -> None:  # noqa: F811
    station.take(guide_of(shows()))
    station.index()
    search = station.search()
    for suffix in ("-wal", "-shm"):
        station.paths.search.with_name(station.paths.search.name + suffix).unlink(missing_ok=True)
    station.paths.search.unlink()
    if damage is not None:
        station.paths.search.write_bytes(damage)
    with pytest.raises(Unavailable, match="index") as refused:
        search.complete()
    assert refused.value.retry_after_s > 0
    station.index()
    assert search.complete()
    assert station.found("quiz") == ["Quiz"]


def test_a_full_disk_is_waited_for_and_the_index_that_is_there_is_kept(station: Asked) -> None:  # noqa: F811
    station.take(guide_of(shows()))
    station.index()
    station.take(guide_of([*shows(), *hourly("one", NOON + DAY, 400, "Zebra")]))
    index, now = index_of(station), [0.0]
    indexing = Indexing(index=index, damaged=station.paths.search_damaged, monotonic=lambda: now[0])
    assert not index.up_to_date()
    connection = index._open()
    pages: Any = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages[0]}").fetchall()
    assert not indexing.work(60)
    assert station.found("quiz") == ["Quiz"]
    assert station.found("zebra") == []
    connection.execute("PRAGMA max_page_count = 1000000").fetchall()
    now[0] += REST_S + 1
    assert not indexing.work(60)
    assert station.search().complete()
    assert len(station.found("zebra")) > 1
    index.close()


def test_a_reader_takes_the_new_file_when_the_index_was_made_anew(station: Asked) -> None:  # noqa: F811
    station.take(guide_of(shows()))
    station.index()
    search = station.search()
    assert search.complete()
    station.paths.search_damaged.touch()
    station.take(guide_of([*shows(), Show("nine", NOON, NOON + HOUR, "Zebra")]))
    station.index()
    assert not station.paths.search_damaged.exists()
    assert search.complete()


def test_the_answer_says_when_the_index_lags_behind(station: Asked) -> None:  # noqa: F811
    station.take(guide_of(shows()))
    station.index()
    assert station.search().complete()
    station.take(guide_of([one for one in shows() if one.title != "Quiz"]))
    assert not station.search().complete()
    assert station.found("quiz") == []  # gone from the guide: not told, though the index still knows it
    station.index()
    assert station.search().complete()


def test_indexing_waits_for_no_reader_and_readers_wait_for_no_indexing(station: Asked) -> None:  # noqa: F811
    station.take(guide_of(shows()))
    station.index()
    reader = apsw.Connection(str(station.paths.search))
    reader.execute("BEGIN")
    before = reader.execute("SELECT count(*) FROM hits").fetchall()
    station.take(guide_of([*shows(), *hourly("nine", NOON, 40)]))
    station.index()
    assert reader.execute("SELECT count(*) FROM hits").fetchall() == before
    reader.execute("ROLLBACK")
    assert len(station.found("show")) == 40
    reader.close()


def test_the_keeper_indexes_what_it_imported(station: Asked) -> None:  # noqa: F811
    provider = station.provider()
    station.lay(guide_of(shows()), provider.xmltv_url)
    station.it.imports.enqueue(provider.id, reason="manual")
    station.keeper().work_off()
    assert station.found("quiz") == ["Quiz"]


def test_without_search_no_index_is_made(tmp_path: Path) -> None:
    station = Asked(tmp_path, settings={"search": {"enabled": False}})  # noqa: F811
    station.keeper().work_off()
    assert not station.paths.search.exists()
    assert web(station.config).search is None
    station.close()


class FailingIndex:
    """An index that cannot be made."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.discarded = 0

    def up_to_date(self) -> bool:
        return False

    def update(self) -> Iterator[int]:
        raise self.error
        yield 0

    def discard(self) -> None:
        self.discarded += 1


def test_a_fault_that_stays_lets_the_keeper_go_on(tmp_path: Path) -> None:
    now = [0.0]
    index = FailingIndex(DatabaseUnusable("damaged"))
    indexing = Indexing(index=index, damaged=tmp_path / "damaged", monotonic=lambda: now[0])
    assert indexing.work(1)  # made anew once
    assert not indexing.work(1)
    assert not indexing.work(1)
    assert index.discarded == 1
    now[0] += REST_S + 1
    index.error = Unavailable("locked")
    assert not indexing.work(1)
    assert index.discarded == 1
