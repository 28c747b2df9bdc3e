"""The web layer of both services: who may enter, how errors read, what every answer carries.

One table maps kinds of errors to HTTP; one resolver builds every address that is handed out. A service's app factory
calls `make_app`, adds its views, and is done.
"""

import hmac
import json
import logging
import re
import secrets
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Request, Response, current_app, g, request, send_file
from flask_compress import Compress
from flask_cors import CORS
from flask_openapi3 import APIBlueprint, Info, OpenAPI
from flask_openapi3 import models as described
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.exceptions import HTTPException

from servicekit import errors
from servicekit.addresses import Network
from servicekit.callers import Caller, caller, host_is_ours
from servicekit.health import Checks
from servicekit.logs import request_id
from servicekit.metrics import CONTENT_TYPE, Metrics
from servicekit.redact import redact
from servicekit.settings import Settings

PROBLEM = "application/problem+json"
MAX_BODY_BYTES = 1 << 20
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OPEN_PATHS = frozenset({"/live", "/ready", "/health", "/api/v1/health"})
_log = logging.getLogger("web")

# The one table. Kinds that a fetch raises stand here for calls that fetch while the client waits.
STATUS: Mapping[type[errors.AerialError], HTTPStatus] = {
    errors.Invalid: HTTPStatus.BAD_REQUEST,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Misdirected: HTTPStatus.MISDIRECTED_REQUEST,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Refused: HTTPStatus.BAD_REQUEST,
    errors.Unreachable: HTTPStatus.BAD_GATEWAY,
    errors.BadAnswer: HTTPStatus.BAD_GATEWAY,
}


@dataclass(frozen=True, slots=True)
class Door:
    """Who may enter, and what we are called."""

    admin_token: str
    internal_secret: str
    public_url: str = ""
    trusted_proxies: Sequence[Network] = ()
    cors_origins: Sequence[str] = ()
    debug: bool = False
    in_container: bool = False
    admits: "Callable[[Caller, bool], bool] | None" = None
    """Judges by a rule of the service's own, for the paths that have one: who asks, and whether the administrator's
    token was shown. True: comes in. False: it is none of those paths. Raises to refuse."""


_ONE_RANGE = re.compile(r"bytes\s*=\s*(?:(\d{1,18})-(\d{0,18})|-\d{1,18})", re.IGNORECASE | re.ASCII)


class Shape(BaseModel):
    """A request or answer of the API. Unknown keys of a request are refused."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    @lru_cache(None)
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The schema, made once: the OpenAPI layer asks for it at every request."""
        return super().model_json_schema(*args, **kwargs)


class Problem(BaseModel):
    """The one shape of an error (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str


Waiting = Callable[[Callable[[], None]], object]


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


class PageQuery(Shape):
    """How a list is cut."""

    limit: int | None = Field(None, ge=1, description="At most this many; more than the maximum is cut to it.")
    cursor: str | None = Field(None, max_length=200, description="The `next` of the answer before.")


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
        validation_error_callback=_invalid,
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
    app.before_request(lambda: _enter(door))
    app.after_request(lambda response: _leave(response, metrics))
    app.register_error_handler(Exception, _explain)
    app.register_api(_probes(checks, metrics))
    app.register_api(_settings_views(settings, waiting))
    return app


def accepts(*types: str, max_bytes: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Marks a view that reads other bodies than JSON of the usual size: media types (empty: any) and a byte limit."""

    def marked(view: Callable[..., Any]) -> Callable[..., Any]:
        view.accepts = types  # type: ignore[attr-defined]
        view.max_bytes = max_bytes  # type: ignore[attr-defined]
        return view

    return marked


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


# ---- entering --------------------------------------------------------------------------------------------------------


def _enter(door: Door) -> None:
    g.began = time.monotonic()
    request_id.set(secrets.token_hex(6))
    g.caller = caller(request.remote_addr or "", dict(request.headers), door.trusted_proxies)
    if not host_is_ours(request.host, door.public_url):
        raise errors.Misdirected(
            f"this service is not called {request.host!r}; set public_url in config.yaml if it should be"
        )
    _check_access(door, g.caller)
    if request.method in _WRITES:
        _check_write(door)


