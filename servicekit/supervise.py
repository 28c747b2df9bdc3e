"""A tree of processes that starts together and ends together. No threads, and no application is imported here.

    supervisor ── web server (gunicorn and its workers)
               └─ keeper

Every child is a session of its own, so a Ctrl-C of the terminal reaches the supervisor alone, which then ends the
children in order. Every child dies with its parent: by PR_SET_PDEATHSIG on Linux, by the end of an inherited pipe
elsewhere. A `kill -9` of any process therefore leaves no orphan that holds a port.
"""

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

GRACE_S = 8.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
STEADY_S = 60.0
"""A child that ran this long before it ended starts again after the first, shortest pause."""

READY_FD = "AERIAL_READY_FD"
"""Environment variable: a descriptor on which a child says its name and a newline when it is up."""
LIFE_FD = "AERIAL_LIFE_FD"
"""Environment variable: a pipe that ends when the supervisor does (read where PR_SET_PDEATHSIG is missing)."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep. `restart`: start it again when it ends; otherwise its end is the end of all."""

    name: str
    command: Sequence[str]
    restart: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    hangup: bool = False
    """Whether SIGHUP is passed on to it."""


def supervise(
    children: Sequence[Child],
    *,
    grace_s: float = GRACE_S,
    on_ready: Callable[[], None] | None = None,
    on_hangup: Callable[[], None] | None = None,
) -> int:
    """Runs the children until a signal or the end of one that is not restarted; returns the exit code.

    SIGINT and SIGTERM become SIGTERM for all, `grace_s` later SIGKILL. `on_ready` is called once, when every child
    has said that it is up (see `say_ready`); systemd is told as well (sd_notify).
    """
    return _Tree(children, grace_s, on_ready, on_hangup).run()


def say_ready(name: str) -> None:
    """A child's word that it is up; does nothing when no supervisor listens."""
    if descriptor := os.environ.get(READY_FD):
        with contextlib.suppress(OSError):  # the supervisor may be gone already: then nobody waits for this
            os.write(int(descriptor), f"{name}\n".encode())


def die_with_parent(parent: int | None = None) -> None:
    """Called in a child: ends this process, for sure and at once, when its parent ends.

    `parent` is the expected parent's process id; when it is gone already, this process ends now.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    elif descriptor := os.environ.get(LIFE_FD):
        threading.Thread(target=_end_with_pipe, args=(int(descriptor),), name="life", daemon=True).start()
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def _end_with_pipe(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGKILL)


class _Running:
    """A child with its process, or with the time of its next start."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.next_start = 0.0
        self.pause_s = FIRST_PAUSE_S
        self.ready = False


class _Tree:
    def __init__(
        self,
        children: Sequence[Child],
        grace_s: float,
        on_ready: Callable[[], None] | None,
        on_hangup: Callable[[], None] | None,
    ) -> None:
        self._running = [_Running(child) for child in children]
        self._grace_s = grace_s
        self._on_ready = on_ready
        self._on_hangup = on_hangup
        self._announced = False
        self._asked: list[int] = []
        self._wake_read, self._wake_write = (
            os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else os.pipe()
        )
        self._ready_read, self._ready_write = os.pipe()
        self._life_read, self._life_write = os.pipe()
        for descriptor in (self._wake_read, self._wake_write, self._ready_read):
            os.set_blocking(descriptor, False)

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda got, frame: self._asked.append(got))
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for one in self._running:
            self._start(one)
        while True:
            self._sleep()
            code = self._turn()
            if code is not None:
                return code

    def _sleep(self) -> None:
        due = min((one.next_start for one in self._running if one.process is None), default=None)
        limit_s = 1.0 if due is None else max(0.0, min(1.0, due - time.monotonic()))
        readable, _, _ = select.select([self._wake_read, self._ready_read], [], [], limit_s)
        for descriptor in readable:
            with contextlib.suppress(BlockingIOError):
                heard = os.read(descriptor, 4096)
                if descriptor == self._ready_read:
                    self._hear(heard.decode("ascii", "replace").split())
        _notify_systemd("WATCHDOG=1")

    def _hear(self, names: Sequence[str]) -> None:
        for one in self._running:
            one.ready = one.ready or one.child.name in names
        if not self._announced and all(one.ready for one in self._running):
            self._announced = True
            _notify_systemd("READY=1")
            if self._on_ready:
                self._on_ready()

    def _turn(self) -> int | None:
        """One look at signals and children; the exit code when all is over."""
        asked, self._asked = self._asked, []
        if signal.SIGINT in asked or signal.SIGTERM in asked:
            self._end_all()
            return 0
        if signal.SIGHUP in asked:
            self._hang_up()
        now = time.monotonic()
        for one in self._running:
            if one.process is not None and (code := one.process.poll()) is not None:
                if not one.child.restart:
                    _say(f"{one.child.name} ended with {code}: everything ends")
                    one.process = None
                    self._end_all()
                    return code if code >= 0 else 128 - code
                self._rest(one, code, now)
            elif one.process is None and now >= one.next_start:
                self._start(one)
        return None

    def _rest(self, one: _Running, code: int, now: float) -> None:
        if now - one.started > STEADY_S:
            one.pause_s = FIRST_PAUSE_S
        _say(f"{one.child.name} ended with {code}; starting it again in {one.pause_s:g} s")
        one.process, one.next_start = None, now + one.pause_s
        one.pause_s = min(one.pause_s * 2, LONGEST_PAUSE_S)

    def _start(self, one: _Running) -> None:
        parent = os.getpid()
        environment = {**os.environ, **one.child.env, READY_FD: str(self._ready_write), LIFE_FD: str(self._life_read)}
        one.started = time.monotonic()
        one.process = subprocess.Popen(
            list(one.child.command),
            env=environment,
            start_new_session=True,
            pass_fds=(self._ready_write, self._life_read),
            preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - this process has one thread
        )

    def _hang_up(self) -> None:
        if self._on_hangup:
            self._on_hangup()
        for one in self._running:
            if one.process is not None and one.child.hangup:
                one.process.send_signal(signal.SIGHUP)

    def _end_all(self) -> None:
        _notify_systemd("STOPPING=1")
        alive = [one.process for one in self._running if one.process is not None and one.process.poll() is None]
        for process in alive:
            process.terminate()
        end = time.monotonic() + self._grace_s
        for process in alive:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                _say(f"process {process.pid} did not end within {self._grace_s:g} s: killed")
                process.kill()
                process.wait()


def _notify_systemd(state: str) -> None:
    """sd_notify(3): one datagram to the socket that systemd names; nothing without one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.send(state.encode())


def _say(sentence: str) -> None:
    sys.stderr.write(f"supervisor: {sentence}\n")
    sys.stderr.flush()
