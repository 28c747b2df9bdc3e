"""The sessions log: who watched what, when, how long and how well; one row for each viewing that is over."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.watching import End, Via, Watched

_COLUMNS = tuple(field.name for field in fields(Watched))
_INSERT = f"INSERT INTO sessions_log ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_SELECT = f"SELECT id, {', '.join(_COLUMNS)} FROM sessions_log"
_EQUALS = ("channel_id", "lineup", "profile", "user", "address", "via", "end", "source_id")
_PURGED_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Popular:
    """What a channel was to its viewers within a time."""

    channel_id: str
    channel: str
    sessions: int
    viewers: int
    """Different ones, by user, address and program."""
    watched_s: int
    bytes_sent: int
    last_watched_at: int


class SessionsLog:
    """Written in batches by the relay's journal, read by people, kept for as many days as a setting says."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def write(self, viewings: Sequence[Watched]) -> None:
        """All of them, or none when the database is locked (`Unavailable`)."""
        connection = self._connections.get()
        with writing(connection):
            connection.executemany(_INSERT, (_row(one) for one in viewings))

    def page(
        self,
        *,
        limit: int,
        before: int | None = None,
        since: int | None = None,
        until: int | None = None,
        equal: Mapping[str, str | int] | None = None,
    ) -> list[tuple[int, Watched]]:
        """The newest first, with their numbers; `before`: the number of the last one of the page before.

        `since`, `until`: of their start, epoch seconds. `equal`: values that columns must have, by name.
        """
        wanted = {name: value for name, value in (equal or {}).items() if name in _EQUALS}
        parts = ["id < ?", *(f'"{name}" = ?' for name in wanted)]
        values: list[str | int] = [before or 1 << 62, *wanted.values()]
        for text, moment in (("started_at >= ?", since), ("started_at < ?", until)):
            if moment is not None:
                parts.append(text)
                values.append(moment)
        query = f"{_SELECT} WHERE {' AND '.join(parts)} ORDER BY id DESC LIMIT ?"
        return [(row[0], _watched(row[1:])) for row in self._rows(query, *values, limit)]

    def popular(self, *, since: int, limit: int, least_s: int = 0, lineup: str = "") -> list[Popular]:
        """Channels by how long they were watched since then; viewings under `least_s` seconds (zaps) left out."""
        query = (
            "SELECT channel_id, max(channel), count(*), "
            "count(DISTINCT user || char(9) || address || char(9) || user_agent), "
            "sum(duration_s), sum(bytes_sent), max(started_at) FROM sessions_log "
            "WHERE started_at >= ? AND duration_s >= ? AND (? = '' OR lineup = ?) "
            "GROUP BY channel_id ORDER BY 5 DESC, 3 DESC, 1 LIMIT ?"
        )
        return [Popular(*row) for row in self._rows(query, since, least_s, lineup, lineup, limit)]

    def forget_before(self, moment: int) -> int:
        """Deletes what began before `moment`, a part at a time so that nobody waits long; returns how many."""
        connection = self._connections.get()
        gone = 0
        while True:
            with writing(connection):
                connection.execute(
                    "DELETE FROM sessions_log WHERE id IN (SELECT id FROM sessions_log WHERE started_at < ? LIMIT ?)",
                    (moment, _PURGED_AT_ONCE),
                )
                done = connection.changes()
            gone += done
            if done < _PURGED_AT_ONCE:
                return gone

    def _rows(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))


def _row(one: Watched) -> tuple[Any, ...]:
    return tuple(str(value) if isinstance(value, str) else value for value in astuple(one))


def _watched(row: Sequence[Any]) -> Watched:
    said = dict(zip(_COLUMNS, row, strict=True))
    return Watched(**said | {"via": Via(said["via"]), "end": End(said["end"])})
