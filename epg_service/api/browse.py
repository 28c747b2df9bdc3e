"""The guide across channels: programmes of a window, the grid, now and next."""

from flask import Response
from flask_openapi3 import APIBlueprint

from epg_service.api import Collaborators, params, shapes
from epg_service.api.conditional import answered
from epg_service.api.cursors import Place, cursor_of
from servicekit.clock import moment

USUAL_PROGRAMMES = 100
USUAL_CHANNELS = 100
USUAL_NOW = 500


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/epg/programs`, `/api/v1/epg/guide`, `/api/v1/now`."""
    views = APIBlueprint("browse", __name__, url_prefix="/api/v1")

    @views.get("/epg/programs", summary="Programmes of many channels in a window, by channel and start")
    def programmes(query: params.BrowseQuery) -> Response:
        return _programmes(it, query)

    @views.get("/epg/guide", summary="The grid: what each channel shows in a window, one programme at a time")
    def grid(query: params.GridQuery) -> Response:
        return _grid(it, query)

    @views.get("/now", summary="What runs on each channel, and what comes next")
    def now(query: params.NowQuery) -> Response:
        return _now(it, query)

    return views


def _programmes(it: Collaborators, query: params.BrowseQuery) -> Response:
    place, wanted = query.place(it.clock.now_s(), 3), query.wanted()
    limit, names = params.page_size(query, USUAL_PROGRAMMES), params.names(query.channel)

    def make() -> object:
        after = tuple(map(int, place.after or (0, 0, 0)))
        found, following = it.browse.programmes(names, place.from_s, place.to_s, wanted, after=after, limit=limit)
        return {
            "items": [shapes.programme(one) for one in found],
            "next": cursor_of(place, *following) if following else None,
        }

    return answered(it, (place, names, wanted, limit), make)


def _grid(it: Collaborators, query: params.GridQuery) -> Response:
    place, details = query.place(it.clock.now_s(), 1), query.details
    limit, names = params.page_size(query, USUAL_CHANNELS), params.names(query.channels)
    shape = shapes.programme if details else shapes.brief

    def make() -> object:
        found, following = it.browse.grid(
            names, place.from_s, place.to_s, after=_last(place), limit=limit, with_elements=details
        )
        return {
            "start_time": moment(place.from_s),
            "end_time": moment(place.to_s),
            "items": [{**shapes.channel_of(channel), "programs": list(map(shape, shown))} for channel, shown in found],
            "next": cursor_of(place, following) if following else None,
        }

    return answered(it, (place, names, limit, details), make)


def _now(it: Collaborators, query: params.NowQuery) -> Response:
    place, details = query.place(it.clock.now_s()), query.details
    limit, names = params.page_size(query, USUAL_NOW), params.names(query.channels)
    shape = shapes.programme if details else shapes.brief

    def make() -> object:
        found, following = it.browse.now_next(
            names, place.from_s, after=_last(place), limit=limit, with_elements=details
        )
        return {
            "at": moment(place.from_s),
            "items": [
                {
                    **shapes.channel_of(channel),
                    "now": shape(present) if present else None,
                    "next": shape(coming) if coming else None,
                }
                for channel, present, coming in found
            ],
            "next": cursor_of(place, following) if following else None,
        }

    return answered(it, (place, names, limit, details), make)


def _last(place: Place) -> int:
    return int(place.after[0]) if place.after else 0
