"""The keeper's parts, and what it does besides."""

import logging
import shutil
import threading
import zoneinfo
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from servicekit.clock import SystemClock
from servicekit.health import beat
from servicekit.marker import Marker
from servicekit.notify import LoggedEvents
from stream_service.discovery.announcer import Announcer, Responder
from stream_service.discovery.hdhomerun import HdhomerunResponder
from stream_service.discovery.places import Places
from stream_service.discovery.ssdp import SsdpResponder
from stream_service.domain.entities import Run, RunStatus, Source
from stream_service.domain.schedule import cron_of
from stream_service.errands import ErrandRunner, Handler
from stream_service.guide.link import GuideLink
from stream_service.guide.records import GuideRecords
from stream_service.keeper import Keeper
from stream_service.library.keeping import LibraryKeeping, library_keeping
from stream_service.library.shelf import Asking
from stream_service.lineups.build import Builder
from stream_service.lineups.devices import Devices
from stream_service.lineups.guard import Patience
from stream_service.logos.shelf import Shelf
from stream_service.logos.uploads import KIND as UPLOAD
from stream_service.relay.slate import make_slates
from stream_service.store.errands import ErrandQueue
from stream_service.store.installation import installation_of
from stream_service.store.library import Library
from stream_service.wiring.building import builder, rule_keys
from stream_service.wiring.intake import Intake, intake, panel_guides
from stream_service.wiring.logo_room import LogoAddresses, LogoRoom
from stream_service.wiring.parts import (
    Config,
    Stores,
    levels,
    library_root,
    paths_of,
    published_files,
    settings,
    shared_secret,
    stores,
)
from stream_service.wiring.trying import errands_of_rules, for_guide, write_down_shipped
from stream_service.wiring.ways import epg_url_of, fetcher_of, ways_to
from tvkit.expressions import Helpers

P = ParamSpec("P")
T = TypeVar("T")


def tidy(config: Config) -> None:
    """Removes the downloads of a keeper that was killed; the caller holds the keeper's lock."""
    shutil.rmtree(paths_of(config).work, ignore_errors=True)


def make_cards(config: Config) -> None:
    """Makes the slates that are missing, beside whatever else the keeper does."""
    directory = paths_of(config).slates
    threading.Thread(target=make_slates, args=(directory,), name="slates", daemon=True).start()


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
        asking=fetcher_of(config),
        epg_url=epg_url_of(config),
        secret=shared_secret(config),
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


def source_intake(config: Config) -> Intake:
    """Everything the keeper does about sources: one of it serves the process."""
    it = stores(config)
    notifier, share = LoggedEvents(logging.getLogger("events")), config.own.refreshes.min_share
    return intake(it.connections, ways=ways_to(config, it), notifier=notifier, least_share=share, clock=SystemClock())


def announcing(config: Config) -> Announcer:
    """What lets clients find the tuners by themselves."""
    wanted, files = config.own.discovery, published_files(config)
    places = Places(public_url=config.shared.public_url, address=wanted.address, port=config.own.server.port)
    devices = Devices(files).all
    responders: dict[str, Callable[[], Responder]] = {}
    if wanted.hdhomerun:
        responders["HDHomeRun"] = partial(
            HdhomerunResponder, devices=devices, places=places, address=wanted.address, port=wanted.hdhomerun_port
        )
    if wanted.ssdp:
        responders["SSDP"] = partial(
            SsdpResponder, devices=devices, places=places, address=wanted.address, port=wanted.ssdp_port
        )
    return Announcer(responders)


def _guide_link(config: Config, it: Stores) -> GuideLink:
    return GuideLink(
        asking=fetcher_of(config),
        epg_url=epg_url_of(config),
        secret=shared_secret(config),
        lineups=it.lineups.all,
        files=published_files(config),
    )


def _guide_records(config: Config) -> GuideRecords:
    """What rules for programmes are tried on."""
    secret = shared_secret(config)
    return GuideRecords(asking=fetcher_of(config), epg_url=epg_url_of(config), secret=secret, clock=SystemClock())


def _helpers(it: Stores) -> Helpers:
    """What the @ words of expressions mean in builds and trials."""
    clock = SystemClock()
    return Helpers(logo=LogoAddresses(it.connections, clock=clock).of, now=clock.now_s)


def _logo_room(config: Config, it: Stores) -> LogoRoom:
    return LogoRoom(
        it.connections,
        shelf=Shelf(paths_of(config).logos),
        fetcher=fetcher_of(config),
        settings=settings(config),
        public_url=config.shared.public_url,
        changed=partial(it.lineups.mark, None, stale=True),
        clock=SystemClock(),
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


def _library_errands(it: Stores, taking: Intake) -> dict[str, Handler]:
    """What is asked of panels about one film or series."""
    titles = Library(it.connections)
    return Asking(titles=titles, intake=it.titles, provider=taking.ways.panels, source_of=it.sources.get).handlers()


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
