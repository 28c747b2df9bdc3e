"""Open connections: drained without waiting, and an end that says how it came about."""

import socket
import threading
from collections.abc import Iterator, Mapping

import pytest

from servicekit.addresses import AddressPolicy
from servicekit.errors import BadAnswer, Refused, Unreachable
from servicekit.fetch import Answer, Fetcher
from stream_service.domain.model import StreamAddress
from stream_service.relay.upstream import QueuedUpstream, SocketUpstream, Upstream, open_upstream
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.held import leaves_nothing
from tests.stream.relaykit.upstream import ScriptedUpstream, chunked, ends, hangs, redirects, resets, sends, status
from tests.waiting import until


@pytest.fixture
def provider() -> Iterator[ScriptedUpstream]:
    with leaves_nothing(), ScriptedUpstream() as provider:
        yield provider


def opened(url: str, *, private_ok: bool = True) -> Upstream:
    fetcher = Fetcher(policy=AddressPolicy())

    def open_address(address: StreamAddress) -> Answer:
        return fetcher.open(address.url, typed=False, private_ok=address.private_ok, timeout_s=2)

    address = StreamAddress(id=1, source_id=1, url=url, private_ok=private_ok)
    return open_upstream(address, open_address=open_address)


def drained(upstream: Upstream, count: int) -> bytes:
    buffer, out = memoryview(bytearray(10_000)), bytearray()

    def enough() -> bool:
        out.extend(buffer[: upstream.drain(buffer)])
        return len(out) >= count or upstream.ended is not None

    until(enough, what=f"{count} bytes, {len(out)} came")
    return bytes(out)


@pytest.mark.parametrize(
    ("framing", "kind"), [([], SocketUpstream), ([chunked()], QueuedUpstream)], ids=["bare", "chunked"]
)
def test_everything_comes_out_once_and_in_order(provider: ScriptedUpstream, framing: list, kind: type) -> None:  # type: ignore[type-arg]
    upstream = opened(provider.script("/a", [*framing, sends(pictures=30), hangs()]))
    assert isinstance(upstream, kind)
    want = 30 * ts.PICTURE_PACKETS
    data = drained(upstream, (want + 12) * ts.PACKET)
    assert ts.numbers(data) == list(range(want))
    assert upstream.ended is None
    assert upstream.drain(memoryview(bytearray(10))) == 0
    upstream.close()
    upstream.close()


@pytest.mark.parametrize("framing", [[], [chunked()]], ids=["bare", "chunked"])
@pytest.mark.parametrize("end", [ends, resets], ids=["clean", "reset"])
def test_an_end_is_told_in_words(provider: ScriptedUpstream, framing: list, end: object) -> None:  # type: ignore[type-arg]
    assert callable(end)
    upstream = opened(provider.script("/a", [*framing, sends(pictures=2), end()]))
    drained(upstream, 1 << 30)
    assert upstream.ended
    upstream.close()


def test_a_redirect_is_followed(provider: ScriptedUpstream) -> None:
    provider.script("/there", [sends(pictures=1), hangs()])
    upstream = opened(provider.script("/a", [redirects("/there")]))
    assert drained(upstream, ts.PACKET)
    upstream.close()


@pytest.mark.parametrize("line", ["403 Forbidden", "404 Not Found", "502 Bad Gateway", "204 No Content"])
def test_a_status_without_a_stream_is_a_bad_answer(provider: ScriptedUpstream, line: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        opened(provider.script("/a", [status(line)]))
    assert line[:3] in caught.value.detail


def test_nobody_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(Unreachable):
        opened(f"http://127.0.0.1:{port}/a")


def test_an_address_that_content_named_may_not_be_private(provider: ScriptedUpstream) -> None:
    with pytest.raises(Refused):
        opened(provider.script("/a", [hangs()]), private_ok=False)
    assert provider.opened("/a") == 0


class Endless:
    """An answer that always has more."""

    status = 200
    headers: Mapping[str, str] = {}
    url = "http://example.org/a"

    def __init__(self) -> None:
        self.reads = 0
        self.closed = threading.Event()

    def raw_socket(self) -> None:
        return None

    def read1(self, n: int = 65_536) -> bytes:
        self.reads += 1
        return b"G" * n

    def shutdown(self) -> None:
        """Nothing waits in this one's reads."""

    def close(self) -> None:
        self.closed.set()


def test_a_full_queue_makes_the_reader_wait_and_close_lets_it_go() -> None:
    with leaves_nothing():
        answer = Endless()
        upstream = QueuedUpstream(answer, queue_max_bytes=200_000)
        until(lambda: answer.reads >= 5)
        before = answer.reads
        assert before <= 6
        assert upstream.drain(memoryview(bytearray(100_000))) == 100_000
        until(lambda: answer.reads > before)
        upstream.close()
        assert answer.closed.wait(20)
