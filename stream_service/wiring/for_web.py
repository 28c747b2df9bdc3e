"""The web worker's parts."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from servicekit.addresses import networks
from servicekit.callers import in_container
from servicekit.clock import SystemClock
from servicekit.errors import AerialError, Invalid, NotFound
from servicekit.health import Checks, State, alive
from servicekit.keys import admin_token
from servicekit.levels import LevelFollower
from servicekit.marker import Marker
from servicekit.metrics import Metrics, Sample
from servicekit.settings import Settings
from servicekit.web import Door
from stream_service import native
from stream_service.domain.calls import Call
from stream_service.domain.model import REDIRECT, RELAY, ChannelTarget
from stream_service.errands import Errands
from stream_service.lineups.catalogue import Catalogue
from stream_service.lineups.publish import PublishedFiles
from stream_service.lineups.rendered import RenderedPlaylists
from stream_service.relay.hub import Hub
from stream_service.relay.signals import drain_on_sigterm
from stream_service.store.builds import Builds
from stream_service.store.channels import Channels
from stream_service.store.errands import ErrandQueue
from stream_service.store.library import Library
from stream_service.store.lineup_channels import LineupChannels
from stream_service.store.lineups import Lineups
from stream_service.store.profiles import Profiles
from stream_service.store.runs import Runs
from stream_service.store.sources import Sources
from stream_service.wiring import relaying
from stream_service.wiring.admission import Accounts, accounts
from stream_service.wiring.outlets import Outlets, outlets
from stream_service.wiring.parts import (
    Config,
    Paths,
    Stores,
    levels,
    paths_of,
    published_files,
    settings,
    shared_secret,
    stores,
)
from stream_service.wiring.rulebook import Rulebook, condition, rulebook
from stream_service.wiring.showing import Around as AroundShowing
from stream_service.wiring.showing import Showing, showing
from stream_service.wiring.sourcing import Sourcing, guide_notices, source_figures, sourcing
from stream_service.wiring.ways import epg_url_of, fetcher_of, ways_to

FIGURES_EVERY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """What the views are handed; `api.Collaborators` says what they ask of it."""

    sources: Sources
    runs: Runs
    channels: Channels
    lineups: Lineups
    lineup_channels: LineupChannels
    builds: Builds
    files: PublishedFiles
    playlists: RenderedPlaylists
    call: Call
    ask: Callable[[str, Mapping[str, object]], dict[str, Any]]
    check_address: Callable[[str, str], None]
    check_delivery: Callable[[str], None]
    check_condition: Callable[[str], object]
    target: Callable[[str], ChannelTarget | None]
    guide_imported: Callable[..., None]
    status: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Web:
    """What the app factory is handed. `start`: follow the catalogue and own the drain; called once all is loaded."""

    door: Door
    collaborators: Collaborators
    relay: Hub
    checks: Checks
    metrics: Metrics
    settings: Settings
    levels: LevelFollower
    start: Callable[[], None]
    media: relaying.Media
    accounts: Accounts
    rulebook: Rulebook
    sourcing: Sourcing
    showing: Showing
    outlets: Outlets


def web(config: Config) -> Web:
    """The parts of the web worker."""
    paths, it, files = paths_of(config), stores(config), published_files(config)
    catalogue = Catalogue(files.catalogue, call=native.call)
    playlists = RenderedPlaylists(files.rendered, call=native.call)
    playlists.clear()
    hub, media = _relay(config, it, catalogue)
    checks = _checks(it, paths, catalogue)
    collaborators = _collaborators(config, it, catalogue, playlists, media.profiles, checks)
    admitted = _accounts(config, it, hub, catalogue)
    lists = sourcing(
        it.connections,
        builds=it.builds.since,
        import_dir=paths.import_dir,
        max_upload_bytes=config.shared.fetch.max_bytes,
        clock=SystemClock(),
        call=native.call,
    )

    def start() -> None:
        catalogue.look()
        catalogue.follow()
        admitted.table.look()
        admitted.table.follow()
        media.start()
        drain_on_sigterm(hub, media.watching.events.end, lists.progress.events.end)

    metrics = Metrics("aerial_stream", figures=_figures(it, hub, catalogue))
    book = rulebook(it.connections, sources=it.sources.all, ask=collaborators.ask, clock=SystemClock())
    shown = _showing(config, it, catalogue, hub, admitted, collaborators.ask)
    return Web(
        _door(config),
        collaborators,
        hub,
        checks,
        metrics,
        settings(config),
        levels(config),
        start,
        media,
        admitted,
        book,
        lists,
        shown,
        outlets(
            it.connections,
            files=files,
            catalogue=catalogue,
            hub=hub,
            pictures=paths.logos,
            ask=collaborators.ask,
            changed=partial(it.lineups.mark, None, stale=True),
            clock=SystemClock(),
        ),
    )


def _collaborators(
    config: Config,
    it: Stores,
    catalogue: Catalogue,
    playlists: RenderedPlaylists,
    profiles: Profiles,
    checks: Checks,
) -> Collaborators:
    return Collaborators(
        sources=it.sources,
        runs=it.runs,
        channels=it.channels,
        lineups=it.lineups,
        lineup_channels=it.lineup_channels,
        builds=it.builds,
        files=published_files(config),
        playlists=playlists,
        call=native.call,
        ask=errands(config, it).ask,
        check_address=ways_to(config, it).check_address,
        check_delivery=partial(_check_delivery, profiles),
        check_condition=condition,
        target=catalogue.find,
        guide_imported=guide_notices(
            it.connections, touch=Marker(paths_of(config).guide_imported).touch, clock=SystemClock()
        ),
        status=lambda: str(checks.state().as_dict()["status"]),
    )


def _door(config: Config) -> Door:
    shared, server = config.shared, config.own.server
    return Door(
        admin_token=admin_token(config.data_dir),
        internal_secret=shared_secret(config),
        public_url=shared.public_url,
        trusted_proxies=networks(shared.trusted_proxies),
        cors_origins=server.cors_origins if server.cors_enabled else (),
        debug=server.debug,
        in_container=in_container(),
    )


def _accounts(config: Config, it: Stores, hub: Hub, catalogue: Catalogue) -> Accounts:
    return accounts(
        it.connections,
        data_dir=config.data_dir,
        settings=settings(config),
        relay=hub,
        in_lineup=catalogue.in_lineup,
        known_lineup=it.lineups.get,
        clock=SystemClock(),
    )


def _showing(
    config: Config,
    it: Stores,
    catalogue: Catalogue,
    hub: Hub,
    admitted: Accounts,
    ask: Callable[[str, Mapping[str, object]], dict[str, Any]],
) -> Showing:
    return showing(
        AroundShowing(
            files=published_files(config),
            catalogue=catalogue,
            hub=hub,
            seats=admitted.seats,
            sources=it.sources,
            lineups=it.lineups,
            titles=Library(it.connections),
            ask=ask,
            fetcher=fetcher_of(config),
            epg_url=epg_url_of(config),
            secret=shared_secret(config),
            connect_s=config.own.relay.connect_s,
            clock=SystemClock(),
        )
    )


def errands(config: Config, it: Stores) -> Errands:
    """How the web process asks the keeper for what walks a playlist or waits for somebody's server."""
    queue = ErrandQueue(it.connections, clock=SystemClock())
    return Errands(queue, call=native.call, keeper_lives=partial(alive, paths_of(config).heartbeat))


