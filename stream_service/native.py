"""What gevent's patching hides or bends: the one module that may import gevent.

Under gunicorn's gevent worker every thread of the program is a greenlet of one loop, and the wheel that carries all
streams is one of them. Whatever waits in the kernel without gevent's knowledge (a file lock, a database) stops every
stream; `call` takes such work to a real thread. Outside that worker (tests, keeper, commands) nothing is patched and
everything here is the plain thing.
"""

import _socket
import contextvars
import importlib.util
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any, Generic, ParamSpec, TypeVar

BareSocket = _socket.socket
"""The socket underneath Python's own class: never patched, never switches."""

P = ParamSpec("P")
T = TypeVar("T")


def patched() -> bool:
    """True where gevent has made threads into greenlets (asked of the modules that are loaded; imports nothing)."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def call(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `fn`, which may wait on a lock or a disk; other greenlets go on meanwhile.

    Runs in gevent's pool of native threads when patched (with the caller's context variables), else right here. Raises
    what `fn` raises. What `fn` shares with other calls must be safe for real threads.
    """
    if not patched():
        return fn(*args, **kwargs)
    import gevent  # only where the worker has loaded it already

    outcome = _Outcome(partial(fn, *args, **kwargs))
    gevent.get_hub().threadpool.apply(contextvars.copy_context().run, (outcome.find,))
    return outcome.result()


class _Outcome(Generic[T]):
    """What a call gave or raised. Carried by hand, since gevent prints what is raised in its pool to stderr."""

    def __init__(self, fn: Callable[[], T]) -> None:
        self._fn = fn
        self._given: list[T] = []
        self._raised: BaseException | None = None

    def find(self) -> None:
        try:
            self._given.append(self._fn())
        except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
            self._raised = error

    def result(self) -> T:
        if self._raised is not None:
            raise self._raised
        return self._given[0]


def spawn(fn: Callable[[], object], *, name: str) -> None:
    """Run `fn` beside the caller: a greenlet when patched, else a daemon thread.

    When patched the caller is never switched away from, so signal handlers may use it (`Thread.start` would wait).
    """
    if not patched():
        threading.Thread(target=fn, name=name, daemon=True).start()
        return
    import gevent  # only where the worker has loaded it already

    gevent.spawn(fn)


def start_process(
    arguments: Sequence[str], *, stdin: int, stdout: int, stderr: int, more: Sequence[int] = ()
) -> "subprocess.Popen[bytes]":
    """A child in a session of its own, with these descriptors; raises `OSError` when it cannot be started.

    `more`: descriptors that it gets under the numbers that they have here.

    Always Python's own class: gevent's would copy this process's whole page table (`fork` instead of `vfork`), which
    stops every stream for milliseconds, and would wait in ways that real threads cannot. Ask `poll` for the end.
    """
    made: subprocess.Popen[bytes] = _plain_subprocess().Popen(
        list(arguments), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True, pass_fds=tuple(more)
    )
    return made


@lru_cache(maxsize=1)
def _plain_subprocess() -> Any:
    """Python's module as it was: what is loaded already was changed in place where gevent has patched."""
    if not patched():
        return subprocess
    spec = importlib.util.find_spec("subprocess")
    if spec is None or spec.loader is None:
        raise ImportError("Python's own subprocess module was not found")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    import gevent.monkey  # only where the worker has loaded it already

    # gevent closes a descriptor only when its loop turns next, but starting a process waits for that close.
    module.os = SimpleNamespace(**{**vars(os), "close": gevent.monkey.get_original("os", "close")})  # type: ignore[attr-defined]
    return module


def epoll() -> "select.epoll | None":
    """The kernel's own epoll, which patching removes; None where the system has none (macOS)."""
    if not sys.platform.startswith("linux"):
        return None
    if not patched():
        return select.epoll()
    import gevent.monkey  # only where the worker has loaded it already

    real: select.epoll = gevent.monkey.get_original("select", "epoll")()
    return real


def poll() -> "select.poll":
    """The kernel's own poll, for systems without epoll."""
    if not patched():
        return select.poll()
    import gevent.monkey  # only where the worker has loaded it already

    real: select.poll = gevent.monkey.get_original("select", "poll")()
    return real


def bare_socket(fd: int) -> BareSocket:
    """A non-blocking socket over `fd`, which it owns from now on, without gevent's layer: it never switches."""
    bare = BareSocket(fileno=fd)
    bare.setblocking(False)
    return bare


def bare_copy(of: BareSocket) -> BareSocket:
    """A second, bare descriptor of the same connection; both have to be closed."""
    return bare_socket(os.dup(of.fileno()))
