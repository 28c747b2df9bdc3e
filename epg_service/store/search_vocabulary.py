"""The numbers that the search index gives to sets of categories, and what it asks of those who read elements."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import apsw

from epg_service.domain.pieces import Said

_CACHED = 20_000


class Reader(Protocol):
    """Cuts an element into pieces and reads them (`xmltv.indexed`)."""

    def said(self, raw: bytes) -> Said: ...
    def said_in_form(self, raw: bytes) -> Said: ...
    def description(self, raw: bytes) -> bytes: ...
    def titles(self, piece: bytes) -> tuple[bytes, bytes]: ...
    def crew(self, piece: bytes) -> tuple[bytes, bytes]: ...
    def texts(self, piece: bytes) -> bytes: ...
    def names(self, piece: bytes) -> bytes: ...
    def readable(self, texts: Sequence[bytes]) -> list[str]: ...
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
