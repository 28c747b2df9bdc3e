"""Streams, HLS, profiles and probes of channels made of files, for gunicorn (`tests.stream.mediasite:served()`)."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from flask_openapi3 import OpenAPI

from servicekit import web
from servicekit.clock import SystemClock
from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from stream_service.api import hls, live, probe
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.domain.profiles import BUILT_IN
from stream_service.relay.ffmpeg import Programs
from stream_service.relay.following import Following
from stream_service.relay.hls_out import HlsOutput, HlsOutSettings
from stream_service.relay.hub import Hub
from stream_service.relay.opening import Opener
from stream_service.relay.probe import Prober
from stream_service.relay.settings import RelaySettings
from stream_service.relay.signals import drain_on_sigterm
from stream_service.relay.transcode import Transcoding
from tests.stream import hlskit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def served() -> "WSGIApplication":
    """Channels by name from MEDIA_CHANNELS, their files in MEDIA_DATA."""
    data, clock, programs = Path(os.environ["MEDIA_DATA"]), SystemClock(), Programs()
    channels = {
        name: ChannelTarget(name, "1", name, (StreamAddress(id=at, source_id=1, url=url, private_ok=True),))
        for at, (name, url) in enumerate(json.loads(os.environ["MEDIA_CHANNELS"]).items(), start=1)
    }

    def follow(target: ChannelTarget, *, address: str, user_agent: str = "") -> Following:
        return hub.follow(target, address=address, user_agent=user_agent)

    transcoding = Transcoding(programs=programs, profile=BUILT_IN.get, target=channels.get, follow=follow)
    opener = Opener(
        open_address=hlskit.open_address, programs=programs, clock=clock, import_dir=data, own=transcoding.open
    )
    hub = Hub(open_stream=opener.open, settings=RelaySettings(grace_s=0.5))
    output = HlsOutput(follow=follow, clock=clock, settings=HlsOutSettings(segment_s=1.0, idle_s=2.0))
    app = web.make_app(
        "media",
        title="Media of the tests",
        door=web.Door(admin_token="t", internal_secret="s"),
        metrics=Metrics("media", figures=list),
        settings=Settings(data / "settings.json", lock=data / "settings.lock"),
        checks=Checks(state=State, not_ready=lambda: None),
    )
    app.register_api(live.blueprint(hub=hub, catalogue=channels.get, through=transcoding.target))
    app.register_api(hls.blueprint(output=output, catalogue=channels.get, through=transcoding.target))
    prober = Prober(programs=programs, follow=follow, clock=clock, sample_s=1.0)
    app.register_api(probe.blueprint(prober=prober, catalogue=channels.get))
    _figures(app, hub)
    drain_on_sigterm(hub)
    return live.handover(app)


def _figures(app: OpenAPI, hub: Hub) -> None:
    @app.get("/figures")
    def figures() -> dict[str, float]:
        return hub.figures()
