"""Rules: list, look, write, order, carry from house to house, and try on."""

from typing import Annotated, Any

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
    Lineup,
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
from stream_service.domain.rules import Domain, Rule
from stream_service.rules.exchange import MOST_ITEMS, plan_restored, plan_rules, rules_document

_MAY_BE_NONE = ("source_id", "lineup")


class _Path(Shape):
    rule_id: params.Number


class _NewRule(Shape):
    name: params.Name
    expression: Expression = Field(description='A condition with actions: channel_name contains "BBC" SET …')
    domain: Domain = Field("stream", description="stream: entries of sources; programme: the guide.")
    source_id: params.Number | None = Field(None, description="Only entries of this source.")
    lineup: Lineup | None = Field(None, description="Only in this lineup.")
    enabled: bool = True
    stop: bool = Field(False, description="What it matched is not shown to the rules behind it.")
    description: Description = ""


class _ChangedRule(Shape):
    name: params.Name | None = None
    expression: Expression | None = None
    domain: Domain | None = None
    source_id: params.Number | None = None
    lineup: Lineup | None = None
    enabled: bool | None = None
    stop: bool | None = None
    description: Description | None = None


class _Item(Shape):
    name: params.Name
    expression: Expression
    domain: Domain = "stream"
    source: params.Name | None = None
    lineup: Lineup | None = None
    enabled: bool = True
    stop: bool = False
    description: Description = ""
    shipped: ShippedKey = ""


class _Document(Shape):
    format: Annotated[str, Field(pattern="^aerial-rules$")] = "aerial-rules"
    version: Annotated[int, Field(ge=1, le=1)] = 1
    items: Annotated[list[_Item], Field(max_length=MOST_ITEMS)]


def blueprint(it: Rulebook) -> APIBlueprint:
    """`/api/v1/rules`."""
    views = APIBlueprint("rules", __name__, url_prefix="/api/v1/rules")
    _rows(views, it)
    _documents(views, it)

    @views.post("/test", summary="What a rule would do: counts, and a sample before and after")
    def tried_rule(body: Tried) -> Response:
        return json_answer(it.ask("rules-test", asked_for(body, "rules")))

    return views


def _rows(views: APIBlueprint, it: Rulebook) -> None:
    @views.get("", summary="All rules, in the order in which they run")
    def all_rules(query: RowsQuery) -> Response:
        return json_answer(cut(it.call(it.rules.all, domain=query.domain), query, shown))

    @views.post("", summary="A new rule, behind all others")
    def new_rule(body: _NewRule) -> Response:
        return json_answer(shown(it.call(it.rules.create, sent(body, may_be_none=_MAY_BE_NONE))), 201)

    @views.post("/reorder", summary="Let some rules stand in another order")
    def ordered_rules(body: Order) -> Response:
        return json_answer({"items": [shown(one) for one in it.call(it.rules.reorder, body.ids)], "next": None})

    @views.get("/<int:rule_id>", summary="One rule")
    def one_rule(path: _Path) -> Response:
        return json_answer(shown(it.call(it.rules.get, path.rule_id)))

    @views.put("/<int:rule_id>", summary="Change what is sent of a rule")
    def changed_rule(path: _Path, body: _ChangedRule) -> Response:
        return json_answer(shown(it.call(it.rules.update, path.rule_id, sent(body, may_be_none=_MAY_BE_NONE))))

    @views.delete("/<int:rule_id>", summary="Forget a rule")
    def deleted_rule(path: _Path) -> Response:
        it.call(it.rules.delete, path.rule_id)
        return no_content()


def _documents(views: APIBlueprint, it: Rulebook) -> None:
    @views.get("/export", summary="All rules as one document")
    def export() -> Response:
        answer = json_answer(rules_document(it.call(it.rules.all), it.call(it.source_names)))
        answer.headers.update(attachment())
        return answer

    @views.post("/import", summary="Take over a document of rules, or say what that would do")
    def imported(query: ImportQuery, body: _Document) -> Response:
        source_ids = {name.casefold(): ident for ident, name in it.call(it.source_names).items()}
        items = [_item(one) for one in body.items]
        plan = it.call(plan_rules, items, it.call(it.rules.all), source_ids, mode=query.mode)
        return json_answer(carried_out(it, it.rules, plan, apply=query.apply))

    @views.post("/restore", summary="Bring shipped rules back as they came, switched off where they were gone")
    def restored(body: Restored) -> Response:
        wanted = shipped(it.shipped_rules, body, "rule")
        return json_answer(carried_out(it, it.rules, plan_restored(wanted, it.call(it.rules.all)), apply=True))


def _item(one: _Item) -> dict[str, Any]:
    """What the document says; what it leaves out stays as it is, in a rule that is there already."""
    return one.model_dump(exclude_unset=True)


def shown(one: Rule) -> dict[str, object]:
    """A rule as JSON."""
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "domain": one.domain,
        "source_id": one.source_id,
        "lineup": one.lineup,
        "expression": one.expression,
        "enabled": one.enabled,
        "stop": one.stop,
        "shipped": one.shipped or None,
        "position": one.position,
        "created_at": iso(one.created_at),
        "updated_at": iso(one.updated_at),
    }
