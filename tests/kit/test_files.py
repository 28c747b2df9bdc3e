"""A file is whole or not there, whatever happens to its writer; a lock is one process's."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from servicekit.errors import Conflict
from servicekit.files import atomic_file, atomic_write, run_lock, waiting_lock

HOLDER = """
import sys, pathlib
from servicekit.files import run_lock
with run_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    atomic_write(tmp_path / "deep" / "a.txt", b"one")
    atomic_write(tmp_path / "deep" / "a.txt", b"two")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == b"two"
    assert names(tmp_path / "deep") == ["a.txt"]


def test_a_body_that_raises_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_write(path, b"old")
    with pytest.raises(RuntimeError, match="stop"), atomic_file(path) as stream:
        stream.write(b"half")
        assert path.read_bytes() == b"old"
        raise RuntimeError("stop")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_a_body_that_raises_makes_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "a.txt") as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


@pytest.mark.parametrize("mode", [0o600, 0o644], ids=oct)
def test_the_mode_is_the_one_asked_for(tmp_path: Path, mode: int) -> None:
    old = os.umask(0o022)
    try:
        atomic_write(tmp_path / "a", b"", mode=mode)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_a_lock_is_refused_to_a_second_process_with_a_sentence_and_free_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "run" / "keeper.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match=r"keeper\.lock is locked: another process"), run_lock(path):
            raise AssertionError("two hold it")
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        with run_lock(path):
            pass


def test_a_lock_is_free_again_after_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with run_lock(tmp_path / "a.lock"):
            pass
    with waiting_lock(tmp_path / "a.lock"):
        pass
