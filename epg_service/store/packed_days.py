"""Packed days and what is known of their parts, by mapping and day: read, replaced, thinned out."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from epg_service.domain.days import LAST_DAY, PackedDay, StoredDay, day_id
from epg_service.domain.parts import thinned
from servicekit.store.sqlite import typed

_WHOLE = "SELECT d.id & 65535, d.contents, d.body, coalesce(p.parts, x'') FROM program_days d "
_WITH_PARTS = "LEFT JOIN program_parts p ON p.id = d.id "


def whole_days(connection: apsw.Connection, mapping_id: int, after: int, limit: int) -> list[StoredDay]:
    """The next days of a mapping behind `after` (-1: from the first), as they are stored."""
    first, last = day_id(mapping_id, 0) + after, day_id(mapping_id, LAST_DAY)
    query = f"{_WHOLE}{_WITH_PARTS}WHERE d.id > ? AND d.id <= ? ORDER BY d.id LIMIT ?"
    return [StoredDay(*row) for row in typed(connection.execute(query, (first, last, limit)))]


def known_days(connection: apsw.Connection, mapping_id: int) -> dict[int, tuple[bytes, bytes]]:
    """All days of a mapping: what tells them from other versions, and what is known of their parts."""
    rows = connection.execute(
        f"SELECT d.id & 65535, d.contents, coalesce(p.parts, x'') FROM program_days d {_WITH_PARTS}"
        "WHERE d.id BETWEEN ? AND ?",
        (day_id(mapping_id, 0), day_id(mapping_id, LAST_DAY)),
    )
    return {day: (contents, parts) for day, contents, parts in typed(rows)}


def some_days(connection: apsw.Connection, mapping_id: int, days: Sequence[int]) -> dict[int, StoredDay]:
    """Some days of a mapping as they are stored; those that are there."""
    ids = json.dumps([day_id(mapping_id, day) for day in days])  # one statement for all: less than half the time
    rows = connection.execute(f"{_WHOLE}{_WITH_PARTS}WHERE d.id IN (SELECT value FROM json_each(?))", (ids,))
    return {row[0]: StoredDay(*row) for row in typed(rows)}


def contents_between(connection: apsw.Connection, mapping_id: int, first: int, last: int) -> dict[int, bytes]:
    """The packed contents of the days from `first` to `last`."""
    rows = connection.execute(
        "SELECT id & 65535, contents FROM program_days WHERE id BETWEEN ? AND ?",
        (day_id(mapping_id, first), day_id(mapping_id, last)),
    )
    return dict(typed(rows))


def write_days(connection: apsw.Connection, mapping_id: int, days: Sequence[PackedDay], *, anew: bool) -> None:
    """Makes these the stored versions, or removes those without contents. `anew`: none of them was there before."""
    emptied = [day_id(mapping_id, one.day) for one in days if not one.contents]
    there = [(day_id(mapping_id, one.day), one) for one in days if one.contents]
    if emptied:
        remove_days(connection, emptied)
    _put(connection, "program_days", ("contents", "body"), [(at, day.contents, day.body) for at, day in there], anew)
    _put(connection, "program_parts", ("parts",), [(at, day.parts) for at, day in there], anew)


def remove_days(connection: apsw.Connection, ids: Sequence[int]) -> None:
    """Deletes days by their keys."""
    for table in ("program_days", "program_parts"):
        connection.executemany(f"DELETE FROM {table} WHERE id = ?", [(one,) for one in ids])


def remove_all_days(connection: apsw.Connection, mapping_id: int) -> None:
    """Deletes all days of a mapping."""
    for table in ("program_days", "program_parts"):
        connection.execute(
            f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", (day_id(mapping_id, 0), day_id(mapping_id, LAST_DAY))
        )


def thin_day(connection: apsw.Connection, mapping_id: int, day: int, stays: Callable[[int, int], bool]) -> None:
    """Leaves of a stored day those programmes alone whose keys and stops say that they stay."""
    stored = some_days(connection, mapping_id, [day]).get(day)
    if stored is None:
        return
    left = thinned(stored, stays)
    if left is None:
        remove_days(connection, [day_id(mapping_id, day)])
    else:
        write_days(connection, mapping_id, [left], anew=False)


def _put(
    connection: apsw.Connection, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], anew: bool
) -> None:
    values = ", ".join("?" for _ in columns)
    insert = f"INSERT INTO {table} (id, {', '.join(columns)}) VALUES (?, {values})"
    replace = " ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in columns)
    connection.executemany(insert if anew else insert + replace, rows)
