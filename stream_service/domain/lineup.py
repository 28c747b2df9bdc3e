"""A lineup as values: what a person sets of it, and what is published of it; from streams to its channels, pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from stream_service.domain.model import RELAY, LineupChannel, LineupStream
from stream_service.domain.numbering import number_key

M3U = "m3u"
HDHR = "hdhr"
XTREAM = "xtream"
OUTPUTS = (M3U, HDHR, XTREAM)
"""What a lineup can be published as; each can be switched off."""
DEFAULT_TUNERS = 4

TvgId = Literal["own", "source"]


@dataclass(frozen=True, slots=True)
class LineupView:
    """A built lineup as the outputs read it: its options, and its channels in the order they stand.

    `tvg_id`: whether outputs name a channel's guide by our own id or by the provider's. `tuner_count`: as it was set,
    or how many connections its sources allow. `outputs`: which of `OUTPUTS` are published. `catchup`: whether the
    provider's catch-up attributes are passed on.
    """

    name: str
    channels: Sequence[LineupChannel]
    title: str = ""
    tvg_id: TvgId = "own"
    tuner_count: int = DEFAULT_TUNERS
    outputs: frozenset[str] = frozenset(OUTPUTS)
    catchup: bool = True
    delivery: str = RELAY

    def guide_id(self, channel: LineupChannel) -> str:
        """The id under which clients look for the channel's programmes."""
        return (channel.tvg_id or channel.id) if self.tvg_id == "source" else channel.id


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
