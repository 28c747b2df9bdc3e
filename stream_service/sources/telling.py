"""What a refresh tells while it goes on, to whoever shows it; and how it hears that it shall end."""

from collections.abc import Callable, Mapping
from typing import Protocol

from servicekit.errors import AerialError
from stream_service.domain.account import Account

EVERY_S = 0.5


class Cancelled(AerialError):
    """Somebody asked for the end of what is going on."""


class Telling(Protocol):
    """Who is told. Both are called often and cost next to nothing."""

    def stage(self, stage: str, *, percent: float | None = None, **counts: int) -> None:
        """What is being done, how far it is (0 to 100, None: not known), and counts of it. Raises `Cancelled`."""
        ...

    def account(self, account: Account) -> None:
        """What a panel says of its account, also when it says no."""
        ...


class RunLog(Protocol):
    """What is asked of the log of runs."""

    def tell(self, run_id: int, stage: str, progress: Mapping[str, object]) -> bool: ...


class RunTelling:
    """Tells the row of a run: a new stage at once, progress twice a second at most."""

    def __init__(
        self, run_id: int, *, runs: RunLog, account: Callable[[Account], None], monotonic: Callable[[], float]
    ) -> None:
        self._run_id = run_id
        self._runs = runs
        self._account = account
        self._monotonic = monotonic
        self._stage = ""
        self._said: dict[str, object] = {}
        self._next_s = 0.0

    def stage(self, stage: str, *, percent: float | None = None, **counts: int) -> None:
        """What is being done; raises `Cancelled`."""
        if stage != self._stage:
            self._said = {}
        self._said |= counts
        if percent is not None:
            self._said["percent"] = percent
        if stage == self._stage and self._monotonic() < self._next_s:
            return
        self._stage, self._next_s = stage, self._monotonic() + EVERY_S
        if self._runs.tell(self._run_id, stage, self._said):
            raise Cancelled("cancelled by hand; everything stays as it was")

    def account(self, account: Account) -> None:
        """What a panel says of its account."""
        self._account(account)


class Untold:
    """Tells nobody."""

    def stage(self, stage: str, *, percent: float | None = None, **counts: int) -> None:
        """Nothing."""

    def account(self, account: Account) -> None:
        """Nothing."""


def percent_of(done: int, whole: int | None) -> float | None:
    """How much of `whole` is done, None when that is not known."""
    return min(100.0, round(100.0 * done / whole, 1)) if whole else None
