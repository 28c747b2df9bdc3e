"""Outgoing HTTP, the one way out: addresses judged at connect time, redirects judged again, sizes and times limited.

`requests` speaks HTTP; the connection class underneath resolves the name, judges every address and connects to one
that passed, so there is no gap between the check and the use. Proxy settings of the environment are not followed.
"""

import functools
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from servicekit.addresses import AddressPolicy, Asker, public
from servicekit.errors import AerialError, BadAnswer, Invalid, Refused, Unreachable
from servicekit.redact import redact

USER_AGENT = "Aerial/0.1"
CONNECT_TIMEOUT_S = 5.0
RESOLVE_TIMEOUT_S = 5.0
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ORIGIN_SECRETS = frozenset({"authorization", "cookie", "proxy-authorization"})

Connect = Callable[[str, int, float], socket.socket]


def checked_url(url: str) -> str:
    """The address itself; raises `Invalid` unless it is http(s), has a host, and no blanks or controls."""
    parts = urlsplit(url)
    if any(c <= " " or c in "\\\x7f" for c in url):
        raise Invalid("an address must not hold blanks, backslashes or control characters: write them %-encoded")
    if parts.scheme.lower() not in ("http", "https"):
        raise Invalid(f"only http:// and https:// addresses are fetched, not {parts.scheme or 'a bare name'!r}")
    try:
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise Invalid(f"the address's port is no number from 1 to 65535: {redact(url)}") from error
    if not usable:
        raise Invalid(f"the address names no host: {redact(url)}")
    return url


class Answer:
    """An open answer: status, headers, and a body that is read once, in pieces."""

    def __init__(
        self,
        response: requests.Response,
        session: requests.Session,
        *,
        private: bool,
        max_bytes: int | None,
        deadline: float | None,
    ) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.url = str(response.url)
        self.private = private
        """True when the first address connected to, the one that was asked for, was not public."""
        self._response = response
        self._session = session
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._read_bytes = 0

    def chunks(self, size: int = 262_144) -> Iterator[bytes]:
        """The body as sent (content codings not undone); raises `BadAnswer` (limits), `Unreachable` (break)."""
        with _told_as_ours(self.url):
            for piece in self._response.raw.stream(size, decode_content=False):
                yield self._counted(piece)

    def read1(self, n: int = 65_536) -> bytes:
        """What is there now, at most `n` bytes, waiting for the first; empty at the end."""
        with _told_as_ours(self.url):
            return self._counted(self._response.raw.read1(n, decode_content=False))

    def raw_socket(self) -> tuple[socket.socket, bytes] | None:
        """The bare socket (set non-blocking) and what was read of the body already.

        None where the bytes on the wire are not the body itself: TLS, chunked framing, a content coding. The socket
        belongs to this answer: keep the answer, and close it.
        """
        raw = self._response.raw
        if (
            urlsplit(self.url).scheme != "http"
            or getattr(raw, "chunked", False)
            or self.headers.get("Content-Encoding", "identity").lower() != "identity"
        ):
            return None
        body: Any = raw._fp
        reader = body.fp
        if reader is None:
            return None
        bare: socket.socket = reader.raw._sock
        bare.setblocking(False)
        early: bytes = reader.peek() or b""  # non-blocking now: what the reader holds, or what the kernel holds
        if early:
            reader.read(len(early))
        return bare, early

    def _counted(self, piece: bytes) -> bytes:
        self._read_bytes += len(piece)
        if self._max_bytes is not None and self._read_bytes > self._max_bytes:
            raise BadAnswer(f"{redact(self.url)} sent more than {self._max_bytes} bytes (fetch.max_bytes)")
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise Unreachable(f"{redact(self.url)} did not finish in the time allowed")
        return piece

    def close(self) -> None:
        self._response.close()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Fetcher:
    """Opens addresses under one policy."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        timeout_s: float = 30.0,
        max_bytes: int | None = None,
        user_agent: str = USER_AGENT,
        ca_bundle: str | None = None,
    ) -> None:
        self._policy = policy
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._user_agent = user_agent
        self._ca_bundle = ca_bundle

    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        typed: bool = True,
        private_ok: bool = False,
        timeout_s: float | None = None,
        read_timeout_s: float | None = None,
        max_bytes: int | None = None,
        total_s: float | None = None,
    ) -> Answer:
        """The answer to a GET, after at most five redirects, each judged as content's word.

        `timeout_s` bounds the connection, `read_timeout_s` each wait for bytes, `total_s` everything.
        Raises `Invalid` (not an address), `Refused` (policy), `Unreachable`, `BadAnswer` (status 400 and more).
        """
        asker = Asker(typed=typed, private_ok=private_ok)
        deadline = time.monotonic() + total_s if total_s else None
        wanted = {"User-Agent": self._user_agent, "Accept-Encoding": "gzip", "Accept": "*/*", **(headers or {})}
        timeouts = (
            min(timeout_s or self._timeout_s, CONNECT_TIMEOUT_S),
            read_timeout_s or timeout_s or self._timeout_s,
        )
        first_private: bool | None = None
        for _ in range(MAX_REDIRECTS + 1):
            session, peer = self._session(asker)
            try:
                with _told_as_ours(url):
                    response = session.get(
                        checked_url(url), headers=wanted, timeout=timeouts, stream=True, allow_redirects=False
                    )
            except BaseException:
                session.close()
                raise
            if first_private is None:
                first_private = peer.private
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                answer = Answer(
                    response, session, private=first_private, max_bytes=max_bytes or self._max_bytes, deadline=deadline
                )
                return _usable(answer)
            target = urljoin(url, response.headers["Location"])
            response.close()
            session.close()
            if _origin(target) != _origin(url):
                wanted = {k: v for k, v in wanted.items() if k.lower() not in _ORIGIN_SECRETS}
            url, asker = target, Asker(typed=False, private_ok=first_private)
        raise BadAnswer(f"{redact(url)}: more than {MAX_REDIRECTS} redirects")

    def _session(self, asker: Asker) -> "tuple[requests.Session, _Peer]":
        peer = _Peer(self._policy, asker)
        session = requests.Session()
        session.trust_env = False
        session.verify = self._ca_bundle or True
        adapter = _JudgedAdapter(peer.connect)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session, peer


class _Peer:
    """Connects for one request, and remembers what kind of address it reached."""

    def __init__(self, policy: AddressPolicy, asker: Asker) -> None:
        self._policy = policy
        self._asker = asker
        self.private = False

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """A socket to the first address of `host` that passes and answers."""
        refusal: Refused | None = None
        failure: OSError | None = None
        for family, address in resolve(host, port):
            try:
                judged = self._policy.judge(str(address[0]), self._asker)
            except Refused as error:
                refusal = error
                continue
            try:
                reached = _dial(family, address, timeout_s)
            except OSError as error:
                failure = error
                continue
            self.private = not public(judged)
            return reached
        if failure is not None:
            raise failure
        raise refusal or Unreachable(f"{host} has no address")


def resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    """All stream addresses of `host`; raises `Unreachable` when there is none or the resolver takes over 5 s."""
    found: queue.Queue[list[Any] | OSError] = queue.Queue()

    def look_up() -> None:
        try:
            found.put(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        answer = found.get(timeout=RESOLVE_TIMEOUT_S)
    except queue.Empty:
        raise Unreachable(f"the name {host} was not resolved within {RESOLVE_TIMEOUT_S:g} s") from None
    if isinstance(answer, OSError):
        raise Unreachable(f"the name {host} cannot be resolved: {answer}") from answer
    return [(family, address) for family, _, _, _, address in answer]


def _dial(family: socket.AddressFamily, address: tuple[Any, ...], timeout_s: float) -> socket.socket:
    reached = socket.socket(family, socket.SOCK_STREAM)
    try:
        reached.settimeout(timeout_s)
        reached.connect(address)
        reached.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        reached.close()
        raise
    return reached


class _JudgedAdapter(HTTPAdapter):
    """An adapter whose connections are made by `connect`."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        super().__init__(max_retries=urllib3.Retry(0, read=False, redirect=False))

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": functools.partial(_JudgedHTTPPool, connect=self._connect),
            "https": functools.partial(_JudgedHTTPSPool, connect=self._connect),
        }


