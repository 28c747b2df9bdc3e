"""Files that are whole or not there, and locks between processes."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from servicekit.errors import Conflict


@contextlib.contextmanager
def atomic_file(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write that appears under `path` when the block ends, whole and on disk; nothing if it raises.

    A temporary file beside it, fsync, rename, fsync of the directory: a reader sees the old or the new text.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    on_disk(path.parent)


def atomic_write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Puts `data` under `path` in one step (see `atomic_file`)."""
    with atomic_file(path, mode=mode) as stream:
        stream.write(data)


def on_disk(path: Path) -> None:
    """Waits until what was written to a file, or the names in a directory, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Holds `path` locked for this process; raises `Conflict` when another process holds it.

    flock goes away with its process however that ends, so a `kill -9` leaves nothing to clean.
    """
    with _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
        yield


@contextlib.contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Holds `path` locked, after waiting for whoever holds it now. Only for work that takes milliseconds."""
    with _locked(path, fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, how)
        except BlockingIOError as error:
            raise Conflict(f"{path} is locked: another process of this service is running") from error
        yield
