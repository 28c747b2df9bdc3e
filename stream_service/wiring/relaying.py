"""The relay's part of the composition: the hub and what is offered beside its plain streams. Only `wiring` calls it."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from servicekit.clock import SystemClock
from servicekit.config import Loaded
from servicekit.fetch import Answer, Fetcher
from servicekit.metrics import Sample
from servicekit.notify import LoggedEvents
from servicekit.settings import Settings
from servicekit.sse import Audience, Event
from servicekit.store.sqlite import Connections
from stream_service.config import StreamSection
from stream_service.domain.failover import first_byte_s
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.relay.ffmpeg import Programs
from stream_service.relay.following import Following
from stream_service.relay.hls import HlsSettings
from stream_service.relay.hls_out import HlsOutput, HlsOutSettings
from stream_service.relay.hub import Hub
from stream_service.relay.journal import Journal
from stream_service.relay.limits import LimitSettings
from stream_service.relay.opening import Opener
from stream_service.relay.probe import Prober
from stream_service.relay.retention import KeptLog
from stream_service.relay.settings import RelaySettings
from stream_service.relay.slate import Slates
from stream_service.relay.transcode import Transcoding
from stream_service.relay.upstream import Upstream
from stream_service.store.profiles import Profiles
from stream_service.store.sessions_log import SessionsLog

LOG_DAYS = "relay_log_days"
Find = Callable[[str], ChannelTarget | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What happens in the relay, for people; `api.watching` says what the views ask of it."""

    log: SessionsLog
    events: Audience
    sessions: Callable[[], list[dict[str, object]]]
    clock: SystemClock

    def now(self) -> Iterator[Event]:
        """What runs, as the first thing that a listener hears."""
        yield Event("sessions", {"items": self.sessions()})

    def now_s(self) -> int:
        """The present moment."""
        return self.clock.now_s()


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """What the relay offers beside the plain stream; `api.media` says what the views ask of it."""

    profiles: Profiles
    through: Callable[[ChannelTarget, str], ChannelTarget]
    hls: HlsOutput
    prober: Prober
    watching: Watching
    bandwidth: LimitSettings

    def start(self) -> None:
        """Follow the settings."""
        self.bandwidth.look()
        self.bandwidth.follow()


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the relay stands on."""

    connections: Connections
    fetcher: Fetcher
    import_dir: Path
    slates: Path
    find: Find
    settings: Settings


def relay(config: Loaded[StreamSection], around: Around) -> tuple[Hub, Media]:
    """The relay and what it offers. A profile's upstream is a channel of the same hub, so the two know each other."""
    own, clock = config.own, SystemClock()
    programs = Programs(ffmpeg=own.ffmpeg.ffmpeg, ffprobe=own.ffmpeg.ffprobe)
    profiles = Profiles(around.connections, clock=clock)
    profiles.load()
    events, log = Audience(), SessionsLog(around.connections)
    journal = _journal(around.settings, events, log)

    def follow(target: ChannelTarget, *, address: str, user_agent: str = "") -> Following:
        return hub.follow(target, address=address, user_agent=user_agent, inside=True)

    transcoding = Transcoding(programs=programs, profile=profiles.find, target=around.find, follow=follow)
    hub = _hub(config, around, programs, transcoding.open, journal)
    hls = HlsOutput(
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
        journal=journal,
        paced=hub.throttle.paced,
    )
    hub.hls_audience = hls.audience
    media = Media(
        profiles=profiles,
        through=transcoding.target,
        hls=hls,
        prober=Prober(programs=programs, follow=follow, clock=clock),
        watching=Watching(log=log, events=events, sessions=hub.sessions, clock=clock),
        bandwidth=LimitSettings(values=around.settings, relay=hub.throttle),
    )
    return hub, media


def _journal(settings: Settings, events: Audience, log: SessionsLog) -> Journal:
    """Tells listeners what happens, and writes viewings down for as long as the settings say."""
    kept = KeptLog(log, days=lambda: int(settings.get(LOG_DAYS)), clock=SystemClock())

    def tell(kind: str, said: Mapping[str, object]) -> None:
        if len(events):
            events.publish(Event(kind, dict(said)))

    return Journal(write=kept.write, tell=tell)


def _hub(
    config: Loaded[StreamSection],
    around: Around,
    programs: Programs,
    own: Callable[[StreamAddress], Upstream],
    journal: Journal,
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
        journal=journal,
        clock=SystemClock(),
    )


_OF_CHANNEL = {
    "bitrate_mbps": "Mbit/s that come.",
    "buffer_s": "Seconds that are held.",
    "start_points": "Places that are held where a decoder can start.",
    "reconnects": "Connections that were lost after packets had come.",
    "switches": "Changes to another stream.",
}


def samples(hub: Hub) -> list[Sample]:
    """The relay's figures as they are now: its own, and those of each channel that runs, by its id."""
    found: list[Sample] = []
    for name, value in hub.figures().items():
        kind = "counter" if name.endswith("_total") else "gauge"
        if name.startswith("moves_to_"):
            labels = {"to": name.removeprefix("moves_to_").removesuffix("_total")}
            found.append((kind, "aerial_relay_moves_to_total", "Moves of channels into a state.", labels, value))
        else:
            found.append((kind, f"aerial_relay_{name}", f"Of the relay: {name.replace('_', ' ')}.", {}, value))
    for session in hub.sessions():
        labels = {"channel": str(session["id"])}
        for name, text in _OF_CHANNEL.items():
            value = float(str(session[name]))
            found.append(("gauge", f"aerial_relay_channel_{name}", f"Of a channel: {text}", labels, value))
        viewers = float(len(list(session["clients"])))  # type: ignore[call-overload]
        found.append(("gauge", "aerial_relay_channel_clients", "Of a channel: its viewers.", labels, viewers))
        state = {**labels, "state": str(session["state"])}
        found.append(("gauge", "aerial_relay_channel_state", "1 for the state that a channel is in.", state, 1.0))
    mbps = float(str(hub.throttle.bandwidth()["current_mbps"]))
    return [*found, ("gauge", "aerial_relay_sent_mbps", "What all viewers get now.", {}, mbps)]
