"""SSDP's messages (UPnP Device Architecture 1.1, section 1): searches read, answers and announcements written. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

MEDIA_SERVER = "urn:schemas-upnp-org:device:MediaServer:1"
ROOT = "upnp:rootdevice"
ALL = "ssdp:all"
MAX_AGE_S = 1800
SERVER = "Linux/1.0 UPnP/1.0 Aerial/1.0"
_MOST_WAIT_S = 5


@dataclass(frozen=True, slots=True)
class Search:
    """Somebody looks for devices; answers may come within `wait_s` seconds."""

    target: str
    wait_s: int


def read_search(data: bytes) -> Search | None:
    """The search; None for any other message."""
    first, *lines = data.decode("latin-1").split("\r\n")
    if not first.upper().startswith("M-SEARCH * HTTP/1."):
        return None
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().upper()] = value.strip()
    if headers.get("MAN", "").strip('"') != "ssdp:discover" or not headers.get("ST"):
        return None
    told = headers.get("MX", "")
    wait_s = int(told) if told.isascii() and told.isdigit() and len(told) < 4 else 1
    return Search(headers["ST"], min(max(wait_s, 1), _MOST_WAIT_S))


def _targets(udn: str) -> tuple[str, ...]:
    return (ROOT, udn, MEDIA_SERVER)


def _usn(udn: str, target: str) -> str:
    return udn if target == udn else f"{udn}::{target}"


def answers(search: Search, *, udn: str, location: str) -> Iterator[bytes]:
    """What a device answers: once for each thing it is that was looked for."""
    for target in _targets(udn):
        if search.target in (ALL, target):
            yield _message(
                "HTTP/1.1 200 OK",
                {
                    "CACHE-CONTROL": f"max-age={MAX_AGE_S}", "EXT": "", "LOCATION": location, "SERVER": SERVER,
                    "ST": target, "USN": _usn(udn, target),
                },
            )  # fmt: skip


def alive(*, udn: str, location: str, host: str) -> Iterator[bytes]:
    """That a device is there, once for each thing it is. `host`: the group that is told."""
    for target in _targets(udn):
        yield _message(
            "NOTIFY * HTTP/1.1",
            {
                "HOST": host, "CACHE-CONTROL": f"max-age={MAX_AGE_S}", "LOCATION": location, "NT": target,
                "NTS": "ssdp:alive", "SERVER": SERVER, "USN": _usn(udn, target),
            },
        )  # fmt: skip


def byebye(*, udn: str, host: str) -> Iterator[bytes]:
    """That a device goes."""
    for target in _targets(udn):
        yield _message(
            "NOTIFY * HTTP/1.1", {"HOST": host, "NT": target, "NTS": "ssdp:byebye", "USN": _usn(udn, target)}
        )


def _message(first: str, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{first}\r\n{lines}\r\n".encode("latin-1", "replace")
