"""Reading what an Xtream panel answers: lists of live streams, movies and series, and the account. Pure.

Every panel is another PHP program: numbers come as text and texts as numbers, lists as objects, nothing as null, "" or
"N/A". Each field is made what it should be or left out; an entry without an id is counted and left out, alone.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from servicekit.errors import BadAnswer
from stream_service.domain.account import Account, AccountStatus
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.domain.numbering import canonical_number
from stream_service.domain.text import clean
from stream_service.domain.titles import Episode, Title
from stream_service.sources.objects import objects

MAX_NAME_CHARS = 512
MAX_TEXT_CHARS = 4_096
MAX_ID = 1 << 53
_YES = frozenset({"1", "true", "yes", "y", "on"})
_NOTHING = frozenset({"", "null", "none", "n/a", "na", "unlimited", "never", "false"})
_STATUS: Mapping[str, AccountStatus] = {
    "active": "active", "expired": "expired", "banned": "banned", "disabled": "disabled", "trial": "active",
}  # fmt: skip
_DETAILS = {
    "plot": ("plot", "description"),
    "cast": ("cast", "actors"),
    "director": ("director",),
    "genre": ("genre",),
    "released": ("releasedate", "release_date", "releaseDate"),
    "trailer": ("youtube_trailer",),
    "minutes": ("episode_run_time",),
    "seconds": ("duration_secs",),
    "tmdb": ("tmdb_id", "tmdb"),
    "country": ("country",),
    "age": ("age",),
}


# ---- fields ----------------------------------------------------------------------------------------------------------


def text(value: object, most: int = MAX_NAME_CHARS) -> str:
    """One clean line; '' for whatever says nothing, and for lists and objects."""
    if isinstance(value, str):
        said = value.encode("utf-8", "replace").decode() if not value.isascii() else value
        return clean(said)[:most]
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int | float) and math.isfinite(value):
        return str(int(value)) if value == int(value) else str(value)
    return ""


def whole(value: object) -> int | None:
    """A whole number from 0 to 2^53, however it is written; None for all else."""
    said = text(value)
    if not said.isascii():
        return None
    try:
        found = float(said) if "." in said or "e" in said.lower() else int(said) if len(said) < 20 else -1
    except ValueError:
        return None
    return int(found) if 0 <= found < MAX_ID else None


def yes(value: object) -> bool:
    """Whether it says so in any of the known ways."""
    return value is True or text(value).lower() in _YES


def moment(value: object) -> int | None:
    """Epoch seconds, from a number (milliseconds forgiven) or a date; None for "never" and nonsense."""
    said = text(value)
    if said.lower() in _NOTHING:
        return None
    number = whole(said)
    if number is not None:
        number = number // 1000 if number > 100_000_000_000 else number
        return number or None
    try:
        found = datetime.fromisoformat(said)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def texts(value: object) -> str:
    """A text, or the texts of a list in one line."""
    if isinstance(value, list):
        return ", ".join(one for one in (text(part, MAX_TEXT_CHARS) for part in value) if one)[:MAX_TEXT_CHARS]
    return text(value, MAX_TEXT_CHARS)


def picture(value: object) -> str:
    """A picture's address as players may be given it: http or https, else ''."""
    said = text(value[0] if isinstance(value, list) and value else value, MAX_TEXT_CHARS)
    return said.replace(" ", "%20") if said.startswith(("http://", "https://")) else ""


# ---- the panel -------------------------------------------------------------------------------------------------------


def account_of(answer: object, *, base_url: str, now_s: int) -> Account:
    """What the panel's first answer says of the account; raises `BadAnswer` when it says nothing of one."""
    user = answer.get("user_info") if isinstance(answer, dict) else None
    user = user[0] if isinstance(user, list) and user else user
    if not isinstance(user, dict):
        raise BadAnswer("the panel's answer names no account: is this the address of an Xtream panel?")
    server = answer.get("server_info") if isinstance(answer, dict) else None
    server = server if isinstance(server, dict) else {}
    expires_at = moment(user.get("exp_date"))
    status: AccountStatus = _STATUS.get(text(user.get("status")).lower(), "unknown")
    if "auth" in user and not yes(user["auth"]):
        status = "refused"
    elif status in ("unknown", "active"):
        status = "expired" if expires_at is not None and expires_at <= now_s else "active"
    formats = user.get("allowed_output_formats")
    return Account(
        status=status,
        message=text(user.get("message")),
        expires_at=expires_at,
        max_connections=whole(user.get("max_connections")) or None,
        active=whole(user.get("active_cons")),
        trial=yes(user.get("is_trial")),
        created_at=moment(user.get("created_at")),
        formats=tuple(filter(None, map(text, formats))) if isinstance(formats, list) else (),
        timezone=text(server.get("timezone")),
        base_url=base_url,
        checked_at=now_s,
    )


