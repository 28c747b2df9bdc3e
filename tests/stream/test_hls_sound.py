"""HLS whose sound stands in a playlist of its own: real segmenters' streams, joined by ffmpeg, in step."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from servicekit.clock import SystemClock
from stream_service.relay.codecs import tagged_clock_s
from stream_service.relay.ffmpeg import Programs
from stream_service.relay.hls import HlsSettings
from stream_service.relay.opening import Opener
from stream_service.relay.playlist import Master, choose, read_playlist
from stream_service.relay.upstream import Upstream
from tests.programs import needs
from tests.stream import hlskit
from tests.stream.hlskit import HlsServer, closing, drained
from tests.waiting import until

QUICK = HlsSettings(stall_min_s=1.0, retry_s=0.05, sound_wait_s=5.0)
MASTER = """#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="other",LANGUAGE="fr",URI="fr.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="main",DEFAULT=YES,URI="en.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="within",NAME="main",DEFAULT=YES
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="within",NAME="comment",URI="comment.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="text",URI="text.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=3000000,CODECS="avc1.64001f,mp4a.40.2",AUDIO="a",SUBTITLES="s"
best.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS="avc1.64001f,mp4a.40.2",AUDIO="within"
middle.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2",AUDIO="a"
en.m3u8
"""


def opened(url: str, *, programs: Programs | None = None, settings: HlsSettings | None = None) -> Upstream:
    opener = Opener(
        open_address=hlskit.open_address,
        programs=programs or Programs(),
        clock=SystemClock(),
        hls=settings or HlsSettings(),
    )
    return opener.open(hlskit.address(url))


def master() -> Master:
    found = read_playlist(MASTER, "http://cdn.example/live/master.m3u8")
    assert isinstance(found, Master)
    return found


def test_the_default_sound_of_a_variants_group_belongs_to_it() -> None:
    sounds = {one.url.rpartition("/")[2]: one.sound_url for one in master().variants}
    assert sounds == {"best.m3u8": "http://cdn.example/live/en.m3u8", "middle.m3u8": None, "en.m3u8": None}


@pytest.mark.parametrize(("joins", "first"), [(True, "best.m3u8"), (False, "middle.m3u8")])
def test_sound_apart_is_the_better_choice_only_where_it_can_be_joined(joins: bool, first: str) -> None:
    assert choose(master(), 0, joins_sound=joins)[0].url.endswith(first)


def first_times(data: bytes) -> dict[str, float]:
    """When picture and sound begin, in seconds of the stream's clock."""
    done = subprocess.run(
        [*("ffprobe", "-v", "error", "-show_entries", "stream=codec_type,start_time", "-of", "json"), "pipe:0"],
        input=data, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    return {one["codec_type"]: float(one["start_time"]) for one in json.loads(done.stdout)["streams"]}


def segmented(directory: Path, *words: str, seconds: int = 6) -> None:
    subprocess.run(
        [
            *("ffmpeg", "-nostdin", "-loglevel", "error", *hlskit.picture_and_sound(seconds), *hlskit.H264),
            *("-map", "0:v", "-map", "1:a", "-output_ts_offset", "5000", "-f", "hls", "-hls_time", "1"),
            *("-hls_playlist_type", "vod", "-master_pl_name", "master.m3u8", *words),
            *("-var_stream_map", "v:0,agroup:sound a:0,agroup:sound,default:yes", "%v.m3u8"),
        ],
        cwd=directory,
        check=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="transport streams"),
        pytest.param(["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4"], id="fMP4"),
    ],
)
def test_picture_and_sound_of_a_real_segmenter_come_together_and_in_step(tmp_path: Path, words: list[str]) -> None:
    needs("ffmpeg", "ffprobe")
    segmented(tmp_path, *words)
    assert "EXT-X-MEDIA" in (tmp_path / "master.m3u8").read_text()
    with HlsServer(tmp_path) as server, closing(opened(server.url("/master.m3u8"))) as upstream:
        data = drained(upstream)
    assert hlskit.probed(data) == {"video": "h264", "audio": "aac"}
    assert hlskit.decode_errors(data) == ""
    times = first_times(data)
    assert abs(times["video"] - times["audio"]) < 0.2
    assert times["video"] > 4_900


