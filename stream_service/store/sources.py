"""Sources: rows that people make and change."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apsw

from servicekit.clock import Clock
from servicekit.errors import Conflict, NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.account import Account, account_of
from stream_service.domain.entities import LastGoodList, Source

_COLUMNS = (
    "id, name, type, url, enabled, schedule, connection_limit, user_agent, headers, timeouts, created_at, "
    "updated_at, generation, etag, last_modified, digest, good_entries, good_skipped, private, guide_urls, "
    "username, password, backup_urls, options, auto_epg, account, content, rewrites"
)
_WRITABLE = frozenset(
    {
        *("name", "type", "url", "enabled", "schedule", "connection_limit", "user_agent", "headers", "timeouts"),
        *("username", "password", "backup_urls", "options", "auto_epg"),
    }
)
_JSON = frozenset({"headers", "timeouts", "backup_urls", "options"})
_FETCH_COLUMNS = frozenset({"url", "type", "user_agent", "headers", "username", "password", "backup_urls", "options"})
_LOGIN_COLUMNS = frozenset({"url", "type", "username", "password"})
_STALE = "UPDATE lineups SET stale = 1"


class Sources:
    """The sources that are not deleted."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def all(self, *, enabled_only: bool = False) -> list[Source]:
        """Every source by id."""
        where = "deleted = 0 AND enabled = 1" if enabled_only else "deleted = 0"
        with busy_as_unavailable():
            rows = self._connections.get().execute(f"SELECT {_COLUMNS} FROM sources WHERE {where} ORDER BY id")
            return [_source(row) for row in rows]

    def page(self, *, limit: int, after: int) -> list[Source]:
        """At most `limit` sources whose ids are greater than `after`."""
        query = f"SELECT {_COLUMNS} FROM sources WHERE deleted = 0 AND id > ? ORDER BY id LIMIT ?"
        with busy_as_unavailable():
            return [_source(row) for row in self._connections.get().execute(query, (after, limit))]

    def get(self, source_id: int) -> Source:
        """One source; raises `NotFound`."""
        query = f"SELECT {_COLUMNS} FROM sources WHERE id = ? AND deleted = 0"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (source_id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no source {source_id}")
        return _source(row)

    def named(self, name: str) -> Source | None:
        """The source called so (case forgiven), if there is one."""
        query = f"SELECT {_COLUMNS} FROM sources WHERE name = ? COLLATE NOCASE AND deleted = 0"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (name,)).fetchone()
        return _source(row) if row else None

    def create(self, values: Mapping[str, object]) -> Source:
        """A new source; raises `Conflict` when the name is taken."""
        now = self._clock.now_s()
        columns = _known(values)
        names = ", ".join((*columns, "created_at", "updated_at"))
        marks = ", ".join("?" * (len(columns) + 2))
        connection = self._connections.get()
        with _unique_name(values.get("name")), writing(connection):
            connection.execute(f"INSERT INTO sources ({names}) VALUES ({marks})", (*columns.values(), now, now))
            made = connection.last_insert_rowid()
        return self.get(made)

    def update(self, source_id: int, values: Mapping[str, object]) -> Source:
        """Changes what `values` names; raises `NotFound`, `Conflict`.

        Whatever changes how the list is asked for forgets the last list's validators, so that the next refresh reads
        it whole. The lineups are marked as stale: a source that is switched off leaves them.
        """
        before = self.get(source_id)
        columns = _known(values)
        if not columns:
            return before
        sets = ", ".join(f"{name} = ?" for name in columns)
        changed = {name for name, value in columns.items() if value != _known({name: getattr(before, name)})[name]}
        if changed & _FETCH_COLUMNS:
            sets += ", etag = NULL, last_modified = NULL, digest = NULL, content = NULL"
        if changed & _LOGIN_COLUMNS:  # what the panel said of another account
            sets += ", account = '{}', account_connections = NULL"
        connection = self._connections.get()
        with _unique_name(values.get("name")), writing(connection):
            connection.execute(
                f"UPDATE sources SET {sets}, updated_at = ? WHERE id = ?",
                (*columns.values(), self._clock.now_s(), source_id),
            )
            if not columns.get("enabled", 1):
                _cancel_queued(connection, source_id, self._clock.now_s())
            connection.execute(_STALE)
        return self.get(source_id)

    def delete(self, source_id: int) -> None:
        """Hides the source and its streams at once; the keeper purges the rows. Raises `NotFound`."""
        self.get(source_id)
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE sources SET deleted = 1, enabled = 0 WHERE id = ?", (source_id,))
            _cancel_queued(connection, source_id, self._clock.now_s())
            connection.execute(_STALE)

    def note_account(self, source_id: int, account: Account) -> None:
        """Keep what a panel says of the account; lineups are stale when it allows another number of connections."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE lineups SET stale = 1 WHERE EXISTS (SELECT 1 FROM sources WHERE id = ?1 "
                "AND connection_limit IS NULL AND account_connections IS NOT coalesce(?2, account_connections))",
                (source_id, account.max_connections),
            )
            connection.execute(
                "UPDATE sources SET account = ?, account_connections = coalesce(?, account_connections) WHERE id = ?",
                (json.dumps(account.as_dict(), ensure_ascii=False), account.max_connections, source_id),
            )

    def deleted_ids(self) -> list[int]:
        """Sources that wait for their purge."""
        rows = self._connections.get().execute("SELECT id FROM sources WHERE deleted = 1")
        return [int(row[0]) for row in rows]


def _cancel_queued(connection: apsw.Connection, source_id: int, now: int) -> None:
    connection.execute(
        "UPDATE runs SET status = 'cancelled', completed_at = ? WHERE source_id = ? AND status = 'queued'",
        (now, source_id),
    )


@contextlib.contextmanager
def _unique_name(name: object) -> Iterator[None]:
    """Tells a name that is taken as `Conflict`."""
    try:
        yield
    except apsw.ConstraintError as error:
        raise Conflict(f"there is a source named {name!r} already") from error


def _known(values: Mapping[str, object]) -> dict[str, Any]:
    """The columns to write; unknown names are a bug of the caller."""
    if unknown := set(values) - _WRITABLE:
        raise KeyError(f"not columns of sources: {sorted(unknown)}")
    return {
        name: json.dumps(value) if name in _JSON else int(value) if isinstance(value, bool) else value
        for name, value in values.items()
    }


def _source(row: Sequence[Any]) -> Source:
    ident, name, kind, url, enabled, schedule, limit, agent, headers, timeouts, created, updated, generation = row[:13]
    etag, last_modified, digest, entries, skipped, private, guides = row[13:20]
    username, password, backups, options, auto_epg, account, content, rewrites = row[20:]
    good = LastGoodList(
        etag,
        last_modified,
        digest,
        entries,
        skipped,
        bool(private),
        tuple(json.loads(guides)),
        content,
        bool(rewrites),
    )
    return Source(
        ident, name, kind, url, bool(enabled), schedule, limit, agent, json.loads(headers), json.loads(timeouts),
        created, updated, generation, good, username, password, tuple(json.loads(backups)), json.loads(options),
        bool(auto_epg), account_of(json.loads(account)),
    )  # fmt: skip
