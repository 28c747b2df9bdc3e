"""From the store to published files: the whole guide under its own ids, and each lineup's guide under the lineup's.

    store > match (lineups) > timeline > xmltv.write > published files > index (atomic)

A channel is read in one short read transaction at a time, so no reader holds the log of the database for long.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from epg_service.domain import model
from epg_service.domain.entities import LineupChannel, Listing
from epg_service.domain.timeline import timeline
from epg_service.lineups.match import Matching
from epg_service.lineups.published import Publication, PublishedGuides
from epg_service.store.guide import Guide
from epg_service.store.lineups import Lineups
from epg_service.xmltv import write

GENERATOR = "Aerial"
WHOLE = "guide"
NO_TITLE = "No title"


def lineup_publication(name: str) -> str:
    """The name under which a lineup's guide is published."""
    return f"lineup-{name}"


@dataclass(frozen=True, slots=True)
class Span:
    """What is published: from and to, in epoch seconds."""

    from_s: int
    to_s: int


class Publishing:
    """Publishes guides; runs in the keeper alone."""

    def __init__(
        self,
        *,
        guide: Guide,
        lineups: Lineups,
        matching: Matching,
        published: PublishedGuides,
        span: Span,
    ) -> None:
        self._guide = guide
        self._lineups = lineups
        self._matching = matching
        self._published = published
        self._span = span

    def whole(self) -> Publication:
        """`/guide.xml`: every channel under its own id, one programme at a time."""
        return self._published.publish(WHOLE, self._whole(_shown))

    def exported(self) -> Iterator[bytes]:
        """The text of the whole guide with nothing left out, overlaps included, a part at a time."""
        return self._whole(list)

    def tidy(self) -> None:
        """Removes what an earlier publisher left half written."""
        self._published.tidy()

    def lineup(self, name: str) -> Publication:
        """A lineup's guide: its channels are matched to the guide anew, then written under the lineup's own ids."""
        channels = self._matching.matched(self._lineups.get(name))
        return self._published.publish(lineup_publication(name), self._lineup(channels))

    def everything(self) -> None:
        """All publications: after an import, and hourly."""
        self.whole()
        for lineup in self._lineups.all():
            self.lineup(lineup.name)

    def _whole(self, chosen: Callable[[Sequence[Listing]], list[Listing]]) -> Iterator[bytes]:
        yield write.head(GENERATOR)
        channels = list(self._guide.every_channel())
        for one in channels:
            yield write.full_channel(one.name, one.display_name, one.icon_url, self._guide.elements(one.id))
        for one in channels:
            yield from _programmes(chosen(self._listings(one.id)), one.name)
        yield write.tail()

    def _lineup(self, channels: Sequence[LineupChannel]) -> Iterator[bytes]:
        yield write.head(GENERATOR)
        for one in channels:
            names = [one.name, *([one.number] if one.number else [])]
            yield write.channel(one.id, [(None, name) for name in names], one.logo)
        for one in channels:
            if one.channel_id is not None:
                yield from _programmes(_shown(self._listings(one.channel_id, one.shift_minutes * 60)), one.id)
        yield write.tail()

    def _listings(self, channel_id: int, shift_s: int = 0) -> list[Listing]:
        return self._guide.listings(channel_id, self._span.from_s, self._span.to_s, with_raw=True, shift_s=shift_s)


def _shown(listings: Sequence[Listing]) -> list[Listing]:
    """One programme at a time, as a viewer needs it."""
    rows = timeline(
        model.Rows(
            [one.start_s for one in listings],
            [one.stop_s for one in listings],
            [0] * len(listings),
            [one.title for one in listings],
            [one.raw for one in listings],
        )
    )
    return [Listing(0, 0, 0, start, stop, title, raw) for start, stop, _, title, raw in rows]


def _programmes(listings: Iterable[Listing], channel_id: str) -> Iterator[bytes]:
    for one in listings:
        yield write.programme(
            one.raw, start=one.start_s, stop=one.stop_s, channel_id=channel_id, title_fallback=NO_TITLE
        )
