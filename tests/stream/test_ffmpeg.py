"""ffmpeg as an upstream: real streams in, streams that decode out; no process, thread or descriptor is left."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from servicekit.clock import SystemClock
from servicekit.errors import BadAnswer, NotFound, Unavailable
from stream_service.domain.profiles import BUILT_IN, COPY, H264_AAC, Codecs, Profile, arguments
from stream_service.relay.codecs import codecs_of, container_of, program_codecs
from stream_service.relay.ffmpeg import DrainedFeed, FfmpegUpstream, Programs, output_of, reason_of
from stream_service.relay.file_source import PlainFile
from stream_service.relay.opening import Opener
from stream_service.relay.transcode import Transcoding, through
from stream_service.relay.upstream import Upstream
from tests.programs import needs
from tests.stream import hlskit
from tests.stream.hlskit import H264, HEVC, MPEG2, HlsServer, closing, decode_errors, drained, made, picture_and_sound
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.held import leaves_nothing
from tests.stream.relaykit.viewers import target
from tests.waiting import until


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    needs("ffmpeg", "ffprobe")
    with leaves_nothing():
        yield
        until(lambda: not psutil.Process().children(recursive=True), what="child processes to go")


SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:duration=4"]
STREAMS = {
    "h264": [*picture_and_sound(), *H264],
    "hevc": [*picture_and_sound(), *HEVC],
    "mpeg2": [*picture_and_sound(), *MPEG2],
    "radio": [*SOUND, "-c:a", "mp2"],
}


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("streams")
    return {name: made(directory / f"{name}.ts", *words, "-f", "mpegts") for name, words in STREAMS.items()}


def run(profile: Profile, path: Path, *, encoder: str = "") -> bytes:
    head = path.read_bytes()[:65_536]
    codecs = codecs_of(head, "mpegts")
    words = arguments(profile, encoder=encoder, codecs=codecs)
    upstream = FfmpegUpstream(["ffmpeg", *words], DrainedFeed(PlainFile(path)))
    with closing(upstream):
        data = drained(upstream)
    assert upstream.ended == "the file has ended"
    return data


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("h264", {"video": "h264", "audio": "aac"}),
        ("hevc", {"video": "hevc", "audio": "aac"}),
        ("mpeg2", {"video": "mpeg2video", "audio": "mp2"}),
        ("radio", {"audio": "mp2"}),
    ],
)
def test_copy_keeps_every_codec_and_decodes_without_a_fault(
    streams: dict[str, Path], name: str, codecs: dict[str, str]
) -> None:
    data = run(COPY, streams[name])
    assert hlskit.probed(data) == codecs
    assert decode_errors(data) == ""


@pytest.mark.parametrize("name", ["hevc", "mpeg2"])
def test_h264_aac_is_what_comes_out(streams: dict[str, Path], name: str) -> None:
    data = run(H264_AAC, streams[name], encoder="libx264")
    assert hlskit.probed(data) == {"video": "h264", "audio": "aac"}
    assert decode_errors(data) == ""


def test_radio_through_h264_aac(streams: dict[str, Path]) -> None:
    assert hlskit.probed(run(H264_AAC, streams["radio"])) == {"audio": "aac"}


def test_the_parameter_sets_stand_before_each_keyframe(streams: dict[str, Path]) -> None:
    data = run(COPY, streams["h264"])
    keyframes = [one for one in ts.packets(data) if ts.is_keyframe(one) and ts.pid_of(one) == 0x100]
    assert len(keyframes) >= 3
    for one in keyframes:
        assert b"\x00\x00\x01\x67" in one or b"\x00\x00\x01\x27" in one


def test_a_cut_stream_full_of_faults_still_comes_out(streams: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(streams["h264"].read_bytes())
    data[20_000:20_400] = os.urandom(400)
    broken = tmp_path / "broken.ts"
    broken.write_bytes(bytes(data[5_000:-77]))
    assert hlskit.probed(run(COPY, broken))["video"] == "h264"


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("h264", Codecs("h264", "aac")),
        ("hevc", Codecs("hevc", "aac")),
        ("mpeg2", Codecs("mpeg2video", "mp2")),
        ("radio", Codecs("", "mp2")),
    ],
)
def test_codecs_are_read_from_the_tables(streams: dict[str, Path], name: str, codecs: Codecs) -> None:
    assert program_codecs(streams[name].read_bytes()[:50_000]) == codecs
    assert program_codecs(b"nothing") == Codecs()


# ---- other containers behind http ------------------------------------------------------------------------------------

CONTAINERS = {
    "flv": ([*picture_and_sound(), *H264, "-f", "flv"], {"video": "h264", "audio": "aac"}),
    "mkv": ([*picture_and_sound(), *HEVC, "-f", "matroska"], {"video": "hevc", "audio": "aac"}),
    "mp4": ([*picture_and_sound(), *H264, "-movflags", "frag_keyframe+empty_moov", "-f", "mp4"],
            {"video": "h264", "audio": "aac"}),
    "mp3": ([*SOUND, "-f", "mp3"], {"audio": "mp3"}),
    "aac": ([*SOUND, "-c:a", "aac", "-f", "adts"], {"audio": "aac"}),
    "ogg": ([*SOUND, "-c:a", "libopus", "-f", "ogg"], {"audio": "opus"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTAINERS)
def test_media_in_other_containers_is_repackaged(tmp_path: Path, name: str) -> None:
    words, codecs = CONTAINERS[name]
    data = made(tmp_path / "stream", *words).read_bytes()
    assert container_of(data[:4096]) == {"mkv": "matroska"}.get(name, name)
    with HlsServer() as server:
        opener = Opener(open_address=hlskit.open_address, programs=Programs(), clock=SystemClock())
        upstream = opener.open(hlskit.address(server.put("/x", data)))
        with closing(upstream):
            found = drained(upstream)
        assert server.asked["/x"] == 1
    assert upstream.ended
    assert hlskit.probed(found) == codecs
    assert decode_errors(found) == ""


@pytest.mark.parametrize(
    "body",
    [b"<html>Sign in</html>", b'{"error": 1}', b"ffconcat version 1.0\nfile /etc/passwd\n", os.urandom(3000)],
    ids=["a page", "JSON", "a list of files", "noise"],
)
def test_what_is_no_media_never_reaches_ffmpeg(body: bytes) -> None:
    with HlsServer() as server:
        opener = Opener(open_address=hlskit.open_address, programs=Programs(), clock=SystemClock())
        upstream = opener.open(hlskit.address(server.put("/x", body)))
        with closing(upstream):
            assert drained(upstream) == body
            assert not psutil.Process().children()


def test_nothing_but_media_is_repackaged() -> None:
    opener = Opener(open_address=hlskit.open_address, programs=Programs(), clock=SystemClock())
    with pytest.raises(BadAnswer, match="web page"):
        opener.repackaged(PlainFile(Path("/dev/null")), b"<html>")


def test_without_ffmpeg_it_is_said_what_to_install(tmp_path: Path) -> None:
    data = made(tmp_path / "a.mp3", *SOUND).read_bytes()
    with HlsServer() as server:
        opener = Opener(
            open_address=hlskit.open_address, programs=Programs(ffmpeg="no-such-ffmpeg"), clock=SystemClock()
        )
        upstream = opener.open(hlskit.address(server.put("/x", data)))
        with closing(upstream):
            assert drained(upstream) == b""
        assert "install" in str(upstream.ended)


# ---- ends ------------------------------------------------------------------------------------------------------------


class Endless:
    """An upstream that never ends and gives nothing."""

    ended: str | None = None

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.closed = False

    def drain(self, into: memoryview) -> int:
        data, self.data = self.data, b""
        into[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.closed = True


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def finished(upstream: Upstream) -> str:
    with closing(upstream):
        drained(upstream)
    return str(upstream.ended)


def test_a_program_that_ignores_every_request_is_killed_with_what_it_started(tmp_path: Path) -> None:
    command = program(
        tmp_path / "stubborn", "trap '' TERM INT HUP PIPE\n(trap '' TERM; sleep 1000) &\nwhile :; do sleep 1; done"
    )
    source = Endless()
    upstream = FfmpegUpstream([command], DrainedFeed(source))
    until(lambda: len(psutil.Process().children(recursive=True)) >= 2)
    children = psutil.Process().children(recursive=True)
    upstream.close()
    upstream.close()
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in children))
    assert source.closed


def test_a_program_that_says_very_much_does_not_stop(tmp_path: Path) -> None:
    command = program(tmp_path / "loud", "head -c 3000000 /dev/zero | tr '\\0' 'x' >&2\nprintf out\nexit 0")
    upstream = FfmpegUpstream([command], DrainedFeed(Endless()))
    with closing(upstream):
        assert drained(upstream) == b"out"
    assert upstream.ended


def test_bad_text_and_secrets_in_its_words_do_no_harm(tmp_path: Path) -> None:
    command = program(tmp_path / "bad", r"""printf '[error] \377\376 http://u:S3CR3T-xyz@h/a failed\n' >&2; exit 7""")
    ended = finished(FfmpegUpstream([command], DrainedFeed(Endless())))
    assert "S3CR3T" not in ended
    assert "exit status 7" in ended


def test_a_program_that_is_not_there_is_unavailable() -> None:
    source = Endless()
    with pytest.raises(Unavailable):
        FfmpegUpstream(["/no/such/program"], DrainedFeed(source))


def test_noise_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(bytes(300_000))
    words = arguments(COPY, container="mp4")
    ended = finished(FfmpegUpstream(["ffmpeg", *words], DrainedFeed(PlainFile(noise))))
    assert "could not" in ended


def test_closing_while_it_encodes_leaves_nothing(streams: dict[str, Path]) -> None:
    source = Endless(streams["mpeg2"].read_bytes()[:250_000])
    upstream = FfmpegUpstream(["ffmpeg", *arguments(H264_AAC, encoder="libx264")], DrainedFeed(source))
    drained(upstream, 1)
    upstream.close()


def test_who_never_reads_does_not_keep_it(streams: dict[str, Path]) -> None:
    words = [*arguments(COPY, codecs=Codecs("h264", "aac"))]
    upstream = FfmpegUpstream(["ffmpeg", *words], DrainedFeed(PlainFile(streams["h264"])))
    until(lambda: psutil.Process().children())
    upstream.close()


def test_no_secret_stands_among_the_arguments(streams: dict[str, Path], tmp_path: Path) -> None:
    file = made(tmp_path / "a.flv", "-i", str(streams["h264"]), "-c", "copy", "-f", "flv")
    command = program(tmp_path / "ffmpeg", f'printf "%s " "$@" > {tmp_path / "words"}; exec ffmpeg "$@"')
    with HlsServer() as server:
        opener = Opener(open_address=hlskit.open_address, programs=Programs(ffmpeg=command), clock=SystemClock())
        upstream = opener.open(hlskit.address(server.put("/live/user/S3CR3T-xyz/1.flv", file.read_bytes())))
        with closing(upstream):
            assert hlskit.probed(drained(upstream)) == {"video": "h264", "audio": "aac"}
    words = (tmp_path / "words").read_text()
    assert "pipe:0" in words
    assert "S3CR3T" not in words
    assert "http" not in words


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[error] pipe:0: Invalid data found when processing input", "could not read the stream"),
        ("[error] Unknown encoder 'libx999'", "no encoder libx999"),
        ("[error] Error while opening encoder for output stream #0:0", "encoder did not start"),
        ("[fatal] Output file #0 does not contain any stream", "neither picture nor sound"),
        ("[error] [http @ 0x1] Protocol 'http' not on whitelist 'pipe'!", "names other files or addresses"),
        ("[error] something else entirely", "something else entirely"),
        ("", "without a word"),
    ],
)
def test_what_it_says_becomes_a_reason(line: str, says: str) -> None:
    assert says in reason_of([line] if line else [])


# ---- encoders --------------------------------------------------------------------------------------------------------


def test_encoders_are_tried_once(tmp_path: Path) -> None:
    count = tmp_path / "count"
    command = program(tmp_path / "ffmpeg", f'echo x >> {count}\ncase "$*" in *h264_qsv*) exit 0;; esac\nexit 1')
    programs = Programs(ffmpeg=command)
    for _ in range(3):
        assert programs.encoder(Profile("p", video="h264")) == "h264_qsv"
    assert count.read_text() == "x\n" * 2
    assert programs.encoder(Profile("p", video="h264", encoder="software")) == "libx264"
    assert programs.encoder(Profile("p", video="hevc")) == "libx265"
    with pytest.raises(Unavailable, match="h264_nvenc"):
        programs.encoder(Profile("p", video="h264", encoder="nvenc"))


def test_the_real_ffmpeg_has_its_software_encoder() -> None:
    assert Programs().works("libx264")
    assert not Programs().works("h264_no_such_thing")


def test_a_program_that_hangs_is_given_up(tmp_path: Path) -> None:
    said, code = output_of([program(tmp_path / "hang", "printf early; sleep 1000")], b"in", limit_s=0.3)
    assert said == b"early"
    assert code != 0


# ---- profiles of channels --------------------------------------------------------------------------------------------


class Following:
    """A channel followed: a file's bytes once, then nothing until closed."""

    def __init__(self, data: bytes) -> None:
        self._feed = DrainedFeed(Endless(data))

    def __iter__(self) -> "Following":
        return self

    def __next__(self) -> bytes:
        return next(self._feed)

    def close(self) -> None:
        self._feed.close()


