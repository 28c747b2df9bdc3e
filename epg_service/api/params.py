"""What requests carry, checked."""

import re
import zoneinfo
from datetime import UTC, datetime
from typing import Annotated, Literal

from cronsim import CronSim, CronSimError
from dateutil.parser import isoparse
from pydantic import AfterValidator, Field

from epg_service.api.cursors import MAX_EPOCH_S, Place, place_of
from epg_service.domain.terms import terms_of, words_of
from epg_service.domain.wishes import Wanted, Wish
from servicekit.errors import Invalid
from servicekit.web import PageQuery, Shape

DEFAULT_WINDOW_S = 86_400
MAX_MINUTES = 14 * 24 * 60
MOST_ITEMS = 1_000
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
Minutes = Annotated[int, Field(ge=-MAX_MINUTES, le=MAX_MINUTES)]


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

    def place(self, now_s: int, count: int) -> Place:
        """Where the page begins: at the cursor, whose entries are known by `count` whole numbers, or at the start."""
        if self.cursor is None:
            return Place(*self.window(now_s))
        return _whole(place_of(self.cursor, count))


def _whole(place: Place) -> Place:
    if not all(isinstance(value, int) for value in place.after or ()):
        raise Invalid("cursor: use the `next` of the answer before, as it was given")
    return place


def page_size(query: PageQuery, usual: int) -> int:
    """How many entries a page has."""
    return min(query.limit or usual, MOST_ITEMS)


def names(texts: list[str]) -> list[str]:
    """Channels named by repeated parameters, each one name or several with commas. Raises `Invalid` for too many."""
    found = [name for text in texts for part in text.split(",") if (name := part.strip())]
    if len(found) > MOST_ITEMS:
        raise Invalid(f"at most {MOST_ITEMS} channels can be named; leave them out to see all, page by page")
    return found


ChannelNames = Annotated[
    list[Annotated[str, Field(max_length=4_000)]],
    Field(default_factory=list, max_length=MOST_ITEMS, description="Ids or XMLTV ids, with commas or repeated."),
]
Query = Annotated[
    str, Field(max_length=200, description='Words; "words that stand together"; case and accents forgiven.')
]


class BrowseQuery(WindowQuery):
    q: Query | None = None
    category: str | None = Field(None, max_length=200, description="Case forgiven.")
    channel: ChannelNames
    new: bool | None = None
    premiere: bool | None = None

    def wanted(self) -> Wanted:
        """What the programmes must have; raises `Invalid`."""
        words = () if self.q is None else words_of(self.q)
        return Wanted(words, self.category, self.new, self.premiere)


class GridQuery(WindowQuery):
    channels: ChannelNames
    details: bool = Field(True, description="false: only times and titles.")


class NowQuery(PageQuery):
    at: str | None = Field(None, max_length=64, description="ISO 8601; now when left out.")
    channels: ChannelNames
    details: bool = Field(False, description="true: all fields of the programmes.")

    def place(self, now_s: int) -> Place:
        """The instant, twice, and where the page begins."""
        if self.cursor is not None:
            return _whole(place_of(self.cursor, 1))
        at = instant(self.at, "at") if self.at is not None else now_s
        return Place(at, at)


class SearchQuery(PageQuery):
    q: Query
    category: str | None = Field(None, max_length=200, description="Case forgiven.")
    channel: ChannelNames
    from_: str | None = Field(None, alias="from", max_length=64, description="ISO 8601; now when left out.")
    to: str | None = Field(None, max_length=64, description="ISO 8601; no end when left out.")
    new: bool | None = None
    premiere: bool | None = None

    def place(self, now_s: int) -> Place:
        """Where the page begins."""
        if self.cursor is not None:
            return place_of(self.cursor, 3)
        start = instant(self.from_, "from") if self.from_ is not None else now_s
        end = instant(self.to, "to") if self.to is not None else MAX_EPOCH_S
        if start >= end:
            raise Invalid("from must lie before to")
        return Place(start, end)

    def wish(self, place: Place, channel_ids: list[int] | None) -> Wish:
        """What is searched for; raises `Invalid`."""
        wanted = Wanted((), self.category, self.new, self.premiere)
        return Wish(terms_of(self.q), wanted, place.from_s, place.to_s, channel_ids)


class MatchPath(LineupPath):
    channel: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")]


class MatchesQuery(PageQuery):
    method: Literal["pin", "id", "name", "core", "station", "latin", "fuzzy"] | None = None
    unmatched: bool = Field(False, description="Only channels without a guide.")


class Pin(Shape):
    channel_id: Number | None = Field(description="The guide channel to show; null: no guide.")


class ChannelsQuery(PageQuery):
    hidden: bool = Field(False, description="The hidden ones instead of those that are shown.")


class ChangedChannel(Shape):
    display_name: Name | None = Field(None, description="null: as the provider calls it.")
    icon_url: Annotated[str, Field(max_length=4000)] | None = Field(
        None, description="null: the provider's; empty: none."
    )
    hidden: bool | None = Field(None, description="Hidden channels stand in no list and no published guide.")
    shift_minutes: Minutes | None = Field(None, description="Added to its times when they are asked for or published.")


class Merge(Shape):
    channel_ids: Annotated[list[Number], Field(min_length=1, max_length=1000)]


class Split(Shape):
    mapping_ids: Annotated[list[Number], Field(min_length=1, max_length=1000)]


class MappingsQuery(PageQuery):
    provider_id: Number | None = None
    channel_id: Number | None = None


class NewMapping(Shape):
    provider_id: Number
    provider_channel_id: Annotated[str, Field(min_length=1, max_length=1000)]
    channel_id: Number
    shift_minutes: Minutes | None = Field(None, description="Added to the times of this provider's channel alone.")


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