def _check_delivery(profiles: Profiles, delivery: str) -> None:
    """Raises `Invalid` unless it is one of the two plain ways or a profile's name."""
    if delivery in (RELAY, REDIRECT):
        return
    try:
        profiles.get(delivery)
    except NotFound as error:
        raise Invalid(f"delivery: {RELAY}, {REDIRECT} or the name of a profile, not {delivery!r}") from error


def _relay(config: Config, it: Stores, catalogue: Catalogue) -> tuple[Hub, relaying.Media]:
    paths = paths_of(config)
    around = relaying.Around(
        connections=it.connections,
        fetcher=fetcher_of(config),
        import_dir=paths.import_dir,
        slates=paths.slates,
        find=catalogue.find,
        settings=settings(config),
    )
    return relaying.relay(config, around)


def _checks(it: Stores, paths: Paths, catalogue: Catalogue) -> Checks:
    def state() -> State:
        try:
            sources = native.call(it.sources.all, enabled_only=True)
            last = native.call(it.runs.last_of_each, [one.id for one in sources])
        except AerialError as error:
            return State(usable=False, reasons=(error.detail,))
        failing = [
            one.name
            for one in sources
            if one.id in last and last[one.id].status in ("failed", "rejected", "interrupted")
        ]
        reasons = [f"the last refresh of {name} did not succeed" for name in failing]
        if not alive(paths.heartbeat):
            reasons.append("the keeper is not running: nothing is refreshed")
        return State(
            reasons=tuple(reasons),
            detail={"service": "stream", "sources": len(sources), "channels": len(catalogue)},
        )

    def not_ready() -> str | None:
        return None if alive(paths.heartbeat) else "the keeper is not up yet"

    return Checks(state=state, not_ready=not_ready)


def _figures(it: Stores, hub: Hub, catalogue: Catalogue) -> Callable[[], list[Sample]]:
    """Figures of the relay as they are, and of refreshes from the store, read at most once in half a minute."""
    kept: list[tuple[float, list[Sample]]] = []

    def figures() -> list[Sample]:
        if not kept or time.monotonic() - kept[0][0] > FIGURES_EVERY_S:
            kept[:] = [(time.monotonic(), native.call(source_figures, it.sources, it.runs))]
        channels: Sample = ("gauge", "aerial_stream_channels", "Channels viewers can ask for.", {}, len(catalogue))
        return [*relaying.samples(hub), channels, *kept[0][1]]

    return figures
