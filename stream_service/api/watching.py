"""What happens in the relay, for people: events as they happen, who watched what, what is popular."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit.clock import iso
from servicekit.errors import Invalid
from servicekit.sse import Audience, Event, event_stream
from servicekit.web import PageQuery, Shape, cursor_number, json_answer
from stream_service.api import shapes
from stream_service.domain.calls import Call
from stream_service.domain.watching import End, Watched

_DAY_S = 86_400


class Channel(Protocol):
    """What a channel was to its viewers."""

    @property
    def channel_id(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def sessions(self) -> int: ...
    @property
    def viewers(self) -> int: ...
    @property
    def watched_s(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def last_watched_at(self) -> int: ...


class Log(Protocol):
    """What the views ask of the sessions log; see `store.sessions_log`."""

    def page(
        self,
        *,
        limit: int,
        before: int | None = None,
        since: int | None = None,
        until: int | None = None,
        equal: Mapping[str, str | int] | None = None,
    ) -> list[tuple[int, Watched]]: ...

    def popular(self, *, since: int, limit: int, least_s: int = 0, lineup: str = "") -> Sequence[Channel]: ...


class Watching(Protocol):
    """What the views are handed. `now`: what an event's listener hears first, the relay's sessions."""

    @property
    def log(self) -> Log: ...
    @property
    def events(self) -> Audience: ...

    def now(self) -> Iterable[Event]: ...

    def now_s(self) -> int: ...


class _LogQuery(PageQuery):
    channel: str | None = Field(None, max_length=200, description="Only this channel's, by its permanent id.")
    user: str | None = Field(None, max_length=200)
    address: str | None = Field(None, max_length=64, description="Of the viewer.")
    lineup: str | None = Field(None, max_length=64)
    via: Literal["ts", "hls"] | None = None
    end: End | None = None
    source: int | None = Field(None, ge=1, lt=1 << 53, description="Only what this source carried at the end.")
    since: str | None = Field(None, max_length=64, description="ISO 8601; viewings that began then or later.")
    until: str | None = Field(None, max_length=64, description="ISO 8601; viewings that began before.")

    def equal(self) -> dict[str, str | int]:
        """What a row must have, by column."""
        asked = {
            "channel_id": self.channel, "user": self.user, "address": self.address, "lineup": self.lineup,
            "via": self.via, "end": self.end and str(self.end), "source_id": self.source,
        }  # fmt: skip
        return {name: value for name, value in asked.items() if value is not None}


class _PopularQuery(Shape):
    days: float = Field(7, gt=0, le=3650, description="How far back.")
    limit: int = Field(50, ge=1, description=f"At most {shapes.MOST_ITEMS}.")
    least_s: int = Field(10, ge=0, le=_DAY_S, description="Viewings that were shorter (zaps) are left out.")
    lineup: str = Field("", max_length=64)


def blueprint(it: Watching, *, call: Call) -> APIBlueprint:
    """`/api/v1/relay/log`, `/popular`, `/events`."""
    views = APIBlueprint("watching", __name__, url_prefix="/api/v1/relay")

    @views.get("/log", summary="Viewings that are over, newest first")
    def log(query: _LogQuery) -> Response:
        limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
        found = call(
            it.log.page,
            limit=limit + 1,
            before=cursor_number(query.cursor) or None,
            since=_instant(query.since, "since"),
            until=_instant(query.until, "until"),
            equal=query.equal(),
        )
        items = [_viewing(number, one) for number, one in found[:limit]]
        return json_answer(shapes.page(items, str(found[limit - 1][0]) if len(found) > limit else None))

    @views.get("/popular", summary="Channels by how long they were watched")
    def popular(query: _PopularQuery) -> Response:
        limit = min(query.limit, shapes.MOST_ITEMS)
        since = it.now_s() - round(query.days * _DAY_S)
        found = call(it.log.popular, since=since, limit=limit, least_s=query.least_s, lineup=query.lineup)
        return json_answer(shapes.page([_popular(one) for one in found], None))

    @views.get("/events", summary="What happens in the relay, as server-sent events")
    def events() -> Response:
        """First `sessions` with what runs, then `state`, `join` and `leave` as they happen."""
        return event_stream(it.events, it.now)

    return views


def _instant(text: str | None, name: str) -> int | None:
    """ISO 8601 as epoch seconds; a space stands for the `+` that a query string lost; no offset is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise Invalid(f"{name}: found {text!r}; ISO 8601 such as 2026-11-21T20:15:00Z is needed") from error


def _viewing(number: int, one: Watched) -> dict[str, object]:
    return {
        "id": number,
        "channel_id": one.channel_id,
        "channel": one.channel,
        "lineup": one.lineup or None,
        "profile": one.profile or None,
        "via": str(one.via),
        "user": one.user or None,
        "address": one.address,
        "user_agent": one.user_agent,
        "source_id": one.source_id,
        "stream_id": one.stream_id,
        "started_at": iso(one.started_at),
        "ended_at": iso(one.started_at + one.duration_s),
        "duration_s": one.duration_s,
        "wait_ms": one.wait_ms,
        "bytes": one.bytes_sent,
        "jumps": one.jumps,
        "switches": one.switches,
        "slates": one.slates,
        "end": str(one.end),
    }


def _popular(one: Channel) -> dict[str, object]:
    return {
        "channel_id": one.channel_id,
        "channel": one.channel,
        "sessions": one.sessions,
        "viewers": one.viewers,
        "watched_s": one.watched_s,
        "bytes": one.bytes_sent,
        "last_watched_at": iso(one.last_watched_at),
    }
