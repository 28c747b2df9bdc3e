"""Channels typed by hand, their way in from M3U and out as M3U, and lists that are uploaded."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, Protocol

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import AfterValidator, Field

from servicekit.errors import Conflict, Invalid
from servicekit.files import atomic_file
from servicekit.web import Shape, accepts, json_answer
from stream_service.api import params, shapes
from stream_service.domain.calls import Call
from stream_service.domain.entities import Run, Source
from stream_service.domain.losses import Losses
from stream_service.domain.typed import LOGO, TypedChannel, merged

MOST_CHANNELS = 5_000
MAX_IMPORT_BYTES = 2 << 20
"""What is read in one go holds the loop that carries the streams for as long."""
UPLOAD_PIECE_BYTES = 1 << 18
_SCHEMES = ("http://", "https://", "rtsp://", "rtp://", "udp://", "srt://", "rtmp://", "rtmps://")


class Typed(Protocol):
    """The store of typed channels."""

    def of(self, source_id: int) -> list[TypedChannel]: ...
    def replace(self, source_id: int, channels: Sequence[TypedChannel]) -> list[TypedChannel]: ...


class Sources(Protocol):
    """The sources."""

    def get(self, source_id: int) -> Source: ...
    def update(self, source_id: int, values: dict[str, object]) -> Source: ...


class Runs(Protocol):
    """The log of refreshes."""

    def enqueue(self, source_id: int, *, reason: Literal["manual"]) -> Run: ...


class Hands(Protocol):
    """What the views are handed."""

    @property
    def typed(self) -> Typed: ...
    @property
    def sources(self) -> Sources: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def call(self) -> Call: ...
    @property
    def read_m3u(self) -> Callable[[bytes, Losses], list[TypedChannel]]:
        """An M3U list as typed channels; raises `BadAnswer`."""
        ...

    @property
    def written(self) -> Callable[[Sequence[TypedChannel]], str]:
        """Typed channels as an M3U list."""
        ...

    @property
    def upload_path(self) -> Callable[[int], Path]:
        """Where a source's uploaded list stands."""
        ...

    @property
    def max_upload_bytes(self) -> int: ...


def _stream_address(value: str) -> str:
    if value and (not value.startswith(_SCHEMES) or any(c <= " " or c == "\x7f" for c in value)):
        raise ValueError(f"an address that starts with one of {' '.join(_SCHEMES)} is needed, or nothing")
    return value


def _line(value: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("one line of text is needed")
    return value.strip()


def _logo(value: str) -> str:
    if not LOGO.fullmatch(value):
        raise ValueError("an http(s) address, @logo:ID, or nothing is needed")
    return value


Line = Annotated[str, Field(max_length=512), AfterValidator(_line)]


class _Channel(Shape):
    id: Annotated[int, Field(ge=0, lt=1 << 53)] | None = Field(None, description="Left out for a new one.")
    name: params.Name
    url: Annotated[str, Field(max_length=16_384), AfterValidator(_stream_address)] = ""
    enabled: bool = True
    tvg_id: Line = ""
    tvg_name: Line = ""
    group: Line = ""
    number: Annotated[str, Field(max_length=16, pattern=r"^([0-9]{1,7}([._-][0-9]{1,4})?)?$")] = ""
    logo: Annotated[str, Field(max_length=4_096), AfterValidator(_logo)] = ""
    headers: params.Headers = Field(default_factory=dict)
    attributes: Annotated[dict[Line, Line], Field(max_length=64)] = Field(default_factory=dict)


class _Channels(Shape):
    channels: list[_Channel] = Field(max_length=MOST_CHANNELS)


class _ImportQuery(Shape):
    apply: Literal["merge", "replace", ""] = Field("", description="Nothing changes without it.")


def blueprint(it: Hands) -> APIBlueprint:
    """`/api/v1/sources/ID/manual-channels`, `export.m3u`, `import-m3u`, `file`."""
    views = APIBlueprint("manual", __name__, url_prefix="/api/v1/sources/<int:source_id>")

    @views.get("/manual-channels", summary="The channels typed by hand")
    def manual_channels(path: params.SourcePath) -> Response:
        _manual(it, path.source_id)
        return json_answer({"items": [_shown(one) for one in it.call(it.typed.of, path.source_id)], "next": None})

    @views.put("/manual-channels", summary="Let these be the channels, all or none; the source is refreshed")
    @accepts("application/json", max_bytes=MAX_IMPORT_BYTES)
    def set_manual_channels(path: params.SourcePath) -> Response:
        source = _manual(it, path.source_id)
        body = _Channels.model_validate(_json_body())
        channels = [TypedChannel(**one.model_dump() | {"id": one.id or 0}) for one in body.channels]
        if len({one.id for one in channels if one.id}) < sum(bool(one.id) for one in channels):
            raise Invalid("channels: an id stands there more than once")
        return json_answer(_kept(it, source, channels))

    @views.get("/export.m3u", summary="The typed channels as M3U, those that are switched off too")
    def export(path: params.SourcePath) -> Response:
        source = _manual(it, path.source_id)
        text = it.written(it.call(it.typed.of, path.source_id))
        return Response(
            text,
            content_type="audio/x-mpegurl; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="source-{source.id}.m3u"',
                "Cache-Control": "no-store",
            },
        )

    _add_import(views, it)
    _add_upload(views, it)
    return views


