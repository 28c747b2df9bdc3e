"""Programmes: asked for by channel and window, replaced day by day, purged in small steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, count
from operator import ne, or_
from typing import Any

import apsw

from epg_service.domain.days import (
    DAY_S,
    ORDINAL_BITS,
    ROW_BYTES,
    START_BITS,
    PackedDay,
    StoredDay,
    day_id,
    digests_in,
    keys_in,
    program_id,
    raws_of,
    same_keys,
    stops_in,
    unpacked_contents,
)
from epg_service.domain.entities import Listing, Mapped
from epg_service.store.packed_days import (
    contents_between,
    known_days,
    remove_all_days,
    some_days,
    thin_day,
    whole_days,
    write_days,
)
from epg_service.store.program_rows import ProgramRows
from servicekit.store.sqlite import Connections, busy_as_unavailable, typed, writing

_KEY_BITS = START_BITS + ORDINAL_BITS
PURGE_ROWS = 5_000
DAYS_PAGE = 32
MAX_START_S = (1 << START_BITS) - 1


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of the whole guide; times are epoch seconds, None without programmes."""

    channels_with_epg: int
    total_programs: int
    oldest_program: int | None
    newest_program: int | None
    last_update: int | None


@dataclass(slots=True)
class Change:
    """What a replaced day did to the rows."""

    added: int = 0
    changed: int = 0
    removed: int = 0


