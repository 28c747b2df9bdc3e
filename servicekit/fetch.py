"""Outgoing HTTP, the one way out: addresses judged at connect time, redirects judged again, sizes and times limited.

`requests` speaks HTTP over connections to judged addresses (`servicekit.judged`). Proxy settings of the environment
are not followed.
"""

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from servicekit.addresses import AddressPolicy, Asker, checked_url
from servicekit.errors import AerialError, BadAnswer, Invalid, Unreachable
from servicekit.judged import CONNECT_TIMEOUT_S, JudgedAdapter, Peer
from servicekit.redact import redact

USER_AGENT = "Aerial/0.1"
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FOR_ANY_ORIGIN = frozenset(
    {
        "user-agent", "accept", "accept-encoding", "accept-language", "referer", "origin", "range",
        "if-none-match", "if-modified-since", "icy-metadata",
    }
)  # fmt: skip
"""Headers that go along when a redirect leads to another origin. All others may be keys, whatever their name."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


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
        while piece := self.read1(size):
            yield piece

    def read1(self, n: int = 65_536) -> bytes:
        """What is there now, at most `n` bytes, waiting for the first; empty at the end."""
        with _told_as_ours(self.url):
            self._hurry()
            return self._counted(self._response.raw.read1(n, decode_content=False) or b"")

    def _hurry(self) -> None:
        """Lets the next wait for bytes last no longer than the time that is left."""
        if self._deadline is None:
            return
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise Unreachable(f"{redact(self.url)} did not finish in the time allowed")
        bare = _bare_socket(self._response)
        if bare is not None and (limit_s := bare.gettimeout()) is not None:
            bare.settimeout(min(limit_s, left_s))

    @property
    def left_bytes(self) -> int | None:
        """What is still to come of a body whose length was told; None when it was not."""
        told: int | None = self._response.raw.length_remaining
        return told

    def raw_socket(self) -> tuple[socket.socket, bytes] | None:
        """The bare socket (set non-blocking) and what was read of the body already.

        None where the bytes on the wire are not the body itself: TLS, chunked framing, a content coding, an empty
        body. The socket belongs to this answer: keep the answer, and close it. A body with a Content-Length ends
        after so many bytes (`left_bytes`, asked before), maybe without the end of the connection.
        """
        raw = self._response.raw
        if (
            urlsplit(self.url).scheme != "http"
            or getattr(raw, "chunked", False)
            or self.headers.get("Content-Encoding", "identity").lower() != "identity"
            or self.left_bytes == 0
        ):
            return None
        bare = _bare_socket(self._response)
        if bare is None:
            return None
        reader: Any = getattr(raw, "_fp").fp  # noqa: B009 - urllib3 does not tell its type
        bare.setblocking(False)
        early: bytes = reader.peek() or b""  # non-blocking now: what the reader holds, or what the kernel holds
        if early:
            reader.read(len(early))
        return bare, early

    def _counted(self, piece: bytes) -> bytes:
        self._read_bytes += len(piece)
        if self._max_bytes is not None and self._read_bytes > self._max_bytes:
            raise BadAnswer(f"{redact(self.url)} sent more than {self._max_bytes} bytes (fetch.max_bytes)")
        return piece

    def refuse_too_large(self) -> None:
        """Raises `BadAnswer` when the answer says beforehand that it is over the limit."""
        told = self.headers.get("Content-Length", "")
        if self._max_bytes is not None and told.isascii() and told.isdigit() and int(told[:19]) > self._max_bytes:
            raise BadAnswer(f"{redact(self.url)} has {told} bytes, more than {self._max_bytes} (fetch.max_bytes)")

    def shutdown(self) -> None:
        """Ends the connection under a reader on another thread: its waiting read returns. Close it afterwards."""
        body = getattr(self._response.raw, "_fp", None)
        bare = getattr(getattr(getattr(body, "fp", None), "raw", None), "_sock", None)
        if bare is not None:
            with contextlib.suppress(OSError):  # the other side was faster
                bare.shutdown(socket.SHUT_RDWR)

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
        method: str = "GET",
        body: bytes | None = None,
    ) -> Answer:
        """The answer to a request, after at most five redirects, each judged as content's word.

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
        url = checked_url(url)
        for _ in range(MAX_REDIRECTS + 1):
            response, session, private = self._asked(url, asker, wanted, _hurried(timeouts, deadline), method, body)
            first_private = private if first_private is None else first_private
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                answer = Answer(
                    response, session, private=first_private, max_bytes=max_bytes or self._max_bytes, deadline=deadline
                )
                return _usable(answer)
            response.close()
            session.close()
            target = _redirected(url, response.headers["Location"])
            if not _same_origin(url, target):
                wanted = {name: value for name, value in wanted.items() if name.lower() in _FOR_ANY_ORIGIN}
            url, asker = target, Asker(typed=False, private_ok=first_private)
        raise BadAnswer(f"{redact(url)}: more than {MAX_REDIRECTS} redirects")

    def _asked(
        self,
        url: str,
        asker: Asker,
        headers: Mapping[str, str],
        timeouts: tuple[float, float],
        method: str,
        body: bytes | None,
    ) -> tuple[requests.Response, requests.Session, bool]:
        """One answer of one address, its session, and whether it came from an address that is not public."""
        session, peer = self._session(asker)
        try:
            with _told_as_ours(url):
                response = session.request(
                    method,
                    url,
                    headers=headers,
                    timeout=timeouts,
                    stream=True,
                    allow_redirects=False,
                    data=body,
                )
        except BaseException:
            session.close()
            raise
        return response, session, peer.private

    def _session(self, asker: Asker) -> "tuple[requests.Session, Peer]":
        peer = Peer(self._policy, asker)
        session = _Session()
        session.trust_env = False
        session.verify = self._ca_bundle or True
        adapter = JudgedAdapter(peer.connect)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        return session, peer


