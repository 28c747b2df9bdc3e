"""Viewers over socket pairs: the relay gets one end, the test reads the other, at whatever pace it likes."""

import socket
import threading
import zlib

from servicekit.errors import AerialError
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.relay.hub import Hub
from tests.stream.relaykit import packets as ts
from tests.waiting import until

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


def target(
    *urls: str, name: str = "news", limit: int | None = None, sources: tuple[int, ...] = (), **timeouts: float
) -> ChannelTarget:
    """A channel with these addresses; `sources` say whose each is, `limit` how many connections they allow."""
    streams = tuple(
        StreamAddress(
            id=zlib.crc32(url.encode()),
            source_id=sources[n] if n < len(sources) else 1,
            url=url,
            private_ok=True,
            connection_limit=limit,
            timeouts=timeouts,
        )
        for n, url in enumerate(urls)
    )
    return ChannelTarget(id=name, number="1", name=name.title(), streams=streams)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected TCP sockets, small of buffer, so that a slow reader is felt soon."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        far = socket.socket()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        far.connect(listener.getsockname())
        near, _ = listener.accept()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    return near, far


class ViewerEnd:
    """One viewer: joined in a thread of its own as a request would be."""

    def __init__(
        self, hub: Hub, channel: ChannelTarget, *, reads: bool = True, address: str = "192.0.2.7", priority: int = 0
    ) -> None:
        self.near, self.far = tcp_pair()
        self.received = bytearray()
        self.ended = False
        self.error: AerialError | None = None
        self._hub = hub
        self._channel = channel
        self._address = address
        self._priority = priority
        self._joining = threading.Thread(target=self._join, name="viewer joins", daemon=True)
        self._joining.start()
        self._reading: threading.Thread | None = None
        if reads:
            self.read()

    def _join(self) -> None:
        fd = self.near.detach()
        try:
            self._hub.join(
                self._channel, fd, address=self._address, user_agent="test", priority=self._priority, head=HEAD
            )
        except AerialError as error:
            self.error = error

    def read(self) -> None:
        """Begin to take everything as it comes."""
        self._reading = threading.Thread(target=self._read, name="viewer reads", daemon=True)
        self._reading.start()

    def _read(self) -> None:
        try:
            while piece := self.far.recv(65_536):
                self.received += piece
            self.ended = True
        except OSError:
            return

    def joined(self) -> "ViewerEnd":
        """Wait until the relay has taken or refused the viewer."""
        self._joining.join(20)
        assert not self._joining.is_alive()
        return self

    def body(self) -> bytes:
        """The whole packets received so far."""
        assert self.received.startswith(HEAD) or not self.received
        body = bytes(self.received[len(HEAD) :])
        return body[: len(body) // ts.PACKET * ts.PACKET]

    def numbers(self) -> list[int]:
        return ts.numbers(self.body())

    def has(self, count: int) -> "ViewerEnd":
        """Wait for so many numbered packets."""
        until(lambda: len(self.numbers()) >= count, what=f"{count} packets, {self.error}")
        return self

    def wait_for_end(self) -> "ViewerEnd":
        until(lambda: self.ended, what="the end of the stream")
        return self

    def leave(self) -> None:
        """Close this end and wait for the threads."""
        if self.far.fileno() >= 0:
            try:
                self.far.shutdown(socket.SHUT_RDWR)
            except OSError:
                self.ended = True  # it was over already
        if self._reading is not None:
            self._reading.join(20)
        self._joining.join(20)
        self.far.close()
