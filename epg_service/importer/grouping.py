"""Programmes gathered by channel: as they come when the file is grouped, through temporary files when it is not.

Most guides hold one channel's programmes together, and then a channel is done when the next one starts. In a guide
ordered by time every channel comes back; its programmes go through 64 files by channel, so memory stays flat.
"""

import contextlib
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from epg_service.domain.model import Rows
from epg_service.xmltv.records import Batch

BUCKETS = 64
_RECORD = struct.Struct("<IIIIIQB")


class Ungrouped(Exception):
    """A channel came back: read the file again with `spooled`."""


@dataclass(slots=True)
class Gathered:
    """All programmes of one channel, in the order of the file, without ordinals."""

    channel: str
    rows: Rows = field(default_factory=Rows)
    gap: bytes | None = None
    """What stands between its elements, as far as that was looked at."""

    def extend(self, batch: Batch) -> None:
        rows = self.rows
        rows.starts.extend(batch.starts)
        rows.stops.extend(batch.stops)
        rows.titles.extend(batch.titles)
        rows.raws.extend(batch.raws)
        rows.digests.extend(batch.digests)
        rows.flags.extend(batch.flags)
        rows.cut.extend(batch.cut)
        if self.gap is None:
            self.gap = batch.gap


def direct(batches: Iterable[Batch]) -> Iterator[Gathered]:
    """One item for each channel, in the order of the file; raises `Ungrouped` when a channel comes back."""
    done: set[str] = set()
    current: Gathered | None = None
    for batch in batches:
        if current is None or batch.channel != current.channel:
            if current is not None:
                yield current
            if batch.channel in done:
                raise Ungrouped(batch.channel)
            done.add(batch.channel)
            current = Gathered(batch.channel)
        current.extend(batch)
    if current is not None:
        yield current


def spooled(batches: Iterable[Batch], directory: Path) -> Iterator[Gathered]:
    """The same for a file in any order; nothing in it is known."""
    directory.mkdir(parents=True, exist_ok=True)
    numbers: dict[str, int] = {}
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context(tempfile.TemporaryFile(dir=directory, buffering=1 << 16)) for _ in range(BUCKETS)]
        for batch in batches:
            number = numbers.setdefault(batch.channel, len(numbers))
            _spool(files[zlib.crc32(batch.channel.encode()) % BUCKETS], number, batch)
        names = list(numbers)
        for file in files:
            yield from _read_back(file, names)


def _spool(file: IO[bytes], number: int, batch: Batch) -> None:
    columns = (batch.starts, batch.stops, batch.titles, batch.raws, batch.digests, batch.flags)
    for start, stop, title, raw, digest, flags in zip(*columns, strict=True):
        text = title.encode("utf-8", "replace")
        file.write(_RECORD.pack(number, start, stop, len(text), len(raw), digest, flags) + text + raw)


def _read_back(file: IO[bytes], names: list[str]) -> Iterator[Gathered]:
    found: dict[int, Gathered] = {}
    file.seek(0)
    while head := file.read(_RECORD.size):
        number, start, stop, title_length, raw_length, digest, flags = _RECORD.unpack(head)
        rows = found.setdefault(number, Gathered(names[number])).rows
        rows.starts.append(start)
        rows.stops.append(stop)
        rows.titles.append(file.read(title_length).decode())
        rows.raws.append(file.read(raw_length))
        rows.digests.append(digest)
        rows.flags.append(flags)
    yield from found.values()
