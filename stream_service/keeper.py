"""The process with the clock: refreshes sources, builds lineups, keeps the guide service and the files in step.

    due runs > refresh (up to four sources at a time, one run of a source at a time)
    stale lineups > build, a moment after the last change > tell the guide service
    every 30 s > reconcile with the guide service
    every second > fetch logos that lineups miss
    every day, and at the start > prune

Killed at any moment it goes on where it stopped: runs that were running are marked as interrupted, every lineup is
built again, and what a list left half done is swept.
"""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from datetime import tzinfo
from functools import partial
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import AerialError, NotFound
from servicekit.notify import Notifier
from stream_service.domain.entities import Reason, Run, RunStatus, Source
from stream_service.domain.schedule import last_before

TURN_S = 0.25
BEAT_S = 5.0
BUILD_AGAIN_S = 30.0
LOGOS_S = 1.0
RECONCILE_S = 30.0
RECONCILE_AGAIN_S = 3.0
"""After something was sent (what is made of it is fetched), and while the guide service is away."""
SCHEDULES_S = 5.0
SOURCES_S = 5.0
CATCH_UP_DELAY_S = 120
RETRY_AFTER_S = (300, 900, 3600)
RETRY_JITTER = 0.25
"""Up to so much longer, by chance: sources that failed together do not come back together."""
PANEL_GUIDES_S = 5.0
AT_A_TIME = 4
DAY_S = 86_400
_PRUNE_CRON = "17 4 * * *"
_SCHEDULED: frozenset[str] = frozenset({"schedule", "catch-up", "retry"})

_log = logging.getLogger("keeper")


class SourceStore(Protocol):
    """What the keeper asks of the store of sources."""

    def all(self, *, enabled_only: bool = False) -> list[Source]: ...
    def get(self, source_id: int) -> Source: ...
    def deleted_ids(self) -> list[int]: ...


class RunStore(Protocol):
    """What the keeper asks of the log of runs."""

    def enqueue(
        self, source_id: int, *, reason: Reason, force: bool = False, attempt: int = 0, not_before: int = 0
    ) -> Run: ...
    def get(self, run_id: int) -> Run: ...
    def due(self) -> list[Run]: ...
    def running(self) -> list[Run]: ...
    def waiting(self, source_id: int) -> bool: ...
    def start(self, run_id: int) -> bool: ...
    def finish(self, run_id: int, status: RunStatus, *, error: str | None = None) -> None: ...
    def asked_since(self, source_id: int, moment: int) -> bool: ...
    def forget_before(self, moment: int) -> int: ...


class ListStore(Protocol):
    """What the keeper asks of the store of lists."""

    def sweep(self, source_id: int) -> int: ...
    def purge_vanished(self, before: int) -> int: ...
    def purge_source(self, source_id: int) -> None: ...


class LineupStore(Protocol):
    """What the keeper asks of the store of lineups."""

    def stale(self) -> list[str]: ...
    def mark(self, name: str | None, *, stale: bool) -> None: ...
    def purge(self) -> None: ...


class BuildLog(Protocol):
    """What the keeper asks of the log of builds."""

    def interrupt(self) -> int: ...
    def forget_before(self, moment: int) -> int: ...


class LogoWork(Protocol):
    """What the keeper does about logos."""

    def turn(self) -> object: ...
    def sweep(self) -> object: ...


