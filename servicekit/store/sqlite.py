"""How both services open SQLite: one set of pragmas, one way to migrate, to write, to back up. No business logic.

apsw brings one current SQLite everywhere; a file is never opened through another copy of SQLite in the same process.
"""

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from servicekit.errors import AerialError, Unavailable
from servicekit.files import waiting_lock

BUSY_TIMEOUT_MS = 5_000
PAGE_SIZE = 8192
JOURNAL_LIMIT_BYTES = 16 << 20
KEPT_COPIES = 2


class DatabaseUnusable(AerialError):
    """The file is not ours, is newer than the program, or is damaged."""


class DiskFull(DatabaseUnusable):
    """Nothing more can be written; what was written before is good."""


def open_connection(path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS, cache_kib: int = 16_384) -> apsw.Connection:
    """A connection with the house's pragmas. The file is made when it is missing; raises `DatabaseUnusable`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.touch(mode=0o600)  # holds the passwords of providers; SQLite gives its -wal and -shm the same mode
        connection = apsw.Connection(str(path))
    except (apsw.Error, OSError) as error:
        raise DatabaseUnusable(f"cannot open the database {path}: {error}") from error
    try:
        connection.set_busy_timeout(busy_timeout_ms)
        for pragma in (
            "foreign_keys = ON",
            "synchronous = NORMAL",
            "trusted_schema = OFF",
            "secure_delete = OFF",  # Debian builds differ; ours is one, and deleted guides are no secret
            f"cache_size = -{cache_kib}",
            f"journal_size_limit = {JOURNAL_LIMIT_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except (apsw.BusyError, apsw.LockedError) as error:
        connection.close()
        raise Unavailable(f"the database {path} is locked by another process; try again") from error
    except apsw.Error as error:
        connection.close()
        raise DatabaseUnusable(
            f"cannot open the database {path}: {error}; if the file is damaged, put a backup in its place"
        ) from error
    return connection


def typed(rows: Any) -> list[Any]:
    """Rows as they are, for the type checker: SQLite's values have no static types."""
    return list(rows)


@contextlib.contextmanager
def writing(connection: apsw.Connection) -> Iterator[None]:
    """One short write transaction; a lock that is not had within the busy timeout is `Unavailable` (503)."""
    with busy_as_unavailable():
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # SQLite rolls back by itself when the disk is full, or is interrupted
                connection.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def busy_as_unavailable() -> Iterator[None]:
    """Tells a locked, full or damaged database as an error of ours; every other fault is a bug and rises as it is."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise Unavailable("the database is locked by another writer; try again") from error
    except apsw.FullError as error:
        raise DiskFull(f"the disk is full, nothing was written: free some space ({error})") from error
    except (apsw.CorruptError, apsw.NotADBError, apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError) as error:
        raise DatabaseUnusable(f"the database cannot be used: {error}") from error


class Connections:
    """One connection for each thread, opened when first asked for."""

    def __init__(self, path: Path, *, opened: Callable[[apsw.Connection], None] | None = None) -> None:
        self.path = path
        self._opened = opened
        self._local = threading.local()

    def get(self) -> apsw.Connection:
        """The calling thread's own connection."""
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = open_connection(self.path)
            if self._opened:
                self._opened(connection)
            self._local.connection = connection
        return connection

    def close(self) -> None:
        """Closes the calling thread's connection, if it has one."""
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None


def migrate(path: Path, *, application_id: int, migrations: Sequence[str], backups: Path, lock: Path) -> int:
    """Brings the file to the newest schema and returns its version.

    `migrations[n]` is the SQL from version n to n + 1; all that is missing runs in one transaction. A copy is taken
    before an existing file is changed. Raises `DatabaseUnusable` for a foreign, newer or damaged file.
    """
    with waiting_lock(lock):
        connection = open_connection(path)
        try:
            return _migrate(connection, path, application_id, migrations, backups)
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise DatabaseUnusable(
                f"{path} is damaged or no SQLite database ({error}); put a copy from {backups} in its place"
            ) from error
        finally:
            connection.close()


