"""The streams' web application alone, for Flask's test client and for gunicorn (`…relaykit.site:served()`)."""

import fcntl
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flask import Response
from flask_openapi3 import APIBlueprint, OpenAPI

from servicekit import web
from servicekit.addresses import AddressPolicy
from servicekit.fetch import Answer, Fetcher
from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from stream_service import native
from stream_service.api.live import blueprint, handover
from stream_service.domain.model import StreamAddress
from stream_service.relay.hub import Hub
from stream_service.relay.signals import drain_on_sigterm
from stream_service.relay.upstream import open_upstream
from tests.stream.relaykit.viewers import target

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def open_address(address: StreamAddress) -> Answer:
    """Loopback is fine here."""
    fetcher = Fetcher(policy=AddressPolicy())
    return fetcher.open(address.url, typed=False, private_ok=address.private_ok, timeout_s=2, read_timeout_s=5)


def build(hub: Hub, urls: Mapping[str, str], data: Path) -> OpenAPI:
    """The application for channels by name."""
    app = web.make_app(
        "streams",
        title="Streams of the tests",
        door=web.Door(admin_token="t", internal_secret="s"),
        metrics=Metrics("streams", figures=list),
        settings=Settings(data / "settings.json", lock=data / "settings.lock"),
        checks=Checks(state=State, not_ready=lambda: None),
    )
    channels = {name: target(url, name=name) for name, url in urls.items()}
    app.register_api(blueprint(hub=hub, catalogue=channels.get))
    app.register_api(_extras(hub, data))
    return app


def _extras(hub: Hub, data: Path) -> APIBlueprint:
    views = APIBlueprint("extras", __name__)

    @views.get("/locked")
    def locked() -> Response:
        """Wait for a lock that another process holds, as a database does."""

        def wait() -> str:
            with (data / "lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
            return "had it"

        return web.json_answer(native.call(wait))

    @views.get("/figures")
    def figures() -> Response:
        return web.json_answer(hub.figures())

    return views


def served() -> "WSGIApplication":
    """The application as gunicorn loads it; the environment names channels and directory."""
    hub = Hub(open_stream=partial(open_upstream, open_address=open_address))
    drain_on_sigterm(hub)
    app = build(hub, json.loads(os.environ["RELAY_CHANNELS"]), Path(os.environ["RELAY_DATA"]))
    return handover(app.wsgi_app)
