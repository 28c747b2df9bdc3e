"""A file of the import directory as an upstream, at the pace at which it plays: `file:NAME`.

For films on a channel of one's own and for tests. A transport stream is paced by its own clock (PCR); other containers
go through ffmpeg, which paces. Only names inside the import directory, only for what an administrator typed.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from servicekit.clock import Clock
from servicekit.errors import Invalid, Refused, Unreachable
from stream_service import native
from stream_service.domain.model import StreamAddress
from stream_service.relay.mpegts import PACKET_BYTES, find_sync
from stream_service.relay.pacing import PacedQueue

SCHEME = "file"
HEAD_BYTES = 65_536
_CHUNK_BYTES = 256 * PACKET_BYTES
_QUEUE_BYTES = 4 * 1024 * 1024
_BURST_S = 3.0
_CLOCK_HZ = 27_000_000
_CLOCK_WRAP = (1 << 33) * 300
_LONGEST_S = 10.0
_USUAL_BYTES_PER_S = 1_000_000
"""The pace of what carries no clock."""


def file_of(address: StreamAddress, import_dir: Path) -> Path:
    """The file that `file:NAME` means. Raises `Refused`, `Invalid` (outside), `Unreachable` (not there)."""
    if not address.private_ok:
        raise Refused("files are streamed only when an administrator named them")
    name = unquote(address.url.partition(":")[2])
    root = import_dir.resolve()
    if "\0" in name or not name:
        raise Invalid("file: the name of a file in the import directory is needed")
    path = (root / name.lstrip("/")).resolve()
    if not path.is_relative_to(root):
        raise Invalid(f"file: {name!r} leads out of the import directory")
    if not path.is_file():
        raise Unreachable(f"there is no file {name!r} in the import directory {import_dir}")
    return path


class PacedFile:
    """A file of transport stream packets."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.ended: str | None = None
        self._path = path
        self._queue = PacedQueue(clock=clock, max_bytes=_QUEUE_BYTES, burst_s=_BURST_S)
        native.spawn(self._read, name="file reader")

    def drain(self, into: memoryview) -> int:
        filled = self._queue.drain(into)
        self.ended = self._queue.ended
        return filled

    def close(self) -> None:
        self._queue.close()

    def _read(self) -> None:
        reason = "the file has ended"
        try:
            last: int | None = None
            for chunk in chunks_of(self._path):
                clocks = clocks_of(chunk)
                since = last if last is not None else (clocks[0] if clocks else None)
                duration_s = len(chunk) / _USUAL_BYTES_PER_S
                if clocks and since is not None:
                    passed_s = (clocks[-1] - since) % _CLOCK_WRAP / _CLOCK_HZ
                    duration_s = passed_s if passed_s <= _LONGEST_S else duration_s
                    last = clocks[-1]
                if not self._queue.put(chunk, duration_s):
                    return
        except OSError as error:
            reason = f"the file cannot be read: {error.strerror or error}"
        finally:
            self._queue.finish(reason)


class PlainFile:
    """Any file as it is, without a pace: ffmpeg's input."""

    def __init__(self, path: Path) -> None:
        self.ended: str | None = None
        self._chunks = chunks_of(path)

    def drain(self, into: memoryview) -> int:
        chunk = next(self._chunks, b"")
        if not chunk:
            self.ended = "the file has ended"
        into[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._chunks.close()  # type: ignore[attr-defined]


def chunks_of(path: Path) -> Iterator[bytes]:
    """The file in pieces; reading a disk is taken off the loop."""
    with path.open("rb", buffering=0) as stream:
        while chunk := native.call(stream.read, _CHUNK_BYTES):
            yield chunk


def head_of(path: Path) -> bytes:
    """The file's first bytes."""

    def read() -> bytes:
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)

    return native.call(read)


def clocks_of(packets: bytes) -> list[int]:
    """The program clock references (27 MHz) among whole packets (ISO/IEC 13818-1, 2.4.3.5)."""
    start = find_sync(packets, 0)
    return [
        (field >> 15) * 300 + (field & 0x1FF)
        for at in range(max(start, 0), len(packets) - PACKET_BYTES + 1, PACKET_BYTES)
        if packets[at] == 0x47 and packets[at + 3] & 0x20 and packets[at + 4] >= 7 and packets[at + 5] & 0x10
        for field in (int.from_bytes(packets[at + 6 : at + 12], "big"),)
    ]
