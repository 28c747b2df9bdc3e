"""The composition root: the one place that knows the configuration and builds the parts."""

import logging
import os
import shutil
import threading
import time
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

from servicekit.addresses import AddressPolicy, networks
from servicekit.callers import in_container
from servicekit.clock import SystemClock
from servicekit.config import Loaded, find_file
from servicekit.errors import AerialError, Invalid, NotFound
from servicekit.fetch import Fetcher
from servicekit.health import Checks, State, alive, beat
from servicekit.keys import admin_token, internal_secret
from servicekit.levels import LevelFollower
from servicekit.marker import Marker
from servicekit.metrics import Metrics, Sample
from servicekit.notify import LoggedEvents
from servicekit.settings import Settings
from servicekit.store.sqlite import Connections
from servicekit.web import Door
from stream_service import native, relaying
from stream_service.admission import Accounts, accounts
from stream_service.building import builder, condition, rule_keys
from stream_service.config import StreamSection, load_config
from stream_service.discovery.announcer import Announcer
from stream_service.domain.entities import Run, RunStatus, Source
from stream_service.domain.model import REDIRECT, RELAY, ChannelTarget
from stream_service.domain.schedule import cron_of
from stream_service.errands import ErrandRunner, Errands, Handler
from stream_service.guide_link import GuideLink
from stream_service.guide_records import GuideRecords
from stream_service.keeper import Keeper
from stream_service.library.keeping import LibraryKeeping, library_keeping
from stream_service.library.shelf import Asking
from stream_service.lineups.build import Builder
from stream_service.lineups.catalogue import Catalogue
from stream_service.lineups.guard import Patience
from stream_service.lineups.publish import PublishedFiles
from stream_service.lineups.rendered import RenderedPlaylists
from stream_service.logos.uploads import KIND as UPLOAD
from stream_service.outlets import LogoAddresses, LogoRoom, Outlets, announcer, outlets, shelf_of
from stream_service.relay.hub import Hub
from stream_service.relay.signals import drain_on_sigterm
from stream_service.relay.slate import make_slates
from stream_service.rulebook import Rulebook, errands_of_rules, for_guide, rulebook, write_down_shipped
from stream_service.showing import Around as AroundShowing
from stream_service.showing import Showing, library_root, showing
from stream_service.sources.types import Ways
from stream_service.sourcing import (
    Intake,
    Sourcing,
    guide_notices,
    intake,
    panel_guides,
    source_figures,
    sourcing,
    ways_of,
)
from stream_service.store.builds import Builds
from stream_service.store.channels import Channels
from stream_service.store.connection import open_database
from stream_service.store.errands import ErrandQueue
from stream_service.store.installation import installation_of
from stream_service.store.library import Library
from stream_service.store.library_intake import LibraryIntake
from stream_service.store.lineup_channels import LineupChannels
from stream_service.store.lineups import Lineups
from stream_service.store.lists import Lists
from stream_service.store.manual import ManualChannels
from stream_service.store.profiles import Profiles
from stream_service.store.runs import Runs
from stream_service.store.sources import Sources
from tvkit.expressions import Helpers

EPG_PORT = 8080
FIGURES_EVERY_S = 30.0

