"""What requests carry, checked."""

import re
import zoneinfo
from datetime import UTC, datetime
from typing import Annotated

from cronsim import CronSim, CronSimError
from dateutil.parser import isoparse
from pydantic import AfterValidator, Field

from servicekit.errors import Invalid
from servicekit.web import PageQuery, Shape

DEFAULT_WINDOW_S = 86_400
MAX_MINUTES = 14 * 24 * 60
_TIME_OF_DAY = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]")


def instant(text: str, name: str) -> int:
    """ISO 8601 as epoch seconds; a space stands for the `+` that a query string lost; no offset is UTC."""
    try:
        moment = isoparse(text.strip().replace(" ", "+"))
    except ValueError as error:
        raise Invalid(f"{name}: found {text!r}; ISO 8601 such as 2026-11-21T20:15:00Z is needed") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    try:
        seconds = int(moment.timestamp())
    except (OverflowError, ValueError) as error:
        raise Invalid(f"{name}: {text!r} is out of range") from error
    if not 0 <= seconds < 1 << 32:
        raise Invalid(f"{name}: {text!r} is out of range (1970 to 2106)")
    return seconds


def _zone(name: str | None) -> str | None:
    if name is not None:
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("a zone of the tz database such as Europe/Berlin is needed") from error
    return name


def _schedule(text: str | None) -> str | None:
    if text is None or _TIME_OF_DAY.fullmatch(text):
        return text
    try:
        next(CronSim(text, datetime.now(UTC)))
    except StopIteration as error:
        raise ValueError("this cron expression never fires") from error
    except CronSimError as error:
        raise ValueError(f"a cron expression of five fields or a time such as 04:30 is needed ({error})") from error
    return text


def _text(value: str) -> str:
    if any(ord(c) < 32 for c in value) or not value.strip():
        raise ValueError("one line of text is needed")
    return value.strip()


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_text)]
Address = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_text)]
ZoneName = Annotated[str | None, AfterValidator(_zone)]
Schedule = Annotated[str | None, Field(max_length=100), AfterValidator(_schedule)]
Number = Annotated[int, Field(ge=1, lt=1 << 53)]


class ChannelPath(Shape):
    channel_id: Number


class ProviderPath(Shape):
    provider_id: Number


class RunPath(Shape):
    run_id: Number


class LineupPath(Shape):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class WindowQuery(PageQuery):
    start: str | None = Field(None, max_length=64, description="ISO 8601; now when left out.")
    end: str | None = Field(None, max_length=64, description="ISO 8601; a day after `start` when left out.")

    def window(self, now_s: int) -> tuple[int, int]:
        """The window in epoch seconds; raises `Invalid` unless it starts before it ends."""
        start = instant(self.start, "start") if self.start is not None else now_s
        end = instant(self.end, "end") if self.end is not None else start + DEFAULT_WINDOW_S
        if start >= end:
            raise Invalid("start must lie before end")
        return start, end


class RunsQuery(PageQuery):
    provider_id: Number | None = None


class TriggerBody(Shape):
    provider_id: Number | None = Field(None, description="Only this provider; every enabled one when left out.")
    force: bool = Field(False, description="Take the file even when it holds much less than the last one.")


class NewProvider(Shape):
    name: Name
    xmltv_url: Address = Field(description="http(s) address, or the name of a file in the import directory.")
    enabled: bool = True
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    schedule: Schedule = None
    default_timezone: ZoneName = None
    shift_minutes: Annotated[int, Field(ge=-MAX_MINUTES, le=MAX_MINUTES)] = 0
    retention_days: Annotated[int, Field(ge=0, le=3650)] | None = None


class ChangedProvider(Shape):
    name: Name | None = None
    xmltv_url: Address | None = None
    enabled: bool | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    schedule: Schedule = None
    default_timezone: ZoneName = None
    shift_minutes: Annotated[int, Field(ge=-MAX_MINUTES, le=MAX_MINUTES)] | None = None
    retention_days: Annotated[int, Field(ge=0, le=3650)] | None = None
