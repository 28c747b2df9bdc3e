"""One transaction of the search index: the changed days of some mappings, read anew as far as they changed."""

import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress, repeat
from typing import Any, TypeAlias

import apsw

from epg_service.domain.days import IN_FORM, raws_of, unpacked_contents
from epg_service.domain.tags import FLAG_BITS
from epg_service.store.search_file import TAG_BITS
from epg_service.store.search_vocabulary import Categories, MappingTexts, Reader, Said

_Refs: TypeAlias = tuple[int, int, int]
"""Of a programme: its text and its descriptions (numbers in the mapping; 0: none), and its tag."""
_NONE: _Refs = (0, 0, 0)
_Old: TypeAlias = tuple[int | None, _Refs]
_FRESH: _Old = (None, _NONE)


@dataclass(frozen=True, slots=True)
class Day:
    """A day as the guide has it now; without contents it is gone. `known`: the index has a version of it."""

    id: int
    contents: bytes
    body: bytes
    known: bool


class Step:
    """Writes what it is given at once, but for counts; `finish` before the end of the transaction."""

    def __init__(self, connection: apsw.Connection, *, reader: Reader, categories: Categories, described: bool) -> None:
        self._connection = connection
        self._reader = reader
        self._categories = categories
        self._described = described
        self._counts: Counter[int] = Counter()
        self.programmes = 0

    def add(self, mapping: int, days: Sequence[Day]) -> None:
        """Replaces what is known of days of one mapping."""
        texts = MappingTexts(self._connection, mapping, reader=self._reader, categories=self._categories)
        told = _Told()
        rows = [(day.id, day.contents, self._read(day, texts, told), self._described) for day in days]
        self._write(texts, told)
        write = self._connection.executemany
        write("DELETE FROM days WHERE id = ?", [(row[0],) for row in rows if not row[1]])
        write(
            "INSERT OR REPLACE INTO days (id, contents, refs, described) VALUES (?, ?, ?, ?)",
            [row for row in rows if row[1]],
        )
        self._counts.update(told.counts)

    def finish(self) -> None:
        """Writes how many programmes each set of categories has."""
        sets: Counter[int] = Counter()
        for tag, change in self._counts.items():
            sets[tag >> FLAG_BITS] += change
        self._connection.executemany(
            "UPDATE sets SET programs = programs + ? WHERE id = ?", [(by, at) for at, by in sets.items() if by]
        )

    def _read(self, day: Day, texts: MappingTexts, told: "_Told") -> bytes:
        """The packed refs of a day; notes what changes."""
        old = self._before(day.id) if day.known else {}
        now = unpacked_contents(day.contents)
        self.programmes += max(1, len(now.keys))
        raws, flags = raws_of(now, day.body) if day.contents else [], now.flags
        if not old:
            numbers = self._numbers(texts, raws, flags)
            told.add(now.keys, *numbers)
            return array("I", chain(*numbers)).tobytes()
        read = [old.get(key, _FRESH)[0] != digest for key, digest in zip(now.keys, now.digests, strict=True)]
        numbers = self._numbers(texts, list(compress(raws, read)), bytes(compress(flags, read)))
        fresh, refs = zip(*numbers, strict=True), []
        for key, anew in zip(now.keys, read, strict=True):
            before = old.pop(key, _FRESH)[1]
            refs.append(next(fresh) if anew else before)
            told.change(key, before, refs[-1])
        for key, (_, gone) in old.items():
            told.change(key, gone, _NONE)
        return array("I", chain(*zip(*refs, strict=True))).tobytes()

    def _numbers(self, texts: MappingTexts, raws: Sequence[bytes], flags: bytes) -> tuple[Sequence[int], ...]:
        """Texts, descriptions and tags of programmes, as columns."""
        said, tags = texts.numbers(self._said(raws, flags))
        described = texts.descriptions(map(self._reader.description, raws)) if self._described else [0] * len(said)
        return said, described, tags

    def _said(self, raws: Sequence[bytes], flags: bytes) -> Iterator[Said]:
        said, in_form = self._reader.said, self._reader.said_in_form
        if all(flag & IN_FORM for flag in set(flags)):
            return map(in_form, raws)
        return (in_form(raw) if flag & IN_FORM else said(raw) for raw, flag in zip(raws, flags, strict=True))

    def _before(self, day: int) -> dict[int, _Old]:
        """Digest and refs of each programme of the day by its key; no digest where it is to be read anew."""
        rows = self._connection.execute("SELECT contents, refs, described FROM days WHERE id = ?", (day,))
        row: Any = rows.fetchone()
        if row is None:
            return {}
        known, numbers = unpacked_contents(row[0]), array("I", row[1])
        count = len(known.keys)
        refs = zip(numbers[:count], numbers[count : 2 * count], numbers[2 * count :], strict=True)
        digests: Iterable[int | None] = known.digests if row[2] >= self._described else repeat(None, count)
        return dict(zip(known.keys, zip(digests, refs, strict=True), strict=True))

    def _write(self, texts: MappingTexts, told: "_Told") -> None:
        write, first = self._connection.executemany, texts.first
        write("INSERT INTO words (rowid, title, sub_title, people, description) VALUES (?, ?, ?, ?, ?)", texts.words)
        if told.gone:
            self._forget(first, told)
        old = (0, 0, 0, 0)
        write(
            "INSERT INTO texts (id, digest, titles, sub_titles, people, shows) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET "
            "shows = substr(shows, 1, length(shows) - 1) || ',' || substr(excluded.shows, 2)",
            [(first | text, *texts.new.get(text, old), str(shows)) for text, shows in sorted(told.shows.items())],
        )

    def _forget(self, first: int, told: "_Told") -> None:
        """Takes the programmes that went out of their texts; a text that nobody shows any more goes with its words."""
        query = "SELECT id, shows FROM texts WHERE id IN (SELECT value FROM json_each(?))"
        wanted = json.dumps([first | text for text in told.gone])
        changed, gone = [], []
        for at, shows in _typed(self._connection.execute(query, (wanted,))):
            text = at - first
            left = [show for show in json.loads(shows) if show not in told.gone[text]] + told.shows.pop(text, [])
            if left:
                changed.append((str(left), at))
            else:
                gone.append((at,))
        write = self._connection.executemany
        write("UPDATE texts SET shows = ? WHERE id = ?", changed)
        write("DELETE FROM words WHERE rowid = ?", gone)
        write("DELETE FROM texts WHERE id = ?", gone)


