"""What goes on in the background: refreshes and builds, as a snapshot and as events."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from flask import Response
from flask_openapi3 import APIBlueprint

from servicekit.sse import Audience, Event, event_stream
from servicekit.web import json_answer


class Progress(Protocol):
    """What the views ask; see `stream_service.progress`."""

    @property
    def events(self) -> Audience: ...
    def snapshot(self) -> Sequence[dict[str, object]]: ...
    def first(self) -> Iterable[Event]: ...


def blueprint(progress: Progress) -> APIBlueprint:
    """`/api/v1/progress`."""
    views = APIBlueprint("progress", __name__, url_prefix="/api/v1/progress")

    @views.get("", summary="What waits, goes on, or ended within five minutes")
    def snapshot() -> Response:
        return json_answer({"items": list(progress.snapshot()), "next": None})

    @views.get("/events", summary="The same as server-sent events: snapshot, progress, finished")
    def events() -> Response:
        """First a `snapshot`, then `progress` at each change and `finished` at each end; a comment every 15 s."""
        return event_stream(progress.events, progress.first)

    return views
