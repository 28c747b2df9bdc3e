"""The demo's provider: one small web server with guide, playlist, logos and endless test pictures.

    python -m pair.provider --port 9000 [--host 127.0.0.1]

Standard library only, a thread per connection: it is asked by the two services of the demo, not by the world.
"""

import argparse
import contextlib
import gzip
import hashlib
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pair import logos, sample
from servicekit.supervise import die_with_parent
from tvkit.mpegts_loop import TICKS_PER_S, LoopedStream

MEDIA = Path(__file__).parent / "media"
_HEAD_START_S = 2.0
_CLIENT_TIMEOUT_S = 20.0


class Broadcaster:
    """The recordings as endless streams that all began at the same moment; every client sees the same picture."""

    def __init__(self, recordings: Mapping[str, LoopedStream]) -> None:
        self._recordings = recordings
        self._began_s = time.monotonic()

    def send(self, picture: str, write: Callable[[bytes], object]) -> None:
        """Write the picture's stream at real time, `_HEAD_START_S` ahead, until `write` raises OSError."""
        for piece in self._recordings[picture].pieces(int(self._clock_s() * TICKS_PER_S)):
            wait_s = piece.due_ticks / TICKS_PER_S - self._clock_s() - _HEAD_START_S
            if wait_s > 0:
                time.sleep(wait_s)
            write(piece.data)

    def _clock_s(self) -> float:
        return time.monotonic() - self._began_s


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of the provider's few addresses."""

    server: "Provider"
    protocol_version = "HTTP/1.1"
    timeout = _CLIENT_TIMEOUT_S

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if found := self.server.stream_at(path):
            self._stream(found)
        elif document := self.server.document_at(path):
            self._document(*document)
        else:
            self._document("text/plain", b"not here\n", status=404)

    do_HEAD = do_GET

    def _document(self, kind: str, body: bytes, *, status: int = 200) -> None:
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        if status == 200 and self.headers.get("If-None-Match") == etag:
            status, body = 304, b""
        self.send_response(status)
        self.send_header("ETag", etag)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _stream(self, picture: str) -> None:
        # No length and no chunks: the body ends with the connection, as live streams of providers do.
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(OSError):  # the client left, or took nothing for `timeout`: the end of every stream
            self.server.broadcaster.send(picture, self.wfile.write)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep quiet; the services log what they ask for."""


class Provider(ThreadingHTTPServer):
    """The web server, listening as soon as it is made; `serve_forever` answers."""

    daemon_threads = True

    def __init__(self, host: str, port: int, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__((host, port), _Handler)
        self._now = now
        self.address = f"http://{host}:{self.server_address[1]}"
        self.broadcaster = Broadcaster(
            {name: LoopedStream((MEDIA / f"{name}.ts").read_bytes()) for name in {c.picture for c in sample.CHANNELS}}
        )
        self._streams = {f"/live/{channel.id}.ts": channel.picture for channel in sample.CHANNELS}
        self._logos = {
            f"/logo/{channel.id}.png": logos.draw(channel.mark, channel.colour) for channel in sample.CHANNELS
        }

    def stream_at(self, path: str) -> str | None:
        """Return the name of the picture that is sent at the path, if one is."""
        return self._streams.get(path)

    def document_at(self, path: str) -> tuple[str, bytes] | None:
        """Return content type and body of the document at the path, if there is one."""
        if path in self._logos:
            return "image/png", self._logos[path]
        if path == "/playlist.m3u":
            return "audio/x-mpegurl", sample.playlist(self.address).encode()
        if path in {"/guide.xml", "/guide.xml.gz"}:
            guide = sample.guide(self._now(), self.address).encode()
            # mtime 0: the same guide is the same bytes, so its ETag holds.
            return ("application/gzip", gzip.compress(guide, mtime=0)) if path[-3:] == ".gz" else ("text/xml", guide)
        return None

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Say nothing of clients that hang up in the middle of a request; the rest is shown as usual."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends the process; end with the one who started it."""
    parser = argparse.ArgumentParser(prog="python -m pair.provider", description="The demo's provider.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    die_with_parent()
    with Provider(options.host, options.port) as provider:
        provider.serve_forever()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
