"""One viewer's connection: who it is, where it stands in the ring, and sends that never wait."""

import socket
import sys
import threading
from collections import deque
from dataclasses import dataclass, field

from stream_service import native
from stream_service.domain.watching import Via
from stream_service.relay.channel import Channel
from stream_service.relay.ring import Cursor

SENT_BLOBS = 8
"""Blobs per send for a client that is behind: several MB a turn at most, whatever the kernel takes."""
_UNSENT_LOW_BYTES = 256 * 1024
_GIVE_UP_MS = 30_000


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: two are the same who come from one address with one name of a program and of a user.

    `priority`: of two viewers who want one connection, the greater one gets it where that is asked for (`preempt`).
    `lineup`: through which the channel was found, empty when that is not known. `tuner`: of a lineup that is watched as
    a tuner, the one that this stream takes ("default/0").
    """

    address: str
    user_agent: str = ""
    user: str = ""
    priority: int = field(default=0, compare=False)
    lineup: str = field(default="", compare=False)
    via: Via = field(default=Via.TS, compare=False)
    tuner: str = field(default="", compare=False)


class Client:
    """A viewer. With a socket the wheel sends to it; without one (`follow`) somebody reads the ring on its behalf.

    Its life: made and registered; waits until its channel is ready; started (it has a cursor); ended, by its own going,
    by the relay's. Under the hub's lock throughout, but for `woken`.
    """

    __slots__ = (
        "asked_at_s",
        "began",
        "bytes_sent",
        "channel",
        "cursor",
        "fd",
        "gone",
        "jumped_at_s",
        "jumps_seen",
        "number",
        "room",
        "short_since_s",
        "since",
        "sock",
        "started_at_s",
        "viewer",
        "woken",
    )

    def __init__(
        self,
        channel: Channel,
        viewer: Viewer,
        *,
        since: int,
        sock: native.BareSocket | None,
        number: int = 0,
        now_s: float = 0.0,
    ) -> None:
        self.channel = channel
        self.viewer = viewer
        self.since = since
        """When it came, in epoch seconds."""
        self.asked_at_s = now_s
        self.started_at_s: float | None = None
        """When it had its first byte, by the monotonic clock."""
        self.began = (0, 0)
        """The channel's switches and slates at that moment."""
        self.number = number
        """Of two clients the later one has the greater number."""
        self.sock = sock
        self.fd = sock.fileno() if sock is not None else -1
        self.cursor: Cursor | None = None
        self.bytes_sent = 0
        self.room = True
        """False from a send that fell short until the kernel says that there is room."""
        self.short_since_s = 0.0
        self.gone = False
        self.jumped_at_s: deque[float] = deque()
        self.jumps_seen = 0
        self.woken = threading.Event()

    def started(self, now_s: float) -> None:
        """It is being served from now on."""
        self.started_at_s = now_s
        self.began = (self.channel.failover.switches, self.channel.slates)

    def behind(self) -> bool:
        """True when it is the wheel's to send to it, it has room and has not had everything."""
        return (
            self.sock is not None
            and self.cursor is not None
            and self.room
            and not self.gone
            and not self.channel.ring.level(self.cursor)
        )

    def has_had_everything(self) -> bool:
        """True when it is level with its channel."""
        return self.cursor is not None and self.channel.ring.level(self.cursor)

    def jumped_too_often(self, now_s: float, *, most: int, within_s: float) -> bool:
        """True when it has fallen out of the ring for the `most`-th time within `within_s`."""
        jumps = self.cursor.jumps if self.cursor is not None else 0
        if jumps <= self.jumps_seen:
            return False
        self.jumped_at_s.extend([now_s] * (jumps - self.jumps_seen))
        self.jumps_seen = jumps
        while self.jumped_at_s and now_s - self.jumped_at_s[0] > within_s:
            self.jumped_at_s.popleft()
        return len(self.jumped_at_s) >= most

    def excuse_jumps(self) -> None:
        """Its jumps so far are not held against it."""
        self.jumps_seen = self.cursor.jumps if self.cursor is not None else 0
        self.jumped_at_s.clear()

    def send_newest(self, data: bytes, head: int) -> int:
        """Send what the client has not had; `data` is the newest blob, number `head - 1`. Returns bytes sent.

        The steady state, one call for one blob. Raises `BlockingIOError` (nothing sent), `OSError` (gone).
        """
        cursor, sock = self.cursor, self.sock
        if cursor is None or sock is None:
            return 0
        if cursor.index != head - 1 or cursor.offset or cursor.pending:
            return self.send_behind()
        sent = sock.send(data)
        if sent == len(data):
            cursor.index = head
        else:
            self.channel.ring.advance(cursor, sent)
            self.room = False
        self.bytes_sent += sent
        return sent

    def send_behind(self, most_bytes: int | None = None) -> int:
        """Send up to `SENT_BLOBS` blobs from the cursor on, or so many bytes. Returns and raises as `send_newest`."""
        cursor, sock = self.cursor, self.sock
        if cursor is None or sock is None:
            return 0
        pieces = self.channel.ring.gather(cursor, SENT_BLOBS)
        if most_bytes is not None:
            pieces = cut(pieces, most_bytes)
        if not pieces:
            return 0
        sent = sock.sendmsg(pieces)
        self.channel.ring.advance(cursor, sent)
        self.room = sent == sum(map(len, pieces))
        self.bytes_sent += sent
        return sent

    def finish(self) -> bool:
        """End at a packet boundary: send the rest of the packet in hand, then say that no more comes.

        True when done; False when there is no room (call again). Raises `OSError` when the client has gone.
        """
        if self.sock is None:
            return True
        if self.cursor is not None and self.cursor.pending:
            try:
                sent = self.sock.send(self.cursor.pending)
            except BlockingIOError:
                return False
            self.cursor.pending = self.cursor.pending[sent:]
            if self.cursor.pending:
                return False
        self.sock.shutdown(socket.SHUT_WR)
        return True


def cut(pieces: list[bytes | memoryview], most_bytes: int) -> list[bytes | memoryview]:
    """The first `most_bytes` of what was gathered."""
    kept: list[bytes | memoryview] = []
    for piece in pieces:
        if most_bytes <= 0:
            break
        kept.append(piece if len(piece) <= most_bytes else memoryview(piece)[:most_bytes])
        most_bytes -= len(piece)
    return kept


def stream_socket(fd: int) -> native.BareSocket:
    """`fd` (owned from now on) as a bare socket made ready to carry a stream.

    No Nagle delay; a peer that acknowledges nothing for 30 s is given up by the kernel; and at most 256 KB wait unsent
    in the kernel, else a slow client would read seconds of old data there that no jump can take back. Raises `OSError`
    when the peer has gone already.
    """
    sock = native.bare_socket(fd)
    try:
        _tune(sock)
    except OSError:
        sock.close()  # the peer has gone already
        raise
    return sock


def _tune(sock: native.BareSocket) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform.startswith("linux"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GIVE_UP_MS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_LOW_BYTES)
