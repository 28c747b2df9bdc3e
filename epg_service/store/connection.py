"""Opens the guide database: migrated first, then one connection for each thread."""

from pathlib import Path

from epg_service.store.schema import APPLICATION_ID, MIGRATIONS
from servicekit.store.sqlite import Connections, migrate


def open_database(path: Path, *, backups: Path, lock: Path) -> Connections:
    """The database at `path`, brought to the newest schema; raises `DatabaseUnusable` with a sentence."""
    migrate(path, application_id=APPLICATION_ID, migrations=MIGRATIONS, backups=backups, lock=lock)
    return Connections(path)
