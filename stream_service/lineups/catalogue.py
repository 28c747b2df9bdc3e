"""The channels that viewers are served from: in memory, swapped whole when a new catalogue is published.

Nothing here touches the database. In the web process a thread looks at the published file once a second; reading it is
done in slices on a native thread, so that the relay's loop goes on while a hundred thousand channels come in.
"""

import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from stream_service.domain.model import ChannelTarget, StreamAddress

SLICE_BYTES = 64 * 1024
"""About 250 channels, a millisecond of work."""
PAUSE_S = 0.002
EVERY_S = 1.0

_log = logging.getLogger("catalogue")

Call = Callable[[Callable[[], object]], object]
"""Runs a function where it may wait for a disk, and returns what it returns."""

_Stamp = tuple[int, int, int]
_Channels = dict[str, ChannelTarget]


def _directly(work: Callable[[], object]) -> object:
    return work()


class Catalogue:
    """Channel ids -> targets. `call` takes work off the loop that carries the streams (`native.call`)."""

    def __init__(self, path: Path, *, call: Call = _directly) -> None:
        self._path = path
        self._call = call
        self._channels: _Channels = {}
        self._stamp: _Stamp | None = None
        self._reading = threading.Lock()
        self._stopping = threading.Event()

    def get(self, channel_id: str) -> ChannelTarget | None:
        """The channel of that id, whatever the case of its letters; None when no lineup has it."""
        return self._channels.get(channel_id.casefold())

    def find(self, channel_id: str) -> ChannelTarget | None:
        """As `get`; before it says None it looks whether another catalogue was published this very second."""
        found = self.get(channel_id)
        if found is None:
            self.look()  # or whoever looked meanwhile
            found = self.get(channel_id)
        return found

    def __len__(self) -> int:
        return len(self._channels)

    def look(self) -> bool:
        """Read the file if another one was published; True when the channels were swapped. One reads at a time."""
        with self._reading:
            return self._look()

    def _look(self) -> bool:
        stamp = self._call(self._stamp_now)
        if stamp is None or stamp == self._stamp:
            return False
        try:
            channels = self._read()
        except (OSError, ValueError, TypeError) as error:
            _log.error("the catalogue %s cannot be read, the one before stays: %s", self._path, error)
            self._stamp = stamp  # type: ignore[assignment]
            return False
        self._channels, self._stamp = channels, stamp  # type: ignore[assignment]
        _log.info("catalogue: %d channels", len(channels))
        return True

    def follow(self, *, every_s: float = EVERY_S) -> Callable[[], None]:
        """Look again and again on a thread; returns the way to stop it."""
        thread = threading.Thread(target=self._follow, args=(every_s,), name="catalogue", daemon=True)
        thread.start()

        def stop() -> None:
            self._stopping.set()
            thread.join()

        return stop

    def _follow(self, every_s: float) -> None:
        while not self._stopping.wait(every_s):
            self.look()

    def _stamp_now(self) -> _Stamp | None:
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return None
        return state.st_mtime_ns, state.st_size, state.st_ino

    def _read(self) -> _Channels:
        """The whole file, a slice at a time with a breath between: other threads of this process have work to do."""
        channels: _Channels = {}
        with self._path.open("rb", buffering=0) as stream:
            slices = _Slices(stream)
            while not slices.ended:
                self._call(slices.take)
                channels |= slices.found
                self._stopping.wait(PAUSE_S)
        return channels


class _Slices:
    """The file a piece at a time: `found` holds the channels of the last one."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._rest = b""
        self.found: _Channels = {}
        self.ended = False

    def take(self) -> None:
        """Read the next piece; after the last, `ended` is true."""
        piece = os.read(self._stream.fileno(), SLICE_BYTES)
        *whole, self._rest = (self._rest + piece).split(b"\n")
        targets = [_target(line) for line in whole if line]
        self.found = {target.id.casefold(): target for target in targets}
        self.ended = not piece


def _target(line: bytes) -> ChannelTarget:
    ident, number, name, streams, delivery = json.loads(line)
    return ChannelTarget(ident, number, name, tuple(StreamAddress(*stream) for stream in streams), delivery)
