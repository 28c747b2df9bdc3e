"""What patching hides, seen from an unpatched process, and from one that gevent has patched."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stream_service import native

ROOT = Path(__file__).parents[2]


def test_a_call_runs_here_and_gives_its_result() -> None:
    assert native.call(threading.current_thread) is threading.current_thread()
    assert native.call(int, "ff", base=16) == 255


def test_a_call_raises_what_its_function_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        native.call(lambda: 1 / 0)


def test_spawn_runs_beside_the_caller() -> None:
    done = threading.Event()
    native.spawn(done.set, name="test")
    assert done.wait(20)


PATCHED = """
import gevent.monkey
gevent.monkey.patch_all()
import gevent, os, threading
from stream_service import native

assert native.patched()
out, into = os.pipe()
gevent.spawn_later(0.05, os.write, into, b"x")        # runs only if the read below holds up no greenlet
assert native.call(os.read, out, 1) == b"x"
try:
    native.call(lambda: 1 / 0)
except ZeroDivisionError:
    pass
else:
    raise AssertionError("the error was lost")
import contextvars
name = contextvars.ContextVar("name")
name.set("the caller's")
assert native.call(name.get) == "the caller's"
kernel = native.epoll()
assert kernel is not None and kernel.poll(0) == []
kernel.close()
assert native.poll().poll(0) == []
ran = threading.Event()
native.spawn(ran.set, name="test")
assert not ran.is_set()                                # the caller was not switched away from
assert ran.wait(5)
near, far = __import__("socket").socketpair()
bare = native.bare_copy(near)
assert bare.send(b"hello") == 5
try:
    bare.recv(1)
except BlockingIOError:
    pass
else:
    raise AssertionError("a bare socket never waits")
bare.close()
assert far.recv(5) == b"hello"
"""


def test_under_gevent_nothing_here_holds_up_the_loop() -> None:
    done = subprocess.run([sys.executable, "-c", PATCHED], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