class Timetable(Protocol):
    """Calls by the clock, on threads of its own; see `servicekit.timetable`."""

    def at(self, expression: str, name: str, work: Callable[[], object]) -> None: ...
    def drop(self, name: str) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Keeper:
    """One of it runs for a data directory (its caller holds the lock). `run` returns when `stop` is set."""

    def __init__(
        self,
        *,
        sources: SourceStore,
        runs: RunStore,
        lists: ListStore,
        lineups: LineupStore,
        refresh: Callable[[Run, Source], RunStatus],
        builds: BuildLog,
        build: Callable[[str], object],
        tidy_lineups: Callable[[], object],
        settle_s: float,
        build_log_days: int,
        reconcile: Callable[[], bool],
        guide_imported: Callable[[], bool],
        beat: Callable[[], None],
        clock: Clock,
        notifier: Notifier,
        daily_cron: str,
        zone: tzinfo,
        look: Callable[[], None],
        log_days: int,
        keep_vanished_days: int,
        panel_guides: Callable[[], object] = lambda: None,
        jitter: Callable[[], float] = random.random,
        logos: LogoWork | None = None,
    ) -> None:
        self._sources = sources
        self._runs = runs
        self._lists = lists
        self._lineups = lineups
        self._refresh = refresh
        self._builds = builds
        self._build = build
        self._tidy_lineups = tidy_lineups
        self._settle_s = settle_s
        self._build_log_days = build_log_days
        self._reconcile = reconcile
        self._guide_imported = guide_imported
        self._beat = beat
        self._clock = clock
        self._notifier = notifier
        self._daily_cron = daily_cron
        self._zone = zone
        self._look = look
        self._log_days = log_days
        self._keep_vanished_days = keep_vanished_days
        self._panel_guides = panel_guides
        self._jitter = jitter
        self._logos = logos
        self._scheduled: Mapping[str, str] = {}
        self._busy: set[int] = set()
        self._lock = threading.Lock()
        self._stale_since: dict[str, float] = {}
        self._alone: dict[str, _Alone] = {}
        self._next: dict[str, float] = {}

    def run(self, timetable: Timetable, stop: threading.Event, *, ready: Callable[[], None]) -> None:
        """Keep until `stop`; `ready` is called once it is up."""
        self._beat()
        self.recover()
        timetable.at(_PRUNE_CRON, "prune", self._prune_soon)
        timetable.start()
        try:
            self._prune_soon()
            ready()
            while not stop.wait(TURN_S):
                try:
                    self.turn()
                    if self._due("schedules", SCHEDULES_S):
                        self._plan(timetable)
                except AerialError as error:  # a locked database, mostly; anything else is a bug and ends the process
                    _log.warning("this turn is left out: %s", error.detail)
        finally:
            timetable.stop()

    def recover(self) -> None:
        """What a start does: end what was cut off, build everything again, catch up on what was slept through."""
        for run in self._runs.running():
            self._runs.finish(
                run.id, "interrupted", error="the service stopped while this refresh ran; nothing changed by it"
            )
            _log.warning("run %d of source %d was interrupted", run.id, run.source_id)
        self._builds.interrupt()
        self._lineups.purge()
        self._lineups.mark(None, stale=True)
        for source in self._sources.all(enabled_only=True):
            due = int(last_before(self._cron(source), self._clock.now(), self._zone).timestamp())
            if due > source.created_at and not self._runs.asked_since(source.id, due):
                self._runs.enqueue(source.id, reason="catch-up", not_before=self._clock.now_s() + CATCH_UP_DELAY_S)
                _log.info("source %d: its refresh was slept through, it comes in two minutes", source.id)

    def work_off(self) -> None:
        """Do what waits now, once, and return: for a command that is the keeper while it runs."""
        self.recover()
        self.do_waiting()

    def do_waiting(self) -> None:
        """Do the runs that are due, one after the other, then build what is stale."""
        for run in self._runs.due():
            self.do_run(run)
        for name in self._lineups.stale():
            self._build_one(name)

    def turn(self) -> None:
        """One look at everything; returns soon, the work is done on threads."""
        self._look()
        if self._due("beat", BEAT_S):
            self._beat()
        if self._due("sources", SOURCES_S):
            for source_id in self._sources.deleted_ids():
                if source_id not in self._busy:
                    self._lists.purge_source(source_id)
            self._by_itself("tidy", self._tidy_lineups)
        self._start_due()
        self._build_stale()
        if self._logos is not None and self._due("logos", LOGOS_S):
            self._by_itself("logos", self._logos.turn)
        if self._due("panel-guides", PANEL_GUIDES_S):
            self._by_itself("panel-guides", self._panel_guides)
        if self._guide_imported():
            self._next["reconcile"] = 0.0
        if self._due("reconcile", RECONCILE_S):
            self._by_itself("guide-link", self._bring_in_step)

    def _bring_in_step(self) -> None:
        if not self._reconcile():
            self._next["reconcile"] = self._clock.monotonic() + RECONCILE_AGAIN_S

    def _by_itself(self, name: str, work: Callable[[], object]) -> bool:
        """Begin on a thread; False when the work of that name is still going on from before."""
        return self._alone.setdefault(name, _Alone(name)).start(work)

    def _due(self, what: str, every_s: float) -> bool:
        now = self._clock.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every_s
        return True

    # ---- refreshing --------------------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        for run in self._runs.due():
            with self._lock:
                if len(self._busy) >= AT_A_TIME:
                    return
                if run.source_id in self._busy:
                    continue
                self._busy.add(run.source_id)
            threading.Thread(target=self.do_run, args=(run,), name=f"refresh-{run.source_id}", daemon=True).start()

    def do_run(self, run: Run) -> None:
        """One run, from its start to its end; whatever happens is told."""
        try:
            if self._runs.start(run.id):
                status = self._refresh(run, self._sources.get(run.source_id))
                if status in ("failed", "rejected"):
                    self._try_again(run)
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this run, not the keeper; it is told whole
            _log.exception("run %d of source %d failed", run.id, run.source_id)
            self._runs.finish(run.id, "failed", error=f"a fault of this program: {type(error).__name__}; see its log")
        finally:
            with self._lock:
                self._busy.discard(run.source_id)

    def _try_again(self, run: Run) -> None:
        if run.reason not in _SCHEDULED:
            return
        if run.attempt >= len(RETRY_AFTER_S):
            self._notifier.event(
                "refresh_given_up", "error", f"source {run.source_id} failed {run.attempt + 1} times in a row",
                source_id=run.source_id,
            )  # fmt: skip
            return
        asked = self._runs.get(run.id).report.get("retry_after_s")  # what the provider itself asked for
        pause_s = max(RETRY_AFTER_S[run.attempt], asked if isinstance(asked, int) else 0)
        later = self._clock.now_s() + pause_s + round(self._jitter() * RETRY_JITTER * pause_s)
        self._runs.enqueue(run.source_id, reason="retry", attempt=run.attempt + 1, not_before=later)

    # ---- building ----------------------------------------------------------------------------------------------------

    def _build_stale(self) -> None:
        """Builds a moment after the first change, so that changes that come together make one build.

        One build of a lineup at a time; what changes meanwhile is built afterwards.
        """
        stale = self._lineups.stale()
        now = self._clock.monotonic()
        for name in self._stale_since.keys() - stale:
            del self._stale_since[name]
        for name in stale:
            since = self._stale_since.setdefault(name, max(now, self._next.get(f"build {name}", 0.0)))
            build = partial(self._build_one, name)
            if now - since >= self._settle_s and self._by_itself(f"lineup-{name}", build):
                del self._stale_since[name]

    def _build_one(self, name: str) -> None:
        try:
            self._build(name)
        except NotFound:  # deleted a moment ago
            _log.info("lineup %s is not there any more", name)
        except BaseException:
            self._next[f"build {name}"] = self._clock.monotonic() + BUILD_AGAIN_S
            self._lineups.mark(name, stale=True)
            raise
        self._next["reconcile"] = 0.0

    # ---- the clock ---------------------------------------------------------------------------------------------------

    def _cron(self, source: Source) -> str:
        return source.schedule or self._daily_cron

    def _plan(self, timetable: Timetable) -> None:
        """Lets the timetable's jobs be those of the enabled sources."""
        sources = {f"source-{one.id}": one for one in self._sources.all(enabled_only=True)}
        wanted = {job: self._cron(one) for job, one in sources.items()}
        for job in self._scheduled.keys() - wanted.keys():
            timetable.drop(job)
        for job, cron in wanted.items():
            if self._scheduled.get(job) != cron:
                timetable.at(cron, job, partial(self._enqueue, sources[job].id))
        self._scheduled = wanted

    def _enqueue(self, source_id: int) -> None:
        if not self._runs.waiting(source_id):
            self._runs.enqueue(source_id, reason="schedule")

    def _prune_soon(self) -> None:
        self._by_itself("prune", self.prune)

    def prune(self) -> tuple[int, int]:
        """Forget old runs and streams that vanished long ago; returns how many of each."""
        now = self._clock.now_s()
        runs = self._runs.forget_before(now - self._log_days * DAY_S)
        self._builds.forget_before(now - self._build_log_days * DAY_S)
        streams = self._lists.purge_vanished(now - self._keep_vanished_days * DAY_S)
        if self._logos is not None:
            self._logos.sweep()
        for source in self._sources.all():
            if not self._runs.waiting(source.id):
                self._lists.sweep(source.id)
        _log.info("pruned %d runs and %d vanished streams", runs, streams)
        return runs, streams


class _Alone:
    """Work that only one thread does at a time; a fault of it is logged and ends that thread alone."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running = threading.Lock()

    def start(self, work: Callable[[], object]) -> bool:
        """Begin on a thread; False when it is still going on from before."""
        if not self._running.acquire(blocking=False):
            return False
        threading.Thread(target=self._do, args=(work,), name=self._name, daemon=True).start()
        return True

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 - logged whole; the next turn tries again
            _log.exception("%s failed", self._name)
        finally:
            self._running.release()
