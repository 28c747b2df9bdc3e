"""The guide's store: rows a person can read, windows, replacing, pruning, purging, merging."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from epg_service.domain.days import program_id, unpacked_contents
from epg_service.store.connection import open_database
from epg_service.store.providers import Providers
from epg_service.store.schema import APPLICATION_ID, MIGRATIONS
from servicekit.errors import Conflict, NotFound, Unavailable
from servicekit.store.sqlite import integrity, migrate, open_connection
from tests.epg.guidekit import DAY, HOUR, MIDNIGHT, NOON, HeldClock, Show, Station, guide_of, hourly, sqlite
from tests.programs import needs


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path, {"retention": {"days": 3650}})
    yield made
    made.close()


def days(station: Station) -> dict[int, list[int]]:
    """Each packed day's keys."""
    rows = station.it.connections.get().execute("SELECT id, contents FROM program_days").fetchall()
    return {int(str(row[0])): list(unpacked_contents(bytes(row[1])).keys) for row in rows}  # type: ignore[arg-type]


def row_ids(station: Station) -> list[int]:
    rows = station.it.connections.get().execute("SELECT id FROM programs ORDER BY id").fetchall()
    return [int(str(row[0])) for row in rows]


def agree(station: Station) -> bool:
    """Whether rows and packed days hold the same programmes."""
    packed = sorted((where >> 16 << 35) + key for where, keys in days(station).items() for key in keys)
    return packed == row_ids(station)


# ---- what a person reads ---------------------------------------------------------------------------------------------


def test_a_person_reads_the_guide_with_the_sqlite3_tool(station: Station) -> None:
    needs("sqlite3")
    station.take(guide_of(hourly("one.tv", NOON, 2), {"one.tv": "One"}))
    rows = sqlite(
        station.paths.database,
        "SELECT p.id, c.name, p.provider_id, p.start_time, p.end_time, p.title "
        "FROM programs p JOIN channels c ON c.id = p.channel_id ORDER BY p.start_time",
    )
    assert rows == [
        [str((1 << 35) + (at << 3)), "one.tv", "1", str(at), str(at + HOUR), f"Show one.tv {(at // HOUR) % 100_000}"]
        for at in (NOON, NOON + HOUR)
    ]


def test_the_founding_tables_keep_their_columns(station: Station) -> None:
    needs("sqlite3")
    columns = {
        "providers": "id,name,xmltv_url,enabled,created_at,updated_at",
        "channels": "id,name,display_name,icon_url,created_at",
        "channel_mappings": "id,provider_id,provider_channel_id,channel_id,created_at",
        "import_log": "id,provider_id,started_at,completed_at,status,programs_imported,programs_skipped,error_message",
        "programs": "id,channel_id,provider_id,start_time,end_time,title",
        "schema_version": "version",
    }
    for table, names in columns.items():
        sqlite(station.paths.database, f"SELECT {names} FROM {table}")  # noqa: S608
    assert sqlite(station.paths.database, "SELECT version FROM schema_version") == [[str(len(MIGRATIONS))]]
    assert sqlite(station.paths.database, "PRAGMA application_id", "PRAGMA user_version", "PRAGMA journal_mode") == [
        [str(APPLICATION_ID)],
        [str(len(MIGRATIONS))],
        ["wal"],
    ]


def test_a_database_of_the_version_before_is_brought_up(tmp_path: Path) -> None:
    path, kept = tmp_path / "epg.db", {"backups": tmp_path / "backups", "lock": tmp_path / "lock"}
    migrate(path, application_id=APPLICATION_ID, migrations=MIGRATIONS[:1], **kept)
    connection = open_connection(path)
    connection.execute(
        "INSERT INTO providers (name, xmltv_url, created_at, updated_at, good_kept) VALUES ('one', 'one.xml', 1, 1, 40)"
    )
    connection.close()
    connections = open_database(path, **kept)
    (provider,) = Providers(connections, clock=HeldClock()).all()
    assert (provider.good.kept, provider.good.source) == (40, {})
    assert list(kept["backups"].iterdir()) != []
    connections.close()


def test_ids_stay_below_what_javascript_counts_exactly() -> None:
    assert program_id(200_000, (2**32 - 1) << 3 | 7) < 2**53


