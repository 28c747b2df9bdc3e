"""Large files, written once from front to back, and read so, past the cache of pages.

New pages of the cache cost more than all else in writing a gigabyte (0.3 to 2 s of CPU, the more on a virtual machine),
and push out what others need. Small files stay in the cache: they are asked for soon.
"""

import contextlib
import fcntl
import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Self

BLOCK_BYTES = 4 << 20
CACHED_BYTES = 16 << 20
"""So much of each file goes through the cache."""
_DIRECT = getattr(os, "O_DIRECT", 0)  # macOS has none


class UncachedFile:
    """A new file to write; what stood under its path is gone. A disk that needs the cache gets it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._view = memoryview(mmap.mmap(-1, BLOCK_BYTES))  # begins at a page, as writing past the cache asks for
        self._filled = 0
        self._written = 0
        self._direct = False

    def write(self, data: bytes) -> None:
        """Appends."""
        end = self._filled + len(data)
        if end < BLOCK_BYTES:
            self._view[self._filled : end] = data
            self._filled = end
            return
        rest = memoryview(data)
        while rest:
            part = rest[: BLOCK_BYTES - self._filled]
            self._view[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            rest = rest[len(part) :]
            if self._filled == BLOCK_BYTES:
                self._flush()

    def _flush(self) -> None:
        """Writes the block as far as it is filled."""
        if self._written == CACHED_BYTES and not self._direct:
            self._direct = _past_the_cache(self._descriptor, True)
        elif self._direct and self._filled < BLOCK_BYTES:  # the file's end fills no page
            self._direct = not _past_the_cache(self._descriptor, False)
        at = 0
        while at < self._filled:
            try:
                at += os.write(self._descriptor, self._view[at : self._filled])
            except OSError:
                if not self._direct:
                    raise
                self._direct = not _past_the_cache(self._descriptor, False)
        self._written += at
        self._filled = 0

    def close(self) -> None:
        """Writes what is left."""
        try:
            self._flush()
        finally:
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            os.close(self._descriptor)


class UncachedStream:
    """A file as `UncachedFile` wrote it, read from front to back: its beginning through the cache, the rest past it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._view = memoryview(mmap.mmap(-1, BLOCK_BYTES))
        self._unread = self._view[:0]
        self._position = 0
        self._direct = False

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes, fewer at the end of the file."""
        if size <= len(self._unread):
            part, self._unread = self._unread[:size], self._unread[size:]
            return bytes(part)
        parts = [bytes(self._unread)]
        missing = size - len(self._unread)
        while missing and self._fill():
            part, self._unread = self._unread[:missing], self._unread[missing:]
            parts.append(bytes(part))
            missing -= len(part)
        return b"".join(parts)

    def _fill(self) -> bool:
        """Reads the next block; False at the end of the file."""
        if self._position == CACHED_BYTES and not self._direct:
            self._direct = _past_the_cache(self._descriptor, True)
        try:
            count = os.readv(self._descriptor, [self._view])
        except OSError:
            if not self._direct:
                raise
            self._direct = not _past_the_cache(self._descriptor, False)
            count = os.readv(self._descriptor, [self._view])
        self._position += count
        self._unread = self._view[:count]
        return count > 0

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _past_the_cache(descriptor: int, on: bool) -> bool:
    """Switches the cache off or on; whether that could be done."""
    if not _DIRECT:
        return False
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | _DIRECT if on else flags & ~_DIRECT)
        return True
    return False
