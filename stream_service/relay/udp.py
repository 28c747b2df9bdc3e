"""UDP and RTP as an upstream: a group joined (or a port listened to), datagrams drained by the wheel.

`udp://239.1.2.3:5000`, `udp://@239.1.2.3:5000`, `udp://10.0.0.9@239.1.2.3:5000` (that sender only), `rtp://…` alike.
RTP (RFC 3550, payload type 33 of RFC 3551) is told by each datagram's own first byte, since boxes send it under either
name; its header is taken off, nothing is reordered, numbers that are missing are counted.

Whoever sends into the home network can be listened to, so such an address counts only when an administrator's own list
named it: a file, an upload, a list from a private address.
"""

import ipaddress
import socket
import struct
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from servicekit.errors import Invalid, Refused, Unreachable
from servicekit.redact import redact
from stream_service import native
from stream_service.domain.model import StreamAddress

SCHEMES = ("udp", "rtp")
_RECEIVE_BYTES = 4 * 1024 * 1024
_DATAGRAM_BYTES = 65_536
_SYNC = 0x47
_IP_MULTICAST_ALL = 49  # linux/in.h; Python has no name for it
_ADD_SOURCE_MEMBERSHIP = 39


@dataclass(frozen=True, slots=True)
class Group:
    """Where datagrams come to: `host` is a group, or an address of this machine; `sender` '' is anybody."""

    host: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    sender: str = ""


def group_of(url: str) -> Group:
    """The group that an address names; raises `Invalid`."""
    try:
        parts = urlsplit(url)
        host, port = ipaddress.ip_address(parts.hostname or ""), parts.port or 0
        sender = str(ipaddress.ip_address(parts.username)) if parts.username else ""
    except ValueError as error:
        raise Invalid(f"{redact(url)}: udp and rtp addresses are a number and a port (udp://239.1.2.3:5000)") from error
    if parts.scheme.lower() not in SCHEMES or not port:
        raise Invalid(f"{redact(url)}: udp and rtp addresses need a port (udp://239.1.2.3:5000)")
    if not (host.is_multicast or host.is_loopback or host.is_unspecified or host.is_private):
        raise Invalid(f"{redact(url)}: {host} is neither a multicast group nor an address of this machine")
    return Group(host, port, sender)


class UdpUpstream:
    """A socket that listens. `interface`: this machine's address (IPv4) or interface name (IPv6) to join by; '' is the
    system's choice. Raises `Refused`, `Invalid`, `Unreachable` (the port is taken, no such interface)."""

    def __init__(self, address: StreamAddress, *, interface: str = "") -> None:
        if not address.private_ok:
            raise Refused(
                f"{redact(address.url)}: udp and rtp addresses are taken only from lists of the home network "
                "(a file in import/, an upload, an address of the home network)"
            )
        self.ended: str | None = None
        self.lost = 0
        """RTP packets that did not come, or not in order."""
        self._expected: int | None = None
        group = group_of(address.url)
        try:
            self._sock = native.bare_socket(_listening(group, interface).detach())
        except OSError as error:
            raise Unreachable(f"{redact(address.url)} cannot be listened to: {error.strerror or error}") from error

    def drain(self, into: memoryview) -> int:
        filled = 0
        try:
            while len(into) - filled >= _DATAGRAM_BYTES:
                got = self._sock.recv_into(into[filled:])
                filled += self._kept(into[filled : filled + got])
        except BlockingIOError:
            pass  # nothing more for now
        except OSError as error:
            self.ended = f"listening failed: {error.strerror or error}"
        return filled

    def close(self) -> None:
        self._sock.close()

    def _kept(self, datagram: memoryview) -> int:
        """How many bytes of payload the datagram has, moved to its beginning."""
        if len(datagram) and datagram[0] == _SYNC:
            return len(datagram)
        start, end = payload_of(datagram)
        if start < 0:
            return 0
        number = datagram[2] << 8 | datagram[3]
        if self._expected is not None and number != self._expected:
            self.lost += 1
        self._expected = (number + 1) & 0xFFFF
        datagram[: end - start] = datagram[start:end]
        return end - start


def payload_of(datagram: memoryview | bytes) -> tuple[int, int]:
    """Where the payload of an RTP packet begins and ends; (-1, -1) for what is none (RFC 3550, 5.1)."""
    size = len(datagram)
    if size < 12 or datagram[0] >> 6 != 2:
        return -1, -1
    start = 12 + 4 * (datagram[0] & 0x0F)
    if datagram[0] & 0x10:
        if start + 4 > size:
            return -1, -1
        start += 4 + 4 * (datagram[start + 2] << 8 | datagram[start + 3])
    end = size - (datagram[-1] if datagram[0] & 0x20 else 0)
    return (start, end) if start < end and datagram[start] == _SYNC else (-1, -1)


def _listening(group: Group, interface: str) -> socket.socket:
    family = socket.AF_INET if group.host.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        linux = sys.platform.startswith("linux")
        # Bound to the group, the kernel leaves out what other groups send to the same port.
        sock.bind((str(group.host) if linux or not group.host.is_multicast else "", group.port))
        if isinstance(group.host, ipaddress.IPv6Address):
            if group.host.is_multicast:
                index = socket.if_nametoindex(interface) if interface else 0
                sock.setsockopt(
                    socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group.host.packed + struct.pack("@I", index)
                )
        elif group.host.is_multicast:
            _join(sock, group, interface or "0.0.0.0")  # noqa: S104 - "any": the system's choice of interface
            if linux:
                sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    except BaseException:
        sock.close()
        raise
    return sock


def _join(sock: socket.socket, group: Group, interface: str) -> None:
    packed, by = group.host.packed, socket.inet_aton(interface)
    if group.sender:
        sock.setsockopt(socket.IPPROTO_IP, _ADD_SOURCE_MEMBERSHIP, packed + by + socket.inet_aton(group.sender))
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, packed + by)
