"""When a guide is imported: times of day and cron expressions, right when the clocks change. Pure."""

from datetime import datetime, timedelta, tzinfo

from cronsim import CronSim

_BACK = timedelta(days=8)


def cron_of(schedule: str) -> str:
    """`04:30` as a cron expression; a cron expression as it is."""
    if ":" in schedule and " " not in schedule:
        hour, _, minute = schedule.partition(":")
        return f"{int(minute)} {int(hour)} * * *"
    return schedule


def last_fire(expression: str, zone: tzinfo, now: datetime) -> datetime | None:
    """The latest time at or before `now` at which the schedule fired, looked for in the last eight days."""
    found = None
    for moment in CronSim(expression, (now - _BACK).astimezone(zone)):
        if moment > now:
            break
        found = moment
    return found
