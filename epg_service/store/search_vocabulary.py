"""The numbers that the search index gives: to what the programmes of a mapping say, and to sets of categories."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

import apsw
import xxhash

from epg_service.domain.tags import tag_of
from epg_service.domain.terms import fold
from servicekit.store.sqlite import DatabaseUnusable

TEXT_BITS = 26
TEXTS = (1 << TEXT_BITS) - 1
"""`texts.id` is mapping << TEXT_BITS | number: a mapping's texts stand together, and need no index to be found."""
_CACHED = 20_000
_SIGN = 1 << 63
_DESCRIPTION = 1

Said: TypeAlias = tuple[bytes, bytes, int]
"""Of one programme, unread: titles with sub-titles, people with categories; flags (`domain.tags`)."""


class Reader(Protocol):
    """Cuts an element into pieces and reads them (`xmltv.indexed`)."""

    def said(self, raw: bytes) -> Said: ...
    def said_in_form(self, raw: bytes) -> Said: ...
    def description(self, raw: bytes) -> bytes: ...
    def words(self, piece: bytes) -> str: ...
    def titles(self, piece: bytes) -> tuple[bytes, bytes]: ...
    def crew(self, piece: bytes) -> tuple[bytes, bytes]: ...
    def people(self, piece: bytes) -> str: ...
    def categories(self, piece: bytes) -> tuple[str, ...]: ...


class Categories:
    """The numbers of sets of categories, kept from step to step as far as they are found again soon."""

    def __init__(self, connection: apsw.Connection, read: Callable[[bytes], tuple[str, ...]]) -> None:
        self._connection = connection
        self._read = read
        self._names: dict[str, int] = {}
        self._sets: dict[bytes, int] = {}

    def number(self, piece: bytes) -> int:
        """The number of the set that a piece tells; a new one is written, and so are its categories."""
        if (known := self._sets.get(piece)) is not None:
            return known
        if len(self._sets) > _CACHED:
            self._sets.clear()
        members = sorted(map(self._category, self._read(piece)))
        key = f",{','.join(map(str, members))},"
        number = self._sets[piece] = self._row("sets", {"key": key})
        return number

    def _category(self, name: str) -> int:
        if (known := self._names.get(name)) is not None:
            return known
        if len(self._names) > _CACHED:
            self._names.clear()
        number = self._names[name] = self._row("categories", {"name": name, "folded": name.casefold()})
        return number

    def _row(self, table: str, values: dict[str, str]) -> int:
        """The number of a row, made if there is none. (One statement for both would make FTS5 write what waits.)"""
        first = next(iter(values))
        found: Any = self._connection.execute(f"SELECT id FROM {table} WHERE {first} = :{first}", values).fetchone()
        if found:
            return int(found[0])
        marks = ", ".join(f":{column}" for column in values)
        self._connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", values)
        return self._connection.last_insert_rowid()


class MappingTexts:
    """The numbers of what the programmes of one mapping say, while its days are read.

    Titles, sub-titles and people of a programme are one text, written once however often it is shown.
    """

    def __init__(self, connection: apsw.Connection, mapping: int, *, reader: Reader, categories: Categories) -> None:
        self._reader = reader
        self._categories = categories
        self.first = mapping << TEXT_BITS
        rows = connection.execute(
            "SELECT digest, id FROM texts WHERE id BETWEEN ? AND ?", (self.first, self.first | TEXTS)
        )
        self._known: dict[int, int] = {digest: at & TEXTS for digest, at in _typed(rows)}
        self._next = max(self._known.values(), default=0) + 1
        self._said: dict[bytes, str] = {}
        self._crews: dict[str, _Crew] = {}
        self._tails: dict[bytes, tuple[_Crew, int]] = {}
        self.new: dict[int, tuple[int, int, int, int]] = {}
        """Of each new text its digest and the lengths of titles, sub-titles and people or descriptions."""
        self.words: list[tuple[int, str, str, str, str]] = []
        """Of each new text its id, titles, sub-titles, people and descriptions."""

    def numbers(self, said: Iterable[Said]) -> tuple[list[int], list[int]]:
        """The number of each programme's text, and its tag."""
        texts, tags, tails = [], [], self._tails
        for head, tail, flags in said:
            known = tails.get(tail)
            if known is None:
                known = self._tail(tail)
            crew, categories = known
            text = crew.texts.get(head)
            if text is None:
                text = crew.texts[head] = self._text(head, crew)
            texts.append(text)
            tags.append(categories | flags)
        return texts, tags

    def descriptions(self, pieces: Iterable[bytes]) -> list[int]:
        """The number of each programme's descriptions, 0 for none."""
        return [self._description(piece) if piece else 0 for piece in pieces]

    def _tail(self, tail: bytes) -> tuple["_Crew", int]:
        people, categories = self._reader.crew(tail)
        names = fold(self._reader.people(people))
        crew = self._crews.get(names)
        if crew is None:
            crew = self._crews[names] = _Crew(names, xxhash.xxh3_64_intdigest(names.encode()))
        known = self._tails[tail] = crew, tag_of(self._categories.number(categories), 0)
        return known

    def _text(self, head: bytes, crew: "_Crew") -> int:
        digest = xxhash.xxh3_64_intdigest(head, crew.digest) - _SIGN
        number = self._known.get(digest)
        if number is None:
            titles, sub_titles = self._reader.titles(head)
            number = self._add(digest, self._words(titles), self._words(sub_titles), crew.names, "")
        return number

    def _words(self, piece: bytes) -> str:
        known = self._said.get(piece)
        if known is None:
            known = self._said[piece] = fold(self._reader.words(piece))
        return known

    def _description(self, piece: bytes) -> int:
        digest = xxhash.xxh3_64_intdigest(piece, _DESCRIPTION) - _SIGN
        return self._known.get(digest) or self._add(digest, "", "", "", fold(self._reader.words(piece)))

    def _add(self, digest: int, titles: str, sub_titles: str, people: str, descriptions: str) -> int:
        number = self._known[digest] = self._next
        if number > TEXTS:
            raise DatabaseUnusable("the numbers of the search index are used up")
        self._next += 1
        self.new[number] = digest, len(titles), len(sub_titles), len(people or descriptions)
        self.words.append((self.first | number, titles, sub_titles, people, descriptions))
        return number


class _Crew:
    """People who are named together, and the texts of programmes that they make by the bytes of their titles."""

    __slots__ = ("digest", "names", "texts")

    def __init__(self, names: str, digest: int) -> None:
        self.names = names
        self.digest = digest
        self.texts: dict[bytes, int] = {}


def _typed(rows: Any) -> list[Any]:
    return list(rows)