def test_a_channel_goes_through_a_profile(streams: dict[str, Path]) -> None:
    channel = target("http://h/a")
    asked: list[str] = []

    def follow(one: object, *, address: str, user_agent: str = "") -> Following:
        asked.append(user_agent)
        return Following(streams["mpeg2"].read_bytes()[:250_000])

    transcoding = Transcoding(programs=Programs(), profile=BUILT_IN.get, target={"news": channel}.get, follow=follow)
    made_so = transcoding.target(channel, "h264-aac")
    assert made_so == through(channel, "h264-aac")
    assert made_so.id == "news~h264-aac"
    (address,) = made_so.streams
    upstream = transcoding.open(address)
    with closing(upstream):
        data = drained(upstream, 40_000)
    assert asked == ["profile h264-aac"]
    assert hlskit.probed(data)["video"] == "h264"


def test_profiles_that_cannot_be_had_are_said() -> None:
    channel = target("http://h/a")

    def follow(one: object, *, address: str, user_agent: str = "") -> Following:
        return Following(b"")

    for ffmpeg, profile, error in (("ffmpeg", "nope", NotFound), ("no-such-ffmpeg", "copy", Unavailable)):
        transcoding = Transcoding(
            programs=Programs(ffmpeg=ffmpeg), profile=BUILT_IN.get, target={"news": channel}.get, follow=follow
        )
        with pytest.raises(error):
            transcoding.target(channel, profile)
    one = through(channel, "copy")
    other = through(channel, "h264-aac")
    assert one.streams[0].id != other.streams[0].id
    assert one.streams[0].id < 0