@dataclass(frozen=True, slots=True)
class Login:
    """Where a panel is and who asks, and how its streams are packed."""

    base_url: str
    username: str
    password: str
    extension: str = "ts"

    def live_url(self, stream_id: int) -> str:
        """The address of a live stream."""
        who = f"{quote(self.username, safe='')}/{quote(self.password, safe='')}"
        return f"{self.base_url}/live/{who}/{stream_id}.{self.extension}"


Parts = Mapping[str, Callable[[], Iterable[bytes]]]
"""What was got of a panel, by its action (`get_live_streams`, ...): each a way to read it."""


@dataclass(slots=True)
class PanelListing:
    """A panel's lists, being read: live streams as entries, movies and series as titles. Iterate it once.

    `kept`: kinds of titles whose list cannot be used, so that what there was stays. `warnings` says why.
    """

    parts: Parts
    login: Login
    losses: Losses
    guide_urls: tuple[str, ...] = ()
    encoding: str = "utf-8"
    kept: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Entry | Title | Episode]:
        yield from self._each("live", self._live)
        for kind, make in (("vod", self._movie), ("series", self._series)):
            if kind == "vod" and "get_vod_streams" not in self.parts:
                continue
            if kind == "series" and "get_series" not in self.parts:
                continue
            try:
                yield from self._each(kind, make)
            except BadAnswer as error:
                self.kept.add("movie" if kind == "vod" else "series")
                self.warnings.append(f"{kind}: {error.detail}; what there was is kept")

    def _each(self, kind: str, make: Callable[[Mapping[str, Any], str], Any]) -> Iterator[Any]:
        action = "get_series" if kind == "series" else f"get_{kind}_streams"
        if action not in self.parts:
            return
        groups = self._categories(kind)
        seen: set[str] = set()
        for key, said in objects(self.parts[action]()):
            if key == "user_info":
                raise BadAnswer("the panel refuses the login")
            if not isinstance(said, dict):
                self.losses.lost("not_an_entry", text(said) or type(said).__name__)
                continue
            category = said.get("category_id")
            if category is None and isinstance(ids := said.get("category_ids"), list) and ids:
                category = ids[0]
            made = make(said, groups.get(text(category), ""))
            if made is None:
                continue
            if made.provider_id in seen:
                self.losses.note("listed_twice", made.name)
                continue
            seen.add(made.provider_id)
            yield made

    def _categories(self, kind: str) -> dict[str, str]:
        found: dict[str, str] = {}
        action = f"get_{kind}_categories"
        for _, said in objects(self.parts[action]()) if action in self.parts else ():
            if isinstance(said, dict) and (ident := text(said.get("category_id"))):
                found[ident] = text(said.get("category_name"))
        return found

    def _live(self, said: Mapping[str, Any], group: str) -> Entry | None:
        ident = whole(said.get("stream_id"))
        if ident is None:
            self.losses.lost("without_id", text(said.get("name")))
            return None
        return Entry(
            url=self.login.live_url(ident),
            name=self._name(said, ident),
            tvg_id=text(said.get("epg_channel_id")),
            logo=picture(said.get("stream_icon")),
            group=group,
            number=canonical_number(text(said.get("num"))),
            provider_id=f"live:{ident}",
            attributes=_attributes(said),
        )

    def _movie(self, said: Mapping[str, Any], group: str) -> Title | None:
        ident = whole(said.get("stream_id"))
        if ident is None:
            self.losses.lost("without_id", text(said.get("name")))
            return None
        return self._title("movie", f"movie:{ident}", ident, said, group, picture(said.get("stream_icon")))

    def _series(self, said: Mapping[str, Any], group: str) -> Title | None:
        ident = whole(said.get("series_id"))
        if ident is None:
            self.losses.lost("without_id", text(said.get("name")))
            return None
        return self._title("series", f"series:{ident}", ident, said, group, picture(said.get("cover")))

    def _title(
        self, kind: Any, provider_id: str, ident: int, said: Mapping[str, Any], category: str, cover: str
    ) -> Title:
        return Title(
            kind=kind,
            provider_id=provider_id,
            name=self._name(said, ident),
            category=category,
            picture=cover,
            year=text(said.get("year"), 10),
            rating=text(said.get("rating"), 10),
            added_at=moment(said.get("added") if kind == "movie" else said.get("last_modified")),
            is_adult=yes(said.get("is_adult")),
            container=container_of(said.get("container_extension")) if kind == "movie" else "",
            details=details_of(said),
        )

    def _name(self, said: Mapping[str, Any], ident: int) -> str:
        name = text(said.get("name")) or text(said.get("title"))
        if not name:
            self.losses.note("without_name", str(ident))
        return name or f"Channel {ident}"


