"""Films and series: listed, searched, and sent to players."""

import mimetypes
from collections.abc import Callable, Sequence
from typing import Protocol

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import ConfigDict, Field

from servicekit.clock import iso
from servicekit.errors import Forbidden
from servicekit.web import PageQuery, Shape, cursor_number, json_answer, origin_of
from stream_service.api import params, shapes
from stream_service.api.access import visitor
from stream_service.api.files import Pump, send
from stream_service.domain.calls import Call
from stream_service.domain.model import StreamAddress
from stream_service.domain.titles import StoredEpisode, StoredTitle, TitleKind

_TYPES = {"mkv": "video/x-matroska", "ts": "video/mp2t", "m4v": "video/mp4", "avi": "video/x-msvideo"}


class Library(Protocol):
    """See `store.library`."""

    def page(
        self,
        kind: TitleKind,
        *,
        limit: int,
        after: int = 0,
        search: str = "",
        category: str | None = None,
        source_id: int | None = None,
    ) -> Sequence[StoredTitle]: ...
    def categories(self, kind: TitleKind) -> Sequence[tuple[str, int]]: ...
    def get(self, kind: TitleKind, title_id: int) -> StoredTitle: ...
    def movie_address(self, movie_id: int) -> StreamAddress: ...
    def episode_address(self, episode_id: int) -> StreamAddress: ...


class Shelf(Protocol):
    """What the views are handed; `wiring` builds it."""

    @property
    def titles(self) -> Library: ...
    @property
    def episodes(self) -> Callable[[int], Sequence[StoredEpisode]]:
        """A series' episodes, asked of its provider first where that was never done. Waits for the keeper."""
        ...

    @property
    def delivery(self) -> Callable[[str], str]:
        """How a lineup's viewers get what they watch."""
        ...


class _TitlesQuery(PageQuery):
    q: str = Field("", max_length=200, description="Only titles whose name contains this.")
    category: str | None = Field(None, max_length=400)
    source_id: int | None = Field(None, ge=1, lt=1 << 53)


class _TitlePath(Shape):
    title_id: params.Number


class _FilePath(_TitlePath):
    ending: str = Field(pattern=r"^[A-Za-z0-9]{1,5}$")


class _FileQuery(Shape):
    """Players add words of their own, which are passed over."""

    model_config = ConfigDict(extra="ignore")
    lineup: str = Field("", max_length=64, description="As this lineup delivers it, not as the visitor's first does.")


class _XtreamFilePath(_FilePath):
    name: str = Field(max_length=200)
    password: str = Field(max_length=200)


def blueprint(it: Shelf, *, pump: Pump, call: Call) -> APIBlueprint:
    """`/api/v1/library`, `/vod`, `/movie`, `/series`."""
    views = APIBlueprint("library", __name__)
    _add_lists(views, it, call)
    _add_files(views, it, pump, call)
    return views


def _add_lists(views: APIBlueprint, it: Shelf, call: Call) -> None:
    @views.get("/api/v1/library/movies", summary="Films of the sources, by id")
    def movies(query: _TitlesQuery) -> Response:
        return _page(it, call, "movie", query)

    @views.get("/api/v1/library/series", summary="Series of the sources, by id")
    def some_series(query: _TitlesQuery) -> Response:
        return _page(it, call, "series", query)

    @views.get("/api/v1/library/movies/categories", summary="Categories of films, and how many each has")
    def movie_categories() -> Response:
        return _categories(it, call, "movie")

    @views.get("/api/v1/library/series/categories", summary="Categories of series, and how many each has")
    def series_categories() -> Response:
        return _categories(it, call, "series")

    @views.get("/api/v1/library/movies/<int:title_id>", summary="One film")
    def one_movie(path: _TitlePath) -> Response:
        return json_answer(_title(call(it.titles.get, "movie", path.title_id)))

    @views.get("/api/v1/library/series/<int:title_id>", summary="One series and its episodes")
    def one_series(path: _TitlePath) -> Response:
        """Its episodes are asked of the provider when nobody has asked before."""
        found = call(it.titles.get, "series", path.title_id)
        return json_answer(_title(found) | {"episodes": [_episode(one) for one in it.episodes(path.title_id)]})


