"""Streams get the permanent channels they belong to: the one they have, one that lost its stream, or a new one."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from stream_service.domain.channel_ids import new_channel_id
from stream_service.domain.identity import adopt
from stream_service.domain.model import LineupStream, StreamKeys


class ChannelStore(Protocol):
    """What linking asks of the store of channels; see `store.channels`."""

    def taken_ids(self) -> set[str]: ...
    def orphans(self) -> list[tuple[str, StreamKeys]]: ...
    def link(self, links: Iterable[tuple[LineupStream, str]]) -> dict[str, int]: ...
    def xtream_ids(self, channel_ids: Iterable[str]) -> Mapping[str, int]: ...


def linked(channels: ChannelStore, streams: list[LineupStream]) -> tuple[list[LineupStream], int]:
    """The streams, each with its channel, and how many had none before. What is decided is written at once."""
    new = {place: stream for place, stream in enumerate(streams) if stream.channel_id is None}
    if not new:
        return streams, 0
    adopted = _adopted(channels, new)
    given = _given(channels, new, adopted)
    xtream_ids = channels.link((new[place], channel_id) for place, channel_id in given.items())
    if adopted:
        xtream_ids |= channels.xtream_ids(adopted.values())
    for place, channel_id in given.items():
        streams[place] = _of_channel(new[place], channel_id, xtream_ids[channel_id])
    return streams, len(given)


def _adopted(channels: ChannelStore, new: Mapping[int, LineupStream]) -> dict[int, str]:
    """Channels that lost their streams and are found again."""
    orphans = channels.orphans()
    if not orphans:
        return {}
    return adopt(orphans, [StreamKeys(at, "", s.tvg_id, s.name, s.group, s.stream.url) for at, s in new.items()])


def _given(channels: ChannelStore, new: Mapping[int, LineupStream], adopted: Mapping[int, str]) -> dict[int, str]:
    taken = channels.taken_ids()
    given: dict[int, str] = {}
    for place, stream in new.items():
        given[place] = adopted.get(place) or new_channel_id(tvg_id=stream.tvg_id, name=stream.name, taken=taken)
        taken.add(given[place].casefold())
    return given


def _of_channel(s: LineupStream, channel_id: str, xtream_id: int) -> LineupStream:
    texts = (s.tvg_id, s.name, s.group, s.logo, s.wanted_number, s.attributes, s.tvg_name)
    return LineupStream(s.stream, channel_id, *texts, xtream_id)
