"""Guides of panels: the stream service makes them, changes them with the login, and asks for their imports."""

from typing import Annotated

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from epg_service.api import Collaborators
from epg_service.domain.entities import Provider
from servicekit.errors import Conflict, NotFound
from servicekit.web import json_answer

MOST_NAMES = 50

Key = Annotated[str, Field(min_length=1, max_length=64)]


class _Link(BaseModel):
    model_config = ConfigDict(extra="ignore")
    key: Key
    name: Annotated[str, Field(min_length=1, max_length=180)] = "guide"
    xmltv_url: Annotated[str, Field(max_length=4000)] = ""
    enabled: bool = True
    deleted: bool = False


class _Import(BaseModel):
    model_config = ConfigDict(extra="ignore")
    key: Key
    grace_s: Annotated[int, Field(ge=0, le=86_400)] = 300


def blueprint(it: Collaborators) -> APIBlueprint:
    """`/internal/v1/providers/linked`."""
    views = APIBlueprint("linked", __name__, url_prefix="/internal/v1/providers", doc_ui=False)

    @views.put("/linked")
    def put_linked() -> Response:
        """Made, changed or deleted; a guide of the same address that was typed by hand is taken, not doubled."""
        link = _Link.model_validate(request.get_json())
        known = it.providers.linked(link.key)
        if link.deleted:
            if known is not None:
                it.providers.delete(known.id)
            return json_answer({"provider_id": None})
        it.feeds.check(link.xmltv_url)
        known = known or it.providers.of_address(link.xmltv_url)
        if known is None:
            made = _made(it, link)
            it.imports.enqueue(made.id, reason="linked")
            return json_answer({"provider_id": made.id}, 201)
        values = {"xmltv_url": link.xmltv_url, "linked": link.key, "enabled": link.enabled}
        changed = it.providers.update(known.id, values)
        if changed.xmltv_url != known.xmltv_url and changed.enabled:
            it.imports.enqueue(changed.id, reason="linked")
        return json_answer({"provider_id": changed.id})

    @views.post("/linked/import")
    def import_linked() -> Response:
        """An import, unless one was asked for within the grace."""
        asked = _Import.model_validate(request.get_json())
        known = it.providers.linked(asked.key)
        if known is None:
            raise NotFound("there is no guide of this key")
        fresh = it.imports.waiting(known.id) or it.imports.asked_since(known.id, it.clock.now_s() - asked.grace_s)
        if fresh or not known.enabled:
            return json_answer({"run_id": None})
        return json_answer({"run_id": it.imports.enqueue(known.id, reason="linked").id}, 202)

    return views


def _made(it: Collaborators, link: _Link) -> Provider:
    """A provider under the source's name, or the first free one like it."""
    values = {"xmltv_url": link.xmltv_url, "enabled": link.enabled, "linked": link.key}
    for number in range(1, MOST_NAMES):
        name = link.name if number == 1 else f"{link.name} ({number})"
        if it.providers.named(name) is None:
            return it.providers.create(values | {"name": name})
    raise Conflict(f"every name like {link.name!r} is taken")
