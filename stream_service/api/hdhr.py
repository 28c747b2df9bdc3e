"""A lineup as an HDHomeRun tuner: what clients read of it. Its streams are in `api.tuning`.

At the root answers the `default` lineup, under `/hdhr/NAME` each. All but the state of a scan are published files.
"""

from collections.abc import Callable
from pathlib import PurePath
from typing import Protocol

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import ConfigDict, Field

from servicekit.errors import Invalid, NotFound, Unavailable
from servicekit.web import Shape, accepts, json_answer, origin_of, published
from stream_service.api import Collaborators, params
from stream_service.domain.lineup import DEFAULT, HDHR
from stream_service.outputs import hdhr
from stream_service.outputs.hdhr import Device

JSON = "application/json"
XML = "application/xml"
M3U = "audio/x-mpegurl"
CORS = ("Access-Control-Allow-Origin", "*")
SOURCE = "Cable"
_NOTHING = b"[]"
_POST_MAX_BYTES = 4096


class Scans(Protocol):
    """See `relay.tuners`."""

    def start(self, lineup: str) -> None: ...
    def abort(self, lineup: str) -> None: ...
    def progress(self, lineup: str) -> int | None: ...


class Tuned(Protocol):
    """What the views of tuners are handed; `wiring` builds it."""

    @property
    def scans(self) -> Scans: ...
    @property
    def device(self) -> Callable[[str], Device | None]:
        """A lineup's device, None when it has none. Reads a file."""
        ...

    @property
    def count(self) -> Callable[[str], int]:
        """How many channels a lineup has, from memory."""
        ...


class _ShowQuery(Shape):
    """Clients add words of their own, which are passed over."""

    model_config = ConfigDict(extra="ignore")
    show: str = Field("found", max_length=40, description="found, all, unprotected: every channel; demo: none.")


def blueprint(it: Collaborators, tuned: Tuned) -> APIBlueprint:
    """The routes of the device at the root, and of those of lineups."""
    views = APIBlueprint("hdhr", __name__)
    _add_device(views, it)
    _add_lists(views, it)
    _add_scans(views, it, tuned)

    @views.after_request
    def for_pages_of_any_origin(response: Response) -> Response:
        response.headers.setdefault(*CORS)
        return response

    return views


def _add_device(views: APIBlueprint, it: Collaborators) -> None:
    @views.get("/discover.json", summary="The default lineup as an HDHomeRun tuner")
    def discover() -> Response:
        return _file(it, DEFAULT, hdhr.DISCOVER, JSON)

    @views.get("/hdhr/<name>/discover.json", summary="A lineup as an HDHomeRun tuner")
    def lineup_discover(path: params.LineupPath) -> Response:
        return _file(it, path.name, hdhr.DISCOVER, JSON)

    @views.get("/device.xml", summary="Its UPnP description")
    def description() -> Response:
        return _file(it, DEFAULT, hdhr.DEVICE_XML, XML)

    @views.get("/hdhr/<name>/device.xml", summary="Its UPnP description")
    def lineup_description(path: params.LineupPath) -> Response:
        return _file(it, path.name, hdhr.DEVICE_XML, XML)


def _add_lists(views: APIBlueprint, it: Collaborators) -> None:
    @views.get("/lineup.json", summary="Its channels")
    def channels(query: _ShowQuery) -> Response:
        return _channels(it, DEFAULT, query)

    @views.get("/hdhr/<name>/lineup.json", summary="Its channels")
    def lineup_channels(path: params.LineupPath, query: _ShowQuery) -> Response:
        return _channels(it, path.name, query)

    @views.get("/lineup.xml", summary="Its channels as XML")
    def channels_xml() -> Response:
        return _file(it, DEFAULT, hdhr.LINEUP_XML, XML)

    @views.get("/hdhr/<name>/lineup.xml", summary="Its channels as XML")
    def lineup_channels_xml(path: params.LineupPath) -> Response:
        return _file(it, path.name, hdhr.LINEUP_XML, XML)

    @views.get("/lineup.m3u", summary="Its channels as M3U, by number")
    def channels_m3u() -> Response:
        return _file(it, DEFAULT, hdhr.LINEUP_M3U, M3U)

    @views.get("/hdhr/<name>/lineup.m3u", summary="Its channels as M3U, by number")
    def lineup_channels_m3u(path: params.LineupPath) -> Response:
        return _file(it, path.name, hdhr.LINEUP_M3U, M3U)


