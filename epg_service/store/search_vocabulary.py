"""The numbers that the search index gives to texts and to sets of categories."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import apsw
import xxhash

from epg_service.domain.terms import fold

TITLE, SUB_TITLE, PEOPLE, DESCRIPTION = range(4)
_CACHED = 20_000
_SIGN = 1 << 63

Said: TypeAlias = tuple[bytes, bytes, bytes, bytes | None, bytes, bytes | None, bytes | None]
"""Unread pieces of one programme: titles, sub-titles, descriptions, people, categories, premiere, new."""


class Texts(Protocol):
    """Cuts an element into pieces and reads them."""

    def pieces(self, raw: bytes) -> Said: ...
    def pieces_in_form(self, raw: bytes) -> Said: ...
    def words(self, piece: bytes) -> str: ...
    def categories(self, piece: bytes) -> tuple[str, ...]: ...


_Tag: TypeAlias = tuple[bytes, bytes | None, bytes | None]
"""Unread: categories, premiere, new."""


class Vocabulary:
    """The numbers of texts and tags, kept from step to step as far as they are found again soon."""

    def __init__(self, connection: apsw.Connection, texts: Texts) -> None:
        self._connection = connection
        self._texts = texts
        self._numbers: dict[int, int] = {}
        self._tags: dict[_Tag, int] = {}

    def numbers(self, kind: int, said: Sequence[bytes | None]) -> Iterator[int]:
        """The number of each piece of a kind; new texts are written. 0: it says nothing."""
        seed, digest = kind + 1, xxhash.xxh3_64_intdigest
        digests = {piece: digest(piece, seed) - _SIGN for piece in set(said) if piece}
        known = self._numbers
        if len(known) > _CACHED:
            known.clear()
        if unknown := [digest for digest in digests.values() if digest not in known]:
            query = "SELECT digest, id FROM texts WHERE digest IN (SELECT value FROM json_each(?))"
            known.update(_typed(self._connection.execute(query, (json.dumps(unknown),))))
            self._add(kind, sorted((digest, piece) for piece, digest in digests.items() if digest not in known))
        found: dict[bytes | None, int] = {piece: known[digest] for piece, digest in digests.items()}
        found[b""] = found[None] = 0
        return map(found.__getitem__, said)

    def _add(self, kind: int, new: Sequence[tuple[int, bytes]]) -> None:
        row: Any = self._connection.execute("SELECT coalesce(max(id), 0) FROM texts").fetchone()
        numbered = list(enumerate(new, row[0] + 1))
        self._connection.executemany(
            "INSERT INTO texts (id, digest, kind) VALUES (?, ?, ?)",
            [(at, digest, kind) for at, (digest, _) in numbered],
        )
        self._connection.executemany(
            "INSERT INTO words (rowid, text) VALUES (?, ?)",
            [(at, fold(self._texts.words(piece))) for at, (_, piece) in numbered],
        )
        self._numbers.update((digest, at) for at, (digest, _) in numbered)

    def tags(self, wanted: Sequence[_Tag]) -> Iterator[int]:
        """The number of each set of categories with its flags; new sets are written."""
        known = self._tags
        if len(known) > _CACHED:
            known.clear()
        names = {tag: self._texts.categories(tag[0]) for tag in set(wanted) if tag not in known}
        if names:
            known.update(self._tag_numbers({tag: _tag_key(tag, said) for tag, said in names.items()}, names))
        return map(known.__getitem__, wanted)

    def _tag_numbers(self, keys: dict[_Tag, str], names: dict[_Tag, tuple[str, ...]]) -> dict[_Tag, int]:
        query = "SELECT key, id FROM tags WHERE key IN (SELECT value FROM json_each(?))"
        numbers: dict[str, int] = dict(_typed(self._connection.execute(query, (json.dumps(list(keys.values())),))))
        fresh = {key: tag for tag, key in keys.items() if key not in numbers}
        row: Any = self._connection.execute("SELECT coalesce(max(id), 0) FROM tags").fetchone()
        made = [(at, key, fresh[key]) for at, key in enumerate(fresh, row[0] + 1)]
        self._connection.executemany(
            "INSERT INTO tags (id, key, new, premiere, programs) VALUES (?, ?, ?, ?, 0)",
            [(at, key, int(tag[2] is not None), int(tag[1] is not None)) for at, key, tag in made],
        )
        self._connection.executemany(
            "INSERT INTO tag_categories (tag, name, folded) VALUES (?, ?, ?)",
            [(at, name, name.casefold()) for at, _, tag in made for name in names[tag]],
        )
        numbers.update((key, at) for at, key, _ in made)
        return {tag: numbers[key] for tag, key in keys.items()}


def _tag_key(tag: _Tag, names: Iterable[str]) -> str:
    """One text for each set of categories and flags."""
    flags = f"{tag[2] is not None:d}{tag[1] is not None:d}"
    return "\n".join((flags, *sorted(names)))


def _typed(rows: Any) -> list[Any]:
    return list(rows)