Config = Loaded[StreamSection]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the service keeps its files."""

    database: Path
    backups: Path
    published: Path
    import_dir: Path
    run: Path

    @property
    def keeper_lock(self) -> Path:
        return self.run / "stream.lock"

    @property
    def heartbeat(self) -> Path:
        return self.run / "stream.keeper"

    @property
    def work(self) -> Path:
        return self.run / "stream-work"

    @property
    def guide_imported(self) -> Path:
        return self.run / "stream.guide-imported"

    @property
    def slates(self) -> Path:
        return self.published / "slates"

    @property
    def reload(self) -> Path:
        return self.run / "stream.reload"


def configuration(argument: str | None, environ: Mapping[str, str] = os.environ) -> Config:
    """The checked configuration; raises `Invalid` with every fault."""
    return load_config(find_file(argument, environ), environ)


def paths_of(config: Config) -> Paths:
    """The service's paths."""
    data = config.data_dir
    return Paths(
        database=config.path(config.own.database.path),
        backups=data / "backups",
        published=data / "published" / "stream",
        import_dir=config.path(config.own.import_dir),
        run=data / "run",
    )


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that reads and writes the database."""

    connections: Connections
    sources: Sources
    runs: Runs
    lists: Lists
    channels: Channels
    lineups: Lineups
    lineup_channels: LineupChannels
    builds: Builds
    titles: LibraryIntake
    library: Library
    typed: ManualChannels


def stores(config: Config) -> Stores:
    """Opens the database, migrated; raises `DatabaseUnusable`."""
    paths, clock = paths_of(config), SystemClock()
    connections = open_database(paths.database, backups=paths.backups, lock=paths.run / "stream.migrate.lock")
    return Stores(
        connections=connections,
        sources=Sources(connections, clock=clock),
        runs=Runs(connections, clock=clock),
        lists=Lists(connections, clock=clock),
        channels=Channels(connections, clock=clock),
        lineups=Lineups(connections, clock=clock),
        lineup_channels=LineupChannels(connections, clock=clock),
        builds=Builds(connections, clock=clock),
        titles=LibraryIntake(connections, clock=clock),
        library=Library(connections),
        typed=ManualChannels(connections),
    )


def settings(config: Config) -> Settings:
    """The runtime settings that both services share."""
    return Settings(config.data_dir / "settings.json", lock=config.data_dir / "run" / "settings.lock")


def levels(config: Config) -> LevelFollower:
    """Follows the level of the logs that is asked for."""

    def configured() -> str:
        try:
            return configuration(str(config.file) if config.file else None).shared.logging.level
        except AerialError as error:
            logging.getLogger("config").error("%s; the level stays", error.detail)
            return config.shared.logging.level

    return LevelFollower(
        settings=settings(config),
        marker=paths_of(config).reload,
        configured=configured,
        level=config.shared.logging.level,
    )


def published_files(config: Config) -> PublishedFiles:
    """Where published files stand."""
    return PublishedFiles(paths_of(config).published)


class Call(Protocol):
    """Runs a function where it may wait, and returns what it returns."""

    def __call__(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...


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
            data_dir=config.data_dir,
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
        check_address=_ways(config, it).check_address,
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
        internal_secret=internal_secret(config.data_dir, os.environ.get("AERIAL_INTERNAL_SECRET")),
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
            fetcher=_fetcher(config),
            epg_url=_epg_url(config),
            secret=internal_secret(config.data_dir, os.environ.get("AERIAL_INTERNAL_SECRET")),
            connect_s=config.own.relay.connect_s,
            clock=SystemClock(),
        )
    )


def _epg_url(config: Config) -> str:
    return config.own.epg_url or f"http://127.0.0.1:{config.ports.get('epg', EPG_PORT)}"


def _library_errands(it: Stores, taking: Intake) -> dict[str, Handler]:
    """What is asked of panels about one film or series."""
    titles = Library(it.connections)
    return Asking(titles=titles, intake=it.titles, provider=taking.ways.panels, source_of=it.sources.get).handlers()


def tidy(config: Config) -> None:
    """Removes the downloads of a keeper that was killed; the caller holds the keeper's lock."""
    shutil.rmtree(paths_of(config).work, ignore_errors=True)


def make_cards(config: Config) -> None:
    """Makes the slates that are missing, beside whatever else the keeper does."""
    directory = paths_of(config).slates
    threading.Thread(target=make_slates, args=(directory,), name="slates", daemon=True).start()


def errands(config: Config, it: Stores) -> Errands:
    """How the web process asks the keeper for what walks a playlist or waits for somebody's server."""
    queue = ErrandQueue(it.connections, clock=SystemClock())
    return Errands(queue, call=native.call, keeper_lives=partial(alive, paths_of(config).heartbeat))


def errand_runner(config: Config, taking: Intake) -> ErrandRunner:
    """The keeper's side of errands; what it can do stands here by name."""
    it = stores(config)
    write_down_shipped(it.connections, clock=SystemClock())
    handlers: dict[str, Handler] = {
        **taking.handlers,
        **errands_of_rules(
            it.connections,
            rule_keys=rule_keys,
            sources=it.sources.all,
            programmes=_guide_records(config).of,
            helpers=_helpers(it),
            clock=SystemClock(),
        ),
        **_library_errands(it, taking),
        UPLOAD: _logo_room(config, it).uploads.take,
    }
    return ErrandRunner(ErrandQueue(it.connections, clock=SystemClock()), handlers=handlers, clock=SystemClock())


def keeper(config: Config, taking: Intake | None = None) -> Keeper:
    """The keeper with all it does; `taking`: the one of this process, when there is one."""
    taking = taking or source_intake(config)
    paths, it, files, own = paths_of(config), stores(config), published_files(config), config.own
    notifier = LoggedEvents(logging.getLogger("events"))
    guides = panel_guides(
        it.connections,
        ways=taking.ways,
        asking=_fetcher(config),
        epg_url=_epg_url(config),
        secret=internal_secret(config.data_dir, os.environ.get("AERIAL_INTERNAL_SECRET")),
        notifier=notifier,
        clock=SystemClock(),
    )

    def refresh(run: Run, source: Source) -> RunStatus:
        status = taking.refresh(run, source)
        guides.refreshed(run, source, status)
        return status

    link = _guide_link(config, it)
    logos = _logo_room(config, it)
    building = builder(
        connections=it.connections,
        sources=it.sources,
        runs=it.runs,
        files=files,
        patience=Patience(**own.ingestion_guard.model_dump()),
        importing=link.importing,
        clock=SystemClock(),
        helpers=_helpers(it),
        dress=logos.dressing.dress,
        for_guide=for_guide(it.connections, clock=SystemClock()),
        installation=installation_of(it.connections),
    )
    return Keeper(
        sources=it.sources,
        runs=it.runs,
        lists=taking.cleaning,
        lineups=it.lineups,
        refresh=refresh,
        panel_guides=guides.look,
        builds=it.builds,
        build=_then(building.build, _library(config, it).look),
        tidy_lineups=partial(_forget_gone, building, link),
        settle_s=own.lineups.settle_s,
        build_log_days=own.lineups.log_days,
        reconcile=link.reconcile,
        guide_imported=Marker(paths.guide_imported).touched,
        beat=partial(beat, paths.heartbeat),
        clock=SystemClock(),
        notifier=notifier,
        daily_cron=cron_of(own.scheduler.refresh_time),
        zone=zoneinfo.ZoneInfo(own.scheduler.timezone),
        look=levels(config).look,
        log_days=own.refreshes.log_days,
        keep_vanished_days=own.refreshes.keep_vanished_days,
        logos=logos,
    )


