"""UDP and RTP: groups on the loopback interface alone."""

import socket
import struct
from collections.abc import Iterator

import pytest

from servicekit.errors import Invalid, Refused, Unreachable
from stream_service.relay.udp import UdpUpstream, group_of, payload_of
from tests.stream import hlskit
from tests.stream.hlskit import closing, drained
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.held import leaves_nothing

GROUP = "239.255.7.9"


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with leaves_nothing():
        yield


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        yield sock


def datagrams(count: int) -> list[bytes]:
    data = ts.Numbered().pictures(count)
    return [data[at : at + 7 * ts.PACKET] for at in range(0, len(data), 7 * ts.PACKET)]


def rtp(payload: bytes, number: int, *, extension: bytes = b"", sources: int = 0, padding: int = 0) -> bytes:
    first = 0x80 | (0x10 if extension else 0) | (0x20 if padding else 0) | sources
    head = struct.pack(">BBHII", first, 33, number & 0xFFFF, 1234, 99) + bytes(4 * sources)
    if extension:
        head += struct.pack(">HH", 0xBEDE, len(extension) // 4) + extension
    return head + payload + (bytes(padding - 1) + bytes((padding,)) if padding else b"")


@pytest.mark.parametrize("at", ["", "@"])
@pytest.mark.parametrize("scheme", ["udp", "rtp"])
@pytest.mark.parametrize("with_header", [False, True], ids=["bare", "RTP"])
def test_a_group_is_joined_and_its_packets_come_out(
    port: int, sender: socket.socket, at: str, scheme: str, with_header: bool
) -> None:
    upstream = UdpUpstream(hlskit.address(f"{scheme}://{at}{GROUP}:{port}"), interface="127.0.0.1")
    with closing(upstream):
        sent = datagrams(10)
        for number, one in enumerate(sent):
            sender.sendto(rtp(one, 65_530 + number) if with_header else one, (GROUP, port))
        want = b"".join(sent)
        assert drained(upstream, len(want)) == want
        assert (upstream.ended, upstream.lost) == (None, 0)


def test_an_address_of_this_machine_is_listened_to(port: int, sender: socket.socket) -> None:
    upstream = UdpUpstream(hlskit.address(f"udp://127.0.0.1:{port}"))
    with closing(upstream):
        sender.sendto(datagrams(1)[0], ("127.0.0.1", port))
        assert drained(upstream, 7 * ts.PACKET) == datagrams(1)[0]
    upstream.close()


def test_missing_numbers_are_counted_and_other_datagrams_left_out(port: int, sender: socket.socket) -> None:
    upstream = UdpUpstream(hlskit.address(f"rtp://127.0.0.1:{port}"))
    with closing(upstream):
        sent = datagrams(3)
        for one in (rtp(sent[0], 1), b"not a packet at all", b"", rtp(sent[1], 3), rtp(b"\x00" * 50, 4)):
            sender.sendto(one, ("127.0.0.1", port))
        assert drained(upstream, 2 * 7 * ts.PACKET) == sent[0] + sent[1]
        assert upstream.lost == 1


def test_a_full_buffer_loses_nothing(port: int, sender: socket.socket) -> None:
    upstream = UdpUpstream(hlskit.address(f"udp://127.0.0.1:{port}"))
    with closing(upstream):
        sent = datagrams(100)
        for one in sent:
            sender.sendto(one, ("127.0.0.1", port))
        buffer, out = memoryview(bytearray(70_000)), bytearray()
        while got := upstream.drain(buffer):
            out += buffer[:got]
        assert bytes(out) == b"".join(sent)


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(rtp(b"\x47" + bytes(187), 1), id="plain"),
        pytest.param(rtp(b"\x47" + bytes(187), 1, sources=3), id="contributing sources"),
        pytest.param(rtp(b"\x47" + bytes(187), 1, extension=bytes(8)), id="extension"),
        pytest.param(rtp(b"\x47" + bytes(187), 1, padding=5), id="padding"),
    ],
)
def test_headers_are_taken_off(packet: bytes) -> None:
    start, end = payload_of(packet)
    assert packet[start:end] == b"\x47" + bytes(187)


@pytest.mark.parametrize("packet", [b"", b"\x80", bytes(20), rtp(b"audio", 1), rtp(b"", 1), b"\x9f" + bytes(15)])
def test_what_is_no_rtp_has_no_payload(packet: bytes) -> None:
    assert payload_of(packet) == (-1, -1)


@pytest.mark.parametrize(
    "url",
    ["udp://239.1.1.1", "udp://example.org:5000", "udp://@:5000", "rtp://8.8.8.8:5000", "udp://239.1.1.1:99999",
     "udp://x@239.1.1.1:5000"],
)  # fmt: skip
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(Invalid):
        group_of(url)


def test_a_sender_may_be_named() -> None:
    assert group_of("udp://10.0.0.9@232.1.1.1:5000").sender == "10.0.0.9"


def test_lists_from_far_away_may_not_name_groups() -> None:
    with pytest.raises(Refused, match="home network"):
        UdpUpstream(hlskit.address(f"udp://@{GROUP}:5000", private_ok=False))


def test_an_interface_that_is_not_here_is_said(port: int) -> None:
    with pytest.raises(Unreachable, match="cannot be listened to"):
        UdpUpstream(hlskit.address(f"udp://@{GROUP}:{port}"), interface="192.0.2.1")
