"""Movies, series and episodes, the reading side: what enabled sources list now, by permanent whole numbers."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable
from stream_service.domain.model import StreamAddress
from stream_service.domain.titles import Episode, StoredEpisode, StoredTitle, Title, TitleKind

TABLES: Mapping[TitleKind, str] = {"movie": "movies", "series": "series"}
_TITLE = (
    "t.id, t.source_id, t.provider_id, t.name, t.category, t.picture, t.year, t.rating, t.added_at, t.is_adult, "
    "t.container, t.url, t.headers, t.details, t.info, t.first_seen, t.changed_at, t.looked_at, t.vanished_at"
)
_EPISODE = (
    "e.id, e.series_id, t.source_id, t.provider_id, e.provider_id, e.season, e.number, e.name, e.container, e.url, "
    "e.picture, e.added_at, e.headers, e.details, e.first_seen, e.changed_at, e.vanished_at"
)
_SOURCE = (
    "s.url, s.username, s.password, s.account, s.user_agent, s.headers, s.timeouts, s.private, s.connection_limit, "
    "s.account_connections"
)
_VISIBLE = "t.vanished_at IS NULL AND s.enabled = 1 AND s.deleted = 0"


class Library:
    """Titles of enabled sources."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def page(
        self,
        kind: TitleKind,
        *,
        limit: int,
        after: int = 0,
        search: str = "",
        category: str | None = None,
        source_id: int | None = None,
    ) -> list[StoredTitle]:
        """At most `limit` titles by id from behind `after`; `search` is looked for in their names, case forgiven."""
        query = (
            f"SELECT {_TITLE} FROM {TABLES[kind]} AS t JOIN sources AS s ON s.id = t.source_id WHERE {_VISIBLE} "
            "AND t.id > ?1 AND (?2 = '' OR instr(lower(t.name), lower(?2)) > 0) AND (?3 IS NULL OR t.category = ?3) "
            "AND (?4 IS NULL OR t.source_id = ?4) ORDER BY t.id LIMIT ?5"
        )
        return [_title(kind, row) for row in self._rows(query, after, search, category, source_id, limit)]

    def categories(self, kind: TitleKind) -> list[tuple[str, int]]:
        """Every category with how many titles it has, by name; '' is that of titles without one."""
        query = (
            f"SELECT t.category, count(*) FROM {TABLES[kind]} AS t JOIN sources AS s ON s.id = t.source_id "
            f"WHERE {_VISIBLE} GROUP BY t.category ORDER BY t.category"
        )
        return [(row[0], row[1]) for row in self._rows(query)]

    def mark(self, kind: TitleKind) -> str:
        """Another text after every change of what is listed."""
        query = (
            "SELECT count(*), coalesce(sum(t.id), 0), coalesce(max(t.changed_at), 0), coalesce(sum(t.changed_at), 0) "
            f"FROM {TABLES[kind]} AS t JOIN sources AS s ON s.id = t.source_id WHERE {_VISIBLE}"
        )
        return " ".join(map(str, self._rows(query)[0]))

    def counts(self, source_id: int) -> dict[str, int]:
        """How many movies and series a source lists now."""
        query = "SELECT count(*) FROM {} WHERE source_id = ? AND vanished_at IS NULL"
        return {table: self._rows(query.format(table), source_id)[0][0] for table in TABLES.values()}

    def get(self, kind: TitleKind, title_id: int) -> StoredTitle:
        """One title of an enabled source; raises `NotFound`."""
        query = (
            f"SELECT {_TITLE} FROM {TABLES[kind]} AS t JOIN sources AS s ON s.id = t.source_id "
            f"WHERE {_VISIBLE} AND t.id = ?"
        )
        rows = self._rows(query, title_id)
        if not rows:
            raise NotFound(f"there is no {kind} {title_id}")
        return _title(kind, rows[0])

    def episodes(self, series_id: int) -> list[StoredEpisode]:
        """The known episodes of a series by season and number (a panel's are known once they were asked for)."""
        query = (
            f"SELECT {_EPISODE} FROM episodes AS e JOIN series AS t ON t.id = e.series_id "
            f"JOIN sources AS s ON s.id = t.source_id WHERE {_VISIBLE} AND e.vanished_at IS NULL "
            "AND e.series_id = ? ORDER BY e.season, e.number, e.id"
        )
        return [_episode(row) for row in self._rows(query, series_id)]

    def episode(self, episode_id: int) -> StoredEpisode:
        """One episode; raises `NotFound`."""
        query = (
            f"SELECT {_EPISODE} FROM episodes AS e JOIN series AS t ON t.id = e.series_id "
            f"JOIN sources AS s ON s.id = t.source_id WHERE {_VISIBLE} AND e.vanished_at IS NULL AND e.id = ?"
        )
        rows = self._rows(query, episode_id)
        if not rows:
            raise NotFound(f"there is no episode {episode_id}")
        return _episode(rows[0])

    def movie_address(self, movie_id: int) -> StreamAddress:
        """Where a movie is had; the address' `id` is even and negative: no live stream's. Raises `NotFound`."""
        found = self.get("movie", movie_id)
        title = found.title
        return self._address(found.source_id, -2 * movie_id, title.url, "movie", title.provider_id,
                             title.container or "mp4", title.headers)  # fmt: skip

    def episode_address(self, episode_id: int) -> StreamAddress:
        """Where an episode is had; the address' `id` is odd and negative. Raises `NotFound`."""
        found = self.episode(episode_id)
        one = found.episode
        return self._address(found.source_id, -2 * episode_id - 1, one.url, "series", one.provider_id,
                             one.container or "mp4", one.headers)  # fmt: skip

    def _address(
        self, source_id: int, ident: int, url: str, kind: str, provider_id: str, container: str, of_title: object
    ) -> StreamAddress:
        row = self._rows(f"SELECT {_SOURCE} FROM sources AS s WHERE id = ?", source_id)[0]
        typed, username, password, account, agent, of_source, timeouts, private, limit, told_limit = row
        base = json.loads(account).get("base_url") or typed
        login = f"{quote(username or '', safe='')}/{quote(password or '', safe='')}"
        own_id = provider_id.rpartition(":")[2]
        said: dict[str, str] = {"User-Agent": agent} if agent else {}
        return StreamAddress(
            id=ident,
            source_id=source_id,
            url=url or f"{base.rstrip('/')}/{kind}/{login}/{own_id}.{container}",
            headers={**said, **json.loads(of_source), **dict(of_title)},  # type: ignore[call-overload]
            private_ok=bool(private),
            connection_limit=limit if limit is not None else told_limit,
            timeouts=json.loads(timeouts),
        )

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))


def _title(kind: TitleKind, row: tuple[Any, ...]) -> StoredTitle:
    ident, source_id, provider_id, name, category, picture, year, rating, added, adult, container = row[:11]
    url, headers, details, info, first_seen, changed_at, looked_at, vanished_at = row[11:]
    said = {**json.loads(details), **json.loads(info)}
    title = Title(
        *(kind, provider_id, name, category, picture, year, rating, added, bool(adult), container, url),
        headers=json.loads(headers),
        details=said,
    )
    return StoredTitle(ident, source_id, title, first_seen, changed_at, looked_at, vanished_at)


def _episode(row: tuple[Any, ...]) -> StoredEpisode:
    ident, series_id, source_id = row[:3]
    headers, details, first_seen, changed_at, vanished_at = row[12:]
    told = [*row[3:12], json.loads(headers), json.loads(details)]
    return StoredEpisode(ident, series_id, source_id, Episode(*told), first_seen, changed_at, vanished_at)
