"""The channels of lineups: permanent numbers, what stands for what, what a person set of one, and what is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from servicekit.clock import Clock
from servicekit.errors import Conflict, NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.lineup import Override
from stream_service.domain.numbering import number_key
from stream_service.domain.values import many
from stream_service.store.batches import write_batches

_Written = tuple[str, tuple[object, ...]]
Sort = Literal["number", "name", "group", "order"]
_SHOWN = "number, shown, major, minor, present, hidden, position, name, channel_group, logo, tvg_id"
_SET = ", ".join(f"{column} = ?" for column in _SHOWN.split(", "))
_SORTED: Mapping[Sort, tuple[str, ...]] = {
    "number": ("l.major", "l.minor", "l.channel_id"),
    "name": ("lower(l.name)", "l.channel_id"),
    "group": ("lower(l.channel_group)", "l.major", "l.minor", "l.channel_id"),
    "order": ("l.position", "l.channel_id"),
}


@many(frozen=True, slots=True)
class ShownChannel:
    """A channel as a lineup shows it. `number` is its permanent one, `shown` the one it has with what a person set."""

    id: str
    number: str
    shown: str
    hidden: bool
    position: int
    name: str
    group: str
    logo: str
    tvg_id: str

    def row(self) -> tuple[object, ...]:
        """Its values in the order of `_SHOWN`."""
        texts = (self.name, self.group, self.logo, self.tvg_id)
        return (self.number, self.shown, *number_key(self.shown), 1, int(self.hidden), self.position, *texts)


@dataclass(slots=True)
class Standing:
    """What a lineup held when its build began.

    `numbers`: every permanent number ever given, by channel. `marks`: of what the rows say, to tell which must be
    written. `present`: the channels in it. `ranges`: of groups, by first numbers.
    """

    numbers: dict[str, str] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LineupRow:
    """A channel of a lineup, as the API shows it."""

    id: str
    number: str
    name: str
    tvg_id: str
    group: str
    logo: str
    hidden: bool = False
    overridden: Override | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Which channels of a lineup are asked for. `after`: the key of the last one seen, None at the start."""

    sort: Sort = "number"
    search: str = ""
    group: str | None = None
    hidden: bool = False
    after: Sequence[object] | None = None


