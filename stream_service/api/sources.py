"""Sources: list, make, change, delete, refresh, and how their refreshes went."""

from flask import Response
from flask_openapi3 import APIBlueprint

from servicekit.errors import Conflict, Invalid
from servicekit.web import PageQuery, json_answer, no_content
from stream_service.api import Collaborators, params, shapes
from stream_service.domain.entities import Source

_NULLABLE = frozenset({"schedule", "connection_limit", "user_agent"})


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/sources`."""
    views = APIBlueprint("sources", __name__, url_prefix="/api/v1/sources")

    @views.get("", summary="The sources, and how their last refreshes went")
    def some_sources(query: PageQuery) -> Response:
        limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
        found = it.call(it.sources.page, limit=limit + 1, after=shapes.number_cursor(query.cursor))
        last = it.call(it.runs.last_of_each, [one.id for one in found])
        items = [shapes.source(one, last.get(one.id)) for one in found[:limit]]
        return json_answer(shapes.page(items, str(found[limit - 1].id) if len(found) > limit else None))

    @views.get("/<int:source_id>", summary="One source")
    def one_source(path: params.SourcePath) -> Response:
        return _shown(it, it.call(it.sources.get, path.source_id))

    @views.post("", summary="Add a source; loads nothing by itself")
    def add_source(body: params.NewSource) -> Response:
        it.call(it.check_address, body.url)
        timeouts = body.timeouts.model_dump(exclude_none=True) if body.timeouts else {}
        values = body.model_dump(exclude={"timeouts"}) | {"timeouts": timeouts}
        return _shown(it, it.call(it.sources.create, values), 201)

    @views.put("/<int:source_id>", summary="Change a source; keys left out stay as they are")
    def change_source(path: params.SourcePath, body: params.ChangedSource) -> Response:
        return _shown(it, it.call(it.sources.update, path.source_id, _changes(it, body)))

    @views.delete("/<int:source_id>", summary="Delete a source and its streams; channels keep their ids and numbers")
    def delete_source(path: params.SourcePath) -> Response:
        it.call(it.sources.delete, path.source_id)
        return no_content()

    @views.post("/<int:source_id>/refresh", summary="Load the source's list now")
    def refresh(path: params.SourcePath, body: params.RefreshBody) -> Response:
        source = it.call(it.sources.get, path.source_id)
        if not source.enabled:
            raise Conflict(f"source {source.id} is disabled; enable it first", source_id=source.id)
        run = it.call(it.runs.enqueue, source.id, reason="manual", force=body.force)
        return json_answer(shapes.run(run), 202)

    @views.get("/<int:source_id>/runs", summary="Its refreshes, newest first")
    def runs(path: params.SourcePath, query: PageQuery) -> Response:
        it.call(it.sources.get, path.source_id)
        limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
        before = shapes.number_cursor(query.cursor) or None
        found = it.call(it.runs.of_source, path.source_id, limit=limit + 1, before=before)
        items = [shapes.run(one) for one in found[:limit]]
        return json_answer(shapes.page(items, str(found[limit - 1].id) if len(found) > limit else None))

    return views


def _shown(it: Collaborators, source: Source, status: int = 200) -> Response:
    return json_answer(shapes.source(source, it.call(it.runs.last_of_each, [source.id]).get(source.id)), status)


def _changes(it: Collaborators, body: params.ChangedSource) -> dict[str, object]:
    changes: dict[str, object] = body.model_dump(exclude_unset=True, exclude={"timeouts"})
    if "timeouts" in body.model_fields_set:
        changes["timeouts"] = body.timeouts.model_dump(exclude_none=True) if body.timeouts else None
    if empty := [key for key, value in changes.items() if value is None and key not in _NULLABLE]:
        raise Invalid(f"{', '.join(empty)}: null is not a value here; leave the key out to keep what is there")
    if body.url is not None:
        it.call(it.check_address, body.url)
    return changes
