"""Asking the search index; what it finds is looked up in the guide, so nothing is told that is not there any more."""

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import apsw

from epg_service.domain.days import ORDINAL_BITS
from epg_service.domain.entities import Listing
from epg_service.domain.tags import FLAG_BITS, NEW, PREMIERE
from epg_service.domain.terms import Terms, folded
from epg_service.domain.wishes import Wish
from epg_service.store.deadline import limited
from epg_service.store.search_file import KEY_BITS, usable
from epg_service.store.search_texts import TAG_BITS, TAGS, TEXT_BITS
from epg_service.store.search_words import Words
from servicekit.errors import Unavailable
from servicekit.store.sqlite import DatabaseUnusable, busy_as_unavailable, open_connection, typed

SEARCH_LIMIT_S = 1.5
_CACHE_KIB = 8_192
_ADVICE = "too many programmes match; give another word, a channel, a category or a shorter time"
_COLUMNS = ("title", "sub_title", "people")
_BETTER = ((), ("title",), ("title",), ("title", "people"))
"""What finds a programme before the kind does. Which of a text's sub-titles FTS5 means is proven."""
_TOGETHER = len(_COLUMNS)
_KINDS = ("title", "sub-title", "people", "several", "description")
"""What a programme is found by, the best first: all words in one of its texts, in several of them, in descriptions."""
_ANYWHERE = len(_KINDS)
_RANK = 1 << 16
"""A score is kind * _RANK + length of the text: of two titles with the same word the shorter one says it more."""

_SCORES = ("t.titles", "e.value ->> 0", "t.people", "t.titles + (e.value ->> 0) + t.people", "t.people")
"""How long the text is that says it, by kind."""


@lru_cache
def _find(kind: int, terms: int) -> str:
    """The statement that finds programmes by a kind of text and a number of terms."""
    # A programme is found once, by its best text: kind first, then length, then time.
    return f"""
WITH found AS MATERIALIZED (
    SELECT t.id, t.titles, t.people, t.said, t.sub_titles, t.shows FROM words w CROSS JOIN texts t ON t.id = w.rowid
    WHERE words MATCH :match AND (:channels IS NULL OR t.id >> {TEXT_BITS} IN (SELECT id FROM guide.channel_mappings
        WHERE channel_id IN (SELECT value FROM json_each(:channels))))),
airing AS MATERIALIZED (
    SELECT ((t.id >> {TEXT_BITS}) << {KEY_BITS}) + (s.value >> {TAG_BITS}) AS id,
        {kind * _RANK} + min({_RANK - 1}, {_SCORES[kind]}) AS score
    FROM found t CROSS JOIN json_each(t.shows) e CROSS JOIN json_each(e.value) s
    WHERE {_proof(kind, terms)} AND s.key > 0
        AND s.value >> {TAG_BITS + ORDINAL_BITS} BETWEEN :from - :reach AND :to + :reach
        AND (:new IS NULL OR (s.value & {NEW} <> 0) = :new)
        AND (:premiere IS NULL OR (s.value & {PREMIERE} <> 0) = :premiere)
        AND (:sets IS NULL OR (s.value & {TAGS}) >> {FLAG_BITS} IN (SELECT value FROM json_each(:sets))))
SELECT a.score, p.id, m.channel_id, p.provider_id,
    p.start_time + 60 * (m.shift_minutes + c.shift_minutes) AS start,
    p.end_time + 60 * (m.shift_minutes + c.shift_minutes) AS stop, p.title, c.name
FROM airing a CROSS JOIN guide.programs p ON p.id = a.id
    CROSS JOIN guide.channel_mappings m ON m.id = p.id >> 35
    CROSS JOIN guide.channels c ON c.id = m.channel_id AND c.hidden = 0
    CROSS JOIN guide.providers v ON v.id = m.provider_id AND v.deleted = 0
WHERE start < :to AND (stop > :from OR start >= :from) AND (a.score, start, p.id) > (:score, :start, :id)
    AND (:better IS NULL OR p.id NOT IN (
        SELECT ((t.id >> {TEXT_BITS}) << {KEY_BITS}) + (s.value >> {TAG_BITS})
        FROM words w CROSS JOIN texts t ON t.id = w.rowid CROSS JOIN json_each(t.shows) e
            CROSS JOIN json_each(e.value) s WHERE words MATCH :better AND s.key > 0 AND {_proof(_ANYWHERE, terms)}))
ORDER BY a.score, start, p.id LIMIT :limit
"""


