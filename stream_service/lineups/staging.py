"""Files of a lineup on their way to be published: written where nobody looks, then moved into place by renames.

What is half made is never seen, and whatever happens, nothing of it is left behind.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

STAGED = ".staged"
BUFFER_BYTES = 1 << 18


class Staging:
    """The place for one build of one lineup; `with` it, and it is clean again afterwards, also after an error."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._staged = directory / STAGED
        self._ready: list[str] = []
        self._dropped: list[str] = []

    def __enter__(self) -> "Staging":
        shutil.rmtree(self._staged, ignore_errors=True)  # of a build that was killed
        self._staged.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._staged, ignore_errors=True)

    def put(self, name: str, pieces: Iterable[bytes], *, mode: int = 0o644) -> None:
        """Stage a file, unless the published one holds these bytes already: its time and tag then stay."""
        staged, published = self._staged / name, self._directory / name
        staged.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb", buffering=BUFFER_BYTES) as file:  # noqa: PTH123
            file.writelines(pieces)
            file.flush()
            if _same(staged, published):
                return
            os.fsync(file.fileno())
        staged.chmod(mode)
        self._ready.append(name)

    def drop(self, name: str) -> None:
        """A file that is published no more."""
        self._dropped.append(name)

    def publish(self) -> int:
        """Move everything into place; returns how many files are others than before."""
        for name in self._ready:
            (self._directory / name).parent.mkdir(parents=True, exist_ok=True)
            (self._staged / name).replace(self._directory / name)
        for name in self._dropped:
            (self._directory / name).unlink(missing_ok=True)
        if self._ready:
            handle = os.open(self._directory, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        return len(self._ready)


def _same(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes."""
    try:
        if one.stat().st_size != other.stat().st_size:
            return False
    except FileNotFoundError:
        return False
    with one.open("rb", buffering=0) as left, other.open("rb", buffering=0) as right:
        while piece := left.read(BUFFER_BYTES):
            if piece != right.read(len(piece)):
                return False
    return True
