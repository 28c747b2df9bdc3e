"""The channels that viewers are served from: in memory, swapped whole when a new catalogue is published.

Nothing here touches the database. In the web process a thread looks at the published file once a second; reading it is
done in slices on a native thread, so that the relay's loop goes on while a hundred thousand channels come in.

    {"lineup": "default", "delivery": "relay"}                   from here on its channels
    ["id", "number", "name", [streams], "delivery", xtream_id]   a channel
    ["id", "number"]                                             a channel that stood whole in a lineup above
    ["old id", null, "id", xtream_id]                            merged into that one: players may still ask for it
"""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from stream_service.domain.lineup import DEFAULT
from stream_service.domain.model import RELAY, ChannelTarget, StreamAddress

SLICE_BYTES = 64 * 1024
"""About 250 channels, a millisecond of work."""
PAUSE_S = 0.002
EVERY_S = 1.0
SHORT = 2
"""A line with more values than this holds a whole channel."""

_log = logging.getLogger("catalogue")

Call = Callable[[Callable[[], object]], object]
"""Runs a function where it may wait for a disk, and returns what it returns."""

_Stamp = tuple[int, int, int]


def _directly(work: Callable[[], object]) -> object:
    return work()


class _Contents:
    """What a catalogue holds; filled while it is read, never changed afterwards."""

    def __init__(self) -> None:
        self.channels: dict[str, ChannelTarget] = {}
        self.by_xtream_id: dict[int, ChannelTarget] = {}
        self.lineups: dict[str, dict[str, str]] = {}
        """Lineup -> number -> folded id of the channel."""
        self.members: dict[str, set[str]] = {}
        self.deliveries: dict[str, str] = {}
        self._lineup = ""

    def take(self, said: Any) -> None:
        """One line of the file: a lineup begins, or one of its channels, whole or by its id and number."""
        if isinstance(said, dict):
            self._lineup = said["lineup"]
            self.lineups[self._lineup], self.members[self._lineup] = {}, set()
            if delivery := said.get("delivery"):
                self.deliveries[self._lineup] = delivery
            return
        folded = said[0].casefold()
        if said[1] is None:
            self._alias(folded, said[2], said[3])
            return
        if len(said) > SHORT:
            ident, number, name, streams, delivery, xtream_id = said
            target = ChannelTarget(
                ident, number, name, tuple(StreamAddress(*one) for one in streams), delivery, xtream_id
            )
            self.channels[folded] = self.by_xtream_id[xtream_id] = target
        elif self.deliveries.get(self._lineup) == RELAY and folded not in self.members.get(DEFAULT, ()):
            self._relay(folded)
        self.lineups[self._lineup][said[1]] = folded
        self.members[self._lineup].add(folded)

    def _relay(self, folded: str) -> None:
        """A channel that `default` has not and a lineup relays: so does the address that names no lineup, as that one
        writes it, whatever the lineups above it do."""
        before = self.channels[folded]
        if before.delivery != RELAY:
            self.channels[folded] = self.by_xtream_id[before.xtream_id] = replace(before, delivery=RELAY)

    def _alias(self, folded: str, leads_to: str, xtream_id: int) -> None:
        """A channel that was merged into another one: it is found under its old names, unless it stands for itself."""
        target = self.channels.get(leads_to.casefold())
        if target is not None:
            self.channels.setdefault(folded, target)
            self.by_xtream_id.setdefault(xtream_id, target)


class Catalogue:
    """Channel ids -> targets. `call` takes work off the loop that carries the streams (`native.call`)."""

    def __init__(self, path: Path, *, call: Call = _directly) -> None:
        self._path = path
        self._call = call
        self._now = _Contents()
        self._stamp: _Stamp | None = None
        self._reading = threading.Lock()
        self._stopping = threading.Event()

    def get(self, channel_id: str) -> ChannelTarget | None:
        """The channel of that id, whatever the case of its letters; None when no lineup has it."""
        return self._now.channels.get(channel_id.casefold())

    def find(self, channel_id: str) -> ChannelTarget | None:
        """As `get`; before it says None it looks whether another catalogue was published this very second."""
        found = self.get(channel_id)
        if found is None:
            self.look()  # or whoever looked meanwhile
            found = self.get(channel_id)
        return found

    def by_xtream_id(self, xtream_id: int) -> ChannelTarget | None:
        """The channel that Xtream clients know by this number."""
        return self._now.by_xtream_id.get(xtream_id)

    def by_number(self, lineup: str, number: str) -> ChannelTarget | None:
        """The channel that has this number in a lineup."""
        now = self._now
        folded = now.lineups.get(lineup, {}).get(number)
        target = None if folded is None else now.channels.get(folded)
        return None if target is None else self.as_in(lineup, target)

    def as_in(self, lineup: str, target: ChannelTarget) -> ChannelTarget:
        """The channel as this lineup delivers it: several lineups may have it, each in its own way."""
        delivery = self._now.deliveries.get(lineup, target.delivery)
        return target if delivery == target.delivery else replace(target, delivery=delivery)

    def tuned(self, lineup: str, number: str) -> ChannelTarget | None:
        """As `by_number`; before it says None it looks whether another catalogue was published this very second."""
        found = self.by_number(lineup, number)
        if found is None:
            self.look()
            found = self.by_number(lineup, number)
        return found

    def count(self, lineup: str) -> int:
        """How many channels a lineup has."""
        return len(self._now.members.get(lineup, ()))

    def in_lineup(self, lineup: str, channel_id: str) -> bool:
        """Whether a lineup has this channel."""
        return channel_id.casefold() in self._now.members.get(lineup, ())

    def __len__(self) -> int:
        return len(self._now.channels)

    def look(self) -> bool:
        """Read the file if another one was published; True when the channels were swapped. One reads at a time."""
        with self._reading:
            return self._look()

    def _look(self) -> bool:
        stamp = self._call(self._stamp_now)
        if stamp is None or stamp == self._stamp:
            return False
        try:
            contents = self._read()
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            _log.error("the catalogue %s cannot be read, the one before stays: %s", self._path, error)
            self._stamp = stamp  # type: ignore[assignment]
            return False
        self._now, self._stamp = contents, stamp  # type: ignore[assignment]
        _log.info("catalogue: %d channels", len(contents.channels))
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

    def _read(self) -> _Contents:
        """The whole file, a slice at a time with a breath between: other threads of this process have work to do."""
        with self._path.open("rb", buffering=0) as stream:
            slices = _Slices(stream)
            while not slices.ended:
                self._call(slices.take)
                self._stopping.wait(PAUSE_S)
        return slices.contents


class _Slices:
    """The file a piece at a time."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._rest = b""
        self.contents = _Contents()
        self.ended = False

    def take(self) -> None:
        """Read the next piece; after the last, `ended` is true."""
        piece = os.read(self._stream.fileno(), SLICE_BYTES)
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            self.contents.take(orjson.loads(line))
        self.ended = not piece
