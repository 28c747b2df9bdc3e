"""One open connection to a provider, drained without waiting.

Two kinds behind one small protocol. Plain HTTP without framing: the bare socket is read by the wheel itself, which
costs the least and does not depend on how finely the network delivers. TLS, chunked framing and content codings: a
reader of its own waits for bytes and puts them into a bounded queue, which the wheel empties.

The end of a live stream is never normal: `ended` says in words how it came about.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from servicekit.errors import AerialError, BadAnswer
from servicekit.redact import redact
from stream_service import native
from stream_service.domain.model import StreamAddress

QUEUE_MAX_BYTES = 4 * 1024 * 1024
_READ_BYTES = 65_536
_CLOSED = "the provider closed the connection"


class OpenAnswer(Protocol):
    """What the relay needs of an open HTTP answer (`servicekit.fetch.Answer`)."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def url(self) -> str: ...
    def raw_socket(self) -> tuple[native.BareSocket, bytes] | None: ...
    def read1(self, n: int = 65_536) -> bytes: ...
    def shutdown(self) -> None: ...
    def close(self) -> None: ...


OpenAddress = Callable[[StreamAddress], OpenAnswer]
"""Opens an address, redirects followed; raises `Refused`, `Unreachable`, `BadAnswer`, `Invalid`."""


class Upstream(Protocol):
    """An open connection."""

    ended: str | None
    """Why nothing more will come; None while something may."""

    def drain(self, into: memoryview) -> int:
        """Fill `into` with what is there, without waiting; returns how many bytes. May set `ended`."""
        ...

    def close(self) -> None:
        """End the connection; never waits, may be called twice."""
        ...


def open_upstream(address: StreamAddress, *, open_address: OpenAddress) -> Upstream:
    """Connect to `address` and wait for the headers; always the original one, as a redirect's token may have expired.

    Raises what `open_address` raises, and `BadAnswer` for a success without a body (204, 304).
    """
    answer = open_address(address)
    if not 200 <= answer.status < 300 or answer.status == 204:
        answer.close()
        raise BadAnswer(f"{redact(answer.url)} answered {answer.status}, which carries no stream", status=answer.status)
    bare = answer.raw_socket()
    return QueuedUpstream(answer) if bare is None else SocketUpstream(answer, *bare)


class SocketUpstream:
    """The bare socket of an answer, which keeps it open."""

    def __init__(self, answer: OpenAnswer, sock: native.BareSocket, early: bytes) -> None:
        self.ended: str | None = None
        self._answer = answer
        self._early = early
        self._sock = native.bare_copy(sock)

    def drain(self, into: memoryview) -> int:
        filled = len(self._early)
        if filled:
            into[:filled] = self._early
            self._early = b""
        try:
            while filled < len(into):
                room = len(into) - filled
                got = self._sock.recv_into(into[filled:])
                filled += got
                if not got:
                    self.ended = _CLOSED
                if got < room:
                    break  # a short read has emptied the socket: asking again would only cost
        except BlockingIOError:
            pass  # nothing more for now
        except OSError as error:
            self.ended = f"the connection broke: {error.strerror or error}"
        return filled

    def close(self) -> None:
        self._sock.close()
        self._answer.close()


class QueuedUpstream:
    """A reader that waits for bytes, and a bounded queue between it and the wheel.

    A full queue makes the reader wait, and so the provider. `close` only says so: the reader closes its answer itself
    when its read returns, since closing under a read would make the caller wait for it.
    """

    def __init__(self, answer: OpenAnswer, *, queue_max_bytes: int = QUEUE_MAX_BYTES) -> None:
        self.ended: str | None = None
        self._answer = answer
        self._queue_max_bytes = queue_max_bytes
        self._pieces: deque[bytes] = deque()
        self._queued_bytes = 0
        self._change = threading.Condition()
        self._closing = False
        self._finish: str | None = None
        native.spawn(self._read, name="upstream reader")

    def _read(self) -> None:
        try:
            while piece := self._answer.read1(_READ_BYTES):
                if not self._put(piece):
                    break
            finish = _CLOSED
        except (AerialError, OSError, ValueError) as error:
            finish = f"the connection broke: {redact(str(error))}"
        self._answer.close()
        with self._change:
            self._finish = finish

    def _put(self, piece: bytes) -> bool:
        with self._change:
            self._change.wait_for(lambda: self._closing or self._queued_bytes < self._queue_max_bytes)
            self._pieces.append(piece)
            self._queued_bytes += len(piece)
            return not self._closing

    def drain(self, into: memoryview) -> int:
        filled = 0
        with self._change:
            while self._pieces and filled < len(into):
                piece = self._pieces.popleft()
                part = piece[: len(into) - filled]
                if len(part) < len(piece):
                    self._pieces.appendleft(piece[len(part) :])
                into[filled : filled + len(part)] = part
                filled += len(part)
            self._queued_bytes -= filled
            if not self._pieces:
                self.ended = self._finish
            self._change.notify_all()
        return filled

    def close(self) -> None:
        with self._change:
            self._closing = True
            self._pieces.clear()
            self._queued_bytes = 0
            self._change.notify_all()
        self._answer.shutdown()  # wakes the reader, which closes
