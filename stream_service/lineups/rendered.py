"""Playlists with a client's origin put in: one file for each address that clients call us by, made once and kept."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path

from servicekit.files import atomic_write
from stream_service.outputs.origin import with_origin

MAX_ORIGINS = 8

Call = Callable[[Callable[[], object]], object]
"""Runs a function where it may wait for a disk."""
Stamp = tuple[int, int, int]


def _directly(work: Callable[[], object]) -> object:
    return work()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file that can be sent as it stands. The ETag is of its bytes, so it is another one for another origin."""

    path: Path
    etag: str


class RenderedPlaylists:
    """Renders of published texts; at most eight origins are kept for each, then the oldest goes.

    `call` takes the work with files off the loop that carries the streams. The lock is held by the threads that ask and
    never inside `call`: in the web process those are greenlets, and a lock of theirs shared with native threads hangs.
    """

    def __init__(self, directory: Path, *, call: Call = _directly) -> None:
        self._directory = directory
        self._call = call
        self._lock = threading.Lock()
        self._kept: dict[tuple[Path, str], tuple[Stamp, Rendered]] = {}

    def of(self, published: Path, origin: str) -> Rendered | None:
        """The text of `published` for the clients of `origin`; None when nothing was published yet."""
        with self._lock:
            known = self._kept.get((published, origin))
            work = _Work(published, origin, self._directory, known)
            self._call(work.do)
            if work.stamp is None or work.made is None:
                return None
            if known is None or known[1] != work.made:
                self._keep(published, origin, work.stamp, work.made)
            return work.made

    def _keep(self, published: Path, origin: str, stamp: tuple[int, int, int], made: Rendered) -> None:
        before = self._kept.pop((published, origin), None)
        self._kept[published, origin] = (stamp, made)
        gone = [before[1]] if before else []
        own = [key for key in self._kept if key[0] == published]
        gone += [self._kept.pop(key)[1] for key in own[: max(0, len(own) - MAX_ORIGINS)]]
        still = {rendered.path for _, rendered in self._kept.values()}
        for rendered in gone:
            if rendered.path not in still:
                self._call(partial(rendered.path.unlink, missing_ok=True))

    def clear(self) -> None:
        """Remove what earlier processes left. Called once, before anyone asks."""
        for path in self._directory.glob("*"):
            path.unlink(missing_ok=True)


class _Work:
    """One look at a published file, and a rendering where what is kept is not of that file. Touches nothing shared."""

    def __init__(self, published: Path, origin: str, directory: Path, known: tuple[Stamp, Rendered] | None) -> None:
        self._published = published
        self._origin = origin
        self._directory = directory
        self._known = known
        self.stamp: Stamp | None = None
        self.made: Rendered | None = None

    def do(self) -> None:
        """Fill `stamp` and `made`; both stay None when nothing is published."""
        try:
            state = self._published.stat()
        except FileNotFoundError:
            return
        self.stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
        if self._known is not None and self._known[0] == self.stamp and self._known[1].path.exists():
            self.made = self._known[1]
            return
        text = with_origin(self._published.read_bytes(), self._origin)
        etag = blake2b(text, digest_size=12).hexdigest()
        path = self._directory / f"{os.getpid()}-{etag}{self._published.suffix}"
        atomic_write(path, text)
        self.made = Rendered(path, etag)
