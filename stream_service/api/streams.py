"""What sources hold: groups, streams with search, filters and pages, and what one stream really sends."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit.clock import iso
from servicekit.errors import Invalid
from servicekit.redact import redact
from servicekit.web import PageQuery, Shape, cursor_number, json_answer
from stream_service.api import params, shapes
from stream_service.domain.calls import Call
from stream_service.domain.entities import Source
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.domain.titles import StoredTitle, TitleKind

Kind = Literal["live", "radio", "movie", "series"]
State = Literal["present", "vanished"]
Sort = Literal["position", "name", "group", "first_seen"]
Place = tuple[Any, int]


class Row(Protocol):
    """A stream as its source lists it; see `store.streams`."""

    @property
    def id(self) -> int: ...
    @property
    def source_id(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def tvg_id(self) -> str: ...
    @property
    def tvg_name(self) -> str: ...
    @property
    def number(self) -> str: ...
    @property
    def logo(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def provider_id(self) -> str: ...
    @property
    def channel_id(self) -> str | None: ...
    @property
    def first_seen(self) -> int: ...
    @property
    def vanished_at(self) -> int | None: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...
    @property
    def kind(self) -> str: ...


class Streams(Protocol):
    """The store's side of browsing."""

    def page(
        self, *, limit: int, source_id: int | None = None, search: str = "", group: str | None = None,
        radio: bool | None = None, state: State = "present", sort: Sort = "position", after: Place | None = None,
    ) -> tuple[Sequence[Row], Place | None]: ...  # fmt: skip
    def groups(self, source_id: int) -> Sequence[tuple[str, int]]: ...
    def get(self, source_id: int, stream_id: int) -> Row: ...
    def address(self, source_id: int, stream_id: int) -> StreamAddress: ...


class Library(Protocol):
    """Movies and series, as far as browsing goes."""

    def page(
        self, kind: TitleKind, *, limit: int, after: int = 0, search: str = "", category: str | None = None,
        source_id: int | None = None,
    ) -> Sequence[StoredTitle]: ...  # fmt: skip
    def counts(self, source_id: int) -> Mapping[str, int]: ...


class Sources(Protocol):
    """The sources."""

    def get(self, source_id: int) -> Source: ...


Probe = Callable[..., dict[str, object]]
"""(target, again=) -> what it sends; raises `Unavailable`, `BadAnswer`."""


class _StreamsQuery(PageQuery):
    q: str = Field("", max_length=200, description="Looked for in name, tvg-id and group, case forgiven.")
    group: str | None = Field(None, max_length=512)
    kind: Kind = Field("live", description="live (radio too), radio, movie, series.")
    state: State = "present"
    sort: Sort = "position"


class _StreamPath(params.SourcePath):
    stream_id: params.Number


class _ProbeQuery(Shape):
    again: bool = Field(False, description="Look again, also when it was looked at within ten minutes.")


def blueprint(*, streams: Streams, library: Library, sources: Sources, call: Call, probe: Probe | None) -> APIBlueprint:
    """Browsing under `/api/v1/streams` and `/api/v1/sources/ID`."""
    views = APIBlueprint("streams", __name__, url_prefix="/api/v1")

    def page(query: _StreamsQuery, source_id: int | None) -> Response:
        if query.kind in ("movie", "series"):
            return _titles(library, call, query, source_id)
        limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
        found, place = call(
            streams.page,
            limit=limit,
            source_id=source_id,
            search=query.q,
            group=query.group,
            radio=True if query.kind == "radio" else None,
            state=query.state,
            sort=query.sort,
            after=_place(query.cursor),
        )
        return json_answer(shapes.page([stream(one) for one in found], _cursor(place) if place else None))

    @views.get("/streams", summary="Streams of all sources: searched, filtered, sorted")
    def all_streams(query: _StreamsQuery) -> Response:
        return page(query, None)

    @views.get("/sources/<int:source_id>/streams", summary="Streams of a source: searched, filtered, sorted")
    def streams_of_a_source(path: params.SourcePath, query: _StreamsQuery) -> Response:
        call(sources.get, path.source_id)
        return page(query, path.source_id)

    @views.get("/sources/<int:source_id>/groups", summary="Its groups with how many streams each has")
    def groups(path: params.SourcePath) -> Response:
        call(sources.get, path.source_id)
        found = [{"name": name, "streams": count} for name, count in call(streams.groups, path.source_id)]
        return json_answer({"items": found, "next": None, "library": dict(call(library.counts, path.source_id))})

    _add_one(views, streams, call)
    if probe is not None:
        _add_probe(views, streams, call, probe)
    return views


def _add_one(views: APIBlueprint, streams: Streams, call: Call) -> None:
    @views.get("/sources/<int:source_id>/streams/<int:stream_id>", summary="One stream, listed or vanished")
    def one_stream(path: _StreamPath) -> Response:
        return json_answer(stream(call(streams.get, path.source_id, path.stream_id)))


def _add_probe(views: APIBlueprint, streams: Streams, call: Call, probe: Probe) -> None:
    @views.get("/sources/<int:source_id>/streams/<int:stream_id>/probe", summary="What a stream really sends")
    def probed(path: _StreamPath, query: _ProbeQuery) -> Response:
        """Opens the stream as for a viewer, within the source's connections, and asks ffprobe; kept ten minutes."""
        address = call(streams.address, path.source_id, path.stream_id)
        name = call(streams.get, path.source_id, path.stream_id).name
        target = ChannelTarget(f"stream.{path.stream_id}", "", name, (address,))
        return json_answer(probe(target, again=query.again) | {"stream_id": path.stream_id})


def stream(one: Row) -> dict[str, object]:
    """A stream, without the secrets of its address."""
    return {
        "id": one.id,
        "source_id": one.source_id,
        "source": one.source,
        "kind": one.kind,
        "state": "present" if one.vanished_at is None else "vanished",
        "name": one.name,
        "group": one.group or None,
        "tvg_id": one.tvg_id or None,
        "tvg_name": one.tvg_name or None,
        "number": one.number or None,
        "logo": redact(one.logo) or None,
        "url": redact(one.url) or None,
        "provider_id": one.provider_id or None,
        "channel_id": one.channel_id,
        "first_seen": iso(one.first_seen),
        "vanished_at": None if one.vanished_at is None else iso(one.vanished_at),
        "attributes": dict(one.attributes),
    }


def _titles(library: Library, call: Call, query: _StreamsQuery, source_id: int | None) -> Response:
    limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
    kind: TitleKind = "movie" if query.kind == "movie" else "series"
    found = call(
        library.page, kind, limit=limit + 1, after=cursor_number(query.cursor), search=query.q,
        category=query.group, source_id=source_id,
    )  # fmt: skip
    items = [
        {
            "id": one.id,
            "source_id": one.source_id,
            "kind": kind,
            "state": "present",
            "name": one.title.name,
            "group": one.title.category or None,
            "logo": redact(one.title.picture) or None,
            "provider_id": one.title.provider_id,
            "first_seen": iso(one.first_seen),
        }
        for one in found[:limit]
    ]
    return json_answer(shapes.page(items, str(found[limit - 1].id) if len(found) > limit else None))


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _place(cursor: str | None) -> Place | None:
    if cursor is None:
        return None
    try:
        key, ident = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if isinstance(key, str | int) and isinstance(ident, int) and abs(ident) < 1 << 62:
            return key, ident
    except (ValueError, TypeError, binascii.Error, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("cursor: use the `next` of the answer before, as it was given") from error
    raise Invalid("cursor: use the `next` of the answer before, as it was given")