def _add_import(views: APIBlueprint, it: Hands) -> None:
    @views.post("/import-m3u", summary="Channels of an M3U list: shown first, taken with apply=merge or replace")
    @accepts(max_bytes=MAX_IMPORT_BYTES)
    def import_m3u(path: params.SourcePath, query: _ImportQuery) -> Response:
        source = _manual(it, path.source_id)
        losses = Losses()
        found = it.call(it.read_m3u, request.get_data(), losses)
        if query.apply and not found:
            raise Invalid("the list holds no channel that can be used", losses=losses.report())
        kept = it.call(it.typed.of, source.id) if query.apply != "replace" else []
        channels = it.call(merged, kept, found) if len(found) <= MOST_CHANNELS else found
        if len(channels) > MOST_CHANNELS:
            raise Invalid(f"a manual source holds at most {MOST_CHANNELS} channels; make an M3U source of this list")
        answer: dict[str, object] = {
            "parsed_count": len(found),
            "skipped_count": losses.entries_lost,
            "losses": losses.report(),
            "applied": bool(query.apply),
        }
        if query.apply:
            return json_answer(answer | _kept(it, source, channels))
        return json_answer(answer | {"channels": [_shown(one) for one in found]})


def _add_upload(views: APIBlueprint, it: Hands) -> None:
    @views.put("/file", summary="Upload an M3U list; the source reads this file from now on")
    @accepts(max_bytes=it.max_upload_bytes)
    def upload(path: params.SourcePath) -> Response:
        source = it.call(it.sources.get, path.source_id)
        if source.type != "m3u":
            raise Conflict(f"source {source.id} is of type {source.type}: only one of type m3u reads a file")
        target = it.upload_path(source.id)
        _receive(target, it.call)
        return json_answer(shapes.source(it.call(it.sources.update, source.id, {"url": target.name}), None))


def _receive(target: Path, call: Call) -> None:
    """The request's body as a file; the one before stays when the upload is empty or breaks off.

    Every step that waits for the disk is taken off the loop, the last one (fsync, rename) above all.
    """
    kept = atomic_file(target, mode=0o600)
    file = call(kept.__enter__)
    try:
        while piece := request.stream.read(UPLOAD_PIECE_BYTES):
            call(file.write, piece)
        if not file.tell():
            raise Invalid("the upload is empty: send the list as the request's body (curl --upload-file)")
    except BaseException as error:
        call(kept.__exit__, type(error), error, error.__traceback__)
        raise
    call(kept.__exit__, None, None, None)


def _manual(it: Hands, source_id: int) -> Source:
    source = it.call(it.sources.get, source_id)
    if source.type != "manual":
        raise Conflict(f"source {source_id} is of type {source.type}: its channels are not typed by hand")
    return source


def _json_body() -> object:
    try:
        found: object = json.loads(request.get_data() or b"{}")
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate cannot be stored
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the body is no JSON that can be used: {str(error)[:200]}") from error
    return found


def _kept(it: Hands, source: Source, channels: Sequence[TypedChannel]) -> dict[str, object]:
    """Keep them, and have the source refreshed, so that they are on air within seconds."""
    kept = it.call(it.typed.replace, source.id, channels)
    run = it.call(it.runs.enqueue, source.id, reason="manual") if source.enabled else None
    return {
        "items": [_shown(one) for one in kept],
        "next": None,
        "warnings": _warnings(kept),
        "run": shapes.run(run) if run else None,
    }


def _warnings(channels: Sequence[TypedChannel]) -> list[str]:
    wanted = Counter(one.number for one in channels if one.number and one.enabled)
    twice = [number for number, times in wanted.items() if times > 1]
    return [f"number {number} is wanted by several channels: the first gets it" for number in twice[:20]]


def _shown(one: TypedChannel) -> dict[str, object]:
    """A typed channel whole: its owner typed all of it, address and headers included."""
    return {
        "id": one.id or None,
        "name": one.name,
        "url": one.url,
        "enabled": one.enabled,
        "tvg_id": one.tvg_id,
        "tvg_name": one.tvg_name,
        "group": one.group,
        "number": one.number,
        "logo": one.logo,
        "headers": dict(one.headers),
        "attributes": dict(one.attributes),
    }
