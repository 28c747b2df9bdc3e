"""Channels typed by hand, of sources of that type."""

import json
from collections.abc import Sequence
from typing import Any

from servicekit.errors import Invalid
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.typed import TypedChannel

_COLUMNS = "name, url, id, enabled, tvg_id, tvg_name, channel_group, number, logo, headers, attributes"


class ManualChannels:
    """The typed channels of each manual source, in their order."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def of(self, source_id: int) -> list[TypedChannel]:
        """All channels of a source."""
        query = f"SELECT {_COLUMNS} FROM manual_channels WHERE source_id = ? ORDER BY position, id"
        with busy_as_unavailable():
            return [_channel(row) for row in self._connections.get().execute(query, (source_id,))]

    def replace(self, source_id: int, channels: Sequence[TypedChannel]) -> list[TypedChannel]:
        """Let these be the source's channels, all or none: one transaction. Those with an `id` keep it.

        Raises `Invalid` for an id that is not one of this source.
        """
        connection = self._connections.get()
        with writing(connection):
            known = {row[0] for row in connection.execute(
                "SELECT id FROM manual_channels WHERE source_id = ?", (source_id,))}  # fmt: skip
            if strange := [one.id for one in channels if one.id and one.id not in known]:
                raise Invalid(
                    f"channels: {strange[0]} is no id of a channel of this source; leave it out for a new one"
                )
            connection.execute(
                "DELETE FROM manual_channels WHERE source_id = ? AND id NOT IN (SELECT value FROM json_each(?))",
                (source_id, json.dumps([one.id for one in channels if one.id])),
            )
            for position, one in enumerate(channels):
                self._put(source_id, position, one)
        return self.of(source_id)

    def purge(self, source_id: int) -> None:
        """Forget the channels of a source that was deleted."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("DELETE FROM manual_channels WHERE source_id = ?", (source_id,))

    def _put(self, source_id: int, position: int, one: TypedChannel) -> None:
        values = (
            *(one.name, one.url, int(one.enabled), one.tvg_id, one.tvg_name, one.group, one.number, one.logo),
            *(json.dumps(dict(one.headers)), json.dumps(dict(one.attributes), ensure_ascii=False)),
        )
        columns = [name for name in _COLUMNS.split(", ") if name != "id"]
        if one.id:
            sets = ", ".join(f"{name} = ?" for name in (*columns, "position"))
            self._connections.get().execute(
                f"UPDATE manual_channels SET {sets} WHERE id = ? AND source_id = ?",
                (*values, position, one.id, source_id),
            )
        else:
            names = ", ".join((*columns, "position", "source_id"))
            marks = ", ".join("?" * (len(columns) + 2))
            self._connections.get().execute(
                f"INSERT INTO manual_channels ({names}) VALUES ({marks})", (*values, position, source_id)
            )


def _channel(row: Sequence[Any]) -> TypedChannel:
    name, url, ident, enabled, tvg_id, tvg_name, group, number, logo, headers, attributes = row
    return TypedChannel(name, url, ident, bool(enabled), tvg_id, tvg_name, group, number, logo,
                        json.loads(headers), json.loads(attributes))  # fmt: skip
