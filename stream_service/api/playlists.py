"""What players and media servers fetch: playlists, and the copy of the guide that goes with them."""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import ConfigDict, Field

from servicekit.errors import Forbidden, NotFound
from servicekit.web import Shape, origin_of, published, wants_gzip
from stream_service.api import Collaborators, params
from stream_service.api.access import visitor
from stream_service.domain.lineup import LineupView
from stream_service.outputs import m3u
from stream_service.outputs.chosen import Chosen
from stream_service.outputs.origin import with_origin
from stream_service.outputs.xtream import PLAYLIST, Login

M3U = "audio/x-mpegurl"
XML = "application/xml"
GZIP = "application/gzip"
DEFAULT = "default"
EMPTY_GUIDE = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tv SYSTEM "xmltv.dtd">\n'
    b'<tv generator-info-name="Aerial"></tv>\n'
)


Favourites = Callable[[str], Sequence[str]]
"""The favourite channels of the user called so; raises `NotFound`. Reads the database."""


def _of_nobody(name: str) -> Sequence[str]:
    raise NotFound(f"there is no user {name!r}")


class _Query(Shape):
    """Which entries of a playlist. Players add words of their own, which are passed over."""

    model_config = ConfigDict(extra="ignore")
    group: list[str] = Field([], max_length=100, description="Only this group; may be repeated.")
    favourites: str = Field("", max_length=200, description="Only the favourites of this user.")


def blueprint(it: Collaborators, favourites: Favourites = _of_nobody) -> APIBlueprint:
    """`/playlist.m3u`, `/epg.xml`, and both for each lineup."""
    views = APIBlueprint("playlists", __name__)

    @views.get("/playlist.m3u", summary="The default lineup as M3U")
    def playlist(query: _Query) -> Response:
        return _playlist(it, DEFAULT, _chosen(it, query, favourites))

    @views.get("/lineups/<name>/playlist.m3u", summary="A lineup as M3U")
    def lineup_playlist(path: params.LineupPath, query: _Query) -> Response:
        return _playlist(it, path.name, _chosen(it, query, favourites))

    @views.get("/epg.xml", summary="The default lineup's guide")
    def guide() -> Response:
        return guide_answer(it, DEFAULT, packed=False)

    @views.get("/epg.xml.gz", summary="The default lineup's guide, packed")
    def guide_packed() -> Response:
        return guide_answer(it, DEFAULT, packed=True)

    @views.get("/lineups/<name>/epg.xml", summary="A lineup's guide")
    def lineup_guide(path: params.LineupPath) -> Response:
        return guide_answer(it, path.name, packed=False)

    @views.get("/lineups/<name>/epg.xml.gz", summary="A lineup's guide, packed")
    def lineup_guide_packed(path: params.LineupPath) -> Response:
        return guide_answer(it, path.name, packed=True)

    return views


def _chosen(it: Collaborators, query: _Query, favourites: Favourites) -> Chosen | None:
    """What of a playlist is asked for, and for whom; None for the whole of it and nobody in particular."""
    who = visitor()
    login = Login(who.user.name, who.password) if who.user is not None else None
    if query.favourites and who.user is not None and query.favourites.casefold() != who.user.name.casefold():
        raise Forbidden("these are somebody else's favourites")
    liked = frozenset(it.call(favourites, query.favourites)) if query.favourites else None
    groups = frozenset(one.strip().casefold() for one in query.group if one.strip()) or None
    return None if login is None and liked is None and groups is None else Chosen(liked, groups, login)


def _playlist(it: Collaborators, lineup: str, chosen: Chosen | None) -> Response:
    if chosen is not None and chosen.login is not None:
        # Without Xtream, whose addresses have a place for a name and password, these stand behind plain ones.
        path = it.files.of(lineup, PLAYLIST)
        response = _list(it, lineup, path if it.call(path.exists) else it.files.playlist(lineup), chosen)
    else:
        response = _list(it, lineup, it.files.playlist(lineup), chosen)
    response.headers["Content-Disposition"] = "inline; filename=playlist.m3u"
    return response


def user_playlist(it: Collaborators, lineup: str, chosen: Chosen) -> Response:
    """A lineup's M3U with addresses that hold a name and a password; raises `NotFound` for no lineup."""
    return _list(it, lineup, it.files.of(lineup, PLAYLIST), chosen)


def _saying_lineup(it: Collaborators, lineup: str, chosen: Chosen | None) -> Chosen | None:
    """`/live/U/P/ID` goes by the first of the user's lineups that has the channel; where one that stands before this
    one delivers in another way, the addresses of this one say its name."""
    user = visitor().user
    if user is None or chosen is None or chosen.login is None or lineup in (user.lineups or (lineup,))[:1]:
        return chosen
    ways = {one.name: one.delivery for one in it.call(it.lineups.all)}
    before = takewhile(lambda name: name != lineup, user.lineups or ())
    if {ways[name] for name in before if name in ways} <= {ways.get(lineup)}:
        return chosen
    return replace(chosen, login=replace(chosen.login, lineup=lineup))


def _list(it: Collaborators, lineup: str, path: Path, chosen: Chosen | None) -> Response:
    origin, chosen = origin_of(), _saying_lineup(it, lineup, chosen)
    rendered = it.playlists.of(path, origin, rewrite=chosen)
    if rendered is None:
        _published(it, lineup)
        text = with_origin(m3u.text(LineupView(lineup, ())), origin)
        response = Response(text, headers={"Cache-Control": "no-cache"})
    else:
        response = published(rendered.path, mimetype=M3U, etag=rendered.etag)
    response.headers["Content-Type"] = f"{M3U}; charset=utf-8"
    if chosen is not None and chosen.login is not None:
        response.headers["Cache-Control"] = "private, no-cache"  # it holds a password
    return response


def guide_answer(it: Collaborators, lineup: str, *, packed: bool) -> Response:
    """Our copy of a lineup's guide; an empty one before there is any. Raises `NotFound` for no lineup."""
    path = it.files.guide(lineup, packed=True)
    if not it.call(path.exists):
        _known(it, lineup)
        body = _empty_packed() if packed else EMPTY_GUIDE
        return Response(body, content_type=GZIP if packed else XML, headers={"Cache-Control": "no-cache"})
    if packed:
        return published(path, mimetype=GZIP)
    if wants_gzip() and "Range" not in request.headers:
        response = published(path, mimetype=XML, etag=_tag(path))
        response.headers["Content-Encoding"] = "gzip"
    else:
        response = published(it.files.guide(lineup, packed=False), mimetype=XML)
    response.headers["Vary"] = "Accept-Encoding"
    return response


def _tag(path: Path) -> str:
    """An ETag of the packed bytes as a coding: another one than that of the same bytes as a file."""
    state = path.stat()
    return f"{state.st_mtime_ns:x}-{state.st_size:x}-gzip"


def _known(it: Collaborators, lineup: str) -> None:
    """Raises `NotFound` for a lineup that is not there; the default one always is."""
    if lineup != DEFAULT:
        it.call(it.lineups.get, lineup)


def _published(it: Collaborators, lineup: str) -> None:
    """Raises `NotFound` for a lineup that is not there, or is not to be published as M3U."""
    found = it.call(it.lineups.get, lineup)
    if "m3u" not in found.options.outputs:
        raise NotFound(f"the lineup {lineup!r} is not published as M3U: its outputs say so")


@lru_cache(maxsize=1)
def _empty_packed() -> bytes:
    return gzip.compress(EMPTY_GUIDE, mtime=0)
