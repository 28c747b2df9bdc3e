"""The rows of `programs` that an import writes: gathered by channel, several in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import repeat
from operator import rshift, sub

import apsw

from epg_service.domain.days import ORDINAL_BITS, UNREAD, PackedDay, keys_in, program_id, stops_in
from epg_service.domain.entities import Mapped

SIZES = (64, 8, 1)
"""Rows a statement. 64 in one cost half of 64 alone, 128 no less; three sizes, so that the texts stay prepared."""


@dataclass(frozen=True, slots=True)
class ProgramRows:
    """Rows of one mapping as columns."""

    keys: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)

    def take(self, day: PackedDay) -> int:
        """All of a day; returns how many."""
        keys = keys_in(day.contents)
        if keys:
            self.keys.extend(keys)
            self.stops.extend(stops_in(day.contents))
            self.titles.extend(_titles(day))
        return len(keys)

    def take_some(self, day: PackedDay, at: Sequence[int]) -> None:
        """The rows of a day that stand at some places of it."""
        if at:
            keys, stops, titles = keys_in(day.contents), stops_in(day.contents), _titles(day)
            self.keys.extend([keys[one] for one in at])
            self.stops.extend([stops[one] for one in at])
            self.titles.extend([titles[one] for one in at])

    @property
    def longest_s(self) -> int:
        """The longest programme's length; 0 without any."""
        starts = map(rshift, self.keys, repeat(ORDINAL_BITS))
        return max(map(sub, self.stops, starts), default=0)

    def write(self, connection: apsw.Connection, mapped: Mapped, *, anew: bool) -> None:
        """Inserts or replaces them. `anew`: none of the rows' days was there before, so no row is in the way."""
        of_all = mapped.channel_id, mapped.provider_id, program_id(mapped.id, 0)
        at = 0
        for size in SIZES:
            statement = _statement(size, anew)
            while len(self.keys) - at >= size:
                end = at + size
                values = (*of_all, *self.keys[at:end], *self.stops[at:end], *self.titles[at:end])
                connection.execute(statement, values)
                at = end


def _titles(day: PackedDay) -> list[str]:
    """What was not read was not to be written either; but somebody may have deleted it since."""
    titles = day.titles.decode("utf-8").split("\0")
    return ["" if title == UNREAD else title for title in titles] if UNREAD in titles else titles


@cache
def _statement(rows: int, anew: bool) -> str:
    """Binds channel, provider and the mapping's first id once; then keys, stops and titles, column by column.

    SQLite works out ids and starts from the keys, for less than two more values a row cost to bind.
    """
    values = ",".join(
        f"(?3+?{key},?1,?2,?{key}>>{ORDINAL_BITS},?{key + rows},?{key + 2 * rows})" for key in range(4, 4 + rows)
    )
    insert = f"INSERT INTO programs (id, channel_id, provider_id, start_time, end_time, title) VALUES {values}"
    replace = (
        " ON CONFLICT (id) DO UPDATE SET end_time = excluded.end_time, title = excluded.title, "
        "channel_id = excluded.channel_id"
    )
    return insert if anew else insert + replace
