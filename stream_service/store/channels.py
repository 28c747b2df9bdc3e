"""Channels: permanent ids, the streams that belong to them, and what was last seen of them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from servicekit.clock import Clock
from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.model import LineupChannel, LineupStream, StreamAddress, StreamKeys

BATCH = 2_000


@dataclass(frozen=True, slots=True)
class ChannelStream:
    """A stream of a channel, as the API shows it."""

    id: int
    source_id: int
    source: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel that is there, with its number in a lineup."""

    id: str
    number: str
    name: str
    tvg_id: str
    group: str
    logo: str


class Channels:
    """Everything about channels that is not of one lineup."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def streams(self) -> Iterator[LineupStream]:
        """Every stream of every enabled source's visible list, sources by id, entries in the order of their lists.

        Read a page at a time, so that no reader stands in the way of the log's checkpoint.
        """
        query = (
            "SELECT e.stream_id, e.source_id, e.url, e.headers, s.private, t.channel_id, e.tvg_id, e.name, "
            "e.channel_group, e.logo, e.number, e.attributes, s.user_agent, s.headers, s.connection_limit, s.timeouts, "
            "e.position "
            "FROM sources AS s JOIN entries AS e ON e.source_id = s.id AND e.generation = s.generation "
            "JOIN streams AS t ON t.id = e.stream_id "
            "WHERE s.enabled = 1 AND s.deleted = 0 AND s.id = ? AND e.position > ? ORDER BY e.position LIMIT ?"
        )
        for source_id in self._enabled_sources():
            last = -1
            while rows := self._rows(query, source_id, last, BATCH):
                yield from (_stream(row) for row in rows)
                last = rows[-1][-1]

    def xtream_ids(self) -> dict[str, int]:
        """The permanent whole number of every channel there ever was."""
        return dict(self._rows("SELECT id, xtream_id FROM channels"))

    def taken_ids(self) -> set[str]:
        """Every id that was ever given, casefolded."""
        return {row[0] for row in self._rows("SELECT folded FROM channels")}

    def orphans(self) -> list[tuple[str, StreamKeys]]:
        """Channels that no stream of any source belongs to any more, with what was last seen of them."""
        query = (
            "SELECT id, tvg_id, name, channel_group FROM channels WHERE NOT EXISTS (SELECT 1 FROM streams AS t "
            "JOIN sources AS s ON s.id = t.source_id WHERE t.channel_id = channels.id AND s.deleted = 0) "
            "ORDER BY created_at, id"
        )
        return [(row[0], StreamKeys(0, "", row[1], row[2], row[3], "")) for row in self._rows(query)]

    def link(self, links: Iterable[tuple[int, str]]) -> None:
        """Let streams belong to channels (stream id, channel id), making channels that are not there yet."""
        connection = self._connections.get()
        now = self._clock.now_s()
        rest = iter(links)
        while some := list(islice(rest, BATCH)):
            with writing(connection):
                connection.executemany(
                    "INSERT INTO channels (id, folded, created_at, xtream_id) "
                    "VALUES (?, ?, ?, (SELECT coalesce(max(xtream_id), 0) + 1 FROM channels)) ON CONFLICT DO NOTHING",
                    [(channel_id, channel_id.casefold(), now) for _, channel_id in some],
                )
                connection.executemany(
                    "UPDATE streams SET channel_id = ? WHERE id = ?",
                    [(channel_id, stream) for stream, channel_id in some],
                )

    def show(self, channels: Sequence[LineupChannel]) -> None:
        """Note which channels are there now and what they are called. Rows that say so already are left alone."""
        known = {row[0]: tuple(row[1:]) for row in self._rows(
            "SELECT id, present, tvg_id, name, channel_group, logo FROM channels")}  # fmt: skip
        wanted = {c.id: (1, c.tvg_id, c.name, c.group, c.logo) for c in channels}
        changed = [(*texts, ident) for ident, texts in wanted.items() if known.get(ident) != texts]
        gone = [ident for ident, row in known.items() if row[0] and ident not in wanted]
        self._in_batches(
            "UPDATE channels SET present = ?, tvg_id = ?, name = ?, channel_group = ?, logo = ? WHERE id = ?", changed
        )
        self._in_batches("UPDATE channels SET present = 0 WHERE id = ?", [(ident,) for ident in gone])

    def page(self, *, limit: int, after: str, search: str = "") -> list[ChannelRow]:
        """Channels that are there, by id, from behind `after`; `search` is looked for in the names."""
        query = (
            "SELECT c.id, coalesce(l.number, ''), c.name, c.tvg_id, c.channel_group, c.logo FROM channels AS c "
            "LEFT JOIN lineup_channels AS l ON l.lineup = 'default' AND l.channel_id = c.id "
            "WHERE c.present = 1 AND c.id > ? AND instr(lower(c.name), lower(?)) > 0 ORDER BY c.id LIMIT ?"
        )
        return [ChannelRow(*row) for row in self._rows(query, after, search, limit)]

    def get(self, channel_id: str) -> tuple[ChannelRow, list[ChannelStream]]:
        """One channel, there or not, and its streams; raises `NotFound`."""
        query = (
            "SELECT c.id, coalesce(l.number, ''), c.name, c.tvg_id, c.channel_group, c.logo FROM channels AS c "
            "LEFT JOIN lineup_channels AS l ON l.lineup = 'default' AND l.channel_id = c.id WHERE c.folded = ?"
        )
        rows = self._rows(query, channel_id.casefold())
        if not rows:
            raise NotFound(f"there is no channel {channel_id!r}")
        channel = ChannelRow(*rows[0])
        query = (
            "SELECT t.id, s.id, s.name, e.name, e.url FROM streams AS t JOIN sources AS s ON s.id = t.source_id "
            "JOIN entries AS e ON e.stream_id = t.id AND e.source_id = s.id AND e.generation = s.generation "
            "WHERE t.channel_id = ? AND s.deleted = 0 AND s.enabled = 1 ORDER BY s.id, e.position"
        )
        return channel, [ChannelStream(*row) for row in self._rows(query, channel.id)]

    def count(self) -> int:
        """How many channels are there."""
        return int(self._rows("SELECT count(*) FROM channels WHERE present = 1")[0][0])

    def _enabled_sources(self) -> list[int]:
        return [row[0] for row in self._rows("SELECT id FROM sources WHERE enabled = 1 AND deleted = 0 ORDER BY id")]

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))

    def _in_batches(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        write_batches(self._connections, statement, rows)


def write_batches(connections: Connections, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """One statement for many rows, in transactions too short for anyone to wait on."""
    connection = connections.get()
    for start in range(0, len(rows), BATCH):
        with writing(connection):
            connection.executemany(statement, rows[start : start + BATCH])


def _stream(row: tuple[Any, ...]) -> LineupStream:
    ident, source_id, url, headers, private, channel_id, tvg_id, name, group, logo, number, attributes = row[:12]
    return LineupStream(
        stream=StreamAddress(
            id=ident,
            source_id=source_id,
            url=url,
            headers=_headers(row[12], row[13], headers),
            private_ok=bool(private),
            connection_limit=row[14],
            timeouts=json.loads(row[15]) if row[15] != "{}" else {},
        ),
        channel_id=channel_id,
        tvg_id=tvg_id,
        name=name,
        group=group,
        logo=logo,
        wanted_number=number,
        attributes=json.loads(attributes) if attributes != "{}" else {},
    )


def _headers(user_agent: str | None, of_source: str, of_entry: str) -> Mapping[str, str]:
    """What is sent to the provider: the source's headers, then what its list says of this one stream."""
    if not user_agent and of_source == "{}" and of_entry == "{}":
        return {}
    said: dict[str, str] = {"User-Agent": user_agent} if user_agent else {}
    return {**said, **json.loads(of_source), **json.loads(of_entry)}
