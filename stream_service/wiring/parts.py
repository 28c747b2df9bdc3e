"""What the web worker and the keeper both stand on: the configuration, paths, stores, settings, ways out."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from servicekit.addresses import AddressPolicy, networks
from servicekit.clock import SystemClock
from servicekit.config import Loaded, find_file
from servicekit.fetch import Fetcher
from servicekit.levels import LevelFollower
from servicekit.settings import Settings, settings_in
from servicekit.store.sqlite import Connections
from stream_service.config import StreamSection, load_config
from stream_service.lineups.publish import PublishedFiles
from stream_service.sources.types import Ways
from stream_service.store.builds import Builds
from stream_service.store.channels import Channels
from stream_service.store.connection import open_database
from stream_service.store.library import Library
from stream_service.store.library_intake import LibraryIntake
from stream_service.store.lineup_channels import LineupChannels
from stream_service.store.lineups import Lineups
from stream_service.store.lists import Lists
from stream_service.store.manual import ManualChannels
from stream_service.store.runs import Runs
from stream_service.store.sources import Sources
from stream_service.wiring.sourcing import ways_of

EPG_PORT = 8080

Config = Loaded[StreamSection]


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
    return settings_in(config.data_dir)


def levels(config: Config) -> LevelFollower:
    """Follows the level of the logs that is asked for."""
    return LevelFollower(
        settings=settings(config),
        marker=paths_of(config).reload,
        configured=lambda: configuration(str(config.file) if config.file else None).shared.logging.level,
        level=config.shared.logging.level,
    )


def published_files(config: Config) -> PublishedFiles:
    """Where published files stand."""
    return PublishedFiles(paths_of(config).published)


def _policy(config: Config) -> AddressPolicy:
    fetch = config.shared.fetch
    return AddressPolicy(networks(fetch.allow), networks(fetch.deny))


def fetcher_of(config: Config) -> Fetcher:
    return Fetcher(policy=_policy(config), timeout_s=config.shared.fetch.timeout_s)


def epg_url_of(config: Config) -> str:
    return config.own.epg_url or f"http://127.0.0.1:{config.ports.get('epg', EPG_PORT)}"


def ways_to(config: Config, it: Stores) -> Ways:
    paths = paths_of(config)
    return ways_of(
        it.connections,
        fetcher=fetcher_of(config),
        import_dir=paths.import_dir,
        spool_dir=paths.work,
        max_bytes=config.shared.fetch.max_bytes,
        clock=SystemClock(),
    )