def _migrate(
    connection: apsw.Connection, path: Path, application_id: int, migrations: Sequence[str], backups: Path
) -> int:
    found = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if (found or version or _tables(connection)) and found != application_id:
        raise DatabaseUnusable(f"{path} is a database of another program (application_id {found})")
    if version > len(migrations):
        raise DatabaseUnusable(
            f"{path} has schema version {version}, newer than this program's {len(migrations)}: "
            f"install the newer program again, or put a copy from {backups} in its place"
        )
    if version == len(migrations):
        return version
    if version:
        copy_before(connection, path, backups, version)
    else:  # these work on an empty file only
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    # A migration may build a table anew: with the keys on, dropping the old one would delete what refers to it.
    connection.execute("PRAGMA foreign_keys = OFF")
    with writing(connection):
        for number in range(version, len(migrations)):
            connection.execute(migrations[number])
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL, applied_at INTEGER NOT NULL)"
        )
        connection.execute("INSERT INTO schema_version VALUES (?, ?)", (len(migrations), int(time.time())))
        if broken := connection.execute("PRAGMA foreign_key_check").fetchall():
            raise DatabaseUnusable(f"{path}: {len(broken)} rows of {broken[0][0]} would lose what they refer to")
    return len(migrations)


def copy_before(connection: apsw.Connection, path: Path, backups: Path, version: int) -> Path:
    """A copy of the database before it is changed; needs room for it twice; the last two are kept."""
    size_bytes = path.stat().st_size
    backups.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(backups).free < 2 * size_bytes:
        raise DatabaseUnusable(
            f"no room in {backups} for a copy of {path} ({size_bytes >> 20} MB) before the migration: free some space"
        )
    target = backups / f"{path.stem}.before-v{version + 1}.{int(time.time())}.db"
    backup(connection, target)
    copies = sorted(backups.glob(f"{path.stem}.before-v*.db"), key=lambda copy: copy.stat().st_mtime_ns)
    for old in copies[:-KEPT_COPIES]:
        old.unlink()
    return target


def backup(connection: apsw.Connection, target: Path, *, pages: int = 2_000) -> None:
    """A copy by SQLite's own backup, while others read and write; appears under `target` when it is whole.

    A read transaction pins one state of the database: without it, each write of another process would make the
    backup begin anew, for ever under a steady writer.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.tmp")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    try:
        with _pinned(connection):
            _copy(connection, unfinished, pages)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _pinned(connection: apsw.Connection) -> Iterator[None]:
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        yield
    finally:
        connection.execute("ROLLBACK")


def _copy(connection: apsw.Connection, target: Path, pages: int) -> None:
    destination = apsw.Connection(str(target))
    try:
        with destination.backup("main", connection, "main") as steps:
            while not steps.done:
                steps.step(pages)
        destination.execute("PRAGMA journal_mode = DELETE").fetchall()
    finally:
        destination.close()


def integrity(path: Path) -> list[str]:
    """What `PRAGMA integrity_check` complains of; empty when all is well. Seconds per gigabyte: never at start."""
    if not path.is_file():
        return [f"there is no database {path}"]
    try:
        connection = open_connection(path)
    except DatabaseUnusable as error:
        return [error.detail]
    try:
        rows = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    except apsw.Error as error:
        return [str(error)]
    finally:
        connection.close()
    return [] if rows == ["ok"] else rows


def truncate_wal(connection: apsw.Connection) -> None:
    """Gives the write-ahead log back to the disk if nobody reads; else leaves it for another time.

    TRUNCATE holds the write lock while it copies pages, flushes the file and waits for readers. So PASSIVE, which holds
    none, goes before it: a busy disk flushes for more than a second. And it hardly waits for readers at all.
    """
    connection.set_busy_timeout(20)
    try:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except apsw.BusyError:
        return
    finally:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)


def _pragma(connection: apsw.Connection, name: str) -> int:
    return int(str(connection.execute(f"PRAGMA {name}").fetchall()[0][0]))


def _tables(connection: apsw.Connection) -> int:
    return int(str(connection.execute("SELECT count(*) FROM sqlite_master").fetchall()[0][0]))
