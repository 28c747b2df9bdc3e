"""The whole stream service with a thousand viewers: memory, joins, work beside the streams, the end at SIGTERM.

python -m benchmarks.relay_load [--clients 1000] [--watching 300] [--mbps 8]

--watching viewers see one channel      (16 s, until its ring is full)
300 more join within a second           time to the first byte of each, while those who watch see no gap
the rest joins                          memory for each viewer, a core's share
lists, scrapes, a locked database       the wheel's worst delay, the longest gap of those who watch
SIGTERM                                 how long until every stream has ended, and where
"""

import argparse
import json
import select
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.relaykit import Clients, Side, end_by_sigterm, free_port, provider, shown, started

WARM_UP_S = 16.0
STORM_CLIENTS, STORM_S = 300, 1.0
BESIDE_S, LOCKED_S = 8.0, 3.0
CHANNELS = 600


@contextmanager
def service(directory: Path, upstream_port: int) -> Iterator[Side]:
    """The stream service with a list of channels, as a person starts it."""
    port = free_port()
    (directory / "import").mkdir()
    entries = [f"#EXTINF:-1,Bench {n}\nhttp://127.0.0.1:{upstream_port}/{n}" for n in range(CHANNELS)]
    (directory / "import" / "list.m3u").write_text("\n".join(("#EXTM3U", *entries, "")))
    config = directory / "config.yaml"
    config.write_text(f"data_dir: {directory}\nstream:\n  server: {{host: 127.0.0.1, port: {port}}}\n")
    log = (directory / "log").open("wb")
    with log, started([sys.executable, "-m", "stream_service", str(config)], port, said=log.fileno()) as process:
        side = Side("our service", port, "", process)
        post(side, "/api/v1/sources", {"name": "bench", "type": "m3u", "url": "list.m3u"})
        post(side, "/api/v1/sources/1/refresh", {})
        until_s = time.monotonic() + 60
        while not (items := get(side, "/api/v1/channels?limit=1")["items"]):
            if time.monotonic() > until_s:
                raise SystemExit("no channel came")
            time.sleep(0.2)
        side.path = f"/stream/{items[0]['id']}.ts"
        time.sleep(2.0)  # the catalogue follows within a second
        yield side


def get(side: Side, path: str) -> dict[str, list[dict[str, str]]]:
    with urlopen(f"http://127.0.0.1:{side.port}{path}", timeout=30) as answer:
        found: dict[str, list[dict[str, str]]] = json.load(answer)
        return found


def post(side: Side, path: str, body: dict[str, object]) -> None:
    headers = {"Content-Type": "application/json"}
    asked = Request(f"http://127.0.0.1:{side.port}{path}", json.dumps(body).encode(), headers, method="POST")
    with urlopen(asked, timeout=30) as answer:
        answer.read()


def metric(side: Side, name: str) -> float:
    with urlopen(f"http://127.0.0.1:{side.port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return next((float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0)


def storm(port: int, path: str) -> list[float]:
    """Milliseconds from connecting to the first byte of picture, for viewers who all come within a second."""
    poller, waiting, found = select.epoll(), {}, []
    began = time.monotonic()
    come = 0
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    while len(found) < STORM_CLIENTS and time.monotonic() - began < 30:
        while come < STORM_CLIENTS and time.monotonic() - began >= come * STORM_S / STORM_CLIENTS:
            asked_s = time.monotonic()
            sock = socket.create_connection(("127.0.0.1", port), timeout=10)
            sock.sendall(request)
            sock.setblocking(False)
            waiting[sock.fileno()] = (sock, asked_s, b"")
            poller.register(sock.fileno(), select.EPOLLIN)
            come += 1
        for fd, _ in poller.poll(0.001):
            sock, asked_s, head = waiting[fd]
            head = head[:4096] + sock.recv(65_536)
            waiting[fd] = (sock, asked_s, head)
            if head.partition(b"\r\n\r\n")[2]:
                found.append((time.monotonic() - asked_s) * 1000)
                poller.unregister(fd)
    time.sleep(3.0)  # they watch for a while
    for sock, _, _ in waiting.values():
        sock.close()
    return sorted(found)


def in_a_process(side: Side) -> list[float]:
    """`storm`, measured by a process that does nothing else."""
    work = f"from benchmarks.relay_load import *; print(json.dumps(storm({side.port}, {side.path!r})))"
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True, timeout=120)
    found: list[float] = json.loads(done.stdout)
    return found