class Programs:
    """The guide's programmes."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    # ---- asking ------------------------------------------------------------------------------------------------------

    def window(self, mapped: Mapped, from_s: int, to_s: int, *, with_raw: bool = False) -> list[Listing]:
        """What a mapping has between two instants, the programme running at `from_s` included, by start."""
        reach = max(0, from_s - max(mapped.longest_s, DAY_S))
        connection = self._connections.get()
        with busy_as_unavailable(), connection:  # one read transaction: rows and elements of the same instant
            rows = connection.execute(
                "SELECT id, channel_id, provider_id, start_time, end_time, title FROM programs "
                "WHERE id >= ? AND id < ? AND (end_time > ? OR start_time >= ?) ORDER BY id",
                (
                    program_id(mapped.id, reach << ORDINAL_BITS),
                    program_id(mapped.id, min(to_s, MAX_START_S) << ORDINAL_BITS),
                    from_s,
                    from_s,
                ),
            ).fetchall()
            found = [Listing(*row) for row in typed(rows)]
            if with_raw and found:
                raws = self._raws(connection, mapped.id, found[0].start_s, found[-1].start_s)
                found = [replace(one, raw=raws.get(one.id, b"")) for one in found]
        return found

    def _raws(self, connection: apsw.Connection, mapping_id: int, first_s: int, last_s: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        days = connection.execute(
            "SELECT contents, body FROM program_days WHERE id BETWEEN ? AND ?",
            (day_id(mapping_id, first_s // DAY_S), day_id(mapping_id, last_s // DAY_S)),
        )
        for contents, body in typed(days):
            known = unpacked_contents(contents)
            found.update(zip((program_id(mapping_id, key) for key in known.keys), raws_of(known, body), strict=True))
        return found

    def days(self, mapped: Mapped) -> Iterator[StoredDay]:
        """What a mapping has, a day at a time, as it is stored: for publishing what needs no rewriting.

        A page of days is read in one transaction, so that nobody holds the log while a slow file is written.
        """
        connection, after = self._connections.get(), -1
        while True:
            with busy_as_unavailable():
                page = whole_days(connection, mapped.id, after, DAYS_PAGE)
            yield from page
            if len(page) < DAYS_PAGE:
                return
            after = page[-1].day

    def count_of(self, mapped: Sequence[Mapped]) -> int:
        """How many programmes the mappings have."""
        connection = self._connections.get()
        query = "SELECT count(*) FROM programs WHERE id BETWEEN ? AND ?"
        with busy_as_unavailable():
            return sum(_first(connection.execute(query, _range(one.id))) for one in mapped)

    def stats(self) -> Stats:
        """Figures of what is visible, read off the packed days and the ends of each mapping's range of keys."""
        connection = self._connections.get()
        seen = "FROM channel_mappings m JOIN providers p ON p.id = m.provider_id AND p.deleted = 0"
        with busy_as_unavailable(), connection:
            channels, total = typed(
                connection.execute(
                    f"SELECT count(DISTINCT m.channel_id), coalesce(sum(length(d.contents)), 0) / {ROW_BYTES} "
                    f"{seen} JOIN program_days d ON d.id BETWEEN m.id << 16 AND m.id << 16 | 65535"
                )
            )[0]
            first = f"(SELECT min(id) FROM programs WHERE id BETWEEN m.id << {_KEY_BITS} AND (m.id + 1) << {_KEY_BITS})"
            ends = (
                "(SELECT end_time FROM programs WHERE id < (m.id + 1) << "
                f"{_KEY_BITS} AND id >= m.id << {_KEY_BITS} ORDER BY id DESC LIMIT 1)"
            )
            oldest, newest = typed(connection.execute(f"SELECT min({first} >> 3 & 4294967295), max({ends}) {seen}"))[0]
            last = typed(connection.execute("SELECT max(good_at) FROM providers WHERE deleted = 0"))[0][0]
        return Stats(channels, total, oldest, newest, last)

    # ---- comparing and replacing -------------------------------------------------------------------------------------

    def known_days(self, mapping_id: int) -> dict[int, tuple[bytes, bytes]]:
        """The packed contents of each stored day of a mapping, and its packed parts."""
        with busy_as_unavailable():
            return known_days(self._connections.get(), mapping_id)

    def some_days(self, mapping_id: int, days: Sequence[int]) -> dict[int, StoredDay]:
        """Some days of a mapping as they are stored; those that are there."""
        with busy_as_unavailable():
            return some_days(self._connections.get(), mapping_id, days)

    def titles(self, mapping_id: int, first_key: int, last_key: int) -> dict[int, str]:
        """The titles of a mapping's programmes by key, from one key to another."""
        low = program_id(mapping_id, 0)
        with busy_as_unavailable():
            rows = self._connections.get().execute(
                "SELECT id - ?, title FROM programs WHERE id BETWEEN ? AND ?", (low, low + first_key, low + last_key)
            )
            return dict(typed(rows))

    # ---- purging -----------------------------------------------------------------------------------------------------

    def prune_past(self, mapping_id: int, before_s: int) -> int:
        """Deletes what ended at or before `before_s`; returns how many. One short transaction a mapping."""
        connection = self._connections.get()
        low, high = (
            program_id(mapping_id, 0),
            program_id(mapping_id, min(max(0, before_s), MAX_START_S) << ORDINAL_BITS),
        )
        over = "id >= ? AND id < ? AND end_time <= ?"
        if not _first(connection.execute(f"SELECT count(*) FROM programs WHERE {over}", (low, high, before_s))):
            return 0
        with writing(connection):
            gone = {
                int(row[0]) & ((1 << _KEY_BITS) - 1)
                for row in typed(connection.execute(f"SELECT id FROM programs WHERE {over}", (low, high, before_s)))
            }
            connection.execute(f"DELETE FROM programs WHERE {over}", (low, high, before_s))
            for day in {(key >> ORDINAL_BITS) // DAY_S for key in gone}:
                thin_day(connection, mapping_id, day, lambda key, _: key not in gone)
        return len(gone)

    def purge_mapping(self, mapping_id: int) -> Iterator[int]:
        """Deletes all programmes of a mapping, some thousand a transaction; yields the rows of each step."""
        connection = self._connections.get()
        low, high = _range(mapping_id)
        while True:
            with writing(connection):
                connection.execute(
                    "DELETE FROM programs WHERE id IN (SELECT id FROM programs WHERE id BETWEEN ? AND ? LIMIT ?)",
                    (low, high, PURGE_ROWS),
                )
                gone = connection.changes()
                if not gone:
                    remove_all_days(connection, mapping_id)
            if not gone:
                return
            yield gone

    def forget_provider(self, provider_id: int) -> None:
        """Deletes a purged provider, its log and mappings, and the channels that nobody maps any more."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("DELETE FROM providers WHERE id = ? AND deleted = 1", (provider_id,))
            connection.execute("DELETE FROM channels WHERE id NOT IN (SELECT channel_id FROM channel_mappings)")


def replace_days(connection: apsw.Connection, mapped: Mapped, days: Sequence[PackedDay]) -> Change:
    """Makes `days` (of one mapping, rising) the stored versions, row by row: what is the same is not touched.

    Runs inside the caller's transaction. Doing it again changes nothing, so an apply that was cut off starts over.
    """
    if not days:
        return Change()
    stored = contents_between(connection, mapped.id, days[0].day, days[-1].day)
    change, rows, gone = Change(), ProgramRows(), list[int]()
    for new in days:
        old = stored.get(new.day)
        if not old:
            change.added += rows.take(new)
            continue
        other, added, missing = _difference(old, new.contents)
        rows.take_some(new, other)
        gone += missing
        change.added += added
        change.changed += len(other) - added
        change.removed += len(missing)
    if gone:
        connection.executemany("DELETE FROM programs WHERE id = ?", [(program_id(mapped.id, one),) for one in gone])
    rows.write(connection, mapped, anew=not stored)
    write_days(connection, mapped.id, days, anew=not stored)
    longest_s = rows.longest_s  # what is not written was counted when it was
    connection.execute(
        "UPDATE channel_mappings SET longest_s = ? WHERE id = ? AND longest_s < ?", (longest_s, mapped.id, longest_s)
    )
    return change


def _difference(old: bytes, new: bytes) -> tuple[list[int], int, set[int]]:
    """Of two versions of a day's contents: where `new` has another row or a new one, how many of them are new, and the
    keys that it has no longer."""
    if same_keys(old, new):  # as in most days: nothing has to be looked up
        other = map(or_, map(ne, digests_in(old), digests_in(new)), map(ne, stops_in(old), stops_in(new)))
        return list(compress(count(), other)), 0, set()
    before = dict(zip(keys_in(old), zip(digests_in(old), stops_in(old), strict=True), strict=True))
    keys = keys_in(new)
    had = list(map(before.get, keys))
    differs = map(ne, had, zip(digests_in(new), stops_in(new), strict=True))
    return list(compress(count(), differs)), had.count(None), before.keys() - set(keys)


def _range(mapping_id: int) -> tuple[int, int]:
    return program_id(mapping_id, 0), program_id(mapping_id, (1 << _KEY_BITS) - 1)


def _first(cursor: apsw.Cursor) -> int:
    row: Any = cursor.fetchone()
    return int(row[0])