class _Session(requests.Session):
    """A session that knows of no redirects: `requests` would read a redirect's whole body, however long."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


def _bare_socket(response: requests.Response) -> socket.socket | None:
    """The socket under an answer's body; None once the body has ended."""
    reader = getattr(response.raw._fp, "fp", None)
    return None if reader is None else reader.raw._sock


def _hurried(timeouts: tuple[float, float], deadline: float | None) -> tuple[float, float]:
    """The time limits of a connection and of a read, cut to what is left of the whole."""
    if deadline is None:
        return timeouts
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise Unreachable("the redirects did not end in the time allowed")
    return min(timeouts[0], left_s), min(timeouts[1], left_s)


def _usable(answer: Answer) -> Answer:
    try:
        answer.refuse_too_large()
    except BadAnswer:
        answer.close()
        raise
    if answer.status >= 400:
        answer.close()
        raise BadAnswer(
            f"{redact(answer.url)} answered {answer.status} {answer._response.reason or ''}".rstrip(),
            status=answer.status,
            retry_after_s=_pause_s(answer.headers),
        )
    return answer


def _pause_s(headers: Mapping[str, str]) -> int | None:
    """The pause that `Retry-After` asks for, in seconds or as a date (RFC 9110, 10.2.3); None for anything else."""
    later = headers.get("Retry-After", "").strip()
    if later.isascii() and later.isdigit():
        return int(later) if len(later) < 8 else None
    then = _moment_s(later)
    if then is None:
        return None
    now = _moment_s(headers.get("Date", ""))  # by the clock that the date was made with, where it is told
    return max(0, round(then - (time.time() if now is None else now)))


def _moment_s(text: str) -> float | None:
    """A date of HTTP as epoch seconds."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _redirected(url: str, location: str) -> str:
    """The address that a redirect names. The user info of `url` goes along within its origin, as in a browser."""
    try:
        target = checked_url(urljoin(url, location))
    except (Invalid, ValueError) as error:
        raise BadAnswer(
            f"{redact(url)} redirects to an address that cannot be fetched: {redact(str(error))}"
        ) from error
    user, found, _ = urlsplit(url).netloc.rpartition("@")
    parts = urlsplit(target)
    if found and "@" not in parts.netloc and _same_origin(url, target):
        return parts._replace(netloc=f"{user}@{parts.netloc}").geturl()
    return target


def _same_origin(one: str, other: str) -> bool:
    """Whether what `one` was trusted with may go to `other`: the same origin, or the same host moved up to TLS."""
    (scheme, host, port), (new_scheme, new_host, new_port) = _origin(one), _origin(other)
    upgraded = (scheme, port, new_scheme, new_port) == ("http", 80, "https", 443)
    return host == new_host and (upgraded or (scheme, port) == (new_scheme, new_port))


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _DEFAULT_PORTS[scheme]


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


def _is_break(error: BaseException) -> bool:
    """Whether the body broke off: fewer bytes than were told, or a chunk that is none."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, http.client.IncompleteRead):  # urllib3's are kinds of it
        inner = inner.__cause__ or inner.__context__
    return inner is not None


def _reason(error: BaseException) -> str:
    """The innermost cause, without urllib3's wrapping that repeats the address."""
    if isinstance(error, requests.Timeout | TimeoutError | urllib3.exceptions.TimeoutError):
        return "no answer in the time allowed"
    if _is_break(error):
        return "the connection ended before the answer was whole"
    inner: BaseException = error
    while isinstance(cause := inner.__cause__ or inner.__context__, Exception):
        inner = cause
    return str(inner) or type(inner).__name__
