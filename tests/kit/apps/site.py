"""A small application on `servicekit.web`, for the test client and for gunicorn (`tests.kit.apps.site:served()`)."""

import errno
import gc
import os
from pathlib import Path
from typing import Any

from flask import Response, request
from flask_openapi3 import APIBlueprint, OpenAPI
from pydantic import Field

from servicekit import errors, web
from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings

TOKEN = "admin-token-of-the-test"
SECRET = "internal-secret-of-the-test"


class Thing(web.Shape):
    name: str = Field(min_length=1)
    size: int = Field(1, ge=1)


class ThingPath(web.Shape):
    number: int


def build(data: Path, *, state: State | None = None, not_ready: str | None = None, **door: Any) -> OpenAPI:
    """The application, with `door` over the defaults of a house without proxies."""
    app = web.make_app(
        "site",
        title="A site of the tests",
        door=web.Door(**{"admin_token": TOKEN, "internal_secret": SECRET, **door}),
        metrics=Metrics("site", figures=lambda: [("gauge", "site_things", "Things.", {"kind": "a"}, 3.0)]),
        settings=Settings(data / "settings.json", lock=data / "settings.lock"),
        checks=Checks(state=lambda: state or State(), not_ready=lambda: not_ready),
    )
    app.register_api(_things(data))
    return app


def served() -> OpenAPI:
    """The application as gunicorn loads it; the environment names its directory."""
    return build(Path(os.environ["SITE_DATA"]))


class ErrorPath(web.Shape):
    kind: str


def _error(kind: str) -> Exception:
    if kind == "Bug":
        return RuntimeError("inside http://u:S3CR3T@h/")
    if kind == "FullDisk":
        return OSError(errno.ENOSPC, "No space left on device")
    told: dict[str, Exception] = {
        "Unavailable": errors.Unavailable("locked", retry_after_s=9),
        "RateLimited": errors.RateLimited("too often", retry_after_s=60),
        "BadAnswer": errors.BadAnswer("h answered 500", status=500, retry_after_s=4),
    }
    made: Exception = told.get(kind) or getattr(errors, kind)("as asked", thing=7)
    return made


def _things(data: Path) -> APIBlueprint:  # noqa: C901 - a list of views
    views = APIBlueprint("things", __name__)

    @views.get("/api/v1/things")
    def things(query: web.PageQuery) -> Response:
        items, cursor = web.page_of(list(range(25)), query, most=10)
        return web.json_answer({"items": list(items), "next": cursor})

    @views.post("/api/v1/things")
    def add(body: Thing) -> Response:
        return web.json_answer(body.model_dump(), 201)

    @views.get("/api/v1/things/frozen")
    def frozen() -> Response:
        return web.json_answer({"objects": gc.get_freeze_count()})

    @views.get("/api/v1/things/<int:number>")
    def thing(path: ThingPath) -> Response:
        return web.json_answer({"number": path.number})

    @views.delete("/api/v1/things/<int:number>")
    def remove(path: ThingPath) -> Response:
        return web.no_content()

    @views.post("/api/v1/trigger")
    def trigger() -> Response:
        return web.json_answer({"message": "started"}, 202)

    @views.put("/api/v1/upload")
    @web.accepts("text/plain", max_bytes=3 << 20)
    def upload() -> Response:
        return web.json_answer({"bytes": len(request.get_data())})

    @views.get("/api/v1/error/<kind>")
    def fail(path: ErrorPath) -> Response:
        raise _error(path.kind)

    @views.get("/origin")
    def origin() -> Response:
        return Response(web.origin_of(), content_type="text/plain")

    @views.get("/who")
    def who() -> Response:
        return Response(web.the_caller().address, content_type="text/plain")

    @views.get("/file.xml")
    def file() -> Response:
        return web.published(data / "file.xml", mimetype="application/xml", etag="v1")

    @views.get("/internal/v1/lineup")
    def internal() -> Response:
        return web.json_answer({"secret": "shown"})

    return views
