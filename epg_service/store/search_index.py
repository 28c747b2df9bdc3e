"""The search index: a database file of its own, made from the guide and thrown away when it is damaged.

    texts ──< spots                    a title, sub-title, list of people or description, once; and who says it: one row
                                       a text and mapping, the keys of its programmes with their tags (view: hits)
    words                              the texts' words (FTS5, without the texts themselves)
    tags ──< tag_categories            a set of categories with "new" and "premiere"; each hit names its programme's
    days                               which version of a packed day was read, and its programmes' texts and tag

It is brought up to date by comparing `program_days.contents` with the copies in `days`, some thousand programmes a
transaction, each whole days. A run that was killed has done what it has committed. Its transactions lock nobody but
the next one: readers of a write-ahead log wait for no writer.
"""

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress, repeat
from pathlib import Path
from typing import Any, TypeAlias

import apsw

from epg_service.domain.days import (
    DAY_BITS,
    IN_FORM,
    ORDINAL_BITS,
    START_BITS,
    day_id,
    raws_of,
    unpacked_contents,
)
from epg_service.store.search_vocabulary import DESCRIPTION, PEOPLE, SUB_TITLE, TITLE, Said, Texts, Vocabulary
from servicekit.store.sqlite import (
    Connections,
    DatabaseUnusable,
    busy_as_unavailable,
    open_connection,
    truncate_wal,
    writing,
)

APPLICATION_ID = 0x41457369  # "AEsi"
VERSION = 3
STEP_PROGRAMMES = 5_000
STEP_ORPHANS = 2_000
_ROW = 5
"""Numbers a programme in `days.refs`: title, sub-title, people, description (ids of texts, 0: none) and tag."""
_DAYS = (1 << DAY_BITS) - 1
KEY_BITS = START_BITS + ORDINAL_BITS
MAPPING_BITS = 53 - KEY_BITS
MAPPINGS = (1 << MAPPING_BITS) - 1
"""`spots.at` is text << MAPPING_BITS | mapping: one number, so that SQLite needs no second index."""
TAG_BITS = 26
TAGS = (1 << TAG_BITS) - 1
"""Each of `spots.shows` (a JSON list, which SQLite takes apart itself) is key << TAG_BITS | tag."""

