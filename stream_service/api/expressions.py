"""The language of rules and filters, for those who write them: validation, and what words there are."""

from typing import Any, Literal

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import ConfigDict, Field

from servicekit.web import Shape, json_answer
from stream_service.domain.calls import Call
from tvkit.expressions import DOMAINS, FORMS, SPELLINGS, Fault, Fields, Validation, validate

_ABOUT = {
    "equals": "the whole text is the same",
    "contains": "the text is somewhere in it",
    "starts_with": "it begins with the text",
    "ends_with": "it ends with the text",
    "matches": "the regular expression is found somewhere in it",
    "greater_than": "a greater number, or a later time",
    "less_than": "a smaller number, or an earlier time",
    "greater_than_or_equal": "a greater number or the same, or no earlier time",
    "less_than_or_equal": "a smaller number or the same, or no later time",
}


class _Asked(Shape):
    """What is judged. Read leniently: whoever types is told what is wrong with it, not with the request."""

    model_config = ConfigDict(extra="ignore")
    expression: Any = Field("", description="The text; an empty one is valid and matches everything.", examples=[
        'channel_name matches "(.+) HD$" SET channel_name = "$1"'])  # fmt: skip
    domain: Any = Field("stream", description=f"What it is about: {', '.join(DOMAINS)}.")


class _DomainQuery(Shape):
    domain: Literal["stream", "programme", "request"] | None = Field(None, description="Only the fields of one domain.")


def blueprint(call: Call) -> APIBlueprint:
    """`/api/v1/expressions`."""
    views = APIBlueprint("expressions", __name__, url_prefix="/api/v1/expressions")

    @views.post("/validate", summary="Every fault of an expression, or its canonical form and its tree")
    def judged(body: _Asked) -> Response:
        return json_answer(call(_judged, body.expression, body.domain).as_json())

    @views.get("/fields", summary="The fields that expressions may name")
    def fields(query: _DomainQuery) -> Response:
        wanted = [one for name, one in DOMAINS.items() if query.domain in (None, name)]
        return json_answer({"items": [row for one in wanted for row in _rows(one)], "next": None})

    @views.get("/operators", summary="The operators, with all their spellings")
    def operators() -> Response:
        items = [
            {
                "name": name,
                "spellings": [word for word, meant in SPELLINGS.items() if meant == name],
                "negated": f"not_{name}",
                "description": about,
            }
            for name, about in _ABOUT.items()
        ]
        return json_answer({"items": items, "next": None})

    @views.get("/helpers", summary="The words that begin with @")
    def helpers() -> Response:
        items = [
            {"name": name, "description": about, "domains": [one.domain for one in DOMAINS.values() if one.knows(name)]}
            for name, about in FORMS.items()
        ]
        return json_answer({"items": items, "next": None})

    return views


def _judged(text: object, domain: object) -> Validation:
    fields = DOMAINS.get(domain) if isinstance(domain, str) else None
    if fields is None:
        return _refused("unknown_domain", f"there is no domain {domain!r:.60}", ", ".join(DOMAINS))
    if not isinstance(text, str):
        return _refused("no_text", "the expression has to be a text", '"channel_name contains …"')
    return validate(text, fields)


def _refused(error_type: str, message: str, suggestion: str) -> Validation:
    return Validation("", (Fault("value", error_type, message, suggestion=suggestion),))


def _rows(fields: Fields) -> list[dict[str, object]]:
    return [
        {
            "domain": fields.domain,
            "name": one.name,
            "aliases": list(one.aliases),
            "type": one.kind,
            "read_only": one.read_only,
            "description": one.about,
        }
        for one in fields
    ]
