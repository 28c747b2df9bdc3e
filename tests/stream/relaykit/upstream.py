"""A provider whose every connection follows a script.

    upstream = ScriptedUpstream()
    upstream.script("/a", [sends(pictures=5), ends()], [html()])      # first connection, second and later ones

The words of a script: `sends`, `live`, `drips`, `hangs`, `holds`, `ends`, `resets`, `chunked`, `html`, `status`,
`redirects`, `sends_with_token`, `needs_fresh_token`, `cut_short`, `claims_length`, `other_tables`, `junk`. A path's
packets go on being numbered over all its connections, so a test can say what was lost or doubled.
"""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.stream.relaykit.packets import Numbered


@dataclass
class Path:
    """One address: its stream, its scripts, what became of its connections."""

    stream: Numbered
    scripts: list[list["Step"]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@dataclass
class Connection:
    """One accepted connection, as the steps see it."""

    sock: socket.socket
    path: Path
    closing: threading.Event
    chunked: bool = False
    headed: bool = False

    def head(self, *lines: str, status: str = "200 OK") -> None:
        if not self.headed:
            self.headed = True
            self.sock.sendall(("\r\n".join((f"HTTP/1.1 {status}", *lines, "Connection: close")) + "\r\n\r\n").encode())

    def body(self, data: bytes) -> None:
        self.head("Content-Type: video/mp2t", *(["Transfer-Encoding: chunked"] if self.chunked else []))
        self.sock.sendall(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)


Step = Callable[[Connection], None]


def sends(*, pictures: int) -> Step:
    """So many pictures, at once."""
    return lambda c: c.body(c.path.stream.pictures(pictures))


def live(*, every_s: float = 0.02, pictures: int = 1_000_000) -> Step:
    """A picture every now and then, as a live stream does, until the test ends."""

    def step(c: Connection) -> None:
        for _ in range(pictures):
            c.body(c.path.stream.picture())
            if c.closing.wait(every_s):
                return

    return step


def drips(*, size: int = 100, every_s: float = 0.005, pictures: int = 40) -> Step:
    """Pictures in small pieces that respect no boundary."""

    def step(c: Connection) -> None:
        data = c.path.stream.pictures(pictures)
        for at in range(0, len(data), size):
            c.body(data[at : at + size])
            if c.closing.wait(every_s):
                return

    return step


def hangs(seconds: float = 3600.0) -> Step:
    """Nothing at all, the connection stays."""

    def step(c: Connection) -> None:
        c.closing.wait(seconds)

    return step


def holds(until: threading.Event) -> Step:
    """Nothing until the test says so."""

    def step(c: Connection) -> None:
        while not until.is_set() and not c.closing.wait(0.01):
            pass

    return step


def ends() -> Step:
    """A clean end."""
    return lambda c: c.sock.shutdown(socket.SHUT_RDWR)


def resets() -> Step:
    """A reset in the middle."""
    return lambda c: c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def chunked() -> Step:
    """What follows comes in chunked framing."""

    def step(c: Connection) -> None:
        c.chunked = True

    return step


def html(text: str = "<!DOCTYPE html><title>Sign in</title>") -> Step:
    """A page with status 200 that says it is video."""

    def step(c: Connection) -> None:
        c.head("Content-Type: video/mp2t", f"Content-Length: {len(text)}")
        c.sock.sendall(text.encode())

    return step


def status(line: str) -> Step:
    """An error status."""
    return lambda c: c.head("Content-Length: 0", status=line)


def redirects(to: str) -> Step:
    """A redirect to another path of this provider."""
    return lambda c: c.head(f"Location: {to}", "Content-Length: 0", status="302 Found")


def sends_with_token(to: str) -> Step:
    """A redirect to another path with a token that nobody had before."""

    def step(c: Connection) -> None:
        c.head(f"Location: {to}?token={len(c.path.requests)}", "Content-Length: 0", status="302 Found")

    return step


def needs_fresh_token() -> Step:
    """403 to whoever comes with a token that was used already, as providers do whose tokens expire."""

    def step(c: Connection) -> None:
        used = [request.split(" ")[1] for request in c.path.requests]
        if used.count(used[-1]) > 1:
            c.head("Content-Length: 0", status="403 Forbidden")
            raise ConnectionAbortedError("the token was used before")

    return step


def cut_short(*, pictures: int, missing: int = 77) -> Step:
    """Pictures that end inside a packet, in the middle of a group."""
    return lambda c: c.body(c.path.stream.pictures(pictures)[:-missing])


def claims_length(size: int, *, pictures: int) -> Step:
    """Says how long the body is, and sends another one."""

    def step(c: Connection) -> None:
        c.head("Content-Type: video/mp2t", f"Content-Length: {size}")
        c.sock.sendall(c.path.stream.pictures(pictures))

    return step


def other_tables(change: Callable[[bytes], bytes], *, every_s: float = 0.02, pictures: int = 1_000_000) -> Step:
    """A live stream whose packets `change` has given other PIDs and tables."""

    def step(c: Connection) -> None:
        for _ in range(pictures):
            c.body(change(c.path.stream.picture()))
            if c.closing.wait(every_s):
                return

    return step


def junk(data: bytes = b"<br />\n<b>Warning</b>: on line 7 in <b>stream.php</b><br />\n") -> Step:
    """Bytes that are no packets."""
    return lambda c: c.body(data)


class ScriptedUpstream:
    """Listens on a port of its own; `with` ends every connection and thread."""

    def __init__(self) -> None:
        self.paths: dict[str, Path] = {}
        self.connected: Counter[str] = Counter()
        """Connections open now, per path."""
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._acceptor = threading.Thread(target=self._accept, name="scripted upstream", daemon=True)
        self._acceptor.start()

    def script(self, path: str, *scripts: list[Step], stream: Numbered | None = None) -> str:
        """The address of `path`, whose connections follow `scripts` in turn, the last one for ever."""
        self.paths[path] = Path(stream or Numbered(), list(scripts))
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}{path}"

    def opened(self, path: str) -> int:
        """How many connections asked for `path` so far."""
        return len(self.paths[path].requests)

    def __enter__(self) -> "ScriptedUpstream":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with self._lock:
            for sock in self._open:
                with suppress(OSError):  # the other side may be gone already
                    sock.shutdown(socket.SHUT_RDWR)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), name="scripted connection", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        name = ""
        with sock:
            with self._lock:
                self._open.add(sock)
            try:
                request = _read_request(sock)
                name = request.split(" ")[1].partition("?")[0] if " " in request else ""
                path = self.paths.get(name)
                if path is None:
                    return
                with self._lock:
                    script = path.scripts[min(len(path.requests), len(path.scripts) - 1)]
                    path.requests.append(request)
                    self.connected[name] += 1
                self._follow(Connection(sock, path, self._closing), script)
            finally:
                with self._lock:
                    self._open.discard(sock)
                    self.connected[name] -= 1

    def _follow(self, connection: Connection, script: list[Step]) -> None:
        for step in script:
            try:
                step(connection)
            except OSError:
                return  # the relay has left


def _read_request(sock: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = sock.recv(4096)
        except OSError:
            return ""
        if not piece:
            return ""
        data += piece
    return data.decode("latin-1")