def _add_scans(views: APIBlueprint, it: Collaborators, tuned: Tuned) -> None:
    @views.get("/lineup_status.json", summary="Whether it scans for channels")
    def status() -> Response:
        return _status(it, DEFAULT, tuned)

    @views.get("/hdhr/<name>/lineup_status.json", summary="Whether it scans for channels")
    def lineup_status(path: params.LineupPath) -> Response:
        return _status(it, path.name, tuned)

    @views.post("/lineup.post", summary="Start or abort a scan")
    @accepts(max_bytes=_POST_MAX_BYTES)
    def scan() -> Response:
        return _scan(it, DEFAULT, tuned)

    @views.post("/hdhr/<name>/lineup.post", summary="Start or abort a scan")
    @accepts(max_bytes=_POST_MAX_BYTES)
    def lineup_scan(path: params.LineupPath) -> Response:
        return _scan(it, path.name, tuned)


def known_device(it: Collaborators, lineup: str, tuned: Tuned) -> Device:
    """The lineup's device; raises `NotFound` when there is none, `Unavailable` until it is published."""
    device = it.call(tuned.device, lineup)
    return device if device is not None else missing(it, lineup)


def missing(it: Collaborators, lineup: str) -> Device:
    """Raises why a lineup's device cannot be told of."""
    if HDHR not in it.call(it.lineups.get, lineup).options.outputs:
        raise NotFound(f"the lineup {lineup!r} is not published as a tuner (its outputs leave hdhr out)")
    raise Unavailable("this is not published yet; try again in a moment", retry_after_s=2)


def _file(it: Collaborators, lineup: str, name: str, kind: str) -> Response:
    rendered = it.playlists.of(it.files.of(lineup, name), origin_of())
    if rendered is None:
        missing(it, lineup)
        raise NotFound(f"the lineup {lineup!r} has no {name}")
    response = published(rendered.path, mimetype=kind, etag=rendered.etag, download_name=PurePath(name).name)
    response.headers["Content-Type"] = kind if kind == JSON else f"{kind}; charset=utf-8"
    return response


def _channels(it: Collaborators, lineup: str, query: _ShowQuery) -> Response:
    if query.show == "demo":
        return Response(_NOTHING, content_type=JSON)
    return _file(it, lineup, hdhr.LINEUP_JSON, JSON)


def _status(it: Collaborators, lineup: str, tuned: Tuned) -> Response:
    known_device(it, lineup, tuned)
    progress = tuned.scans.progress(lineup)
    if progress is None:
        said: dict[str, object] = {"ScanInProgress": 0, "ScanPossible": 1}
    else:
        found = tuned.count(lineup) * progress // 100
        said = {"ScanInProgress": 1, "ScanPossible": 1, "Progress": progress, "Found": found}
    return json_answer({**said, "Source": SOURCE, "SourceList": ["Antenna", SOURCE]})


def _scan(it: Collaborators, lineup: str, tuned: Tuned) -> Response:
    known_device(it, lineup, tuned)
    wanted = request.values.get("scan", "")
    if wanted == "start":
        tuned.scans.start(lineup)
    elif wanted == "abort":
        tuned.scans.abort(lineup)
    elif "favorite" in request.values:
        raise Invalid("a tuner of ours keeps no favourites: a user has them, and PUT /api/v1/lineups/… orders channels")
    else:
        raise Invalid("scan=start or scan=abort is understood here")
    return Response(b"", content_type="text/plain")
