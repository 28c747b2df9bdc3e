"""Reads a provider's file: unpacked, cut, gathered by channel, cleaned, compared, written into the redo log."""

import dataclasses
import shutil
import zoneinfo
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from epg_service.domain.clean import clean, is_plain
from epg_service.domain.days import DAY_S, LAST_DAY, ORDINAL_BITS, UNREAD, StoredDay
from epg_service.domain.entities import Mapped, Provider
from epg_service.domain.losses import Losses, called
from epg_service.domain.model import Readable, Rows
from epg_service.domain.retention import Window, keep
from epg_service.domain.spelling import Spelling
from epg_service.importer.basis import number_of
from epg_service.importer.compare import Layout, StoredChannel, changed_days, deleted_meanwhile
from epg_service.importer.grouping import Gathered, Ungrouped, direct, spooled
from epg_service.importer.handing import Handing
from epg_service.importer.progress import Progress
from epg_service.importer.redo import ChannelNote, RedoLog, RedoWriter
from epg_service.providers.arriving import StartedAnew
from epg_service.xmltv.cut import cut, nothing_known
from epg_service.xmltv.elements import folded, joined, too_deep
from epg_service.xmltv.records import OF_TV, Batch, ChannelElement, End, Head, KnownPart
from epg_service.xmltv.times import Stamps
from servicekit.clock import Clock
from servicekit.errors import BadAnswer, TooLarge
from servicekit.redact import redact

Grouped = Callable[[Iterator[Batch]], Iterator[Gathered]]
MINUTE_S = 60
KEPT_CHANNELS = 16
PIECE_BYTES = 256 * 1024
BEHIND_BYTES = 8 << 20
LARGE_BYTES = 4 * 1024
MAX_SOURCE_CHARS = 1_000
MAX_EPOCH_S = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration says of imports."""

    window: Window
    min_share: float
    work_dir: Path
    redo_dir: Path
    max_unpacked_bytes: int
    pieces_dir: Path | None = None
    """Where the pieces of new guides are handed over to the search index; None: nobody wants them."""

    def window_of(self, provider: Provider) -> Window:
        """What is kept of a provider's programmes."""
        days = provider.retention_days
        return self.window if days is None else Window(days, days)


class Packed(Protocol):
    """A provider's bytes as they were sent."""

    def read(self, size: int = -1, /) -> bytes: ...
    def tell(self) -> int: ...


class Readings(Protocol):
    """A provider's file, to be read from its beginning as often as asked; its size as far as it is known."""

    @property
    def size(self) -> int | None: ...
    def open(self) -> AbstractContextManager[Packed]: ...


class Plain(Readable, Protocol):
    """A guide's bytes, unpacked."""

    def close(self) -> None: ...


class Unpacked(Protocol):
    """Opens a packed or plain file as plain bytes."""

    def __call__(self, stream: Packed, /, *, max_bytes: int, losses: Losses) -> Plain: ...


class Stored(Protocol):
    """What the comparison asks of the store."""

    def known_days(self, mapping_id: int) -> dict[int, tuple[bytes, bytes]]: ...
    def some_days(self, mapping_id: int, days: Sequence[int]) -> dict[int, StoredDay]: ...
    def titles(self, mapping_id: int, first_key: int, last_key: int) -> dict[int, str]: ...


class Mappings(Protocol):
    """A provider's channels that are mapped already."""

    def of_provider(self, provider_id: int) -> dict[str, Mapped]: ...


@dataclass(slots=True)
class Tally:
    """What a file held, counted while it is read."""

    channels: dict[str, ChannelNote] = field(default_factory=dict)
    kept: int = 0
    channels_kept: int = 0
    channels_read: int = 0
    """Those with programmes, kept or not."""
    latest_stop_s: int = 0
    last_day: int = 0
    changed_days: int = 0
    fresh_until: int = MAX_EPOCH_S
    emptied_days: Counter[int] = field(default_factory=Counter)
    """How many channels have nothing on a day any more on which they had something."""
    losses: Losses = field(default_factory=Losses)
    end: End = field(default_factory=lambda: End(complete=False, programmes=0, channels=0))

    source: dict[str, str] = field(default_factory=dict)
    """What its `<tv>` says of where it comes from."""

    def changes_nothing(self) -> bool:
        """Whether the guide would be the same after the file as before it."""
        return not self.changed_days and not any(day <= self.last_day for day in self.emptied_days)


