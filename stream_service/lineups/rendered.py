"""Published texts with a client's origin put in: one file for each address that clients call us by, made once and kept.

What is for one user (their name and password stand in it) is kept in the same way, readable by nobody else. Texts are
worked on a slice at a time: no single step holds the interpreter long enough for a stream to notice.
"""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path

import orjson
from isal import isal_zlib

from servicekit.files import atomic_file
from stream_service.outputs.origin import with_origin

MAX_ORIGINS = 8
MAX_REWRITTEN = 32
SLICE_BYTES = 256 * 1024

Call = Callable[[Callable[[], object]], object]
"""Runs a function where it may wait for a disk."""
Stamp = tuple[int, int, int]
Rewrite = Callable[[bytes], bytes]
"""Makes whole entries of a text into what one client gets; two that compare equal do the same."""


def _directly(work: Callable[[], object]) -> object:
    return work()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file that can be sent as it stands. The ETag is of its bytes, so it is another one for another origin."""

    path: Path
    etag: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rendering: of a published text, for an origin, maybe for one user, maybe packed (gzip)."""

    published: Path
    origin: str
    rewrite: Rewrite | None = None
    packed: bool = False

    @property
    def suffix(self) -> str:
        return self.published.suffix + (".gz" if self.packed else "")


class RenderedPlaylists:
    """Renders of published texts; at most eight origins are kept for each, then the oldest goes.

    `call` takes the work with files off the loop that carries the streams. The lock is held by the threads that ask and
    never inside `call`: in the web process those are greenlets, and a lock of theirs shared with native threads hangs.
    """

    def __init__(self, directory: Path, *, call: Call = _directly) -> None:
        self._directory = directory
        self._call = call
        self._lock = threading.Lock()
        self._kept: dict[Wanted, tuple[Stamp, Rendered]] = {}

    def of(
        self, published: Path, origin: str, *, rewrite: Rewrite | None = None, packed: bool = False
    ) -> Rendered | None:
        """The text of `published` for the clients of `origin`; None when nothing was published yet."""
        wanted = Wanted(published, origin, rewrite, packed)
        with self._lock:
            known = self._kept.get(wanted)
            work = _Work(wanted, self._directory, known)
            self._call(work.do)
            if work.stamp is None or work.made is None:
                return None
            if known is None or known[1] != work.made:
                self._keep(wanted, work.stamp, work.made)
            return work.made

    def part(self, published: Path, origin: str, category: str, *, packed: bool) -> bytes | None:
        """The list of one category out of a text with an index (`outputs.xtream.by_category`).

        Read and packed off the loop; None when nothing was published yet.
        """
        return _PartWork(published, origin, category, packed).done(self._call)

    def _keep(self, wanted: Wanted, stamp: Stamp, made: Rendered) -> None:
        before = self._kept.pop(wanted, None)
        self._kept[wanted] = (stamp, made)
        gone = [before[1]] if before else []
        like = [
            one
            for one in self._kept
            if (one.published, one.packed, one.rewrite is None)
            == (wanted.published, wanted.packed, wanted.rewrite is None)
        ]
        most = MAX_ORIGINS if wanted.rewrite is None else MAX_REWRITTEN
        gone += [self._kept.pop(one)[1] for one in like[: max(0, len(like) - most)]]
        still = {rendered.path for _, rendered in self._kept.values()}
        for rendered in gone:
            if rendered.path not in still:
                self._call(partial(rendered.path.unlink, missing_ok=True))

    def clear(self) -> None:
        """Remove what earlier processes left. Called once, before anyone asks."""
        for path in self._directory.glob("*"):
            path.unlink(missing_ok=True)


@dataclass(slots=True)
class _Work:
    """One look at a published file, and a rendering where what is kept is not of that file. Touches nothing shared."""

    wanted: Wanted
    directory: Path
    known: tuple[Stamp, Rendered] | None
    stamp: Stamp | None = field(default=None, init=False)
    made: Rendered | None = field(default=None, init=False)

    def do(self) -> None:
        """Fill `stamp` and `made`; both stay None when nothing is published."""
        try:
            state = self.wanted.published.stat()
        except FileNotFoundError:
            return
        self.stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
        if self.known is not None and self.known[0] == self.stamp and self.known[1].path.exists():
            self.made = self.known[1]
            return
        text = self.wanted.published.read_bytes()
        digest = blake2b(b"%d" % self.wanted.packed, digest_size=12)
        pieces = list(self._pieces(text))
        for piece in pieces:
            digest.update(piece)
        path = self.directory / f"{os.getpid()}-{digest.hexdigest()}{self.wanted.suffix}"
        with atomic_file(path, mode=0o644 if self.wanted.rewrite is None else 0o600) as stream:
            for piece in _packed(pieces) if self.wanted.packed else pieces:
                stream.write(piece)
        self.made = Rendered(path, digest.hexdigest())

    def _pieces(self, text: bytes) -> Iterator[bytes]:
        for piece in slices(text, b"\n#EXTINF" if self.wanted.published.suffix == ".m3u" else b","):
            rewritten = piece if self.wanted.rewrite is None else self.wanted.rewrite(piece)
            yield with_origin(rewritten, self.wanted.origin)


@dataclass(slots=True)
class _PartWork:
    """One look into a published text that has an index. Touches nothing shared."""

    published: Path
    origin: str
    category: str
    packed: bool
    found: bytes | None = field(default=None, init=False)

    def done(self, call: Call) -> bytes | None:
        call(self.do)
        return self.found

    def do(self) -> None:
        try:
            stream = self.published.open("rb")
        except FileNotFoundError:
            return
        with stream:
            line = stream.readline()
            index = orjson.loads(line)
            start, end = index.get(self.category, (0, 0))
            if "file" in index:  # the parts stand in the whole list itself, without brackets of their own
                text = b"[" + _between(self.published.with_name(index["file"]), start, end) + b"]"
            else:
                stream.seek(len(line) + start)
                text = stream.read(end - start) or b"[]"
        pieces = [with_origin(piece, self.origin) for piece in slices(text, b",")]
        self.found = b"".join(_packed(pieces) if self.packed else pieces)


def _between(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(end - start)


def slices(text: bytes, between: bytes, *, size: int = SLICE_BYTES) -> Iterator[bytes]:
    """The text in parts of about `size` bytes, each cut before a `between`, so that no entry and no token is cut."""
    start = 0
    while start < len(text):
        end = text.find(between, start + size)
        if end < 0:
            end = len(text)
        else:
            end += 1 if between.startswith(b"\n") else 0  # the end of a line stays with its line
        yield text[start:end]
        start = end


def _packed(pieces: list[bytes]) -> Iterator[bytes]:
    packer = isal_zlib.compressobj(isal_zlib.ISAL_DEFAULT_COMPRESSION, isal_zlib.DEFLATED, 16 + isal_zlib.MAX_WBITS)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()