class _JudgedHTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, connect: Connect, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._judged_connect = connect

    def _new_conn(self) -> socket.socket:
        return _connected(self, self._judged_connect)


class _JudgedHTTPSConnection(HTTPSConnection):
    def __init__(self, *args: Any, connect: Connect, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._judged_connect = connect

    def _new_conn(self) -> socket.socket:
        return _connected(self, self._judged_connect)


class _JudgedHTTPPool(HTTPConnectionPool):
    def __init__(self, *args: Any, connect: Connect, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ConnectionCls = functools.partial(_JudgedHTTPConnection, connect=connect)  # type: ignore[assignment]


class _JudgedHTTPSPool(HTTPSConnectionPool):
    def __init__(self, *args: Any, connect: Connect, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ConnectionCls = functools.partial(_JudgedHTTPSConnection, connect=connect)  # type: ignore[assignment]


def _connected(connection: HTTPConnection, connect: Connect) -> socket.socket:
    timeout_s = connection.timeout if isinstance(connection.timeout, int | float) else CONNECT_TIMEOUT_S
    try:
        return connect(connection.host, connection.port, float(timeout_s))
    except OSError as error:
        raise urllib3.exceptions.NewConnectionError(connection, str(error)) from error


def _usable(answer: Answer) -> Answer:
    if answer.status >= 400:
        answer.close()
        later = answer.headers.get("Retry-After", "")
        raise BadAnswer(
            f"{redact(answer.url)} answered {answer.status} {answer._response.reason or ''}".rstrip(),
            status=answer.status,
            retry_after_s=int(later) if later.isascii() and later.isdigit() and len(later) < 8 else None,
        )
    return answer


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower()


class _told_as_ours:
    """Foreign errors of a fetch as ours, with the address redacted."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, AerialError) or not isinstance(
            error, requests.RequestException | urllib3.exceptions.HTTPError | OSError | ValueError
        ):
            return
        if isinstance(error, requests.exceptions.InvalidURL | ValueError | requests.exceptions.InvalidHeader):
            raise Invalid(f"{redact(self._url)} cannot be fetched: {redact(str(error))}") from error
        raise Unreachable(f"{redact(self._url)}: {redact(_reason(error))}") from error


def _reason(error: BaseException) -> str:
    """The innermost cause, without urllib3's wrapping that repeats the address."""
    if isinstance(error, requests.Timeout | TimeoutError | urllib3.exceptions.TimeoutError):
        return "no answer in the time allowed"
    inner: BaseException = error
    while isinstance(cause := inner.__cause__ or inner.__context__, Exception):
        inner = cause
    return str(inner) or type(inner).__name__
