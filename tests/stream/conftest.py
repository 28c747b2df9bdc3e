"""What holds for the tests of this room."""

from collections.abc import Iterator

import pytest

from tests.stream.relaykit.held import leaves_nothing

RELAY = frozenset(
    {
        "test_bandwidth", "test_channel", "test_failover", "test_ffmpeg", "test_file_source", "test_hls",
        "test_hls_out", "test_hls_sound", "test_hub", "test_live", "test_media_live", "test_mpegts", "test_players",
        "test_probe", "test_reclock", "test_ring", "test_sessions_log", "test_slate", "test_slots",
        "test_troubles", "test_udp", "test_upstream",
    }
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test of the relay: no descriptor, socket, thread or child more than before it."""
    if request.module.__name__.rpartition(".")[2] not in RELAY:
        yield
        return
    with leaves_nothing():
        yield
