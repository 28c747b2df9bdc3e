"""Rows that stand in an order which people change: what the stores of rules and of filters have in common."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from servicekit.clock import Clock
from servicekit.errors import Conflict, Invalid, NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing

MOST_ROWS = 2_000


class OrderedRows:
    """One table with id, position and the columns of `writable`. `noun`: what errors call a row."""

    def __init__(
        self, connections: Connections, *, clock: Clock, table: str, noun: str, writable: Sequence[str]
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._table = table
        self._noun = noun
        self._writable = frozenset(writable)
        self._columns = ", ".join(("id", *writable, "position", "created_at", "updated_at"))

    def select(self, where: str = "1", *values: object) -> list[tuple[Any, ...]]:
        """Rows in their order: id, the writable columns, position, created_at, updated_at."""
        query = f"SELECT {self._columns} FROM {self._table} WHERE {where} ORDER BY position, id"
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))

    def one(self, row_id: int) -> tuple[Any, ...]:
        """One row; raises `NotFound`."""
        found = self.select("id = ?", row_id)
        if not found:
            raise NotFound(f"there is no {self._noun} {row_id}")
        return found[0]

    def insert(self, connection: apsw.Connection, values: Mapping[str, object]) -> int:
        """A new row behind all others, inside the caller's transaction; returns its id. Raises `Conflict`."""
        columns, now = self._known(values), self._clock.now_s()
        last, count = next(iter(connection.execute(f"SELECT coalesce(max(position), 0), count(*) FROM {self._table}")))
        if count >= MOST_ROWS:
            raise Conflict(f"there are {MOST_ROWS} {self._noun}s already: delete some first")
        names = ", ".join((*columns, "position", "created_at", "updated_at"))
        marks = ", ".join("?" * (len(columns) + 3))
        try:
            connection.execute(
                f"INSERT INTO {self._table} ({names}) VALUES ({marks})", (*columns.values(), last + 1, now, now)
            )
        except apsw.ConstraintError as error:
            raise self._refused(values, error) from error
        return connection.last_insert_rowid()

    def update(self, connection: apsw.Connection, row_id: int, values: Mapping[str, object]) -> None:
        """Change what `values` names, inside the caller's transaction. Raises `Conflict`."""
        columns = self._known(values)
        if not columns:
            return
        sets = ", ".join(f"{name} = ?" for name in columns)
        try:
            connection.execute(
                f"UPDATE {self._table} SET {sets}, updated_at = ? WHERE id = ?",
                (*columns.values(), self._clock.now_s(), row_id),
            )
        except apsw.ConstraintError as error:
            raise self._refused(values, error) from error

    def reorder(self, connection: apsw.Connection, ids: Sequence[int]) -> None:
        """Let these rows stand in this order, in the places that they hold now; the others stay where they are.

        Raises `Invalid` for a row that is named twice, `NotFound` for one that is not there.
        """
        if len(set(ids)) != len(ids):
            raise Invalid(f"ids: a {self._noun} is named twice")
        known = dict(connection.execute(f"SELECT id, position FROM {self._table}"))
        if missing := [ident for ident in ids if ident not in known]:
            raise NotFound(f"there is no {self._noun} {missing[0]}")
        places = sorted((known[ident], ident) for ident in ids)
        connection.executemany(
            f"UPDATE {self._table} SET position = ? WHERE id = ?",
            [(place, ident) for (place, _), ident in zip(places, ids, strict=True)],
        )

    def put_all(
        self,
        connection: apsw.Connection,
        items: Iterable[tuple[int | None, Mapping[str, object]]],
        *,
        gone: Iterable[int],
    ) -> None:
        """Forget rows, then change those with an id and make the others; they stand in the order of `items` then."""
        self.delete(connection, gone)
        ids: list[int] = []
        for ident, values in items:
            if ident is None:
                ids.append(self.insert(connection, values))
            else:
                self.update(connection, ident, values)
                ids.append(ident)
        self.reorder(connection, ids)

    def delete(self, connection: apsw.Connection, row_ids: Iterable[int]) -> None:
        """Forget rows, inside the caller's transaction."""
        connection.executemany(f"DELETE FROM {self._table} WHERE id = ?", [(ident,) for ident in row_ids])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """One write transaction; what a row names and is not there is told at its end."""
        connection = self._connections.get()
        with writing(connection):
            yield connection

    def _known(self, values: Mapping[str, object]) -> dict[str, object]:
        if unknown := set(values) - self._writable:
            raise KeyError(f"not columns of {self._table}: {sorted(unknown)}")
        return {name: int(value) if isinstance(value, bool) else value for name, value in values.items()}

    def _refused(self, values: Mapping[str, object], error: apsw.ConstraintError) -> Exception:
        if str(error).startswith("FOREIGN"):
            return Invalid(f"the {self._noun} names a source or a lineup that is not there")
        if str(error).startswith("UNIQUE"):
            return Conflict(f"there is a {self._noun} named {values.get('name')!r} already")
        return error
