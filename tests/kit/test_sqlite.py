"""The one way to SQLite: migrations step by step, copies before them, backups beside a writer, honest errors."""

import stat
import threading
from pathlib import Path

import apsw
import pytest

from servicekit.errors import Unavailable
from servicekit.store.sqlite import (
    Connections,
    DatabaseUnusable,
    backup,
    busy_as_unavailable,
    integrity,
    migrate,
    open_connection,
    truncate_wal,
    writing,
)

ID = 0x41455249
STEPS = (
    "CREATE TABLE a (x INTEGER PRIMARY KEY)",
    "CREATE TABLE b (y INTEGER REFERENCES a(x) ON DELETE CASCADE)",
    "CREATE TABLE c (z INTEGER)",
    "CREATE TABLE d (z INTEGER)",
)


class House:
    """A data directory with one database in it."""

    def __init__(self, root: Path) -> None:
        self.path = root / "epg.db"
        self.backups = root / "backups"
        self.lock = root / "run" / "migrate.lock"

    def to(self, version: int, *, steps: tuple[str, ...] = STEPS, application_id: int = ID) -> int:
        return migrate(
            self.path,
            application_id=application_id,
            migrations=steps[:version],
            backups=self.backups,
            lock=self.lock,
        )

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        connection = open_connection(self.path)
        try:
            return list(connection.execute(sql).fetchall())
        finally:
            connection.close()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_fresh_file_gets_the_newest_schema_and_its_pragmas(house: House) -> None:
    assert house.to(4) == 4
    assert house.ask("PRAGMA user_version") == [(4,)]
    assert house.ask("PRAGMA application_id") == [(ID,)]
    assert house.ask("PRAGMA page_size") == [(8192,)]
    assert house.ask("PRAGMA auto_vacuum") == [(2,)]
    assert house.ask("PRAGMA journal_mode") == [("wal",)]
    assert house.ask("SELECT version FROM schema_version") == [(4,)]
    assert not house.backups.exists()


def test_the_file_is_its_owners_alone(house: House) -> None:
    house.to(1)
    assert stat.S_IMODE(house.path.stat().st_mode) == 0o600


def test_step_by_step_is_the_same_and_copies_are_kept_the_last_two(house: House) -> None:
    for version in (1, 2, 3, 4, 4):
        assert house.to(version) == version
    assert house.ask("SELECT version FROM schema_version ORDER BY 1") == [(1,), (2,), (3,), (4,)]
    copies = sorted(house.backups.glob("epg.before-v*.db"))
    assert [copy.name.split(".")[1] for copy in copies] == ["before-v3", "before-v4"]
    assert integrity(copies[-1]) == []
    assert stat.S_IMODE(copies[-1].stat().st_mode) == 0o600


def test_a_migration_that_fails_changes_nothing(house: House) -> None:
    house.to(1)
    with pytest.raises(apsw.SQLError):
        house.to(3, steps=(STEPS[0], STEPS[1], "CREATE TABLE nonsense"))
    assert house.ask("PRAGMA user_version") == [(1,)]
    assert house.ask("SELECT count(*) FROM sqlite_master WHERE name = 'b'") == [(0,)]
    assert house.to(2) == 2


def test_a_table_built_anew_keeps_what_refers_to_it(house: House) -> None:
    house.to(2)
    connection = open_connection(house.path)
    connection.execute("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")
    connection.close()
    anew = (
        "CREATE TABLE n (x INTEGER PRIMARY KEY); INSERT INTO n SELECT x FROM a; DROP TABLE a; ALTER TABLE n RENAME TO a"
    )
    house.to(3, steps=(*STEPS[:2], anew))
    assert house.ask("SELECT * FROM b") == [(1,)]


def test_a_migration_that_breaks_references_is_refused(house: House) -> None:
    house.to(2)
    connection = open_connection(house.path)
    connection.execute("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)")
    connection.close()
    with pytest.raises(DatabaseUnusable, match="1 rows of b"):
        house.to(3, steps=(*STEPS[:2], "DELETE FROM a"))
    assert house.ask("SELECT * FROM a") == [(1,)]


