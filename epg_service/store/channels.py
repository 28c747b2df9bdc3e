"""Logical channels and the providers' channels that are mapped to them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apsw

from epg_service.domain.entities import Channel, Mapped
from epg_service.domain.joining import KnownChannel, join
from epg_service.domain.model import GuideChannel
from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, typed

_CHANNEL = (
    "c.id, c.name, coalesce(c.own_display_name, c.display_name), coalesce(c.own_icon_url, c.icon_url), "
    "c.hidden, c.shift_minutes"
)
_MAPPED = "m.id, m.provider_id, m.provider_channel_id, m.channel_id, m.how, m.longest_s"
# A channel is seen while a provider that is not deleted declares or uses it.
_SEEN = (
    "EXISTS (SELECT 1 FROM channel_mappings m JOIN providers p ON p.id = m.provider_id "
    "WHERE m.channel_id = c.id AND p.deleted = 0)"
)


PAGE = 500


class Channels:
    """Reads channels and mappings."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def all(self, *, after: int = 0, limit: int = -1, hidden: bool = False) -> list[Channel]:
        """Channels by id, from the one after `after` on: those that are shown, or the hidden ones."""
        query = f"SELECT {_CHANNEL} FROM channels c WHERE c.id > ? AND c.hidden = ? AND {_SEEN} ORDER BY c.id LIMIT ?"
        with busy_as_unavailable():
            return [_channel(row) for row in self._connections.get().execute(query, (after, int(hidden), limit))]

    def count(self) -> int:
        """How many channels are shown."""
        with busy_as_unavailable():
            return _number(self._connections.get(), f"SELECT count(*) FROM channels c WHERE c.hidden = 0 AND {_SEEN}")

    def get(self, channel_id: int) -> Channel:
        """One channel, hidden or not; raises `NotFound`."""
        query = f"SELECT {_CHANNEL} FROM channels c WHERE c.id = ? AND {_SEEN}"
        with busy_as_unavailable():
            row = self._connections.get().execute(query, (channel_id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no channel {channel_id}")
        return _channel(row)

    def mappings(self, channel_id: int) -> list[Mapped]:
        """The mappings of a channel, the best provider's first (priority, then age)."""
        query = (
            f"SELECT {_MAPPED}, 60 * (m.shift_minutes + c.shift_minutes) FROM channel_mappings m "
            "JOIN providers p ON p.id = m.provider_id JOIN channels c ON c.id = m.channel_id "
            "WHERE m.channel_id = ? AND p.deleted = 0 ORDER BY p.priority DESC, p.id, m.id"
        )
        with busy_as_unavailable():
            return [Mapped(*row) for row in typed(self._connections.get().execute(query, (channel_id,)))]

    def shared(self, provider_id: int, limit: int) -> list[int]:
        """The first channels of a provider that others have as well."""
        query = (
            "SELECT DISTINCT m.channel_id FROM channel_mappings m WHERE m.provider_id = ?1 AND EXISTS (SELECT 1 FROM "
            "channel_mappings o JOIN providers p ON p.id = o.provider_id WHERE o.channel_id = m.channel_id "
            "AND o.provider_id <> ?1 AND p.deleted = 0) ORDER BY m.channel_id LIMIT ?2"
        )
        with busy_as_unavailable():
            return [int(row[0]) for row in typed(self._connections.get().execute(query, (provider_id, limit)))]

    def of_provider(self, provider_id: int) -> dict[str, Mapped]:
        """The mappings of a provider by the id that the provider gave its channel."""
        query = f"SELECT {_MAPPED} FROM channel_mappings m WHERE m.provider_id = ?"
        with busy_as_unavailable():
            found = [Mapped(*row) for row in typed(self._connections.get().execute(query, (provider_id,)))]
        return {mapped.provider_channel_id: mapped for mapped in found}

    def for_matching(self) -> list[GuideChannel]:
        """Every channel that is shown with all ids and names its providers gave it, the best provider's first.

        Channels of better providers come first; the names are only those that stand in rows (see `elements_of_all`).
        """
        query = (
            "SELECT c.id, c.name, coalesce(c.own_display_name, c.display_name), m.provider_channel_id, m.display_name, "
            "c.display_name, m.provider_id FROM channels c JOIN channel_mappings m ON m.channel_id = c.id "
            "JOIN providers p ON p.id = m.provider_id WHERE p.deleted = 0 AND c.hidden = 0 "
            "ORDER BY p.priority DESC, p.id, m.id"
        )
        found: dict[int, tuple[str, str, list[str], list[str], list[int]]] = {}
        with busy_as_unavailable():
            rows: Any = self._connections.get().execute(query)
            for id_, name, shown, xmltv_id, given, first, provider_id in rows:
                _, _, ids, names, providers = found.setdefault(id_, (name, shown, [], [], []))
                ids.append(xmltv_id)
                providers.append(provider_id)
                names += [one for one in (given, first) if one]
        return [
            GuideChannel(id_, name, shown, tuple(dict.fromkeys(ids)), tuple(dict.fromkeys(names)), tuple(providers))
            for id_, (name, shown, ids, names, providers) in found.items()
        ]

    def source(self, channels: Sequence[int] | None = None) -> dict[str, str]:
        """What the file says of itself that the programmes of some channels (by default all that are shown) come from;
        nothing where several providers have any."""
        chosen = "" if channels is None else " AND c.id IN (SELECT value FROM json_each(?))"
        query = (
            "SELECT p.good_source FROM providers p WHERE p.deleted = 0 AND EXISTS (SELECT 1 FROM channel_mappings m "
            f"JOIN channels c ON c.id = m.channel_id WHERE m.provider_id = p.id AND c.hidden = 0{chosen} "
            "AND EXISTS (SELECT 1 FROM program_days d WHERE d.id BETWEEN m.id << 16 AND (m.id << 16) + 65535)) LIMIT 2"
        )
        with busy_as_unavailable():
            bound = () if channels is None else (json.dumps(list(channels)),)
            found = typed(self._connections.get().execute(query, bound))
        return json.loads(found[0][0]) if len(found) == 1 else {}

    def elements(self, channel_ids: Sequence[int]) -> Iterator[list[bytes]]:
        """Of each of some channels the <channel> elements of its providers, the best provider's first."""
        query = (
            "SELECT m.channel_id, m.element FROM channel_mappings m JOIN providers p ON p.id = m.provider_id "
            "WHERE m.channel_id IN (SELECT value FROM json_each(?)) AND p.deleted = 0 AND m.element IS NOT NULL "
            "ORDER BY p.priority DESC, p.id, m.id"
        )
        for at in range(0, len(channel_ids), PAGE):
            page = channel_ids[at : at + PAGE]
            found: dict[int, list[bytes]] = {one: [] for one in page}
            with busy_as_unavailable():
                for channel_id, element in typed(self._connections.get().execute(query, (json.dumps(page),))):
                    found[channel_id].append(element)
            yield from map(found.__getitem__, page)

    def elements_of_all(self) -> Iterator[tuple[int, bytes]]:
        """(channel, <channel> element) of every provider's channel that has one, by channel."""
        query = (
            "SELECT m.id, m.channel_id, m.element FROM channel_mappings m JOIN providers p ON p.id = m.provider_id "
            "WHERE p.deleted = 0 AND m.element IS NOT NULL AND m.id > ? ORDER BY m.id LIMIT ?"
        )
        last = 0
        with busy_as_unavailable():
            while page := typed(self._connections.get().execute(query, (last, PAGE))):
                last = page[-1][0]
                yield from ((channel_id, element) for _, channel_id, element in page)


class ChannelBook:
    """Finds or makes the mapping of a provider's channel, inside the caller's transactions."""

    def __init__(self, connection: apsw.Connection, *, provider_id: int, provider_name: str, now_s: int) -> None:
        self._connection = connection
        self._provider_id = provider_id
        self._provider_name = provider_name
        self._now_s = now_s
        self._known: dict[str, KnownChannel] = {}
        self._known_at = -1

    def mapping(self, xmltv_id: str, display_name: str | None, icon_url: str | None) -> Mapped:
        """The mapping of `xmltv_id`; made, with its channel when it joins none, if it is new."""
        query = f"SELECT {_MAPPED} FROM channel_mappings m WHERE provider_id = ? AND provider_channel_id = ?"
        row = self._connection.execute(query, (self._provider_id, xmltv_id)).fetchone()
        if row is not None:
            return Mapped(*typed(row))
        decision = join(xmltv_id, display_name or "", self._provider_name, self._channels())
        channel_id = decision.channel_id
        if channel_id is None:
            channel_id = self._make(decision.name, display_name or xmltv_id, icon_url)
        self._connection.execute(
            "INSERT INTO channel_mappings (provider_id, provider_channel_id, channel_id, created_at, how, "
            "display_name, icon_url) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._provider_id, xmltv_id, channel_id, self._now_s, decision.how, display_name, icon_url),
        )
        made = self._connection.last_insert_rowid()
        return Mapped(made, self._provider_id, xmltv_id, channel_id, decision.how, 0)

    def describe(self, mapped: Mapped, display_name: str, icon_url: str | None, element: bytes) -> None:
        """Takes over what the provider says of its channel; the channel itself follows its first mapping."""
        self._connection.execute(
            "UPDATE channel_mappings SET element = ?, display_name = ?, icon_url = ? WHERE id = ? "
            "AND (element, display_name, icon_url) IS NOT (?, ?, ?)",
            (element, display_name, icon_url, mapped.id, element, display_name, icon_url),
        )
        self._connection.execute(
            "UPDATE channels SET display_name = ?, icon_url = ? WHERE id = ? "
            "AND (display_name, icon_url) IS NOT (?, ?) "
            "AND (SELECT id FROM channel_mappings WHERE channel_id = channels.id ORDER BY place, id LIMIT 1) = ?",
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
        """What stands at this moment; read again when people decided something since: a merged channel is gone."""
        decided = _number(self._connection, "SELECT asked FROM guide_changes")
        if decided != self._known_at:
            # A channel goes by the ids of those that a person joined to it as well; its own name comes last and wins.
            rows = self._connection.execute(
                "SELECT c.id, m.provider_channel_id, c.display_name, 0 AS own FROM channel_mappings m "
                "JOIN channels c ON c.id = m.channel_id WHERE m.place > 0 "
                "UNION ALL SELECT id, name, display_name, 1 FROM channels ORDER BY own, 1 DESC"
            )
            self._known = {str(row[1]).casefold(): KnownChannel(*row[:3]) for row in typed(rows)}
            self._known_at = decided
        return self._known


def _channel(row: Sequence[Any]) -> Channel:
    id_, name, display_name, icon_url, hidden, shift_minutes = row
    return Channel(id_, name, display_name, icon_url or None, bool(hidden), shift_minutes)


def _number(connection: apsw.Connection, query: str, values: Mapping[str, int] | Sequence[int] = ()) -> int:
    row: Any = connection.execute(query, values).fetchone()
    return int(row[0] or 0)
