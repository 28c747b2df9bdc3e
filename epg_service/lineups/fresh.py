"""The texts that an import packs, kept beside until they are published: so nothing new has to be inflated for that.

    DATA/work/texts, DATA/work/texts.places     written by one import, removed when its guide is published

They are a convenience: where there is no room for them, or they are gone, publishing inflates what it needs.
"""

import contextlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from epg_service.lineups.places import EarlierText, Places, PlacesFile, check_of, keys_of
from servicekit.uncached import UncachedFile

ROOM = 4
"""So many times what is written has to be free: the database, the redo log and the published files need it more."""
LOOK_BYTES = 32 << 20
"""How often that is looked at."""
_DIGEST = b"texts of imports"  # nothing reads them as a whole, so none is counted

_log = logging.getLogger("publish")


class FreshTexts:
    """Written by an import, read by the publication after it; both in one process, one after the other."""

    def __init__(self, directory: Path) -> None:
        self._plain = directory / "texts"
        self._places_path = directory / "texts.places"
        self._writing: _Writing | None = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """While an import packs; what an earlier one left is forgotten. Nothing is kept of one that breaks off."""
        self.clear()
        try:
            with self._never_mind():
                self._plain.parent.mkdir(parents=True, exist_ok=True)
                self._writing = _Writing(self._plain, self._places_path)
            yield
            with self._never_mind():
                if self._writing is not None:
                    self._writing.end()
                    self._writing = None
        except BaseException:
            self.clear()
            raise

    def add(self, channel_id: str, packed: Sequence[tuple[bytes, bytes]]) -> None:
        """What was packed of a provider's channel: deflated bytes, and their text. Only while `writing`."""
        if packed and self._writing is not None:
            with self._never_mind():
                self._writing.add(channel_id, packed)

    @contextlib.contextmanager
    def opened(self) -> Iterator[list[EarlierText]]:
        """What an import that has ended left, as sources of texts; it is removed behind that."""
        with contextlib.ExitStack() as opened:
            found: list[EarlierText] = []
            if self._writing is None:
                opened.callback(self.clear)
                with contextlib.suppress(OSError, ValueError):
                    found.append(
                        opened.enter_context(EarlierText(self._plain, self._places_path, _DIGEST, cached_bytes=0))
                    )
            yield found

    def clear(self) -> None:
        """Removes what there is."""
        if self._writing is not None:
            self._writing.drop()
            self._writing = None
        for path in (self._plain, self._places_path):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _never_mind(self) -> Iterator[None]:
        """Gives up where the disk fails: nothing depends on these texts."""
        try:
            yield
        except OSError as error:
            _log.info("the texts of this import are not kept for its publication: %s", error)
            self.clear()


class _Writing:
    """Texts on their way into the files."""

    def __init__(self, plain: Path, places: Path) -> None:
        self._directory = plain.parent
        with contextlib.ExitStack() as opened:
            self._stream = opened.enter_context(UncachedFile(plain, cached_bytes=0))
            stream = opened.enter_context(places.open("wb"))
            self._open = opened.pop_all()
        self._places_file = PlacesFile(stream)
        self._channel_id = ""
        self._places = Places()
        self._size = 0
        self._looked_at = 0

    def add(self, channel_id: str, packed: Sequence[tuple[bytes, bytes]]) -> None:
        if channel_id != self._channel_id:
            self._end_channel()
            self._channel_id = channel_id
        texts = [text for _, text in packed]
        self._places.add(keys_of(body for body, _ in packed), texts, list(map(check_of, texts)), self._size)
        for text in texts:
            self._stream.write(text)
            self._size += len(text)
        if self._size - self._looked_at >= LOOK_BYTES:
            self._looked_at = self._size
            if shutil.disk_usage(self._directory).free < ROOM * self._size:
                raise OSError("there is little room left on the disk")

    def _end_channel(self) -> None:
        if self._places.keys:
            self._places_file.add(self._channel_id, self._places)
            self._places = Places()

    def end(self) -> None:
        self._end_channel()
        self._places_file.end(_DIGEST, self._size)
        self._open.close()

    def drop(self) -> None:
        """Closes the files, whatever is in them."""
        with contextlib.suppress(OSError):
            self._open.__exit__(OSError, OSError(), None)
