"""A scripted HTTP server for HLS tests, streams made by ffmpeg, and ways to drain an upstream."""

import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servicekit.addresses import AddressPolicy
from servicekit.fetch import Answer, Fetcher
from stream_service.domain.model import StreamAddress
from stream_service.relay.upstream import Upstream
from tests.stream.relaykit.packets import Numbered
from tests.waiting import until


@dataclass
class Reply:
    """What a path answers."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Answering = Reply | Callable[[], Reply]


class HlsServer:
    """Answers from `pages`, and from `directory` for what no page is set. Counts and keeps what was asked."""

    def __init__(self, directory: Path | None = None) -> None:
        self.pages: dict[str, Answering] = {}
        self.asked: Counter[str] = Counter()
        self.headers: list[tuple[str, dict[str, str]]] = []
        self._directory = directory
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.02), name="hls server")
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def put(self, path: str, body: bytes | str = b"", status: int = 200, **headers: str) -> str:
        data = body.encode() if isinstance(body, str) else body
        self.pages[path] = Reply(data, status, {name.replace("_", "-"): value for name, value in headers.items()})
        return self.url(path)

    def __enter__(self) -> "HlsServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _reply(self, path: str) -> Reply:
        page = self.pages.get(path)
        if page is not None:
            return page if isinstance(page, Reply) else page()
        file = self._directory / path.partition("?")[0].lstrip("/") if self._directory else None
        return Reply(file.read_bytes()) if file is not None and file.is_file() else Reply(b"not here", 404)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked[self.path] += 1
                server.headers.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                reply = server._reply(self.path)
                body, status = reply.body, reply.status
                wanted = self.headers.get("Range", "")
                if wanted.startswith("bytes=") and status == 200 and "no-ranges" not in reply.headers:
                    start, _, end = wanted[6:].partition("-")
                    body, status = body[int(start) : int(end) + 1 if end else None], 206
                self.send_response(status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Tests have no use for it."""

        return Handler


def playlist(*lines: str, target: int = 1, sequence: int | None = 0, end: bool = False) -> str:
    """The text of a media playlist around these lines."""
    head = ["#EXTM3U", "#EXT-X-VERSION:6", f"#EXT-X-TARGETDURATION:{target}"]
    head += [f"#EXT-X-MEDIA-SEQUENCE:{sequence}"] if sequence is not None else []
    return "\n".join((*head, *lines, *(["#EXT-X-ENDLIST"] if end else []), ""))


def entry(name: str, duration: float = 0.05) -> str:
    return f"#EXTINF:{duration},\n{name}"


class Segments:
    """Numbered segments, each beginning with tables and a keyframe."""

    def __init__(self, pictures: int = 5) -> None:
        self._stream = Numbered()
        self._pictures = pictures

    def next(self) -> bytes:
        return self._stream.pictures(self._pictures)


def open_address(address: StreamAddress) -> Answer:
    """Loopback is fine where the address says so."""
    return Fetcher(policy=AddressPolicy()).open(
        address.url, typed=False, private_ok=address.private_ok, timeout_s=5, read_timeout_s=5, headers=address.headers
    )


def address(url: str, *, private_ok: bool = True, headers: dict[str, str] | None = None) -> StreamAddress:
    return StreamAddress(id=1, source_id=1, url=url, private_ok=private_ok, headers=headers or {})


def drained(upstream: Upstream, count: int = 1 << 40, *, limit_s: float = 60) -> bytes:
    """What comes until there are `count` bytes or it has ended."""
    buffer, out = memoryview(bytearray(1 << 20)), bytearray()

    def enough() -> bool:
        while got := upstream.drain(buffer):
            out.extend(buffer[:got])
        return len(out) >= count or upstream.ended is not None

    until(enough, limit_s=limit_s, what=f"{count} bytes or an end, {len(out)} bytes came")
    return bytes(out)


@contextmanager
def closing(upstream: Upstream) -> Iterator[Upstream]:
    try:
        yield upstream
    finally:
        upstream.close()


def made(path: Path, *words: str) -> Path:
    """A file that ffmpeg makes with these arguments."""
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *words, str(path)], check=True, timeout=120)
    return path


def picture_and_sound(seconds: int = 4) -> list[str]:
    """Inputs: a small test picture of 25 pictures a second and a tone."""
    return [
        *("-f", "lavfi", "-i", f"testsrc=size=160x120:rate=25:duration={seconds}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"),
    ]


H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"]
HEVC = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=25:log-level=none", "-c:a", "aac"]
MPEG2 = ["-c:v", "mpeg2video", "-g", "25", "-c:a", "mp2"]


def probed(data: bytes) -> dict[str, str]:
    """codec_type -> codec_name, as ffprobe says."""
    done = subprocess.run(
        [*("ffprobe", "-v", "error", "-show_entries", "stream=codec_type,codec_name", "-of", "csv=p=0"), "pipe:0"],
        input=data, capture_output=True, timeout=60,
    )  # fmt: skip
    rows = [line.split(",")[:2] for line in done.stdout.decode().splitlines() if "," in line]
    return {kind: name for name, kind in rows}


def decode_errors(data: bytes) -> str:
    """What ffmpeg complains of when it decodes all of it to nothing."""
    done = subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-f", "null", "-"],
        input=data, capture_output=True, timeout=120,
    )  # fmt: skip
    return done.stderr.decode("utf-8", "replace")