@dataclass(frozen=True, slots=True)
class Task:
    """A file to be read."""

    feed: Readings
    provider: Provider
    redo: RedoLog
    progress: Progress
    anew: bool
    """Everything is read, whatever is known of it."""
    stale: bool
    """The times of what is stored were read in another way, so that what is not over is wrong."""


class Reading:
    """From a file to the changes that it means; every collaborator is handed in."""

    def __init__(self, *, unpacked: Unpacked, stored: Stored, mappings: Mappings, clock: Clock, limits: Limits) -> None:
        self._unpacked = unpacked
        self._stored = stored
        self._mappings = mappings
        self._clock = clock
        self._limits = limits

    def read(self, task: Task) -> Tally:
        """Reads the file into the redo log; a file that is not grouped by channel is read again through a spool."""
        try:
            return self._read_whole(task, direct, known=True)
        except Ungrouped:
            directory = self._limits.work_dir / f"spool-{task.provider.id}"
            try:
                # No use of what is known: asking for it anew with every programme would cost more than the proof.
                return self._read_whole(task, partial(spooled, directory=directory), known=False)
            finally:
                shutil.rmtree(directory, ignore_errors=True)

    def _read_whole(self, task: Task, grouped: Grouped, *, known: bool) -> Tally:
        while True:
            try:
                return self._read_once(task, grouped, known=known)
            except StartedAnew:  # the download broke off, and the provider has another version now
                continue

    def _read_once(self, task: Task, grouped: Grouped, *, known: bool) -> Tally:
        """`known`: use is made of what is known of the guide."""
        provider, feed = task.provider, task.feed
        tally, stamps = Tally(last_day=LAST_DAY if task.stale else 0), Stamps(_zone(provider))
        basis = number_of(provider)
        before = _Before(self._mappings.of_provider(provider.id), self._stored, basis, _shift_s(provider))
        pieces = None if before.any or self._limits.pieces_dir is None else self._limits.pieces_dir / str(provider.id)
        with (
            feed.open() as packed,
            task.redo.writer() as redo,
            Handing(pieces) as handing,
            closing(self._plain(packed, tally)) as stream,
        ):
            writers = _Writers(redo, handing)
            items = cut(
                stream,
                stamps=stamps,
                losses=tally.losses,
                known=before.flags if known else nothing_known,
                recalled=before.parts if known and before.any and not task.anew else None,
                pieces=pieces is not None,
            )
            for found in grouped(_batches(items, tally)):
                task.progress.count(tally.kept, tally.channels_kept, packed.tell(), feed.size)
                tally.channels_read += 1
                tally.channels.setdefault(found.channel, ChannelNote(found.channel, None, None, None))
                layout = None if found.gap is None or stamps.unknown_zones else Layout(found.gap, basis)
                self._gathered(found, task, before.channel(found.channel), writers, tally, layout)
            _read_on(stream, tally.losses)
        return tally

    def _plain(self, packed: Packed, tally: Tally) -> Plain:
        return self._unpacked(packed, max_bytes=self._limits.max_unpacked_bytes, losses=tally.losses)

    def _gathered(
        self,
        gathered: Gathered,
        task: Task,
        stored: StoredChannel,
        writers: "_Writers",
        tally: Tally,
        layout: Layout | None,
    ) -> None:
        """A channel on its way into the log; what is odd about it is to be noted with every file, so read each time."""
        if len(gathered.rows.cut) != len(gathered.rows):
            gathered.rows.cut.clear()
        rows = _shifted(gathered.rows, _shift_s(task.provider))
        plain = is_plain(rows.starts, rows.stops)
        if not plain and UNREAD in rows.titles:
            rows = self._read_back(rows, stored)
        noted = tally.losses.entries()
        rows = clean(rows, losses=tally.losses, channel=gathered.channel, plain=plain)
        _look_at_large(rows, gathered.channel, tally.losses)
        plain = plain and tally.losses.entries() == noted
        rows = self._kept(rows, task.provider, tally, stored)
        if rows.starts:
            over_by_s = self._clock.now_s() if task.stale else None
            self._compare(rows, stored, writers, tally, layout if plain else None, over_by_s)

    def _read_back(self, rows: Rows, stored: StoredChannel) -> Rows:
        """The rows with what is stored in the place of what was not read."""
        titles, raws = list(rows.titles), list(rows.raws)
        keys = [start << ORDINAL_BITS for start, title in zip(rows.starts, titles, strict=True) if title == UNREAD]
        said = self._stored.titles(stored.mapping_id, min(keys), max(keys))
        days = sorted({(key >> ORDINAL_BITS) // DAY_S for key in keys})
        old = {day: stored.old(found) for day, found in self._stored.some_days(stored.mapping_id, days).items()}
        for at, start in enumerate(rows.starts):
            if titles[at] != UNREAD:
                continue
            key = start << ORDINAL_BITS
            try:
                titles[at], raws[at] = said[key], old[start // DAY_S].raw(key)
            except KeyError as reason:
                raise deleted_meanwhile() from reason
        return dataclasses.replace(rows, titles=titles, raws=raws)

    def _kept(self, rows: Rows, provider: Provider, tally: Tally, stored: StoredChannel) -> Rows:
        """What the provider's window holds of a channel; notes when it will hold something else."""
        window = self._limits.window_of(provider)
        bounds = window.bounds(self._clock.now_s())
        titles = _Titles(rows, stored.mapping_id, self._stored)
        kept = rows.at(keep(rows.starts, rows.stops, bounds, losses=tally.losses, titles=titles))
        first_after = bisect_left(rows.starts, bounds[1])
        if first_after < len(rows):
            tally.fresh_until = min(tally.fresh_until, rows.starts[first_after] - int(window.future_days * DAY_S) + 1)
        if kept.stops:
            tally.fresh_until = min(tally.fresh_until, min(kept.stops) + int(window.past_days * DAY_S))
        return kept

    def _compare(
        self,
        rows: Rows,
        before: StoredChannel,
        writers: "_Writers",
        tally: Tally,
        layout: Layout | None,
        over_by_s: int | None,
    ) -> None:
        """Writes the days that differ."""
        tally.kept += len(rows)
        tally.channels_kept += 1
        tally.latest_stop_s = max(tally.latest_stop_s, *rows.stops)
        tally.last_day = max(tally.last_day, rows.starts[-1] // DAY_S)
        read = partial(self._stored.some_days, before.mapping_id)
        written: list[tuple[int, bytes]] = []
        for day in changed_days(rows, before, read, layout=layout, over_by_s=over_by_s):
            written.append((day.day, day.contents))
            writers.redo.add(before.name, day)
            if day.contents:
                tally.changed_days += 1
            else:
                tally.emptied_days[day.day] += 1
        if rows.cut and all(rows.flags):
            writers.handing.add(before.name, written, rows.cut)


class _Writers(NamedTuple):
    """What is written while a file is read: the redo log, and what is handed over to the search index."""

    redo: RedoWriter
    handing: Handing


class _Titles:
    """The titles of some rows; of those that were not read they are looked up."""

    def __init__(self, rows: Rows, mapping_id: int, stored: Stored) -> None:
        self._rows = rows
        self._mapping_id = mapping_id
        self._stored = stored

    def __getitem__(self, index: int, /) -> str:
        title = self._rows.titles[index]
        if title != UNREAD:
            return title
        key = self._rows.starts[index] << ORDINAL_BITS
        return self._stored.titles(self._mapping_id, key, key).get(key, "")


class _Before:
    """What is stored of the provider's channels: of the last few that were asked for, by the reader (which is a stretch
    ahead) and by the comparison."""

    def __init__(self, mappings: Mapping[str, Mapped], stored: Stored, basis: int, shift_s: int) -> None:
        self._mappings = mappings
        self._stored = stored
        self._basis = basis
        self._shift_s = shift_s
        self._kept: dict[str, StoredChannel] = {}

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return bool(self._mappings)

    def channel(self, name: str) -> StoredChannel:
        """One channel; empty when it is new."""
        if name not in self._kept:
            mapped = self._mappings.get(name)
            days = self._stored.known_days(mapped.id) if mapped else {}
            if len(self._kept) >= KEPT_CHANNELS:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = StoredChannel(name, mapped.id if mapped else 0, days)
        return self._kept[name]

    def flags(self, name: str) -> dict[int, int]:
        """The digests of a channel's elements that were proven, and their flags."""
        return self.channel(name).flags

    def parts(self, name: str) -> list[KnownPart]:
        """What of a channel can be known again in the file."""
        return self.channel(name).parts(self._basis, self._shift_s)


def _batches(items: Iterator[object], tally: Tally) -> Iterator[Batch]:
    """The programmes of a file; what else it says goes into the tally on the way."""
    spelling = Spelling()
    for item in items:
        if isinstance(item, Batch):
            name = spelling.used(item.channel)
            yield item if name == item.channel else dataclasses.replace(item, channel=name)
        elif isinstance(item, ChannelElement) and item.id:
            _note(item, spelling.declared(item.id), tally)
        elif isinstance(item, Head):
            tally.source = _source(item)
        elif isinstance(item, End):
            tally.end = item


def _source(head: Head) -> dict[str, str]:
    """The attributes of the DTD that say anything; an address may hold a login."""
    said = {name: redact(folded(head.attributes.get(name, "")))[:MAX_SOURCE_CHARS] for name in OF_TV}
    return {name: text for name, text in said.items() if text}


def _read_on(stream: Plain, losses: Losses) -> None:
    """Reads what follows the guide, as far as that is worth it: behind it stand checksums, and perhaps junk."""
    left = BEHIND_BYTES
    try:
        while left > 0 and (piece := stream.read(PIECE_BYTES)):
            left -= len(piece)
    except (BadAnswer, TooLarge) as reason:
        losses.warn("trailing_junk", f"what follows the guide cannot be unpacked: {reason}")


def _note(item: ChannelElement, name: str, tally: Tally) -> None:
    """What a channel element says; a channel that stands twice keeps its first name and all others beside it."""
    shown = item.display_names[0][1] if item.display_names else None
    element = item.raw.decode("utf-8", "replace")
    before = tally.channels.get(name)
    if before is not None and before.element is not None:
        shown, icon = before.display_name or shown, before.icon_url or item.icon
        tally.channels[name] = ChannelNote(name, shown, icon, joined(before.element, element))
    else:
        tally.channels[name] = ChannelNote(name, shown, item.icon, element)


def _shift_s(provider: Provider) -> int:
    return provider.shift_minutes * MINUTE_S


def _shifted(rows: Rows, by_s: int) -> Rows:
    if not by_s:
        return rows
    stops = [_within(stop + by_s) if stop else 0 for stop in rows.stops]
    return dataclasses.replace(rows, starts=[_within(start + by_s) for start in rows.starts], stops=stops)


def _look_at_large(rows: Rows, channel: str, losses: Losses) -> None:
    """Notes what is nested so deep that it is not looked into. In the DTD's form (any flag) nothing is."""
    if all(rows.flags) or max(map(len, rows.raws)) <= LARGE_BYTES:
        return
    for title, start, raw in zip(rows.titles, rows.starts, rows.raws, strict=True):
        if len(raw) > LARGE_BYTES and too_deep(raw):
            losses.add("nested", called(title, start, channel))


def _within(epoch_s: int) -> int:
    return min(max(0, epoch_s), MAX_EPOCH_S)


def _zone(provider: Provider) -> tzinfo:
    return zoneinfo.ZoneInfo(provider.default_timezone) if provider.default_timezone else UTC
