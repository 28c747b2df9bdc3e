"""Lineups: what is set of them, their channels, and their builds."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Response
from flask_openapi3 import APIBlueprint

from servicekit.errors import NotFound
from servicekit.web import PageQuery, cursor_number, json_answer, no_content, origin_of
from stream_service.api import Collaborators, lineup_shapes, shapes
from stream_service.api import lineup_params as params
from stream_service.domain.lineup import DEFAULT, LineupOptions, Override, way_of

_NULL_MEANS_ALL = frozenset(("sources", "tuner_count"))
"""Options for which null is a wish of its own."""
_KEYS = {"number": 3, "name": 2, "group": 4, "order": 2}


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/lineups`."""
    views = APIBlueprint("lineups", __name__)

    def told(name: str) -> dict[str, object]:
        return lineup_shapes.lineup(it.call(it.lineups.get, name), origin_of(), it.call(it.builds.last, name))

    @views.get("/api/v1/lineups", summary="The lineups and their addresses")
    def all_lineups() -> Response:
        origin = origin_of()
        rows = it.call(lambda: [(one, it.builds.last(one.name)) for one in it.lineups.all()])
        return json_answer(shapes.page([lineup_shapes.lineup(one, origin, last) for one, last in rows], None))

    @views.post("/api/v1/lineups", summary="Make a lineup")
    def make(body: params.NewLineup) -> Response:
        change = _change(it, body)
        it.call(it.lineups.create, body.name, change(LineupOptions()), delivery=body.delivery or "relay")
        return json_answer(told(body.name), 201)

    @views.get("/api/v1/lineups/<name>", summary="One lineup")
    def one_lineup(path: params.LineupPath) -> Response:
        return json_answer(told(path.name))

    @views.put("/api/v1/lineups/<name>", summary="Change what is set of a lineup; what is left out stays")
    def change_lineup(path: params.LineupPath, body: params.ChangedLineup) -> Response:
        it.call(it.lineups.get, path.name)
        change = _change(it, body)
        it.call(it.lineups.change, path.name, change, delivery=body.delivery, keep_numbers=body.keep_numbers)
        return json_answer(told(path.name))

    @views.delete("/api/v1/lineups/<name>", summary="Forget a lineup; `default` is always there")
    def delete(path: params.LineupPath) -> Response:
        it.call(it.lineups.delete, path.name)
        return no_content()

    _channels(views, it)
    _builds(views, it)
    return views


def _way(it: Collaborators, name: str) -> str:
    """Behind the addresses of a lineup's streams, as its M3U writes them; raises `NotFound`."""
    return way_of(name, it.lineups.get(name).delivery, it.lineups.get(DEFAULT).delivery)


def _channels(views: APIBlueprint, it: Collaborators) -> None:
    def told(name: str, channel_id: str) -> dict[str, object]:
        row, way = it.call(it.lineup_channels.get, name, channel_id), it.call(_way, it, name)
        return lineup_shapes.channel(row, origin_of(), way)

    @views.get("/api/v1/lineups/<name>/channels", summary="The channels of a lineup")
    def some(path: params.LineupPath, query: params.LineupChannelsQuery) -> Response:
        way = it.call(_way, it, path.name)
        limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
        after = lineup_shapes.key_of(query.cursor, _KEYS[query.sort])
        found = it.call(
            it.lineup_channels.some, path.name, limit=limit + 1, after=after,
            sort=query.sort, search=query.q, group=query.group, hidden=query.hidden,
        )  # fmt: skip
        origin = origin_of()
        items = [lineup_shapes.channel(row, origin, way) for row, _ in found[:limit]]
        return json_answer(
            shapes.page(items, lineup_shapes.cursor(found[limit - 1][1]) if len(found) > limit else None)
        )

    @views.get("/api/v1/lineups/<name>/groups", summary="The groups of a lineup, with counts")
    def groups(path: params.LineupPath) -> Response:
        it.call(it.lineups.get, path.name)
        found = it.call(it.lineup_channels.groups, path.name)
        return json_answer(shapes.page([{"name": name, "channels": count} for name, count in found], None))

    @views.get("/api/v1/lineups/<name>/channels/<channel_id>", summary="One channel as a lineup shows it")
    def one(path: params.LineupChannelPath) -> Response:
        it.call(it.lineups.get, path.name)
        return json_answer(told(path.name, path.channel_id))

    @views.put(
        "/api/v1/lineups/<name>/channels/<channel_id>",
        summary="Set a channel's number, name, logo, group … in a lineup",
    )
    def set_channel(path: params.LineupChannelPath, body: params.OverrideShape) -> Response:
        it.call(it.lineups.get, path.name)
        it.call(it.lineup_channels.override, path.name, path.channel_id, Override(**body.model_dump()))
        return json_answer(told(path.name, path.channel_id))

    @views.delete("/api/v1/lineups/<name>/channels/<channel_id>", summary="Let a channel be again what its source says")
    def unset_channel(path: params.LineupChannelPath) -> Response:
        it.call(it.lineups.get, path.name)
        it.call(it.lineup_channels.override, path.name, path.channel_id, Override())
        return no_content()


def _builds(views: APIBlueprint, it: Collaborators) -> None:
    @views.get("/api/v1/lineups/<name>/builds", summary="The builds of a lineup, newest first")
    def builds(path: params.LineupPath, query: PageQuery) -> Response:
        it.call(it.lineups.get, path.name)
        limit = min(query.limit or 50, shapes.MOST_ITEMS)
        before = cursor_number(query.cursor) or None
        found = it.call(it.builds.page, path.name, limit=limit + 1, before=before)
        items = [lineup_shapes.build(one) for one in found[:limit]]
        return json_answer(shapes.page(items, str(found[limit - 1].id) if len(found) > limit else None))

    @views.post("/api/v1/lineups/<name>/build", summary="Build a lineup now")
    def build(path: params.LineupPath) -> Response:
        it.call(it.lineups.get, path.name)
        asked = it.call(it.builds.ask, path.name)
        return json_answer({"message": "Build started", "build": lineup_shapes.build(asked)}, 202)


def _change(it: Collaborators, body: params.ChangedLineup) -> Callable[[LineupOptions], LineupOptions]:
    """What a body changes; raises `Invalid` or `NotFound` for what it names and is not there."""
    said: dict[str, Any] = body.model_dump(exclude_unset=True, exclude={"name", "delivery", "keep_numbers"})
    wanted = {key: value for key, value in said.items() if value is not None or key in _NULL_MEANS_ALL}
    if body.delivery is not None:
        it.call(it.check_delivery, body.delivery)
    for text in body.merge_rules or ():
        it.check_condition(text)
    if body.sources is not None:
        there = {one.id for one in it.call(it.sources.all)}
        for one in body.sources:
            if one not in there:
                raise NotFound(f"sources: there is no source {one}")
    numbering = {key: value for key, value in (wanted.pop("numbering", None) or {}).items() if value is not None}
    for key in ("sources", "merge_rules", "outputs"):
        if isinstance(wanted.get(key), list):
            wanted[key] = tuple(wanted[key])

    def change(options: LineupOptions) -> LineupOptions:
        return replace(options, **wanted, numbering=replace(options.numbering, **numbering))

    return change
