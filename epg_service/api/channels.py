"""Channels and their programmes; what people decide of channels."""

from flask import Response
from flask_openapi3 import APIBlueprint

from epg_service.api import Collaborators, params, shapes
from epg_service.api.conditional import unless_known
from servicekit.errors import Invalid
from servicekit.web import json_answer

_NULLABLE = frozenset({"display_name", "icon_url"})


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/channels`."""
    views = APIBlueprint("channels", __name__, url_prefix="/api/v1/channels")

    @views.get("", summary="All channels that a provider declares or uses")
    def all_channels(query: params.ChannelsQuery) -> Response:
        return shapes.plain_list([shapes.channel(one) for one in it.channels.all(hidden=query.hidden)], query)

    @views.get("/<int:channel_id>", summary="One channel")
    def one_channel(path: params.ChannelPath) -> Response:
        return json_answer(shapes.channel(it.channels.get(path.channel_id)))

    @views.put("/<int:channel_id>", summary="Rename, hide or shift a channel; stands through every import")
    def change_channel(path: params.ChannelPath, body: params.ChangedChannel) -> Response:
        return json_answer(shapes.channel(it.mappings.change_channel(path.channel_id, _changes(body))))

    @views.post("/<int:channel_id>/merge", summary="Join other channels to this one; they are gone then")
    def merge(path: params.ChannelPath, body: params.Merge) -> Response:
        return json_answer(shapes.channel(it.mappings.merge(path.channel_id, body.channel_ids)))

    @views.post("/<int:channel_id>/split", summary="Make a channel of its own of some of this one's mappings")
    def split(path: params.ChannelPath, body: params.Split) -> Response:
        return json_answer(shapes.channel(it.mappings.split(path.channel_id, body.mapping_ids)), 201)

    @views.get("/<int:channel_id>/programs", summary="Programmes in a window, the one running at its start included")
    def programmes(path: params.ChannelPath, query: params.WindowQuery) -> Response:
        it.channels.get(path.channel_id)
        start, end = query.window(it.clock.now_s())

        def make() -> Response:
            found = it.guide.listings(path.channel_id, start, end, with_raw=True)
            return shapes.plain_list([shapes.programme(one) for one in found], query)

        return unless_known(it, (start, end, query.limit, query.cursor), make)

    return views


def _changes(body: params.ChangedChannel) -> dict[str, object]:
    changes: dict[str, object] = body.model_dump(exclude_unset=True)
    if empty := [key for key, value in changes.items() if value is None and key not in _NULLABLE]:
        raise Invalid(f"{', '.join(empty)}: null is not a value here; leave the key out to keep what is there")
    return changes
