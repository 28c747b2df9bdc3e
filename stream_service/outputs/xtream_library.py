"""Films, series and episodes as an Xtream panel tells them. Pure.

Numbers and texts are of the types that apps expect; episodes always stand in an object by their season's number as
text, also when there is only one.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from stream_service.domain.titles import StoredEpisode, StoredTitle
from stream_service.outputs.xtream import NO_CATEGORY, category_ids

MOVIES, MOVIE_CATEGORIES = "xtream-movies.json", "xtream-movie-categories.json"
SERIES, SERIES_CATEGORIES = "xtream-series.json", "xtream-series-categories.json"
MOVIES_BY_CATEGORY, SERIES_BY_CATEGORY = "xtream-movies-by-category.json", "xtream-series-by-category.json"
USUAL_CONTAINER = "mp4"


def movie(place: int, one: StoredTitle, category: int) -> dict[str, Any]:
    """One of `get_vod_streams`."""
    title, told = one.title, one.title.details
    return {
        "num": place,
        "name": title.name,
        "title": title.name,
        "year": title.year,
        "stream_type": "movie",
        "stream_id": one.id,
        "stream_icon": title.picture,
        "rating": title.rating,
        "rating_5based": half_rating(title.rating),
        "added": str(title.added_at or one.first_seen),
        "plot": told.get("plot", ""),
        "cast": told.get("cast", ""),
        "director": told.get("director", ""),
        "genre": told.get("genre", ""),
        "release_date": told.get("released", ""),
        "youtube_trailer": told.get("trailer", ""),
        "episode_run_time": told.get("minutes", ""),
        "category_id": str(category),
        "category_ids": [category],
        "container_extension": title.container or USUAL_CONTAINER,
        "custom_sid": "",
        "direct_source": "",
        "is_adult": int(title.is_adult),
    }


def movie_info(one: StoredTitle, category: int) -> dict[str, Any]:
    """`get_vod_info`."""
    title, told = one.title, one.title.details
    minutes = _whole(told.get("minutes", ""))
    people = told.get("cast", "")
    info = {
        "tmdb_id": told.get("tmdb", ""),
        "name": title.name,
        "o_name": title.name,
        "cover_big": title.picture,
        "movie_image": title.picture,
        "releasedate": told.get("released", ""),
        "release_date": told.get("released", ""),
        "episode_run_time": told.get("minutes", ""),
        "youtube_trailer": told.get("trailer", ""),
        "director": told.get("director", ""),
        "actors": people,
        "cast": people,
        "description": told.get("plot", ""),
        "plot": told.get("plot", ""),
        "age": "",
        "country": told.get("country", ""),
        "genre": told.get("genre", ""),
        "backdrop_path": _backdrop(told),
        "duration_secs": minutes * 60,
        "duration": f"{minutes // 60:02d}:{minutes % 60:02d}:00",
        "video": [],
        "audio": [],
        "bitrate": 0,
        "rating": title.rating,
    }
    data = {
        "stream_id": one.id,
        "name": title.name,
        "title": title.name,
        "year": title.year,
        "added": str(title.added_at or one.first_seen),
        "category_id": str(category),
        "category_ids": [category],
        "container_extension": title.container or USUAL_CONTAINER,
        "custom_sid": "",
        "direct_source": "",
    }
    return {"info": info, "movie_data": data}


def series(place: int, one: StoredTitle, category: int) -> dict[str, Any]:
    """One of `get_series`."""
    return {"num": place, **_series(one, category)}


def series_info(one: StoredTitle, category: int, episodes: Iterable[StoredEpisode]) -> dict[str, Any]:
    """`get_series_info`."""
    seasons: dict[int, list[StoredEpisode]] = {}
    for each in episodes:
        seasons.setdefault(each.episode.season, []).append(each)
    return {
        "seasons": [_season(number, len(own), one) for number, own in sorted(seasons.items())],
        "info": _series(one, category),
        "episodes": {str(number): [_episode(each) for each in own] for number, own in sorted(seasons.items())},
    }


def _series(one: StoredTitle, category: int) -> dict[str, Any]:
    title, told = one.title, one.title.details
    return {
        "name": title.name,
        "title": title.name,
        "year": title.year,
        "series_id": one.id,
        "cover": title.picture,
        "plot": told.get("plot", ""),
        "cast": told.get("cast", ""),
        "director": told.get("director", ""),
        "genre": told.get("genre", ""),
        "release_date": told.get("released", ""),
        "releaseDate": told.get("released", ""),
        "last_modified": str(title.added_at or one.changed_at),
        "rating": title.rating,
        "rating_5based": half_rating(title.rating),
        "backdrop_path": _backdrop(told),
        "youtube_trailer": told.get("trailer", ""),
        "episode_run_time": told.get("minutes", ""),
        "category_id": str(category),
        "category_ids": [category],
    }


def _season(number: int, count: int, one: StoredTitle) -> dict[str, Any]:
    picture = one.title.picture
    return {
        "air_date": "",
        "episode_count": count,
        "id": number,
        "name": f"Season {number}",
        "overview": "",
        "season_number": number,
        "cover": picture,
        "cover_big": picture,
        "cover_tmdb": picture,
    }


def _episode(one: StoredEpisode) -> dict[str, Any]:
    each = one.episode
    told = each.details
    minutes = _whole(told.get("minutes", ""))
    return {
        "id": str(one.id),
        "episode_num": each.number,
        "title": each.name,
        "container_extension": each.container or USUAL_CONTAINER,
        "info": {
            "movie_image": each.picture,
            "plot": told.get("plot", ""),
            "releasedate": told.get("released", ""),
            "duration_secs": minutes * 60,
            "duration": f"{minutes // 60:02d}:{minutes % 60:02d}:00",
            "rating": told.get("rating", ""),
        },
        "custom_sid": "",
        "added": str(each.added_at or one.first_seen),
        "season": each.season,
        "direct_source": "",
        "subtitles": [],
    }


def category_of(one: StoredTitle, every: Iterable[str]) -> int:
    """The number of a title's category among the names of all."""
    return category_ids([*(name.strip() or NO_CATEGORY for name in every), _category(one)])[_category(one)]


def half_rating(rating: str) -> float:
    """A rating of ten as one of five; 0 when it is none."""
    try:
        found = float(rating)
    except ValueError:
        return 0
    return round(min(max(found, 0.0), 10.0) / 2, 1) if math.isfinite(found) else 0


def _category(one: StoredTitle) -> str:
    return one.title.category.strip() or NO_CATEGORY


def _backdrop(told: Mapping[str, str]) -> list[str]:
    return [told["backdrop"]] if told.get("backdrop") else []


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
