"""Probes: what a channel really sends, looked at once and kept."""

from collections.abc import Iterator

import psutil
import pytest

from servicekit.clock import SystemClock
from servicekit.errors import BadAnswer, Unavailable
from stream_service.domain.model import ChannelTarget
from stream_service.relay.ffmpeg import Programs
from stream_service.relay.probe import Prober, bitrate_bps
from tests.programs import needs
from tests.stream.hlskit import H264, made, picture_and_sound
from tests.stream.relaykit.held import leaves_nothing
from tests.stream.relaykit.viewers import target


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    needs("ffmpeg", "ffprobe")
    with leaves_nothing():
        yield
        assert not psutil.Process().children(recursive=True)


class Followed:
    """A channel's bytes, in pieces."""

    def __init__(self, data: bytes) -> None:
        self._pieces = iter([data[at : at + 10_000] for at in range(0, len(data), 10_000)])
        self.closed = False

    def __iter__(self) -> "Followed":
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        self.closed = True


class Place:
    def __init__(self, data: bytes, programs: Programs | None = None) -> None:
        self.data = data
        self.follows: list[Followed] = []
        self.prober = Prober(programs=programs or Programs(), follow=self.follow, clock=SystemClock(), sample_s=30)

    def follow(self, channel: ChannelTarget, *, address: str, user_agent: str = "") -> Followed:
        self.follows.append(Followed(self.data))
        return self.follows[-1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    needs("ffmpeg")
    path = tmp_path_factory.mktemp("probe") / "a.ts"
    return made(path, *picture_and_sound(), *H264, "-metadata:s:a:0", "language=deu", "-f", "mpegts").read_bytes()


def test_codecs_size_and_rates_are_told(data: bytes) -> None:
    found = Place(data).prober.probe(target("http://h/a"))
    assert found["channel_id"] == "news"
    assert found["cached"] is False
    assert found["bytes"] == len(data)
    picture, sound = found["streams"]  # type: ignore[misc]
    assert {key: picture[key] for key in ("type", "codec", "width", "height", "fps")} == {
        "type": "video", "codec": "h264", "width": 160, "height": 120, "fps": 25.0,
    }  # fmt: skip
    assert (sound["codec"], sound["channels"], sound["language"]) == ("aac", 1, "deu")
    assert found["bitrate_mbps"] == pytest.approx(len(data) * 8 / 4 / 1e6, rel=0.3)


def test_what_was_found_is_kept_until_it_is_asked_anew_or_the_streams_change(data: bytes) -> None:
    place = Place(data)
    place.prober.probe(target("http://h/a"))
    assert place.prober.probe(target("http://h/a"))["cached"] is True
    assert len(place.follows) == 1
    assert place.prober.probe(target("http://h/a"), again=True)["cached"] is False
    assert place.prober.probe(target("http://h/a", "http://h/b"))["cached"] is False
    assert len(place.follows) == 3
    assert all(one.closed for one in place.follows)


@pytest.mark.parametrize("body", [b"", b"G" * 50_000, bytes(10_000)], ids=["nothing", "sync bytes", "zeros"])
def test_what_cannot_be_read_is_a_bad_answer_and_not_kept(body: bytes) -> None:
    place = Place(body)
    for _ in range(2):
        with pytest.raises(BadAnswer, match="News"):
            place.prober.probe(target("http://h/a"))
    assert len(place.follows) == 2


def test_without_ffprobe_it_is_said_what_to_install_and_nothing_is_opened(data: bytes) -> None:
    place = Place(data, Programs(ffprobe="no-such-program"))
    with pytest.raises(Unavailable, match="install"):
        place.prober.probe(target("http://h/a"))
    assert place.follows == []


def test_a_stream_without_times_has_no_bit_rate() -> None:
    assert bitrate_bps(b"") is None
    assert bitrate_bps(bytes(1880)) is None