_SCHEMA = f"""
CREATE TABLE state (mark INTEGER, descriptions INTEGER NOT NULL);
INSERT INTO state VALUES (NULL, 0);
CREATE TABLE texts (id INTEGER PRIMARY KEY, digest INTEGER NOT NULL, kind INTEGER NOT NULL);
CREATE UNIQUE INDEX texts_digest ON texts (digest);
CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 0');
INSERT INTO words (words, rank) VALUES ('automerge', 8);
CREATE TABLE spots (at INTEGER PRIMARY KEY, shows TEXT NOT NULL);
CREATE VIEW hits AS SELECT at >> {MAPPING_BITS} AS text, show.value & {TAGS} AS tag,
    ((at & {MAPPINGS}) << {KEY_BITS}) + (show.value >> {TAG_BITS}) AS id
    FROM spots CROSS JOIN json_each(spots.shows) AS show;
CREATE TABLE tags (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, new INTEGER NOT NULL, premiere INTEGER NOT NULL,
    programs INTEGER NOT NULL);
CREATE TABLE tag_categories (tag INTEGER NOT NULL, name TEXT NOT NULL, folded TEXT NOT NULL, PRIMARY KEY (tag, name))
    WITHOUT ROWID;
CREATE INDEX tag_categories_folded ON tag_categories (folded);
CREATE TABLE days (id INTEGER PRIMARY KEY, contents BLOB NOT NULL, refs BLOB NOT NULL, described INTEGER NOT NULL);
CREATE TABLE orphans (text INTEGER PRIMARY KEY);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""


def usable(path: Path) -> bool:
    """Whether the file is an index of this version."""
    if not path.is_file():
        return False
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return (
                _pragma(connection, "application_id") == APPLICATION_ID
                and _pragma(connection, "user_version") == VERSION
            )
        finally:
            connection.close()
    except apsw.Error:
        return False


class SearchIndex:
    """Writes the index; the keeper's thread alone uses it."""

    def __init__(self, path: Path, guide: Connections, *, texts: Texts, descriptions: bool) -> None:
        self._path = path
        self._guide = guide
        self._texts = texts
        self._descriptions = descriptions
        self._connection: apsw.Connection | None = None

    def up_to_date(self) -> bool:
        """Whether the index was made from the guide as it is now. Raises `DatabaseUnusable` when it is damaged."""
        with busy_as_unavailable():
            row: Any = self._open().execute("SELECT mark, descriptions FROM state").fetchone()
            if row[1] > self._descriptions:
                raise DatabaseUnusable("the search index holds descriptions, which are not wanted any more")
            return bool(row[0] == self._mark() and row[1] == self._descriptions)

    def discard(self) -> None:
        """Puts an empty index in the place of what is there; readers go on with the old file until they look again."""
        self.close()
        fresh = self._path.with_name(f".{self._path.name}.new")
        _remove(fresh)
        connection = open_connection(fresh)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute(_SCHEMA)
        connection.close()  # the last one: the log goes into the file
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        fresh.replace(self._path)

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
        vocabulary = Vocabulary(self._open(), self._texts)
        for described in (False, True) if self._descriptions else (False,):
            yield from self._steps(vocabulary, described)
        yield from self._sweep()
        connection = self._open()
        with writing(connection):
            connection.execute("UPDATE state SET mark = ?, descriptions = ?", (mark, int(self._descriptions)))
        truncate_wal(connection)

    # ---- steps -------------------------------------------------------------------------------------------------------

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            if not usable(self._path):
                raise DatabaseUnusable(f"{self._path} is missing, damaged or of another version")
            self._connection = open_connection(self._path, cache_kib=8_192)
        return self._connection

    def _mark(self) -> int:
        with busy_as_unavailable():
            row: Any = self._guide.get().execute("SELECT mark FROM guide_mark").fetchone()
        return int(row[0])

    def _steps(self, vocabulary: "Vocabulary", described: bool) -> Iterator[int]:
        step = _Step(self._open(), self._texts, vocabulary, described=described)
        for day, known in self._changed(described):
            if step.add(day, *self._day(day), known=known) >= STEP_PROGRAMMES:
                yield self._write(step)
                step = _Step(self._open(), self._texts, vocabulary, described=described)
        if step.programmes:
            yield self._write(step)

    def _write(self, step: "_Step") -> int:
        with writing(self._open()):
            step.write()
        return step.programmes

    def _changed(self, described: bool) -> Iterator[tuple[int, bool]]:
        """The days that are not indexed as they are now: new, changed and vanished ones; and whether they are known."""
        query = "SELECT id, contents FROM program_days WHERE id BETWEEN ? AND ?"
        ours = "SELECT id, CASE WHEN described >= ? THEN contents END FROM days WHERE id BETWEEN ? AND ?"
        for mapping in self._mappings():
            ends = (day_id(mapping, 0), day_id(mapping, _DAYS))
            with busy_as_unavailable():
                now: dict[int, bytes] = dict(_typed(self._guide.get().execute(query, ends)))
                then: dict[int, bytes] = dict(_typed(self._open().execute(ours, (int(described), *ends))))
            yield from sorted((day, day in then) for day in now.keys() | then.keys() if now.get(day) != then.get(day))

    def _mappings(self) -> list[int]:
        """Every mapping that has days in the guide or in the index."""
        seen = "SELECT m.id FROM channel_mappings m JOIN providers p ON p.id = m.provider_id AND p.deleted = 0"
        found: set[int] = set()
        with busy_as_unavailable():
            found.update(int(row[0]) for row in _typed(self._guide.get().execute(seen)))
            connection, last = self._open(), -1
            while row := connection.execute("SELECT id FROM days WHERE id > ? ORDER BY id LIMIT 1", (last,)).fetchone():
                mapping = int(_typed([row])[0][0]) >> DAY_BITS
                found.add(mapping)
                last = day_id(mapping, _DAYS)
        return sorted(found)

    def _day(self, day: int) -> tuple[bytes, bytes]:
        with busy_as_unavailable():
            row: Any = (
                self._guide.get().execute("SELECT contents, body FROM program_days WHERE id = ?", (day,)).fetchone()
            )
        return (row[0], row[1]) if row is not None else (b"", b"")

    def _sweep(self) -> Iterator[int]:
        """Forgets texts that no programme says any more."""
        connection = self._open()
        while True:
            with writing(connection):
                found = [
                    row[0] for row in _typed(connection.execute("SELECT text FROM orphans LIMIT ?", (STEP_ORPHANS,)))
                ]
                if not found:
                    return
                gone = [
                    (text,)
                    for text in found
                    if connection.execute(
                        "SELECT 1 FROM spots WHERE at BETWEEN ? AND ? LIMIT 1", (_spot(text, 0), _spot(text, MAPPINGS))
                    ).fetchone()
                    is None
                ]
                connection.executemany("DELETE FROM words WHERE rowid = ?", gone)
                connection.executemany("DELETE FROM texts WHERE id = ?", gone)
                connection.executemany("DELETE FROM orphans WHERE text = ?", [(text,) for text in found])
            yield len(found)


