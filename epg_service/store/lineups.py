"""Lineups as the stream service sent them, and what their channels were matched to."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from epg_service.domain.entities import Lineup, LineupChannel
from servicekit.clock import Clock
from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing

_COLUMNS = "id, name, tvg_id, number, logo, channel_group, channel_id, method, score"


class Lineups:
    """Stores and hands out lineups."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def put(self, name: str, digest: str, channels: Sequence[LineupChannel], extras: Mapping[str, object]) -> None:
        """Replaces a lineup by what was sent; matching follows. The same digest again changes nothing."""
        connection = self._connections.get()
        with writing(connection):
            known = connection.execute("SELECT digest FROM lineups WHERE name = ?", (name,)).fetchone()
            if known is not None and known[0] == digest:
                return
            connection.execute(
                "INSERT INTO lineups (name, digest, received_at, extras) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, received_at = excluded.received_at, "
                "matched_at = NULL, extras = excluded.extras",
                (name, digest, self._clock.now_s(), json.dumps(dict(extras))),
            )
            connection.execute("DELETE FROM lineup_channels WHERE lineup = ?", (name,))
            connection.executemany(
                "INSERT INTO lineup_channels (lineup, position, id, name, tvg_id, number, logo, channel_group) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(name, at, c.id, c.name, c.tvg_id, c.number, c.logo, c.group) for at, c in enumerate(channels)],
            )

    def get(self, name: str) -> Lineup:
        """One lineup without its channels; raises `NotFound`."""
        query = "SELECT name, digest, received_at, matched_at FROM lineups WHERE name = ?"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (name,)).fetchone()
        if row is None:
            raise NotFound(f"there is no lineup {name!r}")
        return _lineup(row)

    def all(self) -> list[Lineup]:
        """Every lineup, without channels, by name."""
        query = "SELECT name, digest, received_at, matched_at FROM lineups ORDER BY name"
        with busy_as_unavailable():
            return [_lineup(row) for row in self._connections.get().execute(query)]

    def channels(self, name: str) -> list[LineupChannel]:
        """The channels of a lineup in its order."""
        query = f"SELECT {_COLUMNS} FROM lineup_channels WHERE lineup = ? ORDER BY position"
        with busy_as_unavailable():
            return [_channel(row) for row in self._connections.get().execute(query, (name,))]

    def has_channels(self, name: str) -> bool:
        """Whether the lineup is there with at least one channel."""
        query = "SELECT 1 FROM lineup_channels WHERE lineup = ? LIMIT 1"
        with busy_as_unavailable():
            return self._connections.get().execute(query, (name,)).fetchone() is not None

    def matched(
        self, name: str, digest: str, matches: Iterable[tuple[str, int | None, str | None, float | None]]
    ) -> None:
        """Notes (channel, guide channel, method, score) of a lineup, unless another one was sent meanwhile."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE lineups SET matched_at = ? WHERE name = ? AND digest = ?", (self._clock.now_s(), name, digest)
            )
            if connection.changes():
                connection.executemany(
                    "UPDATE lineup_channels SET channel_id = ?, method = ?, score = ? WHERE lineup = ? AND id = ?",
                    [(channel_id, method, score, name, id_) for id_, channel_id, method, score in matches],
                )


def _lineup(row: Sequence[Any]) -> Lineup:
    return Lineup(*row)


def _channel(row: Sequence[Any]) -> LineupChannel:
    return LineupChannel(*row)