def _guide_link(config: Config, it: Stores) -> GuideLink:
    return GuideLink(
        asking=_fetcher(config),
        epg_url=_epg_url(config),
        secret=internal_secret(config.data_dir, os.environ.get("AERIAL_INTERNAL_SECRET")),
        lineups=it.lineups.all,
        files=published_files(config),
    )


def _guide_records(config: Config) -> GuideRecords:
    """What rules for programmes are tried on."""
    secret = internal_secret(config.data_dir, os.environ.get("AERIAL_INTERNAL_SECRET"))
    return GuideRecords(asking=_fetcher(config), epg_url=_epg_url(config), secret=secret, clock=SystemClock())


def _helpers(it: Stores) -> Helpers:
    """What the @ words of expressions mean in builds and trials."""
    clock = SystemClock()
    return Helpers(logo=LogoAddresses(it.connections, clock=clock).of, now=clock.now_s)


def _logo_room(config: Config, it: Stores) -> LogoRoom:
    return LogoRoom(
        it.connections,
        shelf=shelf_of(config.data_dir),
        fetcher=_fetcher(config),
        settings=settings(config),
        public_url=config.shared.public_url,
        changed=partial(it.lineups.mark, None, stale=True),
        clock=SystemClock(),
    )


def announcing(config: Config) -> Announcer:
    """What lets clients find the tuners by themselves."""
    wanted = config.own.discovery
    return announcer(
        hdhomerun_port=wanted.hdhomerun_port if wanted.hdhomerun else None,
        ssdp_port=wanted.ssdp_port if wanted.ssdp else None,
        address=wanted.address,
        files=published_files(config),
        public_url=config.shared.public_url,
        http_port=config.own.server.port,
    )


def _library(config: Config, it: Stores) -> LibraryKeeping:
    own = config.own.library
    return library_keeping(
        Library(it.connections),
        root=library_root(published_files(config)),
        strm_dir=config.path(own.strm_dir) if own.strm_dir else None,
        origin=own.strm_url or config.shared.public_url,
        clock=SystemClock(),
    )


def _then(work: Callable[P, T], after: Callable[[], object]) -> Callable[P, T]:
    """`work`, and something behind it each time it succeeds."""

    def both(*args: P.args, **kwargs: P.kwargs) -> T:
        done = work(*args, **kwargs)
        after()
        return done

    return both


def _forget_gone(building: Builder, link: GuideLink) -> None:
    """Lineups that were deleted leave nothing behind, here and at the guide service."""
    for name in building.tidy():
        link.forget(name)


def _check_delivery(profiles: Profiles, delivery: str) -> None:
    """Raises `Invalid` unless it is one of the two plain ways or a profile's name."""
    if delivery in (RELAY, REDIRECT):
        return
    try:
        profiles.get(delivery)
    except NotFound as error:
        raise Invalid(f"delivery: {RELAY}, {REDIRECT} or the name of a profile, not {delivery!r}") from error


def _policy(config: Config) -> AddressPolicy:
    fetch = config.shared.fetch
    return AddressPolicy(networks(fetch.allow), networks(fetch.deny))


def _fetcher(config: Config) -> Fetcher:
    return Fetcher(policy=_policy(config), timeout_s=config.shared.fetch.timeout_s)


def _ways(config: Config, it: Stores) -> Ways:
    paths = paths_of(config)
    return ways_of(
        it.connections,
        fetcher=_fetcher(config),
        import_dir=paths.import_dir,
        spool_dir=paths.work,
        max_bytes=config.shared.fetch.max_bytes,
        clock=SystemClock(),
    )


def source_intake(config: Config) -> Intake:
    """Everything the keeper does about sources: one of it serves the process."""
    it = stores(config)
    notifier, share = LoggedEvents(logging.getLogger("events")), config.own.refreshes.min_share
    return intake(it.connections, ways=_ways(config, it), notifier=notifier, least_share=share, clock=SystemClock())


def _relay(config: Config, it: Stores, catalogue: Catalogue) -> tuple[Hub, relaying.Media]:
    paths = paths_of(config)
    around = relaying.Around(
        connections=it.connections,
        fetcher=_fetcher(config),
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
