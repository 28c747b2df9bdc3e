"""Files of a lineup on their way to be published: written where nobody looks, then moved into place by renames.

What is half made is never seen, and whatever happens, nothing of it is left behind.
"""

import os
import shutil
from pathlib import Path
from types import TracebackType

STAGED = ".staged"


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

    def put(self, name: str, data: bytes, *, mode: int = 0o644) -> None:
        """Stage a file, unless the published one holds these bytes already: its time and tag then stay."""
        published = self._directory / name
        try:
            if published.stat().st_size == len(data) and published.read_bytes() == data:
                return
        except FileNotFoundError:
            pass
        (self._staged / name).parent.mkdir(parents=True, exist_ok=True)
        staged = os.open(self._staged / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(staged, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        (self._staged / name).chmod(mode)
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