def _check_access(door: Door, who: Caller) -> None:
    path = request.path
    if path.startswith("/internal/"):
        secret = request.headers.get("Aerial-Secret", "")
        if request.headers.get("Aerial-Internal") != "1" or not _equal(secret, door.internal_secret):
            raise errors.Forbidden("this address is for the other service; it needs the shared secret")
        return
    if path in _OPEN_PATHS or request.method == "OPTIONS":
        return
    if door.admits is not None and door.admits(who, _shows_token(door)):
        return
    if _is_home(door, who, path) or _shows_token(door):
        return
    raise errors.Unauthorized(
        "calls from outside the home network need `Authorization: Bearer TOKEN` (the token is in DATA/admin.token); "
        "behind a proxy, name the proxy in trusted_proxies"
    )


def _is_home(door: Door, who: Caller, path: str) -> bool:
    """In a container every outside caller wears a private address, so only loopback administers without a token."""
    administers = path.startswith("/api/") or path == "/metrics"
    return who.loopback if door.in_container and administers else who.local


def _shows_token(door: Door) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and _equal(given.strip(), door.admin_token)


def _equal(given: str, wanted: str) -> bool:
    """Compared in constant time; an empty key opens nothing."""
    return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def _is_own_page(door: Door) -> bool:
    """Whether the request is of a page of ours (or one that CORS lets in), or of no page at all."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if origin is None:
        return site in (None, "same-origin", "none")
    told = urlsplit(origin_of())
    return origin in (request.host_url.rstrip("/"), f"{told.scheme}://{told.netloc}", *door.cors_origins)


def _check_write(door: Door) -> None:
    """A write is of our own pages or of no page, and its body is JSON unless the view reads something else."""
    if request.routing_exception is not None:
        raise request.routing_exception  # 404 and 405 before any word about the body
    if not _is_own_page(door):
        raise errors.Forbidden(
            "a page of another site may not write here; if it is ours, set public_url or trusted_proxies in config.yaml"
        )
    view = current_app.view_functions.get(request.endpoint or "")
    if (limit := getattr(view, "max_bytes", None)) is not None:
        request.max_content_length = limit
    if request.content_length is not None and request.content_length > (request.max_content_length or 0):
        raise errors.TooLarge(f"the body is over {request.max_content_length} bytes")
    if not (request.content_length or "chunked" in request.headers.get("Transfer-Encoding", "").lower()):
        return
    types: Sequence[str] = getattr(view, "accepts", ("application/json",))
    if types and request.mimetype not in types:
        raise errors.UnsupportedType(f"send {' or '.join(types)}, not {request.mimetype or 'a body without a type'}")
    if request.mimetype == "application/json" and view is not None and not hasattr(view, "accepts"):
        _check_json()


def _check_json() -> None:
    try:
        found = json.loads(request.get_data(cache=True), parse_constant=_no_constant)
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate cannot be stored
    except json.JSONDecodeError as error:
        raise errors.Invalid(f"the body is no JSON: {error.msg} at line {error.lineno} column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise errors.Invalid(f"the body is no JSON that can be used: {error}") from error
    if not isinstance(found, dict):
        raise errors.Invalid("the body must be a JSON object")


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def the_caller() -> Caller:
    """Whom the present request comes from."""
    found: Caller = g.caller
    return found


def origin_of() -> str:
    """The address of ours that the client used, without a slash at the end: the one resolver of handed-out addresses.

    The configured public address; else what a trusted proxy says; else the request's own host. Never another.
    """
    door: Door = current_app.config["AERIAL_DOOR"]
    if door.public_url:
        return door.public_url
    if not the_caller().trusted_peer:
        return f"{request.scheme}://{request.host}"
    scheme = _first("X-Forwarded-Proto") or request.scheme
    host = _first("X-Forwarded-Host") or request.host
    prefix = _first("X-Forwarded-Prefix").strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._~/-]*", prefix):
        prefix = ""  # it is written into addresses, playlists and pages
    if not host_is_ours(host, door.public_url) or scheme not in ("http", "https"):
        return f"{request.scheme}://{request.host}"
    return f"{scheme}://{host}" + (f"/{prefix}" if prefix else "")


def _first(header: str) -> str:
    return request.headers.get(header, "").partition(",")[0].strip()


# ---- leaving ---------------------------------------------------------------------------------------------------------


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


def _explain(error: Exception) -> Response:
    """Any error as problem+json; what is not ours is logged with its trace and told without its inside."""
    if isinstance(error, errors.AerialError):
        return _problem(_status_of(error), error.detail, error.extra, getattr(error, "retry_after_s", None))
    if isinstance(error, HTTPException):
        if error.response is not None or error.code is None or error.code < 400:
            return error.get_response()  # type: ignore[return-value]
        response = _problem(error.code, error.description or HTTPStatus(error.code).phrase, {}, None)
        for key, value in error.get_headers():
            if key.lower() in ("allow", "retry-after", "www-authenticate", "content-range"):
                response.headers[key] = value
        return response
    if isinstance(error, ValidationError):
        return _invalid(error)
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    door: Door = current_app.config["AERIAL_DOOR"]
    if not door.debug:
        return _problem(500, "a fault of this program; see its log for this request", {}, None)
    trace = redact("".join(traceback.format_exception(error))).splitlines()
    return _problem(500, f"{type(error).__name__}: {error}", {"traceback": trace}, None)


def _status_of(error: errors.AerialError) -> int:
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return HTTPStatus.SERVICE_UNAVAILABLE  # a kind of the store: its database cannot be used


def _problem(status: int, detail: str, extra: Mapping[str, object], retry_after_s: int | None) -> Response:
    body = {
        **extra,
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": redact(detail),
        "request_id": request_id.get(),
    }
    response = Response(json.dumps(body, ensure_ascii=True, default=str), status=status, content_type=PROBLEM)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "5"
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _invalid(error: ValidationError) -> Response:
    faults = [
        {"where": ".".join(str(part) for part in fault["loc"]), "what": fault["msg"].removeprefix("Value error, ")}
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    detail = "; ".join(f"{fault['where']}: {fault['what']}" if fault["where"] else fault["what"] for fault in faults)
    return _problem(400, detail, {"errors": faults}, None)


def no_content() -> Response:
    """The answer to a deletion."""
    return Response(status=204)


def json_answer(value: object, status: int = 200) -> Response:
    """`value` as JSON, compact."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status=status, content_type="application/json")


