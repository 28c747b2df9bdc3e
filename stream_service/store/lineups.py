"""Lineups: what people set of them, and what was last published of each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from servicekit.clock import Clock
from servicekit.errors import Conflict, NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.lineup import DEFAULT, LineupOptions
from stream_service.domain.model import RELAY

BATCH = 2_000
_COLUMNS = "name, created_at, updated_at, built_at, digest, channels, delivery, options, stale, renumber"
_OF_A_LINEUP = ("lineup_channels", "lineup_overrides", "lineup_aliases", "lineup_ranges")


@dataclass(frozen=True, slots=True)
class Lineup:
    """A named selection of channels.

    `digest` is that of what was last published, '' before. `renumber`: the next build gives all its numbers anew.
    """

    name: str
    created_at: int
    updated_at: int
    built_at: int | None
    digest: str
    channels: int
    delivery: str = RELAY
    options: LineupOptions = field(default_factory=LineupOptions)
    stale: bool = True
    renumber: bool = False


class Lineups:
    """All lineups."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def all(self) -> list[Lineup]:
        """Every lineup, the default one first, the others by name."""
        return self._select("WHERE deleted = 0 ORDER BY name != ?, name", DEFAULT)

    def get(self, name: str) -> Lineup:
        """One lineup; raises `NotFound`."""
        found = self._select("WHERE name = ? AND deleted = 0", name)
        if not found:
            raise NotFound(f"there is no lineup {name!r}")
        return found[0]

    def create(self, name: str, options: LineupOptions, *, delivery: str = RELAY) -> Lineup:
        """A new lineup, to be built. Raises `Conflict` where the name is taken, whatever the case of its letters."""
        connection, now = self._connections.get(), self._clock.now_s()
        self._purge(name)
        with writing(connection):
            taken = list(connection.execute("SELECT name FROM lineups WHERE name = ? COLLATE NOCASE", (name,)))
            if taken:
                raise Conflict(f"there is a lineup {taken[0][0]!r} already")
            connection.execute(
                "INSERT INTO lineups (name, created_at, updated_at, options, delivery) VALUES (?, ?, ?, ?, ?)",
                (name, now, now, _text(options), delivery),
            )
        return self.get(name)

    def change(
        self,
        name: str,
        change: Callable[[LineupOptions], LineupOptions] = lambda options: options,
        *,
        delivery: str | None = None,
        keep_numbers: bool = False,
    ) -> Lineup:
        """Change what is set of a lineup; it is built again where that makes a difference.

        Where the numbering is another one all numbers are given anew, unless they are to be kept. Raises `NotFound`.
        """
        connection = self._connections.get()
        with writing(connection):
            before = self.get(name)
            options, way = change(before.options), delivery or before.delivery
            if options != before.options or way != before.delivery:
                renumber = options.numbering != before.options.numbering and not keep_numbers
                connection.execute(
                    "UPDATE lineups SET options = ?, delivery = ?, updated_at = ?, stale = 1, renumber = renumber OR ? "
                    "WHERE name = ?",
                    (_text(options), way, self._clock.now_s(), int(renumber), name),
                )
            if name == DEFAULT and way != before.delivery:  # addresses of those that relay depend on it
                connection.execute("UPDATE lineups SET stale = 1 WHERE delivery = ? AND name != ?", (RELAY, DEFAULT))
        return self.get(name)

    def delete(self, name: str) -> None:
        """Forget a lineup, its numbers and all that was set in it; raises `Conflict` for the default one."""
        if name == DEFAULT:
            raise Conflict(f"the lineup {DEFAULT!r} is always there; switch its outputs off instead")
        self.get(name)
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE lineups SET deleted = 1 WHERE name = ?", (name,))
        self._purge(name)

    def purge(self) -> None:
        """Finish deletions that were cut off."""
        for row in self._rows("SELECT name FROM lineups WHERE deleted = 1"):
            self._purge(row[0])

    def _purge(self, name: str) -> None:
        """Delete the rows of a lineup that is hidden, in transactions too short for anyone to wait on."""
        if not self._rows("SELECT 1 FROM lineups WHERE name = ? AND deleted = 1", name):
            return
        connection = self._connections.get()
        for table in _OF_A_LINEUP:
            key = "channel_group, first" if table == "lineup_ranges" else "channel_id"
            changed = BATCH
            while changed == BATCH:
                with writing(connection):
                    connection.execute(
                        f"DELETE FROM {table} WHERE lineup = ?1 AND ({key}) IN "
                        f"(SELECT {key} FROM {table} WHERE lineup = ?1 LIMIT ?2)",
                        (name, BATCH),
                    )
                    changed = connection.changes()
        with writing(connection):
            connection.execute("DELETE FROM lineups WHERE name = ? AND deleted = 1", (name,))

    def stale(self) -> list[str]:
        """Lineups of which something changed since they were built."""
        return [row[0] for row in self._rows("SELECT name FROM lineups WHERE stale = 1 AND deleted = 0 ORDER BY name")]

    def mark(self, name: str | None, *, stale: bool) -> None:
        """Mark a lineup (None: all) as to be built again, or, before a build reads, as being up to date."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE lineups SET stale = ?1 WHERE ?2 IS NULL OR name = ?2", (int(stale), name))

    def built(self, name: str, *, digest: str, channels: int) -> None:
        """Note what was published."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE lineups SET built_at = ?, digest = ?, channels = ? WHERE name = ?",
                (self._clock.now_s(), digest, channels, name),
            )

    def renumbered(self, name: str) -> None:
        """Note that its numbers were given anew."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE lineups SET renumber = 0 WHERE name = ?", (name,))

    def _select(self, where: str, *values: object) -> list[Lineup]:
        return [_lineup(row) for row in self._rows(f"SELECT {_COLUMNS} FROM lineups {where}", *values)]

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))


def _lineup(row: tuple[Any, ...]) -> Lineup:
    *plain, options, stale, renumber = row
    fields = (*plain, LineupOptions.of(orjson.loads(options)), bool(stale), bool(renumber))
    return Lineup(*fields)


def _text(options: LineupOptions) -> str:
    return orjson.dumps(options.as_dict()).decode()
