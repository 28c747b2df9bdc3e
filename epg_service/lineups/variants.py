"""Guides that are asked for with options: rendered when first asked for, kept as files, the least used ones go.

    DATA/published/epg/variants/NAME.KEY~DIGEST.xml[.gz]     rendered, as other published guides
    DATA/published/epg/variants/NAME.KEY.used                touched at every use: the order in which they go
    DATA/published/epg/variants/.NN.lock                     held by the one worker that renders it

A variant is good as long as the guide it was made from was made from the same (`Publication.basis`). Who asks for one
that is being rendered waits for it, in whichever worker; one is rendered at a time, so that a worker keeps a core.
"""

import contextlib
import fcntl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

from epg_service.domain.profiles import Options
from epg_service.lineups.published import Publication, PublishedGuides
from epg_service.lineups.render import Piece
from servicekit.errors import Unavailable

MOST = 32
MOST_BYTES = 512 << 20
WAIT_S = 60.0
LOCKS = 64
_LOOK_S = 0.02
_STALE_S = 3600


class Rendered(Protocol):
    """Renders a guide with options."""

    def pieces(self, name: str, options: Options, now_s: int) -> Iterable[Piece]: ...
    def usual(self, name: str) -> Options: ...
    def settled(self, name: str) -> bool: ...


class Variants:
    """Finds guides with options, and renders those that are not there."""

    def __init__(
        self,
        *,
        published: PublishedGuides,
        rendered: Rendered,
        most: int = MOST,
        most_bytes: int = MOST_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._published = published
        self._rendered = rendered
        self._most = most
        self._most_bytes = most_bytes
        self._monotonic = monotonic
        self._directory = published.directory / "variants"
        self._kept = PublishedGuides(self._directory, versions=1)

    def find(self, name: str, options: Options) -> Publication | None:
        """The published guide of a name as `options` ask for it, rendered now where it is not there; None when that
        guide was never published. Raises `Invalid` for channels and groups that it has not, `Unavailable` when others
        are rendered for too long."""
        base = self._published.find(name)
        if base is None or options == self._rendered.usual(name):
            return base
        key = f"{name}.{blake2b(options.key().encode(), digest_size=12).hexdigest()}"
        found = self._good(key, _basis(base, options))
        if found is None:
            found = self._made(key, name, options)
        (self._directory / f"{key}.used").touch()
        return found

    def _good(self, key: str, basis: str) -> Publication | None:
        found = self._kept.find(key)
        return found if found is not None and found.basis == basis and found.there else None

    def _made(self, key: str, name: str, options: Options) -> Publication:
        """Renders it, unless another did while this one waited."""
        self._directory.mkdir(parents=True, exist_ok=True)
        until = self._monotonic() + WAIT_S
        with self._held(self._directory / f".{zlib.crc32(key.encode()) % LOCKS}.lock", until):
            base = self._published.find(name)
            if base is None:
                raise Unavailable("this guide is being published; try again in a moment")
            basis = _basis(base, options)
            if found := self._good(key, basis):
                return found
            with self._held(self._directory / ".render.lock", until):
                if not self._rendered.settled(name):
                    basis = ""  # a lineup that is not matched yet: good for this answer alone
                pieces = self._rendered.pieces(name, options, base.at)
                made = self._kept.publish(key, pieces, basis=basis, at=base.at)
                self._evict(key)
        return made

    @contextlib.contextmanager
    def _held(self, path: Path, until: float) -> Iterator[None]:
        """Holds a lock between threads and processes; raises `Unavailable` when it is not free until then."""
        with path.open("a+") as stream:
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._monotonic() > until:
                        raise Unavailable("other guides are being made; try again in a moment") from None
                    time.sleep(_LOOK_S)
            yield

    def _evict(self, newest: str) -> None:
        """Removes the least recently used beyond the bounds; the newest one always stays."""
        others = sorted((name for name in self._kept.names() if name != newest), key=self._last_use, reverse=True)
        kept, total = 1, self._size(newest)
        for name in others:
            total += self._size(name)
            kept += 1
            if kept > self._most or total > self._most_bytes:
                self._kept.remove(name)
                (self._directory / f"{name}.used").unlink(missing_ok=True)
        self._sweep_stale()

    def _size(self, name: str) -> int:
        found = self._kept.find(name)
        return found.size_bytes if found else 0

    def _last_use(self, name: str) -> float:
        try:
            return (self._directory / f"{name}.used").stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _sweep_stale(self) -> None:
        """What a worker that was killed left half written; one is rendered at a time, and never for an hour."""
        for path in self._directory.glob(".*.staged"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()


def _basis(base: Publication, options: Options) -> str:
    """What a variant is made from; one that depends on the time is made again at every publication."""
    return f"{base.basis or base.digest}@{base.at if options.timed else ''}"
