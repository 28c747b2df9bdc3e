"""Looking at a database file that may not be ours, and putting a copy in the place of the database."""

import shutil
import time
from pathlib import Path

import apsw

from servicekit.errors import NotFound
from servicekit.files import atomic_file
from servicekit.store.sqlite import DatabaseUnusable, integrity

_PIECE_BYTES = 1 << 20


def probe(path: Path, *, application_id: int, newest: int) -> int:
    """The schema version of a database of ours; raises `DatabaseUnusable` for a foreign, newer or broken file.

    The file is opened for reading only, and nothing of its schema is trusted.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.execute("PRAGMA trusted_schema = OFF").fetchall()
            found, version = (
                int(str(connection.execute(f"PRAGMA {name}").fetchall()[0][0]))
                for name in ("application_id", "user_version")
            )
        finally:
            connection.close()
    except apsw.Error as error:
        raise DatabaseUnusable(f"{path} cannot be read as a database: {error}") from error
    if found != application_id:
        raise DatabaseUnusable(f"{path} is a database of another program (application_id {found})")
    if version > newest:
        raise DatabaseUnusable(f"{path} has schema version {version}, newer than this program's {newest}")
    return version


def restore(source: Path, target: Path, *, application_id: int, newest: int, backups: Path) -> Path | None:
    """Puts a copy of `source` in the place of `target`; returns where the file that stood there is kept.

    The caller holds the service's lock. The source is checked first; the old file stays until the new one is whole.
    """
    probe(source, application_id=application_id, newest=newest)
    if faults := integrity(source):
        raise DatabaseUnusable(f"{source} is damaged: {faults[0]}")
    kept = None
    if target.exists():
        backups.mkdir(parents=True, exist_ok=True)
        kept = backups / f"{target.stem}.before-restore.{int(time.time())}.db"
        _checkpointed(target)
        shutil.copy2(target, kept)
    for suffix in ("-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    with source.open("rb") as old, atomic_file(target, mode=0o600) as new:
        shutil.copyfileobj(old, new, _PIECE_BYTES)
    return kept


def _checkpointed(path: Path) -> None:
    """Takes what stands in the write-ahead log into the file, where the file is sound enough for that."""
    try:
        connection = apsw.Connection(str(path))
    except apsw.Error:
        return  # damaged: it is kept as it is
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except apsw.Error:
        return  # the same
    finally:
        connection.close()
