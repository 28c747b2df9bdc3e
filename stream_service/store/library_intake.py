"""Movies, series and episodes, the writing side: staged at a refresh and applied after its verdict.

stage (many) > accept (with the verdict) > apply (small steps)

A refresh stages what the list holds where nobody sees it. Once the verdict is given, `apply` takes it over a few titles
at a time, each whole at every instant; killed meanwhile, the next sweep of the source goes on. A title that says the
same as before is not written again, one that is listed no more is kept hidden for its return.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from servicekit.clock import Clock
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.titles import Episode, Title, digest_of

BATCH = 1_000
_TITLE = "name, category, picture, year, rating, added_at, is_adult, container, url, headers, details"
_EPISODE = "season, number, name, container, url, picture, added_at, headers, details"
TABLES = {"movie": "movies", "series": "series"}


class LibraryIntake:
    """The writing side: what refreshes and the keeper's errands bring."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    # ---- staging -----------------------------------------------------------------------------------------------------

    def begin(self, source_id: int) -> None:
        """Clear away what an interrupted refresh staged."""
        self._clear("source_id = ?", source_id)

    def stage(self, source_id: int, first: int, titles: Sequence[Title | Episode]) -> None:
        """Write titles and episodes of M3U lists, numbered from `first`. Nobody sees them yet."""
        rows = [(source_id, first + place, *_staged(one)) for place, one in enumerate(titles)]
        connection = self._connections.get()
        with writing(connection):
            connection.executemany(
                "INSERT INTO library_staged (source_id, position, kind, provider_id, parent, digest, said) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def staged(self, source_id: int) -> dict[str, int]:
        """How many different titles of each kind are staged."""
        query = "SELECT kind, count(DISTINCT provider_id) FROM library_staged WHERE source_id = ? GROUP BY kind"
        return {row[0]: row[1] for row in self._rows(query, source_id)}

    def drop_staged(self, source_id: int, kind: str) -> None:
        """Take back what was staged of one kind: it stays as it was."""
        self._clear("source_id = ? AND kind = ?", source_id, kind)

    def present(self, source_id: int) -> dict[str, int]:
        """How many titles of each kind the source lists now."""
        query = "SELECT count(*) FROM {} WHERE source_id = ? AND vanished_at IS NULL"
        return {kind: self._rows(query.format(table), source_id)[0][0] for kind, table in TABLES.items()}

    # ---- taking over -------------------------------------------------------------------------------------------------

    def apply(self, source_id: int) -> None:
        """Take over what was accepted, if anything waits; it may be called again after any interruption."""
        row = self._rows("SELECT library_waiting FROM sources WHERE id = ?", source_id)
        if not row or row[0][0] is None:
            return
        for kind in json.loads(row[0][0]):
            self._apply_titles(source_id, kind)
            self._hide_missing(source_id, kind)
        self._apply_episodes(source_id)
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE sources SET library_waiting = NULL WHERE id = ?", (source_id,))
        self._clear("source_id = ?", source_id)

    def keep_episodes(self, series_id: int, episodes: Sequence[Episode]) -> None:
        """What a series holds now, as it was asked for one by one; episodes it holds no more are hidden."""
        now = self._clock.now_s()
        connection = self._connections.get()
        for some in _batches(episodes):
            with writing(connection):
                for one in some:
                    self._put_episode(series_id, one.provider_id, _digest(one), _episode_values(one))
        kept = [one.provider_id for one in episodes]
        with writing(connection):
            connection.execute(
                "UPDATE episodes SET vanished_at = ? WHERE series_id = ? AND vanished_at IS NULL "
                "AND provider_id NOT IN (SELECT value FROM json_each(?))",
                (now, series_id, json.dumps(kept)),
            )
            connection.execute("UPDATE series SET looked_at = ? WHERE id = ?", (now, series_id))

    def keep_info(self, kind: str, title_id: int, info: Mapping[str, str]) -> None:
        """What a movie's or series' provider told when it was asked for this one."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                f"UPDATE {TABLES[kind]} SET info = ?, looked_at = ? WHERE id = ?",
                (json.dumps(info, ensure_ascii=False), self._clock.now_s(), title_id),
            )

    # ---- cleaning ----------------------------------------------------------------------------------------------------

    def purge_vanished(self, before: int) -> int:
        """Forget titles and episodes that are listed no more since before that moment; returns how many."""
        gone = 0
        for table in ("episodes", "movies", "series"):
            gone += self._delete(f"{table}", "vanished_at < ?", before)
        self._delete("episodes", "series_id NOT IN (SELECT id FROM series)")
        return gone

    def purge_source(self, source_id: int) -> None:
        """Delete everything of a source that was deleted, in small steps."""
        self._clear("source_id = ?", source_id)
        self._delete("episodes", "series_id IN (SELECT id FROM series WHERE source_id = ?)", source_id)
        for table in TABLES.values():
            self._delete(table, "source_id = ?", source_id)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _apply_titles(self, source_id: int, kind: str) -> None:
        table, now = TABLES[kind], self._clock.now_s()
        query = (
            "SELECT position, provider_id, digest, said FROM library_staged "
            "WHERE source_id = ? AND kind = ? AND position > ? ORDER BY position LIMIT ?"
        )
        upsert = (
            f"INSERT INTO {table} (source_id, provider_id, digest, {_TITLE}, first_seen, changed_at) "
            f"VALUES ({', '.join('?' * 16)}) ON CONFLICT (source_id, provider_id) DO UPDATE SET "
            f"{', '.join(f'{name} = excluded.{name}' for name in _TITLE.split(', '))}, "
            "digest = excluded.digest, changed_at = excluded.changed_at, vanished_at = NULL "
            "WHERE digest != excluded.digest OR vanished_at IS NOT NULL"
        )
        last = -1
        connection = self._connections.get()
        while rows := self._rows(query, source_id, kind, last, BATCH):
            with writing(connection):
                connection.executemany(
                    upsert, [(source_id, ident, digest, *json.loads(said), now, now) for _, ident, digest, said in rows]
                )
            last = rows[-1][0]

    def _hide_missing(self, source_id: int, kind: str) -> None:
        table = TABLES[kind]
        query = (
            f"SELECT id FROM {table} AS t WHERE source_id = ?1 AND vanished_at IS NULL AND NOT EXISTS "
            "(SELECT 1 FROM library_staged AS s INDEXED BY library_staged_key "
            "WHERE s.source_id = ?1 AND s.kind = ?2 AND s.provider_id = t.provider_id)"
        )
        now = self._clock.now_s()
        connection = self._connections.get()
        for some in _batches(self._rows(query, source_id, kind)):
            with writing(connection):
                connection.executemany(f"UPDATE {table} SET vanished_at = ? WHERE id = ?", [(now, r[0]) for r in some])

    def _apply_episodes(self, source_id: int) -> None:
        """Those an M3U list holds; a panel's are asked for when somebody looks at the series."""
        query = (
            "SELECT s.position, series.id, s.provider_id, s.digest, s.said FROM library_staged AS s JOIN series "
            "ON series.source_id = s.source_id AND series.provider_id = s.parent "
            "WHERE s.source_id = ? AND s.kind = 'episode' AND s.position > ? ORDER BY s.position LIMIT ?"
        )
        last, connection = -1, self._connections.get()
        any_staged = False
        while rows := self._rows(query, source_id, last, BATCH):
            any_staged = True
            with writing(connection):
                for _, series_id, ident, digest, said in rows:
                    self._put_episode(series_id, ident, digest, json.loads(said))
            last = rows[-1][0]
        if any_staged:
            self._hide_missing_episodes(source_id)

    def _hide_missing_episodes(self, source_id: int) -> None:
        query = (
            "SELECT e.id FROM episodes AS e JOIN series AS t ON t.id = e.series_id WHERE t.source_id = ?1 "
            "AND e.vanished_at IS NULL AND NOT EXISTS (SELECT 1 FROM library_staged AS s INDEXED BY library_staged_key "
            "WHERE s.source_id = ?1 AND s.kind = 'episode' AND s.provider_id = e.provider_id)"
        )
        now, connection = self._clock.now_s(), self._connections.get()
        for some in _batches(self._rows(query, source_id)):
            with writing(connection):
                connection.executemany("UPDATE episodes SET vanished_at = ? WHERE id = ?", [(now, r[0]) for r in some])

    def _put_episode(self, series_id: int, ident: str, digest: int, values: Sequence[Any]) -> None:
        now = self._clock.now_s()
        self._connections.get().execute(
            f"INSERT INTO episodes (series_id, provider_id, digest, {_EPISODE}, first_seen, changed_at) "
            f"VALUES ({', '.join('?' * 14)}) ON CONFLICT (series_id, provider_id) DO UPDATE SET "
            f"{', '.join(f'{name} = excluded.{name}' for name in _EPISODE.split(', '))}, "
            "digest = excluded.digest, changed_at = excluded.changed_at, vanished_at = NULL "
            "WHERE digest != excluded.digest OR vanished_at IS NOT NULL",
            (series_id, ident, digest, *values, now, now),
        )

    def _clear(self, where: str, *values: object) -> None:
        self._delete("library_staged", where, *values, key="(source_id, position)", columns="source_id, position")

    def _delete(self, table: str, where: str, *values: object, key: str = "id", columns: str = "id") -> int:
        connection = self._connections.get()
        gone = 0
        while True:
            with writing(connection):
                connection.execute(
                    f"DELETE FROM {table} WHERE {key} IN (SELECT {columns} FROM {table} WHERE {where} LIMIT ?)",
                    (*values, BATCH),
                )
                changed = connection.changes()
            gone += changed
            if changed < BATCH:
                return gone

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))


def _staged(one: Title | Episode) -> tuple[object, ...]:
    if isinstance(one, Episode):
        values = _episode_values(one)
        return ("episode", one.provider_id, one.series, digest_of(*values), json.dumps(values, ensure_ascii=False))
    values = _title_values(one)
    return (one.kind, one.provider_id, "", digest_of(*values), json.dumps(values, ensure_ascii=False))


def _digest(one: Episode) -> int:
    return digest_of(*_episode_values(one))


def _title_values(one: Title) -> list[object]:
    return [
        *(one.name, one.category, one.picture, one.year, one.rating, one.added_at, int(one.is_adult)),
        *(one.container, one.url, _json(one.headers), _json(one.details)),
    ]


def _episode_values(one: Episode) -> list[object]:
    return [
        *(one.season, one.number, one.name, one.container, one.url, one.picture, one.added_at),
        *(_json(one.headers), _json(one.details)),
    ]


def _json(said: object) -> str:
    return json.dumps(dict(said), ensure_ascii=False, sort_keys=True) if said else "{}"  # type: ignore[call-overload]


def _batches(items: Iterable[Any]) -> Iterable[list[Any]]:
    rest = iter(items)
    while some := list(islice(rest, BATCH)):
        yield some
