"""Logical channels and the providers' channels that are mapped to them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apsw

from epg_service.domain.entities import Channel, Mapped
from epg_service.domain.joining import KnownChannel, join
from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable

_CHANNEL = "c.id, c.name, c.display_name, c.icon_url"
_MAPPED = "m.id, m.provider_id, m.provider_channel_id, m.channel_id, m.how, m.longest_s"
# A channel is seen while a provider that is not deleted declares or uses it.
_SEEN = (
    "EXISTS (SELECT 1 FROM channel_mappings m JOIN providers p ON p.id = m.provider_id "
    "WHERE m.channel_id = c.id AND p.deleted = 0)"
)


class Channels:
    """Reads channels and mappings."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def all(self, *, after: int = 0, limit: int = -1) -> list[Channel]:
        """Channels by id, from the one after `after` on."""
        query = f"SELECT {_CHANNEL} FROM channels c WHERE c.id > ? AND {_SEEN} ORDER BY c.id LIMIT ?"
        with busy_as_unavailable():
            return [_channel(row) for row in self._connections.get().execute(query, (after, limit))]

    def count(self) -> int:
        """How many channels there are."""
        with busy_as_unavailable():
            return _number(self._connections.get(), f"SELECT count(*) FROM channels c WHERE {_SEEN}")

    def get(self, channel_id: int) -> Channel:
        """One channel; raises `NotFound`."""
        query = f"SELECT {_CHANNEL} FROM channels c WHERE c.id = ? AND {_SEEN}"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (channel_id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no channel {channel_id}")
        return _channel(row)

    def mappings(self, channel_id: int, *, with_element: bool = False) -> list[Mapped]:
        """The mappings of a channel, the best provider's first (priority, then age)."""
        element = ", m.element" if with_element else ""
        query = (
            f"SELECT {_MAPPED}, 60 * (m.shift_minutes + c.shift_minutes){element} FROM channel_mappings m "
            "JOIN providers p ON p.id = m.provider_id JOIN channels c ON c.id = m.channel_id "
            "WHERE m.channel_id = ? AND p.deleted = 0 ORDER BY p.priority DESC, p.id, m.id"
        )
        with busy_as_unavailable():
            return [Mapped(*_values(row)) for row in self._connections.get().execute(query, (channel_id,))]

    def of_provider(self, provider_id: int) -> dict[str, Mapped]:
        """The mappings of a provider by the id that the provider gave its channel."""
        query = f"SELECT {_MAPPED} FROM channel_mappings m WHERE m.provider_id = ?"
        with busy_as_unavailable():
            found = [Mapped(*_values(row)) for row in self._connections.get().execute(query, (provider_id,))]
        return {mapped.provider_channel_id: mapped for mapped in found}


class ChannelBook:
    """Finds or makes the mapping of a provider's channel, inside the caller's transactions."""

    def __init__(self, connection: apsw.Connection, *, provider_id: int, provider_name: str, now_s: int) -> None:
        self._connection = connection
        self._provider_id = provider_id
        self._provider_name = provider_name
        self._now_s = now_s
        self._known: dict[str, KnownChannel] | None = None

    def mapping(self, xmltv_id: str, display_name: str | None, icon_url: str | None) -> Mapped:
        """The mapping of `xmltv_id`; made, with its channel when it joins none, if it is new."""
        query = f"SELECT {_MAPPED} FROM channel_mappings m WHERE provider_id = ? AND provider_channel_id = ?"
        row = self._connection.execute(query, (self._provider_id, xmltv_id)).fetchone()
        if row is not None:
            return Mapped(*_values(row))
        decision = join(xmltv_id, display_name or "", self._provider_name, self._channels())
        channel_id = decision.channel_id
        if channel_id is None:
            channel_id = self._make(decision.name, display_name or xmltv_id, icon_url)
        self._connection.execute(
            "INSERT INTO channel_mappings (provider_id, provider_channel_id, channel_id, created_at, how) "
            "VALUES (?, ?, ?, ?, ?)",
            (self._provider_id, xmltv_id, channel_id, self._now_s, decision.how),
        )
        made = self._connection.last_insert_rowid()
        return Mapped(made, self._provider_id, xmltv_id, channel_id, decision.how, 0)

    def describe(self, mapped: Mapped, display_name: str, icon_url: str | None, element: bytes) -> None:
        """Takes over what the provider says of its channel; the channel itself follows its oldest mapping."""
        self._connection.execute(
            "UPDATE channel_mappings SET element = ? WHERE id = ? AND element IS NOT ?", (element, mapped.id, element)
        )
        self._connection.execute(
            "UPDATE channels SET display_name = ?, icon_url = ? WHERE id = ? "
            "AND (display_name, icon_url) IS NOT (?, ?) "
            "AND (SELECT min(id) FROM channel_mappings WHERE channel_id = channels.id) = ?",
            (display_name, icon_url, mapped.channel_id, display_name, icon_url, mapped.id),
        )

    def _make(self, name: str, display_name: str, icon_url: str | None) -> int:
        self._connection.execute(
            "INSERT INTO channels (name, display_name, icon_url, created_at) VALUES (?, ?, ?, ?)",
            (name, display_name, icon_url, self._now_s),
        )
        made = self._connection.last_insert_rowid()
        self._channels()[name.casefold()] = KnownChannel(made, name, display_name)
        return made

    def _channels(self) -> dict[str, KnownChannel]:
        if self._known is None:
            rows = self._connection.execute("SELECT id, name, display_name FROM channels ORDER BY id DESC")
            self._known = {str(row[1]).casefold(): KnownChannel(*_values(row)) for row in rows}
        return self._known


def _channel(row: Sequence[Any]) -> Channel:
    return Channel(*row)


def _values(row: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(row)


def _number(connection: apsw.Connection, query: str, values: Mapping[str, int] | Sequence[int] = ()) -> int:
    row: Any = connection.execute(query, values).fetchone()
    return int(row[0] or 0)
