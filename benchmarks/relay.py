"""The relay beside its floor: CPU seconds per GB delivered, time to the first byte of a join, the end at SIGTERM.

    python benchmarks/relay.py [--clients 100] [--mbps 8] [--window 15]

Both carry the same stream to the same number of clients at the same time, on this machine: our relay under gunicorn's
gevent worker, and a fan-out in C (`fanout.c`, compiled on the spot; in Python where no compiler is) that does nothing
but send. CPU is read from the kernel's own accounting (schedstat), all processes of a side together. The first seconds
are not counted: a relay whose ring still fills pays for fresh memory. Differences under 10 % mean nothing.
"""

import argparse
import json
import os
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, not as a module

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PACKET = 188
RELEASE_S = 0.02
WARM_UP_S = 16.0
JOINS = 40
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
    """Our relay as a web application of one channel; the environment names its upstream."""
    from servicekit import web
    from servicekit.addresses import AddressPolicy
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
        door=web.Door(admin_token="t", internal_secret="s"),  # noqa: S106 - opens nothing but this run
        metrics=Metrics("bench", figures=list),
        settings=Settings(data / "settings.json", lock=data / "settings.lock"),
        checks=Checks(state=State, not_ready=lambda: None),
    )
    stream = StreamAddress(id=1, source_id=1, url=os.environ["RELAY_UPSTREAM"])
    channel = ChannelTarget(id="bench", number="1", name="Bench", streams=(stream,))
    app.register_api(blueprint(hub=hub, catalogue={"bench": channel}.get))
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
    """One of the two under test."""

    name: str
    port: int
    path: str
    process: "subprocess.Popen[bytes]"

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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(command: Sequence[str], port: int, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The process, once it listens; killed with its children at the end."""
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, start_new_session=True)
    try:
        end = time.monotonic() + 20
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


def floor_command(scratch: Path, port: int, upstream_port: int) -> tuple[str, list[str]]:
    """The floor's name and command."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return "Python fan-out", [sys.executable, str(Path(__file__)), "--floor", str(port), str(upstream_port)]
    program = scratch / "fanout"
    subprocess.run([compiler, "-O2", "-o", str(program), str(FLOOR_SOURCE)], check=True)
    return "C fan-out", [str(program), str(port), str(upstream_port)]


# ---- the clients -----------------------------------------------------------------------------------------------------


class Clients:
    """Many readers in one loop. Bytes are counted and thrown away inside the kernel, which costs next to nothing."""

    def __init__(self, port: int, path: str, count: int) -> None:
        self.got = [0] * count
        self.heads = [0] * count
        self._poller = select.epoll()
        self._socks: dict[int, tuple[int, socket.socket]] = {}
        for n in range(count):
            sock, head = ask(port, path)
            self.heads[n] = head
            sock.setblocking(False)
            self._socks[sock.fileno()] = (n, sock)
            self._poller.register(sock.fileno(), select.EPOLLIN)
        self._running = True
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        scratch = bytearray(1 << 20)
        while self._running and self._socks:
            for fd, _ in self._poller.poll(0.1):
                n, sock = self._socks[fd]
                try:
                    count = sock.recv_into(scratch, len(scratch), socket.MSG_TRUNC)
                except BlockingIOError:
                    continue
                except OSError:
                    count = 0
                self.got[n] += count
                if not count:
                    self._poller.unregister(fd)
                    sock.close()
                    del self._socks[fd]
            time.sleep(0.02)  # what came meanwhile is taken in one go

    @property
    def left(self) -> int:
        return len(self._socks)

    def close(self) -> None:
        self._running = False
        self._thread.join()
        for _, sock in self._socks.values():
            sock.close()
        self._poller.close()


def ask(port: int, path: str) -> tuple[socket.socket, int]:
    """A socket whose answer's headers were read, and how many bytes of body came with them."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
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


# ---- what is measured ------------------------------------------------------------------------------------------------


def cpu_per_gb(sides: Sequence[Side], clients: Sequence[Clients], window_s: float) -> list[tuple[float, float]]:
    """CPU seconds per GB and MB/s delivered, of each side, over the same seconds."""
    before = [(side.cpu_s(), sum(crowd.got)) for side, crowd in zip(sides, clients, strict=True)]
    time.sleep(window_s)
    after = [(side.cpu_s(), sum(crowd.got)) for side, crowd in zip(sides, clients, strict=True)]
    return [
        ((cpu_1 - cpu_0) / max(1e-9, (got_1 - got_0) / 1e9), (got_1 - got_0) / 1e6 / window_s)
        for (cpu_0, got_0), (cpu_1, got_1) in zip(before, after, strict=True)
    ]


def joins(side: Side) -> list[float]:
    """Milliseconds from the connection to the first byte of picture, for viewers who come one after another."""
    found = []
    for _ in range(JOINS):
        began = time.monotonic()
        sock, early = ask(side.port, side.path)
        if not early:
            sock.recv(1)
        found.append((time.monotonic() - began) * 1000)
        sock.close()
        time.sleep(0.05)
    return sorted(found)


def end_by_sigterm(side: Side, crowd: Clients) -> tuple[float, int]:
    """Seconds until every client's stream has ended, and how many ended on a packet boundary."""
    began = time.monotonic()
    side.process.send_signal(signal.SIGTERM)
    while crowd.left and time.monotonic() - began < 10:
        time.sleep(0.005)
    took_s = time.monotonic() - began
    return took_s, sum((got + head) % PACKET == 0 for got, head in zip(crowd.got, crowd.heads, strict=True))


def run(clients: int, mbps: float, window_s: float) -> dict[str, Any]:
    """Both sides, side by side; the figures by name."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        upstream_port = provider.getsockname()[1]
        threading.Thread(target=serve_stream, args=(provider, int(mbps * 125_000)), daemon=True).start()
        floor_port, our_port = _free_port(), _free_port()
        floor_name, command = floor_command(scratch, floor_port, upstream_port)
        floor = Side(floor_name, floor_port, "/", stack.enter_context(started(command, floor_port)))
        gunicorn = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "1", "--no-control-socket"]
        options = ["--worker-connections", "8000", "--log-level", "warning", "-b", f"127.0.0.1:{our_port}"]
        ours_started = started(
            [*gunicorn, *options, "benchmarks.relay:served()"],
            our_port,
            RELAY_DATA=str(scratch),
            RELAY_UPSTREAM=f"http://127.0.0.1:{upstream_port}/",
        )
        ours = Side("our relay", our_port, "/stream/bench.ts", stack.enter_context(ours_started))
        crowds = []
        for side in (floor, ours):
            crowds.append(Clients(side.port, side.path, clients))
            stack.callback(crowds[-1].close)
        time.sleep(WARM_UP_S)
        _figures(ours)
        (floor_cpu, floor_mb), (our_cpu, our_mb) = cpu_per_gb((floor, ours), crowds, window_s)
        late_s = _figures(ours)["late_s"]
        first_bytes_ms = joins(ours)
        drain_s, on_boundary = end_by_sigterm(ours, crowds[1])
    return {
        "clients": clients,
        "floor": floor_name,
        "floor_cpu_s_per_gb": round(floor_cpu, 4),
        "floor_mb_per_s": round(floor_mb, 1),
        "relay_cpu_s_per_gb": round(our_cpu, 4),
        "relay_mb_per_s": round(our_mb, 1),
        "ratio": round(our_cpu / floor_cpu, 2),
        "wheel_late_max_ms": round(late_s * 1000, 1),
        "join_first_byte_p50_ms": round(statistics.median(first_bytes_ms), 1),
        "join_first_byte_max_ms": round(first_bytes_ms[-1], 1),
        "sigterm_all_ended_s": round(drain_s, 2),
        "ended_on_packet_boundary": on_boundary,
    }


def _figures(side: Side) -> dict[str, float]:
    with urlopen(f"http://127.0.0.1:{side.port}/figures", timeout=10) as answer:
        figures: dict[str, float] = json.load(answer)
        return figures


def main() -> None:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--mbps", type=float, default=8.0)
    parser.add_argument("--window", type=float, default=15.0, metavar="SECONDS")
    parser.add_argument("--floor", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.floor:
        python_floor(*given.floor)
        return
    if not sys.platform.startswith("linux"):
        raise SystemExit("this benchmark reads /proc and needs Linux")
    found = run(given.clients, given.mbps, given.window)
    for name, value in found.items():
        print(f"{name:28} {value}")
    print(f"promise: at most 1.1 x the floor at 300 clients; here {found['ratio']} x at {found['clients']}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
