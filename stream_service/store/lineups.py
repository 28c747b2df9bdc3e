"""Lineups: what stands in each, under which number, and what was last published of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servicekit.clock import Clock
from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.model import RELAY, LineupChannel
from stream_service.domain.numbering import number_key
from stream_service.store.channels import ChannelRow, write_batches


@dataclass(frozen=True, slots=True)
class Lineup:
    """A named selection of channels. `digest` is that of what was last published, '' before."""

    name: str
    created_at: int
    built_at: int | None
    digest: str
    channels: int
    delivery: str = RELAY


class Lineups:
    """All lineups and their channels."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def all(self) -> list[Lineup]:
        """Every lineup by name."""
        query = "SELECT name, created_at, built_at, digest, channels, delivery FROM lineups ORDER BY name"
        return [Lineup(*row) for row in self._rows(query)]

    def get(self, name: str) -> Lineup:
        """One lineup; raises `NotFound`."""
        for lineup in self.all():
            if lineup.name == name:
                return lineup
        raise NotFound(f"there is no lineup {name!r}")

    def update(self, name: str, *, delivery: str) -> Lineup:
        """Change how its channels are delivered; it is built again. Raises `NotFound`."""
        if self.get(name).delivery != delivery:
            connection = self._connections.get()
            with writing(connection):
                connection.execute("UPDATE lineups SET delivery = ?, stale = 1 WHERE name = ?", (delivery, name))
        return self.get(name)

    def stale(self) -> list[str]:
        """Lineups whose sources changed since they were built."""
        return [row[0] for row in self._rows("SELECT name FROM lineups WHERE stale = 1 ORDER BY name")]

    def mark(self, name: str | None, *, stale: bool) -> None:
        """Mark a lineup (None: all) as to be built again, or, before a build reads, as being up to date."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE lineups SET stale = ?1 WHERE ?2 IS NULL OR name = ?2", (int(stale), name))

    def numbers(self, name: str) -> dict[str, str]:
        """Every number that was ever given in a lineup, by channel."""
        return dict(self._rows("SELECT channel_id, number FROM lineup_channels WHERE lineup = ?", name))

    def add_numbers(self, name: str, numbers: Mapping[str, str]) -> None:
        """Give channels their numbers, for ever."""
        rows = [(name, channel_id, number, *number_key(number)) for channel_id, number in numbers.items()]
        write_batches(
            self._connections,
            "INSERT INTO lineup_channels (lineup, channel_id, number, major, minor) VALUES (?, ?, ?, ?, ?)",
            rows,
        )

    def show(self, name: str, channels: Sequence[LineupChannel], digest: str) -> None:
        """Note what was published. Rows that say so already are left alone."""
        query = "SELECT channel_id, present, name, channel_group, logo FROM lineup_channels WHERE lineup = ?"
        known = {row[0]: tuple(row[1:]) for row in self._rows(query, name)}
        wanted = {c.id: (1, c.name, c.group, c.logo) for c in channels}
        write_batches(
            self._connections,
            "UPDATE lineup_channels SET present = ?, name = ?, channel_group = ?, logo = ? "
            "WHERE lineup = ? AND channel_id = ?",
            [(*texts, name, ident) for ident, texts in wanted.items() if known.get(ident) != texts],
        )
        write_batches(
            self._connections,
            "UPDATE lineup_channels SET present = 0 WHERE lineup = ? AND channel_id = ?",
            [(name, ident) for ident, row in known.items() if row[0] and ident not in wanted],
        )
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE lineups SET built_at = ?, digest = ?, channels = ? WHERE name = ?",
                (self._clock.now_s(), digest, len(channels), name),
            )

    def page(self, name: str, *, limit: int, after: tuple[int, int, str]) -> list[ChannelRow]:
        """Channels of a lineup by number, from behind `after` (major, minor, id)."""
        query = (
            "SELECT l.channel_id, l.number, l.name, c.tvg_id, l.channel_group, l.logo FROM lineup_channels AS l "
            "JOIN channels AS c ON c.id = l.channel_id WHERE l.lineup = ? AND l.present = 1 "
            "AND (l.major, l.minor, l.channel_id) > (?, ?, ?) ORDER BY l.major, l.minor, l.channel_id LIMIT ?"
        )
        return [ChannelRow(*row) for row in self._rows(query, name, *after, limit)]

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))
