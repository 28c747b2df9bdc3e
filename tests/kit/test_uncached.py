"""Files written past the cache: the same bytes, whatever the pieces and the disk."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from servicekit.uncached import BLOCK_BYTES, CACHED_BYTES, UncachedFile, UncachedStream

SIZES = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, CACHED_BYTES, CACHED_BYTES + 3 * BLOCK_BYTES + 17]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("piece", [100_003, 3 * BLOCK_BYTES + 5], ids=["small", "large"])
def test_what_is_written_stands_in_the_file(tmp_path: Path, size: int, piece: int) -> None:
    data = os.urandom(BLOCK_BYTES) * (size // BLOCK_BYTES) + os.urandom(size % BLOCK_BYTES)
    with UncachedFile(tmp_path / "file") as file:
        for at in range(0, size, piece):
            file.write(data[at : at + piece])
    assert (tmp_path / "file").read_bytes() == data
    with UncachedStream(tmp_path / "file") as stream:
        parts = iter(lambda: stream.read(piece), b"")
        assert b"".join(parts) == data


@pytest.mark.parametrize("refusing", ["the flag", "the use"])
def test_a_disk_that_needs_the_cache_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: str) -> None:
    really_set, really_write, really_read = fcntl.fcntl, os.write, os.readv

    def flags(descriptor: int, command: int, value: int = 0) -> int:
        if refusing == "the flag" and command == fcntl.F_SETFL and value & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no")
        return really_set(descriptor, command, value)

    def write(descriptor: int, data: Any) -> int:
        if refusing == "the use" and really_set(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no")
        return really_write(descriptor, data)

    def read(descriptor: int, buffers: Any) -> int:
        if refusing == "the use" and really_set(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no")
        return really_read(descriptor, buffers)

    monkeypatch.setattr(fcntl, "fcntl", flags)
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "readv", read)
    data = os.urandom(CACHED_BYTES + 2 * BLOCK_BYTES + 5)
    with UncachedFile(tmp_path / "file") as file:
        file.write(data)
    assert (tmp_path / "file").read_bytes() == data
    with UncachedStream(tmp_path / "file") as stream:
        assert stream.read(len(data) + 1) == data


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"), UncachedFile(tmp_path / "file") as file:
        file.write(b"x" * (BLOCK_BYTES + 1))
