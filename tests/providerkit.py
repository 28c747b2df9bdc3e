"""A scripted provider: a real HTTP server on a thread, which answers each path as the test wrote it down.

    with ScriptedProvider() as provider:
        provider.serve("/guide.xml", xml, etag='"1"')
        provider.redirect("/old.xml", "/guide.xml")
        fetch(provider.url("/old.xml"))
        assert [path for _, path, _ in provider.requests] == ["/old.xml", "/guide.xml"]

A path may be scripted with its query (`/get.php?u=1`) or without (then any query matches). A path without a script
answers 404. Scripts may be replaced while the provider runs. Leaving the block ends every thread and socket, hanging
answers included.
"""

import contextlib
import email.utils
import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Literal, NamedTuple, Self

Send = Callable[[bytes], None]
GzipBy = Literal["", "coding", "file"]

HTML = b"<!DOCTYPE html><html><head><title>Portal</title></head><body><h1>Please log in</h1></body></html>"
_CODINGS = {200: "OK", 301: "Moved Permanently", 302: "Found", 304: "Not Modified", 404: "Not Found", 503: "Busy"}


class Headers(dict[str, str]):
    """The headers of a request; asked without regard to case."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        super().__init__((name.lower(), value) for name, value in pairs)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        return super().get(name.lower(), default)


class Asked(NamedTuple):
    """A request as it came; `path` holds the query."""

    method: str
    path: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Reply:
    """What a script answers. `wire`: how the body goes out after the head; None sends it at once."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    """The Content-Length told; None tells the body's, -1 none at all (the connection's end is the body's)."""
    chunked: bool = False
    wire: "Callable[[Send, threading.Event], bool] | None" = None
    """Sends the body itself; False ends the connection afterwards."""
    open_head: bool = False
    """Leaves out the empty line that ends the head: `wire` goes on with headers."""


Script = Callable[[Asked], Reply]


