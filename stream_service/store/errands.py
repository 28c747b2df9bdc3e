"""Errands: what a request asks of the keeper, and what came of it. Rows live for moments."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from servicekit.clock import Clock
from servicekit.errors import NotFound, Unavailable
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing

MOST_OPEN = 200
"""More than these are never waited for at a time."""

ErrandStatus = Literal["queued", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Errand:
    """One thing asked of the keeper. `error`: kind, detail and extras of an error, when it failed."""

    id: int
    kind: str
    params: Mapping[str, Any]
    status: ErrandStatus
    asked_at: int
    result: Mapping[str, Any]
    error: Mapping[str, Any]


class ErrandQueue:
    """Written by the web process that asks and by the keeper that answers."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def add(self, kind: str, params: Mapping[str, object]) -> int:
        """A new errand; raises `Unavailable` when too many wait already."""
        connection = self._connections.get()
        with writing(connection):
            waiting = connection.execute("SELECT count(*) FROM errands WHERE status IN ('queued', 'running')")
            if int(next(iter(waiting))[0]) >= MOST_OPEN:
                raise Unavailable(f"{MOST_OPEN} requests wait for the keeper already; try again in a moment")
            connection.execute(
                "INSERT INTO errands (kind, params, status, asked_at) VALUES (?, ?, 'queued', ?)",
                (kind, json.dumps(params), self._clock.now_s()),
            )
            return connection.last_insert_rowid()

    def status(self, errand_id: int) -> ErrandStatus:
        """Where it stands; raises `NotFound` when it was swept away."""
        with busy_as_unavailable():
            row = self._connections.get().execute("SELECT status FROM errands WHERE id = ?", (errand_id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no errand {errand_id}")
        status: ErrandStatus = row[0]
        return status

    def get(self, errand_id: int) -> Errand:
        """One errand with its result; raises `NotFound` when it was swept away."""
        found = self._select("WHERE id = ?", errand_id)
        if not found:
            raise NotFound(f"there is no errand {errand_id}")
        return found[0]

    def queued(self) -> list[Errand]:
        """What waits to be begun, oldest first."""
        return self._select("WHERE status = 'queued' ORDER BY id")

    def start(self, errand_id: int) -> bool:
        """Marks it as running; False when nobody waits for it any more."""
        return self._change("UPDATE errands SET status = 'running' WHERE id = ? AND status = 'queued'", errand_id)

    def done(self, errand_id: int, result: str) -> bool:
        """Keeps its result (JSON) and forgets what was asked, a login maybe; False when it had been given up."""
        return self._change(
            "UPDATE errands SET status = 'done', finished_at = ?, result = ?, params = '{}' "
            "WHERE id = ? AND status = 'running'",
            self._clock.now_s(), result, errand_id,
        )  # fmt: skip

    def failed(self, errand_id: int, error: Mapping[str, object]) -> bool:
        """Keeps its error; False when it had ended already."""
        return self._change(
            "UPDATE errands SET status = 'failed', finished_at = ?, error = ?, params = '{}' "
            "WHERE id = ? AND status IN ('queued', 'running')",
            self._clock.now_s(), json.dumps(error, default=str), errand_id,
        )  # fmt: skip

    def withdraw(self, errand_id: int) -> bool:
        """Takes back what was not begun; False when it was."""
        return self._change("DELETE FROM errands WHERE id = ? AND status = 'queued'", errand_id)

    def forget(self, errand_id: int) -> bool:
        """Deletes one whose answer was read."""
        return self._change("DELETE FROM errands WHERE id = ?", errand_id)

    def cut_off(self, error: Mapping[str, object]) -> bool:
        """Ends what ran when the keeper before this one died; True when there was any."""
        return self._change(
            "UPDATE errands SET status = 'failed', finished_at = ?, error = ? WHERE status = 'running'",
            self._clock.now_s(), json.dumps(error),
        )  # fmt: skip

    def sweep(self, before: int) -> bool:
        """Forgets what was asked before that moment; True when there was any."""
        return self._change("DELETE FROM errands WHERE asked_at < ?", before)

    def _change(self, statement: str, *values: object) -> bool:
        connection = self._connections.get()
        with writing(connection):
            connection.execute(statement, values)
            return connection.changes() > 0

    def _select(self, where: str, *values: object) -> list[Errand]:
        query = f"SELECT id, kind, params, status, asked_at, result, error FROM errands {where}"
        with busy_as_unavailable():
            return [_errand(row) for row in self._connections.get().execute(query, values)]


def _errand(row: Sequence[Any]) -> Errand:
    ident, kind, params, status, asked_at, result, error = row
    return Errand(ident, kind, json.loads(params), status, asked_at, json.loads(result), json.loads(error))
