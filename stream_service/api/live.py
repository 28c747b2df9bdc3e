"""Streams to players: `/stream/ID.ts`, and what the relay carries now.

A stream leaves Flask as soon as the channel is chosen: the connection's socket is handed to the relay, and `handover`
tells the server that this connection is no longer its own. Where the socket cannot be had (TLS or HTTP/2 in the server,
another server, tests) the same stream comes as an ordinary iterated answer.
"""

import os
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit.errors import Forbidden, NotFound, Unavailable
from servicekit.web import Shape, json_answer
from stream_service.api.access import note_full, player, take_seat, visitor
from stream_service.api.profiles import ProfileQuery, Through, as_asked, no_profiles
from stream_service.domain.model import REDIRECT, ChannelTarget

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADERS = {
    "Content-Type": "video/mp2t",
    "Cache-Control": "no-store",
    "Connection": "close",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",  # players in browsers (mpegts.js) of any page
}
HDHOMERUN_ERROR = "X-HDHomeRun-Error"
_ALL_TUNERS_IN_USE = "805 All Tuners In Use"
_TUNE_FAILED = "806 Tune Failed"
_ERROR_OF_CODE = {
    "no_slot": _ALL_TUNERS_IN_USE,
    "tuners_in_use": _ALL_TUNERS_IN_USE,
    "tuner_in_use": "804 Tuner In Use",
    "no_picture": "807 No Video Data",
}
_SOCKET = "aerial.socket"
_TAKEN = "aerial.taken"


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a stream is watched as a tuner's: which one it takes, for how long, and what its answer says besides."""

    tuner: str
    for_s: float | None
    headers: Mapping[str, str]


class Relay(Protocol):
    """What the views ask of the relay's hub."""

    def join(
        self,
        target: ChannelTarget,
        sock_fd: int,
        *,
        address: str,
        user_agent: str = "",
        user: str = "",
        priority: int = 0,
        lineup: str = "",
        tuner: str = "",
        for_s: float | None = None,
        head: bytes = b"",
    ) -> None:
        """Carry the viewer behind the descriptor, which is the relay's from now on."""
        ...

    def follow(
        self,
        target: ChannelTarget,
        *,
        address: str,
        user_agent: str = "",
        user: str = "",
        priority: int = 0,
        lineup: str = "",
        tuner: str = "",
        for_s: float | None = None,
    ) -> Iterator[bytes]:
        """The stream as an iterator with `close`."""
        ...

    def sessions(self) -> list[dict[str, object]]:
        """What runs."""
        ...


Catalogue = Callable[[str], ChannelTarget | None]
"""A channel by its permanent id, from memory; None when no lineup has it."""


Past = Callable[[ChannelTarget, int, int, str], Response]
"""Answers with a stretch of the past: start in epoch seconds, length in seconds, and the lineup if one was named."""
USUAL_PAST_S = 4 * 3600


class Lineups(Protocol):
    """How lineups deliver channels; the catalogue in memory."""

    @property
    def in_lineup(self) -> Callable[[str, str], bool]: ...
    @property
    def as_in(self) -> Callable[[str, ChannelTarget], ChannelTarget]: ...


class LineupQuery(ProfileQuery):
    """How a channel is asked for: as a lineup delivers it, or through a profile."""

    lineup: str = Field("", max_length=64, description="As this lineup delivers it; usually as `default` does.")


class StreamQuery(LineupQuery):
    """The same, or of a time that has gone by (Kodi's names for it)."""

    utc: int | None = Field(None, ge=0, lt=1 << 33, description="From this moment on (epoch seconds), not live.")
    utcend: int | None = Field(None, ge=0, lt=1 << 33, description="To this moment.")
    duration: int | None = Field(None, ge=1, le=86_400, description="For so many seconds.")

    @property
    def length_s(self) -> int:
        """How much of the past is asked for; four hours when that is not said."""
        if self.duration is not None:
            return self.duration
        return USUAL_PAST_S if self.utcend is None or self.utc is None else self.utcend - self.utc


class _ChannelPath(Shape):
    channel_id: str = Field(max_length=200, description="The channel's permanent id.")


