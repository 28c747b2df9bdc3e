"""Building lineups.

    load > link (streams to permanent channels) > merge (none yet) > number > render > publish > show

What clients get changes at the publishing, file by file, each by an atomic rename; nobody sees half a lineup.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import starmap
from typing import Protocol

from stream_service.domain.channel_ids import new_channel_id
from stream_service.domain.identity import adopt
from stream_service.domain.lineup import LineupView, arrange
from stream_service.domain.model import LineupChannel, LineupStream, StreamKeys
from stream_service.domain.numbering import Wish, give_numbers
from stream_service.lineups.publish import PublishedFiles, publish_catalogue, publish_lineup

_log = logging.getLogger("lineups")


class ChannelStore(Protocol):
    """What a build asks of the store of channels; see `store.channels`."""

    def streams(self) -> Iterator[LineupStream]: ...
    def xtream_ids(self) -> dict[str, int]: ...
    def taken_ids(self) -> set[str]: ...
    def orphans(self) -> list[tuple[str, StreamKeys]]: ...
    def link(self, links: Iterable[tuple[int, str]]) -> None: ...
    def show(self, channels: Sequence[LineupChannel]) -> None: ...


class Named(Protocol):
    """A lineup, by its name."""

    @property
    def name(self) -> str: ...
    @property
    def delivery(self) -> str: ...


class LineupStore(Protocol):
    """What a build asks of the store of lineups; see `store.lineups`."""

    def all(self) -> Sequence[Named]: ...
    def numbers(self, name: str) -> Mapping[str, str]: ...
    def add_numbers(self, name: str, numbers: Mapping[str, str]) -> None: ...
    def show(self, name: str, channels: Sequence[LineupChannel], digest: str) -> None: ...


class Builder:
    """Builds every lineup there is; only one build runs at a time (the keeper sees to it)."""

    def __init__(self, *, channels: ChannelStore, lineups: LineupStore, files: PublishedFiles) -> None:
        self._channels = channels
        self._lineups = lineups
        self._files = files

    def build(self) -> dict[str, str]:
        """Build and publish; returns the digest of each lineup's channels by its name."""
        streams = self._linked(list(self._channels.streams()))
        ids = self._channels.xtream_ids()
        views = [self._view(lineup, streams, ids) for lineup in self._lineups.all()]
        publish_catalogue(self._files, views)
        digests: dict[str, str] = {}
        built: dict[str, LineupChannel] = {}
        for view in views:
            digests[view.name] = publish_lineup(self._files, view)
            self._lineups.show(view.name, view.channels, digests[view.name])
            built = {**{channel.id: channel for channel in view.channels}, **built}
            _log.info("lineup %s: %d channels", view.name, len(view.channels))
        self._channels.show(list(built.values()))
        return digests

    def _view(self, lineup: Named, streams: list[LineupStream], ids: Mapping[str, int]) -> LineupView:
        channels = [
            replace(channel, delivery=lineup.delivery, xtream_id=ids[channel.id])
            for channel in self._numbered(lineup.name, streams)
        ]
        return LineupView(name=lineup.name, channels=channels, delivery=lineup.delivery)

    def _linked(self, streams: list[LineupStream]) -> list[LineupStream]:
        """The streams, each with its permanent channel: the one it has, one that lost its stream, or a new one."""
        new = {place: stream for place, stream in enumerate(streams) if stream.channel_id is None}
        if not new:
            return streams
        keys = [StreamKeys(place, "", s.tvg_id, s.name, s.group, s.stream.url) for place, s in new.items()]
        adopted = adopt(self._channels.orphans(), keys)
        taken = self._channels.taken_ids()
        given: dict[int, str] = {}
        for place, stream in new.items():
            given[place] = adopted.get(place) or new_channel_id(tvg_id=stream.tvg_id, name=stream.name, taken=taken)
            taken.add(given[place].casefold())
        self._channels.link((new[place].stream.id, channel_id) for place, channel_id in given.items())
        return [
            replace(stream, channel_id=given[place]) if place in given else stream
            for place, stream in enumerate(streams)
        ]

    def _numbered(self, lineup: str, streams: Sequence[LineupStream]) -> list[LineupChannel]:
        numbers = dict(self._lineups.numbers(lineup))
        wanted: dict[str, str] = {}
        for stream in streams:
            if stream.channel_id is not None and stream.channel_id not in numbers:
                wanted.setdefault(stream.channel_id, stream.wanted_number)
        if wanted:
            given = give_numbers(list(starmap(Wish, wanted.items())), numbers.values()).numbers
            self._lineups.add_numbers(lineup, given)
            numbers |= given
        return arrange(streams, numbers)
