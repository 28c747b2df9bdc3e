"""From a received lineup to its stored matches: reads both sides, decides (domain.matching), writes what changed."""

import dataclasses
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import xxhash

from epg_service.domain.entities import Lineup, LineupChannel
from epg_service.domain.model import GuideChannel
from epg_service.xmltv.elements import tree

if TYPE_CHECKING:
    from epg_service.domain.matching import Match

_log = logging.getLogger("match")


class GuideChannels(Protocol):
    """The guide's channels with all that their providers call them."""

    def for_matching(self) -> list[GuideChannel]: ...
    def elements_of_all(self) -> Iterator[tuple[int, bytes]]: ...


class LineupBook(Protocol):
    """The lineups that were received, what people pinned, and what was matched."""

    def channels(self, name: str) -> list[LineupChannel]: ...
    def pins(self, name: str) -> dict[str, int | None]: ...
    def matched(self, name: str, digest: str, basis: str, matches: "Mapping[str, Match]") -> bool: ...


class Matching:
    """Matches lineups to the guide; runs in the keeper alone."""

    def __init__(self, *, channels: GuideChannels, lineups: LineupBook) -> None:
        self._channels = channels
        self._lineups = lineups

    def matched(self, lineup: Lineup) -> list[LineupChannel]:
        """Matches a lineup to the guide, stores what changed and returns its channels with their matches.

        When all that decides is as it was (the lineup, the guide's ids and names, pins, rules), so are the matches.
        """
        # Only where a lineup came: tables of names and likeness are heavy.
        from epg_service.domain.matching import RULES, match

        guide = self._guide()
        pins = self._lineups.pins(lineup.name)
        basis = _basis(RULES, lineup.digest, guide, pins)
        if basis != lineup.basis or lineup.matched_at is None:
            found = match(self._lineups.channels(lineup.name), guide, pins)
            if self._lineups.matched(lineup.name, lineup.digest, basis, found):
                matched = sum(one.guide_channel_id is not None for one in found.values())
                _log.info("lineup %s: %d of %d channels have a guide", lineup.name, matched, len(found))
        return self._lineups.channels(lineup.name)

    def _guide(self) -> list[GuideChannel]:
        names: dict[int, list[str]] = defaultdict(list)
        for channel_id, element in self._channels.elements_of_all():
            names[channel_id] += _display_names(element)
        return [
            dataclasses.replace(one, names=tuple(dict.fromkeys((*one.names, *names[one.id]))))
            for one in self._channels.for_matching()
        ]


def _display_names(element: bytes) -> Iterable[str]:
    """Every display name of a <channel> element; a bare number is a channel number, no name."""
    found = (node.text() for node in tree(element).nodes() if node.name == "display-name")
    return [name for name in found if name and not name.isdigit()]


def _basis(rules: int, digest: str, guide: Sequence[GuideChannel], pins: Mapping[str, int | None]) -> str:
    channels = [(one.id, one.name, one.display_name, one.ids, one.names, one.providers) for one in guide]
    return xxhash.xxh3_128_hexdigest(json.dumps([rules, digest, sorted(pins.items()), channels]).encode())
