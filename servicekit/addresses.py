"""Which addresses an outgoing connection may go to, judged on the address actually connected to.

Three askers: an administrator's own words (`typed`) may name anything but the nevers; content (a playlist, a guide,
a redirect) may name what is public; and content that came from a private address may name private ones too.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from servicekit.errors import Invalid, Refused
from servicekit.redact import redact

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Cloud metadata and link-local, "this network", multicast, reserved and broadcast: nobody's guide lives there.
_NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::254/128",
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")
_COMPATIBLE = ipaddress.ip_network("::/96")  # `::127.0.0.1`, long deprecated; `::` and `::1` are themselves
# What `is_global` calls public on some of our Pythons: NAT64 of a site, IPv4-translated, site-local.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b:1::/48", "::ffff:0:0:0/96", "fec0::/10")
)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks that checked texts of the configuration name (`10.0.0.0/8`, or one address)."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def checked_url(url: str) -> str:
    """The address itself; raises `Invalid` unless it is http(s), has a host, and no blanks or controls."""
    if any(c <= " " or c in "\\\x7f" for c in url):
        raise Invalid("an address must not hold blanks, backslashes or control characters: write them %-encoded")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Invalid(f"the address cannot be read ({error}): {redact(url)}") from error
    if parts.scheme.lower() not in ("http", "https"):
        raise Invalid(f"only http:// and https:// addresses are fetched, not {parts.scheme or 'a bare name'!r}")
    try:
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise Invalid(f"the address's port is no number from 1 to 65535: {redact(url)}") from error
    if not usable:
        raise Invalid(f"the address names no host: {redact(url)}")
    return url


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose word an address is asked for (see the module's first lines)."""

    typed: bool
    private_ok: bool = False


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """The rule, with the operator's exceptions: `deny` beats `allow`, `allow` beats the rest."""

    allow: Sequence[Network] = ()
    deny: Sequence[Network] = ()

    def judge(self, text: str, asker: Asker) -> Address:
        """The address that `text` means; raises `Refused` with the reason and the key to set."""
        address = plain(ipaddress.ip_address(text.partition("%")[0]))
        if _within(address, self.deny):
            raise Refused(f"{address} is in fetch.deny")
        if _within(address, self.allow):
            return address
        if _within(address, _NEVER):
            raise Refused(f"{address} is link-local, multicast or unspecified: never fetched (fetch.allow overrides)")
        if asker.typed or public(address) or asker.private_ok:
            return address
        raise Refused(
            f"{address} is private, and it was named by content that came from a public address (fetch.allow overrides)"
        )


def plain(address: Address) -> Address:
    """The IPv4 address inside a mapped, compatible, NAT64 or 6to4 one; the address itself otherwise."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if address in _SIX_TO_FOUR and address.sixtofour:
            return address.sixtofour
    return address


def public(address: Address) -> bool:
    """True for an address of the open internet (multicast and shared 100.64/10 are not)."""
    return address.is_global and not address.is_multicast and not _within(address, _NOT_PUBLIC)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
