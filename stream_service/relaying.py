"""The relay's part of the composition: the hub and what is offered beside its plain streams. Only `wiring` calls it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from servicekit.clock import SystemClock
from servicekit.config import Loaded
from servicekit.fetch import Answer, Fetcher
from servicekit.metrics import Sample
from servicekit.notify import LoggedEvents
from servicekit.store.sqlite import Connections
from stream_service.config import StreamSection
from stream_service.domain.failover import first_byte_s
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.relay.ffmpeg import Feed, Programs
from stream_service.relay.hls import HlsSettings
from stream_service.relay.hls_out import HlsOutput, HlsOutSettings
from stream_service.relay.hub import Hub
from stream_service.relay.opening import Opener
from stream_service.relay.probe import Prober
from stream_service.relay.settings import RelaySettings
from stream_service.relay.slate import Slates
from stream_service.relay.transcode import Transcoding
from stream_service.relay.upstream import Upstream
from stream_service.store.profiles import Profiles

Find = Callable[[str], ChannelTarget | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """What the relay offers beside the plain stream; `api.media` says what the views ask of it."""

    profiles: Profiles
    through: Callable[[ChannelTarget, str], ChannelTarget]
    hls: HlsOutput
    prober: Prober


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the relay stands on."""

    connections: Connections
    fetcher: Fetcher
    import_dir: Path
    slates: Path
    find: Find


def relay(config: Loaded[StreamSection], around: Around) -> tuple[Hub, Media]:
    """The relay and what it offers. A profile's upstream is a channel of the same hub, so the two know each other."""
    own, clock = config.own, SystemClock()
    programs = Programs(ffmpeg=own.ffmpeg.ffmpeg, ffprobe=own.ffmpeg.ffprobe)
    profiles = Profiles(around.connections, clock=clock)
    profiles.load()

    def follow(target: ChannelTarget, *, address: str, user_agent: str = "") -> Feed:
        return hub.follow(target, address=address, user_agent=user_agent)

    transcoding = Transcoding(programs=programs, profile=profiles.find, target=around.find, follow=follow)
    hub = _hub(config, around, programs, transcoding.open)
    media = Media(
        profiles=profiles,
        through=transcoding.target,
        hls=HlsOutput(
            follow=follow,
            clock=clock,
            settings=HlsOutSettings(
                segment_s=own.hls.segment_s,
                listed=own.hls.listed,
                kept=own.hls.listed + 4,
                max_bytes=own.hls.max_bytes,
                idle_s=own.hls.idle_s,
                wait_s=own.relay.first_byte_s,
            ),
        ),
        prober=Prober(programs=programs, follow=follow, clock=clock),
    )
    return hub, media


def _hub(
    config: Loaded[StreamSection], around: Around, programs: Programs, own: Callable[[StreamAddress], Upstream]
) -> Hub:
    """The relay. Its streams have no size, so its way out has no limit of one. `own`: opens profiles."""
    settings = config.own.relay

    def open_address(address: StreamAddress) -> Answer:
        return around.fetcher.open(
            address.url,
            headers={"Accept-Encoding": "identity", **address.headers},  # a coded stream could not be read bare
            typed=False,
            private_ok=address.private_ok,
            timeout_s=address.timeouts.get("connect_s", settings.connect_s),
            read_timeout_s=first_byte_s(address, settings.first_byte_s),
        )

    opener = Opener(
        open_address=open_address,
        programs=programs,
        clock=SystemClock(),
        hls=HlsSettings(most_bandwidth_bps=round(config.own.hls.most_bandwidth_mbps * 1_000_000)),
        import_dir=around.import_dir,
        multicast_interface=config.own.multicast_interface,
        own=own,
    )
    return Hub(
        open_stream=opener.open,
        settings=RelaySettings(**settings.model_dump()),
        slates=Slates(around.slates),
        notifier=LoggedEvents(logging.getLogger("events")),
        clock=SystemClock(),
    )


def samples(hub: Hub) -> list[Sample]:
    """The relay's figures as they are now."""
    return [
        (
            "counter" if name.endswith("_total") else "gauge",
            f"aerial_relay_{name}",
            f"Of the relay: {name.replace('_', ' ')}.",
            {},
            value,
        )
        for name, value in hub.figures().items()
    ]
