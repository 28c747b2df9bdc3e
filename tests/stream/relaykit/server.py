"""A gunicorn with one gevent worker, as the service has it, and plain HTTP clients for it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.waiting import until

ROOT = Path(__file__).parents[3]


@dataclass
class Served:
    """A running server."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str) -> Any:
        with urlopen(self.url(path), timeout=20) as answer:
            return json.load(answer)

    def ask(self, path: str, *, method: str = "GET", version: str = "1.1", **headers: str) -> "Exchange":
        return Exchange(self.port, path, method=method, version=version, headers=headers)

    def terminate(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class Exchange:
    """One request on a socket of its own; the body can be read as far as one likes."""

    def __init__(self, port: int, path: str, *, method: str, version: str, headers: dict[str, str]) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *(f"{k}: {v}" for k, v in headers.items())]
        self._sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head, self.body = b"", b""
        while b"\r\n\r\n" not in head:
            piece = self._sock.recv(65_536)
            if not piece:
                raise AssertionError(f"no answer to {method} {path}, only {head!r}")
            head += piece
        text, _, self.body = head.partition(b"\r\n\r\n")
        first, *rest = text.decode().split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}

    def read(self, count: int) -> bytes:
        """At least `count` bytes of the body, unless it ends before."""
        while len(self.body) < count and (piece := self._sock.recv(262_144)):
            self.body += piece
        return self.body

    def read_to_end(self) -> bytes:
        return self.read(1 << 40)

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def gunicorn(data: Path, channels: dict[str, str]) -> Iterator[Served]:
    """The server for these channels, killed with all that belongs to it when the body is done."""
    log = data / "log"
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener, log.open("wb") as out:
        os.set_inheritable(listener.fileno(), True)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "1", "--no-control-socket"),
                *("-b", f"fd://{listener.fileno()}", "--graceful-timeout", "3", "--log-level", "debug"),
                "tests.stream.relaykit.site:served()",
            ],
            cwd=ROOT,
            env={**os.environ, "RELAY_CHANNELS": json.dumps(channels), "RELAY_DATA": str(data)},
            pass_fds=(listener.fileno(),),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        served = Served(listener.getsockname()[1], process, log)
        try:
            until(lambda: b"Booting worker" in log.read_bytes() or process.poll() is not None, what="gunicorn")
            assert process.poll() is None, log.read_text()
            served.get("/live")
            yield served
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
