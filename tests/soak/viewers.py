"""Viewers for hours: some watch, some change the channel all the time, some are slow, rude or on HLS."""

import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.error import URLError
from urllib.parse import urljoin
from urllib.request import urlopen

PACKET = 188


class Audience:
    """Threads that behave until `stop`; `seen` counts what happened to them."""

    def __init__(self, port: int, channels: Sequence[str], *, seed: int) -> None:
        self.seen: Counter[str] = Counter()
        self.faults: list[str] = []
        """What no viewer may ever see: torn packets, other answers than 200 and 503."""
        self._port = port
        self._channels = channels
        self._chance = random.Random(seed)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self, behaviour: Callable[[], None], count: int) -> None:
        """So many viewers of a kind."""
        for _ in range(count):
            thread = threading.Thread(target=self._again_and_again, args=(behaviour,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Everybody leaves."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _again_and_again(self, behaviour: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                behaviour()
            except (OSError, URLError) as error:
                self.seen[f"connection: {type(error).__name__}"] += 1
            self._stopping.wait(self._chance.uniform(0.1, 0.5))

    # -- kinds

    def watches(self) -> None:
        """Stays for a minute or more."""
        self._watch(self._chance.uniform(30, 120))

    def zaps(self) -> None:
        """A few seconds of each channel."""
        self._watch(self._chance.uniform(0.2, 4))

    def is_slow(self) -> None:
        """Takes less than comes."""
        self._watch(self._chance.uniform(20, 60), bytes_per_s=30_000)

    def never_reads(self) -> None:
        """Asks, and takes nothing."""
        with self._asked() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            self._stopping.wait(self._chance.uniform(5, 45))
        self.seen["never read"] += 1

    def resets(self) -> None:
        """Leaves without a word, in the middle."""
        with self._asked() as sock:
            sock.settimeout(10)
            sock.recv(self._chance.randrange(1, 300_000))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.seen["reset"] += 1

    def plays_hls(self) -> None:
        """Reads the playlist and its segments for a while."""
        url = f"http://127.0.0.1:{self._port}/stream/{self._chance.choice(self._channels)}.m3u8"
        had: set[str] = set()
        for _ in range(self._chance.randrange(3, 15)):
            with urlopen(url, timeout=40) as answer:
                names = [line for line in answer.read().decode().splitlines() if line and not line.startswith("#")]
            for name in names:
                if name not in had:
                    had.add(name)
                    with urlopen(urljoin(url, name), timeout=40) as answer:
                        self._judge(answer.read(), "a segment")
                        self.seen["segments"] += 1
            if self._stopping.wait(2.0):
                return

    # -- how they do it

    def _asked(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=40)
        path = f"/stream/{self._chance.choice(self._channels)}.ts"
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: soak\r\n\r\n".encode())
        return sock

    def _watch(self, seconds: float, *, bytes_per_s: int = 0) -> None:
        until = threading.Event()
        timer = threading.Timer(seconds, until.set)
        timer.start()
        with self._asked() as sock:
            head, body = b"", 0
            last = b""
            while not until.is_set() and not self._stopping.is_set():
                piece = sock.recv(8_192 if bytes_per_s else 262_144)
                if not piece:
                    break
                if b"\r\n\r\n" not in head:
                    head += piece
                    piece = head.partition(b"\r\n\r\n")[2]
                    if b"\r\n\r\n" in head:
                        self._judge_status(head)
                body += len(piece)
                last = piece
                if bytes_per_s:
                    self._stopping.wait(len(piece) / bytes_per_s)
            else:
                last = b""
        timer.cancel()
        if b" 200 " in head[:20]:
            self.seen["watched"] += 1
            if last and body % PACKET:
                self.faults.append(f"a stream ended inside a packet ({body} bytes)")

    def _judge_status(self, head: bytes) -> None:
        status = head.split(b" ", 2)[1].decode("ascii", "replace")
        self.seen[f"status {status}"] += 1
        if status not in ("200", "503"):
            self.faults.append(f"status {status}: {head[:200]!r}")

    def _judge(self, data: bytes, what: str) -> None:
        if len(data) % PACKET or any(data[at] != 0x47 for at in range(0, len(data), PACKET)):
            self.faults.append(f"{what} of {len(data)} bytes holds something else than packets")
