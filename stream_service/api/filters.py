"""Filters: list, look, write, order, carry from house to house, try on, and attach to lineups."""

from typing import Annotated

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit.clock import iso
from servicekit.web import Shape, json_answer, no_content
from stream_service.api import params
from stream_service.api.rulebook import (
    Description,
    Expression,
    ImportQuery,
    Order,
    Restored,
    RowsQuery,
    Rulebook,
    ShippedKey,
    Tried,
    asked_for,
    attachment,
    carried_out,
    cut,
    sent,
    shipped,
)
from stream_service.domain.rules import Action, Attached, Domain, Filter
from stream_service.rules.exchange import MOST_ITEMS, filters_document, plan_filters, plan_restored


class _Path(Shape):
    filter_id: params.Number


class _NewFilter(Shape):
    name: params.Name
    expression: Expression = Field(description="A condition; an empty one matches everything.")
    domain: Domain = Field("stream", description="stream: entries of sources; programme: the guide.")
    action: Action = Field("include", description="What it usually does where it is attached.")
    enabled: bool = True
    description: Description = ""


class _ChangedFilter(Shape):
    name: params.Name | None = None
    expression: Expression | None = None
    domain: Domain | None = None
    action: Action | None = None
    enabled: bool | None = None
    description: Description | None = None


class _Item(Shape):
    name: params.Name
    expression: Expression
    domain: Domain = "stream"
    action: Action = "include"
    enabled: bool = True
    description: Description = ""
    shipped: ShippedKey = ""


class _Document(Shape):
    format: Annotated[str, Field(pattern="^aerial-filters$")] = "aerial-filters"
    version: Annotated[int, Field(ge=1, le=1)] = 1
    items: Annotated[list[_Item], Field(max_length=MOST_ITEMS)]


class _Place(Shape):
    id: params.Number
    action: Action | None = Field(None, description="Left out: the filter's usual one.")
    enabled: bool = True


class _Places(Shape):
    filters: list[_Place] = Field(max_length=200, description="All filters of the lineup, in their order.")


def blueprint(it: Rulebook) -> APIBlueprint:
    """`/api/v1/filters` and `/api/v1/lineups/NAME/filters`."""
    views = APIBlueprint("filters", __name__, url_prefix="/api/v1")
    _rows(views, it)
    _documents(views, it)
    _attached(views, it)

    @views.post("/filters/test", summary="What a filter would match: counts and a sample")
    def tried_filter(body: Tried) -> Response:
        return json_answer(it.ask("filters-test", asked_for(body, "filters")))

    return views


def _rows(views: APIBlueprint, it: Rulebook) -> None:
    @views.get("/filters", summary="All filters")
    def all_filters(query: RowsQuery) -> Response:
        return json_answer(cut(it.call(it.filters.all, domain=query.domain), query, shown))

    @views.post("/filters", summary="A new filter, attached nowhere")
    def new_filter(body: _NewFilter) -> Response:
        return json_answer(shown(it.call(it.filters.create, sent(body))), 201)

    @views.post("/filters/reorder", summary="Let some filters stand in another order in this list")
    def ordered_filters(body: Order) -> Response:
        return json_answer({"items": [shown(one) for one in it.call(it.filters.reorder, body.ids)], "next": None})

    @views.get("/filters/<int:filter_id>", summary="One filter, and the lineups it is attached to")
    def one_filter(path: _Path) -> Response:
        found = it.call(it.filters.get, path.filter_id)
        return json_answer({**shown(found), "lineups": it.call(it.filters.lineups_of, found.id)})

    @views.put("/filters/<int:filter_id>", summary="Change what is sent of a filter")
    def changed_filter(path: _Path, body: _ChangedFilter) -> Response:
        return json_answer(shown(it.call(it.filters.update, path.filter_id, sent(body))))

    @views.delete("/filters/<int:filter_id>", summary="Forget a filter, wherever it is attached")
    def deleted_filter(path: _Path) -> Response:
        it.call(it.filters.delete, path.filter_id)
        return no_content()


def _documents(views: APIBlueprint, it: Rulebook) -> None:
    @views.get("/filters/export", summary="All filters as one document")
    def export() -> Response:
        answer = json_answer(filters_document(it.call(it.filters.all)))
        answer.headers.update(attachment())
        return answer

    @views.post("/filters/import", summary="Take over a document of filters, or say what that would do")
    def imported(query: ImportQuery, body: _Document) -> Response:
        items = [one.model_dump(exclude_unset=True) for one in body.items]
        plan = it.call(plan_filters, items, it.call(it.filters.all), mode=query.mode)
        return json_answer(carried_out(it, it.filters, plan, apply=query.apply))

    @views.post("/filters/restore", summary="Bring shipped filters back as they came")
    def restored(body: Restored) -> Response:
        wanted = shipped(it.shipped_filters, body, "filter")
        return json_answer(carried_out(it, it.filters, plan_restored(wanted, it.call(it.filters.all)), apply=True))


def _attached(views: APIBlueprint, it: Rulebook) -> None:
    @views.get("/lineups/<name>/filters", summary="The filters of a lineup, in their order")
    def filters_of_lineup(path: params.LineupPath) -> Response:
        return json_answer({"items": [placed(one) for one in it.call(it.filters.attached, path.name)], "next": None})

    @views.put("/lineups/<name>/filters", summary="Let a lineup have these filters, in this order, and no others")
    def attach(path: params.LineupPath, body: _Places) -> Response:
        wanted = [(one.id, one.action, one.enabled) for one in body.filters]
        attached = it.call(it.filters.attach, path.name, wanted)
        return json_answer({"items": [placed(one) for one in attached], "next": None})


def placed(one: Attached) -> dict[str, object]:
    """A filter in its place in a lineup, as JSON."""
    found = one.filter
    return {
        "id": found.id,
        "name": found.name,
        "domain": found.domain,
        "expression": found.expression,
        "action": one.action,
        "enabled": one.enabled,
        "active": one.active,
    }


def shown(one: Filter) -> dict[str, object]:
    """A filter as JSON."""
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "domain": one.domain,
        "expression": one.expression,
        "action": one.action,
        "enabled": one.enabled,
        "shipped": one.shipped or None,
        "position": one.position,
        "created_at": iso(one.created_at),
        "updated_at": iso(one.updated_at),
    }
