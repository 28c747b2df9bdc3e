"""How lineups, their channels and their builds look as JSON."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Protocol

import orjson

from servicekit.clock import iso, moment
from servicekit.errors import Invalid
from stream_service.domain.lineup import HDHR, M3U, XTREAM, LineupOptions, Override


class LineupRow(Protocol):
    """A lineup."""

    @property
    def name(self) -> str: ...
    @property
    def created_at(self) -> int: ...
    @property
    def built_at(self) -> int | None: ...
    @property
    def channels(self) -> int: ...
    @property
    def delivery(self) -> str: ...
    @property
    def options(self) -> LineupOptions: ...
    @property
    def stale(self) -> bool: ...


class BuildRow(Protocol):
    """A build of a lineup."""

    @property
    def id(self) -> int: ...
    @property
    def lineup(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def queued_at(self) -> int: ...
    @property
    def started_at(self) -> int | None: ...
    @property
    def completed_at(self) -> int | None: ...
    @property
    def stage(self) -> str: ...
    @property
    def channels(self) -> int: ...
    @property
    def error_message(self) -> str | None: ...
    @property
    def report(self) -> Mapping[str, object]: ...


class ChannelRow(Protocol):
    """A channel of a lineup."""

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
    @property
    def hidden(self) -> bool: ...
    @property
    def overridden(self) -> Override | None: ...


def lineup(one: LineupRow, origin: str, last: BuildRow | None = None) -> dict[str, object]:
    """A lineup, what is set of it, how its last build went, and its addresses."""
    said: dict[str, object] = {
        "name": one.name,
        **one.options.as_dict(),
        "delivery": one.delivery,
        "channels": one.channels,
        "created_at": iso(one.created_at),
        "built_at": moment(one.built_at),
        "status": "waiting" if one.stale and last is None else _status(one, last),
        "error_message": last.error_message if last else None,
        "warnings": last.report.get("warnings", []) if last else [],
    }
    base = f"{origin}/lineups/{one.name}"
    said["guide_url"] = f"{base}/epg.xml.gz"
    outputs = one.options.outputs
    said["playlist_url"] = f"{base}/playlist.m3u" if M3U in outputs else None
    device = origin if one.name == "default" else f"{origin}/hdhr/{one.name}"
    said["hdhr_url"] = device if HDHR in outputs else None
    said["xtream_url"] = origin if XTREAM in outputs else None
    return said


def build(one: BuildRow) -> dict[str, object]:
    """A build: its state, and what each stage counted and cost."""
    return {
        "id": one.id,
        "lineup": one.lineup,
        "status": one.status,
        "reason": one.reason,
        "stage": one.stage or None,
        "queued_at": iso(one.queued_at),
        "started_at": moment(one.started_at),
        "completed_at": moment(one.completed_at),
        "duration_s": _duration_s(one),
        "channels": one.channels,
        "error_message": one.error_message,
        "warnings": [],
        "stages": {},
        **one.report,
    }


def channel(one: ChannelRow, origin: str, way: str) -> dict[str, object]:
    """A channel as a lineup shows it; `set` is what a person set of it. `way`: what its addresses end with."""
    return {
        "id": one.id,
        "number": one.number or None,
        "name": one.name,
        "tvg_id": one.tvg_id or None,
        "group": one.group or None,
        "logo": (origin + one.logo if one.logo.startswith("/") else one.logo) or None,
        "hidden": one.hidden,
        "set": None if one.overridden is None else override(one.overridden),
        "stream_url": f"{origin}/stream/{one.id}.ts{way}",
    }


def override(own: Override) -> dict[str, object]:
    """What a person set of a channel, without what was left alone."""
    said = {name: getattr(own, name) for name in ("number", "name", "logo", "group", "tvg_id", "hidden", "order")}
    return {name: value for name, value in said.items() if value is not None and value is not False}


def cursor(key: Sequence[object]) -> str:
    """The key of the last channel of a page, to go on behind it."""
    return base64.urlsafe_b64encode(orjson.dumps(list(key))).decode().rstrip("=")


def key_of(text: str | None, length: int) -> Sequence[object] | None:
    """What `cursor` was made of; raises `Invalid` for anything else."""
    if text is None:
        return None
    try:
        found = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, list) or len(found) != length or not all(type(one) in (str, int) for one in found):
        raise Invalid("cursor: use the `next` of the answer before, as it was given")
    return found


def _status(one: LineupRow, last: BuildRow | None) -> str:
    """`building`, `waiting` for a build, or how the last one ended."""
    if last is not None and last.status == "running":
        return "building"
    if last is not None and last.status == "failed":
        return "failed"
    return "waiting" if one.stale or last is None else last.status


def _duration_s(one: BuildRow) -> int | None:
    if one.started_at is None or one.completed_at is None:
        return None
    return one.completed_at - one.started_at
