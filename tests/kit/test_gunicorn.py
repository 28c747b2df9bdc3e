"""The web layer under gunicorn as it runs: chunked bodies, HEAD, sendfile, forwarded headers, workers that end."""

import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


class Served:
    """The small application under gunicorn, on a socket that is bound already."""

    def __init__(self, data: Path) -> None:
        self.data = data
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
            ready, told = os.pipe()
            command = [sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_hooks", "-k", "gthread",
                       "--threads", "4", "--no-control-socket", "--bind", f"fd://{listener.fileno()}",
                       "tests.kit.apps.site:served()"]  # fmt: skip
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                pass_fds=(listener.fileno(), told),
                env={**os.environ, "SITE_DATA": str(data), "AERIAL_READY_FD": str(told)},
            )
            os.close(told)
        with os.fdopen(ready, "rb") as ear:
            assert ear.readline() == b"web\n", "gunicorn did not come up"

    def raw(self, request: bytes) -> bytes:
        """Sends bytes as they are; all that comes back until the other side ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as line:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
                line.sendall(request)
            got = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while piece := line.recv(65_536):
                    got += piece
            return bytes(got)

    def ask(self, method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(tmp_path_factory.mktemp("site"))
    yield running
    running.process.terminate()
    assert running.process.wait(30) == 0


def chunked(method: str, path: str, kind: str, body: bytes, piece: int = 65_536) -> bytes:
    pieces = [body[start : start + piece] for start in range(0, len(body), piece)]
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: tv\r\nContent-Type: {kind}\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


def test_a_chunked_body_is_read_and_judged_like_another(served: Served) -> None:
    good = served.raw(chunked("POST", "/api/v1/things", "application/json", b'{"name": "a"}', piece=3))
    assert good.startswith(b"HTTP/1.1 201")
    assert served.raw(chunked("POST", "/api/v1/things", "text/plain", b"x")).startswith(b"HTTP/1.1 415")
    assert served.raw(chunked("POST", "/api/v1/things", "application/json", b"{")).startswith(b"HTTP/1.1 400")
    assert b'"bytes":2097152' in served.raw(chunked("PUT", "/api/v1/upload", "text/plain", b"x" * 2 * MIB))


def test_a_chunked_body_over_the_limit_is_413(served: Served) -> None:
    answer = served.raw(chunked("POST", "/api/v1/things", "application/json", b'"' + b"x" * (MIB + 65_536)))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"application/problem+json" in answer
    assert served.raw(chunked("PUT", "/api/v1/upload", "text/plain", b"x" * (3 * MIB + 65_536))).startswith(
        b"HTTP/1.1 413"
    )


def test_what_was_loaded_is_no_work_for_the_cycle_collector(served: Served) -> None:
    _, body = served.ask("GET", "/api/v1/things/frozen")
    assert json.loads(body)["objects"] > 10_000


def test_a_head_has_the_headers_and_no_body(served: Served) -> None:
    (served.data / "file.xml").write_bytes(b"<tv/>" * 10_000)
    answer, body = served.ask("HEAD", "/file.xml")
    assert (answer.status, answer.headers["Content-Length"], body) == (200, "50000", b"")
    line = served.raw(b"HEAD /file.xml HTTP/1.1\r\nHost: tv\r\nConnection: close\r\n\r\n")
    assert line.endswith(b"\r\n\r\n")
    whole, body = served.ask("GET", "/file.xml")
    assert (whole.status, body) == (200, b"<tv/>" * 10_000)
    part, body = served.ask("GET", "/file.xml", Range="bytes=0-4")
    assert (part.status, body) == (206, b"<tv/>")
    same, body = served.ask("GET", "/file.xml", If_None_Match=whole.headers["ETag"])
    assert (same.status, body) == (304, b"")


def test_a_packed_answer_unpacks(served: Served) -> None:
    answer, body = served.ask("GET", "/api/v1/settings", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"bandwidth" in gzip.decompress(body)


@pytest.mark.parametrize(
    "headers",
    [b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-For: 127.0.0.1", b"x-real-ip: 127.0.0.1",
     b"Forwarded: for=127.0.0.1"],
)  # fmt: skip
def test_who_forwards_without_trust_needs_the_token(served: Served, headers: bytes) -> None:
    line = served.raw(b"GET /api/v1/things HTTP/1.1\r\nHost: tv\r\nConnection: close\r\n" + headers + b"\r\n\r\n")
    assert line.startswith(b"HTTP/1.1 401")


def test_a_header_with_underscores_does_not_pass_for_one_with_dashes(served: Served) -> None:
    line = served.raw(b"GET /who HTTP/1.1\r\nHost: tv\r\nConnection: close\r\nX_Forwarded_For: 8.8.8.8\r\n\r\n")
    assert line.endswith(b"127.0.0.1")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /live HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", b"421"),
        (b'GET /live HTTP/1.1\r\nHost: tv"x\r\nConnection: close\r\n\r\n', b"4"),
        (b"GET /live HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n", b"4"),
        (b"GET http://evil.example/live HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", b"421"),
        (b"POST /api/v1/trigger HTTP/1.1\r\nHost: tv\r\nConnection: close\r\n\r\n", b"202"),
        (b"POST /api/v1/trigger HTTP/1.1\r\nHost: tv\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b"202"),
        (b"GET /live HTTP/1.0\r\n\r\n", b"200"),
        (
            b"POST /api/v1/things HTTP/1.1\r\nHost: tv\r\nContent-Length: 3\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
        (b"GET /%ff%00?%ff HTTP/1.1\r\nHost: tv\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /?\xff HTTP/1.1\r\nHost: tv\r\nConnection: close\r\n\r\n", b"400"),
    ],
)
def test_odd_requests_get_an_answer_of_their_own(served: Served, request_bytes: bytes, status: bytes) -> None:
    line = served.raw(request_bytes).split(b" ", 2)
    assert line[1].startswith(status), line


@pytest.mark.parametrize(
    ("request_bytes", "status", "title"),
    [
        pytest.param(b"GET\r\n\r\n", 400, "Bad Request", id="line"),
        pytest.param(b"GET /\x00 HTTP/9.9\r\n\r\n", 400, "Bad Request", id="version"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: tv\r\nBad Name: <b>x</b>\r\n\r\n", 400, "Bad Request", id="header"),
        pytest.param(b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", 414, "URI Too Long", id="long line"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", 431, "", id="long header"),
    ],
)
def test_a_request_that_cannot_be_parsed_is_answered_as_any_other(
    served: Served, request_bytes: bytes, status: int, title: str
) -> None:
    head, _, body = served.raw(request_bytes).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"Content-Type: application/problem+json" in head
    assert b"Content-Length: %d" % len(body) in head
    said = json.loads(body)
    assert (said["status"], said["title"]) == (status, title or said["title"])
    assert said["detail"]


def test_a_killed_arbiter_leaves_no_worker(tmp_path: Path) -> None:
    running = Served(tmp_path)
    workers = psutil.Process(running.process.pid).children()
    assert workers
    running.process.send_signal(signal.SIGKILL)
    running.process.wait(30)
    until(
        lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in workers),
        what="the worker's end",
    )
