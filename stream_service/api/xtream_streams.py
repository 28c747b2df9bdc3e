"""Streams to Xtream clients: `/live/U/P/ID.ts`, `/U/P/ID`, HLS, and broadcasts of the past."""

import re
from collections.abc import Callable
from functools import partial
from typing import Protocol

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import ConfigDict, Field

from servicekit.errors import Forbidden, NotFound
from servicekit.web import Shape, origin_of
from stream_service.api import hls, live
from stream_service.api.access import visitor
from stream_service.api.files import Pump, send
from stream_service.api.profiles import ProfileQuery, Through, as_asked, no_profiles
from stream_service.domain.calls import Call
from stream_service.domain.catchup import start_of
from stream_service.domain.lineup import DEFAULT
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.domain.users import User, is_reserved

LONGEST_MINUTES = 24 * 60
_SEGMENT = re.compile(r"^(?!#)(?=[^/])", re.MULTILINE)


class Channels(Protocol):
    """The catalogue in memory."""

    @property
    def by_xtream_id(self) -> Callable[[int], ChannelTarget | None]: ...
    @property
    def in_lineup(self) -> Callable[[str, str], bool]: ...
    @property
    def as_in(self) -> Callable[[str, ChannelTarget], ChannelTarget]:
        """A channel as a lineup delivers it."""
        ...

    @property
    def archive(self) -> Callable[[str, ChannelTarget, int, int], StreamAddress | None]:
        """Where a lineup's channel has a stretch of the past: start in epoch seconds, length in seconds.

        None where it has none. Reads a file and the database.
        """
        ...


class _Login(Shape):
    name: str = Field(max_length=200)
    password: str = Field(max_length=200)


class _StreamPath(_Login):
    stream_id: int = Field(ge=0, lt=1 << 53)


class _PastPath(_StreamPath):
    minutes: int = Field(ge=0, lt=1 << 31)
    start: str = Field(max_length=40)


class _PastQuery(Shape):
    model_config = ConfigDict(extra="ignore")
    stream: int = Field(ge=0, lt=1 << 53)
    start: str = Field(max_length=40)
    duration: int = Field(60, ge=0, lt=1 << 31)


class Past:
    """Answers with a stretch of the past, from the archive of the channel's provider."""

    def __init__(self, *, channels: Channels, pump: Pump, call: Call) -> None:
        self._channels = channels
        self._pump = pump
        self._call = call

    def __call__(self, target: ChannelTarget, start_s: int, duration_s: int, lineup: str = "") -> Response:
        """`lineup`: the one that was named; empty for the visitor's first that has the channel.

        Raises `NotFound` where the provider keeps nothing of that time, or the length is none.
        """
        if not 0 < duration_s <= LONGEST_MINUTES * 60:
            raise NotFound("the address names no stretch of time of up to a day")
        user = visitor().user
        theirs = user.lineups if user is not None and user.lineups is not None else (DEFAULT,)
        lineup = lineup or next((one for one in theirs if self._channels.in_lineup(one, target.id)), DEFAULT)
        address = self._call(self._channels.archive, lineup, target, start_s, duration_s)
        if address is None:
            raise NotFound(f"the provider of channel {target.name} keeps nothing of that time")
        return send(address, pump=self._pump, mimetype="video/mp2t", delivery=target.delivery)


class _Streams:
    """What the views share."""

    def __init__(self, *, channels: Channels, hub: live.Relay, past: Past, through: Through) -> None:
        self._channels = channels
        self._hub = hub
        self._past = past
        self._through = through

    def target(self, stream_id: int, query: ProfileQuery | None = None) -> tuple[ChannelTarget, str]:
        """The channel of that number, as a lineup or the request wants it, and that lineup, '' for none of theirs.

        Raises `NotFound`, `Forbidden`.
        """
        found = self._channels.by_xtream_id(stream_id)
        if found is None:
            raise NotFound(f"there is no channel {stream_id}")
        user, lineup = visitor().user, ""
        if user is not None:
            lineup = self._lineup(user, found)
            found = self._channels.as_in(lineup, found) if lineup else found
        return found if query is None else as_asked(found, query, self._through), lineup

    def _lineup(self, user: User, found: ChannelTarget) -> str:
        """The lineup that was asked for, or the first of the user's that has the channel; '' for none.

        Raises `Forbidden` where they may watch no other.
        """
        theirs = (DEFAULT,) if user.lineups is None else user.lineups
        asked = request.args.get("lineup", "")
        if asked and visitor().may_watch(asked):
            theirs = (asked, *theirs)
        lineup = next((one for one in theirs if self._channels.in_lineup(one, found.id)), "")
        if not lineup and user.lineups is not None:
            raise Forbidden("this channel is in none of your lineups")
        return lineup

    def watch(self, stream_id: int, query: live.StreamQuery) -> Response:
        """The live stream, or the stretch of the past that the query names."""
        if query.utc is not None:
            target, lineup = self.target(stream_id)
            return self._past(target, query.utc, query.length_s, lineup)
        target, lineup = self.target(stream_id, query)
        return live.watch(target, hub=self._hub, lineup=lineup)

    def past(self, stream_id: int, start: str, minutes: int) -> Response:
        """A stretch of the past, from the provider's archive."""
        (target, lineup), start_s = self.target(stream_id), start_of(start)
        if start_s is None:
            raise NotFound("the address names no start such as 2026-11-21:20-15 (UTC)")
        return self._past(target, start_s, minutes * 60, lineup)


