"""What requests carry, checked."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from servicekit.errors import Invalid
from servicekit.web import PageQuery, Shape
from stream_service.domain.schedule import cron_of

MAX_HEADERS = 32
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "upgrade", "expect"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)


def _text(value: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in value) or not value.strip():
        raise ValueError("one line of text is needed")
    return value.strip()


def _schedule(text: str | None) -> str | None:
    try:
        return None if text is None else cron_of(text)
    except Invalid as error:
        raise ValueError(error.detail) from error


def _headers(found: dict[str, str]) -> dict[str, str]:
    if len(found) > MAX_HEADERS:
        raise ValueError(f"at most {MAX_HEADERS} headers")
    for name, value in found.items():
        if name.lower() in _OURS:
            raise ValueError(f"{name} is set by the connection itself and cannot be chosen")
        if not _HEADER_NAME.fullmatch(name) or len(value) > 4_000:
            raise ValueError(f"{name[:40]!r} is no header name, or its value is over 4000 characters")
        if any(not 32 <= ord(c) < 256 or ord(c) == 127 for c in value):
            raise ValueError(f"the value of {name} must be printable Latin-1 text")
    return found


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_text)]
Address = Annotated[str, Field(min_length=1, max_length=4_000), AfterValidator(_text)]
Login = Annotated[str | None, Field(min_length=1, max_length=400)]
Schedule = Annotated[str | None, Field(max_length=100), AfterValidator(_schedule)]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]
Number = Annotated[int, Field(ge=1, lt=1 << 53)]
Limit = Annotated[int | None, Field(ge=1, le=10_000)]
SourceType = Literal["m3u", "xtream", "manual"]


class Timeouts(Shape):
    """Seconds; what is left out is the configuration's."""

    connect_s: float | None = Field(None, gt=0, le=600)
    first_byte_s: float | None = Field(None, gt=0, le=600, description="To a stream's first packet.")
    stall_s: float | None = Field(None, gt=0, le=600, description="Silence after which a stream is given up.")
    read_s: float | None = Field(None, gt=0, le=3600)
    total_s: float | None = Field(None, gt=0, le=86_400)


class SourceOptions(Shape):
    """What of a source's list is taken; what is left out is on (`vod_as_channels`: off)."""

    live: bool | None = None
    vod: bool | None = Field(None, description="Movies, into the library.")
    series: bool | None = None
    vod_as_channels: bool | None = Field(None, description="M3U: movies and series are channels, not library.")


class SourcePath(Shape):
    source_id: Number


class SourceRunPath(SourcePath):
    run_id: Number


class ChannelPath(Shape):
    channel_id: Annotated[str, Field(max_length=200)]


class LineupPath(Shape):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class ChannelsQuery(PageQuery):
    q: str = Field("", max_length=200, description="Only channels whose name contains this.")


class RefreshBody(Shape):
    force: bool = Field(False, description="Take the list even when it is empty or holds much less than the last one.")


class NewSource(Shape):
    name: Name
    type: SourceType = "m3u"
    url: Address = Field("", description="http(s) address, or the name of a file in the import directory.")
    username: Login = Field(None, description="Of an Xtream account.")
    password: Login = Field(None, description="Never shown again.")
    backup_urls: list[Address] = Field(default_factory=list, max_length=20, description="Xtream: other hosts.")
    options: SourceOptions | None = None
    auto_epg: bool = Field(True, description="Xtream: link the panel's guide at the guide service.")
    enabled: bool = True
    schedule: Schedule = Field(None, description="Cron expression, or HH:MM; daily when left out.")
    connection_limit: Limit = None
    user_agent: Annotated[str, Field(max_length=400), AfterValidator(_text)] | None = None
    headers: Headers = Field(default_factory=dict)
    timeouts: Timeouts | None = None


class ChangedSource(Shape):
    name: Name | None = None
    type: SourceType | None = None
    url: Address | None = None
    username: Login = None
    password: Login = None
    backup_urls: Annotated[list[Address], Field(max_length=20)] | None = None
    options: SourceOptions | None = None
    auto_epg: bool | None = None
    enabled: bool | None = None
    schedule: Schedule = None
    connection_limit: Limit = None
    user_agent: Annotated[str, Field(max_length=400), AfterValidator(_text)] | None = None
    headers: Headers | None = None
    timeouts: Timeouts | None = None
