"""The process that owns the clock: starts queued imports, asks for scheduled ones, publishes, cleans up.

One keeper runs for each data directory (a lock says so). Web workers only write queued rows; everything that takes
time happens here, so the number of web workers changes nothing.
"""

import errno
import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from epg_service.domain.entities import Mapped, Provider, Reason, Run, RunStatus
from epg_service.domain.retention import Window
from epg_service.domain.schedule import cron_of, last_fire
from servicekit.clock import Clock
from servicekit.errors import AerialError
from servicekit.health import HEARTBEAT_EVERY_S, beat
from servicekit.store.sqlite import DiskFull

LOOK_EVERY_S = 0.5
BEHIND_S = 0.5
RETRY_AFTER_S = (5 * 60, 15 * 60, 60 * 60)
CATCH_UP_AFTER_S = 2 * 60
HOUR_S, DAY_S = 3_600, 86_400
FULL_DISK_REST_S = 60
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_log = logging.getLogger("keeper")


class Runs(Protocol):
    """The import log."""

    def get(self, run_id: int) -> Run: ...
    def due(self) -> list[Run]: ...
    def running(self) -> list[Run]: ...
    def start(self, run_id: int) -> bool: ...
    def waiting(self, provider_id: int) -> bool: ...
    def asked_since(self, provider_id: int, moment: int) -> bool: ...
    def forget_before(self, moment: int) -> int: ...
    def enqueue(
        self, provider_id: int, *, reason: Reason, force: bool = False, attempt: int = 0, not_before: int = 0
    ) -> Run: ...
    def finish(self, run_id: int, status: RunStatus, *, error: str | None = None) -> None: ...


class ProviderBook(Protocol):
    """The providers."""

    def all(self, *, enabled_only: bool = False) -> list[Provider]: ...
    def deleted_ids(self) -> list[int]: ...


class Imports(Protocol):
    """Runs one import."""

    def run(self, run: Run, provider: Provider, meanwhile: Callable[[], None], /) -> RunStatus: ...
    def resume(self, run: Run, provider: Provider | None) -> RunStatus: ...
    def tidy(self) -> None: ...


class Rows(Protocol):
    """Removes programmes in small steps."""

    def prune_past(self, mapping_id: int, before_s: int) -> int: ...
    def purge_mapping(self, mapping_id: int) -> Iterable[int]: ...
    def forget_provider(self, provider_id: int) -> None: ...


class Mappings(Protocol):
    """A provider's channels."""

    def of_provider(self, provider_id: int) -> dict[str, Mapped]: ...


class Publications(Protocol):
    """Publishes guides."""

    def everything(self) -> None: ...
    def lineup(self, name: str) -> object: ...
    def tidy(self) -> None: ...


class LineupBook(Protocol):
    """The lineups that were received."""

    def all(self) -> Sequence[Any]: ...


class Decisions(Protocol):
    """What people decided of channels, and what follows from it."""

    def waiting(self) -> int | None: ...
    def follow(self) -> Iterable[int]: ...
    def done(self, asked: int) -> None: ...


class Timetable(Protocol):
    """Calls by the clock, on threads of its own; see `servicekit.timetable`."""

    def every(self, seconds: float, name: str, work: Callable[[], object]) -> None: ...
    def at(self, expression: str, name: str, work: Callable[[], object]) -> None: ...
    def drop(self, name: str) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What the configuration says of the keeper's work."""

    import_time: str
    zone: str
    window: Window
    log_days: int
    min_interval_s: int
    jitter_s: int
    heartbeat: Path


def _partner(run: Run, provider: Provider) -> tuple[str, ...]:
    """The panel's guide that its source is refreshed after: not when the source itself had it imported."""
    return (provider.linked,) if provider.linked is not None and run.reason != "linked" else ()