def blueprint(
    *,
    channels: Channels,
    hub: live.Relay,
    past: Past,
    through: Through = no_profiles,
    output: hls.HlsOutput | None = None,
) -> APIBlueprint:
    """Addresses that hold a name and a password. Without `output` there is no HLS."""
    views = APIBlueprint("xtream_streams", __name__)
    streams = _Streams(channels=channels, hub=hub, past=past, through=through)
    _add_live(views, streams)
    _add_past(views, streams)
    if output is not None:
        _add_hls(views, streams, output)
    return views


def _add_live(views: APIBlueprint, streams: _Streams) -> None:
    @views.get("/live/<name>/<password>/<int:stream_id>.ts", summary="Xtream: a channel as MPEG transport stream")
    def stream(path: _StreamPath, query: live.StreamQuery) -> Response:
        return streams.watch(path.stream_id, query)

    @views.get("/live/<name>/<password>/<int:stream_id>", summary="The same without an ending")
    def stream_without_ending(path: _StreamPath, query: live.StreamQuery) -> Response:
        return streams.watch(path.stream_id, query)

    @views.get("/<name>/<password>/<int:stream_id>.ts", summary="The same as old clients ask")
    def bare_stream(path: _StreamPath, query: live.StreamQuery) -> Response:
        _no_own_address(path.name)
        return streams.watch(path.stream_id, query)

    @views.get("/<name>/<password>/<int:stream_id>", summary="The same as old clients ask, without an ending")
    def bare_stream_without_ending(path: _StreamPath, query: live.StreamQuery) -> Response:
        _no_own_address(path.name)
        return streams.watch(path.stream_id, query)


def _add_past(views: APIBlueprint, streams: _Streams) -> None:
    @views.get(
        "/timeshift/<name>/<password>/<int:minutes>/<start>/<int:stream_id>.ts",
        summary="Xtream: a stretch of the past, from the provider's archive",
    )
    def past(path: _PastPath) -> Response:
        return streams.past(path.stream_id, path.start, path.minutes)

    @views.get("/streaming/timeshift.php", summary="The same by a query")
    def past_by_query(query: _PastQuery) -> Response:
        return streams.past(query.stream, query.start, query.duration)

    @views.get("/timeshift.php", summary="The same by a query")
    def past_by_short_query(query: _PastQuery) -> Response:
        return streams.past(query.stream, query.start, query.duration)


def _add_hls(views: APIBlueprint, streams: _Streams, output: hls.HlsOutput) -> None:
    def playlist(stream_id: int, query: ProfileQuery) -> Response:
        target, lineup = streams.target(stream_id, query)
        # Segments are named beside `/stream/ID.m3u8`; here they are somewhere else.
        elsewhere = partial(_SEGMENT.sub, f"{origin_of()}/stream/")
        return hls.answer(target, output=output, lineup=lineup, named=elsewhere)

    @views.get("/live/<name>/<password>/<int:stream_id>.m3u8", summary="Xtream: a channel as HLS")
    def hls_stream(path: _StreamPath, query: ProfileQuery) -> Response:
        return playlist(path.stream_id, query)

    @views.get("/<name>/<password>/<int:stream_id>.m3u8", summary="The same as old clients ask")
    def bare_hls_stream(path: _StreamPath, query: ProfileQuery) -> Response:
        _no_own_address(path.name)
        return playlist(path.stream_id, query)


def _no_own_address(name: str) -> None:
    """Raises `NotFound` for the beginning of an address of ours: nobody is called so."""
    if is_reserved(name):
        raise NotFound("there is nothing at this address")