def blueprint(
    *,
    hub: Relay,
    catalogue: Catalogue,
    through: Through = no_profiles,
    past: Past | None = None,
    lineups: Lineups | None = None,
) -> APIBlueprint:
    """The routes `/stream/ID.ts` and `/api/v1/relay/sessions`."""
    views = APIBlueprint("live", __name__)

    @views.get("/stream/<channel_id>.ts", summary="A channel as one endless MPEG transport stream")
    def stream(path: _ChannelPath, query: StreamQuery) -> Response:
        """A range asked for is ignored; HEAD opens no upstream. 503 with Retry-After when the channel does not come."""
        target = found(path.channel_id, query.lineup, catalogue=catalogue, lineups=lineups)
        if query.utc is not None and past is not None:
            return past(target, query.utc, query.length_s, query.lineup)
        return watch(as_asked(target, query, through), hub=hub, lineup=query.lineup)

    @views.get("/api/v1/relay/sessions", summary="What the relay carries: channels, their upstreams, their viewers")
    def sessions() -> Response:
        return json_answer({"items": hub.sessions(), "next": None})

    return views


def found(channel_id: str, name: str, *, catalogue: Catalogue, lineups: Lineups | None) -> ChannelTarget:
    """The channel, as the lineup of that name delivers it where one is named; raises `NotFound`, `Forbidden`."""
    target = catalogue(channel_id)
    if target is None:
        raise NotFound(f"there is no channel {channel_id!r}", id=channel_id)
    if not name or lineups is None:
        return target
    if not lineups.in_lineup(name, target.id):
        raise NotFound(f"the lineup {name!r} has no channel {target.id!r}")
    if not visitor().may_watch(name):
        raise Forbidden(f"the lineup {name!r} is not one of yours")
    return lineups.as_in(name, target)


def watch(target: ChannelTarget, *, hub: Relay, lineup: str = "", tuning: Tuning | None = None) -> Response:
    """Answer the present request with the channel; raises `Unavailable` when it does not come in time.

    `lineup`: through which the viewer found it, where that is known; it is written down. A channel that is delivered
    by redirect is answered with 302 to its first stream's own address.
    """
    if address := redirected(target):
        return Response(status=302, headers={"Location": address, "Cache-Control": "no-store"})
    if request.method == "HEAD":
        answer = Response(headers=HEADERS)
        answer.automatically_set_content_length = False  # "0 bytes" would be a lie that players believe
        return answer
    try:
        take_seat()
    except Forbidden as error:
        note_full(error)
        raise
    (address, user_agent), who = player(), visitor()
    said: dict[str, Any] = {
        "address": address,
        "user_agent": user_agent,
        "user": who.name,
        "priority": who.priority,
        "lineup": lineup,
    }
    headers = HEADERS
    if tuning is not None:
        said |= {"tuner": tuning.tuner, "for_s": tuning.for_s}
        headers = {**HEADERS, **tuning.headers}
    sock = request.environ.get(_SOCKET)
    if sock is None:
        return Response(hub.follow(target, **said), headers=headers, direct_passthrough=True)
    hub.join(target, os.dup(sock.fileno()), **said, head=_head(headers))
    request.environ[_TAKEN] = True
    return Response(headers=headers)


def redirected(target: ChannelTarget) -> str:
    """Where viewers of a channel that is delivered by redirect are sent; '' for one that is not, or cannot be."""
    address = target.streams[0].url if target.delivery == REDIRECT and target.streams else ""
    return address if address.startswith(("http://", "https://")) else ""


def _head(headers: Mapping[str, str]) -> bytes:
    """The beginning of the answer, as the relay sends it before the first packet."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode("latin-1")


def hdhomerun_error(error: Unavailable) -> str:
    """What a tuner of the kind says in `X-HDHomeRun-Error` when the relay refuses a channel with this error."""
    return _ERROR_OF_CODE.get(str(error.extra.get("code")), _TUNE_FAILED)


def handover(app: "WSGIApplication") -> "WSGIApplication":
    """`app`, with the client's socket offered to it where it can be had; the outermost layer, right under gunicorn.

    After a stream took the socket, `StopIteration` makes gunicorn close its own descriptor and forget the connection,
    without an answer and without a log line; the relay's copy lives on.
    """

    def outer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        sock = environ.get("gunicorn.socket")
        if sock is not None and _can_be_taken(sock, environ):
            environ[_SOCKET] = sock
        answer = app(environ, start_response)
        if not environ.get(_TAKEN):
            return answer
        close = getattr(answer, "close", None)
        if close is not None:
            close()
        raise StopIteration

    return outer


def _can_be_taken(sock: Any, environ: "WSGIEnvironment") -> bool:
    return not isinstance(sock, ssl.SSLSocket) and str(environ.get("SERVER_PROTOCOL", "")).startswith("HTTP/1.")
