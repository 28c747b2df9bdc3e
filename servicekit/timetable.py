"""What a keeper's process does by the clock, on threads of the scheduler; jobs live in memory."""

from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from cronsim import CronSim

_LATE_S = 3600


def next_fire(expression: str, zone: tzinfo, now: datetime) -> datetime | None:
    """The first time after `now` at which the schedule fires, once at every switch of the clocks; None without one."""
    return next(CronSim(expression, now.astimezone(zone)), None)


class _Cron(BaseTrigger):  # type: ignore[misc]
    """Fires by a cron expression in a zone. APScheduler's own fires twice on the autumn switch, and counts weekdays
    from Monday."""

    def __init__(self, expression: str, zone: tzinfo) -> None:
        self._expression = expression
        self._zone = zone

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        return next_fire(self._expression, self._zone, now)


class Timetable:
    """Calls what was put on it: every so often, or by a cron expression in the zone."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._scheduler: Any = BackgroundScheduler(timezone=zone)

    def every(self, seconds: float, name: str, work: Callable[[], object]) -> None:
        """Calls `work` again and again, never twice at a time."""
        self._scheduler.add_job(work, "interval", seconds=seconds, id=name, max_instances=1)

    def at(self, expression: str, name: str, work: Callable[[], object]) -> None:
        """Calls `work` by the schedule, in the place of what has that name; up to an hour late, and then once."""
        self._scheduler.add_job(
            work,
            _Cron(expression, self._zone),
            id=name,
            replace_existing=True,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=_LATE_S,
        )

    def drop(self, name: str) -> None:
        """Takes what has that name off the table."""
        self._scheduler.remove_job(name)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Calls nothing any more; what runs is not waited for."""
        self._scheduler.shutdown(wait=False)
