"""From a received lineup to its stored matches: reads both sides, decides (domain.matching), writes what changed."""

import logging

from epg_service.domain import model
from epg_service.domain.entities import Lineup, LineupChannel
from epg_service.domain.matching import match
from epg_service.store.guide import Guide
from epg_service.store.lineups import Lineups

_log = logging.getLogger("match")


class Matching:
    """Matches lineups to the guide; runs in the keeper alone."""

    def __init__(self, *, guide: Guide, lineups: Lineups) -> None:
        self._guide = guide
        self._lineups = lineups

    def matched(self, lineup: Lineup) -> list[LineupChannel]:
        """Matches a lineup to the guide and stores the result; returns its channels with their matches."""
        guide = [model.GuideChannel(one.id, one.name, one.display_name) for one in self._guide.every_channel()]
        channels = self._lineups.channels(lineup.name)
        found = match(channels, guide, {})
        rows: list[tuple[str, int | None, str | None, float | None]] = []
        for one in channels:
            hit = found.get(one.id)
            rows.append((one.id, hit.guide_channel_id, hit.method, hit.score) if hit else (one.id, None, None, None))
        changed = [(a.channel_id, a.method) for a in channels] != [(row[1], row[2]) for row in rows]
        if changed or lineup.matched_at is None:
            self._lineups.matched(lineup.name, lineup.digest, rows)
            _log.info("lineup %s: %d of %d channels have a guide", lineup.name, len(found), len(channels))
        return self._lineups.channels(lineup.name)
