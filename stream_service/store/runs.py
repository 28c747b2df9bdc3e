"""Runs: one row a refresh, written by whoever asks for one and by the keeper that runs it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from servicekit.clock import Clock
from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.entities import Reason, Run, RunStatus

_COLUMNS = (
    "id, source_id, status, queued_at, started_at, completed_at, streams, entries_skipped, error_message, reason, "
    "attempt, force, stage, report, progress, cancel"
)


class Runs:
    """Refreshes: asked for, running, done."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def enqueue(
        self, source_id: int, *, reason: Reason, force: bool = False, attempt: int = 0, not_before: int = 0
    ) -> Run:
        """A new run that the keeper starts within a second, or after the runs of that source before it."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "INSERT INTO runs (source_id, status, queued_at, reason, force, attempt, not_before) "
                "VALUES (?, 'queued', ?, ?, ?, ?, ?)",
                (source_id, self._clock.now_s(), reason, int(force), attempt, not_before),
            )
            made = connection.last_insert_rowid()
        return self.get(made)

    def get(self, run_id: int) -> Run:
        """One run; raises `NotFound`."""
        found = self._select("WHERE id = ?", run_id)
        if not found:
            raise NotFound(f"there is no run {run_id}")
        return found[0]

    def of_source(self, source_id: int, *, limit: int, before: int | None = None) -> list[Run]:
        """The newest runs of a source first; `before` is the id of the last one of the page before."""
        return self._select(
            "WHERE source_id = ? AND id < ? ORDER BY id DESC LIMIT ?", source_id, before or (1 << 62), limit
        )

    def last_of_each(self, source_ids: Sequence[int]) -> dict[int, Run]:
        """The newest run of each source; one that waits for its time (a retry) is not counted yet."""
        return {source_id: run for source_id in source_ids if (run := self._last(source_id))}

    def asked_since(self, source_id: int, moment: int) -> bool:
        """Whether any run of that source was asked for at or after `moment`."""
        return bool(self._select("WHERE source_id = ? AND queued_at >= ? LIMIT 1", source_id, moment))

    def running(self) -> list[Run]:
        """Runs that are marked as running."""
        return self._select("WHERE status = 'running' ORDER BY id")

    def due(self) -> list[Run]:
        """Queued runs whose time has come, oldest first."""
        return self._select("WHERE status = 'queued' AND not_before <= ? ORDER BY id", self._clock.now_s())

    def waiting(self, source_id: int) -> bool:
        """Whether a run of that source is queued or running."""
        return bool(self._select("WHERE source_id = ? AND status IN ('queued', 'running') LIMIT 1", source_id))

    def start(self, run_id: int) -> bool:
        """Marks a queued run as running; False when it is not queued any more (cancelled)."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE runs SET status = 'running', started_at = ?, stage = 'fetching' "
                "WHERE id = ? AND status = 'queued'",
                (self._clock.now_s(), run_id),
            )
            return connection.changes() == 1

    def tell(self, run_id: int, stage: str, progress: Mapping[str, object]) -> bool:
        """Shows what a run is doing, and how far it is; True when somebody asked for its end."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE runs SET stage = ?, progress = ? WHERE id = ?", (stage, json.dumps(progress), run_id)
            )
            return bool(next(iter(connection.execute("SELECT cancel FROM runs WHERE id = ?", (run_id,))), (0,))[0])

    def cancel(self, run_id: int) -> Run:
        """Ends a queued run at once and asks a running one to end; one that has ended stays. Raises `NotFound`."""
        self.get(run_id)
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE runs SET status = 'cancelled', completed_at = ?, error_message = 'cancelled by hand' "
                "WHERE id = ? AND status = 'queued'",
                (self._clock.now_s(), run_id),
            )
            connection.execute("UPDATE runs SET cancel = 1 WHERE id = ? AND status = 'running'", (run_id,))
        return self.get(run_id)

    def since(self, moment: int, *, limit: int) -> list[Run]:
        """Runs that wait (and are due), run, or ended at or after `moment`, oldest first."""
        return self._select(
            "WHERE (status = 'queued' AND not_before <= ?1) OR status = 'running' OR completed_at >= ?2 "
            "ORDER BY id LIMIT ?3",
            *(self._clock.now_s(), moment, limit),
        )

    def finish(
        self,
        run_id: int,
        status: RunStatus,
        *,
        streams: int = 0,
        skipped: int = 0,
        error: str | None = None,
        report: Mapping[str, object] | None = None,
    ) -> None:
        """The end of a run that changed nothing (one that did ends with `Lists.swap`)."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE runs SET status = ?, completed_at = ?, streams = ?, entries_skipped = ?, error_message = ?, "
                "report = ?, stage = '', progress = '{}' WHERE id = ?",
                (status, self._clock.now_s(), streams, skipped, error, json.dumps(report or {}), run_id),
            )

    def forget_before(self, moment: int) -> int:
        """Deletes runs that ended before `moment`, but for each source's newest; returns how many."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "DELETE FROM runs WHERE completed_at < ? AND id NOT IN (SELECT max(id) FROM runs GROUP BY source_id)",
                (moment,),
            )
            return connection.changes()

    def _last(self, source_id: int) -> Run | None:
        due = "(status != 'queued' OR not_before <= ?)"
        found = self._select(f"WHERE source_id = ? AND {due} ORDER BY id DESC LIMIT 1", source_id, self._clock.now_s())
        return found[0] if found else None

    def _select(self, where: str, *values: int) -> list[Run]:
        with busy_as_unavailable():
            rows = self._connections.get().execute(f"SELECT {_COLUMNS} FROM runs {where}", values)
            return [_run(row) for row in rows]


def _run(row: Sequence[Any]) -> Run:
    *plain, force, stage, report, progress, cancel = row
    fields = (*plain, bool(force), stage, json.loads(report), json.loads(progress), bool(cancel))
    return Run(*fields)