class ScriptedProvider:
    """See the module's first lines."""

    def __init__(self, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Asked] = []
        """Every request so far, in order of arrival."""
        self.connections = 0
        """Connections taken so far."""
        self._scripts: dict[str, Script] = {}
        self._host = host
        self._tls = tls
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family, backlog=512)
        self.port: int = self._listener.getsockname()[1]

    # ---- running -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._spawn(self._listen, "provider")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends every connection and thread; a second call does nothing."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        while self._threads:
            self._threads.pop().join(10)

    def drop_connections(self) -> None:
        """Cuts every connection there is; new ones are taken."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        with self._lock:
            return len(self._open)

    def url(self, path: str) -> str:
        """The address of `path` on this provider."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def count(self, path: str) -> int:
        """How often `path` was asked for, with any query unless `path` has one."""
        return sum(path == (one.path if "?" in path else one.path.partition("?")[0]) for one in list(self.requests))

    # ---- the vocabulary ----------------------------------------------------------------------------------------------

    def script(self, path: str, script: Script) -> None:
        """Answers `path` by a function of the request: what the words below cannot say."""
        self._scripts[path] = script

    def serve(
        self,
        path: str,
        body: bytes | str,
        status: int = 200,
        content_type: str = "application/octet-stream",
        headers: Mapping[str, str] | None = None,
        etag: str | None = None,
        last_modified: str | None = None,
        gzip_by: GzipBy = "",
        chunked: bool = False,
        length: int | None = None,
    ) -> None:
        """Answers with `body`; 304 when the client shows the same `etag` or `last_modified`.

        `gzip_by` "coding" packs it as a Content-Encoding, "file" as a .gz file without a word about it. `chunked`
        frames it in chunks; `length` -1 leaves Content-Length out, another number lies about it.
        """
        data = body.encode() if isinstance(body, str) else body
        told = {"Content-Type": content_type, **(headers or {})}
        if gzip_by:
            data = gzip.compress(data, mtime=0)
        if gzip_by == "coding":
            told["Content-Encoding"] = "gzip"
        if etag:
            told["ETag"] = etag
        if last_modified:
            told["Last-Modified"] = last_modified

        def answer(asked: Asked) -> Reply:
            same = (etag and asked.headers.get("If-None-Match") == etag) or (
                last_modified and asked.headers.get("If-Modified-Since") == last_modified
            )
            if same:
                return Reply(304, {k: v for k, v in told.items() if k in ("ETag", "Last-Modified")})
            return Reply(status, told, data, length=length, chunked=chunked)

        self.script(path, answer)

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        """Sends the client to `to`: a whole address, or a path of this provider."""
        self.script(path, lambda asked: Reply(status, {"Location": to}))

    def html(self, path: str, status: int = 200) -> None:
        """The login page that a provider shows in place of what was asked."""
        self.serve(path, HTML, status, "text/html; charset=utf-8")

    def hang(self, path: str, *, after_head: bool = False) -> None:
        """Takes the request and never answers; `after_head`: sends a head with a length, then nothing."""

        def hanging(asked: Asked) -> Reply:
            if not after_head:
                self._stopping.wait()
            return Reply(length=1_000, wire=lambda send, stopping: bool(stopping.wait()) and False)

        self.script(path, hanging)

    def drip(
        self,
        path: str,
        body: bytes,
        piece: int,
        pause_s: float,
        content_type: str = "application/octet-stream",
        repeat: bool = False,
        length: int | None = None,
    ) -> None:
        """Sends `body` in pieces of `piece` bytes with pauses between; `repeat`: over and over, without a length."""

        def dripping(send: Send, stopping: threading.Event) -> bool:
            while True:
                for start in range(0, len(body), piece):
                    send(body[start : start + piece])
                    if stopping.wait(pause_s):
                        return False
                if not repeat:
                    return length != -1

        told = -1 if repeat else length
        self.script(path, lambda asked: Reply(200, {"Content-Type": content_type}, body, length=told, wire=dripping))

    def cut(self, path: str, body: bytes, after: int, content_type: str = "application/octet-stream") -> None:
        """Promises the whole of `body` and closes the connection after `after` bytes."""

        def cutting(send: Send, stopping: threading.Event) -> bool:
            send(body[:after])
            return False

        self.script(path, lambda asked: Reply(200, {"Content-Type": content_type}, body, wire=cutting))

    def fail_times(
        self, path: str, n: int, then: bytes | str | Script, status: int = 503, content_type: str = ""
    ) -> None:
        """Answers `status` n times, then with `then` (a body, or a script of its own)."""
        left = [n]

        def failing(asked: Asked) -> Reply:
            with self._lock:
                left[0] -= 1
                failed = left[0] >= 0
            if failed:
                return Reply(status, {"Content-Type": "text/plain"}, b"not now\n")
            if callable(then):
                return then(asked)
            data = then.encode() if isinstance(then, str) else then
            return Reply(200, {"Content-Type": content_type or "application/octet-stream"}, data)

        self.script(path, failing)

    # ---- the wire ----------------------------------------------------------------------------------------------------

    def _spawn(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            self._spawn(lambda taken=connection: self._attend(taken), "provider-connection")  # type: ignore[misc]

    def _attend(self, connection: socket.socket) -> None:
        channel = connection
        try:
            if self._tls:
                channel = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.discard(connection)
                    self._open.add(channel)
                if self._stopping.is_set():
                    return
            with channel.makefile("rb") as reader:
                while not self._stopping.is_set() and (asked := _read(reader)):
                    with self._lock:
                        self.requests.append(asked)
                    if not self._answer(channel, asked):
                        return
        except (OSError, ValueError):
            return  # the client went away, or spoke no HTTP: a provider does not mind
        finally:
            with self._lock:
                self._open.discard(connection)
                self._open.discard(channel)
            channel.close()

    def _answer(self, channel: socket.socket, asked: Asked) -> bool:
        """True when the connection may carry another request."""
        script = self._scripts.get(asked.path) or self._scripts.get(asked.path.partition("?")[0])
        reply = script(asked) if script else Reply(404, {"Content-Type": "text/plain"}, b"no such thing here\n")
        if self._stopping.is_set():
            return False
        channel.sendall(_head(reply))
        if asked.method == "HEAD" or reply.status == 304:
            return True
        if reply.wire:
            return reply.wire(channel.sendall, self._stopping)
        channel.sendall(_chunks(reply.body) if reply.chunked else reply.body)
        return reply.chunked or reply.length in (None, len(reply.body))


def _read(reader: BinaryIO) -> Asked | None:
    line = reader.readline(65_537)
    if not line:
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    pairs = []
    while (line := reader.readline(65_537).rstrip(b"\r\n")) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        pairs.append((name.strip(), value.strip()))
    headers = Headers(pairs)
    length = headers.get("Content-Length")
    if length.isdigit():
        reader.read(int(length))
    return Asked(method, path, headers)


def _head(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {_CODINGS.get(reply.status, 'Scripted')}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    lines.append(f"Date: {email.utils.formatdate(usegmt=True)}")
    if reply.chunked:
        lines.append("Transfer-Encoding: chunked")
    elif reply.length == -1:
        lines.append("Connection: close")
    elif reply.status != 304:
        lines.append(f"Content-Length: {len(reply.body) if reply.length is None else reply.length}")
    return "\r\n".join([*lines, "" if reply.open_head else "\r\n"]).encode("latin-1")


def _chunks(body: bytes, size: int = 1_000) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
