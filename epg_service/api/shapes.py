"""How the guide's nouns look as JSON."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

from flask import Response, request

from epg_service.api.conditional import hot
from epg_service.domain.entities import OPEN, Channel, Lineup, LineupMatch, Listing, Provider, ProviderChannel, Run
from epg_service.xmltv.edit import NO_TITLE
from epg_service.xmltv.fields import Fields, fields
from servicekit.clock import iso, moment
from servicekit.redact import redact
from servicekit.web import PageQuery, origin_of, page_of

MOST_ITEMS = 1_000
_NO_REPORT: dict[str, object] = {
    "losses": {},
    "notes": {},
    "warnings": [],
    "changes": {"added": 0, "changed": 0, "removed": 0},
}
NOTHING = Fields(None, None, None, None, None, None, None, None, (), False, False)
_iso = lru_cache(4096)(iso)  # channels start their programmes at the same times


class GuideFigures(Protocol):
    """What `/api/v1/stats` shows of the programmes."""

    @property
    def channels_with_epg(self) -> int: ...
    @property
    def total_programs(self) -> int: ...
    @property
    def oldest_program(self) -> int | None: ...
    @property
    def newest_program(self) -> int | None: ...
    @property
    def last_update(self) -> int | None: ...


def plain_list(items: Sequence[object], query: PageQuery) -> Response:
    """A founding list: a plain array, complete unless `limit` or `cursor` cut it (`Link`, `X-Total-Count`)."""
    if query.limit is None and query.cursor is None:
        response = hot(items)
    else:
        page, cursor = page_of(items, query, most=MOST_ITEMS)
        response = hot(page)
        if cursor is not None:
            arguments = {**request.args, "cursor": cursor}
            following = "&".join(f"{key}={quote(value)}" for key, value in arguments.items())
            response.headers["Link"] = f'<{origin_of()}{request.path}?{following}>; rel="next"'
    response.headers["X-Total-Count"] = str(len(items))
    return response


def stats(figures: GuideFigures, channels: int, providers: Sequence[Provider]) -> dict[str, object]:
    """Figures of the whole guide."""
    return {
        "channels_with_epg": figures.channels_with_epg,
        "total_programs": figures.total_programs,
        "oldest_program": moment(figures.oldest_program),
        "newest_program": moment(figures.newest_program),
        "last_update": moment(figures.last_update),
        "total_channels": channels,
        "total_providers": len(providers),
        "enabled_providers": sum(one.enabled for one in providers),
    }


def provider(one: Provider) -> dict[str, object]:
    """A provider as its administrator sees it: the address as it was typed, but for one that holds a panel's login."""
    return {
        "id": one.id,
        "name": one.name,
        "xmltv_url": redact(one.xmltv_url) if one.linked else one.xmltv_url,
        "linked": one.linked is not None,
        "enabled": one.enabled,
        "created_at": iso(one.created_at),
        "updated_at": iso(one.updated_at),
        "priority": one.priority,
        "schedule": one.schedule,
        "default_timezone": one.default_timezone,
        "shift_minutes": one.shift_minutes,
        "retention_days": one.retention_days,
        "last_good_import": moment(one.good.at),
        "source_info": dict(one.good.source),
    }


def run(one: Run) -> dict[str, object]:
    """A run of an import; the report's parts stand beside the founding fields."""
    report = {**_NO_REPORT, **one.report}
    return {
        "id": one.id,
        "provider_id": one.provider_id,
        "status": one.status,
        "queued_at": iso(one.queued_at),
        "started_at": moment(one.started_at),
        "completed_at": moment(one.completed_at),
        "programs_imported": one.programs_imported,
        "programs_skipped": one.programs_skipped,
        "error_message": one.error_message,
        "reason": one.reason,
        "attempt": one.attempt,
        "force": one.force,
        "progress": dict(one.progress) if one.status in OPEN else {"stage": "done", "percent": 100},
        **report,
    }


def channel(one: Channel) -> dict[str, object]:
    """A logical channel."""
    return {
        "id": one.id,
        "name": one.name,
        "display_name": one.display_name,
        "icon_url": one.icon_url,
        "hidden": one.hidden,
        "shift_minutes": one.shift_minutes,
    }


def mapping(one: ProviderChannel) -> dict[str, object]:
    """A provider's channel, the logical channel it belongs to, and how that was decided."""
    return {
        "id": one.id,
        "provider_id": one.provider_id,
        "provider": one.provider,
        "provider_channel_id": one.provider_channel_id,
        "display_name": one.display_name,
        "channel_id": one.channel_id,
        "channel_name": one.channel,
        "how": one.how,
        "shift_minutes": one.shift_minutes,
    }


def lineup(one: Lineup, counts: Mapping[str | None, int]) -> dict[str, object]:
    """A lineup; `counts` are its channels by the method they were matched with."""
    return {
        "name": one.name,
        "digest": one.digest,
        "received_at": iso(one.received_at),
        "matched_at": moment(one.matched_at),
        "channels": sum(counts.values()),
        "methods": {method or "none": count for method, count in counts.items()},
    }


def match(one: LineupMatch) -> dict[str, object]:
    """A lineup channel, its guide channel, and those that came near."""
    channel = one.channel
    return {
        "id": channel.id,
        "name": channel.name,
        "tvg_id": channel.tvg_id,
        "group": channel.group,
        "channel_id": channel.channel_id,
        "guide_name": one.guide_name,
        "method": channel.method,
        "score": channel.score,
        "shift_minutes": channel.shift_minutes,
        "pinned": one.pinned,
        "runners_up": [
            {"channel_id": near.channel_id, "name": near.name, "score": near.score} for near in one.runners_up
        ],
    }


def channel_of(one: Channel) -> dict[str, object]:
    """What an entry of a grid says of its channel."""
    return {"channel_id": one.id, "channel_name": one.name, "display_name": one.display_name, "icon_url": one.icon_url}


def programme(one: Listing) -> dict[str, object]:
    """A programme with the fields people ask for, read from its element."""
    told = fields(one.raw) if one.raw else NOTHING
    return {
        **brief(one),
        "subtitle": told.subtitle,
        "description": told.description,
        "category": told.category,
        "episode_num": told.episode_num,
        "rating": told.rating,
        "actors": told.actors,
        "directors": told.directors,
        "icon_url": told.icon_url,
        "new": told.new,
        "premiere": told.premiere,
    }


def brief(one: Listing) -> dict[str, object]:
    """A programme without what stands in its element."""
    return {
        "id": one.id,
        "channel_id": one.channel_id,
        "provider_id": one.provider_id,
        "start_time": _iso(one.start_s),
        "end_time": _iso(one.stop_s),
        "title": one.title or NO_TITLE,
        "duration_s": one.stop_s - one.start_s,
    }
