"""The log of builds: asked for, running, done; what each stage counted and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from servicekit.clock import Clock
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing

BuildStatus = Literal["queued", "running", "success", "unchanged", "failed", "interrupted"]
BuildReason = Literal["change", "manual"]
_COLUMNS = "id, lineup, status, reason, queued_at, started_at, completed_at, stage, channels, error_message, report"


@dataclass(frozen=True, slots=True)
class Build:
    """One build of one lineup. `stage`: what it is doing. `report`: counts, costs and warnings, once it is done."""

    id: int
    lineup: str
    status: BuildStatus
    reason: BuildReason
    queued_at: int
    started_at: int | None
    completed_at: int | None
    stage: str
    channels: int
    error_message: str | None
    report: Mapping[str, object]


class Builds:
    """Every build that is remembered."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def ask(self, lineup: str) -> Build:
        """A build that somebody asks for, whatever changed; one that waits already is the same. Marks it stale."""
        connection = self._connections.get()
        with writing(connection):
            waiting = self._select("WHERE lineup = ? AND status = 'queued'", lineup)
            if not waiting:
                connection.execute(
                    "INSERT INTO builds (lineup, status, reason, queued_at) VALUES (?, 'queued', 'manual', ?)",
                    (lineup, self._clock.now_s()),
                )
                waiting = self._select("WHERE id = ?", connection.last_insert_rowid())
            connection.execute("UPDATE lineups SET stale = 1 WHERE name = ?", (lineup,))
        return waiting[0]

    def begin(self, lineup: str, reason: BuildReason) -> Build:
        """A build that runs from now on: the one that waits, else a new one."""
        connection, now = self._connections.get(), self._clock.now_s()
        with writing(connection):
            waiting = self._select("WHERE lineup = ? AND status = 'queued'", lineup)
            if waiting:
                ident = waiting[0].id
                connection.execute("UPDATE builds SET status = 'running', started_at = ? WHERE id = ?", (now, ident))
            else:
                connection.execute(
                    "INSERT INTO builds (lineup, status, reason, queued_at, started_at) VALUES (?, 'running', ?, ?, ?)",
                    (lineup, reason, now, now),
                )
                ident = connection.last_insert_rowid()
        return self._select("WHERE id = ?", ident)[0]

    def stage(self, build_id: int, stage: str) -> None:
        """Show what a build is doing."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE builds SET stage = ? WHERE id = ?", (stage, build_id))

    def end(
        self,
        build_id: int,
        status: BuildStatus,
        *,
        channels: int = 0,
        error: str | None = None,
        report: Mapping[str, object] | None = None,
    ) -> None:
        """The end of a build."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE builds SET status = ?, completed_at = ?, stage = '', channels = ?, error_message = ?, "
                "report = ? WHERE id = ?",
                (status, self._clock.now_s(), channels, error, orjson.dumps(report or {}).decode(), build_id),
            )

    def interrupt(self) -> int:
        """Mark builds that were running when the keeper ended; returns how many."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE builds SET status = 'interrupted', completed_at = ?, stage = '', error_message = "
                "'the service stopped while this build ran; what was published stays, it is built again' "
                "WHERE status = 'running'",
                (self._clock.now_s(),),
            )
            return connection.changes()

    def page(self, lineup: str, *, limit: int, before: int | None = None) -> list[Build]:
        """Builds of a lineup, newest first, older than the one with the id `before`."""
        return self._select(
            "WHERE lineup = ? AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3", lineup, before, limit
        )

    def since(self, moment: int, limit: int) -> list[Build]:
        """Builds that wait, run, or ended at or after `moment`, oldest first."""
        return self._select(
            "WHERE status IN ('queued', 'running') OR completed_at >= ?1 ORDER BY id LIMIT ?2", moment, limit
        )

    def running(self) -> list[Build]:
        """Builds that run."""
        return self._select("WHERE status = 'running' ORDER BY id")

    def last(self, lineup: str) -> Build | None:
        """The newest build of a lineup."""
        found = self.page(lineup, limit=1)
        return found[0] if found else None

    def forget_before(self, moment: int) -> int:
        """Delete builds that ended before `moment`, but for each lineup's newest; returns how many."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "DELETE FROM builds WHERE completed_at < ? AND id NOT IN (SELECT max(id) FROM builds GROUP BY lineup)",
                (moment,),
            )
            return connection.changes()

    def _select(self, where: str, *values: object) -> list[Build]:
        with busy_as_unavailable():
            return [_build(row) for row in self._connections.get().execute(
                f"SELECT {_COLUMNS} FROM builds {where}", values)]  # fmt: skip


def _build(row: Sequence[Any]) -> Build:
    fields = (*row[:-1], orjson.loads(row[-1]))
    return Build(*fields)
