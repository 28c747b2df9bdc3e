"""Files to players: films, episodes and broadcasts of the past, with ranges, as the provider has them."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from flask import Response, abort, request

from servicekit.errors import BadAnswer, Forbidden, NotFound
from stream_service.api.access import note_full, player, take_seat, visitor
from stream_service.domain.model import REDIRECT, StreamAddress
from stream_service.domain.sending import Known, Player

NOT_SATISFIABLE = 416
_GONE = frozenset({404, 410})


class Sending(Protocol):
    """An open file: its bytes by iteration, with `close`."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def __iter__(self) -> Iterator[bytes]: ...


class Pump(Protocol):
    """See `library.pump`."""

    def open(self, address: StreamAddress, *, player: Player, asked_range: str = "") -> Sending: ...
    def look(self, address: StreamAddress) -> Known: ...


def send(address: StreamAddress, *, pump: Pump, mimetype: str, delivery: str, ranged: bool = True) -> Response:
    """Answer the present request with a file. HEAD tells its length where that can be known without ending anything.

    A file of a lineup that is delivered by redirect is answered with 302 to the provider's own address. Raises
    `NotFound`, `Forbidden` (all of the user's seats are taken), `Unavailable` (all of the account's), `BadAnswer`.
    """
    if delivery == REDIRECT and address.url.startswith(("http://", "https://")):
        return Response(status=302, headers={"Location": address.url, "Cache-Control": "no-store"})
    headers = {"Content-Type": mimetype, "Cache-Control": "no-store"}
    if ranged:
        headers["Accept-Ranges"] = "bytes"
    if request.method == "HEAD":
        return _head(address, headers, pump)
    try:
        take_seat()
    except Forbidden as error:
        note_full(error)
        raise
    who = player()
    asked = request.headers.get("Range", "") if ranged else ""
    sending = _opened(address, pump, Player(*who, user=visitor().name), asked)
    told = {name: value for name, value in sending.headers.items() if name != "Content-Type"}
    return Response(sending, status=sending.status, headers={**headers, **told}, direct_passthrough=True)


def _opened(address: StreamAddress, pump: Pump, who: Player, asked: str) -> Sending:
    try:
        return pump.open(address, player=who, asked_range=asked)
    except BadAnswer as error:
        if error.status == NOT_SATISFIABLE:
            length = pump.look(address).length
            abort(Response(status=NOT_SATISFIABLE, headers={"Content-Range": f"bytes */{length or '*'}"}))
        if error.status in _GONE:
            raise NotFound("the provider does not have this file") from error
        raise


def _head(address: StreamAddress, headers: dict[str, str], pump: Pump) -> Response:
    try:
        known = pump.look(address)
    except BadAnswer as error:
        if error.status in _GONE:
            raise NotFound("the provider does not have this file") from error
        raise
    answer = Response(headers=headers)
    answer.automatically_set_content_length = False
    if known.length is not None:
        answer.headers["Content-Length"] = str(known.length)
    return answer
