"""What viewers ask of many channels: grids, now and next, programmes of a window. Every answer is of one instant."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

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
from epg_service.domain.wishes import Wanted
from epg_service.store.channels import Channels
from epg_service.store.deadline import limited
from epg_service.store.guide import Guide
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


class Told(Protocol):
    """What an element says of a programme, as far as filters look at it."""

    @property
    def categories(self) -> tuple[str, ...]: ...
    @property
    def new(self) -> bool: ...
    @property
    def premiere(self) -> bool: ...


_Pair: TypeAlias = tuple[Listing | None, Listing | None]


class Browse:
    """Reads the guide across channels."""

    def __init__(
        self, connections: Connections, *, channels: Channels, guide: Guide, read: Callable[[bytes], Told]
    ) -> None:
        self._connections = connections
        self._channels = channels
        self._guide = guide
        self._read = read

    def mark(self) -> int:
        """Another number after every change of what is shown: answers under the same mark are the same."""
        with busy_as_unavailable():
            return _number(self._connections.get().execute("SELECT mark FROM guide_mark"))

    @contextlib.contextmanager
    def one_instant(self) -> Iterator[None]:
        """Everything read inside belongs to one state of the guide."""
        with busy_as_unavailable(), self._connections.get():
            yield

    def channel_ids(self, names: Sequence[str]) -> list[int] | None:
        """The ids of channels named by id or XMLTV id, ascending; None for no names: all. Raises `NotFound`."""
        return sorted({self._channel_id(one) for one in names}) if names else None

    def _page(self, names: Sequence[str], after: int, limit: int) -> list[Channel]:
        """Channels by id, from the one after `after` on."""
        ids = self.channel_ids(names)
        if ids is None:
            return self._channels.all(after=after, limit=limit)
        return [self._channels.get(one) for one in ids if one > after][: limit if limit >= 0 else None]

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

    def now_next(
        self, names: Sequence[str], at_s: int, *, after: int, limit: int, with_elements: bool
    ) -> tuple[list[tuple[Channel, Listing | None, Listing | None]], int | None]:
        """The present programme and the next one of each channel; None where nothing is known.

        Channels by id, from the one after `after` on; the last one's id when there are more.
        """
        with self.one_instant():
            channels = self._page(names, after, limit + 1)
            pairs = self._pairs([one.id for one in channels[:limit]], at_s)
            if with_elements:
                listings = self.with_elements(one for pair in pairs for one in pair if one is not None)
                told = {one.id: one for one in listings}
                pairs = [(now and told[now.id], coming and told[coming.id]) for now, coming in pairs]
        found = [(channel, *pair) for channel, pair in zip(channels[:limit], pairs, strict=True)]
        return found, channels[limit - 1].id if len(channels) > limit else None

    def _pairs(self, channel_ids: Sequence[int], at_s: int) -> list[_Pair]:
        connection = self._connections.get()
        found: dict[int, _Pair | None] = {}
        with limited(connection, STATEMENT_LIMIT_S, "ask for fewer channels"):
            rows: Any = connection.execute(_NOW, (json.dumps(channel_ids), at_s))
            for row in rows:
                several = row[0] in found
                found[row[0]] = None if several or row[12] else _pair(row, at_s)
        return [found.get(one) or self._read_now_next(one, at_s) for one in channel_ids]

    def _read_now_next(self, channel_id: int, at_s: int) -> _Pair:
        """The same from the channel's programmes around the instant: for those where more than two rows decide."""
        now: Listing | None = None
        following: Listing | None = None
        for within_s in _NEXT_WITHIN_S:
            now, following = now_and_next(self.shown(channel_id, at_s, at_s + within_s), at_s)
            if following is not None:
                break
        return now, following

    def grid(
        self, names: Sequence[str], from_s: int, to_s: int, *, after: int, limit: int, with_elements: bool
    ) -> tuple[list[tuple[Channel, list[Listing]]], int | None]:
        """What a viewer sees of each channel in a window, one programme at a time.

        Channels by id, from the one after `after` on; the last one's id when there are more. A page may end early.
        """
        end = time.monotonic() + PAGE_LIMIT_S
        found: list[tuple[Channel, list[Listing]]] = []
        with self.one_instant():
            channels = self._page(names, after, limit + 1)
            for channel in channels[:limit]:
                shown = self.shown(channel.id, from_s, to_s)
                found.append((channel, self.with_elements(shown) if with_elements else shown))
                if time.monotonic() > end:
                    break
        return found, found[-1][0].id if len(found) < len(channels) else None

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
        names: Sequence[str],
        from_s: int,
        to_s: int,
        wanted: Wanted,
        *,
        after: tuple[int, ...],
        limit: int,
    ) -> tuple[list[Listing], tuple[int, int, int] | None]:
        """What is stored in a window, with elements, by channel id and start, and where the next page begins.

        `after` is (channel, start, id) of the last one of the page before. A page may end before its limit.
        """
        end = time.monotonic() + PAGE_LIMIT_S
        found: list[Listing] = []
        with self.one_instant():
            for channel in self._page(names, after[0] - 1, -1):
                rows = self._guide.listings(channel.id, from_s, to_s)
                rows = [one for one in rows if (channel.id, one.start_s, one.id) > after]
                fitting = self._fitting(rows, wanted, limit + 1 - len(found))
                found += (replace(one, channel_id=channel.id) for one in fitting)
                if len(found) > limit:
                    last = found[limit - 1]
                    return self.with_elements(found[:limit]), (last.channel_id, last.start_s, last.id)
                if time.monotonic() > end:
                    return self.with_elements(found), (channel.id + 1, 0, 0)
        return self.with_elements(found), None

    def _fitting(self, rows: list[Listing], wanted: Wanted, most: int) -> list[Listing]:
        if wanted.words:
            rows = [one for one in rows if holds_all(one.title, wanted.words)]
        if not wanted.needs_elements:
            return rows[:most]
        fitting = [one for one in self.with_elements(rows) if one.raw and self._fits(wanted, one.raw)]
        return fitting[:most]

    def _fits(self, wanted: Wanted, raw: bytes) -> bool:
        told = self._read(raw)
        return wanted.fits(categories=told.categories, new=told.new, premiere=told.premiere)


def _pair(row: Sequence[Any], at_s: int) -> _Pair:
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
