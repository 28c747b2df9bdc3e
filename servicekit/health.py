"""What a service says of itself: alive, ready, well or why not."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HEARTBEAT_EVERY_S = 5
HEARTBEAT_STALE_S = 30


@dataclass(frozen=True, slots=True)
class State:
    """The answer of `/health`. `usable` False means 503: the database cannot be used."""

    usable: bool = True
    reasons: Sequence[str] = ()
    detail: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        status = "ok" if self.usable and not self.reasons else "degraded"
        return {"status": status if self.usable else "error", "reasons": list(self.reasons), **self.detail}


@dataclass(frozen=True, slots=True)
class Checks:
    """What the web layer asks: the state for `/health`, and the reason why `/ready` is not."""

    state: Callable[[], State]
    not_ready: Callable[[], str | None]


def beat(path: Path) -> None:
    """The keeper's sign of life: its process id, with the file's time as the moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    written.write_text(str(os.getpid()))
    written.replace(path)  # a reader never sees it empty; it need not outlive a power cut


def alive(path: Path) -> bool:
    """Whether the keeper that wrote `path` lives: the sign is fresh and its process is there."""
    try:
        fresh = time.time() - path.stat().st_mtime < HEARTBEAT_STALE_S
        pid = int(path.read_text())
    except (OSError, ValueError):
        return False
    return fresh and _exists(pid)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it lives, under another user
    return True
