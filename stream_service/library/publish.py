"""The published lists of films and series, one category after the other; written in the keeper, in flat memory.

DATA/published/stream/library/
    xtream-movies.json              all films; xtream-series.json: all series
    xtream-movies-by-category.json  where in that file each category's part stands
    xtream-movie-categories.json    the categories
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson

from servicekit.files import atomic_file, atomic_write
from stream_service.domain.titles import StoredTitle, TitleKind
from stream_service.outputs import xtream_library as lists
from stream_service.outputs.xtream import NO_CATEGORY, categories, category_ids, published

PAGE = 500
_log = logging.getLogger("library")

Item = Callable[[int, StoredTitle, int], dict[str, Any]]


class Titles(Protocol):
    """What is asked of the store; see `store.library`."""

    def page(
        self, kind: TitleKind, *, limit: int, after: int = 0, search: str = "", category: str | None = None
    ) -> Sequence[StoredTitle]: ...
    def categories(self, kind: TitleKind) -> Sequence[tuple[str, int]]: ...
    def mark(self, kind: TitleKind) -> str:
        """Another text after every change of what is listed."""
        ...


class LibraryLists:
    """Writes the lists when they would be others."""

    def __init__(self, titles: Titles, root: Path) -> None:
        self._titles = titles
        self._root = root
        self._marks: dict[str, str] = {}

    def publish(self) -> bool:
        """True when something was written."""
        movies = self._publish("movie", lists.movie, lists.MOVIES, lists.MOVIES_BY_CATEGORY, lists.MOVIE_CATEGORIES)
        series = self._publish("series", lists.series, lists.SERIES, lists.SERIES_BY_CATEGORY, lists.SERIES_CATEGORIES)
        return movies or series

    def _publish(self, kind: TitleKind, item: Item, whole: str, parts: str, names: str) -> bool:
        mark = self._titles.mark(kind)
        if self._marks.get(kind) == mark:
            return False
        stored = [name for name, _ in self._titles.categories(kind)]
        shown = [name.strip() or NO_CATEGORY for name in stored]
        ids = category_ids(shown)
        index: dict[str, Any] = {"file": whole}
        count = 0
        with atomic_file(self._root / whole) as stream:
            stream.write(b"[")
            for name, told in zip(stored, shown, strict=True):
                start = stream.tell()
                for titles in self._pages(kind, name):
                    items = [item(count + place, one, ids[told]) for place, one in enumerate(titles, 1)]
                    stream.write((b"," if stream.tell() > 1 else b"") + published(items)[1:-1])
                    count += len(titles)
                begun = start + 1 if start > 1 else start  # behind the comma
                index[str(ids[told])] = (begun, max(begun, stream.tell()))
            stream.write(b"]")
        atomic_write(self._root / parts, orjson.dumps(index) + b"\n")
        atomic_write(self._root / names, published(categories(shown)))
        self._marks[kind] = mark
        _log.info("library: %d titles of the kind %s", count, kind)
        return True

    def _pages(self, kind: TitleKind, category: str) -> Iterator[Sequence[StoredTitle]]:
        last = 0
        while page := self._titles.page(kind, limit=PAGE, after=last, category=category):
            yield page
            last = page[-1].id
