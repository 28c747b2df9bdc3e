"""What the relay offers beside the plain stream, in one bundle: profiles, HLS, probes, limits, and what is watched."""

from collections.abc import Iterator
from typing import Protocol

from flask_openapi3 import APIBlueprint

from stream_service.api import bandwidth, hls, probe, profiles, watching
from stream_service.api.live import Catalogue, Lineups
from stream_service.api.profiles import Profiles, Through
from stream_service.domain.calls import Call


class Media(Protocol):
    """The collaborators; `wiring` builds it. `through` makes a channel into what a profile makes of it."""

    @property
    def profiles(self) -> Profiles: ...
    @property
    def through(self) -> Through: ...
    @property
    def hls(self) -> hls.HlsOutput: ...
    @property
    def prober(self) -> probe.Prober: ...
    @property
    def watching(self) -> watching.Watching: ...
    @property
    def bandwidth(self) -> bandwidth.Bandwidth: ...


def blueprints(
    it: Media | None, *, catalogue: Catalogue, call: Call, lineups: Lineups | None
) -> Iterator[APIBlueprint]:
    """Their routes; none without it."""
    if it is None:
        return
    yield hls.blueprint(output=it.hls, catalogue=catalogue, through=it.through, lineups=lineups)
    yield probe.blueprint(prober=it.prober, catalogue=catalogue)
    yield profiles.blueprint(profiles=it.profiles, call=call)
    yield watching.blueprint(it.watching, call=call)
    yield bandwidth.blueprint(it.bandwidth, call=call)
