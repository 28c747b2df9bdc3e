"""One open connection to a provider, drained without waiting.

Two kinds of HTTP behind one small protocol. Without framing: the bare socket is read by the wheel itself, which costs
the least and does not depend on how finely the network delivers. TLS, chunked framing and content codings: a reader of
its own waits for bytes and puts them into a bounded queue, which the wheel empties. Other kinds of upstream stand in
modules of their own (`hls`, `udp`, `file_source`, `ffmpeg`); `opening` chooses among them.

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
    answer = usable(open_address(address))
    bare = answer.raw_socket()
    return QueuedUpstream(answer) if bare is None else SocketUpstream(answer, *bare)


def usable(answer: OpenAnswer) -> OpenAnswer:
    """The answer itself; closed, and `BadAnswer`, when its status carries no body."""
    if not 200 <= answer.status < 300 or answer.status == 204:
        answer.close()
        raise BadAnswer(f"{redact(answer.url)} answered {answer.status}, which carries no stream", status=answer.status)
    return answer


def drain_socket(sock: native.BareSocket, into: memoryview) -> tuple[int, bool]:
    """What a non-blocking stream socket holds, as far as there is room: (bytes, the other side has ended).

    Raises `OSError` when the connection broke and nothing came.
    """
    filled = 0
    try:
        while filled < len(into):
            room = len(into) - filled
            got = sock.recv_into(into[filled:])
            filled += got
            if not got:
                return filled, True
            if got < room:
                break  # a short read has emptied the socket: asking again would only cost
    except BlockingIOError:
        pass  # nothing more for now
    except OSError:
        if not filled:
            raise
    return filled, False


class SocketUpstream:
    """The bare socket of an answer, which keeps it open."""

    def __init__(self, answer: OpenAnswer, sock: native.BareSocket, early: bytes) -> None:
        self.ended: str | None = None
        self._answer = answer
        self._early = early
        self._sock = native.bare_copy(sock)

    def drain(self, into: memoryview) -> int:
        filled = min(len(self._early), len(into))
        if filled:
            into[:filled] = self._early[:filled]
            self._early = self._early[filled:]
        try:
            got, at_end = drain_socket(self._sock, into[filled:])
        except OSError as error:
            self.ended = f"the connection broke: {error.strerror or error}"
            return filled
        if at_end:
            self.ended = _CLOSED
        return filled + got

    def close(self) -> None:
        self._sock.close()
        self._answer.close()


class ByteQueue:
    """A bounded queue between a reader that waits and the wheel, which never does.

    The reader puts, and waits while the queue is full; `finish` says why no more comes. `drain` and `close` are the
    wheel's.
    """

    def __init__(self, *, max_bytes: int = QUEUE_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._pieces: deque[bytes] = deque()
        self._queued_bytes = 0
        self._change = threading.Condition()
        self._closed = False
        self._finish: str | None = None
        self.ended: str | None = None
        """Set once everything was drained after `finish`."""

    @property
    def closed(self) -> bool:
        """True when nobody wants more."""
        return self._closed

    def put(self, piece: bytes) -> bool:
        """Take a piece when there is room; False when nobody wants it."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._queued_bytes < self._max_bytes)
            self._pieces.append(piece)
            self._queued_bytes += len(piece)
            return not self._closed

    def finish(self, reason: str) -> None:
        """No more will be put."""
        with self._change:
            self._finish = reason

    def pause(self, seconds: float) -> bool:
        """Wait; True when the queue was closed meanwhile."""
        with self._change:
            return self._change.wait_for(lambda: self._closed, seconds)

    def drain(self, into: memoryview) -> int:
        """As `Upstream.drain`."""
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
        """Throw everything away; the reader's next `put` says False."""
        with self._change:
            self._closed = True
            self._pieces.clear()
            self._queued_bytes = 0
            self._change.notify_all()


class QueuedUpstream:
    """An answer behind a reader and a queue.

    A full queue makes the reader wait, and so the provider. `close` only says so: the reader closes its answer itself
    when its read returns, since closing under a read would make the caller wait for it.
    """

    def __init__(self, answer: OpenAnswer, *, queue_max_bytes: int = QUEUE_MAX_BYTES) -> None:
        self.ended: str | None = None
        self._answer = answer
        self._queue = ByteQueue(max_bytes=queue_max_bytes)
        native.spawn(self._read, name="upstream reader")

    def _read(self) -> None:
        try:
            while piece := self._answer.read1(_READ_BYTES):
                if not self._queue.put(piece):
                    break
            finish = _CLOSED
        except (AerialError, OSError, ValueError) as error:
            finish = f"the connection broke: {redact(str(error))}"
        self._answer.close()
        self._queue.finish(finish)

    def drain(self, into: memoryview) -> int:
        filled = self._queue.drain(into)
        self.ended = self._queue.ended
        return filled

    def close(self) -> None:
        self._queue.close()
        self._answer.shutdown()  # wakes the reader, which closes
