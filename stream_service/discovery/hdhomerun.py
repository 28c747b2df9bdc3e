"""Answers on HDHomeRun's port: searches for tuners by UDP, and by TCP what `hdhomerun_config` asks of one.

Every lineup that is published as a tuner answers a search by a packet of its own. By TCP, which cannot say which device
is meant, the first one tells what it is; there is nothing to set. Only the home network is answered: a reply is larger
than a request, and nobody else has to know.
"""

import logging
import re
import socket
import threading
from collections.abc import Callable, Sequence

from servicekit.callers import caller
from stream_service.discovery import packets
from stream_service.discovery.packets import Packet
from stream_service.discovery.places import Places
from stream_service.outputs.hdhr import DEVICE_AUTH, FIRMWARE, FIRMWARE_VERSION, MODEL, Device

PORT = 65001
LOOK_S = 0.5
CONTROL_IDLE_S = 30.0
MOST_CONTROLS = 8
_READ_BYTES = 4096
_TUNER = re.compile(r"/tuner(\d{1,3})/(status|channel|vchannel|lockkey|target|program|streaminfo)", re.ASCII)
_IDLE_TUNER = {"status": "ch=none lock=none ss=0 snq=0 seq=0 bps=0 pps=0", "streaminfo": "none"}

_log = logging.getLogger("discovery")


class HdhomerunResponder:
    """`open` takes the port, `run` answers until `stop`, which `close` follows."""

    def __init__(self, *, devices: Callable[[], Sequence[Device]], places: Places, address: str, port: int) -> None:
        self._devices = devices
        self._places = places
        self._controls = threading.BoundedSemaphore(MOST_CONTROLS)
        self._udp, self._tcp = _taken(address, port)

    @property
    def port(self) -> int:
        """The port that was taken."""
        taken: int = self._udp.getsockname()[1]
        return taken

    def run(self, stop: threading.Event) -> None:
        """Answer until `stop`; returns soon after."""
        control = threading.Thread(target=self._accept, args=(stop,), name="hdhomerun-control", daemon=True)
        control.start()
        while not stop.is_set():
            try:
                data, peer = self._udp.recvfrom(_READ_BYTES)
                for answer in self.answers(data, peer[0]):
                    self._udp.sendto(answer, peer)
            except TimeoutError:
                continue
            except OSError as error:
                _log.warning("a search for tuners could not be answered: %s", error)
        control.join()

    def close(self) -> None:
        """Give the port back."""
        self._udp.close()
        self._tcp.close()

    def answers(self, data: bytes, peer: str) -> list[bytes]:
        """What is answered to a packet that `peer` sent by UDP."""
        packet = packets.read(data)
        if packet is None or not caller(peer, {}, ()).local:
            return []
        asked = [one for one in self._devices() if packets.asks_for(packet, int(one.id, 16))]
        if not asked:
            return []
        origin = self._places.seen_from(peer)
        return [
            packets.reply(device_id=int(one.id, 16), tuners=one.tuners, base=origin + one.base, auth=DEVICE_AUTH)
            for one in asked
        ]

    def _accept(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                connection, peer = self._tcp.accept()
            except TimeoutError:
                continue
            except OSError as error:
                _log.warning("a control connection did not come: %s", error)
                continue
            if not caller(peer[0], {}, ()).local or not self._controls.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._control, args=(connection,), name="hdhomerun-control", daemon=True).start()

    def _control(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(CONTROL_IDLE_S)
                while (packet := _received(connection)) is not None:
                    connection.sendall(self.control(packet))
        except OSError as error:
            _log.debug("a control connection ended: %s", error)
        finally:
            self._controls.release()

    def control(self, packet: Packet) -> bytes:
        """The answer to a control request."""
        name = packet.value(packets.GETSET_NAME)
        if packet.kind != packets.GETSET_REQUEST or name is None:
            return packets.getset_refusal("ERROR: unknown request")
        if packet.value(packets.GETSET_VALUE) is not None:
            return packets.getset_refusal("ERROR: nothing can be set here; lineups are set in Aerial")
        value = self._value(name.rstrip(b"\0").decode("ascii", "replace"))
        if value is None:
            return packets.getset_refusal("ERROR: unknown getset variable")
        return packets.getset_answer(name, value.encode())

    def _value(self, name: str) -> str | None:
        fixed = {"/sys/model": FIRMWARE, "/sys/hwmodel": MODEL, "/sys/version": FIRMWARE_VERSION}
        if name in fixed:
            return fixed[name]
        found = _TUNER.fullmatch(name)
        device = next(iter(self._devices()), None)
        if found is None or device is None or int(found[1]) >= device.tuners:
            return None
        return _IDLE_TUNER.get(found[2], "none")


def _received(connection: socket.socket) -> Packet | None:
    """The next packet; None at the end, and for what is none."""
    head = _exactly(connection, packets.HEAD_BYTES)
    length = int.from_bytes(head[2:4], "big") if len(head) == packets.HEAD_BYTES else packets.MAX_BYTES + 1
    if length > packets.MAX_BYTES:
        return None
    return packets.read(head + _exactly(connection, length + packets.CRC_BYTES))


def _exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer at the end."""
    found = b""
    while len(found) < size and (piece := connection.recv(size - len(found))):
        found += piece
    return found


def _taken(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """The port for UDP and for TCP; any free one for 0. Raises `OSError` when somebody else has it."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address, port))
        udp.bind(tcp.getsockname())
        tcp.listen(MOST_CONTROLS)
    except OSError:
        udp.close()
        tcp.close()
        raise
    for sock in (udp, tcp):
        sock.settimeout(LOOK_S)
    return udp, tcp