def details_of(said: Mapping[str, Any]) -> dict[str, str]:
    """What is told of a movie or series beside its name, by our words for it."""
    found = {
        ours: value
        for ours, theirs in _DETAILS.items()
        if (value := next(filter(None, map(texts, map(said.get, theirs))), ""))
    }
    if backdrop := picture(said.get("backdrop_path")):
        found["backdrop"] = backdrop
    return {key: value for key, value in found.items() if value != "0"}


def container_of(value: object) -> str:
    """A file's extension, `mp4` where none is told that can be one."""
    said = text(value).lower().strip(".")
    return said if said.isascii() and said.isalnum() and len(said) <= 5 else "mp4"


def episodes_of(answer: object, series: str, losses: Losses) -> tuple[list[Episode], dict[str, str]]:
    """A series' episodes and details from `get_series_info`; raises `BadAnswer` when it is no such answer."""
    if isinstance(answer, list) and not answer:
        return [], {}
    if not isinstance(answer, dict):
        raise BadAnswer("the panel's answer is not about a series")
    if "user_info" in answer and "episodes" not in answer:
        raise BadAnswer("the panel refuses the login")
    info = answer.get("info")
    found: dict[str, Episode] = {}
    for season, said in _by_season(answer.get("episodes")):
        ident = whole(said.get("id"))
        if ident is None:
            losses.lost("without_id", text(said.get("title")))
            continue
        number = whole(said.get("episode_num"))
        own_season = whole(said.get("season"))
        inside = said.get("info")
        details = details_of(inside) if isinstance(inside, dict) else {}
        episode = Episode(
            series=series,
            provider_id=f"series:{ident}",
            season=own_season if own_season is not None else season,
            number=number if number is not None else len(found) + 1,
            name=text(said.get("title")) or f"Episode {number or len(found) + 1}",
            container=container_of(said.get("container_extension")),
            picture=picture(inside.get("movie_image")) if isinstance(inside, dict) else "",
            added_at=moment(said.get("added")),
            details=details,
        )
        found.setdefault(episode.provider_id, episode)
    return list(found.values()), details_of(info) if isinstance(info, dict) else {}


def _by_season(said: object) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(season, episode) of {"1": [...]}, {"1": {"0": {...}}}, [[...], [...]] and plain lists."""
    groups: Iterable[tuple[Any, Any]] = (
        said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    )
    for key, inside in groups:
        season = whole(key) or 0
        if isinstance(inside, dict) and "id" in inside:
            yield season, inside
            continue
        several = inside.values() if isinstance(inside, dict) else inside if isinstance(inside, list) else ()
        yield from ((season, one) for one in several if isinstance(one, dict))


def _attributes(said: Mapping[str, Any]) -> dict[str, str]:
    """What our lists say about such a stream by attributes of an M3U."""
    found: dict[str, str] = {}
    if yes(said.get("tv_archive")):
        found["catchup"] = "xc"
        found["catchup-days"] = str(whole(said.get("tv_archive_duration")) or 1)
    if "radio" in text(said.get("stream_type")).lower():
        found["radio"] = "true"
    if yes(said.get("is_adult")):
        found["is-adult"] = "1"
    return found
