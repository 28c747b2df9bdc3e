"""What is told of one film or series: from the database, and asked of its provider where that was never done."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from servicekit.clock import Clock
from servicekit.errors import AerialError, NotFound
from stream_service.domain.calls import Call
from stream_service.domain.titles import Episode, StoredEpisode, StoredTitle, TitleKind
from stream_service.outputs.xtream_library import category_of, movie_info, series_info

SERIES_FRESH_S = 86_400
MOVIE_FRESH_S = 30 * 86_400
MOVIE_ERRAND, SERIES_ERRAND = "library_movie", "library_series"
_log = logging.getLogger("library")


class Titles(Protocol):
    """What is asked of the store; see `store.library`."""

    def get(self, kind: TitleKind, title_id: int) -> StoredTitle: ...
    def episodes(self, series_id: int) -> Sequence[StoredEpisode]: ...
    def categories(self, kind: TitleKind) -> Sequence[tuple[str, int]]: ...


class Shelf:
    """For the web process. `ask`: has the keeper ask the provider; `asks`: whether a source's provider can be asked."""

    def __init__(
        self,
        titles: Titles,
        root: Path,
        *,
        call: Call,
        ask: Callable[[str, Mapping[str, object]], Mapping[str, Any]],
        asks: Callable[[int], bool],
        clock: Clock,
    ) -> None:
        self._titles = titles
        self._root = root
        self._call = call
        self._ask = ask
        self._asks = asks
        self._clock = clock

    def published(self, name: str) -> Path:
        """A published list."""
        return self._root / name

    def movie(self, movie_id: int) -> dict[str, Any]:
        """`get_vod_info`; raises `NotFound`."""
        one = self._looked_at("movie", movie_id, MOVIE_ERRAND, MOVIE_FRESH_S)
        return movie_info(one, self._category(one))

    def series(self, series_id: int) -> dict[str, Any]:
        """`get_series_info`; raises `NotFound`."""
        one = self._looked_at("series", series_id, SERIES_ERRAND, SERIES_FRESH_S)
        return series_info(one, self._category(one), self._call(self._titles.episodes, series_id))

    def episodes(self, series_id: int) -> Sequence[StoredEpisode]:
        """A series' episodes; raises `NotFound`."""
        self._looked_at("series", series_id, SERIES_ERRAND, SERIES_FRESH_S)
        return self._call(self._titles.episodes, series_id)

    def _looked_at(self, kind: TitleKind, title_id: int, errand: str, fresh_s: int) -> StoredTitle:
        one = self._call(self._titles.get, kind, title_id)
        fresh = one.looked_at is not None and one.looked_at + fresh_s > self._clock.now_s()
        if fresh or not self._call(self._asks, one.source_id):
            return one
        try:
            self._ask(errand, {"id": title_id})
        except AerialError as error:  # what is known is told all the same
            _log.warning("the provider tells nothing more of %s %d: %s", kind, title_id, error.detail)
            return one
        return self._call(self._titles.get, kind, title_id)

    def _category(self, one: StoredTitle) -> int:
        names = self._call(self._titles.categories, one.title.kind)
        return category_of(one, [name for name, _ in names])


class Provider(Protocol):
    """Asks a panel; see `sources.panel`."""

    def series(self, source: Any, provider_id: str) -> tuple[list[Episode], dict[str, str]]: ...
    def movie(self, source: Any, provider_id: str) -> dict[str, str]: ...


class Intake(Protocol):
    """Keeps what was told; see `store.library_intake`."""

    def keep_episodes(self, series_id: int, episodes: Sequence[Episode]) -> None: ...
    def keep_info(self, kind: str, title_id: int, info: Mapping[str, str]) -> None: ...


class Asking:
    """The keeper's side: asks providers for one title at a time. `source_of` raises `NotFound`."""

    def __init__(
        self, *, titles: Titles, intake: Intake, provider: Provider, source_of: Callable[[int], object]
    ) -> None:
        self._titles = titles
        self._intake = intake
        self._provider = provider
        self._source_of = source_of

    def handlers(self) -> dict[str, Callable[[Mapping[str, Any]], Mapping[str, object]]]:
        """What the keeper can be asked, by name."""
        return {MOVIE_ERRAND: self.movie, SERIES_ERRAND: self.series}

    def movie(self, params: Mapping[str, Any]) -> Mapping[str, object]:
        """A film's details. Raises what the provider's answer comes to, `NotFound`."""
        one = self._title("movie", params)
        self._intake.keep_info("movie", one.id, self._provider.movie(self._source_of(one.source_id), _own(one)))
        return {"id": one.id}

    def series(self, params: Mapping[str, Any]) -> Mapping[str, object]:
        """A series' episodes and details."""
        one = self._title("series", params)
        episodes, info = self._provider.series(self._source_of(one.source_id), _own(one))
        self._intake.keep_episodes(one.id, episodes)
        self._intake.keep_info("series", one.id, info)
        return {"id": one.id, "episodes": len(episodes)}

    def _title(self, kind: TitleKind, params: Mapping[str, Any]) -> StoredTitle:
        ident = params.get("id")
        if not isinstance(ident, int):
            raise NotFound(f"there is no {kind} {ident!r}")
        return self._titles.get(kind, ident)


def _own(one: StoredTitle) -> str:
    return one.title.provider_id
