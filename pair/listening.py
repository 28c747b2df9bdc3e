"""Where the two services listen: read from configuration and environment, checked, and told to people."""

import socket
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict

from servicekit.config import Port, Section, Variable, load
from servicekit.errors import Invalid

_ANYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - compared with, not bound


@dataclass(frozen=True, slots=True)
class Place:
    """Host and port of one service, as configured."""

    host: str
    port: int

    @property
    def local_address(self) -> str:
        """The address for programs of this machine."""
        if self.host == "::":
            return f"http://[::1]:{self.port}"
        return f"http://127.0.0.1:{self.port}" if self.host in _ANYWHERE else self._address(self.host)

    @property
    def home_address(self) -> str:
        """The address for the other machines of the house, when the service listens there; else the local one."""
        return self._address(_own_lan_host()) if self.host in _ANYWHERE else self.local_address

    def _address(self, host: str) -> str:
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Pair:
    """What starting both needs to know of their configuration."""

    file: Path | None
    data_dir: Path
    public_url: str
    guide: Place
    streams: Place
    links: dict[str, str]
    """Environment that tells each service where the other one is, for those that the file does not tell."""


class _Listening(Section):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)  # the service itself judges the rest


class _GuideServer(_Listening):
    host: str = "0.0.0.0"  # noqa: S104 - the services' own default
    port: Port = 8080


class _StreamServer(_GuideServer):
    port: Port = 8081


class _Guide(_Listening):
    server: _GuideServer = _GuideServer()
    stream_url: str = ""


class _Streams(_Listening):
    server: _StreamServer = _StreamServer()
    epg_url: str = ""


_GUIDE_VARIABLES = (
    Variable("EPG_SERVER_HOST", "epg.server.host"),
    Variable("EPG_SERVER_PORT", "epg.server.port"),
    Variable("EPG_STREAM_URL", "epg.stream_url"),
)
_STREAM_VARIABLES = (
    Variable("STREAM_SERVER_HOST", "stream.server.host"),
    Variable("STREAM_SERVER_PORT", "stream.server.port"),
    Variable("STREAM_EPG_URL", "stream.epg_url"),
)


def read(file: Path | None) -> Pair:
    """Return where both services will listen; raises `Invalid` for a file that neither of them could use."""
    guide = load(file, service="epg", model=_Guide, variables=_GUIDE_VARIABLES)
    streams = load(file, service="stream", model=_Streams, variables=_STREAM_VARIABLES)
    guide_place = Place(guide.own.server.host, guide.own.server.port)
    streams_place = Place(streams.own.server.host, streams.own.server.port)
    if guide_place.port == streams_place.port:
        raise Invalid(f"epg.server.port and stream.server.port are both {guide_place.port}: each needs its own")
    links = {}
    if not guide.own.stream_url:
        links["EPG_STREAM_URL"] = streams_place.local_address
    if not streams.own.epg_url:
        links["STREAM_EPG_URL"] = guide_place.local_address
    return Pair(file, guide.data_dir, guide.shared.public_url, guide_place, streams_place, links)


def is_free(place: Place) -> bool:
    """Tell whether the place can be listened on now."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.host, place.port))
        except OSError:
            return False
    return True


def free_port(host: str) -> int:
    """Return a port that nobody listens on; somebody else may take it before it is used."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _own_lan_host() -> str:
    """Return the address that this machine has towards its network; connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: an address that exists nowhere
        except OSError:
            return "127.0.0.1"
        host: str = probe.getsockname()[0]
        return host
