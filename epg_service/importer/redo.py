"""The redo log of an import: everything that is to change, complete and on the disk before the first row changes.

Two files beside each other. `N.redo` holds the changed days, one frame each, a provider's channel after the other;
`N.json` is written last, when the verdict was given: what was decided, and the channels. A log without its `N.json`
means nothing and is thrown away; one with it is applied, by this keeper or by the next.
"""

import dataclasses
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from isal import isal_zlib

from epg_service.domain.days import PackedDay
from epg_service.domain.entities import RunStatus
from servicekit.files import atomic_write, on_disk
from servicekit.uncached import UncachedFile, UncachedStream

_FRAME = struct.Struct("<IHIIIII")
"""Length of the channel's id, the day, lengths of contents, titles, parts and body, and a checksum of them all."""


class BrokenLog(Exception):
    """The log does not hold what was written to it."""


@dataclass(frozen=True, slots=True)
class ChannelNote:
    """What the file said of a channel."""

    id: str
    display_name: str | None
    icon_url: str | None
    element: str | None


@dataclass(frozen=True, slots=True)
class Decided:
    """The content of `N.json`."""

    run_id: int
    provider_id: int
    provider_name: str
    status: RunStatus
    imported: int
    skipped: int
    good: Mapping[str, object]
    last_day: int
    """The last day of the file: what is stored after it stays."""
    report: Mapping[str, object]
    channels: Sequence[ChannelNote] = field(default_factory=tuple)


class RedoLog:
    """The files of one run."""

    def __init__(self, directory: Path, run_id: int) -> None:
        self._days = directory / f"{run_id}.redo"
        self._decided = directory / f"{run_id}.json"

    def writer(self) -> "RedoWriter":
        """A writer of the changed days."""
        return RedoWriter(self._days)

    def decide(self, decided: Decided) -> None:
        """Gives the log its meaning. From here on it will be applied."""
        text = json.dumps(dataclasses.asdict(decided), ensure_ascii=True)
        atomic_write(self._decided, text.encode(), mode=0o600)

    def decided(self) -> Decided | None:
        """What was decided, or None when nothing was."""
        try:
            raw = json.loads(self._decided.read_text("ascii"))
        except FileNotFoundError:
            return None
        return Decided(**{**raw, "channels": tuple(ChannelNote(**note) for note in raw["channels"])})

    def days(self, last_day: int) -> Iterator[tuple[str, list[PackedDay]]]:
        """The changed days, grouped by the provider's channel, but for those emptied after `last_day`.

        Raises `BrokenLog`.
        """
        current: str | None = None
        group: list[PackedDay] = []
        with UncachedStream(self._days) as stream:
            while head := stream.read(_FRAME.size):
                channel, day = _frame(head, stream.read)
                if channel != current and current is not None:
                    yield current, group
                    group = []
                current = channel
                if day.contents or day.day <= last_day:
                    group.append(day)
        if current is not None:
            yield current, group

    def remove(self) -> None:
        """Forgets the log. The decision goes last, so a cut-off removal is done again."""
        self._days.unlink(missing_ok=True)
        self._decided.unlink(missing_ok=True)


class RedoWriter:
    """Appends changed days; on the disk when closed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._stream = UncachedFile(path)

    def add(self, channel: str, day: PackedDay) -> None:
        """One changed day of the provider's channel."""
        name = channel.encode()
        frame = b"".join((name, day.contents, day.titles, day.parts, day.body))
        lengths = (len(name), day.day, len(day.contents), len(day.titles), len(day.parts), len(day.body))
        self._stream.write(_FRAME.pack(*lengths, isal_zlib.crc32(frame)))
        self._stream.write(frame)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.__exit__(kind, error, at)
        if kind is None:
            on_disk(self._path)


def _frame(head: bytes, read: "_Read") -> tuple[str, PackedDay]:
    if len(head) < _FRAME.size:
        raise BrokenLog("the redo log breaks off")
    name_length, day, contents_length, titles_length, parts_length, body_length, check = _FRAME.unpack(head)
    frame = read(name_length + contents_length + titles_length + parts_length + body_length)
    if isal_zlib.crc32(frame) != check:
        raise BrokenLog("the redo log is damaged")
    titles_at = name_length + contents_length
    parts_at = titles_at + titles_length
    body_at = parts_at + parts_length
    contents, titles, parts = frame[name_length:titles_at], frame[titles_at:parts_at], frame[parts_at:body_at]
    return frame[:name_length].decode(), PackedDay(day, contents, titles, frame[body_at:], parts)


class _Read(Protocol):
    def __call__(self, n: int, /) -> bytes: ...
