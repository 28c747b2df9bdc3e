"""What the relay's benchmarks are made of: a provider, our relay, a floor in C, many clients that cost next to nothing.

CPU is read from the kernel's own accounting (schedstat), all processes of a side together.
"""

import json
import os
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PACKET = 188
RELEASE_S = 0.02
FLOOR_SOURCE = Path(__file__).with_name("fanout.c")


# ---- the stream ------------------------------------------------------------------------------------------------------


def _packet(pid: int, payload: bytes, *, start: bool = False, key: bool = False) -> bytes:
    head = struct.pack(">BH", 0x47, (0x4000 if start else 0) | pid)
    if not key:
        return head + b"\x10" + payload.ljust(184, b"\xff")
    return head + b"\x30\x01\x40" + payload.ljust(182, b"\xff")


def group_of_pictures(size_bytes: int) -> bytes:
    """PAT, PMT, a keyframe mark, and video packets up to about `size_bytes`."""
    pat = bytes.fromhex("0000b00d0001c100000001e100") + b"\0\0\0\0"
    program_map = bytes.fromhex("0002b0120001c10000e101f0001be101f000") + b"\0\0\0\0"
    video = _packet(0x101, os.urandom(184)) * (size_bytes // PACKET - 3)
    return (
        _packet(0, pat, start=True)
        + _packet(0x100, program_map, start=True)
        + (_packet(0x101, b"\0\0\1\xe0", start=True, key=True) + video)
    )


def serve_stream(listener: socket.socket, bytes_per_s: int) -> None:
    """A provider: every connection gets the stream at its rate, a keyframe every second."""
    group = group_of_pictures(bytes_per_s) * 2
    step = int(bytes_per_s * RELEASE_S)

    def carry(sock: socket.socket) -> None:
        with sock:
            sock.recv(4096)
            try:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n")
                began, sent = time.monotonic(), 0
                while True:
                    at = sent % (len(group) // 2)
                    sock.sendall(group[at : at + step])
                    sent += step
                    time.sleep(max(0.0, began + sent / bytes_per_s - time.monotonic()))
            except OSError:
                return  # the other side has ended

    while True:
        sock, _ = listener.accept()
        threading.Thread(target=carry, args=(sock,), daemon=True).start()


# ---- the two sides ---------------------------------------------------------------------------------------------------


def served() -> "WSGIApplication":
    """Our relay as a web application of channels `0`, `1` …; the environment names their upstream and how many."""
    from servicekit import web
    from servicekit.addresses import AddressPolicy, networks
    from servicekit.fetch import Answer, Fetcher
    from servicekit.health import Checks, State
    from servicekit.metrics import Metrics
    from servicekit.settings import Settings
    from stream_service.api.live import blueprint, handover
    from stream_service.domain.model import ChannelTarget, StreamAddress
    from stream_service.relay.hub import Hub
    from stream_service.relay.signals import drain_on_sigterm
    from stream_service.relay.upstream import open_upstream

    fetcher = Fetcher(policy=AddressPolicy())

    def open_address(address: StreamAddress) -> Answer:
        return fetcher.open(address.url)

    hub = Hub(open_stream=partial(open_upstream, open_address=open_address))
    drain_on_sigterm(hub)
    data = Path(os.environ["RELAY_DATA"])
    app = web.make_app(
        "bench",
        title="The relay alone",
        door=web.Door(admin_token="t", internal_secret="s", trusted_proxies=networks(["127.0.0.1"])),  # noqa: S106 - opens nothing but this run
        metrics=Metrics("bench", figures=list),
        settings=Settings(data / "settings.json", lock=data / "settings.lock"),
        checks=Checks(state=State, not_ready=lambda: None),
    )
    upstream = os.environ["RELAY_UPSTREAM"]
    channels = {
        str(n): ChannelTarget(
            id=str(n),
            number=str(n),
            name=f"Bench {n}",
            streams=(StreamAddress(id=n + 1, source_id=1, url=f"{upstream}/{n}", private_ok=True),),
        )
        for n in range(int(os.environ["RELAY_CHANNELS"]))
    }
    app.register_api(blueprint(hub=hub, catalogue=channels.get))
    app.add_url_rule("/figures", view_func=hub.figures)
    return handover(app.wsgi_app)


def python_floor(listen_port: int, upstream_port: int) -> None:
    """`fanout.c` in Python, for machines without a compiler."""
    clients: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", listen_port), backlog=1024)

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            client.recv(4096)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            client.setblocking(False)
            clients.append(client)

    threading.Thread(target=accept, daemon=True).start()
    upstream = socket.create_connection(("127.0.0.1", upstream_port))
    upstream.sendall(b"GET / HTTP/1.1\r\n\r\n")
    while chunk := upstream.recv(65_536, socket.MSG_WAITALL):
        for client in list(clients):
            try:
                client.send(chunk)
            except BlockingIOError:
                continue
            except OSError:
                clients.remove(client)


@dataclass
class Side:
    """One of those under test. `path`: of a channel, its number stands for `{}`."""

    name: str
    port: int
    path: str
    process: "subprocess.Popen[bytes]"

    def paths(self, channels: int = 1) -> list[str]:
        return [self.path.format(n) for n in range(channels)]

    def memory_bytes(self) -> int:
        """Memory that its processes have to themselves, with their shares of what they share (PSS)."""
        total_kib = 0
        for pid in _family(self.process.pid):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total_kib += int(line.split()[1])
        return total_kib * 1024

    def cpu_s(self) -> float:
        """CPU seconds so far of all its processes and threads."""
        total_ns = 0
        for pid in _family(self.process.pid):
            for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                total_ns += int(task.read_text().split()[0])
        return total_ns / 1e9


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(
    command: Sequence[str], port: int, *, said: int | None = None, **environment: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """The process, once it listens; killed with its children at the end. `said`: where its words go."""
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, start_new_session=True, stdout=said, stderr=said
    )
    try:
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{command[0]} does not listen on port {port}") from None
                time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def floor_command(scratch: Path, port: int, upstream_port: int, channels: int = 1) -> tuple[str, list[str]]:
    """The floor's name and command; in Python, and of one channel, where no compiler is."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        ports = f"{port}, {upstream_port}"
        return "Python fan-out", [sys.executable, "-c", f"from benchmarks.relaykit import *; python_floor({ports})"]
    program = scratch / "fanout"
    if not program.exists():
        subprocess.run([compiler, "-O2", "-o", str(program), str(FLOOR_SOURCE)], check=True)
    return "C fan-out", [str(program), str(port), str(upstream_port), str(channels)]


@contextmanager
def our_relay(scratch: Path, upstream_port: int, *, channels: int = 1) -> Iterator["Side"]:
    """The relay alone under gunicorn, as the service starts it."""
    port = free_port()
    gunicorn = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "1", "--no-control-socket"]
    options = ["--worker-connections", "8000", "--backlog", "2048", "--log-level", "warning"]
    with started(
        [*gunicorn, *options, "-b", f"127.0.0.1:{port}", "benchmarks.relaykit:served()"],
        port,
        RELAY_DATA=str(scratch),
        RELAY_UPSTREAM=f"http://127.0.0.1:{upstream_port}",
        RELAY_CHANNELS=str(channels),
    ) as process:
        yield Side("our relay", port, "/stream/{}.ts", process)


@contextmanager
def provider(mbps: float) -> Iterator[int]:
    """The port of a provider in a process of its own: every path is a stream of this rate."""
    port = free_port()
    listen = f"socket.create_server(('127.0.0.1', {port}), backlog=512)"
    work = f"from benchmarks.relaykit import *; serve_stream({listen}, {int(mbps * 125_000)})"
    with started([sys.executable, "-c", work], port):
        yield port


# ---- the clients -----------------------------------------------------------------------------------------------------


class Clients:
    """Many readers in one loop. Bytes are counted and thrown away inside the kernel, which costs next to nothing."""

    def __init__(self, port: int, paths: Sequence[str], count: int, *, tls: bool = False) -> None:
        self._flags = 0 if tls else socket.MSG_TRUNC
        self.got = [0] * count
        self.heads = [0] * count
        self.last_s = [time.monotonic()] * count
        self.longest_gap_s = 0.0
        self._poller = select.epoll()
        self._socks: dict[int, tuple[int, socket.socket]] = {}
        for n in range(count):
            sock, head = ask(port, paths[n % len(paths)], tls=tls)
            self.heads[n] = head
            self.last_s[n] = time.monotonic()
            sock.setblocking(False)
            self._socks[sock.fileno()] = (n, sock)
            self._poller.register(sock.fileno(), select.EPOLLIN)
        self._running = True
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        scratch = bytearray(1 << 20)
        while self._running and self._socks:
            for fd, _ in self._poller.poll(0.1, 4096):
                n, sock = self._socks[fd]
                count = self._taken(sock, scratch)
                if count is None:
                    continue
                self.got[n] += count
                now_s = time.monotonic()
                self.longest_gap_s = max(self.longest_gap_s, now_s - self.last_s[n])
                self.last_s[n] = now_s
                if not count:
                    self._poller.unregister(fd)
                    sock.close()
                    del self._socks[fd]
            time.sleep(0.02)  # what came meanwhile is taken in one go

    def _taken(self, sock: socket.socket, scratch: bytearray) -> int | None:
        """How many bytes came; 0 at the end, None when there is nothing now. TLS gives out a record at a time."""
        total = 0
        try:
            while count := sock.recv_into(scratch, len(scratch), self._flags):
                total += count
                if self._flags:
                    break
        except (BlockingIOError, ssl.SSLWantReadError):
            return total or None
        except OSError:
            return total
        return total

    @property
    def left(self) -> int:
        return len(self._socks)

    def close(self) -> None:
        self._running = False
        self._thread.join()
        for _, sock in self._socks.values():
            sock.close()
        self._poller.close()


def ask(port: int, path: str, *, tls: bool = False) -> tuple[socket.socket, int]:
    """A socket whose answer's headers were read, and how many bytes of body came with them."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # a certificate made for this run
        sock = context.wrap_socket(sock)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(65_536)
        if not piece:
            raise SystemExit(f"no answer from port {port}: {head!r}")
        head += piece
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise SystemExit(f"port {port} answered {head[:200]!r}")
    return sock, len(head.partition(b"\r\n\r\n")[2])


def figures(side: Side) -> dict[str, float]:
    """The relay's own figures; the worst delay of its wheel begins anew with each call."""
    with urlopen(f"http://127.0.0.1:{side.port}/figures", timeout=20) as answer:
        found: dict[str, float] = json.load(answer)
        return found


def cpu_per_gb(sides: Sequence[Side], clients: Sequence[Clients], window_s: float) -> list[tuple[float, float]]:
    """CPU seconds per GB and MB/s delivered, of each side, over the same seconds."""
    before = [(side.cpu_s(), sum(crowd.got)) for side, crowd in zip(sides, clients, strict=True)]
    time.sleep(window_s)
    after = [(side.cpu_s(), sum(crowd.got)) for side, crowd in zip(sides, clients, strict=True)]
    return [
        ((cpu_1 - cpu_0) / max(1e-9, (got_1 - got_0) / 1e9), (got_1 - got_0) / 1e6 / window_s)
        for (cpu_0, got_0), (cpu_1, got_1) in zip(before, after, strict=True)
    ]


def end_by_sigterm(side: Side, crowd: Clients) -> tuple[float, int]:
    """Seconds until every client's stream has ended, and how many ended on a packet boundary."""
    began = time.monotonic()
    side.process.send_signal(signal.SIGTERM)
    while crowd.left and time.monotonic() - began < 10:
        time.sleep(0.005)
    took_s = time.monotonic() - began
    return took_s, sum((got + head) % PACKET == 0 for got, head in zip(crowd.got, crowd.heads, strict=True))


def shown(found: dict[str, object]) -> None:
    """Print figures for people, then as one line of JSON."""
    for name, value in found.items():
        print(f"{name:32} {value}")
    print(json.dumps(found))