def published(path: Path, *, mimetype: str, etag: str | None = None, download_name: str | None = None) -> Response:
    """A finished file, by sendfile, with ETag, Last-Modified, 304, HEAD and Range; `Unavailable` until it is there."""
    if not _one_range(request.headers.get("Range", "")):
        request.environ.pop("HTTP_RANGE", None)
    try:
        response = send_file(
            path, mimetype=mimetype, conditional=True, etag=etag or True, max_age=0, download_name=download_name
        )
    except FileNotFoundError as error:
        raise errors.Unavailable("this is not published yet; try again in a moment") from error
    response.headers["Cache-Control"] = "no-cache"
    return response


def _one_range(text: str) -> bool:
    """Whether this is one range of bytes. Another unit, several ranges and nonsense are ignored (RFC 9110, 14.2)."""
    found = _ONE_RANGE.fullmatch(text.strip())
    return found is not None and not (found[1] and found[2] and int(found[2]) < int(found[1]))


def wants_gzip() -> bool:
    """Whether the client takes gzip as a content coding."""
    return request.accept_encodings.quality("gzip") > 0 and "gzip" in request.headers.get("Accept-Encoding", "")


# ---- views that both services have -----------------------------------------------------------------------------------


def _probes(checks: Checks, metrics: Metrics) -> APIBlueprint:
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


def _settings_views(settings: Settings, waiting: Waiting) -> APIBlueprint:
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


def page_of(items: Sequence[object], query: PageQuery, *, most: int) -> tuple[Iterable[object], str | None]:
    """The part of a whole list that `query` asks for, and the cursor of the next part."""
    start = cursor_number(query.cursor)
    limit = min(query.limit or most, most)
    end = start + limit
    return items[start:end], str(end) if end < len(items) else None


def cursor_number(cursor: str | None) -> int:
    """The place in a list that a cursor made of a number stands for; raises `Invalid`."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise errors.Invalid("cursor: use the `next` of the answer before, as it was given")
    return int(cursor)
