"""Channels as HLS: the playlist, and the segments that it names."""

from collections.abc import Callable, Iterable
from typing import Protocol
from urllib.parse import urlsplit

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit.web import Shape
from stream_service.api.access import keep_hls_seat, player, visitor
from stream_service.api.live import Catalogue, LineupQuery, Lineups, found, redirected
from stream_service.api.profiles import Through, as_asked, no_profiles
from stream_service.domain.model import ChannelTarget

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
SEGMENT_TYPE = "video/mp2t"
_ANY_PAGE = {"Access-Control-Allow-Origin": "*", "X-Content-Type-Options": "nosniff"}  # hls.js of any page


class HlsOutput(Protocol):
    """What the views ask of the relay's HLS output."""

    def playlist(
        self, target: ChannelTarget, *, address: str, user_agent: str = "", user: str = "", lineup: str = ""
    ) -> str:
        """The playlist now; raises `Unavailable`."""
        ...

    def segment(self, channel_id: str, token: str, number: int, *, address: str = "", user_agent: str = "") -> bytes:
        """A segment; raises `NotFound`."""
        ...

    def paced(self, data: bytes, *, address: str, user_agent: str = "") -> Iterable[bytes]:
        """A segment in pieces, as the limits of bandwidth allow."""
        ...


class _ChannelPath(Shape):
    channel_id: str = Field(max_length=200, description="The channel's permanent id.")


class _SegmentPath(_ChannelPath):
    token: str = Field(max_length=64)
    number: int = Field(ge=0, lt=1 << 53)


def blueprint(
    *, output: HlsOutput, catalogue: Catalogue, through: Through = no_profiles, lineups: Lineups | None = None
) -> APIBlueprint:
    """`/stream/ID.m3u8` and its segments."""
    views = APIBlueprint("hls", __name__)

    @views.get("/stream/<channel_id>.m3u8", summary="A channel as a live HLS playlist")
    def playlist(path: _ChannelPath, query: LineupQuery) -> Response:
        """HEAD opens no upstream. 503 with Retry-After when the channel does not come."""
        target = found(path.channel_id, query.lineup, catalogue=catalogue, lineups=lineups)
        return answer(as_asked(target, query, through), output=output, lineup=query.lineup)

    @views.get("/stream/<channel_id>/hls/<token>/<int:number>.ts", summary="A segment that a playlist named")
    def segment(path: _SegmentPath) -> Response:
        """404 when it has gone: ask for the playlist again."""
        address, agent = player()
        data = output.segment(path.channel_id, path.token, path.number, address=address, user_agent=agent)
        # It never changes, and nobody but who knows the token asks for it.
        headers = {**_ANY_PAGE, "Content-Type": SEGMENT_TYPE, "Cache-Control": "private, max-age=60"}
        if request.method == "HEAD":
            return Response(data, headers=headers)
        pieces = output.paced(data, address=address, user_agent=agent)
        return Response(pieces, headers={**headers, "Content-Length": str(len(data))}, direct_passthrough=True)

    return views


def answer(
    target: ChannelTarget, *, output: HlsOutput, lineup: str = "", named: Callable[[str], str] = str
) -> Response:
    """Answer the present request with the channel's playlist; raises `Unavailable`, `Forbidden`.

    A channel that is delivered by redirect is answered with 302 where its own address is a playlist. Any other one is
    no HLS, and whoever asks for HLS may know nothing else: it goes through us. `named`: the text with its segments
    named as seen from the address that was asked for; `lineup` is written down.
    """
    address = redirected(target)
    if urlsplit(address).path.lower().endswith(".m3u8"):
        return Response(status=302, headers={"Location": address, "Cache-Control": "no-store", **_ANY_PAGE})
    headers = {**_ANY_PAGE, "Content-Type": PLAYLIST_TYPE, "Cache-Control": "no-store"}
    if request.method == "HEAD":
        response = Response(headers=headers)
        response.automatically_set_content_length = False
        return response
    keep_hls_seat()
    address, agent = player()
    text = output.playlist(target, address=address, user_agent=agent, user=visitor().name, lineup=lineup)
    return Response(named(text), headers=headers)
