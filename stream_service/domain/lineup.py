"""From streams to the channels of a lineup, pure: which streams a channel has, and in what order channels stand."""

from collections.abc import Iterable, Mapping

from stream_service.domain.model import LineupChannel, LineupStream
from stream_service.domain.numbering import number_key


def arrange(streams: Iterable[LineupStream], numbers: Mapping[str, str]) -> list[LineupChannel]:
    """The channels in the order of their numbers; each with its streams in the order they came.

    A channel's texts are those of its first stream. Every stream must belong to a channel, every channel have a number.
    """
    by_channel: dict[str, list[LineupStream]] = {}
    for stream in streams:
        if stream.channel_id is not None:
            by_channel.setdefault(stream.channel_id, []).append(stream)
    channels = [_channel(channel_id, numbers[channel_id], own) for channel_id, own in by_channel.items()]
    return sorted(channels, key=lambda channel: (number_key(channel.number), channel.id))


def _channel(channel_id: str, number: str, streams: list[LineupStream]) -> LineupChannel:
    first = streams[0]
    return LineupChannel(
        id=channel_id,
        number=number,
        name=first.name,
        tvg_id=first.tvg_id,
        group=first.group,
        logo=first.logo,
        attributes=first.attributes,
        streams=tuple(stream.stream for stream in streams),
    )
