"""Which entries of a list are channels, and which belong into the library of movies and series. Pure.

M3U lists mix them. What an entry is, is told by its Xtream path (`/movie/`, `/series/`), by the words for players that
it carries (`#EXT-X-PLAYLIST-TYPE:VOD`, Kodi's `media="true"`), or by a file's extension where a stream's would stand.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.domain.titles import Episode, Title, digest_of

FILES = frozenset({"mp4", "mkv", "avi", "mov", "m4v", "wmv", "mpg", "mpeg", "webm", "flv", "divx", "iso", "vob"})
_EPISODE = re.compile(
    r"^(?P<show>.*?)[\s._\-:|(\[]*\b(?:S(?P<s>\d{1,3})[\s._-]*E(?P<e>\d{1,4})|(?P<s2>\d{1,2})x(?P<e2>\d{1,4}))\b[\s._\-:|)\]]*(?P<rest>.*)$",
    re.IGNORECASE,
)
_YEAR = re.compile(r"[(\[](?P<year>(?:19|20)\d\d)[)\]]\s*$")
_TRUE = frozenset({"1", "true", "yes"})


def kind_of(entry: Entry) -> str:
    """`live`, `movie` or `series`."""
    of_panel = entry.provider_id.partition(":")[0]
    if of_panel in ("live", "movie", "series"):
        return of_panel
    said = entry.attributes
    told = said.get("playlist-type", "").upper() == "VOD" or said.get("media", "").lower() in _TRUE
    if not told and extension_of(entry.url) not in FILES:
        return "live"
    return "series" if _EPISODE.match(entry.name) else "movie"


def extension_of(url: str) -> str:
    """What stands behind the last dot of the path, in lower case."""
    if not url.startswith(("http://", "https://")):
        return ""
    try:
        name = urlsplit(url).path.rpartition("/")[2]
    except ValueError:
        return ""
    stem, dot, extension = name.rpartition(".")
    return extension.lower() if dot and stem else ""


def shelved(
    entries: Iterable[Entry | Title | Episode], options: Mapping[str, bool], losses: Losses
) -> Iterator[Entry | Title | Episode]:
    """The same list with movies and series as titles, without the kinds that are switched off (these are counted)."""
    seen: set[str] = set()
    for entry in entries:
        if not isinstance(entry, Entry):
            yield entry
            continue
        kind = "live" if options.get("vod_as_channels") else kind_of(entry)
        switch = {"movie": "vod"}.get(kind, kind)
        if not options.get(switch, True):
            losses.note(f"{switch}_switched_off", entry.name)
        elif kind == "live":
            yield entry
        else:
            yield from _titles(entry, kind, seen)


def _titles(entry: Entry, kind: str, seen: set[str]) -> Iterator[Title | Episode]:
    if kind == "movie":
        yield _title("movie", entry.provider_id or f"movie:{_key(entry.name, entry.group, entry.url)}", entry)
        return
    found = _EPISODE.match(entry.name)
    show = (found["show"].strip() if found else "") or entry.group or entry.name
    series = f"series:{_key(show.casefold(), entry.group.casefold())}"
    if series not in seen:
        seen.add(series)
        yield _title("series", series, entry, name=show)
    season = int(found["s"] or found["s2"]) if found else 1
    number = int(found["e"] or found["e2"]) if found else 0
    yield Episode(
        series=series,
        provider_id=entry.provider_id or f"series:{_key(entry.name, entry.group, entry.url)}",
        season=season,
        number=number,
        name=(found["rest"].strip() if found else "") or entry.name,
        container=extension_of(entry.url),
        url=entry.url,
        picture=entry.logo,
        headers=entry.headers,
    )


def _title(kind: str, provider_id: str, entry: Entry, *, name: str = "") -> Title:
    shown = name or entry.name
    year = _YEAR.search(shown)
    return Title(
        kind="movie" if kind == "movie" else "series",
        provider_id=provider_id,
        name=shown,
        category=entry.group,
        picture=entry.logo,
        year=year["year"] if year else "",
        is_adult=entry.attributes.get("is-adult", "").lower() in _TRUE,
        container=extension_of(entry.url) if kind == "movie" else "",
        url=entry.url if kind == "movie" else "",
        headers=entry.headers if kind == "movie" else {},
    )


def _key(*said: str) -> str:
    return f"{digest_of(*said) & (1 << 64) - 1:016x}"
