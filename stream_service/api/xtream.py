"""The Xtream API: `player_api.php`, `panel_api.php`, `get.php`, `xmltv.php`. Streams are in `api.xtream_streams`.

Long lists are published files, sent as they stand; everything else is small. The gate has let the user in before.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from flask import Response, request
from flask_openapi3 import APIBlueprint

from servicekit.errors import Forbidden, Invalid, NotFound
from servicekit.web import accepts, json_answer, origin_of, published, wants_gzip
from stream_service.api import Collaborators
from stream_service.api.access import visitor, xtream_refusal
from stream_service.api.playlists import guide_answer, user_playlist
from stream_service.domain.catchup import archive_days
from stream_service.domain.lineup import DEFAULT
from stream_service.domain.model import ChannelTarget
from stream_service.domain.users import User
from stream_service.outputs import xtream, xtream_library
from stream_service.outputs.chosen import Chosen

MAX_FORM_BYTES = 1 << 16
FORM = ("application/x-www-form-urlencoded", "multipart/form-data")
JSON = "application/json"
USUAL_SHORT = 4
MOST_LISTED = 2_000
AHEAD_S = 14 * 86_400
SHORT_AHEAD_S = 3 * 86_400
USUAL_PAST_S = 86_400
PIECE_BYTES = 256 * 1024
_LINEUP = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_NO_LISTINGS: Mapping[str, object] = {"epg_listings": []}


class Shows(Protocol):
    """What the views ask beside the published files; `wiring` builds it."""

    @property
    def by_xtream_id(self) -> Callable[[int], ChannelTarget | None]: ...
    @property
    def in_lineup(self) -> Callable[[str, str], bool]: ...
    @property
    def listings(self) -> "Listings": ...
    @property
    def catchup(self) -> Callable[[str, int], Mapping[str, str]]:
        """What a channel's provider keeps of the past: lineup, permanent number. Reads a file."""
        ...

    @property
    def library(self) -> "Library": ...
    @property
    def used(self) -> Callable[[str], int]: ...
    @property
    def now_s(self) -> Callable[[], int]: ...


class Listings(Protocol):
    """See `guide.listings`."""

    def of(
        self, lineup: str, channel_id: str, *, start_s: int, end_s: int, limit: int
    ) -> Sequence[Mapping[str, Any]]: ...


