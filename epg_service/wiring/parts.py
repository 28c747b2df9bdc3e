"""What the web workers, the keeper and the commands all stand on: configuration, paths, stores, settings, ways out."""

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epg_service.config import EpgSection, load_config
from epg_service.lineups.published import PublishedGuides
from epg_service.providers.feed import Feeds
from epg_service.store.browse import Browse
from epg_service.store.channels import Channels
from epg_service.store.connection import open_database
from epg_service.store.guide import Guide
from epg_service.store.imports import ImportLog
from epg_service.store.lineups import Lineups
from epg_service.store.mappings import Mappings
from epg_service.store.programs import Programs
from epg_service.store.providers import Providers
from epg_service.xmltv.fields import fields
from servicekit.addresses import AddressPolicy, networks
from servicekit.clock import Clock, SystemClock
from servicekit.config import Loaded, find_file
from servicekit.keys import internal_secret
from servicekit.levels import LevelFollower
from servicekit.settings import Settings, settings_in
from servicekit.store.sqlite import Connections

if TYPE_CHECKING:
    from servicekit.fetch import Answer, Fetcher

CLOCK: Clock = SystemClock()
USUAL_STREAM_PORT = 8081

Config = Loaded[EpgSection]


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
    def pieces(self) -> Path:
        return self.run / "epg-pieces"

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


def configuration(argument: str | None, environ: Mapping[str, str] = os.environ) -> Config:
    """The checked configuration; raises `Invalid` with every fault."""
    return load_config(find_file(argument, environ), environ)


def paths_of(config: Config) -> Paths:
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


def stores(config: Config, *, clock: Clock = CLOCK) -> Stores:
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


def settings(config: Config) -> Settings:
    """The runtime settings that both services share."""
    return settings_in(config.data_dir)


def levels(config: Config) -> LevelFollower:
    """Follows the level of the logs that is asked for."""
    return LevelFollower(
        settings=settings(config),
        marker=paths_of(config).reload,
        configured=lambda: configuration(str(config.file) if config.file else None).shared.logging.level,
        level=config.shared.logging.level,
    )


def published_guides(config: Config) -> PublishedGuides:
    """The published files."""
    return PublishedGuides(paths_of(config).published)


def stream_port(config: Config) -> int:
    """Where the stream service listens on this machine, as far as the configuration says."""
    return config.ports.get("stream", USUAL_STREAM_PORT)


def shared_secret(config: Config) -> str:
    """What the two services know one another by."""
    return internal_secret(config.data_dir, os.environ.get("AERIAL_INTERNAL_SECRET"))


class WayOut:
    """Opens addresses under the configured policy."""

    def __init__(self, config: Config) -> None:
        self._config = config.shared.fetch

    def open(self, url: str, **asked: Any) -> "Answer":
        """The answer to a request; see `servicekit.fetch`."""
        return self._fetcher.open(url, **asked)

    @functools.cached_property
    def _fetcher(self) -> "Fetcher":
        # What speaks HTTP is heavy: a command that imports a file, and a web worker, live without it.
        from servicekit.fetch import Fetcher

        own = self._config
        return Fetcher(policy=AddressPolicy(networks(own.allow), networks(own.deny)), timeout_s=own.timeout_s)


def feeds(config: Config) -> Feeds:
    """The guides of providers."""
    shared, paths = config.shared, paths_of(config)
    return Feeds(
        fetcher=WayOut(config), import_dir=paths.import_dir, work_dir=paths.work, max_bytes=shared.fetch.max_bytes
    )
