"""The search index: a database file of its own, made from the guide and thrown away when it is damaged.

It is brought up to date by comparing `program_days.contents` with what `days` holds, some thousand programmes a
transaction, each whole days. A run that was killed has done what it has committed. Its transactions lock nobody but
the next one: readers of a write-ahead log wait for no writer. An index that knows little of the guide is made in a new
file beside it instead, without a log, and takes its place when it is whole.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import apsw

from epg_service.domain.days import DAY_BITS, LAST_DAY, StoredDay, day_id
from epg_service.domain.pieces import identity, identity_digest
from epg_service.store import search_file
from epg_service.store.packed_days import some_days
from epg_service.store.search_handed import DaysSaid, HandedOver
from epg_service.store.search_step import Before, Day, Step
from epg_service.store.search_vocabulary import Categories, Reader
from epg_service.store.search_words import Words
from servicekit.store.sqlite import Connections, DatabaseUnusable, busy_as_unavailable, truncate_wal, typed, writing

STEP_PROGRAMMES = 5_000
BUILD_PROGRAMMES = 20_000
"""In one transaction of a new file, for which nobody waits."""
DAYS_AT_ONCE = 16
_HandedDays: TypeAlias = tuple[int, DaysSaid]
"""A mapping, and what the import handed over of its days."""


class SearchIndex:
    """Writes the index; the keeper's thread alone uses it."""

    def __init__(
        self, path: Path, guide: Connections, *, texts: Reader, descriptions: bool, handed: HandedOver | None = None
    ) -> None:
        self._path = path
        self._handed = handed
        self._guide = guide
        self._reader = texts
        self._descriptions = descriptions
        self._connection: apsw.Connection | None = None

    def up_to_date(self) -> bool:
        """Whether the index was made from the guide as it is now. Raises `DatabaseUnusable` when it is damaged."""
        if not self._path.exists():
            return False
        with busy_as_unavailable():
            row: Any = self._open().execute("SELECT mark, descriptions FROM state").fetchone()
            if row[1] > self._descriptions:
                raise DatabaseUnusable("the search index holds descriptions, which are not wanted any more")
            return bool(row[0] == self._mark() and row[1] == self._descriptions)

    def discard(self) -> None:
        """Removes what is there; readers are told to wait until it is made anew."""
        self.close()
        search_file.remove(self._path)

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def update(self) -> Iterator[int]:
        """Brings the index up to date, a short transaction a step; yields the programmes of each step.

        Titles, sub-titles, people and tags of all days come first, descriptions of all days behind them.
        """
        mark = self._mark()
        if self._begins():
            yield from self._build()
        else:
            yield from self._steps(self._open(), STEP_PROGRAMMES, described=False)
        if self._descriptions:
            yield from self._steps(self._open(), STEP_PROGRAMMES, described=True)
        connection = self._open()
        with writing(connection):
            connection.execute("UPDATE state SET mark = ?, descriptions = ?", (mark, int(self._descriptions)))
        truncate_wal(connection)
        if self._handed:
            self._handed.forget()

    # ---- a new file --------------------------------------------------------------------------------------------------

    def _begins(self) -> bool:
        """Whether there is no index, or one of less than half of what the guide has programmes of."""
        if not self._path.exists():
            return True
        with busy_as_unavailable():
            return 2 * len(_mappings_of(self._open(), "days")) < len(self._shown())

    def _build(self) -> Iterator[int]:
        fresh = self._path.with_name(f".{self._path.name}.new")
        connection = search_file.begun(fresh)
        try:
            handed = self._handed.mappings(self._guide) if self._handed else ()
            yield from self._steps(connection, BUILD_PROGRAMMES, handed, described=False)
            search_file.finish(connection)
            self.close()
            search_file.take_place(fresh, self._path)
        finally:
            connection.close()
            search_file.remove(fresh)

    # ---- steps -------------------------------------------------------------------------------------------------------

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            if not search_file.usable(self._path):
                raise DatabaseUnusable(f"{self._path} is missing, damaged or of another version")
            self._connection = search_file.opened(self._path)
        return self._connection

    def _mark(self) -> int:
        with busy_as_unavailable():
            row: Any = self._guide.get().execute("SELECT mark FROM guide_mark").fetchone()
        return int(row[0])

    def _steps(
        self, connection: apsw.Connection, limit: int, handed: Iterable[_HandedDays] = (), *, described: bool
    ) -> Iterator[int]:
        categories = Categories(connection, self._reader.categories)
        words = Words(connection)
        parts = self._parts(connection, limit, handed, described=described)
        while True:
            step = Step(connection, reader=self._reader, categories=categories, words=words, described=described)
            with writing(connection):
                for mapping, days in parts:
                    step.add(mapping, days)
                    if step.programmes >= limit:
                        break
                step.finish()
            if not step.programmes:
                return
            yield step.programmes

    def _parts(
        self, connection: apsw.Connection, limit: int, handed: Iterable[_HandedDays], *, described: bool
    ) -> Iterator[tuple[int, list[Day]]]:
        """The changed days of each mapping, at most about `limit` programmes of one at a time."""
        for mapping, pieces in _each_once(self._shown() | _mappings_of(connection, "days"), handed):
            part: list[Day] = []
            size = 0
            for day in self._changed(connection, mapping, pieces, described=described):
                part.append(day)
                size += day.stored.programmes
                if size >= limit:
                    yield mapping, part
                    part, size = [], 0
            if part:
                yield mapping, part

    def _changed(
        self, connection: apsw.Connection, mapping: int, handed: DaysSaid, *, described: bool
    ) -> Iterator[Day]:
        """The days of a mapping that are not indexed as they are now: new, changed and vanished ones."""
        ends = (day_id(mapping, 0), day_id(mapping, LAST_DAY))
        ours = "SELECT id, identity, refs, described >= ? FROM days WHERE id BETWEEN ? AND ?"
        then = {at: Before(*row) for at, *row in typed(connection.execute(ours, (int(described), *ends)))}
        guide = self._guide.get()
        if handed and not then:
            yield from self._handed_days(mapping, handed)
            return
        if not then:
            query = "SELECT id, contents, body FROM program_days WHERE id BETWEEN ? AND ? ORDER BY id"
            for at, contents, body in typed(guide.execute(query, ends)):
                yield Day(at, StoredDay(at & LAST_DAY, contents, body))
            return
        query = "SELECT id, contents FROM program_days WHERE id BETWEEN ? AND ?"
        now = {at: identity(contents) for at, contents in typed(guide.execute(query, ends))}
        same = {at for at, was in then.items() if was.whole and was.identity == now.get(at)}
        changed = sorted(at & LAST_DAY for at in now.keys() | then.keys() if at not in same)
        for first in range(0, len(changed), DAYS_AT_ONCE):
            part = changed[first : first + DAYS_AT_ONCE]
            found = some_days(guide, mapping, part)
            for day in part:
                at = day_id(mapping, day)
                yield Day(at, found.get(day) or StoredDay(day, b"", b""), then.get(at))

    def _handed_days(self, mapping: int, handed: DaysSaid) -> Iterator[Day]:
        """All days of a mapping; those that are stored as they were when they were handed over without their bodies."""
        guide, ends = self._guide.get(), (day_id(mapping, 0), day_id(mapping, LAST_DAY))
        query = "SELECT id, contents FROM program_days WHERE id BETWEEN ? AND ? ORDER BY id"
        for at, contents in typed(guide.execute(query, ends)):
            pieces = handed.get(at & LAST_DAY)
            if pieces and pieces[0] == identity_digest(contents):
                yield Day(at, StoredDay(at & LAST_DAY, contents, b""), said=pieces[1])
            else:
                yield from (Day(at, day) for day in some_days(guide, mapping, [at & LAST_DAY]).values())

    def _shown(self) -> set[int]:
        """Every mapping of a provider that is not deleted, as far as the guide has days of it."""
        query = "SELECT m.id FROM channel_mappings m JOIN providers p ON p.id = m.provider_id AND p.deleted = 0"
        guide = self._guide.get()
        with busy_as_unavailable():
            return {row[0] for row in typed(guide.execute(query))} & _mappings_of(guide, "program_days")


def _each_once(mappings: set[int], handed: Iterable[_HandedDays]) -> Iterator[_HandedDays]:
    """First the mappings of which something was handed over, then the others."""
    left = set(mappings)
    for mapping, days in handed:
        if mapping in left:
            left.remove(mapping)
            yield mapping, days
    for mapping in sorted(left):
        yield mapping, {}


def _mappings_of(connection: apsw.Connection, table: str) -> set[int]:
    """Every mapping that a table of days knows, each found by one look at its key."""
    found, last = set(), -1
    query = f"SELECT id FROM {table} WHERE id > ? ORDER BY id LIMIT 1"
    while row := connection.execute(query, (last,)).fetchone():
        found.add(mapping := int(typed([row])[0][0]) >> DAY_BITS)
        last = day_id(mapping, LAST_DAY)
    return found
