"""Who is asking: the client's address behind proxies, whether it is of this home, and which host names are ours."""

import contextlib
import ipaddress
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from servicekit.addresses import Address, Network, plain

FORWARDING = frozenset(
    {
        "x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-host", "x-forwarded-proto", "x-client-ip",
        "true-client-ip", "cf-connecting-ip",
    }
)  # fmt: skip
"""Headers, in lower case, that tell of a proxy between the caller and us."""
_HOST = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.IGNORECASE | re.ASCII)
_HOME_SUFFIXES = (".local", ".lan", ".home.arpa", ".internal", ".localhost")
_HOME_NETWORKS: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


@dataclass(frozen=True, slots=True)
class Caller:
    """`address` is the peer, or the last untrusted hop that trusted proxies tell of. `local`: of this home."""

    address: str
    local: bool
    loopback: bool
    trusted_peer: bool
    """The peer is a trusted proxy, so what it forwards (scheme, host, prefix) is believed."""


def caller(peer: str, headers: Mapping[str, str], trusted: Sequence[Network]) -> Caller:
    """Whom the request comes from. Forwarding headers of an untrusted peer are not believed and make it not local."""
    address = _address(peer)
    if address is None:
        return Caller(peer, local=False, loopback=False, trusted_peer=False)
    told_by = {name.lower(): value for name, value in headers.items()}
    if not _within(address, trusted):
        return _told(address, believed=not FORWARDING & told_by.keys(), trusted_peer=False)
    hops = [hop.strip() for hop in told_by.get("x-forwarded-for", "").split(",") if hop.strip()]
    if not hops and ("forwarded" in told_by or "x-real-ip" in told_by):
        # It forwards for somebody whom it names in a way that is not read here: not the proxy's own request.
        return _told(address, believed=False, trusted_peer=True)
    for hop in reversed(hops):
        told = _address(hop)
        if told is None:
            return Caller(hop, local=False, loopback=False, trusted_peer=True)
        address = told
        if not _within(told, trusted):
            break
    return _told(address, believed=True, trusted_peer=True)


def _told(address: Address, *, believed: bool, trusted_peer: bool) -> Caller:
    local = believed and (_within(address, _HOME_NETWORKS) or _within(address, on_link_networks()))
    return Caller(str(address), local, believed and address.is_loopback, trusted_peer)


def _address(text: str) -> Address | None:
    bare = text.removeprefix("[").partition("]")[0].partition("%")[0]
    if bare.count(":") == 1:  # 192.0.2.1:4711, as some proxies write it
        bare = bare.partition(":")[0]
    with contextlib.suppress(ValueError):
        return plain(ipaddress.ip_address(bare))
    return None


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


@lru_cache(maxsize=1)
def on_link_networks() -> tuple[Network, ...]:
    """The networks this machine's interfaces are on (Linux's /proc; none elsewhere), read once."""
    found: list[Network] = []
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/route").read_text("ascii").splitlines()[1:]:
            _, target, gateway, _, _, _, _, mask, *_ = line.split()
            if gateway == "00000000" and mask != "00000000":
                found.append(ipaddress.ip_network((_little(target), _count_bits(mask)), strict=False))
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text("ascii").splitlines():
            digits, _, bits, *_ = line.split()
            found.append(ipaddress.ip_network((int(digits, 16), int(bits, 16)), strict=False))
    return tuple(network for network in found if network.prefixlen >= 8)


def _little(text: str) -> int:
    return int.from_bytes(bytes.fromhex(text), "little")


def _count_bits(text: str) -> int:
    return int(text, 16).bit_count()


def host_is_ours(host: str, public_url: str) -> bool:
    """Whether a Host header names this machine: literals, localhost, single labels, home suffixes, our own names.

    A page of another site cannot make a browser send one of these (DNS rebinding needs a public name).
    """
    if not _HOST.fullmatch(host):
        return False
    name = host.rpartition(":")[0] if re.search(r":\d*$", host) and not host.endswith("]") else host
    name = name.strip("[]").rstrip(".").lower()
    if ":" in name:
        return _address(name) is not None
    if not name:
        return False
    if _address(name) is not None or name == "localhost" or "." not in name or name.endswith(_HOME_SUFFIXES):
        return True
    return name in {socket.gethostname().lower(), (urlsplit(public_url).hostname or "").lower()}


def in_container() -> bool:
    """Whether this process runs in a container, where every outside caller wears the bridge's address."""
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists()
