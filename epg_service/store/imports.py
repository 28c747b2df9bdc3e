"""The import log: one row a run, written by whoever asks for a run and by the keeper that runs it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from epg_service.domain.entities import Reason, Run, RunStatus
from servicekit.clock import Clock
from servicekit.errors import Conflict, NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing

_COLUMNS = (
    "id, provider_id, status, queued_at, started_at, completed_at, programs_imported, programs_skipped, "
    "error_message, reason, attempt, force, progress, report"
)


class ImportLog:
    """Runs: asked for, running, done."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def enqueue(
        self, provider_id: int, *, reason: Reason, force: bool = False, attempt: int = 0, not_before: int = 0
    ) -> Run:
        """A new run that the keeper starts within a second, or after the runs of that provider before it."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "INSERT INTO import_log (provider_id, status, queued_at, reason, force, attempt, not_before) "
                "VALUES (?, 'queued', ?, ?, ?, ?, ?)",
                (provider_id, self._clock.now_s(), reason, int(force), attempt, not_before),
            )
            made = connection.last_insert_rowid()
        return self.get(made)

    def get(self, run_id: int) -> Run:
        """One run; raises `NotFound`."""
        query = f"SELECT {_COLUMNS} FROM import_log WHERE id = ?"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (run_id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no import run {run_id}")
        return _run(row)

    def latest(self, *, limit: int, before: int | None = None, provider_id: int | None = None) -> list[Run]:
        """The newest runs first; `before` is the id of the last one of the page before."""
        where, values = ["1"], []
        if before is not None:
            where.append("id < ?")
            values.append(before)
        if provider_id is not None:
            where.append("provider_id = ?")
            values.append(provider_id)
        query = f"SELECT {_COLUMNS} FROM import_log WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        with busy_as_unavailable():
            return [_run(row) for row in self._connections.get().execute(query, (*values, limit))]

    def running(self) -> list[Run]:
        """Runs that are marked as running."""
        query = f"SELECT {_COLUMNS} FROM import_log WHERE status = 'running' ORDER BY id"
        with busy_as_unavailable():
            return [_run(row) for row in self._connections.get().execute(query)]

    def due(self) -> list[Run]:
        """Queued runs whose time has come, oldest first."""
        query = f"SELECT {_COLUMNS} FROM import_log WHERE status = 'queued' AND not_before <= ? ORDER BY id"
        with busy_as_unavailable():
            return [_run(row) for row in self._connections.get().execute(query, (self._clock.now_s(),))]

    def waiting(self, provider_id: int) -> bool:
        """Whether a run of that provider is queued or running."""
        query = "SELECT 1 FROM import_log WHERE provider_id = ? AND status IN ('queued', 'running') LIMIT 1"
        with busy_as_unavailable():
            return self._connections.get().execute(query, (provider_id,)).fetchone() is not None

    def asked_since(self, provider_id: int, moment: int) -> bool:
        """Whether any run of that provider was asked for at or after `moment`."""
        query = "SELECT 1 FROM import_log WHERE provider_id = ? AND queued_at >= ? LIMIT 1"
        with busy_as_unavailable():
            return self._connections.get().execute(query, (provider_id, moment)).fetchone() is not None

    def start(self, run_id: int) -> bool:
        """Marks a queued run as running; False when it is not queued any more (cancelled)."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE import_log SET status = 'running', started_at = ? "
                "WHERE id = ? AND status = 'queued' AND cancel = 0",
                (self._clock.now_s(), run_id),
            )
            return connection.changes() == 1

    def progress(self, run_id: int, progress: Mapping[str, object]) -> bool:
        """Shows how far a run is; True when it was asked to stop."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE import_log SET progress = ? WHERE id = ?", (json.dumps(progress), run_id))
            row = connection.execute("SELECT cancel FROM import_log WHERE id = ?", (run_id,)).fetchone()
        return row is None or bool(row[0])

    def finish(
        self,
        run_id: int,
        status: RunStatus,
        *,
        imported: int = 0,
        skipped: int = 0,
        error: str | None = None,
        report: Mapping[str, object] | None = None,
    ) -> None:
        """The end of a run."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE import_log SET status = ?, completed_at = ?, programs_imported = ?, programs_skipped = ?, "
                "error_message = ?, report = ? WHERE id = ?",
                (status, self._clock.now_s(), imported, skipped, error, json.dumps(report or {}), run_id),
            )

    def annotate(self, run_id: int, more: Mapping[str, object]) -> None:
        """Adds to the report of a run that has ended; what stands there stays."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE import_log SET report = json_patch(report, ?) WHERE id = ?", (json.dumps(more), run_id)
            )

    def cancel(self, run_id: int) -> Run:
        """Asks a run to stop: a queued one is cancelled now, a running one soon. Raises `NotFound`, `Conflict`."""
        found = self.get(run_id)
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE import_log SET status = 'cancelled', completed_at = ? WHERE id = ? AND status = 'queued'",
                (self._clock.now_s(), run_id),
            )
            connection.execute("UPDATE import_log SET cancel = 1 WHERE id = ? AND status = 'running'", (run_id,))
            if connection.changes() == 0 and found.status != "queued":
                raise Conflict(f"run {run_id} has ended already: {found.status}")
        return self.get(run_id)

    def forget_before(self, moment: int) -> int:
        """Deletes the log of runs that ended before `moment`, but for each provider's newest; returns how many."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "DELETE FROM import_log WHERE completed_at < ? AND id NOT IN "
                "(SELECT max(id) FROM import_log GROUP BY provider_id)",
                (moment,),
            )
            return connection.changes()


def _run(row: Sequence[Any]) -> Run:
    values = list(row)
    values[11:] = bool(values[11]), json.loads(values[12]), json.loads(values[13])
    return Run(*values)
