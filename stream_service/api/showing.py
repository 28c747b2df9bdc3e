"""Everything for Xtream clients and the library in one bundle."""

from collections.abc import Iterator
from typing import Protocol

from flask_openapi3 import APIBlueprint

from stream_service.api import Collaborators, hls, library, live, xtream, xtream_streams
from stream_service.api.files import Pump
from stream_service.api.profiles import Through
from stream_service.domain.calls import Call


class Showing(xtream.Shows, xtream_streams.Channels, library.Shelf, Protocol):
    """The collaborators; `wiring` builds it."""

    @property
    def pump(self) -> Pump: ...


def blueprints(
    it: Showing,
    collaborators: Collaborators,
    *,
    hub: live.Relay,
    through: Through,
    output: hls.HlsOutput | None,
    past: xtream_streams.Past,
) -> Iterator[APIBlueprint]:
    """Their routes."""
    call: Call = collaborators.call
    yield xtream.blueprint(collaborators, it)
    yield xtream_streams.blueprint(channels=it, hub=hub, past=past, through=through, output=output)
    yield library.blueprint(it, pump=it.pump, call=call)
