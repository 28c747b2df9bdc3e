"""What a channel really sends."""

from typing import Protocol

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit.errors import NotFound
from servicekit.web import Shape, json_answer
from stream_service.api.live import Catalogue
from stream_service.domain.model import ChannelTarget


class Prober(Protocol):
    """What the view asks of the relay."""

    def probe(self, target: ChannelTarget, *, again: bool = False) -> dict[str, object]:
        """Codecs, picture size, rates; raises `Unavailable`, `BadAnswer`."""
        ...


class _ChannelPath(Shape):
    channel_id: str = Field(max_length=200, description="The channel's permanent id.")


class _ProbeQuery(Shape):
    again: bool = Field(False, description="Look again, also when it was looked at within ten minutes.")


def blueprint(*, prober: Prober, catalogue: Catalogue) -> APIBlueprint:
    """`/api/v1/channels/ID/probe`."""
    views = APIBlueprint("probe", __name__, url_prefix="/api/v1")

    @views.get("/channels/<channel_id>/probe", summary="Codecs, picture size and rates of a channel, from its stream")
    def probe(path: _ChannelPath, query: _ProbeQuery) -> Response:
        """Takes seconds of the running channel, or opens it for as long, then asks ffprobe. 503 without ffprobe."""
        target = catalogue(path.channel_id)
        if target is None:
            raise NotFound(f"there is no channel {path.channel_id!r}", id=path.channel_id)
        return json_answer(prober.probe(target, again=query.again))

    return views
