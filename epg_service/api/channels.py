"""Channels and their programmes."""

from flask import Response
from flask_openapi3 import APIBlueprint

from epg_service.api import Collaborators, params, shapes
from servicekit.web import PageQuery, json_answer


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/channels`."""
    views = APIBlueprint("channels", __name__, url_prefix="/api/v1/channels")

    @views.get("", summary="All channels that a provider declares or uses")
    def all_channels(query: PageQuery) -> Response:
        return shapes.plain_list([shapes.channel(one) for one in it.channels.all()], query)

    @views.get("/<int:channel_id>", summary="One channel")
    def one_channel(path: params.ChannelPath) -> Response:
        return json_answer(shapes.channel(it.channels.get(path.channel_id)))

    @views.get("/<int:channel_id>/programs", summary="Programmes in a window, the one running at its start included")
    def programmes(path: params.ChannelPath, query: params.WindowQuery) -> Response:
        it.channels.get(path.channel_id)
        start, end = query.window(it.clock.now_s())
        found = it.guide.listings(path.channel_id, start, end, with_raw=True)
        return shapes.plain_list([shapes.programme(one) for one in found], query)

    return views
