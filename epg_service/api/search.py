"""Full-text search, and the categories to filter by."""

from typing import TYPE_CHECKING

from flask import Response
from flask_openapi3 import APIBlueprint

from epg_service.api import Collaborators, params, shapes
from epg_service.api.conditional import answered, hot
from epg_service.api.cursors import cursor_of
from servicekit.errors import NotFound
from servicekit.web import PageQuery, json_answer, page_of

if TYPE_CHECKING:
    from epg_service.store.search import Search

USUAL_HITS = 50


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/search`, `/api/v1/categories`."""
    views = APIBlueprint("search", __name__, url_prefix="/api/v1")

    @views.get("/search", summary="Programmes by words of their titles, sub-titles and people, the best first")
    def search(query: params.SearchQuery) -> Response:
        index = _index(it)
        place = query.place(it.clock.now_s())
        wish = query.wish(place, it.browse.channel_ids(params.names(query.channel)))
        limit, complete = params.page_size(query, USUAL_HITS), index.complete()

        def make() -> object:
            found = index.find(wish, after=place.after, limit=limit + 1)
            page = it.browse.with_elements(hit.listing for hit in found[:limit])
            last = found[limit - 1] if len(found) > limit else None
            return {
                "items": [
                    {**shapes.programme(one), "channel_name": hit.channel_name, "matched": hit.matched}
                    for one, hit in zip(page, found, strict=False)
                ],
                "next": cursor_of(place, last.score, last.listing.start_s, last.listing.id) if last else None,
                "complete": complete,
            }

        return answered(it, (wish, place, limit), make) if complete else hot(make())

    @views.get("/categories", summary="The categories that programmes have, and how many have each")
    def categories(query: PageQuery) -> Response:
        items = [{"name": one.name, "programs": one.programs} for one in _index(it).categories()]
        page, cursor = page_of(items, query, most=shapes.MOST_ITEMS)
        return json_answer({"items": page, "next": cursor})

    return views


def _index(it: Collaborators) -> "Search":
    if it.search is None:
        raise NotFound("search is switched off: set epg.search.enabled in config.yaml")
    return it.search