def test_a_newer_file_is_refused_with_a_sentence(house: House) -> None:
    house.to(4)
    with pytest.raises(DatabaseUnusable, match="version 4, newer than this program's 2: install the newer"):
        house.to(2)


def test_a_foreign_file_is_refused(house: House) -> None:
    house.to(1, application_id=99)
    with pytest.raises(DatabaseUnusable, match="another program"):
        house.to(1)


def test_a_foreign_file_without_an_id_is_refused(house: House) -> None:
    connection = open_connection(house.path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(DatabaseUnusable, match="another program"):
        house.to(1)


@pytest.mark.parametrize(
    "text", [b"no database at all" * 400, b"SQLite format 3\0" + b"\xff" * 9000], ids=["text", "torn"]
)
def test_a_file_that_is_no_database_is_told_and_left_alone(house: House, text: bytes) -> None:
    house.path.write_bytes(text)
    with pytest.raises(DatabaseUnusable, match=r"epg\.db"):
        house.to(1)
    assert house.path.read_bytes() == text
    assert integrity(house.path) != []


def test_a_place_that_is_no_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "epg.db").mkdir()
    with pytest.raises(DatabaseUnusable, match="cannot open"):
        open_connection(tmp_path / "epg.db")


def test_no_room_for_the_copy_stops_the_migration(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.to(1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(DatabaseUnusable, match="free some space"):
        house.to(2)
    assert house.ask("PRAGMA user_version") == [(1,)]


def test_many_that_start_together_migrate_once(house: House) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(house.to(4))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [4] * 6
    assert house.ask("SELECT count(*) FROM schema_version") == [(1,)]


def test_a_locked_database_is_unavailable_and_works_afterwards(house: House) -> None:
    house.to(1)
    one = open_connection(house.path)
    other = open_connection(house.path, busy_timeout_ms=1)
    with writing(one):
        with pytest.raises(Unavailable, match="locked"), writing(other):
            raise AssertionError("two write")
        assert other.execute("SELECT count(*) FROM a").fetchall() == [(0,)]
    with writing(other):
        other.execute("INSERT INTO a VALUES (1)")
    one.close()
    other.close()


def test_a_body_that_raises_is_rolled_back(house: House) -> None:
    house.to(1)
    connection = open_connection(house.path)
    with pytest.raises(ValueError, match="stop"), writing(connection):
        connection.execute("INSERT INTO a VALUES (1)")
        raise ValueError("stop")
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM a").fetchall() == [(0,)]
    connection.close()


def test_a_commit_that_fails_leaves_no_open_transaction(house: House) -> None:
    house.to(2, steps=(STEPS[0], "CREATE TABLE b (y REFERENCES a(x) DEFERRABLE INITIALLY DEFERRED)"))
    connection = open_connection(house.path)
    with pytest.raises(apsw.ConstraintError), writing(connection):
        connection.execute("INSERT INTO b VALUES (7)")
    assert not connection.in_transaction
    connection.close()


def test_a_full_disk_is_told_as_such(house: House) -> None:
    house.to(1)
    connection = open_connection(house.path)
    pages = connection.execute("PRAGMA page_count").fetchall()[0][0]
    connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    with pytest.raises(DatabaseUnusable, match="disk is full"), writing(connection):
        connection.execute("CREATE TABLE big (x)")
        connection.execute("INSERT INTO big VALUES (zeroblob(1000000))")
    assert not connection.in_transaction
    connection.close()


def test_only_our_kinds_of_faults_are_translated() -> None:
    with pytest.raises(apsw.SQLError), busy_as_unavailable():
        apsw.Connection(":memory:").execute("SELECT nonsense")


def test_a_backup_beside_a_steady_writer_is_one_whole_state(house: House, tmp_path: Path) -> None:
    house.to(1)
    source = open_connection(house.path)
    with writing(source):
        source.execute("CREATE TABLE blob (n INTEGER PRIMARY KEY, x)")
        source.execute("WITH RECURSIVE s(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM s WHERE i<400) "
                       "INSERT INTO blob SELECT i, randomblob(4000) FROM s")  # fmt: skip
    stop, wrote, faults = threading.Event(), threading.Event(), []

    def write() -> None:
        connection = open_connection(house.path)
        try:
            while not stop.is_set():
                with writing(connection):
                    connection.execute("INSERT INTO a SELECT coalesce(max(x), 0) + 1 FROM a")
                    connection.execute("INSERT INTO a SELECT max(x) + 1 FROM a")
                wrote.set()
        except Unavailable as error:
            faults.append(error)
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert wrote.wait(20)
        backup(source, tmp_path / "copies" / "one.db", pages=5)
    finally:
        stop.set()
        writer.join(20)
        source.close()
    assert faults == []
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["one.db"]
    assert integrity(tmp_path / "copies" / "one.db") == []
    copy = apsw.Connection(str(tmp_path / "copies" / "one.db"))
    ((count,),) = copy.execute("SELECT count(*) FROM a").fetchall()
    assert count % 2 == 0, "a transaction was copied by half"
    copy.close()


def test_a_backup_that_fails_leaves_nothing(house: House, tmp_path: Path) -> None:
    house.to(1)
    source = open_connection(house.path)
    target = tmp_path / "copies" / "taken"
    target.mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        backup(source, target)
    assert [path.name for path in target.parent.iterdir()] == ["taken"]
    assert not source.in_transaction
    source.close()


def test_integrity_names_what_is_wrong(house: House) -> None:
    house.to(1)
    assert integrity(house.path) == []
    assert integrity(house.path.with_name("none.db")) == [f"there is no database {house.path.with_name('none.db')}"]
    assert not house.path.with_name("none.db").exists()


def test_the_log_is_given_back_unless_somebody_reads(house: House) -> None:
    house.to(1)
    reader, writer = open_connection(house.path), open_connection(house.path)
    with writing(writer):
        writer.execute("INSERT INTO a VALUES (1)")
    log = house.path.with_name("epg.db-wal")
    reader.execute("BEGIN; SELECT * FROM a").fetchall()
    with writing(writer):
        writer.execute("INSERT INTO a VALUES (2)")
    truncate_wal(writer)
    assert log.stat().st_size > 0
    reader.execute("COMMIT")
    truncate_wal(writer)
    assert log.stat().st_size == 0
    reader.close()
    writer.close()


class FlushedFiles(apsw.VFS):
    """Asks at each flush of a database (its log counts apart) whether somebody else may write."""

    NAME = "flushed"

    def __init__(self) -> None:
        self.other: apsw.Connection | None = None
        self.free: list[bool] = []
        super().__init__(self.NAME, "unix", makedefault=True)

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:
        return FlushedFile(self, name, flags)

    def flush(self) -> None:
        if self.other is None:
            return
        try:
            self.other.execute("BEGIN IMMEDIATE; ROLLBACK")
        except apsw.BusyError:
            self.free.append(False)
        else:
            self.free.append(True)


class FlushedFile(apsw.VFSFile):
    def __init__(self, files: FlushedFiles, name: object, flags: list[int]) -> None:
        self._files = files
        super().__init__("unix", name, flags)  # type: ignore[arg-type]

    def xSync(self, flags: int) -> None:
        self._files.flush()
        super().xSync(flags)


def test_nobody_is_locked_out_while_the_disk_takes_what_the_log_gives_back(house: House) -> None:
    house.to(1)
    files = FlushedFiles()
    try:
        writer, other = open_connection(house.path), open_connection(house.path, busy_timeout_ms=0)
        with writing(writer):
            writer.execute("INSERT INTO a VALUES (1)")
        files.other = other
        truncate_wal(writer)
        assert files.free == [True] * len(files.free)
        assert files.free, "log and file were flushed"
        assert house.path.with_name("epg.db-wal").stat().st_size == 0
        writer.close()
        files.other = None
        other.close()
    finally:
        files.unregister()


def test_each_thread_has_its_own_connection(house: House) -> None:
    house.to(1)
    opened: list[apsw.Connection] = []
    connections = Connections(house.path, opened=opened.append)
    mine = connections.get()
    assert connections.get() is mine
    others: list[apsw.Connection] = []

    def work() -> None:
        others.append(connections.get())
        connections.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert others[0] is not mine
    assert opened == [mine, others[0]]
    connections.close()
    connections.close()
    assert connections.get() is not mine
    connections.close()
