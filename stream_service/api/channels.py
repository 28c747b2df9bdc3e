"""Channels, to look at."""

from flask import Response
from flask_openapi3 import APIBlueprint

from servicekit.web import json_answer, origin_of
from stream_service.api import Collaborators, params, shapes


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/channels`."""
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

    return views
