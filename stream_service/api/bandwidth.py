"""Limits of bandwidth: what they are, what is sent now, and how they are changed at once."""

from typing import Protocol

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from servicekit.web import Shape, json_answer
from stream_service.domain.calls import Call

_MOST_MBPS = 100_000


class Bandwidth(Protocol):
    """What the views ask of the limits; see `relay.limits`."""

    def stats(self) -> dict[str, object]:
        """The limits in force and what is sent now."""
        ...

    def configure(self, changes: dict[str, bool | float]) -> None:
        """Keep these settings and let all settings hold from now on; raises `Invalid`."""
        ...


class _Configured(Shape):
    enabled: bool | None = Field(None, description="Missing: as the settings say.")
    limit_mbps: float | None = Field(None, ge=0, le=_MOST_MBPS, description="Of all viewers together; 0 or null: none.")
    client_limit_mbps: float | None = Field(None, ge=0, le=_MOST_MBPS, description="Of one viewer; 0 or null: none.")


_KEYS = {
    "enabled": "bandwidth_throttling_enabled",
    "limit_mbps": "bandwidth_global_limit_mbps",
    "client_limit_mbps": "bandwidth_client_limit_mbps",
}


def blueprint(bandwidth: Bandwidth, *, call: Call) -> APIBlueprint:
    """`/api/v1/settings/bandwidth/…`."""
    views = APIBlueprint("bandwidth", __name__, url_prefix="/api/v1/settings/bandwidth")

    @views.get("/stats", summary="The limits of bandwidth, and what is sent now")
    def stats() -> Response:
        return json_answer(bandwidth.stats())

    @views.post("/configure", summary="Let the settings of bandwidth hold at once, changed ones kept before")
    def configure(body: _Configured) -> Response:
        """Without a body nothing is changed: the settings as they stand are applied to everybody who watches."""
        given = body.model_dump(exclude_unset=True)
        changes = {_KEYS[key]: value for key, value in given.items() if value is not None}
        changes |= {_KEYS[key]: 0.0 for key, value in given.items() if value is None and key != "enabled"}
        call(bandwidth.configure, changes)
        found = bandwidth.stats()
        return json_answer({"status": "enabled" if found["enabled"] else "disabled", **found})

    return views
