"""Finding tuners: HDHomeRun's packets to the byte, searches answered or not, SSDP, and the tool that Debian has."""

import contextlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_service.discovery import messages, packets
from stream_service.discovery.announcer import Announcer
from stream_service.discovery.hdhomerun import PORT, HdhomerunResponder
from stream_service.discovery.places import Places
from stream_service.discovery.ssdp import SsdpResponder
from stream_service.outputs.hdhr import Device, device_id

JELLYFIN = bytes.fromhex("0002000c0104ffffffff0204ffffffff73cc7d8f")
"""What Jellyfin and old clients send."""
DEVICES = [Device("default", device_id("house", "default"), 4), Device("kids", device_id("house", "kids"), 2)]
IDS = [int(one.id, 16) for one in DEVICES]
HOME = "127.0.0.1"
STRANGER = "203.0.113.9"


def asked(*, kind: int | None = None, ident: int | None = None, multi: tuple[int, ...] = ()) -> bytes:
    values = []
    if kind is not None:
        values.append((packets.DEVICE_TYPE, kind.to_bytes(4, "big")))
    if multi:
        values.append((packets.MULTI_TYPE, b"".join(one.to_bytes(4, "big") for one in multi)))
    if ident is not None:
        values.append((packets.DEVICE_ID, ident.to_bytes(4, "big")))
    return packets.write(packets.DISCOVER_REQUEST, values)


def taken(address: str, port: int, devices: list[Device]) -> HdhomerunResponder:
    """A responder on that port; on port 0 on one that is free for UDP and TCP."""
    places = Places(public_url="", address=address, port=8081)
    for _ in range(20):
        with contextlib.suppress(OSError):
            return HdhomerunResponder(devices=lambda: devices, places=places, address=address, port=port)
    raise AssertionError(f"no port can be had on {address}")


@contextmanager
def responder(
    address: str = "127.0.0.1", port: int = 0, devices: list[Device] = DEVICES
) -> Iterator[HdhomerunResponder]:
    built = taken(address, port, devices)
    stop = threading.Event()
    thread = threading.Thread(target=built.run, args=(stop,))
    thread.start()
    try:
        yield built
    finally:
        stop.set()
        thread.join()
        built.close()


class TestPackets:
    def test_the_request_of_old_clients_is_written_and_read_to_the_byte(self) -> None:
        assert asked(kind=packets.ANY, ident=packets.ANY) == JELLYFIN
        packet = packets.read(JELLYFIN)
        assert packet is not None
        assert packet.kind == packets.DISCOVER_REQUEST
        assert packet.number(packets.DEVICE_ID, 0) == packets.ANY

    @given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=4), st.integers(0, 65_535))
    def test_what_is_written_can_be_read(self, values: list[tuple[int, bytes]], kind: int) -> None:
        packet = packets.read(packets.write(kind, values))
        assert packet is not None
        assert (packet.kind, list(packet.values)) == (kind, values)

    @given(st.binary(max_size=1600))
    def test_no_bytes_are_a_packet_by_chance_or_a_fault(self, data: bytes) -> None:
        packets.read(data)
        assert packets.read(data + b"\0\0\0\0\0") is None or len(data) > 3

    @pytest.mark.parametrize("cut", range(len(JELLYFIN)))
    def test_a_part_of_a_packet_is_none(self, cut: int) -> None:
        assert packets.read(JELLYFIN[:cut]) is None

    @pytest.mark.parametrize(
        ("data", "found"),
        [
            pytest.param(asked(), [0, 1], id="anything"),
            pytest.param(asked(kind=1), [0, 1], id="any tuner"),
            pytest.param(asked(kind=5), [], id="a storage"),
            pytest.param(asked(kind=1, ident=IDS[1]), [1], id="one by its id"),
            pytest.param(asked(kind=1, ident=0x12345674), [], id="somebody else"),
            pytest.param(asked(multi=(5, 1)), [0, 1], id="several types"),
            pytest.param(asked(multi=(5,)), [], id="several types, none a tuner"),
            pytest.param(packets.write(packets.DISCOVER_REPLY, ()), [], id="a reply"),
            pytest.param(b"M-SEARCH * HTTP/1.1", [], id="something else"),
        ],
    )
    def test_a_device_answers_when_it_is_meant(self, data: bytes, found: list[int]) -> None:
        built = taken("127.0.0.1", 0, DEVICES)
        try:
            answers = [packets.read(one) for one in built.answers(data, HOME)]
            assert built.answers(data, STRANGER) == []
        finally:
            built.close()
        assert [one and one.number(packets.DEVICE_ID, 0) for one in answers] == [IDS[at] for at in found]

    def test_an_answer_says_where_the_device_is(self) -> None:
        base = "http://10.0.0.2:8081/hdhr/kids"
        packet = packets.read(packets.reply(device_id=IDS[1], tuners=2, base=base, auth="x"))
        assert packet is not None
        assert packet.value(packets.BASE_URL) == base.encode()
        assert packet.value(packets.LINEUP_URL) == f"{base}/lineup.json".encode()
        assert packet.value(packets.TUNER_COUNT) == b"\x02"
        assert packet.number(packets.DEVICE_TYPE, 0) == packets.TUNER_TYPE


