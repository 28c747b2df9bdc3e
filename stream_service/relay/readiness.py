"""Who has room again, who has gone: one question to the kernel for all clients at once.

Linux: one edge-triggered epoll; a client is registered once and costs nothing until something happens to it. Elsewhere
(development on a Mac) poll, asked only for those who are short of room.
"""

import select
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from stream_service import native


class News(NamedTuple):
    """What happened to one descriptor."""

    fd: int
    gone: bool
    """The other side has closed or reset; otherwise there is room to send."""


class Readiness(Protocol):
    """See the module's words."""

    def watch(self, fd: int) -> None:
        """Begin to tell of `fd`."""
        ...

    def forget(self, fd: int) -> None:
        """No more of `fd`; to be called before it is closed."""
        ...

    def short(self, fd: int) -> None:
        """A send to `fd` fell short: tell when there is room."""
        ...

    def news(self) -> Iterable[News]:
        """What happened since the last call; does not wait."""
        ...

    def close(self) -> None:
        """Give the kernel's object back."""
        ...


def readiness() -> Readiness:
    """The best that this system has."""
    kernel = native.epoll()
    return _Polled() if kernel is None else _Edges(kernel)


class _Edges:
    def __init__(self, kernel: "select.epoll") -> None:
        self._kernel = kernel
        self._mask = select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
        self._gone = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR

    def watch(self, fd: int) -> None:
        self._kernel.register(fd, self._mask)

    def forget(self, fd: int) -> None:
        self._kernel.unregister(fd)

    def short(self, fd: int) -> None:
        """Nothing to do: the edge comes by itself."""

    def news(self) -> Iterable[News]:
        return [News(fd, bool(what & self._gone)) for fd, what in self._kernel.poll(0, 1024)]

    def close(self) -> None:
        self._kernel.close()


class _Polled:
    def __init__(self) -> None:
        self._kernel = native.poll()

    def watch(self, fd: int) -> None:
        self._kernel.register(fd, 0)

    def forget(self, fd: int) -> None:
        self._kernel.unregister(fd)

    def short(self, fd: int) -> None:
        self._kernel.modify(fd, select.POLLOUT)

    def news(self) -> Iterable[News]:
        found = [News(fd, bool(what & (select.POLLHUP | select.POLLERR))) for fd, what in self._kernel.poll(0)]
        for one in found:
            if not one.gone:
                self._kernel.modify(one.fd, 0)
        return found

    def close(self) -> None:
        """poll holds nothing of the kernel's."""
