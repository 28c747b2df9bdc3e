"""One viewer's stream as an iterator, for servers whose sockets cannot be had and for what follows a channel inside."""

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from stream_service.domain.watching import Course
from stream_service.relay.client import Client


class Source(Protocol):
    """What a follower asks of the hub."""

    def take(self, client: Client) -> bytes | None:
        """The next bytes, empty when it is level, None when it has ended."""
        ...

    def pause(self) -> None:
        """Wait until there may be more."""
        ...

    def leave(self, client: Client) -> None:
        """The follower has gone."""
        ...


class Following(Iterator[bytes]):
    """Whole packets, in order; `close` ends it, also when it was never read."""

    def __init__(self, hub: Source, client: Client) -> None:
        self._hub = hub
        self._client = client

    def __next__(self) -> bytes:
        while (data := self._hub.take(self._client)) is not None:
            if data:
                return data
            self._hub.pause()
        self.close()
        raise StopIteration

    @property
    def course(self) -> Course:
        """How the channel has gone so far."""
        channel, cursor = self._client.channel, self._client.cursor
        address = channel.address
        return Course(
            jumps=cursor.jumps if cursor else 0,
            switches=channel.failover.switches,
            slates=channel.slates,
            source_id=address.source_id if address else None,
            stream_id=address.id if address else None,
        )

    def close(self) -> None:
        """End the stream."""
        self._hub.leave(self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
