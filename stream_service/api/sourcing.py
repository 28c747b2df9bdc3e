"""The views about sources beyond their rows: trying, browsing, typing, uploading, watching refreshes."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from flask import Response
from flask_openapi3 import APIBlueprint

from servicekit.clock import iso
from servicekit.errors import Conflict
from servicekit.web import json_answer
from stream_service.api import manual, params, progress, shapes
from stream_service.api import streams as browsing
from stream_service.api.sources import checked
from stream_service.domain.account import account_of
from stream_service.domain.calls import Call

Ask = Callable[[str, Mapping[str, object]], dict[str, Any]]


class Guide(Protocol):
    """A panel's guide at the guide service; see `store.guide_links`."""

    @property
    def state(self) -> str: ...
    @property
    def provider_id(self) -> int | None: ...
    @property
    def detail(self) -> str: ...
    @property
    def tried_at(self) -> int: ...


class Guides(Protocol):
    """The links of panels' guides."""

    def of(self, source_id: int) -> Guide | None: ...
    def hurry(self, source_id: int) -> None: ...


class Sourcing(manual.Hands, Protocol):
    """What these views are handed; see `stream_service.wiring.sourcing`."""

    @property
    def streams(self) -> browsing.Streams: ...
    @property
    def library(self) -> browsing.Library: ...
    @property
    def guides(self) -> Guides: ...
    @property
    def progress(self) -> progress.Progress: ...


class _TestedSource(params.ChangedSource):
    source_id: params.Number | None = None


def blueprints(
    it: Sourcing, *, ask: Ask, check_address: Callable[[str, str], None], probe: browsing.Probe | None
) -> list[APIBlueprint]:
    """All of them."""
    return [
        _tests(it.call, ask, check_address),
        _guides(it),
        browsing.blueprint(streams=it.streams, library=it.library, sources=it.sources, call=it.call, probe=probe),
        manual.blueprint(it),
        progress.blueprint(it.progress),
    ]


def _tests(call: Call, ask: Ask, check_address: Callable[[str, str], None]) -> APIBlueprint:
    views = APIBlueprint("source_tests", __name__, url_prefix="/api/v1/sources")

    @views.post("/test", summary="What a source would give, without keeping any of it")
    def test_source(body: _TestedSource) -> Response:
        """Counts, groups, a sample and the account. With `source_id`: that source, with what is changed of it."""
        values = body.model_dump(exclude_unset=True, exclude={"source_id"})
        if body.source_id is None:
            whole = {"type": "m3u", "url": "", "username": None, "password": None} | values
            values = {"type": "m3u"} | checked(call, check_address, dict(whole), whole)
        answer = ask("source-test", {"source_id": body.source_id, "values": values})
        account = answer.get("account")
        return json_answer(answer | {"account": shapes.account(account_of(account)) if account else None})

    return views


def _guides(it: Sourcing) -> APIBlueprint:
    views = APIBlueprint("source_guides", __name__, url_prefix="/api/v1/sources")

    def shown(path: params.SourcePath, status: int = 200) -> Response:
        source = it.call(it.sources.get, path.source_id)
        if source.type != "xtream":
            raise Conflict(f"source {source.id} is of type {source.type}: only a panel brings a guide along")
        found = it.call(it.guides.of, source.id)
        state = found.state if found else "waiting"
        answer = {
            "auto_epg": source.auto_epg,
            "state": state if source.auto_epg else "off",
            "provider_id": found.provider_id if found else None,
            "detail": (found.detail if found else "") or None,
            "tried_at": iso(found.tried_at) if found and found.tried_at else None,
        }
        return json_answer(answer, status)

    @views.get("/<int:source_id>/guide", summary="How a panel's guide is linked at the guide service")
    def guide(path: params.SourcePath) -> Response:
        return shown(path)

    @views.post("/<int:source_id>/guide", summary="Look for the panel's guide again, within seconds")
    def look_again(path: params.SourcePath) -> Response:
        answer = shown(path, 202)
        it.call(it.guides.hurry, path.source_id)
        return answer

    return views
