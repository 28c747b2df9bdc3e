"""Providers: rows that people make and change."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from epg_service.domain.entities import LastGoodFile, Provider
from servicekit.clock import Clock
from servicekit.errors import Conflict, NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing

_GOOD = (
    "etag",
    "last_modified",
    "digest",
    "basis",
    "fresh_until",
    "good_kept",
    "good_channels",
    "good_skipped",
    "good_report",
    "good_at",
    "good_channels_skipped",
    "good_source",
)
_COLUMNS = (
    "id, name, xmltv_url, enabled, created_at, updated_at, priority, schedule, default_timezone, shift_minutes, "
    f"retention_days, {', '.join(_GOOD)}, linked"
)
_WRITABLE = frozenset(
    {"name", "xmltv_url", "enabled", "priority", "schedule", "default_timezone", "shift_minutes", "retention_days"}
    | {"linked"}
)


class Providers:
    """The providers that are not deleted."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def all(self, *, enabled_only: bool = False) -> list[Provider]:
        """Every provider by id."""
        where = "deleted = 0 AND enabled = 1" if enabled_only else "deleted = 0"
        with busy_as_unavailable():
            rows = self._connections.get().execute(f"SELECT {_COLUMNS} FROM providers WHERE {where} ORDER BY id")
            return [_provider(row) for row in rows]

    def get(self, provider_id: int) -> Provider:
        """One provider; raises `NotFound`."""
        query = f"SELECT {_COLUMNS} FROM providers WHERE id = ? AND deleted = 0"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (provider_id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no provider {provider_id}")
        return _provider(row)

    def named(self, name: str) -> Provider | None:
        """The provider called so (case forgiven), if there is one."""
        query = f"SELECT {_COLUMNS} FROM providers WHERE name = ? COLLATE NOCASE AND deleted = 0"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (name,)).fetchone()
        return _provider(row) if row else None

    def linked(self, key: str) -> Provider | None:
        """The provider that the stream service calls so, if there is one."""
        return self._found("linked = ?", key)

    def of_address(self, url: str) -> Provider | None:
        """The first provider of that address that the stream service knows nothing of, if there is one."""
        return self._found("xmltv_url = ? AND linked IS NULL", url)

    def _found(self, where: str, value: str) -> Provider | None:
        query = f"SELECT {_COLUMNS} FROM providers WHERE {where} AND deleted = 0 ORDER BY id LIMIT 1"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (value,)).fetchone()
        return _provider(row) if row else None

    def create(self, values: Mapping[str, object]) -> Provider:
        """A new provider; raises `Conflict` when the name is taken."""
        now = self._clock.now_s()
        columns = _known(values)
        names = ", ".join((*columns, "created_at", "updated_at"))
        marks = ", ".join("?" * (len(columns) + 2))
        connection = self._connections.get()
        with _unique_name(values.get("name")), writing(connection):
            connection.execute(f"INSERT INTO providers ({names}) VALUES ({marks})", (*columns.values(), now, now))
            made = connection.last_insert_rowid()
        return self.get(made)

    def update(self, provider_id: int, values: Mapping[str, object]) -> Provider:
        """Changes what `values` names; raises `NotFound`, `Conflict`. A new address forgets the validators."""
        before = self.get(provider_id)
        columns = _known(values)
        if not columns:
            return before
        sets = ", ".join(f"{name} = ?" for name in columns)
        if columns.get("xmltv_url", before.xmltv_url) != before.xmltv_url:
            sets += ", etag = NULL, last_modified = NULL"  # the digest is of the content, wherever it comes from
        connection = self._connections.get()
        with _unique_name(values.get("name")), writing(connection):
            connection.execute(
                f"UPDATE providers SET {sets}, updated_at = ? WHERE id = ?",
                (*columns.values(), self._clock.now_s(), provider_id),
            )
            if columns.get("priority", before.priority) != before.priority:  # channels of several show another's guide
                connection.execute("UPDATE guide_changes SET asked = asked + 1")
        return self.get(provider_id)

    def delete(self, provider_id: int) -> None:
        """Hides the provider and its guide at once; the keeper purges the rows. Raises `NotFound`."""
        self.get(provider_id)
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE providers SET deleted = 1, enabled = 0 WHERE id = ?", (provider_id,))
            connection.execute(
                "UPDATE import_log SET cancel = 1 WHERE provider_id = ? AND status IN ('queued', 'running')",
                (provider_id,),
            )

    def deleted_ids(self) -> list[int]:
        """Providers that wait for their purge."""
        with busy_as_unavailable():
            rows = self._connections.get().execute("SELECT id FROM providers WHERE deleted = 1")
            return [int(row[0]) for row in rows]


def write_good(connection: apsw.Connection, provider_id: int, good: LastGoodFile) -> None:
    """Notes the last accepted file, inside a transaction of the caller's."""
    sets = ", ".join(f"{column} = ?" for column in _GOOD)
    values = [json.dumps(value) if isinstance(value, Mapping) else value for value in _fields(good)]
    connection.execute(f"UPDATE providers SET {sets} WHERE id = ?", (*values, provider_id))


def _fields(good: LastGoodFile) -> Sequence[Any]:
    return [getattr(good, field.name) for field in dataclasses.fields(good)]


class _unique_name:
    """Tells a name that is taken as `Conflict`."""

    def __init__(self, name: object) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        if isinstance(error, apsw.ConstraintError):
            raise Conflict(f"there is a provider named {self._name!r} already") from error


def _known(values: Mapping[str, object]) -> dict[str, Any]:
    """The columns to write; unknown names are a bug of the caller."""
    if unknown := set(values) - _WRITABLE:
        raise KeyError(f"not columns of providers: {sorted(unknown)}")
    return {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}


def _provider(row: Sequence[Any]) -> Provider:
    values = list(row)
    values[3] = bool(values[3])
    values[19], values[22] = json.loads(values[19]), json.loads(values[22])
    values[11:] = [LastGoodFile(*values[11:-1]), values[-1]]
    return Provider(*values)