def id3(clock_s: float) -> bytes:
    """A tag as bare sound segments of HLS begin with."""
    private = b"com.apple.streaming.transportStreamTimestamp\0" + round(clock_s * 90_000).to_bytes(8, "big")
    frame = b"PRIV" + len(private).to_bytes(4, "big") + b"\0\0" + private
    size = len(frame)
    return b"ID3\x04\0\0" + bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127)) + frame


def test_bare_sound_is_put_where_its_tags_say(tmp_path: Path) -> None:
    needs("ffmpeg", "ffprobe")
    segmented(tmp_path, seconds=4)
    (tmp_path / "sound").mkdir()
    hlskit.made(
        tmp_path / "sound" / "%d.aac",
        *("-f", "lavfi", "-i", "sine=duration=4", "-c:a", "aac"),
        *("-f", "segment", "-segment_time", "1", "-segment_format", "adts"),
    )
    lines = []
    for at, file in enumerate(sorted((tmp_path / "sound").glob("*.aac"))):
        file.write_bytes(id3(5_001.4 + at) + file.read_bytes())
        lines.append(hlskit.entry(f"sound/{file.name}", 1.0))
    picture, sound = (tmp_path / "master.m3u8").read_text().rstrip().splitlines()[-1], "sound.m3u8"
    assert picture.endswith(".m3u8")
    (tmp_path / "sound.m3u8").write_text(hlskit.playlist(*lines, end=True))
    (tmp_path / "m.m3u8").write_text(
        f'#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{sound}"\n'
        f'#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\n{picture}\n'
    )
    with HlsServer(tmp_path) as server, closing(opened(server.url("/m.m3u8"))) as upstream:
        data = drained(upstream)
    assert hlskit.probed(data) == {"video": "h264", "audio": "aac"}
    times = first_times(data)
    assert abs(times["video"] - times["audio"]) < 0.3


def test_the_clock_of_a_tag_is_read() -> None:
    assert tagged_clock_s(id3(12.5) + b"\xff\xf1") == 12.5
    assert tagged_clock_s(b"ID3\x04\0\0\0\0\0\0") == 0.0
    assert tagged_clock_s(b"\xff\xf1\x50\x80") == 0.0


def test_without_ffmpeg_the_picture_comes_alone(tmp_path: Path) -> None:
    needs("ffmpeg", "ffprobe")
    segmented(tmp_path, seconds=3)
    with (
        HlsServer(tmp_path) as server,
        closing(opened(server.url("/master.m3u8"), programs=Programs(ffmpeg="no-such-program"))) as upstream,
    ):
        data = drained(upstream)
    assert hlskit.probed(data) == {"video": "h264"}


def test_sound_that_cannot_be_had_ends_the_connection_with_the_reason(tmp_path: Path) -> None:
    needs("ffmpeg")
    segmented(tmp_path, seconds=3)
    with HlsServer(tmp_path) as server:
        for path in tmp_path.glob("*.m3u8"):
            text = path.read_text()
            if "EXTINF" in text and "0" not in path.name:
                path.unlink()
        with closing(opened(server.url("/master.m3u8"), settings=QUICK)) as upstream:
            drained(upstream)
            assert "sound" in str(upstream.ended)


def test_a_live_stream_whose_sound_stops_ends_and_is_left_cleanly(tmp_path: Path) -> None:
    needs("ffmpeg")
    segmented(tmp_path, seconds=3)
    with HlsServer(tmp_path) as server:
        for path in tmp_path.glob("*.m3u8"):
            text = path.read_text()
            if "#EXTINF" in text:
                live = text.replace("#EXT-X-ENDLIST", "").replace("#EXT-X-PLAYLIST-TYPE:VOD", "")
                path.write_text(text if path.name.startswith("1") else live)
        began = time.monotonic()
        with closing(opened(server.url("/master.m3u8"))) as upstream:
            drained(upstream)
            assert upstream.ended
        assert time.monotonic() - began < 60


def test_a_stream_that_nobody_wants_any_more_is_left_at_once(tmp_path: Path) -> None:
    needs("ffmpeg")
    segmented(tmp_path, seconds=6)
    with HlsServer(tmp_path) as server:
        upstream = opened(server.url("/master.m3u8"))
        until(lambda: sum(count for path, count in server.asked.items() if path.endswith(".ts")) >= 2)
        upstream.close()
