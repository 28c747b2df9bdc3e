"""Published guides: finished files, immutable under their digest, switched by one small index.

    DATA/published/epg/NAME~DIGEST.xml, NAME~DIGEST.xml.gz      written once, fsynced, never changed
    DATA/published/epg/index.json                               name -> digest, replaced by an atomic rename

A reader takes the name from the index and opens the file; the version before stays until the next publication, so
nobody finds a gap. Unchanged content keeps its digest, and with it its ETag.
"""

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import xxhash
from isal import igzip

from servicekit.files import atomic_file, atomic_write, waiting_lock

GZIP_LEVEL = 2
_WRITE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Publication:
    """A published guide: its two files and what names its content."""

    name: str
    digest: str
    plain: Path
    packed: Path


class PublishedGuides:
    """Writes and finds published guides."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._index_path = directory / "index.json"
        self._stamp: tuple[int, int] | None = None
        self._index: dict[str, list[str]] = {}
        self._mutex = threading.Lock()

    def find(self, name: str) -> Publication | None:
        """The current version of a guide, or None when it was never published."""
        digests = self._current().get(name)
        return self._publication(name, digests[0]) if digests else None

    def publish(self, name: str, pieces: Iterable[bytes]) -> Publication:
        """Writes the guide that `pieces` make up, and makes it the current one; the same content changes nothing."""
        self._directory.mkdir(parents=True, exist_ok=True)
        staged = self._directory / f".{name}.{os.getpid()}-{threading.get_ident()}.staged"
        staged_packed = staged.with_suffix(".gz.staged")
        try:
            made = self._publication(name, _write_staged(staged, pieces))
            current = self.find(name)
            if current is not None and current.digest == made.digest and made.plain.exists() and made.packed.exists():
                return current
            _pack(staged, staged_packed)
            with waiting_lock(self._directory / ".lock"):
                staged_packed.replace(made.packed)
                staged.replace(made.plain)
                self._switch(name, made.digest)
        finally:
            staged.unlink(missing_ok=True)
            staged_packed.unlink(missing_ok=True)
        return made

    def _switch(self, name: str, digest: str) -> None:
        """Makes a version the current one; the one before stays for those who have its name already."""
        index = self._read()
        kept = [digest, *[old for old in index.get(name, []) if old != digest]][:2]
        atomic_write(self._index_path, json.dumps({**index, name: kept}).encode())
        self._sweep(name, kept)

    def tidy(self) -> None:
        """Removes what a publisher that was killed left half written. Only for who knows that nobody publishes."""
        for path in [*self._directory.glob(".*.staged"), *self._directory.glob(".*.tmp")]:
            path.unlink(missing_ok=True)

    def _publication(self, name: str, digest: str) -> Publication:
        plain = self._directory / f"{name}~{digest}.xml"
        return Publication(name, digest, plain, plain.with_suffix(".xml.gz"))

    def _sweep(self, name: str, kept: list[str]) -> None:
        for path in self._directory.glob(f"{name}~*.xml*"):
            if path.name.removesuffix(".gz").removesuffix(".xml").rpartition("~")[2] not in kept:
                path.unlink(missing_ok=True)

    def _current(self) -> dict[str, list[str]]:
        try:
            state = self._index_path.stat()
        except FileNotFoundError:
            return {}
        with self._mutex:
            if self._stamp != (state.st_mtime_ns, state.st_ino):
                self._index, self._stamp = self._read(), (state.st_mtime_ns, state.st_ino)
            return self._index

    def _read(self) -> dict[str, list[str]]:
        try:
            found = json.loads(self._index_path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _write_staged(path: Path, pieces: Iterable[bytes]) -> str:
    digest = xxhash.xxh3_128()
    with path.open("wb", buffering=_WRITE_BYTES) as stream:
        for piece in pieces:
            digest.update(piece)
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()


def _pack(source: Path, target: Path) -> None:
    """The gzip beside it; its header carries no time, so the same text gives the same bytes."""
    with (
        source.open("rb") as plain,
        atomic_file(target) as out,
        igzip.IGzipFile(  # type: ignore[no-untyped-call]
            fileobj=out, mode="wb", compresslevel=GZIP_LEVEL, mtime=0, filename=""
        ) as packed,
    ):
        while piece := plain.read(_WRITE_BYTES):
            packed.write(piece)  # type: ignore[no-untyped-call]
