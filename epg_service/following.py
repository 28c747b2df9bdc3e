"""A run shown on a terminal while it goes on: a bar for people, nothing for a pipe."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from epg_service.domain.entities import Run

FIRST_LOOK_S, LOOK_EVERY_S = 0.01, 0.2
"""The first look comes soon, for a file that did not change; each later one after twice the time, up to the second."""
Show = Callable[[Mapping[str, object]], None]


def follow(run: Callable[[], Run], over: Callable[[], bool], *, limit_s: float) -> Run:
    """Looks at the run until it has ended, at most `limit_s` seconds; on a terminal with a progress bar. `over`: nobody
    works on it any more, ended or not."""
    end, pause_s = time.monotonic() + limit_s, FIRST_LOOK_S
    with _bar() if sys.stderr.isatty() else _nothing() as show:
        while (found := run()).completed_at is None and not over() and time.monotonic() < end:
            show(found.progress)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LOOK_EVERY_S)
    return found if found.completed_at is not None else run()  # it may have ended between the two looks


@contextmanager
def _nothing() -> Iterator[Show]:
    yield lambda progress: None


@contextmanager
def _bar() -> Iterator[Show]:
    # Heavy, and only a person at a terminal sees it.
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[what]}"), TimeElapsedColumn(),
        transient=True,
    )  # fmt: skip

    def show(progress: Mapping[str, object]) -> None:
        percent = progress.get("percent")
        done = float(percent) if isinstance(percent, int | float) else None
        bar.update(
            task,
            description=str(progress.get("stage", "waiting")),
            total=None if done is None else 100,
            completed=done or 0,
            what=f"{progress['programmes']} programmes" if "programmes" in progress else "",
        )

    with bar:
        task = bar.add_task("waiting", total=None, what="")
        yield show
