"""Opens the stream database: migrated first, then one connection for each thread."""

from pathlib import Path

from servicekit.store.sqlite import Connections, migrate
from stream_service.store.schema import APPLICATION_ID, MIGRATIONS


def open_database(path: Path, *, backups: Path, lock: Path) -> Connections:
    """The database at `path`, brought to the newest schema; raises `DatabaseUnusable` with a sentence."""
    migrate(path, application_id=APPLICATION_ID, migrations=MIGRATIONS, backups=backups, lock=lock)
    return Connections(path)
