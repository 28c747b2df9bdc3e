"""What viewers ask of many channels: grids, now and next, programmes of a window. Every answer is of one instant."""

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from epg_service.domain.days import (
    DAY_S,
    ORDINAL_BITS,
    START_BITS,
    day_id,
    program_id,
    raws_of,
    unpacked_contents,
)
from epg_service.domain.entities import Channel, Listing
from epg_service.domain.shown import in_window, needs_elements, now_and_next, one_at_a_time
from epg_service.domain.terms import holds_all
from epg_service.store.channels import Channels
from epg_service.store.deadline import limited
from epg_service.store.guide import Guide
from epg_service.xmltv.fields import fields
from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable

_KEY_BITS = START_BITS + ORDINAL_BITS
_KEYS = (1 << _KEY_BITS) - 1
_NEXT_WITHIN_S = (6 * 3600, 2 * DAY_S, 60 * DAY_S)
STATEMENT_LIMIT_S = 2.0
PAGE_LIMIT_S = 1.0
"""A page ends early after this long; its cursor goes on."""

# For each mapping of the wanted channels: the last programme that began (n), and the first after it (x).
# One mapping is two seeks; `odd` tells where more rows than these decide what is shown.
_NOW = f"""
WITH m AS MATERIALIZED (
    SELECT m.channel_id AS channel, m.id << {_KEY_BITS} AS low, 60 * (m.shift_minutes + c.shift_minutes) AS shift
    FROM json_each(?) w JOIN channel_mappings m ON m.channel_id = w.value JOIN channels c ON c.id = m.channel_id
    JOIN providers p ON p.id = m.provider_id AND p.deleted = 0),
e AS MATERIALIZED (SELECT channel, low, shift, low + (max(0, min(?2 - shift + 1, 4294967295)) << {ORDINAL_BITS}) AS edge
    FROM m)
SELECT e.channel, e.shift, n.id, n.provider_id, n.start_time, n.end_time, n.title,
    x.id, x.provider_id, x.start_time, x.end_time, x.title,
    coalesce(n.id & 7 OR n.end_time <= n.start_time, 0)
        OR coalesce(x.end_time <= x.start_time OR EXISTS (SELECT 1 FROM programs t
            WHERE t.id > x.id AND t.id < e.low + (x.end_time << {ORDINAL_BITS})), 0) AS odd
FROM e
LEFT JOIN programs n ON n.id = (SELECT max(id) FROM programs WHERE id >= e.low AND id < e.edge)
LEFT JOIN programs x ON x.id = (SELECT min(id) FROM programs WHERE id >= e.edge AND id <= e.low + {_KEYS})
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What programmes must have; None: anything. `words` are folded and stand somewhere in the title."""

    words: tuple[str, ...] = ()
    category: str | None = None
    new: bool | None = None
    premiere: bool | None = None

    @property
    def needs_elements(self) -> bool:
        """Whether the titles alone do not decide."""
        return not (self.category is None and self.new is None and self.premiere is None)

    def fits(self, listing: Listing) -> bool:
        """Whether a programme with its element is wanted; the words are looked at elsewhere."""
        told = fields(listing.raw)
        if self.category is not None and self.category not in {one.casefold() for one in told.categories}:
            return False
        return self.new in (None, told.new) and self.premiere in (None, told.premiere)


