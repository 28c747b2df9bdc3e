"""SSDP: tells the network now and then that tuners are here, answers who looks for them, says goodbye.

Plex, Emby, Jellyfin and Channels find tuners by HDHomeRun's own discovery; this is for other UPnP clients.
"""

import logging
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from servicekit.callers import caller
from stream_service.discovery import messages
from stream_service.discovery.places import Places
from stream_service.outputs.hdhr import Device

GROUP = "239.255.255.250"
PORT = 1900
LOOK_S = 0.5
ALIVE_EVERY_S = 600.0
DEVICES_EVERY_S = 5.0
HOPS = 2
MOST_WAITING = 200
"""More answers than these never wait for their moment."""
_READ_BYTES = 4096

_log = logging.getLogger("discovery")

Address = tuple[str, int]


class SsdpResponder:
    """`run` tells and answers until `stop`, then says goodbye; `close` follows."""

    def __init__(
        self, *, devices: Callable[[], Sequence[Device]], places: Places, address: str, port: int, group: str = GROUP
    ) -> None:
        self._devices = devices
        self._places = places
        self._target = (group, port)
        self._told: set[str] = set()
        self._look_s = self._alive_s = 0.0
        self._later: list[tuple[float, bytes, Address]] = []
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._join(address, port, group)
        except OSError:
            self._sock.close()
            raise

    def _join(self, address: str, port: int, group: str) -> None:
        sock = self._sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # others on this machine answer searches too
        interface = socket.inet_aton(address or "0.0.0.0")  # noqa: S104 - every interface, as configured
        if _is_group(group):
            # On Linux bound to the group itself: packets to this port that are for others do not come here.
            sock.bind((group if sys.platform.startswith("linux") else "", port))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + interface)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, struct.pack("b", HOPS))
            if address:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        else:
            sock.bind((group, port))
        sock.settimeout(LOOK_S)

    @property
    def port(self) -> int:
        """The port that was taken."""
        taken: int = self._sock.getsockname()[1]
        return taken

    def run(self, stop: threading.Event) -> None:
        """Tell and answer until `stop`."""
        while not stop.is_set():
            self._tell_of_devices()
            self._send_later()
            try:
                data, peer = self._sock.recvfrom(_READ_BYTES)
            except TimeoutError:
                continue
            except OSError as error:
                _log.warning("a search by SSDP could not be read: %s", error)
                continue
            self._hear(data, peer)
        self._tell(self._byebye())

    def _tell_of_devices(self) -> None:
        """Those that are there, now and then and when there are others; those that have gone, once."""
        now_s = time.monotonic()
        if now_s < self._look_s:
            return
        self._look_s = now_s + DEVICES_EVERY_S
        udns = {device.udn for device in self._devices()}
        for gone in self._told - udns:
            self._tell(messages.byebye(udn=gone, host=self._host()))
        if udns - self._told or now_s >= self._alive_s:
            self._alive_s = now_s + ALIVE_EVERY_S
            self._tell(self._alive())
        self._told = udns

    def close(self) -> None:
        """Leave the group."""
        self._sock.close()

    def answers(self, data: bytes, peer: str) -> list[tuple[float, bytes]]:
        """What is answered to a message, each with the seconds to wait before."""
        search = messages.read_search(data)
        if search is None or not caller(peer, {}, ()).local:
            return []
        spread = random.SystemRandom()
        return [
            (spread.uniform(0, search.wait_s), answer)
            for device in self._devices()
            for answer in messages.answers(search, udn=device.udn, location=self._location(device, peer))
        ]

    def _location(self, device: Device, peer: str) -> str:
        return f"{self._places.seen_from(peer)}{device.base}/device.xml"

    def _hear(self, data: bytes, peer: Address) -> None:
        try:
            found = self.answers(data, peer[0])
        except OSError as error:  # no way back to whoever asked
            _log.debug("a search by SSDP of %s cannot be answered: %s", peer[0], error)
            return
        now_s = time.monotonic()
        self._later += [(now_s + wait_s, answer, peer) for wait_s, answer in found]
        del self._later[MOST_WAITING:]

    def _send_later(self) -> None:
        now_s = time.monotonic()
        due = [one for one in self._later if one[0] <= now_s]
        self._later = [one for one in self._later if one[0] > now_s]
        for _, answer, peer in due:
            self._send(answer, peer)

    def _tell(self, texts: Iterator[bytes]) -> None:
        for text in texts:
            self._send(text, self._target)

    def _send(self, data: bytes, peer: Address) -> None:
        try:
            self._sock.sendto(data, peer)
        except OSError as error:
            _log.debug("SSDP to %s did not go out: %s", peer[0], error)

    def _alive(self) -> Iterator[bytes]:
        for own in self._places.all_own():
            for device in self._devices():
                yield from messages.alive(udn=device.udn, location=self._location(device, own), host=self._host())

    def _byebye(self) -> Iterator[bytes]:
        for device in self._devices():
            yield from messages.byebye(udn=device.udn, host=self._host())

    def _host(self) -> str:
        return f"{self._target[0]}:{self._target[1]}"


def _is_group(address: str) -> bool:
    return 224 <= socket.inet_aton(address)[0] < 240
