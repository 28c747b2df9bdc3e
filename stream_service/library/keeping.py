"""What the keeper does for the library behind every build: the published lists, then the tree of `.strm` files."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import AerialError
from stream_service.library.publish import LibraryLists
from stream_service.library.publish import Titles as ListedTitles
from stream_service.library.strm import StrmTree
from stream_service.library.strm import Titles as TreeTitles

AGAIN_S = 6 * 3600.0
"""Episodes become known one series at a time, so the tree is looked at again although no list changed."""
_log = logging.getLogger("library")


class Titles(ListedTitles, TreeTitles, Protocol):
    """What both ask of the store."""


class LibraryKeeping:
    """`tree` is None where no directory was named. The tree is written on a thread: nobody waits for its disk."""

    def __init__(self, lists: LibraryLists, tree: StrmTree | None, *, clock: Clock) -> None:
        self._lists = lists
        self._tree = tree
        self._clock = clock
        self._due_s = 0.0
        self._writing = threading.Lock()

    def look(self) -> None:
        """Bring everything in step."""
        changed = self._lists.publish()
        now_s = self._clock.monotonic()
        if self._tree is None or not (changed or now_s >= self._due_s) or not self._writing.acquire(blocking=False):
            return
        self._due_s = now_s + AGAIN_S
        threading.Thread(target=self._write, args=(self._tree.write,), name="strm", daemon=True).start()

    def _write(self, work: Callable[[], object]) -> None:
        try:
            work()
        except (AerialError, OSError) as error:
            self._due_s = 0.0
            _log.error("the .strm files cannot be written: %s", error)
        finally:
            self._writing.release()


def library_keeping(titles: Titles, *, root: Path, strm_dir: Path | None, origin: str, clock: Clock) -> LibraryKeeping:
    """Without an `origin` there is no tree: media servers could not reach us by what stands in it."""
    tree = StrmTree(titles, directory=strm_dir, origin=origin) if strm_dir is not None and origin else None
    if strm_dir is not None and not origin:
        _log.error(
            "library.strm_dir is set, but neither library.strm_url nor public_url is: no .strm files are written"
        )
    return LibraryKeeping(LibraryLists(titles, root), tree, clock=clock)
