"""Episode numbers in the two systems that clients read: `onscreen` (S01E05) and `xmltv_ns` ("0.4.0/1", from zero)."""

import re

_SEASON_EPISODE = re.compile(
    r"\b(?:S(?:eason|taffel)?\s*0*(\d{1,4})\s*[\s.,:/-]*\s*E(?:p(?:isode)?|pisode)?\.?\s*0*(\d{1,5})|0*(\d{1,3})\s*x\s*0*(\d{1,4}))\b",
    re.IGNORECASE | re.ASCII,
)
_EPISODE = re.compile(r"E(?:p(?:isode)?|pisode)?\.?\s*0*(\d{1,5})", re.IGNORECASE | re.ASCII)
_NS = re.compile(r"\s*(\d*)\s*(?:/\s*\d+)?\s*\.\s*(\d*)\s*(?:/\s*\d+)?\s*\.\s*(?:\d*\s*(?:/\s*\d+)?)\s*", re.ASCII)
MAX_NUMBER = 100_000


def read_onscreen(text: str) -> tuple[int | None, int] | None:
    """Season (None: not said) and episode, both from one as people count; None where the text says no such thing."""
    if found := _SEASON_EPISODE.search(text):
        season, episode = found[1] or found[3], found[2] or found[4]
        return int(season or 0), int(episode or 0)
    if found := _EPISODE.fullmatch(text.strip()):
        return None, int(found[1])
    return None


def read_ns(text: str) -> tuple[int | None, int] | None:
    """The same of an `xmltv_ns` text; parts and totals are not looked at."""
    found = _NS.fullmatch(text)
    if found is None or not found[2] or len(found[1]) > 4 or len(found[2]) > 5:
        return None
    return (int(found[1]) + 1 if found[1] else None), int(found[2]) + 1


def as_onscreen(season: int | None, episode: int) -> str:
    """`S01E05`, or `E05` where no season is said."""
    return f"E{episode:02}" if season is None else f"S{season:02}E{episode:02}"


def as_ns(season: int | None, episode: int) -> str | None:
    """`0.4.0/1`; None for specials (season or episode 0), which that system cannot say."""
    if season == 0 or episode == 0:
        return None
    return f"{'' if season is None else season - 1}.{episode - 1}.0/1"
