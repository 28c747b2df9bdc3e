"""Both services as real processes on free ports, and a small client that speaks to them as curl would."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
SERVICES = ("epg_service", "stream_service")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Answered:
    """An HTTP answer, whatever its status."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(method: str, address: str, body: object = None, **headers: str) -> Answered:
    """One request; `body` goes out as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Answered(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answered(error.code, error.headers, error.read())


class Service:
    """One service, started whole: supervisor, web server, keeper."""

    def __init__(self, name: str, folder: Path, port: int) -> None:
        self.name = name
        self.port = port
        self._folder = folder
        self._log = (folder / f"{name}.log").open("a+")
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AERIAL_", "EPG_", "STREAM_"))}
        return subprocess.Popen(
            [sys.executable, "-m", self.name, str(self._folder / "config.yaml")],
            cwd=REPOSITORY,
            env=clean,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str, **headers: str) -> Answered:
        return ask("GET", self.url(path), **headers)

    def post(self, path: str, body: object = None) -> Answered:
        return ask("POST", self.url(path), body)

    def log(self) -> str:
        self._log.flush()
        return Path(self._log.name).read_text()

    def is_ready(self) -> bool:
        try:
            return self.get("/ready").status == 200
        except OSError:
            return False

    def wait_until_ready(self) -> None:
        until(lambda: self.is_ready() or self.process.poll() is not None, limit_s=60, what=f"{self.name} to be ready")
        assert self.process.poll() is None, self.log()

    def tree(self) -> list[psutil.Process]:
        """The supervisor and everything under it."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def keeper(self) -> psutil.Process | None:
        return self._running(lambda words: words[-1:] == ["keeper"])

    def server(self) -> psutil.Process | None:
        """The web server's first process."""
        return self._running(lambda words: "gunicorn" in " ".join(words))

    def _running(self, fits: Callable[[list[str]], bool]) -> psutil.Process | None:
        """The first process of the tree whose words fit; one that has just died has none."""
        for one in self.tree():
            with contextlib.suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
                if fits(one.cmdline()):
                    return one
        return None

    def kill(self) -> None:
        """kill -9 of the supervisor: everything under it dies with it."""
        tree = self.tree()
        self.process.kill()
        self.process.wait()
        until(lambda: not any(_runs(one) for one in tree), what="the whole tree to be gone")

    def restart(self) -> None:
        self.process = self._started()
        self.wait_until_ready()

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self._log.close()
        return code


def _runs(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


class Pair:
    """Both services on one configuration in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = {"epg": free_port(), "stream": free_port()}
        lines = ["data_dir: data", "logging: {level: DEBUG}"]
        lines += [f"{key}: {{server: {{host: 127.0.0.1, port: {port}}}}}" for key, port in ports.items()]
        (folder / "config.yaml").write_text("\n".join(lines) + "\n")
        self.guide = Service("epg_service", folder, ports["epg"])
        self.streams = Service("stream_service", folder, ports["stream"])

    def wait_until_ready(self) -> None:
        self.guide.wait_until_ready()
        self.streams.wait_until_ready()

    def end(self) -> None:
        for one in (self.guide, self.streams):
            one.end()
