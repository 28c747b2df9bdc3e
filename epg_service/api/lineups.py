"""Lineups and what their channels were matched to: see, pin, unpin."""

from collections.abc import Sequence
from typing import cast

from flask import Response
from flask_openapi3 import APIBlueprint

from epg_service.api import Collaborators, params, shapes
from epg_service.api.ruled import ruled
from epg_service.domain.entities import LineupChannel
from servicekit.web import PageQuery, json_answer, page_of


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/lineups`."""
    views = APIBlueprint("lineups", __name__, url_prefix="/api/v1/lineups")

    @views.get("", summary="The lineups that were received, and how far they are matched")
    def all_lineups(query: PageQuery) -> Response:
        found = [
            shapes.lineup(one, it.lineups.counts(one.name)) | ruled(it.lineups.extras(one.name))
            for one in it.lineups.all()
        ]
        page, cursor = page_of(found, query, most=shapes.MOST_ITEMS)
        return json_answer({"items": page, "next": cursor})

    @views.get("/<name>/matches", summary="What each channel was matched to, by which method, and who came near")
    def matches(path: params.LineupPath, query: params.MatchesQuery) -> Response:
        found = it.lineups.matches(path.name, method=query.method, unmatched=query.unmatched)
        page, cursor = page_of(found, query, most=shapes.MOST_ITEMS)
        told = it.lineups.explained(path.name, cast(Sequence[LineupChannel], page))
        return json_answer({"items": [shapes.match(one) for one in told], "next": cursor})

    @views.get("/<name>/matches/<channel>", summary="What one channel was matched to")
    def one_match(path: params.MatchPath) -> Response:
        return _match(it, path)

    @views.put("/<name>/matches/<channel>", summary="Pin a match: this guide channel, or null for none, for ever")
    def pin(path: params.MatchPath, body: params.Pin) -> Response:
        it.lineups.pin(path.name, path.channel, body.channel_id)
        return _match(it, path)

    @views.delete("/<name>/matches/<channel>", summary="Unpin: the rules decide again")
    def unpin(path: params.MatchPath) -> Response:
        it.lineups.unpin(path.name, path.channel)
        return _match(it, path)

    return views


def _match(it: Collaborators, path: params.MatchPath) -> Response:
    one = it.lineups.channel(path.name, path.channel)
    return json_answer(shapes.match(it.lineups.explained(path.name, [one])[0]))
