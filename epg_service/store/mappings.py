"""What people decide of channels: which provider's channel belongs where, what a channel is called, what is hidden.

Each decision is one short transaction that counts as a change to be published (`guide_changes`). Programmes carry
their channel's number for readers of the table; they follow a mapping that moved in small steps (`follow`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import apsw

from epg_service.domain.days import ORDINAL_BITS, START_BITS
from epg_service.domain.entities import Channel, ProviderChannel
from epg_service.domain.joining import free_name
from epg_service.store.channels import Channels
from servicekit.clock import Clock
from servicekit.errors import Invalid, NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, typed, writing

_KEY_BITS = START_BITS + ORDINAL_BITS
STEP_ROWS = 5_000
_COLUMNS = (
    "m.id, m.provider_id, p.name, m.provider_channel_id, m.display_name, m.channel_id, c.name, m.how, m.shift_minutes"
)
_FROM = (
    "channel_mappings m JOIN providers p ON p.id = m.provider_id AND p.deleted = 0 "
    "JOIN channels c ON c.id = m.channel_id"
)
_OWN = {
    "display_name": "own_display_name",
    "icon_url": "own_icon_url",
    "hidden": "hidden",
    "shift_minutes": "shift_minutes",
}


class Mappings:
    """Reads and changes which provider's channel belongs to which logical channel."""

    def __init__(self, connections: Connections, *, channels: Channels, clock: Clock) -> None:
        self._connections = connections
        self._channels = channels
        self._clock = clock

    # ---- reading -----------------------------------------------------------------------------------------------------

    def all(self, *, provider_id: int | None = None, channel_id: int | None = None) -> list[ProviderChannel]:
        """The mappings by id, all or those of a provider, of a channel."""
        query = (
            f"SELECT {_COLUMNS} FROM {_FROM} WHERE (?1 IS NULL OR m.provider_id = ?1) "
            "AND (?2 IS NULL OR m.channel_id = ?2) ORDER BY m.id"
        )
        with busy_as_unavailable():
            return [_mapping(row) for row in self._connections.get().execute(query, (provider_id, channel_id))]

    def get(self, mapping_id: int) -> ProviderChannel:
        """One mapping; raises `NotFound`."""
        query = f"SELECT {_COLUMNS} FROM {_FROM} WHERE m.id = ?"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (mapping_id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no mapping {mapping_id}")
        return _mapping(row)

    # ---- deciding ----------------------------------------------------------------------------------------------------

    def change_channel(self, channel_id: int, values: Mapping[str, object]) -> Channel:
        """Sets `display_name`, `icon_url` (None: as the provider says), `hidden`, `shift_minutes` of a channel."""
        connection = self._connections.get()
        with writing(connection):
            self._channels.get(channel_id)
            if values:
                sets = ", ".join(f"{_OWN[name]} = ?" for name in values)
                kept = [int(value) if isinstance(value, bool) else value for value in values.values()]
                connection.execute(f"UPDATE channels SET {sets} WHERE id = ?", (*typed(kept), channel_id))
                _changed(connection)
            return self._channels.get(channel_id)

    def put(
        self, provider_id: int, provider_channel_id: str, channel_id: int, *, shift_minutes: int | None = None
    ) -> ProviderChannel:
        """Maps a provider's channel to a logical channel; `shift_minutes` is added to its times alone.

        Raises `NotFound` when the provider never had such a channel, or there is no such logical channel.
        """
        connection = self._connections.get()
        with writing(connection):
            self._channels.get(channel_id)
            mapping = self._of(provider_id, provider_channel_id)
            if mapping.channel_id != channel_id:
                _move(connection, [mapping], channel_id, "by hand: mapped")
            if shift_minutes is not None:
                connection.execute(
                    "UPDATE channel_mappings SET shift_minutes = ? WHERE id = ?", (shift_minutes, mapping.id)
                )
            _changed(connection)
            return self.get(mapping.id)

    def merge(self, channel_id: int, channel_ids: Iterable[int]) -> Channel:
        """Everything of the other channels belongs to this one from now on; the others are gone.

        Pins and matches follow. Raises `NotFound`, and `Invalid` when a channel is to be merged with itself.
        """
        others = list(dict.fromkeys(channel_ids))
        if channel_id in others:
            raise Invalid("channel_ids: a channel cannot be merged with itself")
        connection = self._connections.get()
        with writing(connection):
            self._channels.get(channel_id)
            moved = [one for other in others for one in self.all(channel_id=self._channels.get(other).id)]
            _move(connection, moved, channel_id, "by hand: merged")
            _changed(connection)
            return self._channels.get(channel_id)

    def split(self, channel_id: int, mapping_ids: Sequence[int]) -> Channel:
        """Makes a channel of its own of some of a channel's mappings.

        Raises `NotFound`, and `Invalid` unless at least one mapping goes and one stays.
        """
        going = list(dict.fromkeys(mapping_ids))
        connection = self._connections.get()
        with writing(connection):
            mine = {one.id: one for one in self.all(channel_id=self._channels.get(channel_id).id)}
            if unknown := [one for one in going if one not in mine]:
                raise NotFound(f"channel {channel_id} has no mapping {unknown[0]}")
            if len(going) in (0, len(mine)):
                raise Invalid("mapping_ids: at least one mapping must go and one must stay")
            made = self._make_of(connection, mine[going[0]])
            _move(connection, [mine[one] for one in going], made, "by hand: split")
            _changed(connection)
            return self._channels.get(made)

    def _make_of(self, connection: apsw.Connection, first: ProviderChannel) -> int:
        """A new channel, called as the provider calls its channel, by its id when that is free."""
        names = {str(row[0]).casefold() for row in typed(connection.execute("SELECT name FROM channels"))}
        taken = first.provider_channel_id.casefold() in names
        wanted = f"{first.provider_channel_id}@{first.provider}" if taken else first.provider_channel_id
        connection.execute(
            "INSERT INTO channels (name, display_name, icon_url, created_at) "
            "SELECT ?, coalesce(display_name, provider_channel_id), icon_url, ? FROM channel_mappings WHERE id = ?",
            (free_name(wanted, names), self._clock.now_s(), first.id),
        )
        return connection.last_insert_rowid()

    def _of(self, provider_id: int, provider_channel_id: str) -> ProviderChannel:
        query = f"SELECT {_COLUMNS} FROM {_FROM} WHERE m.provider_id = ? AND m.provider_channel_id = ?"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (provider_id, provider_channel_id)).fetchone()
        if row is None:
            raise NotFound(
                f"provider {provider_id} never had a channel {provider_channel_id!r}; "
                f"GET /api/v1/mappings?provider_id={provider_id} shows those it has"
            )
        return _mapping(row)

    # ---- following ---------------------------------------------------------------------------------------------------

    def waiting(self) -> int | None:
        """The number of the last decision when published guides do not show it yet, else None."""
        query = "SELECT asked FROM guide_changes WHERE asked <> published"
        with busy_as_unavailable():
            row: Any = self._connections.get().execute(query).fetchone()
        return None if row is None else int(row[0])

    def done(self, asked: int) -> None:
        """Guides that show every decision up to `asked` are published."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE guide_changes SET published = ?", (asked,))

    def follow(self) -> Iterator[int]:
        """Lets programmes follow mappings that moved, some thousand a transaction; yields the rows of each step."""
        connection = self._connections.get()
        while True:
            with busy_as_unavailable():
                row: Any = connection.execute(
                    "SELECT id, channel_id FROM channel_mappings WHERE moving = 1 LIMIT 1"
                ).fetchone()
            if row is None:
                return
            yield from _follow(connection, *row)


def _follow(connection: apsw.Connection, mapping_id: int, channel_id: int) -> Iterator[int]:
    """Rewrites one mapping's rows in order of their key; a mapping that moves once more is found again."""
    low, high = mapping_id << _KEY_BITS, (mapping_id + 1) << _KEY_BITS
    while True:
        with writing(connection):
            step: Any = connection.execute(
                "SELECT max(id) FROM (SELECT id FROM programs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)",
                (low, high, STEP_ROWS),
            ).fetchone()
            if step[0] is None:
                connection.execute(
                    "UPDATE channel_mappings SET moving = 0 WHERE id = ? AND channel_id = ?", (mapping_id, channel_id)
                )
                return
            connection.execute(
                "UPDATE programs SET channel_id = ?1 WHERE id BETWEEN ?2 AND ?3 AND channel_id <> ?1",
                (channel_id, low, step[0]),
            )
            changed = connection.changes()
        low = step[0] + 1
        yield changed


