"""Sources: list, make, change, delete, refresh, and how their refreshes went."""

from collections.abc import Callable, Mapping

from flask import Response
from flask_openapi3 import APIBlueprint

from servicekit.errors import Conflict, Invalid, NotFound
from servicekit.web import PageQuery, cursor_number, json_answer, no_content
from stream_service.api import Collaborators, params, shapes
from stream_service.domain.calls import Call
from stream_service.domain.entities import Source
from stream_service.domain.panels import panel_of

_NULLABLE = frozenset({"schedule", "connection_limit", "user_agent"})


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/sources`."""
    views = APIBlueprint("sources", __name__, url_prefix="/api/v1/sources")

    @views.get("", summary="The sources, and how their last refreshes went")
    def some_sources(query: PageQuery) -> Response:
        limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
        found = it.call(it.sources.page, limit=limit + 1, after=cursor_number(query.cursor))
        last = it.call(it.runs.last_of_each, [one.id for one in found])
        items = [shapes.source(one, last.get(one.id)) for one in found[:limit]]
        return json_answer(shapes.page(items, str(found[limit - 1].id) if len(found) > limit else None))

    @views.get("/<int:source_id>", summary="One source")
    def one_source(path: params.SourcePath) -> Response:
        return _shown(it, it.call(it.sources.get, path.source_id))

    @views.post("", summary="Add a source; loads nothing by itself")
    def add_source(body: params.NewSource) -> Response:
        values = body.model_dump()
        return _shown(it, it.call(it.sources.create, checked(it.call, it.check_address, values, values)), 201)

    @views.put("/<int:source_id>", summary="Change a source; keys left out stay as they are")
    def change_source(path: params.SourcePath, body: params.ChangedSource) -> Response:
        before = it.call(it.sources.get, path.source_id)
        return _shown(it, it.call(it.sources.update, path.source_id, _changes(it, body, before)))

    @views.delete("/<int:source_id>", summary="Delete a source and its streams; channels keep their ids and numbers")
    def delete_source(path: params.SourcePath) -> Response:
        it.call(it.sources.delete, path.source_id)
        return no_content()

    _add_runs(views, it)
    return views


def _add_runs(views: APIBlueprint, it: Collaborators) -> None:
    """Refreshes of a source."""

    @views.post("/<int:source_id>/refresh", summary="Load the source's list now")
    def refresh(path: params.SourcePath, body: params.RefreshBody) -> Response:
        source = it.call(it.sources.get, path.source_id)
        if not source.enabled:
            raise Conflict(f"source {source.id} is disabled; enable it first", source_id=source.id)
        run = it.call(it.runs.enqueue, source.id, reason="manual", force=body.force)
        return json_answer(shapes.run(run), 202)

    @views.post("/<int:source_id>/runs/<int:run_id>/cancel", summary="End a refresh; everything stays as it was")
    def cancel(path: params.SourceRunPath) -> Response:
        if it.call(it.runs.get, path.run_id).source_id != path.source_id:
            raise NotFound(f"source {path.source_id} has no run {path.run_id}")
        return json_answer(shapes.run(it.call(it.runs.cancel, path.run_id)), 202)

    @views.get("/<int:source_id>/history", summary="Its refreshes, newest first, as `runs`")
    def history(path: params.SourcePath, query: PageQuery) -> Response:
        return _runs(it, path, query)

    @views.get("/<int:source_id>/runs", summary="Its refreshes, newest first")
    def runs(path: params.SourcePath, query: PageQuery) -> Response:
        return _runs(it, path, query)


def _runs(it: Collaborators, path: params.SourcePath, query: PageQuery) -> Response:
    it.call(it.sources.get, path.source_id)
    limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
    before = cursor_number(query.cursor) or None
    found = it.call(it.runs.of_source, path.source_id, limit=limit + 1, before=before)
    items = [shapes.run(one) for one in found[:limit]]
    return json_answer(shapes.page(items, str(found[limit - 1].id) if len(found) > limit else None))


def _shown(it: Collaborators, source: Source, status: int = 200) -> Response:
    return json_answer(shapes.source(source, it.call(it.runs.last_of_each, [source.id]).get(source.id)), status)


def _changes(it: Collaborators, body: params.ChangedSource, before: Source) -> dict[str, object]:
    changes: dict[str, object] = body.model_dump(exclude_unset=True)
    if empty := [key for key, value in changes.items() if value is None and key not in _NULLABLE]:
        raise Invalid(f"{', '.join(empty)}: null is not a value here; leave the key out to keep what is there")
    whole = {key: getattr(before, key) for key in ("type", "url", "username", "password", "backup_urls")} | changes
    return checked(it.call, it.check_address, changes, whole)


def checked(
    call: Call, check_address: Callable[[str, str], None], changes: dict[str, object], whole: Mapping[str, object]
) -> dict[str, object]:
    """`changes` as they are kept; raises `Invalid` unless `whole`, the source with them, can be one.

    A panel's address may be pasted with its page and its login behind it: these are taken apart.
    """
    for key in ("timeouts", "options"):
        if isinstance(said := changes.get(key), dict):
            changes[key] = {name: value for name, value in said.items() if value is not None}
        elif key in changes:
            changes[key] = {}
    kind, url = str(whole["type"]), str(whole["url"])
    if kind != "xtream":
        if given := [key for key in ("username", "password", "backup_urls") if changes.get(key)]:
            raise Invalid(f"{', '.join(given)}: only sources of type xtream have these")
        call(check_address, url, kind)
        return changes
    call(check_address, url, kind)
    base, username, password = panel_of(url)
    if "url" in changes:
        changes["url"] = base
        changes |= {key: value for key, value in (("username", username), ("password", password))
                    if value and not changes.get(key)}  # fmt: skip
    if not (changes.get("username") or whole["username"]) or not (changes.get("password") or whole["password"]):
        raise Invalid("username and password are needed for an Xtream source")
    if isinstance(backups := changes.get("backup_urls"), list):
        for one in backups:
            call(check_address, one, kind)
        changes["backup_urls"] = [panel_of(one)[0] for one in backups]
    return changes
