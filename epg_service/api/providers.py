"""Providers: list, make, change, delete, upload."""

from pathlib import Path

from flask import Response, request
from flask_openapi3 import APIBlueprint

from epg_service.api import Collaborators, params, shapes
from servicekit.errors import Conflict, Invalid
from servicekit.files import atomic_file
from servicekit.redact import redact
from servicekit.web import PageQuery, accepts, json_answer, no_content

UPLOAD_PIECE_BYTES = 1 << 18
_NULLABLE = frozenset({"schedule", "default_timezone", "retention_days"})


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/api/v1/providers`."""
    views = APIBlueprint("providers", __name__, url_prefix="/api/v1/providers")

    @views.get("", summary="All providers")
    def all_providers(query: PageQuery) -> Response:
        return shapes.plain_list([shapes.provider(one) for one in it.providers.all()], query)

    @views.get("/<int:provider_id>", summary="One provider")
    def one_provider(path: params.ProviderPath) -> Response:
        return json_answer(shapes.provider(it.providers.get(path.provider_id)))

    @views.post("", summary="Add a provider; imports nothing by itself")
    def add_provider(body: params.NewProvider) -> Response:
        it.feeds.check(body.xmltv_url)
        return json_answer(shapes.provider(it.providers.create(body.model_dump())), 201)

    @views.put("/<int:provider_id>", summary="Change a provider; keys left out stay as they are")
    def change_provider(path: params.ProviderPath, body: params.ChangedProvider) -> Response:
        return json_answer(shapes.provider(it.providers.update(path.provider_id, _changes(it, path.provider_id, body))))

    @views.delete("/<int:provider_id>", summary="Delete a provider and its guide")
    def delete_provider(path: params.ProviderPath) -> Response:
        it.providers.delete(path.provider_id)
        return no_content()

    @views.put("/<int:provider_id>/file", summary="Upload a guide; the provider reads this file from now on")
    @accepts(max_bytes=it.max_upload_bytes)
    def upload(path: params.ProviderPath) -> Response:
        it.providers.get(path.provider_id)
        target = it.feeds.upload_path(path.provider_id)
        _receive(target)
        return json_answer(shapes.provider(it.providers.update(path.provider_id, {"xmltv_url": target.name})))

    return views


def _changes(it: Collaborators, provider_id: int, body: params.ChangedProvider) -> dict[str, object]:
    changes: dict[str, object] = body.model_dump(exclude_unset=True)
    if empty := [key for key, value in changes.items() if value is None and key not in _NULLABLE]:
        raise Invalid(f"{', '.join(empty)}: null is not a value here; leave the key out to keep what is there")
    if body.xmltv_url is not None:
        before = it.providers.get(provider_id)
        if before.linked is not None:
            if body.xmltv_url != redact(before.xmltv_url):
                raise Conflict("this guide belongs to a source of the stream service: change its login there")
            del changes["xmltv_url"]  # as it is shown, so it is meant to stay
            return changes
        it.feeds.check(body.xmltv_url)
    return changes


def _receive(target: Path) -> None:
    """The request's body as a file; the one before stays when the upload is empty or breaks off."""
    with atomic_file(target, mode=0o600) as stream:
        while piece := request.stream.read(UPLOAD_PIECE_BYTES):
            stream.write(piece)
        if not stream.tell():
            raise Invalid("the upload is empty: send the guide as the request's body (curl --upload-file)")
