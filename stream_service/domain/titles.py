"""What is watched when one likes, and not when it is broadcast: movies, series and their episodes, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

TitleKind = Literal["movie", "series"]


@dataclass(frozen=True, slots=True)
class Title:
    """A movie or a series as a source's list tells it, before anyone knows which one of ours it is.

    `provider_id` is unique among the source's titles of one kind. `url` is '' where the source builds the address of
    its own id and login. `details`, where told: plot, cast, director, genre, released, trailer, minutes, backdrop.
    """

    kind: TitleKind
    provider_id: str
    name: str
    category: str = ""
    picture: str = ""
    year: str = ""
    rating: str = ""
    added_at: int | None = None
    is_adult: bool = False
    container: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode as a source tells it. `series` is its series' `provider_id`."""

    series: str
    provider_id: str
    season: int
    number: int
    name: str
    container: str = ""
    url: str = ""
    picture: str = ""
    added_at: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredTitle:
    """A movie or series with its permanent `id`.

    `looked_at`: when its episodes (of a movie: its details) were asked for last, None before. `vanished_at`: when its
    source stopped listing it.
    """

    id: int
    source_id: int
    title: Title
    first_seen: int
    changed_at: int
    looked_at: int | None = None
    vanished_at: int | None = None


@dataclass(frozen=True, slots=True)
class StoredEpisode:
    """An episode with its permanent `id`."""

    id: int
    series_id: int
    source_id: int
    episode: Episode
    first_seen: int
    changed_at: int
    vanished_at: int | None = None


def digest_of(*said: object) -> int:
    """A number that two records share when they say the same."""
    text = "\0".join(map(str, said)).encode("utf-8", "replace")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)
