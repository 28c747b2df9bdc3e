"""The clock, as a collaborator, so that tests can hold it."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the parts ask of a clock."""

    def now_s(self) -> int:
        """Seconds since 1970-01-01 UTC."""
        ...

    def now(self) -> datetime:
        """The present instant, with its zone (UTC)."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for measuring."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_s(self) -> int:
        return int(time.time())

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def iso(epoch_s: int) -> str:
    """An instant as the API writes it: `2026-11-21T20:15:00Z`."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(epoch_s: int | None) -> str | None:
    """An instant that may be unknown, as the API writes it."""
    return None if epoch_s is None else iso(epoch_s)