def beside(side: Side, database: Path) -> None:
    """Work for the same process: lists of 500 rows 20 times a second, scrapes, a write against a locked database."""
    ended = time.monotonic() + BESIDE_S

    def lists() -> None:
        while time.monotonic() < ended:
            get(side, "/api/v1/channels?limit=500")
            time.sleep(0.05)

    def write() -> None:
        lock = sqlite3.connect(database, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        late = threading.Timer(LOCKED_S, lambda: None)
        late.start()
        posted = threading.Thread(target=_try_to_post, args=(side,))
        posted.start()
        late.join()
        lock.execute("ROLLBACK")
        lock.close()
        posted.join()

    threads = [threading.Thread(target=lists), threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    while time.monotonic() < ended:
        get_text(side, "/metrics/")
        time.sleep(1.0)
    for thread in threads:
        thread.join()


def get_text(side: Side, path: str) -> None:
    with urlopen(f"http://127.0.0.1:{side.port}{path.rstrip('/')}", timeout=30) as answer:
        answer.read()


def _try_to_post(side: Side) -> None:
    try:
        post(side, "/api/v1/sources", {"name": "another", "type": "m3u", "url": "list.m3u", "enabled": False})
    except OSError as error:
        print(f"the write was answered: {error}")


def p99(values: list[float]) -> float:
    return values[min(len(values) - 1, round(len(values) * 0.99))] if values else float("nan")


def run(clients: int, watching: int, mbps: float) -> dict[str, object]:
    """The figures by name."""
    found: dict[str, object] = {"clients": clients, "mbps": mbps}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        side = stack.enter_context(service(directory, stack.enter_context(provider(mbps))))
        first = Clients(side.port, [side.path], watching)
        stack.callback(first.close)
        time.sleep(WARM_UP_S)
        metric(side, "aerial_relay_late_s")
        first.longest_gap_s = 0.0
        before_bytes = side.memory_bytes()
        joins_ms = in_a_process(side)
        found |= {
            "storm_joins": len(joins_ms),
            "storm_first_byte_p50_ms": round(statistics.median(joins_ms), 1),
            "storm_first_byte_p99_ms": round(p99(joins_ms), 1),
            "storm_gap_of_watchers_ms": round(first.longest_gap_s * 1000),
        }
        more = Clients(side.port, [side.path], clients - watching)
        stack.callback(more.close)
        time.sleep(5.0)
        grown = side.memory_bytes() - before_bytes
        found["memory_per_viewer_kb"] = round(grown / (clients - watching) / 1000, 1)
        first.longest_gap_s = more.longest_gap_s = 0.0
        metric(side, "aerial_relay_late_s")
        cpu_s, began = side.cpu_s(), time.monotonic()
        time.sleep(8.0)
        found["core_percent"] = round((side.cpu_s() - cpu_s) / (time.monotonic() - began) * 100, 1)
        found["wheel_late_max_ms"] = round(metric(side, "aerial_relay_late_s") * 1000, 1)
        found["longest_gap_ms"] = round(max(first.longest_gap_s, more.longest_gap_s) * 1000)
        first.longest_gap_s = more.longest_gap_s = 0.0
        beside(side, directory / "stream.db")
        found["beside_wheel_late_max_ms"] = round(metric(side, "aerial_relay_late_s") * 1000, 1)
        found["beside_longest_gap_ms"] = round(max(first.longest_gap_s, more.longest_gap_s) * 1000)
        found["jumps"] = metric(side, "aerial_relay_jumps_total")
        ends = [end_by_sigterm(side, crowd) for crowd in (more, first)]
        found["sigterm_all_ended_s"] = round(max(took_s for took_s, _ in ends), 2)
        found["ended_on_packet_boundary"] = sum(whole for _, whole in ends)
    return found


def main() -> None:
    """Measure and print; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--watching", type=int, default=300)
    parser.add_argument("--mbps", type=float, default=8.0)
    given = parser.parse_args()
    if not sys.platform.startswith("linux"):
        raise SystemExit("this benchmark reads /proc and needs Linux")
    shown(run(given.clients, given.watching, given.mbps))


if __name__ == "__main__":
    main()
