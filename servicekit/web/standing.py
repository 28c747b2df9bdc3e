"""The views that both services have: health, figures, runtime settings."""

from collections.abc import Callable

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit import errors
from servicekit.health import Checks
from servicekit.metrics import CONTENT_TYPE, Metrics
from servicekit.settings import Settings
from servicekit.web.answers import Shape, json_answer

Waiting = Callable[[Callable[[], None]], object]
"""Runs what may wait for a lock on a file."""


def probes(checks: Checks, metrics: Metrics) -> APIBlueprint:
    """`/health`, `/live`, `/ready`, `/metrics`."""
    views = APIBlueprint("probes", __name__)

    @views.get("/health", summary="How the service is, with reasons")
    def health() -> Response:
        state = checks.state()
        return json_answer(state.as_dict(), 200 if state.usable else 503)

    @views.get("/api/v1/health", summary="How the service is, with reasons")
    def health_of_the_api() -> Response:
        return health()  # type: ignore[no-any-return]

    @views.get("/live", summary="200 while the process answers")
    def live() -> Response:
        return json_answer({"status": "ok"})

    @views.get("/ready", summary="200 when migrations are done and the keeper lives")
    def ready() -> Response:
        if reason := checks.not_ready():
            raise errors.Unavailable(reason, retry_after_s=2)
        return json_answer({"status": "ok"})

    @views.get("/metrics", summary="Figures for Prometheus")
    def figures() -> Response:
        return Response(metrics.render(), content_type=CONTENT_TYPE)

    return views


class _Key(Shape):
    key: str = Field(max_length=200)


class _NewValue(Shape):
    value: bool | int | float | str


class _NewValues(Shape):
    settings: dict[str, bool | int | float | str] = Field(description="Key -> value; all are set, or none.")


class _ResetKeys(Shape):
    keys: list[str] | None = Field(None, description="The keys to reset; all when left out.")


def settings_views(settings: Settings, waiting: Waiting) -> APIBlueprint:
    """`/api/v1/settings`."""
    views = APIBlueprint("settings", __name__, url_prefix="/api/v1/settings")

    @views.get("", summary="Every runtime setting, secrets masked")
    def all_settings() -> Response:
        return json_answer({"items": settings.all(), "next": None, "faults": list(settings.faults)})

    @views.get("/categories", summary="Categories and their keys")
    def categories() -> Response:
        return json_answer(settings.categories())

    @views.post("/bulk-update", summary="Set several settings, all or none")
    def bulk_update(body: _NewValues) -> Response:
        waiting(lambda: settings.update(body.settings))
        return json_answer({"items": [settings.one(key) for key in body.settings]})

    @views.post("/reset", summary="Give settings their defaults back")
    def reset(body: _ResetKeys) -> Response:
        waiting(lambda: settings.reset(body.keys))
        return json_answer({"items": settings.all(), "next": None})

    @views.get("/<key>", summary="One runtime setting")
    def one_setting(path: _Key) -> Response:
        return json_answer(settings.one(path.key))

    @views.put("/<key>", summary="Set one runtime setting")
    def set_one(path: _Key, body: _NewValue) -> Response:
        waiting(lambda: settings.update({path.key: body.value}))
        return json_answer(settings.one(path.key))

    return views
