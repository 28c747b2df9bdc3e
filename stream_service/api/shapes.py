"""How the nouns look as JSON."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from servicekit.clock import iso, moment
from servicekit.redact import redact
from stream_service.domain.account import Account
from stream_service.domain.entities import Run, Source

MOST_ITEMS = 500
SOURCE_OPTIONS = {"live": True, "vod": True, "series": True, "vod_as_channels": False}


class ChannelRow(Protocol):
    """A channel with its number in the default lineup, or in the lineup asked for."""

    @property
    def id(self) -> str: ...
    @property
    def number(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def tvg_id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def logo(self) -> str: ...


class StreamRow(Protocol):
    """A stream of a channel."""

    @property
    def id(self) -> int: ...
    @property
    def source_id(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def url(self) -> str: ...


def source(one: Source, last: Run | None) -> dict[str, object]:
    """A source as its administrator sees it: the address as it was typed, and how the last refresh went."""
    return {
        "id": one.id,
        "name": one.name,
        "type": one.type,
        "url": one.url,
        "username": one.username,
        "has_password": one.password is not None,
        "backup_urls": [redact(url) for url in one.backup_urls],
        "options": {**SOURCE_OPTIONS, **one.options},
        "auto_epg": one.auto_epg,
        "account": account(one.account) if one.type == "xtream" else None,
        "enabled": one.enabled,
        "schedule": one.schedule,
        "connection_limit": one.connection_limit,
        "user_agent": one.user_agent,
        "headers": dict(one.headers),
        "timeouts": dict(one.timeouts),
        "created_at": iso(one.created_at),
        "updated_at": iso(one.updated_at),
        "status": last.status if last else None,
        "error_message": last.error_message if last else None,
        "streams": one.good.entries,
        "entries_skipped": last.entries_skipped if last else 0,
        "losses": _losses(last),
        "last_refresh": moment(last.completed_at) if last else None,
        "last_run_id": last.id if last else None,
        "guide_urls": [redact(url) for url in one.good.guide_urls],
    }


def account(one: Account) -> dict[str, object]:
    """What a panel said of the account when it was asked last."""
    return {
        "status": one.status,
        "message": redact(one.message) or None,
        "expires_at": moment(one.expires_at),
        "max_connections": one.max_connections,
        "active": one.active,
        "trial": one.trial,
        "created_at": moment(one.created_at),
        "timezone": one.timezone or None,
        "host": redact(one.base_url) or None,
        "checked_at": moment(one.checked_at or None),
        "wait_until": moment(one.wait_until or None),
    }


def run(one: Run) -> dict[str, object]:
    """A refresh."""
    return {
        "id": one.id,
        "source_id": one.source_id,
        "status": one.status,
        "reason": one.reason,
        "force": one.force,
        "attempt": one.attempt,
        "queued_at": iso(one.queued_at),
        "started_at": moment(one.started_at),
        "completed_at": moment(one.completed_at),
        "stage": one.stage,
        "progress": dict(one.progress),
        "streams": one.streams,
        "entries_skipped": one.entries_skipped,
        "losses": _losses(one),
        "warnings": one.report.get("warnings", []),
        "identity": one.report.get("streams", {}),
        "library": one.report.get("library", {}),
        "error_message": one.error_message,
    }


def channel(one: ChannelRow, origin: str) -> dict[str, object]:
    """A channel; `stream_url` is where it is watched."""
    return {
        "id": one.id,
        "number": one.number or None,
        "name": one.name,
        "tvg_id": one.tvg_id or None,
        "group": one.group or None,
        "logo": one.logo or None,
        "stream_url": f"{origin}/stream/{one.id}.ts",
    }


def stream(one: StreamRow) -> dict[str, object]:
    """A stream of a channel, without the secrets of its address."""
    return {
        "id": one.id,
        "source_id": one.source_id,
        "source": one.source,
        "name": one.name,
        "url": redact(one.url),
    }


def page(items: Sequence[object], following: str | None) -> dict[str, object]:
    """A part of a list."""
    return {"items": list(items), "next": following}


def _losses(one: Run | None) -> Mapping[str, object]:
    found = one.report.get("losses") if one else None
    return found if isinstance(found, dict) else {}
