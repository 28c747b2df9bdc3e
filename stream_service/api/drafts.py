"""A lineup looked at before it is built, and a channel of it explained; both are worked out by the keeper."""

from typing import Annotated, Any

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field, model_validator

from servicekit.web import Shape, json_answer
from stream_service.api.lineup_params import ChangedLineup, LineupPath
from stream_service.api.params import Number
from stream_service.api.rulebook import Ask, Expression
from stream_service.domain.rules import Action

MOST_SHOWN = 500


class _Either(Shape):
    id: Number | None = Field(None, description="Of one that is written down.")
    expression: Expression | None = Field(None, description="Instead of the id: one that is not.")

    @model_validator(mode="after")
    def _one_of_both(self) -> "_Either":
        if (self.id is None) == (self.expression is None):
            raise ValueError("either an id or an expression")
        return self


class _DraftRule(_Either):
    source_id: Number | None = None
    stop: bool = False


class _DraftFilter(_Either):
    action: Action | None = None


class _Options(ChangedLineup):
    """Options that are another way than the lineup's; what is left out is as it is."""


class _Draft(Shape):
    options: _Options | None = None
    rules: Annotated[list[_DraftRule], Field(max_length=500)] | None = Field(
        None, description="All rules, in their order; left out: those of the lineup."
    )
    filters: Annotated[list[_DraftFilter], Field(max_length=200)] | None = Field(
        None, description="All filters, in their order; left out: those of the lineup."
    )
    limit: int = Field(50, ge=0, le=MOST_SHOWN, description="So many channels are shown of each kind.")


class _ExplainQuery(Shape):
    channel: Annotated[str, Field(min_length=1, max_length=200)]


def blueprint(ask: Ask) -> APIBlueprint:
    """`/api/v1/lineups/NAME/preview` and `/explain`."""
    views = APIBlueprint("drafts", __name__, url_prefix="/api/v1/lineups")

    @views.post("/<name>/preview", summary="What a lineup would become with other options, rules or filters")
    def preview(path: LineupPath, body: _Draft) -> Response:
        draft: dict[str, Any] = body.model_dump(exclude={"options"})
        options = _said(body.options) if body.options else None
        return json_answer(ask("lineup-preview", {"lineup": path.name, "options": options, **draft}))

    @views.get("/<name>/explain", summary="Why a channel is in a lineup as it is, or why it is not")
    def explain(path: LineupPath, query: _ExplainQuery) -> Response:
        return json_answer(ask("lineup-explain", {"lineup": path.name, "channel": query.channel}))

    return views


def _said(options: _Options) -> dict[str, Any]:
    """The options that were sent; null is a wish for some, and nothing for the others."""
    said = options.model_dump(exclude_unset=True, exclude={"delivery", "keep_numbers"})
    numbering = {key: value for key, value in (said.pop("numbering", None) or {}).items() if value is not None}
    wanted = {key: value for key, value in said.items() if value is not None or key in ("sources", "tuner_count")}
    return {**wanted, "numbering": numbering} if numbering else wanted
