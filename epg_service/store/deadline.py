"""A time limit for statements: a question that costs too much ends with a sentence instead of holding a thread."""

import contextlib
import time
from collections.abc import Iterator

import apsw

from servicekit.errors import Unavailable

_STEPS = 20_000
"""Instructions of SQLite's machine between two looks at the clock: well under a millisecond."""


@contextlib.contextmanager
def limited(connection: apsw.Connection, seconds: float, advice: str) -> Iterator[None]:
    """Interrupts what runs on the connection for longer than this; raises `Unavailable` with the advice."""
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        yield
    except apsw.InterruptError as error:
        raise Unavailable(f"this took over {seconds:g} s and was stopped: {advice}") from error
    finally:
        connection.set_progress_handler(None)