# ---- windows ---------------------------------------------------------------------------------------------------------

DAYTIME = [
    Show("x", NOON - 3 * DAY, NOON + HOUR, "three days"),
    Show("x", NOON - 2 * HOUR, NOON - HOUR, "over"),
    Show("x", NOON - HOUR, NOON, "ends at noon"),
    Show("x", NOON - 60, NOON + 60, "running"),
    Show("x", NOON, NOON, "zero length"),
    Show("x", NOON, NOON + HOUR, "starts at noon"),
    Show("x", NOON + 2 * HOUR, NOON + 3 * HOUR, "later"),
    Show("x", MIDNIGHT + DAY - 60, MIDNIGHT + DAY + 60, "over midnight"),
]


@pytest.mark.parametrize("before", [0, 1, 2, 3], ids=["first mapping", "second", "third", "fourth"])
@pytest.mark.parametrize(
    ("from_s", "to_s", "expected"),
    [
        (NOON, NOON + 1, ["three days", "running", "zero length", "starts at noon"]),
        (NOON, NOON + 2 * HOUR, ["three days", "running", "zero length", "starts at noon"]),
        (NOON, NOON + 2 * HOUR + 1, ["three days", "running", "zero length", "starts at noon", "later"]),
        (NOON + 1, NOON + 2, ["three days", "running", "starts at noon"]),
        (NOON + HOUR, NOON + 2 * HOUR, []),
        (MIDNIGHT + DAY, MIDNIGHT + 2 * DAY, ["over midnight"]),
        (NOON - 2 * DAY, NOON - 2 * DAY + 1, ["three days"]),
        (0, NOON - 3 * DAY, []),
        (0, 1 << 32, [one.title for one in DAYTIME]),
        (MIDNIGHT + 5 * DAY, 1 << 32, []),
    ],
)
def test_a_window_holds_what_touches_it(
    station: Station, before: int, from_s: int, to_s: int, expected: list[str]
) -> None:
    others = [one for n in range(before) for one in hourly(f"before{n}", MIDNIGHT, 24)]
    station.take(guide_of([*others, *DAYTIME, *hourly("y", 0, 3), *hourly("z", MIDNIGHT, 24)]))
    found = station.listings("x", from_s, to_s)
    assert [one.title for one in found] == expected
    assert all(one.title.encode() in one.raw for one in found)


def test_the_longest_programme_is_found_by_whoever_it_runs_past(station: Station) -> None:
    station.take(guide_of([Show("x", NOON - 40 * DAY, NOON + DAY, "marathon"), *hourly("x", MIDNIGHT, 24)]))
    assert "marathon" in station.titles("x", NOON, NOON + 1)


def test_programmes_of_one_start_are_kept_in_the_order_of_the_file(station: Station) -> None:
    station.take(guide_of([Show("x", NOON, NOON + HOUR, f"part {n}") for n in range(8)]))
    assert station.titles("x") == [f"part {n}" for n in range(8)]
    assert [one.id & 7 for one in station.listings("x")] == list(range(8))


# ---- replacing, pruning, purging -------------------------------------------------------------------------------------


def test_applying_the_same_days_again_changes_nothing(station: Station) -> None:
    station.take(guide_of(hourly("x", MIDNIGHT, 48)))
    connection = station.it.connections.get()
    before = station.everything()
    changes = connection.total_changes()
    run = station.take(guide_of(hourly("x", MIDNIGHT, 48)) + b"\n")
    assert run.report["changes"] == {"added": 0, "changed": 0, "removed": 0}
    assert station.everything() == before
    assert connection.total_changes() - changes < 20, "only the run's own rows"


def test_pruning_takes_exactly_what_has_ended_and_rewrites_its_day(station: Station) -> None:
    station.take(guide_of([Show("x", MIDNIGHT - DAY, NOON + 1, "long"), *hourly("x", MIDNIGHT - DAY + 60, 60)]))
    mapped = station.it.channels.of_provider(1)["x"]
    kept = [one for one in station.listings("x") if one.stop_s > NOON]
    assert station.it.programs.prune_past(mapped.id, NOON) == 61 - len(kept)
    assert station.listings("x") == kept
    assert kept[0].title == "long"
    assert agree(station)
    assert station.it.programs.prune_past(mapped.id, NOON) == 0


