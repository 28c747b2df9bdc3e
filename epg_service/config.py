"""The `epg:` section of the configuration, and the environment variables that override it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from servicekit.config import Database, Loaded, Origin, Port, Section, Server, TimeOfDay, Variable, Zone, load

Days = Annotated[int, Field(ge=0, le=3650)]


class EpgServer(Server):
    port: Port = 8080


class EpgDatabase(Database):
    path: str = "epg.db"


class Retention(Section):
    days: Days = 7
    past_days: Days | None = None
    future_days: Days | None = None


class Scheduler(Section):
    import_time: TimeOfDay = "03:00"
    timezone: Zone = "UTC"


class Guide(Section):
    main: Annotated[str, Field(min_length=1, max_length=64)] = "auto"


class Search(Section):
    enabled: bool = True
    descriptions: bool = False


class Imports(Section):
    min_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    log_days: Annotated[int, Field(ge=1, le=3650)] = 90
    min_interval_minutes: Annotated[int, Field(ge=0, le=1440)] = 15
    jitter_s: Annotated[int, Field(ge=0, le=3600)] = 20


class EpgSection(Section):
    server: EpgServer = EpgServer()
    database: EpgDatabase = EpgDatabase()
    retention: Retention = Retention()
    scheduler: Scheduler = Scheduler()
    guide: Guide = Guide()
    imports: Imports = Imports()
    search: Search = Search()
    stream_url: Origin = ""


VARIABLES = (
    Variable("EPG_DB_PATH", "epg.database.path"),
    Variable("EPG_SERVER_HOST", "epg.server.host"),
    Variable("EPG_SERVER_PORT", "epg.server.port"),
    Variable("EPG_SERVER_DEBUG", "epg.server.debug"),
    Variable("EPG_CORS_ENABLED", "epg.server.cors_enabled"),
    Variable("EPG_RETENTION_DAYS", "epg.retention.days"),
    Variable("EPG_IMPORT_TIME", "epg.scheduler.import_time"),
    Variable("EPG_TIMEZONE", "epg.scheduler.timezone"),
    Variable("EPG_LOG_LEVEL", "logging.level"),
    Variable("EPG_LOG_FORMAT", "logging.format"),
    Variable("EPG_STREAM_URL", "epg.stream_url"),
)


def load_config(file: Path | None, environ: Mapping[str, str]) -> Loaded[EpgSection]:
    """The guide service's configuration; raises `Invalid` with every fault and its place."""
    return load(file, service="epg", model=EpgSection, variables=VARIABLES, environ=environ)
