"""A run shown on a terminal while it goes on: a bar for people, nothing for a pipe."""

import sys
import time
from collections.abc import Callable, Mapping

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from epg_service.domain.entities import Run

LOOK_EVERY_S = 0.2


def follow(run: Callable[[], Run], *, limit_s: float) -> Run:
    """Looks at the run until it has ended, at most `limit_s` seconds; on a terminal with a progress bar."""
    end = time.monotonic() + limit_s
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[what]}"), TimeElapsedColumn(),
        transient=True, disable=not sys.stderr.isatty(),
    )  # fmt: skip
    with bar:
        task = bar.add_task("waiting", total=None, what="")
        while (found := run()).completed_at is None and time.monotonic() < end:
            _show(bar, task, found.progress)
            time.sleep(LOOK_EVERY_S)
    return found


def _show(bar: Progress, task: int, progress: Mapping[str, object]) -> None:
    percent = progress.get("percent")
    done = float(percent) if isinstance(percent, int | float) else None
    what = f"{progress['programmes']} programmes" if "programmes" in progress else ""
    bar.update(
        task,  # type: ignore[arg-type]
        description=str(progress.get("stage", "waiting")),
        total=None if done is None else 100,
        completed=done or 0,
        what=what,
    )
