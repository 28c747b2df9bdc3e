"""A file read as an import reads it, up to the store: unpacked, parsed, gathered by channel, cleaned, cut to size."""

import io
import os
import pyexpat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from epg_service.domain.clean import clean
from epg_service.domain.losses import Losses
from epg_service.domain.model import Readable, Rows
from epg_service.domain.retention import keep
from epg_service.domain.timeline import timeline
from epg_service.importer.grouping import Gathered
from epg_service.providers.unpack import unpacked
from epg_service.xmltv.cut import cut
from epg_service.xmltv.iterparse import CHUNK_BYTES, iterparse
from epg_service.xmltv.records import Batch, ChannelElement, End, Head
from epg_service.xmltv.times import Stamps

CORPUS = Path(os.environ.get("AERIAL_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
FIXTURES = Path(__file__).parent.parent / "fixtures" / "xmltv"
MB = 1024 * 1024
READERS: dict[str, Callable[..., Iterator[object]]] = {"exact": iterparse, "fast": cut}


@dataclass
class Reading:
    """Everything a file said and what became of it."""

    head: dict[str, str] = field(default_factory=dict)
    channels: list[ChannelElement] = field(default_factory=list)
    rows: dict[str, Rows] = field(default_factory=dict)
    end: End = field(default_factory=lambda: End(False, -1, -1))
    losses: Losses = field(default_factory=Losses)

    @property
    def titles(self) -> list[str]:
        """The titles of all channels, channel by channel."""
        return [title for rows in self.rows.values() for title in rows.titles]

    @property
    def raws(self) -> list[bytes]:
        return [raw for rows in self.rows.values() for raw in rows.raws]

    @property
    def spans(self) -> list[tuple[str, str]]:
        """Start and stop of every programme as ISO texts without seconds of zero."""
        return [_span(start, stop) for rows in self.rows.values() for start, stop, *_ in rows]

    @property
    def shown(self) -> list[tuple[str, str, str]]:
        """What a grid shows of all channels: title, start, stop."""
        return [
            (title, *_span(start, stop)) for rows in self.rows.values() for start, stop, _, title, _ in timeline(rows)
        ]

    def lost(self) -> dict[str, Any]:
        return {kind: tally["count"] for kind, tally in self.losses.as_dict().items()}

    def noted(self) -> dict[str, Any]:
        return {kind: tally["count"] for kind, tally in self.losses.notes_dict().items()}


def _span(start: int, stop: int) -> tuple[str, str]:
    return _iso(start), _iso(stop)


def _iso(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S").removesuffix(":00")


def read(
    data: bytes | str | Readable,
    *,
    zone: tzinfo = UTC,
    window: tuple[int, int] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    max_bytes: int = 200 * MB,
    reader: str = "fast",
) -> Reading:
    """Reads a file; whatever it holds, every programme of it is either in the rows or counted as lost."""
    found = Reading()
    gathered: dict[str, Gathered] = {}
    stream = (
        io.BytesIO(data.encode()) if isinstance(data, str) else io.BytesIO(data) if isinstance(data, bytes) else data
    )
    with unpacked(stream, max_bytes=max_bytes, losses=found.losses) as plain:
        for item in READERS[reader](plain, stamps=Stamps(zone), losses=found.losses, chunk_bytes=chunk_bytes):
            assert found.end.programmes < 0, "nothing comes behind the end"
            if isinstance(item, Head):
                found.head = item.attributes
            elif isinstance(item, ChannelElement):
                found.channels.append(item)
            elif isinstance(item, Batch):
                gathered.setdefault(item.channel, Gathered(item.channel)).extend(item)
            elif isinstance(item, End):
                found.end = item
    for channel, one in gathered.items():
        rows = clean(one.rows, losses=found.losses)
        if window:
            rows = rows.at(keep(rows.starts, rows.stops, window, losses=found.losses, titles=rows.titles))
        found.rows[channel] = rows
    assert sum(map(len, found.rows.values())) + found.losses.total() == found.end.programmes
    check_samples(found.losses)
    return found


def check_samples(losses: Losses) -> None:
    """Every kind that was counted shows at least one sample, and not too many."""
    for kind, tally in {**losses.as_dict(), **losses.notes_dict()}.items():
        samples: Any = tally["samples"]
        count: Any = tally["count"]
        assert len(samples) <= min(count, 5), kind
        assert all(isinstance(sample, str) and len(sample) <= 200 for sample in samples), kind


class Work:
    """What parsing cost, counted: parsers made and bytes shown to them. The same on every machine."""

    def __init__(self) -> None:
        self.parsers = 0
        self.parsed_bytes = 0


class _Counting:
    """An expat parser that counts what it is shown."""

    def __init__(self, parser: Any, work: Work) -> None:
        self.__dict__.update(_parser=parser, _work=work)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._parser, name, value)

    def Parse(self, data: bytes, final: bool = False) -> int:
        self._work.parsed_bytes += len(data)
        return int(self._parser.Parse(data, final))


@contextmanager
def counted_work() -> Iterator[Work]:
    """Counts the parsing done inside the block."""
    work = Work()
    make = pyexpat.ParserCreate

    def counting(*arguments: Any, **options: Any) -> Any:
        work.parsers += 1
        return _Counting(make(*arguments, **options), work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyexpat, "ParserCreate", counting)
        yield work