def _move(connection: apsw.Connection, moved: Sequence[ProviderChannel], channel_id: int, how: str) -> None:
    """Moves mappings to a channel; a channel left without any goes, its pins and matches follow."""
    for one in moved:
        connection.execute(
            "UPDATE channel_mappings SET channel_id = ?1, how = ?2, moving = 1, "
            "place = 1 + (SELECT coalesce(max(place), 0) FROM channel_mappings WHERE channel_id = ?1) WHERE id = ?3",
            (channel_id, f"{how}, from {one.channel!r}", one.id),
        )
    for left in {one.channel_id for one in moved}:
        if connection.execute("SELECT 1 FROM channel_mappings WHERE channel_id = ?", (left,)).fetchone() is None:
            connection.execute(
                "UPDATE lineup_pins SET channel_id = c.id, channel = c.name FROM channels c "
                "WHERE c.id = ? AND lineup_pins.channel_id = ?",
                (channel_id, left),
            )
            connection.execute("UPDATE lineup_channels SET channel_id = ? WHERE channel_id = ?", (channel_id, left))
            connection.execute("DELETE FROM channels WHERE id = ?", (left,))


def _changed(connection: apsw.Connection) -> None:
    connection.execute("UPDATE guide_changes SET asked = asked + 1")


def _mapping(row: Sequence[Any]) -> ProviderChannel:
    return ProviderChannel(*row)
