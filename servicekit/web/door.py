"""Who may enter: the caller, our names, the home network, the token, the shared secret, whose pages may write."""

import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import current_app, g, request

from servicekit import errors
from servicekit.addresses import Network
from servicekit.callers import Caller, caller, host_is_ours
from servicekit.logs import request_id

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OPEN_PATHS = frozenset({"/live", "/ready", "/health", "/api/v1/health"})


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


def accepts(*types: str, max_bytes: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Marks a view that reads other bodies than JSON of the usual size: media types (empty: any) and a byte limit."""

    def marked(view: Callable[..., Any]) -> Callable[..., Any]:
        view.accepts = types  # type: ignore[attr-defined]
        view.max_bytes = max_bytes  # type: ignore[attr-defined]
        return view

    return marked


def enter(door: Door) -> None:
    """Let the present request in, or raise why not."""
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