_Refs: TypeAlias = tuple[int, ...]
_Old: TypeAlias = tuple[int | None, _Refs]
_FRESH: _Old = (None, ())


@dataclass(frozen=True, slots=True)
class _Day:
    """A day on its way: its keys, which of its programmes were read, and what was known of it before."""

    day: int
    contents: bytes
    keys: Sequence[int]
    read: Sequence[bool] | None
    """None: all, as nothing was known."""
    old: dict[int, _Old]


class _Step:
    """One transaction: some days read anew. Of what was unpacked only the pieces are held until it is written."""

    def __init__(self, connection: apsw.Connection, texts: Texts, vocabulary: Vocabulary, *, described: bool) -> None:
        self._connection = connection
        self._texts = texts
        self._vocabulary = vocabulary
        self._described = described
        self._days: list[_Day] = []
        self._said: list[Said] = []
        self._shows: defaultdict[int, list[int]] = defaultdict(list)
        self._gone: defaultdict[int, set[int]] = defaultdict(set)
        self._counts: Counter[int] = Counter()
        self.programmes = 0

    def add(self, day: int, contents: bytes, body: bytes, *, known: bool) -> int:
        """Reads a day, as far as it is not known; no contents: it is forgotten. Returns how many programmes wait."""
        old = self._before(day) if known else {}
        now = unpacked_contents(contents)
        raws = raws_of(now, body) if contents else []
        flags: Sequence[int] = now.flags
        read = None
        if old:
            read = [old.get(key, _FRESH)[0] != digest for key, digest in zip(now.keys, now.digests, strict=True)]
            raws, flags = list(compress(raws, read)), list(compress(flags, read))
        self._said += self._pieces(raws, flags)
        self._days.append(_Day(day, contents, now.keys, read, old))
        self.programmes += max(1, len(now.keys))
        return self.programmes

    def _pieces(self, raws: Sequence[bytes], flags: Sequence[int]) -> Iterable[Said]:
        pieces, in_form = self._texts.pieces, self._texts.pieces_in_form
        if self._described:
            return map(pieces, raws)
        if all(map(IN_FORM.__and__, flags)):
            return map(in_form, raws)
        return (in_form(raw) if flag & IN_FORM else pieces(raw) for raw, flag in zip(raws, flags, strict=True))

    def write(self) -> None:
        """Replaces what is known of the days."""
        rows, at = self._rows(), 0
        days = []
        for one in self._days:
            if one.read is None:
                end = at + len(one.keys)
                days.append((one.day, one.contents, self._anew(one, rows[at:end])))
            else:
                end = at + sum(one.read)
                days.append((one.day, one.contents, self._again(one, iter(rows[at:end]))))
            at = end
        self._write(days)

    def _rows(self) -> list[_Refs]:
        """The numbers of the texts and the tag of each programme that was read."""
        if not self._said:
            return []
        titles, sub_titles, descriptions, people, *tag = zip(*self._said, strict=True)
        number = self._vocabulary.numbers
        described = number(DESCRIPTION, descriptions) if self._described else repeat(0, len(titles))
        texts = number(TITLE, titles), number(SUB_TITLE, sub_titles), number(PEOPLE, people), described
        return list(zip(*texts, self._vocabulary.tags(list(zip(*tag, strict=True))), strict=True))

    def _anew(self, one: _Day, rows: Sequence[_Refs]) -> bytes:
        """The packed numbers of a day that was not known."""
        if not rows:  # it went while this was on its way
            return b""
        *texts, tags = zip(*rows, strict=True)
        self._counts.update(tags)
        shows = [key << TAG_BITS | tag for key, tag in zip(one.keys, tags, strict=True)]
        mapping, found = one.day >> DAY_BITS, self._shows
        for column in texts:
            for text, show in zip(column, shows, strict=True):
                if text:
                    found[text << MAPPING_BITS | mapping].append(show)
        return array("I", chain.from_iterable(rows)).tobytes()

    def _again(self, one: _Day, rows: Iterator[_Refs]) -> bytes:
        """The packed numbers of a day; notes what changes for each programme."""
        refs, mapping, old = array("I"), one.day >> DAY_BITS, one.old
        for key, read in zip(one.keys, one.read or (), strict=True):
            row = before = old.pop(key, _FRESH)[1]
            if read:
                row = next(rows)
                self._change(mapping, key, before, row)
            refs.extend(row)
        for key, (_, gone) in old.items():
            self._change(mapping, key, gone, ())
        return refs.tobytes()

    def _before(self, day: int) -> dict[int, _Old]:
        """Digest and numbers of each programme of the day by its key; no digest where it is to be read anew."""
        rows = self._connection.execute("SELECT contents, refs, described FROM days WHERE id = ?", (day,))
        row: Any = rows.fetchone()
        if row is None:
            return {}
        known, numbers = unpacked_contents(row[0]), array("I", row[1])
        refs = [tuple(numbers[at : at + _ROW]) for at in range(0, len(numbers), _ROW)]
        same = row[2] >= self._described
        return {
            key: (digest if same else None, one)
            for key, digest, one in zip(known.keys, known.digests, refs, strict=True)
        }

    def _change(self, mapping: int, key: int, old: _Refs, new: _Refs) -> None:
        """Notes the texts that a programme says no more, and those it says now; `()`: there is no such programme."""
        if old == new:
            return
        same = old[:-1] if old and new and old[-1] == new[-1] else ()
        for text in old[:-1]:
            if text and not (same and text in new[:-1]):
                self._gone[_spot(text, mapping)].add(key << TAG_BITS | old[-1])
        for text in new[:-1]:
            if text and text not in same:
                self._shows[_spot(text, mapping)].append(key << TAG_BITS | new[-1])
        self._counts.update(new[-1:])
        self._counts.subtract(old[-1:])

    def _forget(self) -> None:
        """Takes the programmes that went out of the spots of their texts."""
        query = "SELECT at, shows FROM spots WHERE at IN (SELECT value FROM json_each(?))"
        left = {
            at: [show for show in json.loads(shows) if show not in self._gone[at]]
            for at, shows in _typed(self._connection.execute(query, (json.dumps(list(self._gone)),)))
        }
        write = self._connection.executemany
        write("UPDATE spots SET shows = ? WHERE at = ?", [(str(shows), at) for at, shows in left.items() if shows])
        write("DELETE FROM spots WHERE at = ?", [(at,) for at, shows in left.items() if not shows])
        write("INSERT OR IGNORE INTO orphans VALUES (?)", {(at >> MAPPING_BITS,) for at in self._gone})

    def _write(self, days: Sequence[tuple[int, bytes, bytes]]) -> None:
        write = self._connection.executemany
        if self._gone:
            self._forget()
        write(
            "INSERT INTO spots VALUES (?, ?) ON CONFLICT (at) DO UPDATE SET "
            "shows = substr(shows, 1, length(shows) - 1) || ',' || substr(excluded.shows, 2)",
            [(at, str(shows)) for at, shows in sorted(self._shows.items())],
        )
        counts = [(change, tag) for tag, change in self._counts.items() if change]
        write("UPDATE tags SET programs = programs + ? WHERE id = ?", counts)
        write("DELETE FROM days WHERE id = ?", [(day,) for day, contents, _ in days if not contents])
        write(
            "INSERT OR REPLACE INTO days (id, contents, refs, described) VALUES (?, ?, ?, ?)",
            [(day, contents, refs, int(self._described)) for day, contents, refs in days if contents],
        )


def _spot(text: int, mapping: int) -> int:
    return text << MAPPING_BITS | mapping


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _pragma(connection: apsw.Connection, name: str) -> int:
    return int(_typed(connection.execute(f"PRAGMA {name}"))[0][0])


def _typed(rows: Any) -> list[Any]:
    return list(rows)
