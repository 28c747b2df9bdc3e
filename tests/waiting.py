"""Waiting for a condition instead of sleeping for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, limit_s: float = 20.0, what: str = "the condition") -> T:
    """Return the first true answer of `condition`, asked every 20 ms; fail after `limit_s` seconds."""
    end = time.monotonic() + limit_s
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit_s:g} s for {what}")
        time.sleep(0.02)
