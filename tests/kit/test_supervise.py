"""The tree of processes starts together and ends together, whatever happens to one of them. Real processes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]


class Tree:
    """A supervisor with its two children, and the file that all of them write into."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(
        self, web: str = "ready", keeper: str = "ready", *, grace_s: float = 8.0, env: dict[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.apps.tree", str(self.log), str(grace_s), web, keeper],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stderr=subprocess.PIPE,
        )

    def words(self, name: str) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[2] for line in lines if line.split()[0] == name]

    def pids(self, name: str = "") -> list[int]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = [line.split() for line in lines]
        return [int(pid) for who, pid, word in found if word == "start" and name in ("", who)]

    def ready(self) -> None:
        until(lambda: self.words("supervisor"), what="the tree to be ready")

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ended(self) -> int:
        assert self.process is not None
        return self.process.wait(30)

    def nobody_left(self) -> None:
        until(lambda: not [pid for pid in self.pids() if _lives(pid)], what="every child to end")


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path / "log")
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.communicate(timeout=30)
    for pid in made.pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_ready_is_told_once_when_all_are_up(tree: Tree) -> None:
    tree.start(web="ready", keeper="ready")
    tree.ready()
    tree.send(signal.SIGTERM)
    assert tree.ended() == 0
    assert tree.words("supervisor") == ["ready"]


def test_ready_waits_for_the_last(tree: Tree) -> None:
    tree.start(web="ready", keeper="plain,end")
    until(lambda: len(tree.pids()) == 2, what="both to start")
    (tree.log.with_name("end")).touch()
    until(lambda: len(tree.pids("keeper")) == 2, what="the keeper to be started again")
    assert tree.words("supervisor") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_signal_ends_all_in_time(tree: Tree, number: int) -> None:
    tree.start(keeper="ready,grandchild")
    tree.ready()
    began = time.monotonic()
    tree.send(number)
    assert tree.ended() == 0
    assert time.monotonic() - began < 8, "nobody had to be killed"
    assert (tree.words("web"), tree.words("keeper")) == (["start", "SIGTERM"], ["start", "SIGTERM"])
    tree.nobody_left()


def test_a_stubborn_child_is_killed_after_the_grace_and_told_of(tree: Tree) -> None:
    tree.start(keeper="ready,stubborn", grace_s=0.5)
    tree.ready()
    tree.send(signal.SIGTERM)
    assert tree.ended() == 0
    assert tree.process is not None
    assert tree.process.stderr is not None
    assert b"did not end within 0.5 s: killed" in tree.process.stderr.read()
    tree.nobody_left()


def test_the_end_of_the_web_server_is_the_end_of_all_with_its_code(tree: Tree) -> None:
    tree.start(web="ready,end")
    tree.ready()
    tree.log.with_name("end").touch()
    assert tree.ended() == 5
    assert tree.words("keeper") == ["start", "SIGTERM"]
    tree.nobody_left()


def test_a_killed_web_server_is_the_end_of_all_too(tree: Tree) -> None:
    tree.start()
    tree.ready()
    os.kill(tree.pids("web")[0], signal.SIGKILL)
    assert tree.ended() == 128 + signal.SIGKILL
    tree.nobody_left()


def test_a_killed_keeper_is_started_again_and_the_web_server_stays(tree: Tree) -> None:
    tree.start()
    tree.ready()
    os.kill(tree.pids("keeper")[0], signal.SIGKILL)
    until(lambda: len(tree.pids("keeper")) == 2, what="the keeper to be started again")
    assert len(tree.pids("web")) == 1
    assert _lives(tree.pids("web")[0])
    assert tree.words("supervisor") == ["ready"]


def test_a_keeper_that_crashes_is_started_again_with_longer_and_longer_pauses(tree: Tree) -> None:
    tree.start(keeper="crash")
    until(lambda: len(tree.pids("keeper")) >= 3, what="the third start")
    tree.send(signal.SIGTERM)
    assert tree.ended() == 0
    assert tree.process is not None
    assert tree.process.stderr is not None
    told = tree.process.stderr.read().decode()
    assert "keeper ended with 3; starting it again in 1 s" in told
    assert "keeper ended with 3; starting it again in 2 s" in told


def test_a_killed_supervisor_leaves_nobody(tree: Tree) -> None:
    tree.start(web="ready,stubborn", keeper="ready,stubborn,grandchild")
    tree.ready()
    tree.send(signal.SIGKILL)
    assert tree.ended() == -signal.SIGKILL
    assert len(tree.pids()) == 3
    tree.nobody_left()


def test_a_hangup_is_passed_on_to_who_wants_it(tree: Tree) -> None:
    tree.start()
    tree.ready()
    tree.send(signal.SIGHUP)
    until(lambda: "SIGHUP" in tree.words("keeper"), what="the keeper to hear of it")
    assert tree.words("supervisor") == ["ready", "hangup"]
    tree.send(signal.SIGTERM)
    assert tree.ended() == 0
    assert "SIGHUP" not in tree.words("web")


def test_systemd_is_told(tree: Tree, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(20)
        tree.start(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        heard: list[bytes] = []
        while b"READY=1" not in heard:
            heard.append(ear.recv(100))
        tree.send(signal.SIGTERM)
        while b"STOPPING=1" not in heard:
            heard.append(ear.recv(100))
    assert heard.count(b"READY=1") == 1
