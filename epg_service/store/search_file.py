"""The search index's file: what stands in it, how one is begun and how it takes another's place.

    state                  the guide's mark that it was made from
    texts                  what programmes say (`search_texts`), and their shows (view: hits)
    words                  the texts' words (FTS5, without the texts themselves)
    sets, categories       sets of categories; a set's `key` is their numbers with a comma on each side
    days                   which version of a packed day was read, and its programmes' texts, descriptions and tags

Rows are found by numbers that say where they belong: a text's by its mapping, a day's as in the guide.
"""

import os
from pathlib import Path
from typing import Any

import apsw

from epg_service.domain.days import ORDINAL_BITS, START_BITS
from epg_service.store.search_texts import TAG_BITS, TAGS, TEXT_BITS
from epg_service.store.search_words import TOKENIZE
from servicekit.store.sqlite import busy_as_unavailable, open_connection

APPLICATION_ID = 0x41457369  # "AEsi"
VERSION = 5
KEY_BITS = START_BITS + ORDINAL_BITS
_CACHE_KIB = 8_192
_HASH_BYTES = 16 << 20
"""Words that wait in memory for the end of a transaction while a whole index is made; usually 1 MB."""
_MERGE = 8

_SCHEMA = f"""
CREATE TABLE state (mark INTEGER, descriptions INTEGER NOT NULL);
INSERT INTO state VALUES (NULL, 0);
CREATE TABLE texts (
    id INTEGER PRIMARY KEY,
    titles INTEGER,                               -- how long they are; NULL: these are descriptions
    people INTEGER NOT NULL,                      -- or descriptions: how long
    said TEXT,                                    -- the words of titles, and of people; NULL: no sub-titles, no proof
    sub_titles TEXT,                              -- a JSON list of the words of each
    digests BLOB NOT NULL,                        -- what tells titles, people and each sub-title apart, 8 bytes each
    shows TEXT NOT NULL                           -- of each sub-title its length, then its shows: a JSON list of lists
);
CREATE VIRTUAL TABLE words USING fts5 (title, sub_title, people, description, content = '', contentless_delete = 1,
    tokenize = '{TOKENIZE}');
CREATE VIEW hits AS SELECT texts.id AS text, entry.key AS place, show.value & {TAGS} AS tag,
    ((texts.id >> {TEXT_BITS}) << {KEY_BITS}) + (show.value >> {TAG_BITS}) AS id
    FROM texts CROSS JOIN json_each(texts.shows) AS entry CROSS JOIN json_each(entry.value) AS show WHERE show.key > 0;
CREATE TABLE categories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, folded TEXT NOT NULL);
CREATE TABLE sets (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, programs INTEGER NOT NULL DEFAULT 0);
CREATE TABLE days (id INTEGER PRIMARY KEY, identity BLOB NOT NULL, refs BLOB NOT NULL, described INTEGER NOT NULL);
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


def opened(path: Path) -> apsw.Connection:
    """A connection to write to an index."""
    return open_connection(path, cache_kib=_CACHE_KIB)


def begun(path: Path) -> apsw.Connection:
    """An empty index that nobody reads: without a journal, as one that is not finished is thrown away."""
    remove(path)
    connection = opened(path)
    with busy_as_unavailable():
        connection.execute("PRAGMA journal_mode = OFF").fetchall()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_SCHEMA)
        _tune(connection, hashsize=_HASH_BYTES, automerge=0)
    return connection


def finish(connection: apsw.Connection) -> None:
    """Makes a `begun` index one that is written to while others read; closes it."""
    with busy_as_unavailable():
        _tune(connection, hashsize=1 << 20, automerge=_MERGE)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.close()


def take_place(fresh: Path, path: Path) -> None:
    """Puts a finished file in the place of another, whose readers go on with it until they look again."""
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    fresh.replace(path)


def remove(path: Path) -> None:
    """Removes an index with its log."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _tune(connection: apsw.Connection, **options: int) -> None:
    connection.executemany("INSERT INTO words (words, rank) VALUES (?, ?)", options.items())


def _pragma(connection: apsw.Connection, name: str) -> int:
    rows: Any = connection.execute(f"PRAGMA {name}").fetchone()
    return int(rows[0])
