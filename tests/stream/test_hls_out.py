"""HLS output: segments cut at keyframes, playlists that players can follow, one reader however many ask."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from servicekit import web
from servicekit.clock import SystemClock
from servicekit.errors import NotFound, Unavailable
from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from stream_service.api.hls import blueprint
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.domain.watching import Course
from stream_service.relay.ffmpeg import DrainedFeed, Programs
from stream_service.relay.file_source import PacedFile
from stream_service.relay.hls_out import HlsOutput, HlsOutSettings, _Reader
from stream_service.relay.hub import Hub
from stream_service.relay.journal import Journal
from stream_service.relay.opening import Opener
from stream_service.relay.segmenter import Cut, Segmenter
from stream_service.relay.settings import RelaySettings
from tests.programs import needs
from tests.stream import hlskit
from tests.stream.hlskit import H264, MPEG2, HlsServer, decode_errors, made, picture_and_sound, probed
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.held import leaves_nothing
from tests.waiting import until

SETTINGS = HlsOutSettings(segment_s=1.0, listed=3, kept=40, idle_s=2.0, wait_s=30.0)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("ffmpeg", "ffprobe")
    return made(tmp_path_factory.mktemp("file") / "news.ts", *picture_and_sound(8), *H264, "-f", "mpegts")


def cuts_of(data: bytes, *, target_s: float = 1.0, piece: int = 50_000, most_bytes: int = 1 << 30) -> list[Cut]:
    segmenter = Segmenter(target_s=target_s, most_bytes=most_bytes)
    found: list[Cut] = []
    for number, at in enumerate(range(0, len(data), piece)):
        found += segmenter.feed(data[at : at + piece], number * 0.1)
    return found


# ---- cutting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1_000, 50_000, 10_000_000])
def test_segments_begin_with_tables_and_a_keyframe_and_decode_alone(file: Path, piece: int) -> None:
    cuts = cuts_of(file.read_bytes(), piece=piece)
    assert len(cuts) == 7
    for cut in cuts:
        first = list(ts.packets(cut.data[: 3 * ts.PACKET]))
        assert ts.pid_of(first[0]) == 0
        assert ts.is_keyframe(first[2])
        assert cut.duration_s == pytest.approx(1.0, abs=0.01)
        assert not cut.discontinuity
    assert probed(cuts[3].data) == {"video": "h264", "audio": "aac"}
    assert decode_errors(b"".join(cut.data for cut in cuts)) == ""


def test_a_segment_is_at_least_as_long_as_asked(file: Path) -> None:
    assert [round(cut.duration_s) for cut in cuts_of(file.read_bytes(), target_s=3.0)] == [3, 3]


def test_radio_is_cut_too(tmp_path: Path) -> None:
    needs("ffmpeg")
    sound = made(tmp_path / "r.ts", "-f", "lavfi", "-i", "sine=duration=6", "-c:a", "mp2", "-f", "mpegts")
    cuts = cuts_of(sound.read_bytes(), piece=5_000)
    assert len(cuts) >= 3
    assert all(0.9 <= cut.duration_s <= 2.5 for cut in cuts)
    assert probed(cuts[1].data) == {"audio": "mp2"}


def test_a_clock_that_jumps_back_is_a_discontinuity(file: Path) -> None:
    cuts = cuts_of(file.read_bytes() * 2)
    assert [cut.discontinuity for cut in cuts].count(True) == 1
    assert all(cut.duration_s < 12 for cut in cuts)


def test_other_tables_are_a_discontinuity(file: Path, tmp_path: Path) -> None:
    other = made(tmp_path / "o.ts", *picture_and_sound(4), *MPEG2, "-f", "mpegts").read_bytes()
    cuts = cuts_of(file.read_bytes() + other, piece=4_000)
    assert [cut.discontinuity for cut in cuts].count(True) >= 1
    assert probed(cuts[-1].data)["video"] == "mpeg2video"


def test_memory_stays_bounded_without_a_place_to_cut() -> None:
    stream = ts.Numbered(marks=False)
    segmenter = Segmenter(target_s=1.0, most_bytes=100_000)
    for _ in range(200):
        segmenter.feed(stream.pictures(5), 0.0)
    assert segmenter._size_bytes <= 100_000 + 5 * ts.PICTURE_PACKETS * ts.PACKET


# ---- playlists -------------------------------------------------------------------------------------------------------


class Place:
    """A hub that plays the file as a channel, and HLS of it."""

    def __init__(self, file: Path, settings: HlsOutSettings = SETTINGS) -> None:
        self.opened = 0
        opener = Opener(
            open_address=hlskit.open_address, programs=Programs(), clock=SystemClock(), import_dir=file.parent
        )

        def open_stream(address: StreamAddress) -> object:
            self.opened += 1
            return opener.open(address)

        self.hub = Hub(open_stream=open_stream, settings=RelaySettings(first_byte_s=5, grace_s=0.2))  # type: ignore[arg-type]
        self.followed = 0
        self.output = HlsOutput(follow=self.follow, clock=SystemClock(), settings=settings)
        address = StreamAddress(id=1, source_id=1, url=f"file:{file.name}", private_ok=True)
        self.channel = ChannelTarget("news", "1", "News", (address,))

    def follow(self, target: ChannelTarget, *, address: str, user_agent: str = "") -> object:
        self.followed += 1
        return self.hub.follow(target, address=address, user_agent=user_agent)

    def text(self) -> str:
        return self.output.playlist(self.channel, address="192.0.2.7", user_agent="hls.js")


@pytest.fixture
def place(file: Path) -> Iterator[Place]:
    with leaves_nothing():
        made = Place(file)
        try:
            yield made
        finally:
            made.hub.drain(0.5)


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"/(\d+)\.ts$", text, re.MULTILINE)]


def segment(place: Place, line: str) -> bytes:
    channel, _, token, name = line.split("/")
    return place.output.segment(channel, token, int(name.removesuffix(".ts")))


def test_a_playlist_moves_on_and_its_segments_are_there(place: Place) -> None:
    text = place.text()
    assert text.startswith("#EXTM3U\n")
    assert "#EXT-X-TARGETDURATION:1\n" in text
    assert "ENDLIST" not in text
    first = numbers(text)[0]
    later = until(lambda: text if numbers(text := place.text())[0] > first else "", limit_s=60)
    assert len(numbers(later)) == 3
    for line in later.splitlines():
        if line.endswith(".ts"):
            assert probed(segment(place, line)) == {"video": "h264", "audio": "aac"}
    assert place.followed == 1


def test_many_askers_share_one_reader_and_one_upstream(place: Place) -> None:
    for _ in range(20):
        place.text()
    assert place.followed == place.opened == 1
    assert len(place.hub.sessions()[0]["clients"]) == 1  # type: ignore[arg-type]


def test_the_channel_ends_when_nobody_asks_any_more(place: Place) -> None:
    place.text()
    until(lambda: not place.hub.sessions(), limit_s=60, what="the channel to end")
    assert "#EXTM3U" in place.text()
    assert place.followed == 2


def test_a_clock_that_jumps_is_marked_for_players_and_counted_when_it_has_left(file: Path) -> None:
    data = file.read_bytes()
    feed = iter([data[at : at + 100_000] for at in range(0, len(data), 100_000)] * 2)

    class Feed:
        def __iter__(self) -> "Feed":
            return self

        def __next__(self) -> bytes:
            return next(feed)

        def close(self) -> None: ...

        course = Course()

    texts: list[str] = []
    reader = _Reader(
        ChannelTarget("a", "1", "A", ()),
        lambda *_, **__: Feed(),
        SystemClock(),
        replace(SETTINGS, kept=5),
        lambda _: None,
        Journal(),
    )
    keep = reader._keep

    def kept(cut: Cut) -> None:
        keep(cut)
        texts.append(reader._text())

    reader._keep = kept  # type: ignore[method-assign]
    with leaves_nothing():
        reader.run("x", "")
    assert any("#EXT-X-DISCONTINUITY\n" in text for text in texts)
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:0\n" in texts[0]
    assert "#EXT-X-DISCONTINUITY-SEQUENCE:1\n" in texts[-1]


def test_segments_that_have_gone_and_tokens_that_are_wrong_are_not_found(place: Place) -> None:
    line = next(line for line in place.text().splitlines() if line.endswith(".ts"))
    channel, _, token, _ = line.split("/")
    for asked in ((channel, token, 10_000), (channel, "wrong", 0), ("other", token, 0), (channel, "ü", 0)):
        with pytest.raises(NotFound):
            place.output.segment(*asked)
    assert len(token) >= 16


def test_a_channel_that_does_not_come_is_unavailable_with_its_reason(place: Place) -> None:
    place.channel = replace(place.channel, streams=(replace(place.channel.streams[0], url="file:nope.ts"),))
    with pytest.raises(Unavailable, match=r"nope\.ts"):
        place.text()


class Drained(DrainedFeed):
    course = Course()


def test_what_is_kept_is_bounded(file: Path) -> None:
    settings = replace(SETTINGS, kept=3, listed=2, idle_s=60)
    with leaves_nothing():
        feed = Drained(PacedFile(file, clock=SystemClock()))
        output = HlsOutput(follow=lambda *_, **__: feed, clock=SystemClock(), settings=settings)
        output.playlist(ChannelTarget("a", "1", "A", ()), address="x")
        (reader,) = output._readers.values()
        until(lambda: reader._next >= 5, limit_s=60)
        assert len(reader._held) == 3
        feed.close()
        until(lambda: not output._readers)


# ---- over HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(place: Place, tmp_path: Path) -> FlaskClient:
    app = web.make_app(
        "hls",
        title="HLS of the tests",
        door=web.Door(admin_token="t", internal_secret="s"),
        metrics=Metrics("hls_out", figures=list),
        settings=Settings(tmp_path / "settings.json", lock=tmp_path / "settings.lock"),
        checks=Checks(state=State, not_ready=lambda: None),
    )
    app.register_api(blueprint(output=place.output, catalogue={"news": place.channel}.get))
    return app.test_client()


def test_playlist_and_segments_over_http(client: FlaskClient, place: Place) -> None:
    answer = client.get("/stream/news.m3u8?whatever=1")
    assert answer.status_code == 200
    assert answer.content_type == "application/vnd.apple.mpegurl"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cache-Control"] == "no-store"
    line = next(line for line in answer.text.splitlines() if line.endswith(".ts"))
    assert line.startswith("news/hls/")
    found = client.get(f"/stream/{line}")
    assert found.content_type == "video/mp2t"
    assert found.headers["Access-Control-Allow-Origin"] == "*"
    assert found.content_length == len(found.data)
    assert probed(found.data) == {"video": "h264", "audio": "aac"}
    assert client.get(f"/stream/{line}".replace(".ts", "9.ts")).status_code == 404


def test_head_opens_nothing_and_an_unknown_channel_is_404(client: FlaskClient, place: Place) -> None:
    answer = client.head("/stream/news.m3u8")
    assert (answer.status_code, answer.content_type) == (200, "application/vnd.apple.mpegurl")
    assert client.get("/stream/nope.m3u8").status_code == 404
    assert client.get("/stream/news.m3u8?profile=nope").status_code == 404
    assert place.opened == 0


def test_a_real_player_follows_it_without_a_fault(client: FlaskClient, place: Place, tmp_path: Path) -> None:
    with HlsServer() as server:

        class Pages(dict):  # type: ignore[type-arg]
            def get(self, path: str, default: object = None) -> object:
                answer = client.get(path)
                return hlskit.Reply(answer.data, answer.status_code, {"Content-Type": answer.content_type})

        server.pages = Pages()
        done = subprocess.run(
            ["ffmpeg", "-nostdin", "-v", "error", "-i", server.url("/stream/news.m3u8"), "-t", "4", "-f", "null", "-"],
            capture_output=True, timeout=100,
        )  # fmt: skip
    assert done.stderr.decode() == ""
    assert done.returncode == 0