class TestOverTheNetwork:
    def test_every_lineup_answers_a_search(self) -> None:
        with responder() as there, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(b"nonsense", ("127.0.0.1", there.port))
            client.sendto(JELLYFIN, ("127.0.0.1", there.port))
            found = [packets.read(client.recv(4096)) for _ in DEVICES]
        bases = [one and one.value(packets.BASE_URL) for one in found]
        assert bases == [b"http://127.0.0.1:8081", b"http://127.0.0.1:8081/hdhr/kids"]

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("/sys/hwmodel", None, b"HDHR5-4US\0"),
            ("/tuner0/status", None, b"ch=none lock=none ss=0 snq=0 seq=0 bps=0 pps=0\0"),
            ("/tuner9/status", None, None),
            ("/sys/boot", None, None),
            ("/tuner0/channel", b"auto:5\0", None),
        ],
    )
    def test_control_tells_and_sets_nothing(self, name: str, value: bytes | None, said: bytes | None) -> None:
        values = [(packets.GETSET_NAME, name.encode() + b"\0")]
        values += [(packets.GETSET_VALUE, value)] if value is not None else []
        with responder() as there, socket.create_connection(("127.0.0.1", there.port), 10) as client:
            client.sendall(packets.write(packets.GETSET_REQUEST, values))
            answer = packets.read(client.recv(4096))
        assert answer is not None
        assert answer.value(packets.GETSET_VALUE) == said
        assert (answer.value(packets.ERROR_MESSAGE) is None) == (said is not None)

    def test_control_ends_with_what_is_no_packet(self) -> None:
        with responder() as there, socket.create_connection(("127.0.0.1", there.port), 10) as client:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):  # what it did not read is thrown away
                assert client.recv(4096) == b""

    @pytest.mark.skipif(shutil.which("hdhomerun_config") is None, reason="hdhomerun_config is not installed")
    def test_hdhomerun_config_discovers_the_lineups(self) -> None:
        address = free_address()
        with responder(address, PORT):
            told = tool("discover", address)
            model = tool(address, "get", "/sys/model")
        assert sorted(told.splitlines()) == sorted(f"hdhomerun device {one.id} found at {address}" for one in DEVICES)
        assert model.strip() == "hdhomerun5_atsc"

    def test_a_port_that_is_taken_is_tried_again(self) -> None:
        stop, came = threading.Event(), threading.Event()

        class Quiet:
            port = 1

            def run(self, stop: threading.Event) -> None:
                came.set()
                stop.wait(10)

            def close(self) -> None: ...

        faults = iter([OSError("taken"), OSError("taken"), None])

        def take() -> Quiet:
            if (fault := next(faults)) is not None:
                raise fault
            return Quiet()

        wait = Announcer({"some": take}, again_s=0.01).start(stop)
        assert came.wait(10)
        stop.set()
        wait()


def tool(*words: str) -> str:
    return subprocess.run(["hdhomerun_config", *words], capture_output=True, text=True, timeout=60).stdout


