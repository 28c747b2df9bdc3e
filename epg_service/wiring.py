"""The composition root: the one place that knows the configuration and builds the parts."""

import dataclasses
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from epg_service.config import EpgSection, load_config
from epg_service.domain.entities import LastGoodFile, Provider
from epg_service.domain.losses import Losses
from epg_service.domain.retention import Window
from epg_service.importer.reading import Limits, Packed, Plain
from epg_service.importer.rehearsal import Rehearsal, Unwritten
from epg_service.importer.run import Importer, Log, Visible
from epg_service.importer.times import TimesWatch
from epg_service.indexing import Indexing
from epg_service.keeper import Keeper, Plan
from epg_service.lineups.match import Matching
from epg_service.lineups.publish import Contents, Publishing
from epg_service.lineups.published import PublishedGuides
from epg_service.lineups.variants import Variants
from epg_service.providers.ahead import Ahead
from epg_service.providers.download import Progress, Validators
from epg_service.providers.feed import Feed, Feeds
from epg_service.providers.unpack import unpacked
from epg_service.store.applying import Applying
from epg_service.store.browse import Browse
from epg_service.store.channels import Channels
from epg_service.store.connection import open_database
from epg_service.store.guide import Guide
from epg_service.store.imports import ImportLog
from epg_service.store.lineups import Lineups
from epg_service.store.mappings import Mappings
from epg_service.store.programs import Programs
from epg_service.store.providers import Providers
from epg_service.store.search import Search
from epg_service.store.search_index import SearchIndex
from epg_service.stream_link import StreamLink
from epg_service.xmltv import indexed
from epg_service.xmltv.fields import fields
from servicekit.addresses import AddressPolicy, networks
from servicekit.callers import in_container
from servicekit.clock import Clock, SystemClock
from servicekit.config import Loaded, find_file
from servicekit.errors import AerialError
from servicekit.fetch import Fetcher
from servicekit.health import Checks, State, alive
from servicekit.keys import admin_token, internal_secret
from servicekit.levels import LevelFollower
from servicekit.metrics import Metrics, Sample
from servicekit.notify import LoggedEvents, Notifier
from servicekit.settings import Settings
from servicekit.store.sqlite import Connections
from servicekit.supervise import say_ready
from servicekit.web import Door

CLOCK: Clock = SystemClock()
UNPACKED_FACTOR = 4
USUAL_STREAM_PORT = 8081


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
        return self.run / "epg.lock"

    @property
    def heartbeat(self) -> Path:
        return self.run / "epg.keeper"

    @property
    def work(self) -> Path:
        return self.run / "epg-work"

    @property
    def redo(self) -> Path:
        return self.run / "epg-redo"

    @property
    def memory(self) -> Path:
        return self.run / "epg-memory"

    @property
    def search(self) -> Path:
        return self.database.with_name(f"{self.database.stem}-search.db")

    @property
    def search_damaged(self) -> Path:
        return self.run / "epg-search.damaged"

    @property
    def reload(self) -> Path:
        return self.run / "epg.reload"

    @property
    def metrics(self) -> Path:
        return self.run / "metrics-epg"


Config = Loaded[EpgSection]


def configuration(argument: str | None, environ: Mapping[str, str] = os.environ) -> Loaded[EpgSection]:
    """The checked configuration; raises `Invalid` with every fault."""
    return load_config(find_file(argument, environ), environ)


