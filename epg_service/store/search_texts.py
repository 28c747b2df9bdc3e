"""What the programmes of one mapping say, and who shows it: the rows of `texts` and `words`.

A text is a title with the people of a series and some of its sub-titles, so what a series says each time is cut into
words and kept once. A sub-title of a text (an empty one too) is a *place*; the shows that have it stand there, and go
by themselves: a text stays as it is until nobody shows any of it. Which sub-title was found is proven (`search`).
"""

import json
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import apsw
import xxhash

from epg_service.domain.pieces import Said
from epg_service.domain.tags import tag_of
from epg_service.store.search_vocabulary import Categories, Reader
from epg_service.store.search_words import Words
from servicekit.store.sqlite import DatabaseUnusable, typed

TEXT_BITS = 26
TEXTS = (1 << TEXT_BITS) - 1
"""`texts.id` is mapping << TEXT_BITS | number: a mapping's texts stand together, and need no index to be found."""
TAG_BITS = 26
TAGS = (1 << TAG_BITS) - 1
"""A show is key << TAG_BITS | tag."""
PLACE_BITS = 5
PLACES = 1 << PLACE_BITS
"""Sub-titles in a text at most: of a news programme with another one each time not all are looked through."""
_SIGN = 1 << 63
_DESCRIPTION = 1
_INSERT = "INSERT INTO texts (id, titles, people, said, sub_titles, digests, shows) VALUES (?, ?, ?, ?, ?, ?, ?)"

Shows: TypeAlias = list[int]
"""The entry (number << PLACE_BITS | place) that some programmes say, then the shows that it gains. When it is written,
the length of the sub-title stands there in the place of the entry."""


class _Crew:
    """People who are named together: what is known of them by the bytes of titles, and their texts with free places."""

    __slots__ = ("heads", "open", "people", "seed")

    def __init__(self, people: bytes) -> None:
        self.people = people
        self.seed = xxhash.xxh3_64_intdigest(people)
        self.heads: dict[bytes, Shows] = {}
        self.open: dict[bytes, _New] = {}


class _New:
    """A text that is to be written: its title and people as they stand, of each sub-title its digest and its shows."""

    __slots__ = ("digests", "number", "people", "shows", "sub_titles", "title")

    def __init__(self, number: int, title: bytes, people: bytes) -> None:
        self.number = number
        self.title = title
        self.people = people
        self.digests = array("q")
        self.sub_titles: list[bytes] = []
        self.shows: list[Shows] = []