def free_address() -> str:
    """A loopback address on which nobody has HDHomeRun's port: the tool knows no other port."""
    for last in range(2, 250):
        address = f"127.65.0.{last}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind((address, PORT))
                tcp.bind((address, PORT))
            except OSError:
                continue
            return address
    pytest.skip("no loopback address has port 65001 free")


class TestSsdp:
    SEARCH = b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: %s\r\nST: %s\r\n\r\n'

    @pytest.mark.parametrize(
        ("target", "answers"),
        [
            ("ssdp:all", 6),
            ("upnp:rootdevice", 2),
            ("urn:schemas-upnp-org:device:MediaServer:1", 2),
            (DEVICES[1].udn, 1),
            ("urn:schemas-upnp-org:device:MediaRenderer:1", 0),
        ],
    )
    def test_who_is_looked_for_answers(self, target: str, answers: int) -> None:
        with ssdp() as there:
            found = there.answers(self.SEARCH % (b"1", target.encode()), HOME)
            assert there.answers(self.SEARCH % (b"1", target.encode()), STRANGER) == []
        assert len(found) == answers
        for wait_s, text in found:
            assert 0 <= wait_s <= 1
            assert text.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"/device.xml\r\n" in text
            assert b"CACHE-CONTROL: max-age=1800\r\n" in text

    @pytest.mark.parametrize(
        "data",
        [
            b"", b"\xff\xfe\x00", b"NOTIFY * HTTP/1.1\r\nNT: x\r\n\r\n", b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n",
            b'M-SEARCH * HTTP/1.1\r\nMAN: "ssdp:discover"\r\n\r\n',
        ],
    )  # fmt: skip
    def test_other_messages_are_passed_over(self, data: bytes) -> None:
        assert messages.read_search(data) is None

    @pytest.mark.parametrize(("told", "wait_s"), [(b"3", 3), (b"900", 5), (b"0", 1), (b"x", 1), (b"", 1)])
    def test_nobody_waits_longer_than_a_few_seconds(self, told: bytes, wait_s: int) -> None:
        search = messages.read_search(self.SEARCH % (told, b"ssdp:all"))
        assert search is not None
        assert search.wait_s == wait_s

    def test_a_search_over_the_network_is_answered_and_the_end_is_told(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(("127.0.0.1", 0))
            client.settimeout(20)
            with ssdp() as there:
                stop = threading.Event()
                thread = threading.Thread(target=there.run, args=(stop,))
                thread.start()
                client.sendto(self.SEARCH % (b"1", b"upnp:rootdevice"), ("127.0.0.1", there.port))
                answers = {client.recv(4096) for _ in DEVICES}
                stop.set()
                thread.join()
        locations = sorted(line for text in answers for line in text.split(b"\r\n") if line.startswith(b"LOCATION"))
        assert locations == [
            b"LOCATION: http://127.0.0.1:8081/device.xml",
            b"LOCATION: http://127.0.0.1:8081/hdhr/kids/device.xml",
        ]

    def test_a_device_says_hello_and_goodbye_for_all_it_is(self) -> None:
        told = list(messages.alive(udn="uuid:1", location="http://x/device.xml", host="239.255.255.250:1900"))
        gone = list(messages.byebye(udn="uuid:1", host="239.255.255.250:1900"))
        assert len(told) == len(gone) == 3
        assert all(b"NTS: ssdp:alive\r\n" in text for text in told)
        assert all(b"NTS: ssdp:byebye\r\n" in text for text in gone)


@contextmanager
def ssdp() -> Iterator[SsdpResponder]:
    places = Places(public_url="", address="127.0.0.1", port=8081)
    built = SsdpResponder(devices=lambda: DEVICES, places=places, address="127.0.0.1", port=0, group="127.0.0.1")
    try:
        yield built
    finally:
        built.close()


@pytest.mark.parametrize(
    ("public_url", "address", "origin"),
    [
        ("https://tv.example.org", "", "https://tv.example.org"),
        ("", "127.0.0.5", "http://127.0.0.5:8081"),
        ("", "", "http://127.0.0.1:8081"),
    ],
)
def test_our_address_is_the_one_that_the_client_reaches(public_url: str, address: str, origin: str) -> None:
    assert Places(public_url=public_url, address=address, port=8081).seen_from("127.0.0.1") == origin
