"""Which guide channel a lineup channel shows."""

from collections.abc import Iterable
from dataclasses import dataclass

from epg_service.domain.entities import LineupChannel
from epg_service.domain.model import GuideChannel


@dataclass(frozen=True, slots=True)
class Candidate:
    """A guide channel and how well it fits, 0 to 100."""

    guide_channel_id: int
    score: float


@dataclass(frozen=True, slots=True)
class Match:
    """A lineup channel's guide channel: by which method, how sure, and who else was near."""

    guide_channel_id: int
    method: str
    score: float
    runners_up: tuple[Candidate, ...] = ()


def _key(xmltv_id: str) -> str:
    """Ids are one when they differ in case and blanks only."""
    return "".join(xmltv_id.split()).casefold()


def match(lineup_channels: Iterable[LineupChannel], guide_channels: Iterable[GuideChannel]) -> dict[str, Match]:
    """Matches by lineup channel id; channels without one are not in it.

    Method "id": the tvg-id is the guide channel's XMLTV id, exactly (score 100), or but for case and blanks (99; the
    first in the guide's order when several fit, the others being runners-up). Several lineup channels may share one.
    """
    exact: dict[str, int] = {}
    loose: dict[str, list[int]] = {}
    for channel in guide_channels:
        exact.setdefault(channel.name.strip(), channel.id)
        if key := _key(channel.name):
            loose.setdefault(key, []).append(channel.id)
    matches: dict[str, Match] = {}
    for wanted in lineup_channels:
        key = _key(wanted.tvg_id or "")
        if not key or key not in loose:
            continue
        found = exact.get((wanted.tvg_id or "").strip())
        best, score = (loose[key][0], 99.0) if found is None else (found, 100.0)
        others = tuple(Candidate(other, 99.0) for other in loose[key] if other != best)
        matches[wanted.id] = Match(best, "id", score, others)
    return matches
