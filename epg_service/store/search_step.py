"""One transaction of the search index: the changed days of some mappings, read anew as far as they changed."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import apsw

from epg_service.domain.days import IN_FORM, Contents, StoredDay, raws_of, unpacked_contents
from epg_service.domain.parts import raws_at
from epg_service.domain.pieces import Said, identity
from epg_service.domain.tags import FLAG_BITS
from epg_service.store.search_texts import TAG_BITS, MappingTexts
from epg_service.store.search_vocabulary import Categories, Reader
from epg_service.store.search_words import Words

_Numbers: TypeAlias = "array[int]"
_Refs: TypeAlias = tuple[_Numbers, _Numbers, _Numbers]
"""Columns of a day: what each programme says (entries of `search_texts`), its tag, what describes it (0: nothing)."""


class Before(NamedTuple):
    """What the index holds of a day: `identity` and the columns of what its programmes say, of that version."""

    identity: bytes
    refs: bytes
    whole: bool
    """Nothing that is wanted is missing: descriptions are there, or nobody wants them."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day as the guide has it now; without contents it is gone. `before`: what the index holds of it."""

    id: int
    stored: StoredDay
    before: Before | None = None
    said: list[Said] | None = None
    """What the import cut out of its programmes; the day has no body then."""


class Step:
    """Writes what it is given at once, but for words and counts; `finish` before the end of the transaction."""

    def __init__(
        self, connection: apsw.Connection, *, reader: Reader, categories: Categories, words: Words, described: bool
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._categories = categories
        self._words = words
        self._described = described
        self._counts: Counter[int] = Counter()
        self._new_words: list[tuple[Any, ...]] = []
        self.programmes = 0

    def add(self, mapping: int, days: Sequence[Day]) -> None:
        """Replaces what is known of days of one mapping."""
        texts = MappingTexts(
            self._connection, mapping, reader=self._reader, categories=self._categories, words=self._words
        )
        rows = [(day.id, identity(day.stored.packed), self._read(day, texts), self._described) for day in days]
        self._new_words += texts.write()
        write = self._connection.executemany
        write("DELETE FROM days WHERE id = ?", [(row[0],) for row in rows if not row[1]])
        write(
            "INSERT OR REPLACE INTO days (id, identity, refs, described) VALUES (?, ?, ?, ?)",
            [row for row in rows if row[1]],
        )

    def finish(self) -> None:
        """Writes the words of new texts, and how many programmes each set of categories has."""
        write = self._connection.executemany
        write(
            "INSERT INTO words (rowid, title, sub_title, people, description) VALUES (?, ?, ?, ?, ?)", self._new_words
        )
        sets: Counter[int] = Counter()
        for tag, change in self._counts.items():
            sets[tag >> FLAG_BITS] += change
        write("UPDATE sets SET programs = programs + ? WHERE id = ?", [(by, at) for at, by in sets.items() if by])

    def _read(self, day: Day, texts: MappingTexts) -> bytes:
        """The packed refs of a day."""
        now = unpacked_contents(day.stored.packed)
        self.programmes += max(1, len(now.keys))
        if day.before is None and not self._described:
            said = day.said if day.said is not None else self._said(raws_of(now, day.stored.body), now.flags)
            entries, tags = texts.add(now.keys, said)
            self._counts.update(tags)
            return array("I", entries + tags).tobytes()
        entered, tagged, about = self._read_again(day, now, texts)
        return (entered + tagged + about if any(about) else entered + tagged).tobytes()

    def _read_again(self, day: Day, now: Contents, texts: MappingTexts) -> _Refs:
        old = _Old(day.before or Before(b"", b"", whole=True))
        changed, refs = old.kept(now, identity(day.stored.packed))
        raws = raws_at(day.stored, now.lengths, changed)
        read = texts.read(self._said(raws, bytes(now.flags[at] for at in changed)))
        for at, raw, (shows, tag) in zip(changed, raws, read, strict=True):
            key = now.keys[at]
            about = texts.described(self._reader.description(raw)) if self._described else None
            before = old.taken(key)
            for column, said, was in ((0, shows, before[0]), (2, about, before[2])):
                entry = refs[column][at] = said[0] if said else 0
                if (was, before[1]) != (entry, tag):
                    if was:
                        texts.drop(was, key << TAG_BITS | before[1])
                    if said:
                        said.append(key << TAG_BITS | tag)
            refs[1][at] = tag
            self._counts[tag] += 1
            self._counts[before[1]] -= before[0] > 0
        for key, (entry, tag, about_it) in old.left():
            for was in filter(None, (entry, about_it)):
                texts.drop(was, key << TAG_BITS | tag)
            self._counts[tag] -= 1
        return refs

    def _said(self, raws: Sequence[bytes], flags: bytes) -> Iterator[Said]:
        said, in_form = self._reader.said, self._reader.said_in_form
        if all(flag & IN_FORM for flag in set(flags)):
            return map(in_form, raws)
        return (in_form(raw) if flag & IN_FORM else said(raw) for raw, flag in zip(raws, flags, strict=True))


class _Old:
    """What the index holds of a day, unpacked."""

    def __init__(self, before: Before) -> None:
        self._identity = array("Q", before.identity)
        self._count = count = len(self._identity) // 2
        numbers = array("I", before.refs)
        self._refs = numbers[:count], numbers[count : 2 * count], numbers[2 * count :] or array("I", bytes(4 * count))
        self._whole = before.whole
        self._left: dict[int, int] = {}

    def kept(self, now: Contents, identity: bytes) -> tuple[list[int], _Refs]:
        """Which programmes of the day as it is now are to be read, and the refs of the others."""
        keys, digests = self._identity[: self._count], self._identity[self._count :]
        if self._whole and len(now.keys) == self._count and identity.startswith(keys.tobytes()):
            changed = [at for at, (old, new) in enumerate(zip(digests, now.digests, strict=True)) if old != new]
            self._left = {keys[at]: at for at in changed}
            entries, tags, about = self._refs
            return changed, (entries[:], tags[:], about[:])
        self._left = places = {key: at for at, key in enumerate(keys)}
        changed, kept = [], []
        for at, (key, digest) in enumerate(zip(now.keys, now.digests, strict=True)):
            place = places.get(key, -1)
            if place < 0 or not self._whole or digests[place] != digest:
                changed.append(at)
                kept.append(-1)
            else:
                kept.append(places.pop(key))
        entries, tags, about = (array("I", [column[at] if at >= 0 else 0 for at in kept]) for column in self._refs)
        return changed, (entries, tags, about)

    def taken(self, key: int) -> tuple[int, int, int]:
        """The refs of a programme that changed, once; zeros when it was not there."""
        place = self._left.pop(key, None)
        if place is None:
            return 0, 0, 0
        entries, tags, about = self._refs
        return entries[place], tags[place], about[place]

    def left(self) -> Iterator[tuple[int, tuple[int, int, int]]]:
        """The programmes that are gone, with their refs."""
        for key in list(self._left):
            yield key, self.taken(key)