def _add_files(views: APIBlueprint, it: Shelf, pump: Pump, call: Call) -> None:
    def sent(address_of: Callable[[int], StreamAddress], path: _FilePath, query: _FileQuery) -> Response:
        who = visitor()
        if who.user is not None and not who.user.library:
            raise Forbidden("films and series are not yours")
        if query.lineup and not who.may_watch(query.lineup):
            raise Forbidden(f"the lineup {query.lineup!r} is not one of yours")
        lineups = who.user.lineups if who.user is not None else None
        delivery = call(it.delivery, query.lineup or (lineups[0] if lineups else "default"))
        mimetype = _TYPES.get(path.ending.lower()) or mimetypes.guess_type(f"x.{path.ending}")[0] or "video/mp4"
        return send(call(address_of, path.title_id), pump=pump, mimetype=mimetype, delivery=delivery)

    @views.get("/vod/movie-<int:title_id>.<ending>", summary="A film, with ranges")
    def movie(path: _FilePath, query: _FileQuery) -> Response:
        return sent(it.titles.movie_address, path, query)

    @views.get("/vod/episode-<int:title_id>.<ending>", summary="An episode, with ranges")
    def episode(path: _FilePath, query: _FileQuery) -> Response:
        return sent(it.titles.episode_address, path, query)

    @views.get("/movie/<name>/<password>/<int:title_id>.<ending>", summary="Xtream: a film, with ranges")
    def xtream_movie(path: _XtreamFilePath, query: _FileQuery) -> Response:
        return sent(it.titles.movie_address, path, query)

    @views.get("/series/<name>/<password>/<int:title_id>.<ending>", summary="Xtream: an episode, with ranges")
    def xtream_episode(path: _XtreamFilePath, query: _FileQuery) -> Response:
        return sent(it.titles.episode_address, path, query)


def _page(it: Shelf, call: Call, kind: TitleKind, query: _TitlesQuery) -> Response:
    limit = min(query.limit or shapes.MOST_ITEMS, shapes.MOST_ITEMS)
    found = call(
        it.titles.page,
        kind,
        limit=limit + 1,
        after=cursor_number(query.cursor),
        search=query.q,
        category=query.category,
        source_id=query.source_id,
    )
    items = [_title(one) for one in found[:limit]]
    return json_answer(shapes.page(items, str(found[limit - 1].id) if len(found) > limit else None))


def _categories(it: Shelf, call: Call, kind: TitleKind) -> Response:
    found = call(it.titles.categories, kind)
    return json_answer(shapes.page([{"name": name, "titles": count} for name, count in found], None))


def _title(one: StoredTitle) -> dict[str, object]:
    title = one.title
    said: dict[str, object] = {
        "id": one.id,
        "source_id": one.source_id,
        "name": title.name,
        "category": title.category or None,
        "picture": title.picture or None,
        "year": title.year or None,
        "rating": title.rating or None,
        "is_adult": title.is_adult,
        "added_at": None if title.added_at is None else iso(title.added_at),
        "first_seen": iso(one.first_seen),
        "details": dict(title.details),
    }
    if title.kind == "movie":
        said["stream_url"] = f"{origin_of()}/vod/movie-{one.id}.{title.container or 'mp4'}"
    return said


def _episode(one: StoredEpisode) -> dict[str, object]:
    each = one.episode
    return {
        "id": one.id,
        "season": each.season,
        "number": each.number,
        "name": each.name,
        "picture": each.picture or None,
        "details": dict(each.details),
        "stream_url": f"{origin_of()}/vod/episode-{one.id}.{each.container or 'mp4'}",
    }