class LineupChannels:
    """The channels of all lineups."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def standing(self, lineup: str) -> Standing:
        """What is there before a build."""
        found = Standing()
        query = f"SELECT channel_id, {_SHOWN} FROM lineup_channels WHERE lineup = ?"
        with busy_as_unavailable():
            for ident, *row in self._connections.get().execute(query, (lineup,)):
                found.numbers[ident] = row[0]
                if row[4]:
                    found.marks[ident] = hash(tuple(row))
                    found.present.add(ident)
        found.aliases = dict(self._rows("SELECT channel_id, leads_to FROM lineup_aliases WHERE lineup = ?", lineup))
        query = "SELECT channel_group, first FROM lineup_ranges WHERE lineup = ? ORDER BY ordinal"
        for group, first in self._rows(query, lineup):
            found.ranges.setdefault(group, []).append(first)
        return found

    def show(self, lineup: str, channels: Sequence[ShownChannel], before: Standing) -> None:
        """Write what a lineup shows from now on; rows that say so already are left alone."""
        new: list[_Written] = []
        changed: list[_Written] = []
        for channel in channels:
            row = channel.row()
            if before.marks.get(channel.id) != hash(row):
                (changed if channel.id in before.numbers else new).append((channel.id, row))
        here = {channel.id for channel in channels}
        gone = [(lineup, ident) for ident in before.present if ident not in here]
        write = self._write
        write("UPDATE lineup_channels SET present = 0 WHERE lineup = ? AND channel_id = ?", gone)
        write(
            f"UPDATE lineup_channels SET {_SET} WHERE lineup = ? AND channel_id = ?",
            [(*row, lineup, ident) for ident, row in changed],
        )
        marks = ", ".join("?" * (2 + len(_SHOWN.split(", "))))
        write(
            f"INSERT INTO lineup_channels (lineup, channel_id, {_SHOWN}) VALUES ({marks})",
            sorted((lineup, ident, *row) for ident, row in new),  # one page of the key after the other
        )

    def reserve(self, lineup: str, numbers: Mapping[str, str]) -> None:
        """Give channels that are not shown their numbers, for ever."""
        self._write(
            "INSERT INTO lineup_channels (lineup, channel_id, number, shown, major, minor) VALUES (?, ?, ?, ?, ?, ?)",
            [(lineup, ident, number, number, *number_key(number)) for ident, number in numbers.items()],
        )

    def forget_numbers(self, lineup: str, standing: Standing) -> None:
        """Take all numbers back, because they are to be given anew."""
        rows = [(lineup, ident) for ident in standing.numbers]
        self._write("DELETE FROM lineup_channels WHERE lineup = ? AND channel_id = ?", rows)
        self._write("DELETE FROM lineup_ranges WHERE lineup = ?", [(lineup,)])
        standing.numbers, standing.marks, standing.present, standing.ranges = {}, {}, set(), {}

    def lead(self, lineup: str, aliases: Mapping[str, str], before: Mapping[str, str]) -> None:
        """Write which channel stands for which."""
        changed = [(lineup, ident, to) for ident, to in aliases.items() if before.get(ident) != to]
        self._write("INSERT OR REPLACE INTO lineup_aliases (lineup, channel_id, leads_to) VALUES (?, ?, ?)", changed)
        gone = [(lineup, ident) for ident in before if ident not in aliases]
        self._write("DELETE FROM lineup_aliases WHERE lineup = ? AND channel_id = ?", gone)

    def keep_ranges(self, lineup: str, ranges: Mapping[str, Sequence[int]]) -> None:
        """Write the ranges of numbers that groups have; those that are known stay."""
        rows = [(lineup, group, nth, first) for group, firsts in ranges.items() for nth, first in enumerate(firsts)]
        self._write(
            "INSERT OR IGNORE INTO lineup_ranges (lineup, channel_group, ordinal, first) VALUES (?, ?, ?, ?)", rows
        )

    def overrides(self, lineup: str) -> dict[str, Override]:
        """What a person set of single channels, by channel."""
        query = (
            "SELECT channel_id, number, name, logo, channel_group, tvg_id, hidden, position FROM lineup_overrides "
            "WHERE lineup = ?"
        )
        return {row[0]: _override(row[1:]) for row in self._rows(query, lineup)}

    def override(self, lineup: str, channel_id: str, wish: Override) -> None:
        """Set something of a channel, or nothing any more; the lineup is built again.

        Raises `NotFound` for a channel the lineup never had, `Conflict` for a number that another one has.
        """
        connection = self._connections.get()
        with writing(connection):
            if not self._rows("SELECT 1 FROM lineup_channels WHERE lineup = ? AND channel_id = ?", lineup, channel_id):
                raise NotFound(f"the lineup {lineup!r} has no channel {channel_id!r}")
            if wish.number is not None:
                self._take(lineup, channel_id, wish.number)
            key = (lineup, channel_id)
            connection.execute("DELETE FROM lineup_overrides WHERE lineup = ? AND channel_id = ?", key)
            if wish != Override():
                values = (wish.number, wish.name, wish.logo, wish.group, wish.tvg_id, int(wish.hidden), wish.order)
                connection.execute(
                    "INSERT INTO lineup_overrides (lineup, channel_id, number, name, logo, channel_group, tvg_id, "
                    "hidden, position, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, *values, self._clock.now_s()),
                )
            connection.execute("UPDATE lineups SET stale = 1 WHERE name = ?", (lineup,))

    def _take(self, lineup: str, channel_id: str, number: str) -> None:
        """A number of a channel that is away is taken from it; one that another channel shows stays that one's."""
        query = (
            "SELECT l.channel_id, l.name FROM lineup_channels AS l LEFT JOIN lineup_overrides AS o "
            "ON o.lineup = l.lineup AND o.channel_id = l.channel_id WHERE l.lineup = ?1 AND l.channel_id != ?2 "
            "AND (o.number = ?3 OR (o.number IS NULL AND l.number = ?3 AND l.present = 1))"
        )
        for ident, name in self._rows(query, lineup, channel_id, number):
            raise Conflict(
                f"number {number} is that of {name or ident!r} ({ident}) in this lineup: give that one another first",
                channel_id=ident,
            )
        self._connections.get().execute(
            "DELETE FROM lineup_channels WHERE lineup = ? AND number = ? AND present = 0 AND channel_id != ?",
            (lineup, number, channel_id),
        )

    def page(self, lineup: str, asked: Page, *, limit: int) -> list[tuple[LineupRow, tuple[object, ...]]]:
        """Channels of a lineup, each with the key to go on behind it (`Page.after`)."""
        keys = _SORTED[asked.sort]
        where, values = ["l.lineup = ?", "l.present = 1"], [lineup]
        if not asked.hidden:
            where.append("l.hidden = 0")
        if asked.search:
            where.append("(instr(lower(l.name), lower(?)) > 0 OR l.shown = ? OR lower(l.channel_id) = lower(?))")
            values += [asked.search] * 3
        if asked.group is not None:
            where.append("l.channel_group = ?")
            values.append(asked.group)
        if asked.after is not None:
            where.append(f"({', '.join(keys)}) > ({', '.join('?' * len(keys))})")
            values += asked.after  # type: ignore[arg-type]
        query = (
            f"SELECT {', '.join(keys)}, l.channel_id, l.shown, l.name, l.tvg_id, l.channel_group, l.logo, l.hidden, "
            "o.channel_id, o.number, o.name, o.logo, o.channel_group, o.tvg_id, o.hidden, o.position "
            "FROM lineup_channels AS l LEFT JOIN lineup_overrides AS o "
            "ON o.lineup = l.lineup AND o.channel_id = l.channel_id "
            f"WHERE {' AND '.join(where)} ORDER BY {', '.join(keys)} LIMIT ?"
        )
        n = len(keys)
        return [(_row(row[n:]), tuple(row[:n])) for row in self._rows(query, *values, limit)]

    def some(
        self,
        lineup: str,
        *,
        limit: int,
        after: Sequence[object] | None = None,
        sort: Sort = "number",
        search: str = "",
        group: str | None = None,
        hidden: bool = False,
    ) -> list[tuple[LineupRow, tuple[object, ...]]]:
        """As `page`, said in words."""
        return self.page(lineup, Page(sort, search, group, hidden, after), limit=limit)

    def get(self, lineup: str, channel_id: str) -> LineupRow:
        """One channel of a lineup, there or not; raises `NotFound`."""
        query = (
            "SELECT l.channel_id, l.shown, l.name, l.tvg_id, l.channel_group, l.logo, l.hidden, o.channel_id, "
            "o.number, o.name, o.logo, o.channel_group, o.tvg_id, o.hidden, o.position FROM lineup_channels AS l "
            "LEFT JOIN lineup_overrides AS o ON o.lineup = l.lineup AND o.channel_id = l.channel_id "
            "WHERE l.lineup = ? AND l.channel_id = ?"
        )
        rows = self._rows(query, lineup, channel_id)
        if not rows:
            raise NotFound(f"the lineup {lineup!r} has no channel {channel_id!r}")
        return _row(rows[0])

    def groups(self, lineup: str) -> list[tuple[str, int]]:
        """The groups that a lineup shows, by name, and how many channels each has."""
        query = (
            "SELECT channel_group, count(*) FROM lineup_channels WHERE lineup = ? AND present = 1 AND hidden = 0 "
            "GROUP BY channel_group ORDER BY lower(channel_group)"
        )
        return [(row[0], row[1]) for row in self._rows(query, lineup)]

    def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        write_batches(self._connections, statement, rows)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))


def _override(row: Sequence[Any]) -> Override:
    fields = (*row[:5], bool(row[5]), row[6])
    return Override(*fields)


def _row(row: Sequence[Any]) -> LineupRow:
    ident, number, name, tvg_id, group, logo, hidden, overridden = row[:8]
    own = None if overridden is None else _override(row[8:])
    return LineupRow(ident, number, name, tvg_id, group, logo, bool(hidden), own)
