"""The app factory: assembles the door, the error table and the views; knows no configuration."""

from flask_openapi3 import OpenAPI

from epg_service.api import (
    Collaborators,
    browse,
    channels,
    guides,
    imports,
    internal,
    lineups,
    linked,
    listings,
    mappings,
    pages,
    providers,
    search,
)
from servicekit.health import Checks
from servicekit.levels import LevelFollower
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from servicekit.web import Door, make_app


def create_app(
    *,
    door: Door,
    collaborators: Collaborators,
    checks: Checks,
    metrics: Metrics,
    settings: Settings,
    levels: LevelFollower,
) -> OpenAPI:
    """The guide service's web application."""
    app = make_app(__name__, title="Aerial guide", door=door, metrics=metrics, settings=settings, checks=checks)
    app.before_request(levels.look)
    for room in (
        pages,
        providers,
        channels,
        mappings,
        lineups,
        browse,
        search,
        imports,
        guides,
        internal,
        listings,
        linked,
    ):
        app.register_api(room.blueprint(collaborators))
    return app