def paths_of(config: Loaded[EpgSection]) -> Paths:
    """The service's paths."""
    data = config.data_dir
    return Paths(
        database=config.path(config.own.database.path),
        backups=data / "backups",
        published=data / "published" / "epg",
        import_dir=data / "import",
        run=data / "run",
    )


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that reads and writes the database."""

    connections: Connections
    providers: Providers
    imports: ImportLog
    channels: Channels
    programs: Programs
    guide: Guide
    lineups: Lineups
    mappings: Mappings
    browse: Browse


def stores(config: Loaded[EpgSection], *, clock: Clock = CLOCK) -> Stores:
    """Opens the database, migrated; raises `DatabaseUnusable`."""
    paths = paths_of(config)
    connections = open_database(paths.database, backups=paths.backups, lock=paths.run / "epg.migrate.lock")
    channels, programs = Channels(connections), Programs(connections)
    guide = Guide(channels=channels, programs=programs)
    return Stores(
        connections=connections,
        providers=Providers(connections, clock=clock),
        imports=ImportLog(connections, clock=clock),
        channels=channels,
        programs=programs,
        guide=guide,
        lineups=Lineups(connections, clock=clock),
        mappings=Mappings(connections, channels=channels, clock=clock),
        browse=Browse(connections, channels=channels, guide=guide, read=fields),
    )


def settings(config: Loaded[EpgSection]) -> Settings:
    """The runtime settings that both services share."""
    return Settings(config.data_dir / "settings.json", lock=config.data_dir / "run" / "settings.lock")


def levels(config: Loaded[EpgSection]) -> LevelFollower:
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


@dataclass(frozen=True, slots=True)
class Web:
    """What a web worker is made of."""

    stores: Stores
    search: Search | None
    published: PublishedGuides
    variants: Variants
    feeds: Feeds
    clock: Clock
    main_guide: str
    max_upload_bytes: int
    stream_port: int
    door: Door
    checks: Checks
    metrics: Metrics
    settings: Settings
    levels: LevelFollower


def web(config: Loaded[EpgSection], *, clock: Clock = CLOCK) -> Web:
    """The parts of a web worker."""
    paths, it = paths_of(config), stores(config, clock=clock)
    shared, own = config.shared, config.own
    published = PublishedGuides(paths.published)
    door = Door(
        admin_token=admin_token(config.data_dir),
        internal_secret=internal_secret(config.data_dir, os.environ.get("AERIAL_INTERNAL_SECRET")),
        public_url=shared.public_url,
        trusted_proxies=networks(shared.trusted_proxies),
        cors_origins=own.server.cors_origins if own.server.cors_enabled else (),
        debug=own.server.debug,
        in_container=in_container(),
    )
    return Web(
        stores=it,
        search=Search(paths.search, paths.database, damaged=paths.search_damaged) if own.search.enabled else None,
        published=published,
        variants=Variants(published=published, rendered=Contents(guide=it.guide, lineups=it.lineups)),
        feeds=_feeds(config),
        clock=clock,
        main_guide=own.guide.main,
        max_upload_bytes=shared.fetch.max_bytes,
        stream_port=config.ports.get("stream", USUAL_STREAM_PORT),
        door=door,
        checks=_checks(it, paths),
        metrics=Metrics("aerial_epg", figures=_figures(it)),
        settings=settings(config),
        levels=levels(config),
    )


def importer(config: Loaded[EpgSection], it: Stores, stopping: threading.Event, *, clock: Clock = CLOCK) -> Importer:
    """Runs imports."""
    visible = Applying(it.connections, clock=clock)
    return _importer(config, it, stopping, clock, paths=paths_of(config), log=it.imports, visible=visible)


def rehearse(config: Loaded[EpgSection], it: Stores, provider: Provider, *, force: bool) -> Rehearsal:
    """What an import of the provider would come to; nothing of the guide or its log is changed."""
    rehearsal, clock = Rehearsal(), CLOCK
    with tempfile.TemporaryDirectory(prefix="aerial-rehearsal-") as folder:
        paths = dataclasses.replace(paths_of(config), run=Path(folder))
        visible = Unwritten(rehearsal)
        dry = _importer(config, it, threading.Event(), clock, paths=paths, log=rehearsal, visible=visible)
        dry.run(rehearsal.run_for(provider, force=force, now_s=clock.now_s()), provider)
    return rehearsal


def _importer(
    config: Loaded[EpgSection],
    it: Stores,
    stopping: threading.Event,
    clock: Clock,
    *,
    paths: Paths,
    log: Log,
    visible: Visible,
) -> Importer:
    return Importer(
        source=_source(_feeds(config)),
        unpacked=_unpacked,
        stored=it.programs,
        mappings=it.channels,
        visible=visible,
        log=log,
        clock=clock,
        notifier=_notifier(),
        limits=Limits(
            window=window_of(config),
            min_share=config.own.imports.min_share,
            work_dir=paths.work,
            redo_dir=paths.redo,
            memory_dir=paths.memory,
            max_unpacked_bytes=config.shared.fetch.max_bytes * UNPACKED_FACTOR,
        ),
        stopping=stopping.is_set,
    )


def keeper(config: Loaded[EpgSection], stopping: threading.Event, *, clock: Clock = CLOCK) -> Keeper:
    """The keeper with all it does."""
    paths, own, it = paths_of(config), config.own, stores(config, clock=clock)
    plan = Plan(
        import_time=own.scheduler.import_time,
        zone=own.scheduler.timezone,
        window=window_of(config),
        log_days=own.imports.log_days,
        min_interval_s=own.imports.min_interval_minutes * 60,
        jitter_s=own.imports.jitter_s,
        heartbeat=paths.heartbeat,
    )
    return Keeper(
        runs=it.imports,
        providers=it.providers,
        imports=importer(config, it, stopping, clock=clock),
        rows=it.programs,
        mappings=it.channels,
        publications=publishing(config, it, clock=clock),
        lineups=it.lineups,
        decisions=it.mappings,
        clock=clock,
        plan=plan,
        imported=_stream_link(config).guide_imported,
        watch_times=TimesWatch(
            mappings=it.channels, programs=it.programs, log=it.imports, clock=clock, notifier=_notifier()
        ).look,
        ready=lambda: say_ready("keeper"),
        look=levels(config).look,
        stopping=stopping,
        behind=indexing(config, it).work if own.search.enabled else lambda _: False,
    )


def indexing(config: Loaded[EpgSection], it: Stores) -> Indexing:
    """Keeps the search index."""
    paths = paths_of(config)
    index = SearchIndex(paths.search, it.connections, texts=indexed, descriptions=config.own.search.descriptions)
    return Indexing(index=index, damaged=paths.search_damaged)


def _stream_link(config: Config) -> StreamLink:
    port = config.ports.get("stream", USUAL_STREAM_PORT)
    return StreamLink(
        asking=_fetcher(config),
        stream_url=config.own.stream_url or f"http://127.0.0.1:{port}",
        secret=internal_secret(config.data_dir, os.environ.get("AERIAL_INTERNAL_SECRET")),
    )


def publishing(config: Loaded[EpgSection], it: Stores, *, clock: Clock = CLOCK) -> Publishing:
    """Writes the published files."""
    return Publishing(
        contents=Contents(guide=it.guide, lineups=it.lineups),
        lineups=it.lineups,
        matching=Matching(channels=it.channels, lineups=it.lineups),
        published=PublishedGuides(paths_of(config).published),
        clock=clock,
        mark=it.browse.mark,
    )


def window_of(config: Loaded[EpgSection]) -> Window:
    """The configured retention."""
    days = config.own.retention
    past = days.days if days.past_days is None else days.past_days
    future = days.days if days.future_days is None else days.future_days
    return Window(past, future)


def _notifier() -> Notifier:
    return LoggedEvents(logging.getLogger("events"))


def _unpacked(stream: Packed, /, *, max_bytes: int, losses: Losses) -> Plain:
    """What is packed is unpacked ahead of the parser, on the other core where there is one."""
    found = unpacked(stream, max_bytes=max_bytes, losses=losses)
    return Ahead(found) if found.kinds else found


def _feeds(config: Loaded[EpgSection]) -> Feeds:
    shared, paths = config.shared, paths_of(config)
    return Feeds(
        fetcher=_fetcher(config), import_dir=paths.import_dir, work_dir=paths.work, max_bytes=shared.fetch.max_bytes
    )


def _fetcher(config: Loaded[EpgSection]) -> Fetcher:
    fetch = config.shared.fetch
    return Fetcher(policy=AddressPolicy(networks(fetch.allow), networks(fetch.deny)), timeout_s=fetch.timeout_s)


def _source(feeds: Feeds) -> Callable[[Provider, LastGoodFile, Progress], AbstractContextManager[Feed]]:
    @contextmanager
    def opened(provider: Provider, good: LastGoodFile, progress: Progress) -> Iterator[Feed]:
        asked = Validators(good.etag, good.last_modified)
        with feeds.opened(provider.xmltv_url, asked, progress, known=good.digest) as feed:
            yield feed

    return opened


def _checks(it: Stores, paths: Paths) -> Checks:
    def state() -> State:
        try:
            providers = it.providers.all()
            failing = [one.name for one in providers if one.enabled and _last_failed(it, one)]
        except AerialError as error:
            return State(usable=False, reasons=(error.detail,))
        reasons = [f"the last import of {name} did not succeed" for name in failing]
        if not alive(paths.heartbeat):
            reasons.append("the keeper is not running: nothing is imported")
        return State(reasons=tuple(reasons), detail={"service": "epg", "providers": len(providers)})

    def not_ready() -> str | None:
        return None if alive(paths.heartbeat) else "the keeper is not up yet"

    return Checks(state=state, not_ready=not_ready)


def _last_failed(it: Stores, provider: Provider) -> bool:
    runs = [run for run in it.imports.latest(limit=5, provider_id=provider.id) if run.completed_at is not None]
    return bool(runs) and runs[0].status in ("failed", "rejected", "interrupted")


def _figures(it: Stores) -> Callable[[], list[Sample]]:
    """Figures of imports, read from the store; those of the whole guide are read at most once in half a minute."""
    kept: list[tuple[float, list[Sample]]] = []

    def figures() -> list[Sample]:
        if not kept or time.monotonic() - kept[0][0] > 30:
            kept[:] = [(time.monotonic(), _read_figures(it))]
        return kept[0][1]

    return figures


def _read_figures(it: Stores) -> list[Sample]:
    stats = it.programs.stats()
    found: list[Sample] = [
        ("gauge", "aerial_epg_programs", "Programmes in the guide.", {}, stats.total_programs),
        ("gauge", "aerial_epg_channels_with_programs", "Channels with programmes.", {}, stats.channels_with_epg),
    ]
    for one in it.providers.all():
        labels = {"provider": str(one.id)}
        at = float(one.good.at or 0)
        found.append(("gauge", "aerial_epg_last_good_import_seconds", "Epoch of the last good import.", labels, at))
        for run in it.imports.latest(limit=1, provider_id=one.id):
            imported, skipped = float(run.programs_imported), float(run.programs_skipped)
            found.append(("gauge", "aerial_epg_run_imported", "Programmes of the last run.", labels, imported))
            found.append(("gauge", "aerial_epg_run_skipped", "Programmes the last run left out.", labels, skipped))
    return found
