"""Channels: permanent ids, the streams that belong to them, and what was last seen of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import MappingProxyType
from typing import Any

import orjson

from servicekit.clock import Clock
from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.model import LineupStream, StreamAddress, StreamKeys
from stream_service.store.batches import write_batches

BATCH = 2_000
_CHANNEL = (
    "SELECT c.id, coalesce(l.shown, ''), coalesce(l.name, c.name), c.tvg_id, coalesce(l.channel_group, "
    "c.channel_group), coalesce(l.logo, c.logo) FROM channels AS c LEFT JOIN lineup_channels AS l "
    "ON l.lineup = 'default' AND l.channel_id = c.id AND l.present = 1"
)
_IN_A_LINEUP = (
    "EXISTS (SELECT 1 FROM lineups AS n CROSS JOIN lineup_channels AS m ON m.lineup = n.name AND m.channel_id = c.id "
    "WHERE n.deleted = 0 AND m.present = 1 AND m.hidden = 0)"
)
_NOTHING: Mapping[str, str] = MappingProxyType({})


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

    def streams(self, source_ids: Sequence[int] | None = None) -> Iterator[LineupStream]:
        """Every stream of the visible lists of sources: these in this order, else every enabled one by id.

        Entries come in the order of their lists; sources that are disabled or deleted have none. Read a page at a time,
        so that no reader stands in the way of the log's checkpoint.
        """
        query = (
            "SELECT e.stream_id, e.url, e.headers, t.channel_id, e.tvg_id, e.name, e.channel_group, e.logo, e.number, "
            "e.attributes, e.tvg_name, coalesce(c.xtream_id, 0), e.position FROM entries AS e "
            "JOIN streams AS t ON t.id = e.stream_id LEFT JOIN channels AS c ON c.id = t.channel_id "
            "WHERE e.source_id = ? AND e.generation = ? AND e.position > ? ORDER BY e.position LIMIT ?"
        )
        enabled = self._enabled_sources()
        for source_id in enabled if source_ids is None else source_ids:
            if source_id in enabled:
                source, last = enabled[source_id], -1
                while rows := self._rows(query, source_id, source.generation, last, BATCH):
                    yield from (source.stream(row) for row in rows)
                    last = rows[-1][-1]

    def xtream_ids(self, channel_ids: Iterable[str]) -> dict[str, int]:
        """The permanent whole numbers of channels."""
        asked = orjson.dumps(list(channel_ids)).decode()
        query = "SELECT c.id, c.xtream_id FROM json_each(?) AS asked CROSS JOIN channels AS c ON c.id = asked.value"
        return dict(self._rows(query, asked))

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

    def link(self, links: Iterable[tuple[LineupStream, str]]) -> dict[str, int]:
        """Let streams belong to channels, making channels that are not there yet.

        Returns the whole numbers of those that were made (others have one already: `xtream_ids`).

        Rows are written in the order of their keys: into pages that were just written.
        """
        connection = self._connections.get()
        now = self._clock.now_s()
        query = "SELECT coalesce(max(xtream_id), 0) + 1 FROM channels"
        first = int(self._rows(query)[0][0])
        numbered = [(ident, number, s) for number, (s, ident) in enumerate(links, first)]
        numbered.sort(key=itemgetter(0))
        for start in range(0, len(numbered), BATCH):
            some = numbered[start : start + BATCH]
            with writing(connection):
                connection.executemany(
                    "INSERT INTO channels (id, folded, created_at, xtream_id, tvg_id, name, channel_group) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    [(ident, ident.casefold(), now, number, s.tvg_id, s.name, s.group) for ident, number, s in some],
                )
                connection.executemany(
                    "UPDATE streams SET channel_id = ? WHERE id = ?", [(ident, s.stream.id) for ident, _, s in some]
                )
        return {ident: number for ident, number, _ in numbered}

    def remember_texts(self, source_ids: Sequence[int]) -> int:
        """Note what the entries of channels are called now, for the time when they are gone; returns how many changed.

        By these texts a channel is known again when its source was deleted and added anew.
        """
        query = (
            "SELECT e.tvg_id, e.name, e.channel_group, c.id FROM sources AS s "
            "JOIN entries AS e ON e.source_id = s.id AND e.generation = s.generation "
            "JOIN streams AS t ON t.id = e.stream_id JOIN channels AS c ON c.id = t.channel_id "
            "WHERE s.id = ? AND (c.tvg_id != e.tvg_id OR c.name != e.name OR c.channel_group != e.channel_group)"
        )
        changed = [row for source_id in source_ids for row in self._rows(query, source_id)]
        write_batches(
            self._connections, "UPDATE channels SET tvg_id = ?, name = ?, channel_group = ? WHERE id = ?", changed
        )
        return len(changed)

    def page(self, *, limit: int, after: str, search: str = "") -> list[ChannelRow]:
        """Channels that stand in a lineup, by id, from behind `after`; `search` is looked for in the names."""
        query = (
            f"{_CHANNEL} WHERE c.id > ? AND instr(lower(coalesce(l.name, c.name)), lower(?)) > 0 "
            f"AND {_IN_A_LINEUP} ORDER BY c.id LIMIT ?"
        )
        return [ChannelRow(*row) for row in self._rows(query, after, search, limit)]

    def get(self, channel_id: str) -> tuple[ChannelRow, list[ChannelStream]]:
        """One channel, there or not, and its own streams; raises `NotFound`."""
        rows = self._rows(f"{_CHANNEL} WHERE c.folded = ?", channel_id.casefold())
        if not rows:
            raise NotFound(f"there is no channel {channel_id!r}")
        channel = ChannelRow(*rows[0])
        query = (
            "SELECT t.id, s.id, s.name, e.name, e.url FROM streams AS t JOIN sources AS s ON s.id = t.source_id "
            "JOIN entries AS e ON e.stream_id = t.id AND e.source_id = s.id AND e.generation = s.generation "
            "WHERE (t.channel_id = ?1 OR t.channel_id IN (SELECT channel_id FROM lineup_aliases WHERE leads_to = ?1)) "
            "AND s.deleted = 0 AND s.enabled = 1 ORDER BY s.id, e.position"
        )
        return channel, [ChannelStream(*row) for row in self._rows(query, channel.id)]

    def count(self) -> int:
        """How many channels stand in a lineup."""
        return int(self._rows(f"SELECT count(*) FROM channels AS c WHERE {_IN_A_LINEUP}")[0][0])

    def _enabled_sources(self) -> dict[int, "_SourceOfStreams"]:
        query = (
            "SELECT id, generation, private, user_agent, headers, coalesce(connection_limit, account_connections), "
            "timeouts FROM sources WHERE enabled = 1 AND deleted = 0 ORDER BY id"
        )
        return {row[0]: _SourceOfStreams(row) for row in self._rows(query)}

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))


class _SourceOfStreams:
    """What all streams of a source share."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.id, self.generation, private, user_agent, headers, self.limit, timeouts = row
        self.private = bool(private)
        self.headers: dict[str, str] = {"User-Agent": user_agent} if user_agent else {}
        self.headers |= orjson.loads(headers)
        self.timeouts: dict[str, float] = orjson.loads(timeouts)

    def stream(self, row: tuple[Any, ...]) -> LineupStream:
        """One entry. What is sent to the provider: the source's headers, then what its list says of this one stream."""
        ident, url, headers, channel_id, tvg_id, name, group, logo, number, attributes, tvg_name, xtream_id, _ = row
        own = self.headers if headers == "{}" else {**self.headers, **orjson.loads(headers)}
        return LineupStream(
            StreamAddress(ident, self.id, url, own, self.private, self.limit, self.timeouts),
            *(channel_id, tvg_id, name, group, logo, number),
            orjson.loads(attributes) if attributes != "{}" else _NOTHING,
            *(tvg_name, xtream_id),
        )
