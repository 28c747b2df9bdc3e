"""SIGTERM: the relay's clients first, then whoever had the signal before."""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from stream_service import native


class Drains(Protocol):
    """What is ended first."""

    def drain(self, limit_s: float | None = None) -> int:
        """End all streams at a packet boundary."""
        ...


def drain_on_sigterm(hub: Drains, *also: Callable[[], object]) -> None:
    """Install a handler that drains `hub` and then calls the handler which was there (gunicorn's, in its worker).

    `also`: what else has to end before the server may, such as answers that have no end. The order matters: told first,
    gunicorn sees no connection of its own (the clients' are detached), and ends the process under them. Call it from
    the main thread, once the server has installed its own handler.
    """
    before = signal.getsignal(signal.SIGTERM)

    def end(signum: int, frame: FrameType | None) -> None:
        hub.drain()
        for work in also:
            work()
        if callable(before):
            before(signum, frame)
        elif before is not signal.SIG_IGN:
            os._exit(128 + signum)  # the default action: an end without further words

    signal.signal(signal.SIGTERM, lambda signum, frame: native.spawn(lambda: end(signum, frame), name="drain"))
