"""Imports: asked for, looked at, cancelled."""

from flask import Response
from flask_openapi3 import APIBlueprint

from epg_service.api import Collaborators, params, shapes
from servicekit.errors import Conflict, Invalid
from servicekit.web import json_answer

MOST_RUNS = 1_000
USUAL_RUNS = 100


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/import` and `/api/v1/stats`."""
    views = APIBlueprint("imports", __name__, url_prefix="/api/v1")

    @views.post("/import/trigger", summary="Import now: one provider, or every enabled one")
    def trigger(body: params.TriggerBody) -> Response:
        if body.provider_id is not None:
            one = it.providers.get(body.provider_id)
            if not one.enabled:
                raise Conflict(f"provider {one.id} ({one.name}) is disabled; enable it first", provider_id=one.id)
            chosen = [one]
        else:
            chosen = it.providers.all(enabled_only=True)
        runs = [it.imports.enqueue(one.id, reason="manual", force=body.force) for one in chosen]
        return json_answer({"message": "Import started", "runs": [shapes.run(one) for one in runs]}, 202)

    @views.get("/import/status", summary="Runs, newest first, with progress and losses")
    def status(query: params.RunsQuery) -> Response:
        limit = min(query.limit or USUAL_RUNS, MOST_RUNS)
        runs = it.imports.latest(limit=limit, before=_run_id(query.cursor), provider_id=query.provider_id)
        cursor = str(runs[-1].id) if len(runs) == limit else None
        running = any(run.status in ("queued", "running") for run in runs) or bool(it.imports.running())
        return json_answer({"running": running, "runs": [shapes.run(one) for one in runs], "next": cursor})

    @views.get("/import/<int:run_id>", summary="One run")
    def one_run(path: params.RunPath) -> Response:
        return json_answer(shapes.run(it.imports.get(path.run_id)))

    @views.post("/import/<int:run_id>/cancel", summary="Stop a run; the guide stays as it was")
    def cancel(path: params.RunPath) -> Response:
        return json_answer(shapes.run(it.imports.cancel(path.run_id)), 202)

    @views.get("/stats", summary="Figures of the whole guide")
    def stats() -> Response:
        return json_answer(shapes.stats(it.programs.stats(), it.channels.count(), it.providers.all()))

    return views


def _run_id(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise Invalid("cursor: use the `next` of the answer before, as it was given")
    return int(cursor)
