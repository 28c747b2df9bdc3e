"""Channels and lineups, to look at."""

import re

from flask import Response
from flask_openapi3 import APIBlueprint

from servicekit.errors import Invalid
from servicekit.web import PageQuery, json_answer, origin_of
from stream_service.api import Collaborators, params, shapes

_CURSOR = re.compile(r"([0-9]{1,8})\.([0-9]{1,8})\.([A-Za-z0-9._-]{1,100})", re.ASCII)


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/channels` and `/api/v1/lineups`."""
    views = APIBlueprint("channels", __name__, url_prefix="/api/v1")

    @views.get("/channels", summary="The channels that are there, by id")
    def some_channels(query: params.ChannelsQuery) -> Response:
        limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
        found = it.call(it.channels.page, limit=limit + 1, after=query.cursor or "", search=query.q)
        origin = origin_of()
        items = [shapes.channel(one, origin) for one in found[:limit]]
        return json_answer(shapes.page(items, found[limit - 1].id if len(found) > limit else None))

    @views.get("/channels/<channel_id>", summary="One channel and its streams")
    def one_channel(path: params.ChannelPath) -> Response:
        row, streams = it.call(it.channels.get, path.channel_id)
        said = shapes.channel(row, origin_of()) | {"streams": [shapes.stream(one) for one in streams]}
        return json_answer(said)

    @views.get("/lineups", summary="The lineups and their addresses")
    def all_lineups() -> Response:
        origin = origin_of()
        return json_answer(shapes.page([shapes.lineup(one, origin) for one in it.call(it.lineups.all)], None))

    @views.get("/lineups/<name>", summary="One lineup")
    def one_lineup(path: params.LineupPath) -> Response:
        return json_answer(shapes.lineup(it.call(it.lineups.get, path.name), origin_of()))

    @views.put("/lineups/<name>", summary="Change how a lineup's channels are delivered")
    def change_lineup(path: params.LineupPath, body: params.ChangedLineup) -> Response:
        it.call(it.lineups.get, path.name)
        it.call(it.check_delivery, body.delivery)
        changed = it.call(it.lineups.update, path.name, delivery=body.delivery)
        return json_answer(shapes.lineup(changed, origin_of()))

    @views.get("/lineups/<name>/channels", summary="The channels of a lineup, by number")
    def lineup_channels(path: params.LineupPath, query: PageQuery) -> Response:
        it.call(it.lineups.get, path.name)
        limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
        found = it.call(it.lineups.page, path.name, limit=limit + 1, after=_after(query.cursor))
        origin = origin_of()
        items = [shapes.channel(one, origin) for one in found[:limit]]
        last = found[limit - 1] if len(found) > limit else None
        return json_answer(shapes.page(items, _cursor(last.number, last.id) if last else None))

    return views


def _cursor(number: str, channel_id: str) -> str:
    major, _, minor = number.partition(".")
    return f"{major}.{minor or 0}.{channel_id}"


def _after(cursor: str | None) -> tuple[int, int, str]:
    if cursor is None:
        return -1, -1, ""
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise Invalid("cursor: use the `next` of the answer before, as it was given")
    return int(found[1]), int(found[2]), found[3]