class Browse:
    """Reads the guide across channels."""

    def __init__(self, connections: Connections, *, channels: Channels, guide: Guide) -> None:
        self._connections = connections
        self._channels = channels
        self._guide = guide

    def mark(self) -> int:
        """Another number after every change of what is shown: answers under the same mark are the same."""
        with busy_as_unavailable():
            return _number(self._connections.get().execute("SELECT mark FROM guide_mark"))

    @contextlib.contextmanager
    def one_instant(self) -> Iterator[None]:
        """Everything read inside belongs to one state of the guide."""
        with busy_as_unavailable(), self._connections.get():
            yield

    def channels(self, wanted: Sequence[str], *, after: int, limit: int) -> list[Channel]:
        """Channels by id, from the one after `after` on: all, or those named by id or XMLTV id. Raises `NotFound`."""
        if not wanted:
            return self._channels.all(after=after, limit=limit)
        ids = sorted({self._channel_id(one) for one in wanted})
        return [self._channels.get(one) for one in ids if one > after][:limit]

    def _channel_id(self, wanted: str) -> int:
        query = "SELECT id FROM channels WHERE name = ?1 OR id = ?2 ORDER BY id = ?2 DESC LIMIT 1"
        number = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 16 else None
        with busy_as_unavailable():
            row: Any = self._connections.get().execute(query, (wanted, number)).fetchone()
        if row is None:
            raise NotFound(f"there is no channel {wanted!r}; give its id or its XMLTV id")
        return int(row[0])

    def shown(self, channel_id: int, from_s: int, to_s: int) -> list[Listing]:
        """What a viewer sees of a channel in a window, one programme at a time, the one running at its start included.

        The same programmes, with the same ends, as in a published guide.
        """
        found, cut = in_window(lambda low, high: self._guide.listings(channel_id, low, high), from_s, to_s)
        if needs_elements(found):
            found = self.with_elements(found)
        return cut(one_at_a_time(found))

    def now_next(self, channels: Sequence[Channel], at_s: int) -> list[tuple[Channel, Listing | None, Listing | None]]:
        """The present programme and the next one of each channel; None where nothing is known."""
        connection = self._connections.get()
        found: dict[int, tuple[Listing | None, Listing | None] | None] = {}
        with busy_as_unavailable(), connection, limited(connection, STATEMENT_LIMIT_S, "ask for fewer channels"):
            rows: Any = connection.execute(_NOW, (json.dumps([one.id for one in channels]), at_s))
            for row in rows:
                several = row[0] in found
                found[row[0]] = None if several or row[12] else _pair(row, at_s)
        return [(one, *(found.get(one.id) or self._read_now_next(one.id, at_s))) for one in channels]

    def _read_now_next(self, channel_id: int, at_s: int) -> tuple[Listing | None, Listing | None]:
        """The same from the channel's programmes around the instant: for those where more than two rows decide."""
        now: Listing | None = None
        following: Listing | None = None
        for within_s in _NEXT_WITHIN_S:
            now, following = now_and_next(self.shown(channel_id, at_s, at_s + within_s), at_s)
            if following is not None:
                break
        return now, following

    def with_elements(self, listings: Iterable[Listing]) -> list[Listing]:
        """The same programmes with the bytes of their elements."""
        wanted = list(listings)
        days = {_day_of(one.id): one.id >> _KEY_BITS for one in wanted}
        raws: dict[int, bytes] = {}
        connection = self._connections.get()
        with busy_as_unavailable():
            for day, mapping in days.items():
                row: Any = connection.execute("SELECT contents, body FROM program_days WHERE id = ?", (day,)).fetchone()
                if row is not None:
                    contents = unpacked_contents(row[0])
                    numbered = zip(contents.keys, raws_of(contents, row[1]), strict=True)
                    raws.update((program_id(mapping, key), raw) for key, raw in numbered)
        return [replace(one, raw=raws.get(one.id, b"")) for one in wanted]

    def programmes(
        self,
        channels: Sequence[Channel],
        from_s: int,
        to_s: int,
        wanted: Wanted,
        *,
        after: tuple[int, int, int],
        limit: int,
    ) -> tuple[list[Listing], tuple[int, int, int] | None]:
        """What is stored of some channels (by id) in a window, by channel and start, and where the next page begins.

        `after` is (channel, start, id) of the last one of the page before. A page may end before its limit.
        """
        end = time.monotonic() + PAGE_LIMIT_S
        found: list[Listing] = []
        for channel in channels:
            if channel.id < after[0]:
                continue
            rows = self._guide.listings(channel.id, from_s, to_s)
            rows = [one for one in rows if (channel.id, one.start_s, one.id) > after]
            found += self._fitting(rows, wanted, limit + 1 - len(found))
            if len(found) > limit:
                last = found[limit - 1]
                return found[:limit], (last.channel_id, last.start_s, last.id)
            if time.monotonic() > end:
                return found, (channel.id + 1, 0, 0)
        return found, None

    def _fitting(self, rows: list[Listing], wanted: Wanted, most: int) -> list[Listing]:
        if wanted.words:
            rows = [one for one in rows if holds_all(one.title, wanted.words)]
        if not wanted.needs_elements:
            return rows[:most]
        fitting = [one for one in self.with_elements(rows) if one.raw and wanted.fits(one)]
        return [replace(one, raw=b"") for one in fitting[:most]]


def _pair(row: Sequence[Any], at_s: int) -> tuple[Listing | None, Listing | None]:
    channel, shift = row[0], row[1]
    following = None
    if row[7] is not None:
        following = Listing(row[7], channel, row[8], row[9] + shift, row[10] + shift, row[11])
    now = None
    if row[2] is not None and row[5] + shift > at_s:
        end = row[5] + shift if following is None else min(row[5] + shift, following.start_s)
        now = Listing(row[2], channel, row[3], row[4] + shift, end, row[6])
    return now, following


def _day_of(id_: int) -> int:
    return day_id(id_ >> _KEY_BITS, ((id_ & _KEYS) >> ORDINAL_BITS) // DAY_S)


def _number(cursor: Any) -> int:
    return int(cursor.fetchone()[0])