class _Told:
    """What changes in a mapping: the shows that its texts gain and lose, and its programmes of each tag."""

    def __init__(self) -> None:
        self.shows: defaultdict[int, list[int]] = defaultdict(list)
        self.gone: defaultdict[int, set[int]] = defaultdict(set)
        self.counts: Counter[int] = Counter()

    def add(self, keys: Sequence[int], said: Sequence[int], described: Sequence[int], tags: Sequence[int]) -> None:
        """Programmes that were not known."""
        found = self.shows
        for key, text, tag in zip(keys, said, tags, strict=True):
            found[text].append(key << TAG_BITS | tag)
        if any(described):
            for key, text, tag in zip(keys, described, tags, strict=True):
                if text:
                    found[text].append(key << TAG_BITS | tag)
        self.counts.update(tags)

    def change(self, key: int, old: _Refs, new: _Refs) -> None:
        """One programme; `_NONE`: there is, or was, no such one."""
        if old == new:
            return
        (*said, tag), (*saying, tagged) = old, new
        for before, after in zip(said, saying, strict=True):
            if before and (before, tag) != (after, tagged):
                self.gone[before].add(key << TAG_BITS | tag)
            if after and (before, tag) != (after, tagged):
                self.shows[after].append(key << TAG_BITS | tagged)
        if old != _NONE:
            self.counts[tag] -= 1
        if new != _NONE:
            self.counts[tagged] += 1


def _typed(rows: Any) -> list[Any]:
    return list(rows)
