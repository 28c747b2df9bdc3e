"""Which provider's channel belongs to which logical channel, and how that was decided."""

from flask import Response
from flask_openapi3 import APIBlueprint

from epg_service.api import Collaborators, params, shapes
from servicekit.web import json_answer, page_of


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/mappings`."""
    views = APIBlueprint("mappings", __name__, url_prefix="/api/v1/mappings")

    @views.get("", summary="Providers' channels, the logical channel of each, and how that was decided")
    def all_mappings(query: params.MappingsQuery) -> Response:
        found = it.mappings.all(provider_id=query.provider_id, channel_id=query.channel_id)
        page, cursor = page_of([shapes.mapping(one) for one in found], query, most=shapes.MOST_ITEMS)
        return json_answer({"items": page, "next": cursor})

    @views.post("", summary="Map a provider's channel to a logical channel; stands through every import")
    def map_channel(body: params.NewMapping) -> Response:
        made = it.mappings.put(
            body.provider_id, body.provider_channel_id, body.channel_id, shift_minutes=body.shift_minutes
        )
        return json_answer(shapes.mapping(made))

    return views
