"""The `stream:` section of the configuration, and the environment variables that override it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from servicekit.config import Database, Loaded, Origin, Port, Section, Server, TimeOfDay, Variable, Zone, load

Seconds = Annotated[float, Field(gt=0, le=600)]


class StreamServer(Server):
    port: Port = 8081


class StreamDatabase(Database):
    path: str = "stream.db"


class Scheduler(Section):
    refresh_time: TimeOfDay = "03:30"
    timezone: Zone = "UTC"


class Refreshes(Section):
    min_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    log_days: Annotated[int, Field(ge=1, le=3650)] = 90
    keep_vanished_days: Annotated[int, Field(ge=1, le=3650)] = 30


class Guarding(Section):
    enabled: bool = True
    delay_s: Annotated[float, Field(gt=0, le=3600)] = 15.0
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 20


class LineupBuilding(Section):
    settle_s: Annotated[float, Field(ge=0, le=600)] = 1.0
    log_days: Annotated[int, Field(ge=1, le=3650)] = 30


class Relay(Section):
    backlog_s: Seconds = 5.0
    ring_max_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 30)] = 48 << 20
    connect_s: Seconds = 5.0
    first_byte_s: Seconds = 30.0
    stall_s: Seconds = 12.0
    stall_min_s: Seconds = 4.0
    grace_s: Seconds = 10.0
    slate_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    slate_before_first_byte: bool = False
    breaker_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    breaker_open_s: Seconds = 30.0
    preempt: bool = False
    most_jumps: Annotated[int, Field(ge=1, le=1000)] = 5
    jumps_within_s: Seconds = 60.0
    stuck_s: Seconds = 30.0


class Ffmpeg(Section):
    ffmpeg: Annotated[str, Field(min_length=1, pattern=r"^[^-]")] = "ffmpeg"
    ffprobe: Annotated[str, Field(min_length=1, pattern=r"^[^-]")] = "ffprobe"


class Hls(Section):
    most_bandwidth_mbps: Annotated[float, Field(ge=0, le=1000)] = 0.0
    segment_s: Annotated[float, Field(ge=1, le=10)] = 4.0
    listed: Annotated[int, Field(ge=3, le=20)] = 5
    max_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 30)] = 64 << 20
    idle_s: Seconds = 30.0


class Discovery(Section):
    hdhomerun: bool = False
    ssdp: bool = False
    address: Annotated[str, Field(pattern=r"^$|^\d{1,3}(?:\.\d{1,3}){3}$")] = ""
    hdhomerun_port: Port = 65001
    ssdp_port: Port = 1900


class Library(Section):
    strm_dir: str = ""
    strm_url: Origin = ""


class StreamSection(Section):
    server: StreamServer = StreamServer()
    database: StreamDatabase = StreamDatabase()
    scheduler: Scheduler = Scheduler()
    refreshes: Refreshes = Refreshes()
    ingestion_guard: Guarding = Guarding()
    lineups: LineupBuilding = LineupBuilding()
    relay: Relay = Relay()
    ffmpeg: Ffmpeg = Ffmpeg()
    hls: Hls = Hls()
    discovery: Discovery = Discovery()
    library: Library = Library()
    multicast_interface: str = ""
    epg_url: Origin = ""
    import_dir: Annotated[str, Field(min_length=1)] = "import"


VARIABLES = (
    Variable("STREAM_DB_PATH", "stream.database.path"),
    Variable("STREAM_SERVER_HOST", "stream.server.host"),
    Variable("STREAM_SERVER_PORT", "stream.server.port"),
    Variable("STREAM_SERVER_DEBUG", "stream.server.debug"),
    Variable("STREAM_CORS_ENABLED", "stream.server.cors_enabled"),
    Variable("STREAM_REFRESH_TIME", "stream.scheduler.refresh_time"),
    Variable("STREAM_TIMEZONE", "stream.scheduler.timezone"),
    Variable("STREAM_LOG_LEVEL", "logging.level"),
    Variable("STREAM_LOG_FORMAT", "logging.format"),
    Variable("STREAM_EPG_URL", "stream.epg_url"),
    Variable("STREAM_INGESTION_GUARD_ENABLED", "stream.ingestion_guard.enabled"),
    Variable("STREAM_INGESTION_GUARD_DELAY_S", "stream.ingestion_guard.delay_s"),
    Variable("STREAM_INGESTION_GUARD_MAX_ATTEMPTS", "stream.ingestion_guard.max_attempts"),
)


def load_config(file: Path | None, environ: Mapping[str, str]) -> Loaded[StreamSection]:
    """The stream service's configuration; raises `Invalid` with every fault and its place."""
    return load(file, service="stream", model=StreamSection, variables=VARIABLES, environ=environ)
