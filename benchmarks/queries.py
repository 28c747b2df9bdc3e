"""What asking a guide costs: python -m benchmarks.queries [--programmes 100000] [--clients 10] [--seconds 15]

A guide is made, imported by the command, and the real service started on it. Each client asks ten times a second; told
are the times inside the service (`Server-Timing`) and the whole way (connection kept, answer read to its end).
"""

import argparse
import http.client
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from benchmarks.guides import write_guide

ROOT = Path(__file__).resolve().parents[1]
A_SECOND = 10
DAY_S = 86_400
CHANNELS_AT_ONCE = 500


@dataclass(slots=True)
class Times:
    """Milliseconds of each answer, inside the service and for the client."""

    inside: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What one kind of client asks: a path, and headers, made anew each time."""

    name: str
    path: Callable[[random.Random], str]
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200


def instant(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def questions(channels: int, words: list[str], etag: str) -> list[Question]:
    """The kinds of questions, with windows inside the made guide."""
    now = time.time()

    def window(source: random.Random, length_s: int) -> str:
        start = now + source.randrange(-DAY_S // 2, 5 * DAY_S)
        return f"start={instant(start)}&end={instant(start + length_s)}"

    def grid(source: random.Random) -> str:
        first = source.randrange(1, max(2, channels - 50))
        listed = ",".join(str(at) for at in range(first, min(first + 50, channels + 1)))
        return f"/api/v1/epg/guide?{window(source, 3 * 3600)}&channels={listed}"

    return [
        Question(
            "channel + day",
            lambda source: f"/api/v1/channels/{source.randrange(1, channels + 1)}/programs?{window(source, DAY_S)}",
        ),
        Question(
            f"now/next, {min(CHANNELS_AT_ONCE, channels)} channels",
            lambda source: f"/api/v1/now?limit={CHANNELS_AT_ONCE}&at={instant(now + source.randrange(5 * DAY_S))}",
        ),
        Question("grid, 50 channels x 3 h", grid),
        Question("search, a word", lambda source: f"/api/v1/search?q={quote(source.choice(words))}"),
        Question("search, two words", lambda source: f"/api/v1/search?q={quote(' '.join(source.sample(words, 2)))}"),
        Question("XMLTV, 304", lambda source: "/guide.xml", {"If-None-Match": etag}, 304),
    ]


def ask(port: int, question: Question, seconds: float, seed: int, times: Times) -> None:
    """One client: asks at its pace until the time is over; late questions follow at once."""
    source = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    begin = time.monotonic() + source.random() / A_SECOND
    for number in range(int(seconds * A_SECOND)):
        time.sleep(max(0.0, begin + number / A_SECOND - time.monotonic()))
        asked = time.perf_counter()
        connection.request("GET", question.path(source), headers=question.headers)
        answer = connection.getresponse()
        text = answer.read()
        times.whole.append((time.perf_counter() - asked) * 1000)
        if answer.status != question.status:
            raise SystemExit(f"{question.name}: {answer.status} {text[:300]!r}")
        times.inside.append(float((answer.headers["Server-Timing"] or "dur=0").partition("dur=")[2]))
        times.bytes += len(text)
    connection.close()


def measured(port: int, question: Question, clients: int, seconds: float) -> Times:
    """The times of all clients."""
    parts = [Times() for _ in range(clients)]
    threads = [
        threading.Thread(target=ask, args=(port, question, seconds, seed, part)) for seed, part in enumerate(parts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(len(part.whole) < int(seconds * A_SECOND) for part in parts):
        raise SystemExit(f"{question.name}: a client gave up")
    return Times(
        sorted(one for part in parts for one in part.inside),
        sorted(one for part in parts for one in part.whole),
        sum(part.bytes for part in parts),
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def service(config: Path, environ: dict[str, str], port: int) -> Iterator[None]:
    """The service as people start it, until it answers; ended with everything it started."""
    command = [sys.executable, "-m", "epg_service", "--config", str(config)]
    process = subprocess.Popen(command, cwd=ROOT, env=environ)
    try:
        _until_complete(port)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _until_complete(port: int) -> None:
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            if b'"complete":true' in _got(port, "/api/v1/search?q=no-such-word")[0]:
                return
        except OSError:
            pass  # not up yet
        time.sleep(0.2)
    raise SystemExit("the service did not come up")


def _got(port: int, path: str) -> tuple[bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read(), answer.headers["ETag"] or ""
    finally:
        connection.close()


def run(folder: Path, programmes: int, clients: int, seconds: float) -> None:
    """Imports, starts the service, asks, prints."""
    guide, config, port = folder / "guide.xml", folder / "config.yaml", free_port()
    write_guide(guide, programmes)
    config.write_text("data_dir: data\nepg:\n  server:\n    host: 127.0.0.1\n")
    environ = {
        **os.environ,
        "EPG_RETENTION_DAYS": "30",
        "EPG_LOG_LEVEL": "ERROR",
        "EPG_SERVER_PORT": str(port),
    }
    command = [
        sys.executable,
        "-m",
        "epg_service",
        "import",
        str(guide),
        "--provider",
        "bench",
        "--config",
        str(config),
    ]
    subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=subprocess.DEVNULL)
    titles = re.findall(rb"<title[^>]*>([^<]+)", guide.open("rb").read(1 << 24))
    words = sorted({word.decode() for title in titles[::50] for word in title.split() if len(word) > 3})
    guide.unlink()
    with service(config, environ, port):
        text, _ = _got(port, "/api/v1/stats")
        channels = int(text.partition(b'"total_channels":')[2].partition(b",")[0])
        _, etag = _got(port, "/guide.xml")
        print(f"{programmes:,} programmes, {channels} channels; {clients} clients, {A_SECOND} requests/s each")
        print(f"{'':26}{'inside p50':>11}{'p99':>8}{'whole p50':>11}{'p99':>8} ms{'kB':>8}")
        for question in questions(channels, words, etag):
            measured(port, question, 2, 1.0)  # caches of the file system and of SQLite
            times = measured(port, question, clients, seconds)
            figures = (_at(times.inside, 0.5), _at(times.inside, 0.99), _at(times.whole, 0.5), _at(times.whole, 0.99))
            print(
                f"{question.name:26}{figures[0]:11.1f}{figures[1]:8.1f}{figures[2]:11.1f}{figures[3]:8.1f}"
                f"   {times.bytes / len(times.whole) / 1000:8.1f}"
            )


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programmes", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=15)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="aerial-bench-"))
    try:
        run(folder, given.programmes, given.clients, given.seconds)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