class Keeper:
    """Does the work; `run` returns when `stop` was called."""

    def __init__(
        self,
        *,
        runs: Runs,
        providers: ProviderBook,
        imports: Imports,
        rows: Rows,
        mappings: Mappings,
        publications: Publications,
        lineups: LineupBook,
        decisions: Decisions,
        clock: Clock,
        plan: Plan,
        imported: Callable[..., None],
        watch_times: Callable[[Run, Provider], object],
        ready: Callable[[], None],
        look: Callable[[], None],
        stopping: threading.Event,
        behind: Callable[[float], bool] = lambda _: False,
    ) -> None:
        """`behind(seconds)` works about so long at what may wait for everything else; True while there is more."""
        self._runs = runs
        self._providers = providers
        self._imports = imports
        self._rows = rows
        self._mappings = mappings
        self._publications = publications
        self._lineups = lineups
        self._decisions = decisions
        self._clock = clock
        self._plan = plan
        self._imported = imported
        self._watch_times = watch_times
        self._ready = ready
        self._look = look
        self._stopping = stopping
        self._behind = behind
        self._chores: SimpleQueue[str] = SimpleQueue()  # the scheduler's threads put, the loop takes
        self._scheduled: Mapping[int, str] = {}
        self._rest_until_s = 0
        self._left_off = False  # in the middle of a run, which is to be ended like that of a keeper before this one

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def run(self, timetable: Timetable) -> None:
        """Takes over what an earlier keeper left, then works until `stop`."""
        beat(self._plan.heartbeat)
        timetable.every(HEARTBEAT_EVERY_S, "heartbeat", self._beat)
        timetable.every(HOUR_S, "publish", partial(self._ask, "publish"))
        timetable.at("15 * * * *", "prune", partial(self._ask, "prune"))
        timetable.start()
        try:
            self._held(self._first_look)
            self._ready()
            while not self._stopping.is_set():
                self._held(partial(self._round, timetable))
        finally:
            timetable.stop()
            self._plan.heartbeat.unlink(missing_ok=True)

    def _held(self, work: Callable[[], None]) -> None:
        """Works; a full disk is waited for: a keeper that ended over it would only be started again, to end again."""
        try:
            work()
        except DiskFull as error:
            _log.error("%s; the keeper goes on in %d s", error.detail, FULL_DISK_REST_S)
            self._left_off = True
            self._stopping.wait(FULL_DISK_REST_S)

    def _begin(self) -> None:
        self._take_over()
        self._ask("publish")
        self._catch_up()
        self._left_off = False

    def _first_look(self) -> None:
        """So that addresses have their files before anyone is told that the keeper is up."""
        self._begin()
        self._work()

    def _round(self, timetable: Timetable) -> None:
        if self._left_off:
            self._begin()
        self._look()
        self._schedule(timetable)
        self._work()
        if not self._behind(BEHIND_S):
            self._stopping.wait(LOOK_EVERY_S)

    def work_off(self) -> None:
        """Does what waits now, once, and returns: for a command that is the keeper while it runs."""
        self._take_over()
        self._work()
        while not self._stopping.is_set() and self._behind(BEHIND_S):
            continue

    def _work(self) -> None:
        """One look at everything that may wait: lineups first (they are quick), then runs, then chores.

        Deleted providers go before each run: a channel of one must not keep its name from one that comes after it.
        """
        self._publish_received()
        self._publish_decided()
        self._purge_deleted()
        for run in self._runs.due():
            if self._stopping.is_set():
                return
            self._purge_deleted()
            self._import(run)
            self._publish_received()
            self._publish_decided()
        chores = {self._chores.get() for _ in range(self._chores.qsize())}
        if "prune" in chores:
            self.prune()
        if "publish" in chores:
            self._publish_everything()

    def _ask(self, chore: str) -> None:
        self._chores.put(chore)

    def _beat(self) -> None:
        beat(self._plan.heartbeat)

    # ---- imports -----------------------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        known = {one.id: one for one in self._providers.all()}
        for run in self._runs.running():
            status = self._imports.resume(run, known.get(run.provider_id))
            _log.warning("run %d was running when the service ended: %s", run.id, status)
            if status == "interrupted":
                self._retry(run)
        self._imports.tidy()
        self._publications.tidy()

    def _import(self, run: Run) -> None:
        provider = next((one for one in self._providers.all() if one.id == run.provider_id), None)
        if provider is None or not provider.enabled:
            self._runs.finish(run.id, "cancelled", error="the provider was deleted or disabled meanwhile")
            return
        if not self._runs.start(run.id):
            return
        _log.info("importing %s (run %d, %s)", provider.name, run.id, run.reason)
        status = self._imports.run(run, provider, self._meanwhile)
        if status == "success":
            self.prune()
            self._publish_everything()
            self._imported(*_partner(run, provider))
            self._watch_times(run, provider)
        elif status == "unchanged":
            if partner := _partner(run, provider):
                self._imported(*partner)
        elif status in ("failed", "interrupted"):
            self._retry(run)

    def _meanwhile(self) -> None:
        """What people see at once does not wait for an import whose provider is slow; a fault of it is none of the
        import's."""
        try:
            self._publish_received()
            self._publish_decided()
        except (AerialError, OSError) as error:
            _log.warning("lineups and channel work wait for the end of the import: %s", error)

    def _retry(self, run: Run) -> None:
        """Tries a run that nobody asked for by hand again later, three times."""
        if run.reason in ("schedule", "catch-up", "retry") and run.attempt < len(RETRY_AFTER_S):
            asked = self._runs.get(run.id).report.get("retry_after_s")
            pause_s = max(RETRY_AFTER_S[run.attempt], asked if isinstance(asked, int) else 0)
            later = self._clock.now_s() + pause_s
            self._runs.enqueue(run.provider_id, reason="retry", attempt=run.attempt + 1, not_before=later)

    def _schedule(self, timetable: Timetable) -> None:
        """One job for each enabled provider, by its schedule; jobs live in memory and are rebuilt from the rows."""
        wanted = {one.id: cron_of(one.schedule or self._plan.import_time) for one in self._enabled()}
        if wanted == self._scheduled:
            return
        for provider_id in set(self._scheduled) - set(wanted):
            timetable.drop(f"import-{provider_id}")
        for provider_id, expression in wanted.items():
            if self._scheduled.get(provider_id) != expression:
                timetable.at(expression, f"import-{provider_id}", partial(self._ask_for_import, provider_id))
        self._scheduled = wanted

    def _ask_for_import(self, provider_id: int) -> None:
        """A scheduled run, spread by jitter; none while one waits, nor when the last one was asked for just now."""
        now = self._clock.now_s()
        if self._runs.waiting(provider_id):
            return
        if self._runs.asked_since(provider_id, now - self._plan.min_interval_s):
            _log.info("provider %d was imported within the least interval: not again by schedule", provider_id)
            return
        later = now + round(random.uniform(0, self._plan.jitter_s))  # noqa: S311 - spreads load, guards nothing
        self._runs.enqueue(provider_id, reason="schedule", not_before=later)

    def _catch_up(self) -> None:
        """Asks for the imports that were due while the machine was off, two minutes from now; where a run waits
        already, such as one that the provider put off, that is the one."""
        zone, now = ZoneInfo(self._plan.zone), self._clock.now()
        for one in self._enabled():
            due = last_fire(cron_of(one.schedule or self._plan.import_time), zone, now)
            missed = due is not None and one.created_at < due.timestamp()
            if missed and due is not None and not self._asked_since(one.id, int(due.timestamp())):
                later = self._clock.now_s() + CATCH_UP_AFTER_S
                self._runs.enqueue(one.id, reason="catch-up", not_before=later)

    def _asked_since(self, provider_id: int, moment: int) -> bool:
        return self._runs.waiting(provider_id) or self._runs.asked_since(provider_id, moment)

    def _enabled(self) -> list[Provider]:
        return self._providers.all(enabled_only=True)

    # ---- publishing and cleaning -------------------------------------------------------------------------------------

    def _publish_received(self) -> None:
        for lineup in self._lineups.all():
            if lineup.matched_at is None:
                self._published(partial(self._publications.lineup, lineup.name))

    def _publish_decided(self) -> None:
        """Channel work of people: the programmes follow their channels, then every guide is published anew."""
        asked = self._decisions.waiting()
        if asked is None:
            return
        for _ in self._decisions.follow():
            if self._stopping.is_set():
                return
        if self._publish_everything():
            self._decisions.done(asked)

    def _publish_everything(self) -> bool:
        return self._published(self._publications.everything)

    def _published(self, publish: Callable[[], object]) -> bool:
        """Publishes; False on a full disk. Then what was published stays, and everything is tried again in a minute:
        a keeper that ended over it would import nothing either, though the database may have room."""
        if self._clock.now_s() >= self._rest_until_s:
            try:
                publish()
                return True
            except OSError as reason:
                if reason.errno not in _NO_ROOM:
                    raise
                _log.error("guides stay as they were published: %s; tried again in %d s", reason, FULL_DISK_REST_S)
                self._rest_until_s = self._clock.now_s() + FULL_DISK_REST_S
        self._ask("publish")
        return False

    def prune(self) -> int:
        """Deletes programmes that ended before each provider's window, and old runs; returns the programmes."""
        gone, now = 0, self._clock.now_s()
        for provider in self._providers.all():
            days = provider.retention_days
            window = self._plan.window if days is None else Window(days, days)
            before, _ = window.bounds(now)
            for mapped in self._mappings.of_provider(provider.id).values():
                gone += self._rows.prune_past(mapped.id, before)
        self._runs.forget_before(now - self._plan.log_days * DAY_S)
        return gone

    def _purge_deleted(self) -> None:
        for provider_id in self._providers.deleted_ids():
            self._purge(provider_id)

    def _purge(self, provider_id: int) -> None:
        """Removes a deleted provider's rows in steps that hold no lock for long, then publishes without them."""
        for mapped in self._mappings.of_provider(provider_id).values():
            for _ in self._rows.purge_mapping(mapped.id):
                if self._stopping.is_set():
                    return
        self._rows.forget_provider(provider_id)
        self._publish_everything()