def _proof(kind: int, terms: int) -> str:
    """That the programmes at a place (`e`) of a text are found by what FTS5 found somewhere in the text (`t`)."""
    sub_title = "json_extract(t.sub_titles, '$[' || e.key || ']')"
    within = " AND ".join(f"instr({sub_title}, :term{n})" for n in range(terms))
    anywhere = " AND ".join(f"(instr(t.said, :term{n}) OR instr({sub_title}, :term{n}))" for n in range(terms))
    proofs = {
        1: within,
        2: f"(t.said IS NULL OR NOT ({within}))",
        _TOGETHER: f"(t.said IS NULL OR {anywhere} AND NOT ({within}))",
        _ANYWHERE: f"(t.said IS NULL OR {anywhere})",
    }
    return proofs.get(kind, "1")


@dataclass(frozen=True, slots=True)
class Hit:
    """A programme that was found, and by what kind of text; the lower score is the better one."""

    listing: Listing
    channel_name: str
    matched: str
    score: int


@dataclass(frozen=True, slots=True)
class Category:
    """A category as feeds spell it, and how many programmes have it."""

    name: str
    programs: int


class Search:
    """Reads the index from any thread."""

    def __init__(self, path: Path, guide: Path, *, damaged: Path) -> None:
        self._path = path
        self._guide = guide
        self._damaged = damaged
        self._local = threading.local()

    def find(self, wish: Wish, *, after: tuple[float, ...] | None, limit: int) -> list[Hit]:
        """The best programmes first; `after` is (score, start, id) of the last one of the page before."""
        score, start, id_ = after or (-1, 0, 0)
        found: list[Hit] = []
        with self._reading() as connection:
            terms = _needles(wish.terms, self._local.words)
            values = self._values(connection, wish) | terms | {"score": score, "start": start, "id": id_}
            for kind in range(max(0, int(score) // _RANK), len(_KINDS)):
                match = _match(wish.terms, kind)
                if match is not None and len(found) < limit:
                    values |= {"kind": kind, "limit": limit - len(found), "match": match.wanted, "better": match.better}
                    found += map(_hit, typed(connection.execute(_find(kind, len(terms)), values)))
        return found

    def complete(self) -> bool:
        """Whether the index holds the guide as it is now; while an import is taken in it lags some seconds behind."""
        with self._reading() as connection:
            row: Any = connection.execute("SELECT (SELECT mark FROM state) IS (SELECT mark FROM guide.guide_mark)")
            return bool(row.fetchone()[0])

    def categories(self) -> list[Category]:
        """Every category that programmes have, the most frequent first."""
        query = (
            "SELECT c.name, sum(s.programs) AS programs "
            "FROM sets s CROSS JOIN json_each('[' || trim(s.key, ',') || ']') m JOIN categories c ON c.id = m.value "
            "WHERE s.programs > 0 GROUP BY c.id ORDER BY programs DESC, c.name"
        )
        with self._reading() as connection:
            return [Category(*row) for row in typed(connection.execute(query))]

    def _values(self, connection: apsw.Connection, wish: Wish) -> dict[str, Any]:
        """What the statement is told of a wish."""
        wanted = wish.wanted
        reach: Any = connection.execute("SELECT coalesce(max(longest_s), 0) + 86400 * 15 FROM guide.channel_mappings")
        return {
            "new": wanted.new,
            "premiere": wanted.premiere,
            "sets": None if wanted.category is None else self._sets(connection, wanted.category),
            "channels": None if wish.channel_ids is None else json.dumps(list(wish.channel_ids)),
            "from": wish.from_s,
            "to": wish.to_s,
            "reach": int(reach.fetchone()[0]),
        }

    def _sets(self, connection: apsw.Connection, category: str) -> str:
        """The sets that hold a category, as a JSON list."""
        query = (
            "SELECT s.id FROM categories c JOIN sets s ON instr(s.key, ',' || c.id || ',') WHERE c.folded = ? "
            "AND s.programs > 0"
        )
        return json.dumps([row[0] for row in typed(connection.execute(query, (category.casefold(),)))])

    @contextlib.contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        try:
            with busy_as_unavailable():
                connection = self._connection()
                with connection, limited(connection, SEARCH_LIMIT_S, _ADVICE):
                    yield connection
        except DatabaseUnusable as error:
            self._close()
            self._damaged.parent.mkdir(parents=True, exist_ok=True)
            self._damaged.touch()  # the keeper makes it anew
            raise Unavailable(
                "the search index is damaged and is being made anew; try again", retry_after_s=30
            ) from error

    def _connection(self) -> apsw.Connection:
        """The thread's own connection to the index, with the guide beside it; opened anew when the file is another."""
        try:
            stat = os.stat(self._path)  # noqa: PTH116 (the identity of the file is meant)
        except FileNotFoundError as error:
            raise Unavailable("the search index is not made yet; try again", retry_after_s=5) from error
        found: apsw.Connection | None = getattr(self._local, "connection", None)
        if found is not None and self._local.file == (stat.st_dev, stat.st_ino):
            return found
        self._close()
        if not usable(self._path):
            raise DatabaseUnusable("not an index of this version")
        opened = open_connection(self._path, cache_kib=_CACHE_KIB)
        opened.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)  # else each question is planned anew, at ten times its cost
        opened.execute("ATTACH ? AS guide", (str(self._guide),))
        self._local.connection, self._local.file = opened, (stat.st_dev, stat.st_ino)
        self._local.words = Words(opened)
        return opened

    def _close(self) -> None:
        found: apsw.Connection | None = getattr(self._local, "connection", None)
        if found is not None:
            found.close()
            self._local.connection = self._local.words = None


@dataclass(frozen=True, slots=True)
class _Match:
    """What a text of a kind matches, and what the programmes match that were told already as better ones."""

    wanted: str
    better: str | None = None


def _match(terms: Terms, kind: int) -> _Match | None:
    """The terms in FTS5's language, folded as texts are: each a quoted string, so that no sign means anything.

    None: nothing can be found that way, as a single term does not stand in several texts.
    """
    quoted = [_quoted(term) for term in terms.exact]
    if terms.beginning is not None:
        quoted.append(f"{_quoted(terms.beginning)} *")
    all_of = " AND ".join(quoted)
    if kind > _TOGETHER:
        return _Match(f"description : ({all_of})", f"{{{' '.join(_COLUMNS)}}} : ({all_of})")
    if kind == _TOGETHER and len(quoted) == 1:
        return None
    columns = _COLUMNS[kind] if kind < _TOGETHER else " ".join(_COLUMNS)
    matched = f"({{{columns}}} : ({all_of}))"
    for column in _BETTER[kind]:
        matched = f"({matched} NOT ({column} : ({all_of})))"
    return _Match(matched)


def _needles(terms: Terms, words: Words) -> dict[str, str]:
    """The terms as they stand in the words of a text (`search_words`)."""
    needles = [f" {' '.join(words.words(folded(term)))} " for term in terms.exact]
    if terms.beginning is not None:
        needles.append(f" {' '.join(words.words(folded(terms.beginning)))}")
    return {f"term{n}": needle for n, needle in enumerate(needles)}


def _quoted(term: str) -> str:
    return '"' + folded(term).replace('"', '""') + '"'


def _hit(row: Sequence[Any]) -> Hit:
    score, id_, channel_id, provider_id, start, stop, title, name = row
    listing = Listing(id_, channel_id, provider_id, start, stop, title)
    return Hit(listing, name, _KINDS[score // _RANK], score)