class Library(Protocol):
    """See `library.shelf`: what is told of one title, asked of its provider first where that was never done."""

    def published(self, name: str) -> Path:
        """A published list."""
        ...

    def movie(self, movie_id: int) -> dict[str, Any]:
        """`get_vod_info`; raises `NotFound`."""
        ...

    def series(self, series_id: int) -> dict[str, Any]:
        """`get_series_info`; raises `NotFound`."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: who, for which lineup, with what."""

    user: User
    password: str
    lineup: str
    origin: str

    def value(self, name: str) -> str:
        """A value of the query or of the form, '' without one."""
        return request.values.get(name, "")

    def number(self, name: str) -> int | None:
        """A value that is a whole number."""
        text = self.value(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


Action = Callable[[Asked], Response]


def blueprint(it: Collaborators, shows: Shows) -> APIBlueprint:
    """The pages of the Xtream API."""
    views = APIBlueprint("xtream", __name__)
    actions = _Actions(it, shows)

    def player() -> Response:
        asked = _asked()
        name = asked.value("action")
        action = actions.table().get(xtream.ACTIONS_BY_NUMBER.get(name, name))
        if not name or action is None:
            return json_answer({}) if name else actions.account(asked)
        if asked.user.status(shows.now_s()) != "Active":
            return xtream_refusal(403)
        return action(asked)

    @views.get("/player_api.php", summary="Xtream: account, lists, listings, by `action`")
    def player_api() -> Response:
        return player()

    @views.post("/player_api.php", summary="The same with a form")
    @accepts(*FORM, max_bytes=MAX_FORM_BYTES)
    def player_api_form() -> Response:
        return player()

    @views.get("/panel_api.php", summary="Xtream: account and all channels in one answer, for old clients")
    def panel_api() -> Response:
        return actions.panel(_asked())

    @views.post("/panel_api.php", summary="The same with a form")
    @accepts(*FORM, max_bytes=MAX_FORM_BYTES)
    def panel_api_form() -> Response:
        return actions.panel(_asked())

    @views.get("/get.php", summary="Xtream: the user's lineup as M3U")
    def get_playlist() -> Response:
        asked = _asked()
        hls = asked.value("output").lower() in ("m3u8", "hls")
        login = xtream.Login(asked.user.name, asked.password, hls=hls, plain=asked.value("type").lower() == "m3u")
        answer = user_playlist(it, asked.lineup, Chosen(login=login))
        answer.headers["Content-Disposition"] = "attachment; filename=tv_channels.m3u"
        return answer

    @views.get("/xmltv.php", summary="Xtream: the user's guide")
    def guide() -> Response:
        return guide_answer(it, _asked().lineup, packed=False)

    return views


def user_lineup(user: User, wanted: str) -> str:
    """The lineup a request is about: the one it names (`lineup=`), else the user's first; of all, the default one.

    Raises `Forbidden` for one that is not theirs, `NotFound` for what is no name.
    """
    if wanted:
        if not _LINEUP.fullmatch(wanted) or wanted.strip(".") == "":
            raise NotFound("there is no lineup of that name")
        if not user.may_watch(wanted):
            raise Forbidden(f"the lineup {wanted!r} is not one of yours")
        return wanted
    if user.lineups is None:
        return DEFAULT
    if not user.lineups:
        raise Forbidden("no lineup is yours")
    return user.lineups[0]


def _asked() -> Asked:
    who = visitor()
    if who.user is None:
        raise Invalid("this needs a user")  # the gate lets nobody in without one
    return Asked(who.user, who.password, user_lineup(who.user, request.values.get("lineup", "")), origin_of())


class _Actions:
    """What `action=` can be."""

    def __init__(self, it: Collaborators, shows: Shows) -> None:
        self._it = it
        self._shows = shows

    def table(self) -> Mapping[str, Action]:
        """By their names."""
        return {
            "get_live_categories": lambda asked: self._live(asked, xtream.LIVE_CATEGORIES),
            "get_live_streams": lambda asked: self._live(asked, xtream.LIVE, xtream.LIVE_BY_CATEGORY),
            "get_vod_categories": lambda asked: self._titles(asked, xtream_library.MOVIE_CATEGORIES),
            "get_vod_streams": lambda asked: self._titles(
                asked, xtream_library.MOVIES, xtream_library.MOVIES_BY_CATEGORY
            ),
            "get_series_categories": lambda asked: self._titles(asked, xtream_library.SERIES_CATEGORIES),
            "get_series": lambda asked: self._titles(asked, xtream_library.SERIES, xtream_library.SERIES_BY_CATEGORY),
            "get_vod_info": self._movie,
            "get_series_info": self._series,
            "get_short_epg": self._short_guide,
            "get_simple_data_table": self._whole_guide,
        }

    def account(self, asked: Asked) -> Response:
        """What a login answers."""
        return json_answer(self._account(asked))

    def _account(self, asked: Asked) -> dict[str, Any]:
        now_s, used = self._shows.now_s(), self._shows.used(asked.user.name)
        return {
            "user_info": xtream.user_info(asked.user, asked.password, now_s=now_s, connections=used),
            "server_info": xtream.server_info(asked.origin, now_s),
        }

    def panel(self, asked: Asked) -> Response:
        """Account, categories and channels; the long part is sent from its file a piece at a time."""
        said = self._account(asked)
        if said["user_info"]["status"] != "Active":
            return json_answer(said)
        rendered = self._it.playlists.of(self._it.files.of(asked.lineup, xtream.PANEL), asked.origin)
        if rendered is None:
            return json_answer({**said, "categories": xtream.NO_CATEGORIES, "available_channels": {}})
        head = xtream.panel_head(said)
        return Response(_file_behind(head, rendered.path, self._it.call), content_type=JSON, direct_passthrough=True)

    # ---- lists -------------------------------------------------------------------------------------------------------

    def _live(self, asked: Asked, whole: str, by_category: str = "") -> Response:
        files, lineup = self._it.files, asked.lineup
        return self._list(asked, files.of(lineup, whole), files.of(lineup, by_category) if by_category else None)

    def _titles(self, asked: Asked, whole: str, by_category: str = "") -> Response:
        if not asked.user.library:
            return json_answer([])
        place = self._shows.library.published
        return self._list(asked, place(whole), place(by_category) if by_category else None)

    def _list(self, asked: Asked, whole: Path, by_category: Path | None) -> Response:
        """A published list, or the part of one category (0 and nothing: all)."""
        packed = wants_gzip()
        category = asked.value("category_id")
        if by_category is not None and category not in ("", "0", "*"):
            part = self._it.playlists.part(by_category, asked.origin, category, packed=packed)
            response = json_answer([]) if part is None else Response(part, content_type=JSON)
            packed = packed and part is not None
        else:
            rendered = self._it.playlists.of(whole, asked.origin, packed=packed)
            if rendered is None:
                return json_answer([])
            response = published(rendered.path, mimetype=JSON, etag=rendered.etag)
            response.headers.pop("Content-Disposition", None)
        if packed:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        return response

    # ---- one title ---------------------------------------------------------------------------------------------------

    def _movie(self, asked: Asked) -> Response:
        ident = asked.number("vod_id")
        return self._title(asked, self._shows.library.movie, ident, {"info": [], "movie_data": []})

    def _series(self, asked: Asked) -> Response:
        ident = asked.number("series_id") or asked.number("series")
        return self._title(asked, self._shows.library.series, ident, {"seasons": [], "info": [], "episodes": {}})

    def _title(
        self, asked: Asked, told: Callable[[int], dict[str, Any]], ident: int | None, nothing: dict[str, Any]
    ) -> Response:
        if ident is None or not asked.user.library:
            return json_answer(nothing)
        try:
            return json_answer(told(ident))
        except NotFound:
            return json_answer(nothing)

    # ---- the guide ---------------------------------------------------------------------------------------------------

    def _short_guide(self, asked: Asked) -> Response:
        """From the programme that runs now on."""
        now_s = self._shows.now_s()
        limit = min(asked.number("limit") or USUAL_SHORT, MOST_LISTED)
        return self._listed(asked, now_s, now_s, now_s + SHORT_AHEAD_S, limit, None)

    def _whole_guide(self, asked: Asked) -> Response:
        """The days that the provider keeps, and all that comes."""
        now_s, ident = self._shows.now_s(), asked.number("stream_id")
        catchup = self._it.call(self._shows.catchup, asked.lineup, ident) if ident is not None else {}
        past_s = archive_days(catchup) * 86_400
        archive_from_s = now_s - past_s if past_s else now_s
        since_s = now_s - max(past_s, USUAL_PAST_S)
        return self._listed(asked, now_s, since_s, now_s + AHEAD_S, MOST_LISTED, archive_from_s)

    def _listed(
        self, asked: Asked, now_s: int, start_s: int, end_s: int, limit: int, archive_from_s: int | None
    ) -> Response:
        ident = asked.number("stream_id")
        channel = self._shows.by_xtream_id(ident) if ident is not None else None
        if ident is None or channel is None or not self._shows.in_lineup(asked.lineup, channel.id):
            return json_answer(_NO_LISTINGS)
        found = self._shows.listings.of(asked.lineup, channel.id, start_s=start_s, end_s=end_s, limit=limit)
        current = [one for one in found if int(one["stop"]) > start_s]  # the window began on a whole minute
        told = xtream.listings(
            current, stream_id=ident, channel_id=channel.id, now_s=now_s, archive_from_s=archive_from_s
        )
        return json_answer({"epg_listings": told})


def _file_behind(head: bytes, path: Path, call: Any) -> Iterator[bytes]:
    """Some bytes, then a file's, read off the loop."""
    yield head
    stream = call(path.open, "rb")
    try:
        while piece := call(stream.read, PIECE_BYTES):
            yield piece
    finally:
        stream.close()
