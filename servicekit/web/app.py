"""An application with all that both services need in place."""

import logging
import time
from collections.abc import Callable
from typing import Any

from flask import Request, Response, g, request
from flask_compress import Compress
from flask_cors import CORS
from flask_openapi3 import APIBlueprint, Info, OpenAPI
from flask_openapi3 import models as described

from servicekit import errors
from servicekit.health import Checks
from servicekit.logs import request_id
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from servicekit.web.door import Door, enter
from servicekit.web.problems import PROBLEM, STATUS, Problem, explain, invalid
from servicekit.web.standing import Waiting, probes, settings_views

MAX_BODY_BYTES = 1 << 20
_log = logging.getLogger("web")


def _here(work: Callable[[], None]) -> None:
    work()


class _App(OpenAPI):
    """Describes, with every view, the errors that it may answer."""

    def register_api(self, api: APIBlueprint, **options: Any) -> None:
        super().register_api(api, **options)
        content = {PROBLEM: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
        told = {
            str(int(status)): described.Response.model_validate({"description": status.phrase, "content": content})
            for status in sorted(set(STATUS.values()))
        }
        for path in api.paths:
            for method in ("get", "put", "post", "delete", "patch"):
                if operation := getattr(self.paths[path], method):
                    operation.responses = {**(operation.responses or {}), **told}


def make_app(
    name: str,
    *,
    title: str,
    door: Door,
    metrics: Metrics,
    settings: Settings,
    checks: Checks,
    waiting: Waiting = _here,
) -> OpenAPI:
    """An app with the door, the error table, logs, health, metrics, settings and OpenAPI in place.

    `waiting` runs what may wait for a lock on a file: an app whose loop carries streams hands in a way around the loop.
    """
    app = _App(
        name,
        info=Info(title=title, version="1"),
        doc_prefix="/api/v1",
        doc_url="/openapi.json",
        security_schemes={"admin": {"type": "http", "scheme": "bearer"}},
        validation_error_status=400,
        validation_error_model=Problem,
        validation_error_callback=invalid,
    )
    app.request_class = _Request
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_STREAMS=False,  # a file is sent as it stands; who has a long one has it packed beforehand
        COMPRESS_MIMETYPES=["application/json", PROBLEM, "text/html", "text/plain"],
        AERIAL_DOOR=door,
    )
    Compress(app)
    if door.cors_origins:
        CORS(app, origins=list(door.cors_origins))
    app.before_request(lambda: enter(door))
    app.after_request(lambda response: _leave(response, metrics))
    app.register_error_handler(Exception, explain)
    app.register_api(probes(checks, metrics))
    app.register_api(settings_views(settings, waiting))
    return app


class _Request(Request):
    """A request whose missing body reads as an empty object: `curl -X POST …` without `-d` is fine."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """The body; werkzeug would hand out a chunked one that is too large cut at the limit, without a word."""
        data = super().get_data(*args, **kwargs)
        limit = self.max_content_length
        if self.content_length is None and limit is not None and len(data) >= limit:
            raise errors.TooLarge(f"the body is over {limit} bytes")
        return data

    def get_json(self, *args: Any, **kwargs: Any) -> Any:
        if not self.get_data(cache=True):
            return {}
        return super().get_json(*args, **kwargs)


def _leave(response: Response, metrics: Metrics) -> Response:
    seconds = time.monotonic() - g.get("began", time.monotonic())
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("X-Request-Id", request_id.get())
    response.headers.setdefault("Server-Timing", f"app;dur={seconds * 1000:.1f}")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    route = request.url_rule.rule if request.url_rule else "none"
    metrics.request(request.method, route, response.status_code, seconds)
    level = logging.DEBUG if route in ("/live", "/ready", "/metrics", "/health") else logging.INFO
    who = g.get("caller")
    _log.log(
        level,
        "%s %s %d %.1f ms %s",
        request.method,
        _told_path(),
        response.status_code,
        seconds * 1000,
        who.address if who else "-",
    )
    return response


def _told_path() -> str:
    """The path for the log, without the password where it is a part of the path (the log masks those in a query)."""
    password = (request.view_args or {}).get("password")
    path = request.full_path.rstrip("?")
    return path.replace(f"/{password}/", "/***/") if password else path
