"""The nginx site in front of two little servers that say what they were asked: real nginx, real sockets."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.programs import needs
from tests.waiting import until

SITE = Path(__file__).resolve().parents[2] / "deploy" / "nginx" / "aerial.conf"
BINARY = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))) or "nginx"

CONFIGURATION = """
daemon off; master_process off;
error_log stderr notice; pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/aerial.conf;
}}
"""


class _Behind(BaseHTTPRequestHandler):
    """Answers with what it was asked; where the path says so, piece by piece, each when the test allows it."""

    server: "Behind"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith((".ts", "events")):
            self._pieces()
            return
        told = {"who": self.server.who, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}
        text = json.dumps(told | {"length": len(body), "version": self.request_version}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_PUT = do_GET

    def _pieces(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        for piece in (b"first", b"second"):
            self.wfile.write(piece)
            if not self.server.go_on.wait(30):
                return

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Behind(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, who: str) -> None:
        super().__init__(("127.0.0.1", 0), _Behind)
        self.who = who
        self.go_on = threading.Event()


@contextmanager
def serving(who: str) -> Iterator[Behind]:
    with Behind(who) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join(10)


class Front:
    """nginx with our site, and the two servers behind it."""

    def __init__(self, port: int, streams: Behind, guide: Behind) -> None:
        self.port, self.streams, self.guide = port, streams, guide

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if answer.status == 200 else dict(answer.headers)
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _write_site(folder: Path, port: int, streams: int, guide: int) -> Path:
    text = SITE.read_text()
    for there, here in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("    listen [::]:80;\n", ""),
        ("127.0.0.1:8081", f"127.0.0.1:{streams}"),
        ("127.0.0.1:8080", f"127.0.0.1:{guide}"),
    ):
        assert there in text
        text = text.replace(there, here)
    (folder / "aerial.conf").write_text(text)
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder))
    return file


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    needs("nginx")
    folder, port = tmp_path_factory.mktemp("nginx"), _free_port()
    with ExitStack() as stack:
        streams, guide = stack.enter_context(serving("streams")), stack.enter_context(serving("guide"))
        file = _write_site(folder, port, streams.server_address[1], guide.server_address[1])
        with (folder / "stderr").open("wb") as log:
            process = subprocess.Popen([BINARY, "-p", folder, "-c", file, "-e", "stderr"], stderr=log)
            try:
                until(lambda: process.poll() is not None or _answers(port), what="nginx")
                assert process.poll() is None, (folder / "stderr").read_text()
                yield Front(port, streams, guide)
            finally:
                process.terminate()
                process.wait(20)


def test_nginx_accepts_the_site(tmp_path: Path) -> None:
    needs("nginx")
    file = _write_site(tmp_path, _free_port(), 8081, 8080)
    checked = subprocess.run([BINARY, "-t", "-p", tmp_path, "-c", file, "-e", "stderr"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr


@pytest.mark.parametrize(
    ("path", "who", "path_there", "prefix"),
    [
        ("/", "streams", "/", None),
        ("/playlist.m3u", "streams", "/playlist.m3u", None),
        ("/lineups/default/epg.xml.gz", "streams", "/lineups/default/epg.xml.gz", None),
        ("/api/v1/sources?limit=5", "streams", "/api/v1/sources?limit=5", None),
        ("/live", "streams", "/live", None),
        ("/guide.xml", "streams", "/guide.xml", None),
        ("/player_api.php?username=a%2Fb", "streams", "/player_api.php?username=a%2Fb", None),
        ("/epg.xml", "guide", "/epg.xml", "/guide"),
        ("/epg.xml.gz", "guide", "/epg.xml.gz", "/guide"),
        ("/guide/", "guide", "/", "/guide"),
        ("/guide/api/v1/search?q=tea%20pot", "guide", "/api/v1/search?q=tea%20pot", "/guide"),
        ("/guide/lineups/default/epg.xml", "guide", "/lineups/default/epg.xml", "/guide"),
    ],
    ids=str,
)
def test_a_request_reaches_the_right_service(
    front: Front, path: str, who: str, path_there: str, prefix: str | None
) -> None:
    status, told = front.ask(path)
    assert (status, told["who"], told["path"]) == (200, who, path_there)
    assert told["headers"].get("x-forwarded-prefix") == prefix
    assert told["version"] == "HTTP/1.1"


def test_the_service_learns_who_asked_and_under_which_name(front: Front) -> None:
    _, told = front.ask("/playlist.m3u", Host="tv.home.arpa:8443")
    assert told["headers"]["host"] == told["headers"]["x-forwarded-host"] == "tv.home.arpa:8443"
    assert told["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert told["headers"]["x-forwarded-proto"] == "http"


def test_nobody_outside_can_claim_what_only_the_proxy_may_say(front: Front) -> None:
    _, told = front.ask(
        "/",
        X_Forwarded_For="10.0.0.1",
        X_Forwarded_Prefix="/evil",
        X_Forwarded_Host="evil.example",
        X_Real_IP="10.0.0.1",
        Forwarded="for=10.0.0.1",
        Aerial_Internal="1",
    )
    headers = told["headers"]
    assert not {"aerial-internal", "x-forwarded-prefix", "forwarded", "x-real-ip"} & set(headers)
    assert headers["x-forwarded-host"] == f"127.0.0.1:{front.port}"
    assert headers["x-forwarded-for"] == "10.0.0.1, 127.0.0.1", "the true one stands last"


@pytest.mark.parametrize(
    "path",
    [
        "/internal/v1/activity",
        "/guide/internal/v1/lineups/default",
        "//internal/v1/activity",
        "/%69nternal/v1/activity",
        "/guide/../internal/v1/activity",
        "/guide//internal/v1/activity",
        "/internal",
        "/metrics",
        "/guide/metrics",
    ],
)
def test_what_is_between_the_services_is_not_there_from_outside(front: Front, path: str) -> None:
    assert front.ask(path)[0] == 404


@pytest.mark.parametrize(
    "path", ["/stream/one.ts", "/live/user/word/7.ts", "/user/word/7.ts", "/api/v1/events", "/guide/api/v1/events"]
)
def test_a_stream_arrives_piece_by_piece(front: Front, path: str) -> None:
    for server in (front.streams, front.guide):
        server.go_on.clear()
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.read1(100) == b"first", "the first piece is here before the second is made"
        for server in (front.streams, front.guide):
            server.go_on.set()
        assert answer.read() == b"second"
    finally:
        connection.close()


def test_a_guide_file_of_more_than_the_usual_limit_can_be_uploaded(front: Front) -> None:
    status, told = front.ask("/guide/api/v1/providers/1/file", "PUT", bytes(3 << 20))
    assert (status, told["length"]) == (200, 3 << 20)


def test_the_prefix_without_its_slash_leads_to_it(front: Front) -> None:
    status, headers = front.ask("/guide")
    assert (status, headers["Location"]) == (301, "/guide/")


def test_streams_are_sent_in_large_pieces() -> None:
    text = SITE.read_text()
    assert "proxy_buffer_size       64k;" in text
    assert "proxy_busy_buffers_size 64k;" in text
