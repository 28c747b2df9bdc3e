"""The app factory: assembles the door, the error table and the views; knows no configuration."""

from flask_openapi3 import OpenAPI

from servicekit.health import Checks
from servicekit.levels import LevelFollower
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from servicekit.web import Door, make_app
from stream_service import native
from stream_service.api import Collaborators, channels, live, pages, playlists, sources


def create_app(
    *,
    door: Door,
    collaborators: Collaborators,
    relay: live.Relay,
    checks: Checks,
    metrics: Metrics,
    settings: Settings,
    levels: LevelFollower,
) -> OpenAPI:
    """The stream service's web application."""
    app = make_app(
        __name__,
        title="Aerial channels",
        door=door,
        metrics=metrics,
        settings=settings,
        checks=checks,
        waiting=native.call,
    )
    app.before_request(levels.look)
    for room in (pages, sources, channels, playlists):
        app.register_api(room.blueprint(collaborators))
    app.register_api(live.blueprint(hub=relay, catalogue=collaborators.target))
    return app
