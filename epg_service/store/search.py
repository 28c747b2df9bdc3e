"""Asking the search index; what it finds is looked up in the guide, so nothing is told that is not there any more."""

import contextlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from epg_service.domain.days import ORDINAL_BITS
from epg_service.domain.entities import Listing
from epg_service.domain.terms import Terms, folded
from epg_service.domain.wishes import Wanted, Wish
from epg_service.store.deadline import limited
from epg_service.store.search_index import KEY_BITS, MAPPING_BITS, MAPPINGS, TAG_BITS, TAGS, usable
from servicekit.errors import Unavailable
from servicekit.store.sqlite import DatabaseUnusable, busy_as_unavailable, open_connection

SEARCH_LIMIT_S = 1.5
_CACHE_KIB = 8_192
_KINDS = ("title", "sub-title", "people", "description")
_RANK = 1000
"""Between two kinds of text: a word in a title comes before the same word in a sub-title, and so on."""
_ADVICE = "too many programmes match; give another word, a channel, a category or a shorter time"

# A programme is found once, by its best text: kind first, then bm25, then time.
_FIND = f"""
WITH found AS MATERIALIZED (
    SELECT t.id AS text, t.kind * {_RANK} + round(bm25(words), 3) AS score
    FROM words JOIN texts t ON t.id = words.rowid WHERE words MATCH :match),
airing AS MATERIALIZED (
    SELECT ((h.at & {MAPPINGS}) << {KEY_BITS}) + (s.value >> {TAG_BITS}) AS id, min(f.score) AS score
    FROM found f CROSS JOIN spots h ON h.at BETWEEN f.text << {MAPPING_BITS} AND f.text << {MAPPING_BITS} | {MAPPINGS}
        CROSS JOIN json_each(h.shows) s
    WHERE s.value >> {TAG_BITS + ORDINAL_BITS} BETWEEN :from - :reach AND :to + :reach
        AND (:tags IS NULL OR s.value & {TAGS} IN (SELECT value FROM json_each(:tags)))
    GROUP BY 1)
SELECT a.score, p.id, m.channel_id, p.provider_id,
    p.start_time + 60 * (m.shift_minutes + c.shift_minutes) AS start,
    p.end_time + 60 * (m.shift_minutes + c.shift_minutes) AS stop, p.title, c.name
FROM airing a JOIN guide.programs p ON p.id = a.id
    JOIN guide.channel_mappings m ON m.id = p.id >> 35
    JOIN guide.channels c ON c.id = m.channel_id AND c.hidden = 0
    JOIN guide.providers v ON v.id = m.provider_id AND v.deleted = 0
WHERE start < :to AND (stop > :from OR start >= :from) AND (a.score, start, p.id) > (:score, :start, :id)
    AND (:channels IS NULL OR m.channel_id IN (SELECT value FROM json_each(:channels)))
ORDER BY a.score, start, p.id LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A programme that was found, and by what kind of text; the lower score is the better one."""

    listing: Listing
    channel_name: str
    matched: str
    score: float


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
        score, start, id_ = after or (float("-inf"), 0, 0)
        with self._reading() as connection:
            tags = self._tags(connection, wish.wanted)
            reach: Any = connection.execute(
                "SELECT coalesce(max(longest_s), 0) + 86400 * 15 FROM guide.channel_mappings"
            ).fetchone()
            values = {
                "match": _match(wish.terms),
                "tags": tags,
                "channels": None if wish.channel_ids is None else json.dumps(list(wish.channel_ids)),
                "from": wish.from_s,
                "to": wish.to_s,
                "reach": int(reach[0]),
                "score": score,
                "start": start,
                "id": id_,
                "limit": limit,
            }
            return [_hit(row) for row in _typed(connection.execute(_FIND, values))]

    def complete(self) -> bool:
        """Whether the index holds the guide as it is now; while an import is taken in it lags some seconds behind."""
        with self._reading() as connection:
            row: Any = connection.execute("SELECT (SELECT mark FROM state) IS (SELECT mark FROM guide.guide_mark)")
            return bool(row.fetchone()[0])

    def categories(self) -> list[Category]:
        """Every category that programmes have, the most frequent first."""
        query = (
            "SELECT c.name, sum(t.programs) AS programs FROM tag_categories c JOIN tags t ON t.id = c.tag "
            "GROUP BY c.name HAVING programs > 0 ORDER BY programs DESC, c.name"
        )
        with self._reading() as connection:
            return [Category(*row) for row in _typed(connection.execute(query))]

    def _tags(self, connection: apsw.Connection, wanted: Wanted) -> str | None:
        """The tags that fit, as a JSON list; None: all."""
        if not wanted.needs_elements:
            return None
        query = (
            "SELECT t.id FROM tags t WHERE (?1 IS NULL OR t.new = ?1) AND (?2 IS NULL OR t.premiere = ?2) "
            "AND (?3 IS NULL OR t.id IN (SELECT tag FROM tag_categories WHERE folded = ?3))"
        )
        category = None if wanted.category is None else wanted.category.casefold()
        rows = _typed(connection.execute(query, (wanted.new, wanted.premiere, category)))
        return json.dumps([row[0] for row in rows])

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
        opened.execute("ATTACH ? AS guide", (str(self._guide),))
        self._local.connection, self._local.file = opened, (stat.st_dev, stat.st_ino)
        return opened

    def _close(self) -> None:
        found: apsw.Connection | None = getattr(self._local, "connection", None)
        if found is not None:
            found.close()
            self._local.connection = None


def _match(terms: Terms) -> str:
    """The terms in FTS5's language, folded as texts are: each a quoted string, so that no sign means anything."""
    quoted = [_quoted(term) for term in terms.exact]
    if terms.beginning is not None:
        quoted.append(f"{_quoted(terms.beginning)} *")
    return " AND ".join(quoted)


def _quoted(term: str) -> str:
    return '"' + folded(term).replace('"', '""') + '"'


def _hit(row: Sequence[Any]) -> Hit:
    score, id_, channel_id, provider_id, start, stop, title, name = row
    listing = Listing(id_, channel_id, provider_id, start, stop, title)
    return Hit(listing, name, _KINDS[min(len(_KINDS) - 1, max(0, -int(-score // _RANK)))], score)


def _typed(rows: Any) -> list[Any]:
    return list(rows)
