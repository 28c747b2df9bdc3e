"""What the web worker, the keeper and the commands all stand on: the configuration, paths, stores, settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from servicekit.clock import SystemClock
from servicekit.config import Loaded, find_file
from servicekit.keys import internal_secret
from servicekit.levels import LevelFollower
from servicekit.settings import Settings, settings_in
from servicekit.store.sqlite import Connections
from stream_service.config import StreamSection, load_config
from stream_service.lineups.publish import PublishedFiles
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
    def logos(self) -> Path:
        return self.run.parent / "logos"

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


def library_root(files: PublishedFiles) -> Path:
    """Where the lists of films and series are published."""
    return files.root / "library"


def shared_secret(config: Config) -> str:
    """What the two services know one another by."""
    return internal_secret(config.data_dir, os.environ.get("AERIAL_INTERNAL_SECRET"))
