"""The app factory: assembles the door, the error table and the views; knows no configuration."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from flask_openapi3 import APIBlueprint, OpenAPI

from servicekit.health import Checks
from servicekit.levels import LevelFollower
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from servicekit.web import Door, make_app
from stream_service import native
from stream_service.api import (
    Collaborators,
    access,
    breakers,
    channels,
    drafts,
    expressions,
    filters,
    hdhr,
    internal,
    lineups,
    live,
    logos,
    pages,
    playlists,
    rules,
    sources,
    tuning,
    users,
)
from stream_service.api.media import Media, blueprints
from stream_service.api.profiles import Through, no_profiles
from stream_service.api.rulebook import Rulebook
from stream_service.api.showing import Showing
from stream_service.api.showing import blueprints as showing_blueprints
from stream_service.api.sourcing import Sourcing
from stream_service.api.sourcing import blueprints as source_views
from stream_service.api.xtream_streams import Past


class Accounts(users.Accounts, Protocol):
    """What decides who may watch."""

    @property
    def rule(self) -> access.Rule: ...
    @property
    def seats(self) -> access.Seats: ...
    @property
    def in_lineup(self) -> Callable[[str, str], bool]: ...
    @property
    def favourites(self) -> playlists.Favourites: ...


class Outlets(Protocol):
    """Lineups as tuners, and logos."""

    @property
    def tunable(self) -> tuning.Tunable: ...
    @property
    def logos(self) -> logos.Desk: ...


class Relay(live.Relay, Protocol):
    """What all views together ask of the relay."""

    @property
    def circuits(self) -> breakers.Circuits: ...


def create_app(
    *,
    door: Door,
    collaborators: Collaborators,
    relay: Relay,
    checks: Checks,
    metrics: Metrics,
    settings: Settings,
    levels: LevelFollower,
    media: Media | None = None,
    accounts: Accounts | None = None,
    rulebook: Rulebook | None = None,
    sourcing: Sourcing | None = None,
    showing: Showing | None = None,
    outlets: Outlets | None = None,
) -> OpenAPI:
    """The stream service's web application.

    Without `media` it has no profiles, HLS and probes; without `accounts` no users, and clients need none.
    """
    if accounts is not None:
        gate = access.Gate(rule=accounts.rule, seats=accounts.seats, in_lineup=accounts.in_lineup)
        door = replace(door, admits=gate)
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
    for room in (pages, sources, channels, lineups, internal):
        app.register_api(room.blueprint(collaborators))
    liked = {"favourites": accounts.favourites} if accounts is not None else {}
    app.register_api(playlists.blueprint(collaborators, **liked))
    through = media.through if media is not None else no_profiles
    past = Past(channels=showing, pump=showing.pump, call=collaborators.call) if showing is not None else None
    target = collaborators.target
    app.register_api(live.blueprint(hub=relay, catalogue=target, through=through, past=past, lineups=showing))
    for one in blueprints(media, catalogue=target, call=collaborators.call, lineups=showing):
        app.register_api(one)
    app.register_api(breakers.blueprint(relay.circuits))
    app.register_api(expressions.blueprint(call=native.call))
    if sourcing is not None:
        probe = media.prober.probe if media is not None else None
        ask, check = collaborators.ask, collaborators.check_address
        for one in source_views(sourcing, ask=ask, check_address=check, probe=probe):
            app.register_api(one)
    if accounts is not None:
        app.after_request(access.mark_refused_tuner)
        app.register_api(users.blueprint(accounts, call=collaborators.call))
    for one in (*_rule_views(rulebook), *_outlet_views(outlets, collaborators, relay, through)):
        app.register_api(one)
    if showing is not None and past is not None:
        output = media.hls if media is not None else None
        for one in showing_blueprints(showing, collaborators, hub=relay, through=through, output=output, past=past):
            app.register_api(one)
    return app


def _outlet_views(
    outlets: Outlets | None, collaborators: Collaborators, relay: Relay, through: Through
) -> Iterator[APIBlueprint]:
    if outlets is None:
        return
    yield hdhr.blueprint(collaborators, outlets.tunable)
    yield tuning.blueprint(collaborators, outlets.tunable, hub=relay, through=through)
    yield logos.blueprint(outlets.logos, call=collaborators.call)


def _rule_views(rulebook: Rulebook | None) -> Iterator[APIBlueprint]:
    if rulebook is None:
        return
    yield rules.blueprint(rulebook)
    yield filters.blueprint(rulebook)
    yield drafts.blueprint(rulebook.ask)
