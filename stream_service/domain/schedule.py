"""When a source is refreshed: cron expressions, right when the clocks change. Pure."""

from datetime import datetime, tzinfo

from cronsim import CronSim, CronSimError

from servicekit.errors import Invalid


def cron_of(text: str) -> str:
    """A schedule as a cron expression of five fields; `HH:MM` means every day at that time. Raises `Invalid`."""
    hour, colon, minute = text.strip().partition(":")
    if colon and hour.isascii() and hour.isdigit() and minute.isascii() and minute.isdigit() and len(minute) == 2:
        text = f"{int(minute)} {int(hour)} * * *"
    try:
        CronSim(text, datetime(2026, 1, 1))
    except CronSimError as error:
        raise Invalid(
            f"schedule: found {text!r}; a cron expression such as '30 3 * * *' or a time such as 03:30 is needed"
        ) from error
    return text.strip()


def last_before(cron: str, moment: datetime, zone: tzinfo) -> datetime:
    """The last time of `cron` in `zone` before `moment`."""
    return next(CronSim(cron, moment.astimezone(zone), reverse=True))