def test_pruning_touches_no_other_mapping(station: Station) -> None:
    station.take(guide_of([*hourly("x", MIDNIGHT, 24), *hourly("y", MIDNIGHT, 24)]))
    station.it.programs.prune_past(station.it.channels.of_provider(1)["x"].id, MIDNIGHT + DAY)
    assert station.titles("x") == []
    assert len(station.titles("y")) == 24
    assert agree(station)


def test_a_mapping_is_purged_in_steps_and_wholly(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epg_service.store.programs.PURGE_ROWS", 10)
    station.take(guide_of([*hourly("x", MIDNIGHT, 25), *hourly("y", MIDNIGHT, 5), *hourly("z", MIDNIGHT, 5)]))
    mapped = station.it.channels.of_provider(1)["y"]
    first = station.it.channels.of_provider(1)["x"]
    assert list(station.it.programs.purge_mapping(first.id)) == [10, 10, 5]
    assert list(station.it.programs.purge_mapping(mapped.id)) == [5]
    assert station.titles("z") != []
    assert agree(station)


def test_a_deleted_provider_leaves_nothing_behind(station: Station) -> None:
    provider = station.provider()
    station.take(guide_of(hourly("x", MIDNIGHT, 5)), provider)
    other = station.provider("other")
    station.take(guide_of(hourly("y", MIDNIGHT, 5)), other)
    station.it.providers.delete(provider.id)
    assert [one.name for one in station.it.channels.all()] == ["y"]
    assert station.it.providers.deleted_ids() == [provider.id]
    station.keeper().work_off()
    assert station.it.providers.deleted_ids() == []
    tables = ("providers", "channels", "channel_mappings", "import_log", "program_days", "program_parts")
    connection = station.it.connections.get()
    left = {table: len(connection.execute(f"SELECT 1 FROM {table}").fetchall()) for table in tables}  # noqa: S608
    assert left == dict.fromkeys(tables, 1)
    assert len(row_ids(station)) == 5
    assert integrity(station.paths.database) == []


def test_a_provider_that_comes_back_under_the_name_of_a_deleted_one_has_its_channels(station: Station) -> None:
    data = guide_of([*hourly("5", MIDNIGHT, 5), *hourly("x", MIDNIGHT, 5)])
    provider = station.provider()
    station.take(data, provider)
    station.it.providers.delete(provider.id)
    station.it.imports.enqueue(station.provider().id, reason="manual")
    station.keeper().work_off()
    assert [one.name for one in station.it.channels.all()] == ["5", "x"]


# ---- figures ---------------------------------------------------------------------------------------------------------


def test_the_figures_of_an_empty_guide_are_nothing(station: Station) -> None:
    stats = station.it.programs.stats()
    assert (stats.channels_with_epg, stats.total_programs) == (0, 0)
    assert (stats.oldest_program, stats.newest_program, stats.last_update) == (None, None, None)


def test_the_figures_are_those_of_the_rows(station: Station) -> None:
    shows = [*hourly("x", MIDNIGHT, 30), *hourly("y", MIDNIGHT - DAY, 80)]
    station.take(guide_of(shows, {"x": "X", "y": "Y", "z": "Empty"}))
    stats = station.it.programs.stats()
    assert (stats.channels_with_epg, stats.total_programs) == (2, 110)
    assert (stats.oldest_program, stats.newest_program) == (MIDNIGHT - DAY, MIDNIGHT - DAY + 80 * HOUR)
    assert stats.last_update == NOON
    station.it.providers.delete(1)
    assert station.it.programs.stats().total_programs == 0


# ---- several providers -----------------------------------------------------------------------------------------------


def two(station: Station, *, second_priority: int) -> None:
    """One channel of two providers: the first has a hole, the second has other titles and a tail."""
    first = [one for one in hourly("x.tv", MIDNIGHT, 10, "First") if one.start != MIDNIGHT + 4 * HOUR]
    second = hourly("X.TV", MIDNIGHT, 12, "Second")
    station.take(guide_of(first, {"x.tv": "Ex"}), station.provider("first"))
    station.take(guide_of(second, {"X.TV": "EX"}), station.provider("second", priority=second_priority))


def test_the_older_of_two_equal_providers_wins_and_the_other_fills_its_gaps(station: Station) -> None:
    two(station, second_priority=0)
    assert [one.name for one in station.it.channels.all()] == ["x.tv"]
    words = [title.split()[0] for title in station.titles("x.tv")]
    assert words == ["First"] * 4 + ["Second"] + ["First"] * 5 + ["Second"] * 2
    found = station.listings("x.tv")
    assert all(one.raw for one in found)
    assert {one.provider_id for one in found} == {1, 2}
    assert {one.channel_id for one in found} == {1}


def test_the_provider_of_the_higher_priority_wins(station: Station) -> None:
    two(station, second_priority=5)
    assert {title.split()[0] for title in station.titles("x.tv")} == {"Second"}


def test_a_deleted_provider_gives_the_channel_to_the_other_at_once(station: Station) -> None:
    two(station, second_priority=0)
    station.it.providers.delete(1)
    assert {title.split()[0] for title in station.titles("x.tv")} == {"Second"}


@pytest.mark.parametrize(
    ("xmltv_id", "name", "expected"),
    [
        ("x.tv", "Ex HD", "x.tv"),
        ("x.tv", "Quite another", "x.tv@second"),
        ("7", "Seven", "7@second"),
        ("new.tv", "Ex", "new.tv"),
    ],
    ids=["same channel", "other name", "only a number", "other id"],
)
def test_a_second_providers_channel_joins_only_what_it_surely_is(
    station: Station, xmltv_id: str, name: str, expected: str
) -> None:
    shows = [*hourly("x.tv", MIDNIGHT, 2), *hourly("7", MIDNIGHT, 2)]
    station.take(guide_of(shows, {"x.tv": "Ex", "7": "Seven"}), station.provider("first"))
    station.take(guide_of(hourly(xmltv_id, MIDNIGHT, 2), {xmltv_id: name}), station.provider("second"))
    mapped = station.it.channels.of_provider(2)[xmltv_id]
    assert station.it.channels.get(mapped.channel_id).name == expected


# ---- providers, runs, locks ------------------------------------------------------------------------------------------


def test_a_name_is_taken_whatever_its_case_until_its_provider_is_deleted(station: Station) -> None:
    provider = station.provider("Mine")
    with pytest.raises(Conflict, match="mine"):
        station.provider("mine")
    station.it.providers.delete(provider.id)
    with pytest.raises(NotFound):
        station.it.providers.get(provider.id)
    assert station.provider("mine").id != provider.id


def test_old_runs_are_forgotten_but_for_the_newest_of_each_provider(station: Station) -> None:
    station.take(guide_of(hourly("x", MIDNIGHT, 5)))
    station.take(guide_of(hourly("x", MIDNIGHT, 6)))
    assert station.it.imports.forget_before(NOON + 1) == 1
    assert [run.id for run in station.it.imports.latest(limit=9)] == [2]


def test_a_writer_that_finds_the_database_locked_says_that_it_may_be_tried_again(station: Station) -> None:
    station.provider()
    station.it.connections.get().set_busy_timeout(0)
    other = apsw.Connection(str(station.paths.database))
    other.execute("BEGIN IMMEDIATE")
    writes = [
        lambda: station.provider("another"),
        lambda: station.it.providers.update(1, {"name": "x"}),
        lambda: station.it.providers.delete(1),
        lambda: station.it.imports.enqueue(1, reason="manual"),
        lambda: station.it.lineups.put("default", "1", [], {}),
        lambda: station.it.imports.forget_before(0),
    ]
    for write in writes:
        with pytest.raises(Unavailable):
            write()
    assert station.it.providers.all()[0].name == "sample", "reading goes on"
    other.close()


def test_an_import_goes_on_when_its_progress_cannot_be_told(station: Station) -> None:
    station.provider()
    told = station.it.imports.progress

    class Locked:
        def progress(self, run_id: int, progress: dict[str, object]) -> bool:
            told(run_id, progress)
            raise Unavailable("locked")

        def __getattr__(self, name: str) -> object:
            return getattr(station.it.imports, name)

    station.importer._log = Locked()  # type: ignore[assignment]
    assert station.take(guide_of(hourly("x", MIDNIGHT, 5))).status == "success"