class MappingTexts:
    """Knows the entries of a mapping while its days are read; `write` at the end."""

    def __init__(
        self, connection: apsw.Connection, mapping: int, *, reader: Reader, categories: Categories, words: Words
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._categories = categories
        self._words = words
        self._first = mapping << TEXT_BITS
        self._known: dict[int, int] = {}
        self._next = 1
        rows = connection.execute(
            "SELECT id, digests FROM texts WHERE id BETWEEN ? AND ?", (self._first, self._first | TEXTS)
        )
        for at, digests in typed(rows):
            entry = (at & TEXTS) << PLACE_BITS
            self._known.update(zip(array("q", digests), range(entry, entry + PLACES), strict=False))
            self._next = (at & TEXTS) + 1
        self._tails: dict[bytes, tuple[dict[bytes, Shows], int, _Crew]] = {}
        self._crews: dict[bytes, _Crew] = {}
        self._descriptions: dict[bytes, Shows] = {}
        self._new: list[_New] = []
        self._new_described: list[tuple[int, bytes, Shows]] = []
        self._more: list[Shows] = []
        self._less: defaultdict[int, set[int]] = defaultdict(set)

    # ---- entries -----------------------------------------------------------------------------------------------------

    def read(self, said: Iterable[Said]) -> list[tuple[Shows, int]]:
        """What programmes say, and the tag of each."""
        read, tails = [], self._tails
        for head, tail, flags in said:
            known = tails.get(tail)
            if known is None:
                known = self._tail(tail)
            heads, tag, crew = known
            shows = heads.get(head)
            if shows is None:
                shows = self._head(head, crew)
            read.append((shows, tag | flags))
        return read

    def add(self, keys: Iterable[int], said: Iterable[Said]) -> tuple[list[int], list[int]]:
        """Programmes that were not known; the entry and the tag of each."""
        entries, tags = list[int](), list[int]()
        for key, (shows, tag) in zip(keys, self.read(said), strict=True):
            shows.append(key << TAG_BITS | tag)
            entries.append(shows[0])
            tags.append(tag)
        return entries, tags

    def described(self, piece: bytes) -> Shows | None:
        """What describes a programme."""
        if not piece:
            return None
        shows = self._descriptions.get(piece)
        if shows is None:
            shows = self._descriptions[piece] = self._described(piece)
        return shows

    def drop(self, entry: int, show: int) -> None:
        """A programme does not say any more what it said."""
        self._less[entry].add(show)

    def _tail(self, tail: bytes) -> tuple[dict[bytes, Shows], int, _Crew]:
        people, categories = self._reader.crew(tail)
        crew = self._crews.get(people)
        if crew is None:
            crew = self._crews[people] = _Crew(people)
        known = self._tails[tail] = crew.heads, tag_of(self._categories.number(categories), 0), crew
        return known

    def _head(self, head: bytes, crew: _Crew) -> Shows:
        digest = xxhash.xxh3_64_intdigest(head.strip(), crew.seed) - _SIGN
        if entry := self._known.get(digest):
            shows = [entry]
            self._more.append(shows)
        else:
            title, sub_title = self._reader.titles(head)
            text = crew.open.get(title)
            if text is None or len(text.shows) == PLACES:
                text = crew.open[title] = _New(self._number(), title, crew.people)
                self._new.append(text)
            shows = [text.number << PLACE_BITS | len(text.shows)]
            text.digests.append(digest)
            text.sub_titles.append(sub_title)
            text.shows.append(shows)
        crew.heads[head] = shows
        return shows

    def _described(self, piece: bytes) -> Shows:
        digest = xxhash.xxh3_64_intdigest(piece, _DESCRIPTION) - _SIGN
        if entry := self._known.get(digest):
            shows = [entry]
            self._more.append(shows)
        else:
            shows = [self._number() << PLACE_BITS]
            self._new_described.append((digest, piece, shows))
        return shows

    def _number(self) -> int:
        number = self._next
        if number > TEXTS:
            raise DatabaseUnusable("the numbers of the search index are used up")
        self._next += 1
        return number

    # ---- writing -----------------------------------------------------------------------------------------------------

    def write(self) -> list[tuple[Any, ...]]:
        """Writes all of it but for the words of new texts, which are returned as rows of `words`."""
        self._change()
        words, rows = self._new_texts()
        for digest, piece, (entry, *shows) in self._new_described:
            at = self._first | entry >> PLACE_BITS
            told, length = self._told([piece], self._reader.texts)[piece]
            words.append((at, None, None, None, told))
            rows.append((at, None, length, None, None, array("q", [digest]).tobytes(), str([[0, *shows]])))
        self._connection.executemany(_INSERT, rows)
        return words

    def _new_texts(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Rows of `words` and of `texts`."""
        texts, read = self._new, self._reader.texts
        titles = self._told(dict.fromkeys([text.title for text in texts]), read)
        crews = self._told(dict.fromkeys([text.people for text in texts]), self._reader.names)
        sub_titles = self._told(dict.fromkeys(chain.from_iterable([text.sub_titles for text in texts])), read)
        words: list[tuple[Any, ...]] = []
        rows: list[tuple[Any, ...]] = []
        for text in texts:
            at = self._first | text.number
            (title, title_length), (people, people_length) = titles[text.title], crews[text.people]
            said = []
            for piece, shows in zip(text.sub_titles, text.shows, strict=True):
                told, shows[0] = sub_titles[piece]
                said.append(told)
            together = "".join(said)
            words.append((at, title, together, people, None))
            proof = (None, None) if together.isspace() else (title + "\n" + people, _listed(said))
            rows.append((at, title_length, people_length, *proof, text.digests.tobytes(), str(text.shows)))
        return words, rows

    def _told(self, pieces: Iterable[bytes], cut: Callable[[bytes], bytes]) -> dict[bytes, tuple[str, int]]:
        """The words of pieces, and how long each is."""
        distinct = list(pieces)
        return dict(zip(distinct, self._words.of(self._reader.readable(list(map(cut, distinct)))), strict=True))

    def _change(self) -> None:
        """Writes what texts that are there gain and lose; one that nobody shows any more goes with its words."""
        more = {shows[0]: shows[1:] for shows in self._more if len(shows) > 1}
        touched: defaultdict[int, set[int]] = defaultdict(set)
        for entry in more.keys() | self._less.keys():
            touched[entry >> PLACE_BITS].add(entry)
        if not touched:
            return
        query = "SELECT id, shows FROM texts WHERE id IN (SELECT value FROM json_each(?))"
        wanted = json.dumps([self._first | number for number in touched])
        changed, gone = [], []
        for at, written in typed(self._connection.execute(query, (wanted,))):
            shows = json.loads(written)
            for entry in touched[at & TEXTS]:
                less = self._less.get(entry, ())
                length, *before = shows[entry % PLACES]
                left = {show for show in before if show not in less}
                shows[entry % PLACES] = [length, *sorted(left.union(more.get(entry, ())))]
            if any(len(one) > 1 for one in shows):
                changed.append((str(shows), at))
            else:
                gone.append((at,))
        write = self._connection.executemany
        write("UPDATE texts SET shows = ? WHERE id = ?", changed)
        write("DELETE FROM words WHERE rowid = ?", gone)
        write("DELETE FROM texts WHERE id = ?", gone)


def _listed(words: Sequence[str]) -> str:
    """A JSON list of words of texts, in which nothing has to be escaped."""
    return '["' + '","'.join(words) + '"]'
