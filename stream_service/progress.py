"""What goes on in the keeper, for those who look: as a snapshot, and as events while it changes.

The keeper writes rows; the web process looks at them, only while somebody listens. Each event holds the whole of one
operation, so none that is missed does harm, and the last one, that it ended, is told of everything that was seen.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from servicekit.clock import Clock, iso
from servicekit.sse import Audience, Event
from stream_service.domain.calls import Call
from stream_service.domain.entities import Run, Source
from stream_service.domain.progress import Operation, percent_of_refresh

KEPT_S = 300
"""So long what has ended is shown."""
LOOK_S = 0.5
MOST = 200


class RunLog(Protocol):
    """What is asked of the log of refreshes."""

    def since(self, moment: int, *, limit: int) -> Sequence[Run]: ...


class SourceBook(Protocol):
    """What is asked of the sources."""

    def all(self) -> Sequence[Source]: ...


class Build(Protocol):
    """A build of a lineup; see `store.builds`."""

    @property
    def id(self) -> int: ...
    @property
    def lineup(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def stage(self) -> str: ...
    @property
    def channels(self) -> int: ...
    @property
    def started_at(self) -> int | None: ...
    @property
    def completed_at(self) -> int | None: ...
    @property
    def error_message(self) -> str | None: ...


Builds = Callable[[int, int], Sequence[Build]]
"""(moment, limit) -> builds that wait, run, or ended at or after that moment."""


class Progress:
    """Looks at the logs. `call` takes the look off the loop that carries the streams."""

    def __init__(self, *, runs: RunLog, sources: SourceBook, builds: Builds, clock: Clock, call: Call) -> None:
        self._runs = runs
        self._sources = sources
        self._builds = builds
        self._clock = clock
        self._call = call
        self._told: dict[str, Operation] = {}
        self.events = Audience(look=self.look, every_s=LOOK_S)

    def snapshot(self) -> list[dict[str, object]]:
        """Everything that waits, goes on, or ended within five minutes, as it is told."""
        return [shown(one) for one in self._call(self._operations)]

    def first(self) -> list[Event]:
        """What a new listener hears first: where everything stands. Who listens alone hears what changes from there."""
        now = self._call(self._operations)
        if len(self.events) <= 1:  # the new listener counts already
            self._told = {one.id: one for one in now}
        return [Event("snapshot", {"items": [shown(one) for one in now]})]

    def look(self) -> list[Event]:
        """What changed since the last look, or since the snapshot of who listens alone."""
        now = {one.id: one for one in self._call(self._operations)}
        changed = [one for ident, one in now.items() if self._told.get(ident) != one]
        self._told = now
        return [Event("finished" if one.ended else "progress", shown(one), one.id) for one in changed]

    def _operations(self) -> list[Operation]:
        since = self._clock.now_s() - KEPT_S
        names = {one.id: one.name for one in self._sources.all()}
        refreshes = [_refresh(run, names.get(run.source_id, "")) for run in self._runs.since(since, limit=MOST)]
        return [*refreshes, *(_build(one) for one in self._builds(since, MOST))]


def _refresh(run: Run, name: str) -> Operation:
    counts = {key: value for key, value in run.progress.items() if key != "percent"}
    if run.status == "success":
        counts = {"streams": run.streams, "entries_skipped": run.entries_skipped}
    return Operation(
        id=f"refresh-{run.id}",
        kind="refresh",
        subject=name,
        subject_id=run.source_id,
        status=run.status,
        stage=run.stage,
        percent=100.0
        if run.status in ("success", "unchanged")
        else percent_of_refresh(run.stage, run.progress.get("percent")),
        counts=counts,
        started_at=run.started_at,
        completed_at=run.completed_at,
        error_message=run.error_message,
    )


def _build(build: Build) -> Operation:
    done = build.status in ("success", "unchanged")
    return Operation(
        id=f"build-{build.id}",
        kind="build",
        subject=build.lineup,
        subject_id=build.lineup,
        status=build.status,
        stage=build.stage,
        percent=100.0 if done else None,
        counts={"channels": build.channels} if done else {},
        started_at=build.started_at,
        completed_at=build.completed_at,
        error_message=build.error_message,
    )


def shown(one: Operation) -> dict[str, object]:
    """An operation as it is told."""
    return {
        "id": one.id,
        "kind": one.kind,
        "subject": one.subject,
        "subject_id": one.subject_id,
        "status": one.status,
        "stage": one.stage,
        "percent": one.percent,
        "counts": one.counts,
        "started_at": iso(one.started_at) if one.started_at else None,
        "completed_at": iso(one.completed_at) if one.completed_at else None,
        "error_message": one.error_message,
    }
