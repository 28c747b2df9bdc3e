"""A stand-in for one of the two services, for tests of what starts them: `main("epg_service")` serves until a signal.

It says that it is up as the real ones do, keeps the address posted to it and shows what is there once it is told to
fetch.
"""

import json
import os
import re
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servicekit.supervise import say_ready


class _Handler(BaseHTTPRequestHandler):
    server: "StandIn"

    def do_GET(self) -> None:
        if self.path == "/ready":
            self._answer(b"ready")
        elif self.path in {"/epg.xml", "/playlist.m3u"}:
            self._answer(self.server.text() if self.server.fetch else b"<tv/>\n")
        else:
            self._answer(b'{"runs": []}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if os.environ.get("STAND_IN_REFUSES"):
            self._answer(b'{"detail": "the stand-in refuses"}', 400)
            return
        if body:
            asked = json.loads(body)
            self.server.address = asked.get("xmltv_url") or asked["url"]
        else:
            self.server.fetch = True
        self._answer(b'{"id": 7}', 201 if body else 202)

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class StandIn(ThreadingHTTPServer):
    daemon_threads = True
    address = ""
    fetch = False

    def text(self) -> bytes:
        with urllib.request.urlopen(self.address, timeout=20) as answer:
            return bytes(answer.read())


def main(name: str) -> None:
    """Serve on the port of the configuration file; write process id, arguments and links beside it."""
    file = Path(sys.argv[1])
    section = re.split(r"\bstream\b\W*:", file.read_text(), maxsplit=1)[0 if name == "epg_service" else 1]
    found = re.search(r"port\W+(\d+)", section)
    assert found
    report = {name: value for name, value in os.environ.items() if name.endswith("_URL")} | {"pid": os.getpid()}
    (file.parent / f"{name}.json").write_text(json.dumps(report))
    with StandIn(("127.0.0.1", int(found[1])), _Handler) as server:
        say_ready(name)
        server.serve_forever()
