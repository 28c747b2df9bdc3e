"""Errors as problem+json (RFC 9457): the one table from kinds of errors to HTTP, and the one shape they have."""

import errno
import json
import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus

from flask import Response, current_app, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from servicekit import errors
from servicekit.logs import request_id
from servicekit.redact import redact
from servicekit.web.door import Door

PROBLEM = "application/problem+json"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
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


class Problem(BaseModel):
    """The one shape of an error (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str


def explain(error: Exception) -> Response:
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
        return invalid(error)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        _log.error("%s %s failed: %s", request.method, request.path, error)
        return _problem(503, "the disk is full: free some space, then ask again", {}, None)
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


def invalid(error: ValidationError) -> Response:
    """A request that does not fit its description: every fault, and where it is."""
    faults = [
        {"where": ".".join(str(part) for part in fault["loc"]), "what": fault["msg"].removeprefix("Value error, ")}
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    detail = "; ".join(f"{fault['where']}: {fault['what']}" if fault["where"] else fault["what"] for fault in faults)
    return _problem(400, detail, {"errors": faults}, None)
