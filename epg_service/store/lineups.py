"""Lineups as the stream service sent them, and what their channels were matched to."""

import json
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import apsw

from epg_service.domain.entities import Lineup, LineupChannel, LineupMatch, NearChannel
from servicekit.clock import Clock
from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, typed, writing

if TYPE_CHECKING:  # matching is heavy, and done by the keeper alone
    from epg_service.domain.matching import Match

_COLUMNS = "id, name, tvg_id, number, logo, channel_group, channel_id, method, score, shift_minutes"
_MATCHES = "SELECT id, channel_id, method, score, shift_minutes, runners_up FROM lineup_channels WHERE lineup = ?"
_LINEUP = "name, digest, received_at, matched_at, match_basis"


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
                "matched_at = NULL, match_basis = NULL, extras = excluded.extras",
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
        query = f"SELECT {_LINEUP} FROM lineups WHERE name = ?"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (name,)).fetchone()
        if row is None:
            raise NotFound(f"there is no lineup {name!r}")
        return _lineup(row)

    def extras(self, name: str) -> dict[str, Any]:
        """What was sent with a lineup beside its channels; raises `NotFound`."""
        with busy_as_unavailable():
            row = self._connections.get().execute("SELECT extras FROM lineups WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise NotFound(f"there is no lineup {name!r}")
        found: dict[str, Any] = json.loads(str(row[0]))
        return found

    def all(self) -> list[Lineup]:
        """Every lineup, without channels, by name."""
        query = f"SELECT {_LINEUP} FROM lineups ORDER BY name"
        with busy_as_unavailable():
            return [_lineup(row) for row in self._connections.get().execute(query)]

    def channels(self, name: str) -> list[LineupChannel]:
        """The channels of a lineup in its order."""
        query = f"SELECT {_COLUMNS} FROM lineup_channels WHERE lineup = ? ORDER BY position"
        with busy_as_unavailable():
            return [_channel(row) for row in self._connections.get().execute(query, (name,))]

    def channel(self, name: str, channel: str) -> LineupChannel:
        """One channel of a lineup; raises `NotFound`."""
        found = self.matches(name, only=channel)
        if not found:
            raise NotFound(f"lineup {name!r} has no channel {channel!r}")
        return found[0]

    def counts(self, name: str) -> dict[str | None, int]:
        """How many channels of a lineup were matched by each method; None: those without a match."""
        query = "SELECT method, count(*) FROM lineup_channels WHERE lineup = ? GROUP BY method ORDER BY method"
        with busy_as_unavailable():
            return dict(typed(self._connections.get().execute(query, (name,))))

    def has_channels(self, name: str) -> bool:
        """Whether the lineup is there with at least one channel."""
        query = "SELECT 1 FROM lineup_channels WHERE lineup = ? LIMIT 1"
        with busy_as_unavailable():
            return self._connections.get().execute(query, (name,)).fetchone() is not None

    # ---- matches -----------------------------------------------------------------------------------------------------

    def matched(self, name: str, digest: str, basis: str, matches: "Mapping[str, Match]") -> bool:
        """Notes the matches of a lineup and what they were decided from, unless another one was sent meanwhile.

        True when it was still the same lineup. Rows that say the same stay untouched.
        """
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE lineups SET matched_at = ?, match_basis = ? WHERE name = ? AND digest = ?",
                (self._clock.now_s(), basis, name, digest),
            )
            if not connection.changes():
                return False
            known = {row[0]: row[1:] for row in typed(connection.execute(_MATCHES, (name,)))}
            channels = {row[0] for row in typed(connection.execute("SELECT id FROM channels"))}
            wanted = {id_: _match_row(one, channels) for id_, one in matches.items()}
            connection.executemany(
                "UPDATE lineup_channels SET channel_id = ?, method = ?, score = ?, shift_minutes = ?, runners_up = ? "
                "WHERE lineup = ? AND id = ?",
                [(*row, name, id_) for id_, row in wanted.items() if known.get(id_) != row],
            )
        return True

    def pins(self, name: str) -> dict[str, int | None]:
        """What people decided for channels of a lineup: the guide channel, or None for no guide.

        A pin whose guide channel is gone waits until there is one of that name again.
        """
        query = (
            "SELECT p.id, coalesce(c.id, n.id) FROM lineup_pins p LEFT JOIN channels c ON c.id = p.channel_id "
            "LEFT JOIN channels n ON n.name = p.channel WHERE p.lineup = ? "
            "AND (p.channel_id IS NULL OR c.id IS NOT NULL OR n.id IS NOT NULL)"
        )
        with busy_as_unavailable():
            return dict(typed(self._connections.get().execute(query, (name,))))

    def pin(self, name: str, channel: str, guide_channel_id: int | None) -> None:
        """Decides a match for ever; raises `NotFound` for a lineup, channel or guide channel that is not there."""
        connection = self._connections.get()
        with writing(connection):
            self.channel(name, channel)
            guide_name = _guide_name(connection, guide_channel_id)
            if guide_channel_id is not None and guide_name is None:
                raise NotFound(f"there is no guide channel {guide_channel_id}")
            connection.execute(
                "INSERT INTO lineup_pins (lineup, id, channel_id, channel, created_at) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (lineup, id) DO UPDATE SET channel_id = excluded.channel_id, channel = excluded.channel",
                (name, channel, guide_channel_id, guide_name, self._clock.now_s()),
            )
            connection.execute(  # told at once; the keeper's matching comes to the same, with the runners-up
                "UPDATE lineup_channels SET channel_id = ?, method = 'pin', score = 100, shift_minutes = 0 "
                "WHERE lineup = ? AND id = ?",
                (guide_channel_id, name, channel),
            )
            _match_again(connection, name)

    def unpin(self, name: str, channel: str) -> None:
        """Leaves a match to the rules again; raises `NotFound` when it was not pinned."""
        self.get(name)
        connection = self._connections.get()
        with writing(connection):
            connection.execute("DELETE FROM lineup_pins WHERE lineup = ? AND id = ?", (name, channel))
            if not connection.changes():
                raise NotFound(f"channel {channel!r} of lineup {name!r} is not pinned")
            _match_again(connection, name)

    def matches(
        self, name: str, *, method: str | None = None, unmatched: bool = False, only: str | None = None
    ) -> list[LineupChannel]:
        """The channels of a lineup with their matches, in its order: all, those of a method, those without a guide."""
        self.get(name)
        query = (
            f"SELECT {_COLUMNS} FROM lineup_channels WHERE lineup = ?1 AND (?2 IS NULL OR method = ?2) "
            "AND (?3 = 0 OR channel_id IS NULL) AND (?4 IS NULL OR id = ?4) ORDER BY position"
        )
        with busy_as_unavailable():
            rows = self._connections.get().execute(query, (name, method, int(unmatched), only))
            return [_channel(row) for row in rows]

    def explained(self, name: str, channels: Sequence[LineupChannel]) -> list[LineupMatch]:
        """Some channels of a lineup with the names of their guide channels, pins and runners-up."""
        pins = self.pins(name)
        connection = self._connections.get()
        found = []
        with busy_as_unavailable():
            for one in channels:
                row: Any = connection.execute(
                    "SELECT runners_up FROM lineup_channels WHERE lineup = ? AND id = ?", (name, one.id)
                ).fetchone()
                near = [
                    NearChannel(channel_id, other, score)
                    for channel_id, score in (json.loads(row[0]) if row else ())
                    if (other := _guide_name(connection, channel_id)) is not None
                ]
                found.append(LineupMatch(one, _guide_name(connection, one.channel_id), one.id in pins, near))
        return found


def _match_again(connection: apsw.Connection, name: str) -> None:
    """The keeper matches and publishes a lineup that says so at its next look."""
    connection.execute("UPDATE lineups SET matched_at = NULL, match_basis = NULL WHERE name = ?", (name,))


def _guide_name(connection: apsw.Connection, channel_id: int | None) -> str | None:
    row: Any = connection.execute("SELECT name FROM channels WHERE id = ?", (channel_id,)).fetchone()
    return None if row is None else str(row[0])


def _match_row(one: "Match", channels: Container[int]) -> tuple[int | None, str | None, float | None, int, str]:
    """A match as a row; a guide channel that is gone by now counts as none."""
    near = json.dumps([[other.guide_channel_id, other.score] for other in one.runners_up])
    if one.method is None or (one.guide_channel_id is not None and one.guide_channel_id not in channels):
        return (None, None, None, 0, near)
    return (one.guide_channel_id, one.method, one.score, one.shift_minutes, near)


def _lineup(row: Sequence[Any]) -> Lineup:
    return Lineup(*row)


def _channel(row: Sequence[Any]) -> LineupChannel:
    return LineupChannel(*row)
