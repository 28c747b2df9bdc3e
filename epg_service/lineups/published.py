"""Published guides: finished files, immutable under their digest, switched by one small index.

    DATA/published/epg/NAME~DIGEST.xml, NAME~DIGEST.xml.gz      written once, fsynced, never changed
    DATA/published/epg/index.json                               name -> digests and more, replaced by an atomic rename

A reader takes the name from the index and opens the file; the version before stays until the next publication, so
nobody finds a gap. Unchanged content keeps its digest, and with it its ETag. Text and gzip are written side by side,
so nothing is read twice.
"""

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xxhash

from epg_service.xmltv.gzipped import GzipText, Ready
from servicekit.files import atomic_write, on_disk, waiting_lock
from servicekit.uncached import UncachedFile


@dataclass(frozen=True, slots=True)
class Publication:
    """A published guide: its two files, what names its content, and what that was made from."""

    name: str
    digest: str
    plain: Path
    packed: Path
    basis: str = ""
    """What the content was made from: the same again makes the same file. Empty: not known."""
    at: int = 0
    """When it was last found to be up to date, epoch seconds."""

    @property
    def there(self) -> bool:
        """Whether both files are there."""
        return self.plain.exists() and self.packed.exists()

    @property
    def size_bytes(self) -> int:
        """What it takes on the disk."""
        return sum(path.stat().st_size for path in (self.plain, self.packed) if path.exists())


class PublishedGuides:
    """Writes and finds published guides."""

    def __init__(self, directory: Path, *, versions: int = 2) -> None:
        """`versions`: how many of each guide stay: the current one and those before it."""
        self.directory = directory
        self._versions = versions
        self._index_path = directory / "index.json"
        self._stamp: tuple[int, int] | None = None
        self._index: dict[str, dict[str, Any]] = {}
        self._mutex = threading.Lock()

    def find(self, name: str) -> Publication | None:
        """The current version of a guide, or None when it was never published."""
        entry = self._current().get(name)
        return self._of_entry(name, entry) if entry else None

    def names(self) -> list[str]:
        """All guides that were published."""
        return list(self._current())

    def publish(self, name: str, pieces: Iterable[bytes | Ready], *, basis: str = "", at: int = 0) -> Publication:
        """Writes the guide that `pieces` make up, and makes it the current one; the same content keeps its files."""
        self.directory.mkdir(parents=True, exist_ok=True)
        staged = self.directory / f".{name}.{os.getpid()}-{threading.get_ident()}.staged"
        staged_packed = staged.with_suffix(".gz.staged")
        try:
            digest = _write_staged(staged, staged_packed, pieces)
            made = replace(self._publication(name, digest), basis=basis, at=at)
            current = self.find(name)
            if current is not None and current.digest == made.digest and current.there:
                return self.still(current, basis=basis, at=at)
            for path in (staged, staged_packed):
                on_disk(path)
            with waiting_lock(self.directory / ".lock"):
                staged_packed.replace(made.packed)
                staged.replace(made.plain)
                self._switch(made)
        finally:
            staged.unlink(missing_ok=True)
            staged_packed.unlink(missing_ok=True)
        return made

    def still(self, found: Publication, *, basis: str, at: int) -> Publication:
        """Notes that a guide is up to date at an instant, without writing it again."""
        if (found.basis, found.at) != (basis, at):
            with waiting_lock(self.directory / ".lock"):
                self._switch(replace(found, basis=basis, at=at))
        return replace(found, basis=basis, at=at)

    def remove(self, name: str) -> None:
        """Forgets a guide and its files."""
        with waiting_lock(self.directory / ".lock"):
            index = self._read()
            if index.pop(name, None) is not None:
                atomic_write(self._index_path, json.dumps(index).encode())
            self._sweep(name, [])

    def _switch(self, made: Publication) -> None:
        """Makes a version the current one; the one before stays for those who have its name already."""
        index = self._read()
        before = index.get(made.name, {}).get("digests", [])
        kept = [made.digest, *[old for old in before if old != made.digest]][: self._versions]
        index[made.name] = {"digests": kept, "basis": made.basis, "at": made.at}
        atomic_write(self._index_path, json.dumps(index).encode())
        self._sweep(made.name, kept)

    def tidy(self) -> None:
        """Removes what a publisher that was killed left half written. Only for who knows that nobody publishes."""
        for path in [*self.directory.glob(".*.staged"), *self.directory.glob(".*.tmp")]:
            path.unlink(missing_ok=True)

    def _publication(self, name: str, digest: str) -> Publication:
        plain = self.directory / f"{name}~{digest}.xml"
        return Publication(name, digest, plain, plain.with_suffix(".xml.gz"))

    def _of_entry(self, name: str, entry: dict[str, Any]) -> Publication:
        found = self._publication(name, entry["digests"][0])
        return replace(found, basis=str(entry.get("basis", "")), at=int(entry.get("at", 0)))

    def _sweep(self, name: str, kept: list[str]) -> None:
        for path in self.directory.glob(f"{name}~*.xml*"):
            if path.name.removesuffix(".gz").removesuffix(".xml").rpartition("~")[2] not in kept:
                path.unlink(missing_ok=True)

    def _current(self) -> dict[str, dict[str, Any]]:
        try:
            state = self._index_path.stat()
        except FileNotFoundError:
            return {}
        with self._mutex:
            if self._stamp != (state.st_mtime_ns, state.st_ino):
                self._index, self._stamp = self._read(), (state.st_mtime_ns, state.st_ino)
            return self._index

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._index_path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        whole = found.items() if isinstance(found, dict) else ()
        return {name: entry for name, entry in whole if isinstance(entry, dict) and entry.get("digests")}


def _write_staged(plain: Path, packed: Path, pieces: Iterable[bytes | Ready]) -> str:
    """Writes the text and its gzip; returns the digest of the text."""
    digest = xxhash.xxh3_128()
    with UncachedFile(plain) as stream, UncachedFile(packed) as out:
        gzip = GzipText(out)
        for piece in pieces:
            text = piece.text if isinstance(piece, Ready) else piece
            digest.update(text)
            stream.write(text)
            gzip.write(piece)
        gzip.close()
    return digest.hexdigest()
