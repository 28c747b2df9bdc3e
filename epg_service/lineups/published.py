"""Published guides: finished files, immutable under their digest, switched by one small index.

    DATA/published/epg/NAME~DIGEST.xml, NAME~DIGEST.xml.gz      written once, fsynced, never changed
    DATA/published/epg/NAME~DIGEST.xml.places                   what the version after may copy; nobody misses it
    DATA/published/epg/index.json                               name -> digests and more, replaced by an atomic rename

A reader takes the name from the index and opens the file; the version before stays until the next publication, so
nobody finds a gap. Unchanged content keeps its digest, and with it its ETag. Text and gzip are written side by side,
and what stood in the version before is copied from it (`lineups.writing`).
"""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from epg_service.lineups.places import EarlierText
from epg_service.lineups.writing import GuideText, Piece
from servicekit.files import atomic_write, on_disk, waiting_lock
from servicekit.uncached import UncachedFile

_log = logging.getLogger("publish")


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
    def places(self) -> Path:
        """Where stored texts stand in it."""
        return self.plain.with_suffix(".xml.places")

    @property
    def size_bytes(self) -> int:
        """What it takes on the disk."""
        return sum(path.stat().st_size for path in (self.plain, self.packed, self.places) if path.exists())

    def earlier(self) -> EarlierText | None:
        """Opens it as a source of texts; None when it is none."""
        try:
            return EarlierText(self.plain, self.places, bytes.fromhex(self.digest))
        except (OSError, ValueError) as error:
            _log.debug("%s: all texts are made anew: %s", self.plain.name, error)
            return None


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

    def publish(
        self, name: str, pieces: Iterable[Piece], *, basis: str = "", at: int = 0, texts: Sequence[EarlierText] = ()
    ) -> Publication:
        """Writes the guide that `pieces` make up, and makes it the current one; the same content keeps its files.

        `texts`: where stored texts may stand beside the version before.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        own = f".{name}.{os.getpid()}-{threading.get_ident()}"
        staged = _Staged(*(self.directory / f"{own}{kind}.staged" for kind in ("", ".gz", ".places")))
        try:
            digest = _write_staged(staged, pieces, self.find(name), texts)
            made = replace(self._publication(name, digest), basis=basis, at=at)
            current = self.find(name)
            if current is not None and current.digest == made.digest and current.there:
                self._keep_places(staged, made)
                return self.still(current, basis=basis, at=at)
            for path in staged:
                on_disk(path)
            with waiting_lock(self.directory / ".lock"):
                self._keep_places(staged, made)
                staged.packed.replace(made.packed)
                staged.plain.replace(made.plain)
                self._switch(made)
        finally:
            for path in staged:
                path.unlink(missing_ok=True)
        return made

    @staticmethod
    def _keep_places(staged: "_Staged", made: Publication) -> None:
        if staged.places.stat().st_size:
            staged.places.replace(made.places)

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
            if path.name.rpartition("~")[2].partition(".")[0] not in kept:
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


class _Staged(NamedTuple):
    """The files of a version that is being written."""

    plain: Path
    packed: Path
    places: Path


def _write_staged(
    staged: _Staged, pieces: Iterable[Piece], before: Publication | None, texts: Sequence[EarlierText]
) -> str:
    """Writes the text, its gzip and the places; returns the digest of the text."""
    with contextlib.ExitStack() as opened:
        earlier = before.earlier() if before is not None else None
        sources = [opened.enter_context(earlier), *texts] if earlier is not None else texts
        plain = opened.enter_context(UncachedFile(staged.plain))
        packed = opened.enter_context(UncachedFile(staged.packed))
        places = opened.enter_context(staged.places.open("wb"))
        written = GuideText(plain, packed, places, sources)
        written.write(pieces)
    return written.digest
