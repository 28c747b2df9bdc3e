"""Streams of sources for browsing: searched, filtered, sorted, a page at a time. Nothing here is for building."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable
from stream_service.domain.model import StreamAddress

State = Literal["present", "vanished"]
Sort = Literal["position", "name", "group", "first_seen"]
_SORTS: Mapping[str, Mapping[str, str]] = {
    "present": {"position": "e.position", "name": "lower(e.name)", "group": "lower(e.channel_group)",
                "first_seen": "-t.first_seen"},
    "vanished": {"position": "t.id", "name": "lower(t.name)", "group": "lower(t.channel_group)",
                 "first_seen": "-t.first_seen"},
}  # fmt: skip
_PRESENT = (
    "t.id, s.id, s.name, e.name, e.channel_group, e.tvg_id, e.tvg_name, e.number, e.logo, e.url, e.provider_id, "
    "t.channel_id, t.first_seen, NULL, e.attributes",
    "sources AS s JOIN entries AS e ON e.source_id = s.id AND e.generation = s.generation "
    "JOIN streams AS t ON t.id = e.stream_id",
    "e",
)
_VANISHED = (
    "t.id, s.id, s.name, t.name, t.channel_group, t.tvg_id, '', '', '', t.url, t.provider_id, t.channel_id, "
    "t.first_seen, t.vanished_at, '{}'",
    "streams AS t JOIN sources AS s ON s.id = t.source_id AND t.vanished_at IS NOT NULL",
    "t",
)


@dataclass(frozen=True, slots=True)
class ListedStream:
    """A stream as its source lists it, or listed it last."""

    id: int
    source_id: int
    source: str
    name: str
    group: str
    tvg_id: str
    tvg_name: str
    number: str
    logo: str
    url: str
    provider_id: str
    channel_id: str | None
    first_seen: int
    vanished_at: int | None
    attributes: Mapping[str, str]

    @property
    def kind(self) -> str:
        """`live` or `radio`."""
        return "radio" if self.attributes.get("radio", "").lower() in ("1", "true", "yes") else "live"


class Streams:
    """Streams of sources that are not deleted, enabled or not."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def page(
        self,
        *,
        limit: int,
        source_id: int | None = None,
        search: str = "",
        group: str | None = None,
        radio: bool | None = None,
        state: State = "present",
        sort: Sort = "position",
        after: tuple[Any, int] | None = None,
    ) -> tuple[list[ListedStream], tuple[Any, int] | None]:
        """At most `limit` streams from behind `after`, and the place of the last one when there are more.

        `search` is looked for in name, tvg-id and group, case forgiven.
        """
        columns, tables, e = _PRESENT if state == "present" else _VANISHED
        key = _SORTS[state][sort]
        if source_id is None and sort == "position":
            key = "s.id * 1000000000 + " + key
        where = ["s.deleted = 0"]
        values: list[Any] = []
        if source_id is not None:
            where.append("s.id = ?")
            values.append(source_id)
        if search:
            where.append(f"instr(lower({e}.name || ' ' || {e}.tvg_id || ' ' || {e}.channel_group), lower(?)) > 0")
            values.append(search)
        if group is not None:
            where.append(f"{e}.channel_group = ?")
            values.append(group)
        if radio is not None and state == "present":
            where.append(f"(instr(e.attributes, '\"radio\"') > 0) = {int(radio)}")
        if after is not None:
            where.append(f"({key}, t.id) > (?, ?)")
            values.extend(after)
        query = (
            f"SELECT {columns}, {key} FROM {tables} WHERE {' AND '.join(where)} ORDER BY {key}, t.id LIMIT {limit + 1}"
        )
        rows = self._rows(query, *values)
        more = (rows[limit - 1][-1], rows[limit - 1][0]) if len(rows) > limit else None
        return [_listed(row) for row in rows[:limit]], more

    def groups(self, source_id: int) -> list[tuple[str, int]]:
        """The groups of a source's visible list with how many streams each has, by name."""
        query = (
            "SELECT e.channel_group, count(*) FROM sources AS s JOIN entries AS e ON e.source_id = s.id "
            "AND e.generation = s.generation WHERE s.id = ? AND s.deleted = 0 GROUP BY e.channel_group "
            "ORDER BY lower(e.channel_group), e.channel_group"
        )
        return [(row[0], row[1]) for row in self._rows(query, source_id)]

    def get(self, source_id: int, stream_id: int) -> ListedStream:
        """One stream, listed or vanished; raises `NotFound`."""
        for columns, tables, _ in (_PRESENT, _VANISHED):
            query = f"SELECT {columns}, 0 FROM {tables} WHERE s.id = ? AND t.id = ? AND s.deleted = 0"
            if rows := self._rows(query, source_id, stream_id):
                return _listed(rows[0])
        raise NotFound(f"source {source_id} has no stream {stream_id}")

    def address(self, source_id: int, stream_id: int) -> StreamAddress:
        """Where a stream that is listed is had; raises `NotFound`."""
        query = (
            "SELECT e.url, e.headers, s.private, s.user_agent, s.headers, "
            "coalesce(s.connection_limit, s.account_connections), s.timeouts FROM sources AS s JOIN entries AS e "
            "ON e.source_id = s.id AND e.generation = s.generation WHERE s.id = ? AND e.stream_id = ? AND s.deleted = 0"
        )
        rows = self._rows(query, source_id, stream_id)
        if not rows:
            raise NotFound(f"source {source_id} lists no stream {stream_id} now")
        url, of_entry, private, agent, of_source, limit, timeouts = rows[0]
        said: dict[str, str] = {"User-Agent": agent} if agent else {}
        return StreamAddress(
            id=stream_id,
            source_id=source_id,
            url=url,
            headers={**said, **json.loads(of_source), **json.loads(of_entry)},
            private_ok=bool(private),
            connection_limit=limit,
            timeouts=json.loads(timeouts),
        )

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))


def _listed(row: tuple[Any, ...]) -> ListedStream:
    told = [*row[:14], json.loads(row[14])]
    return ListedStream(*told)
