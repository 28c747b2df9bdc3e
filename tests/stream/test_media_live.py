"""HLS, profiles and probes under gunicorn's gevent worker, where threads are greenlets and children are real."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.programs import needs
from tests.stream.hlskit import H264, MPEG2, decode_errors, made, picture_and_sound, probed
from tests.stream.relaykit.server import ROOT, Served
from tests.waiting import until


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("ffmpeg", "ffprobe")
    directory = tmp_path_factory.mktemp("media")
    made(directory / "good.ts", *picture_and_sound(60), *H264, "-f", "mpegts")
    made(directory / "old.ts", *picture_and_sound(60), *MPEG2, "-f", "mpegts")
    made(directory / "film.mkv", *picture_and_sound(60), *H264, "-f", "matroska")
    return directory


@pytest.fixture
def served(data: Path) -> Iterator[Served]:
    channels = {"good": "file:good.ts", "old": "file:old.ts", "film": "file:film.mkv"}
    log = data / "log"
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, log.open("wb") as out:
        os.set_inheritable(listener.fileno(), True)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", "1", "--no-control-socket"),
                *("-b", f"fd://{listener.fileno()}", "--graceful-timeout", "3", "tests.stream.mediasite:served()"),
            ],
            cwd=ROOT,
            env={**os.environ, "MEDIA_CHANNELS": json.dumps(channels), "MEDIA_DATA": str(data)},
            pass_fds=(listener.fileno(),),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        there = Served(listener.getsockname()[1], process, log)
        try:
            there.get("/live")
            yield there
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def programs(served: Served) -> list[str]:
    """The programs that the worker runs now."""
    found = []
    for one in psutil.Process(served.process.pid).children(recursive=True):
        try:
            found.append(one.name())
        except psutil.NoSuchProcess:
            continue
    return [name for name in found if name.startswith("ff")]


def test_viewers_of_a_profile_share_one_ffmpeg_that_ends_with_the_last(served: Served) -> None:
    viewers = [served.ask("/stream/old.ts?profile=h264-aac") for _ in range(3)]
    for viewer in viewers:
        assert viewer.status == 200, viewer.read_to_end()
        assert probed(viewer.read(60_000)) == {"video": "h264", "audio": "aac"}
    assert programs(served) == ["ffmpeg"]
    sessions = {one["id"]: one for one in served.get("/api/v1/relay/sessions")["items"]}
    assert set(sessions) == {"old", "old~h264-aac"}
    assert len(sessions["old"]["clients"]) == 1
    assert len(sessions["old~h264-aac"]["clients"]) == 3
    for viewer in viewers:
        viewer.close()
    until(lambda: programs(served) == [], limit_s=60, what="ffmpeg to end")
    until(lambda: served.get("/api/v1/relay/sessions")["items"] == [], limit_s=60)


def test_hls_of_a_channel_and_of_a_profile(served: Served) -> None:
    for query, codecs in (
        ("", {"video": "mpeg2video", "audio": "mp2"}),
        ("?profile=h264-aac", {"video": "h264", "audio": "aac"}),
    ):
        with served.ask(f"/stream/old.m3u8{query}", Connection="close") as asked:
            assert asked.status == 200
            text = asked.read_to_end().decode()
        line = next(line for line in text.splitlines() if line.endswith(".ts"))
        with served.ask(f"/stream/{line}", Connection="close") as segment:
            assert segment.status == 200
            found = segment.read_to_end()
        assert probed(found) == codecs
        assert decode_errors(found) == ""
    until(lambda: served.get("/api/v1/relay/sessions")["items"] == [], limit_s=60, what="the idle channels to end")
    assert programs(served) == []


def test_a_file_that_is_no_transport_stream_is_repackaged(served: Served) -> None:
    with served.ask("/stream/film.ts") as viewer:
        assert probed(viewer.read(60_000)) == {"video": "h264", "audio": "aac"}


def test_probes_run_beside_the_streams(served: Served) -> None:
    found = served.get("/api/v1/channels/good/probe")
    assert {one["codec"] for one in found["streams"]} == {"h264", "aac"}
    assert served.get("/api/v1/channels/good/probe")["cached"] is True


def test_sigterm_ends_ffmpeg_too(served: Served) -> None:
    viewer = served.ask("/stream/old.ts?profile=h264-aac")
    viewer.read(20_000)
    children = psutil.Process(served.process.pid).children(recursive=True)
    assert any(one.name() == "ffmpeg" for one in children)
    assert served.terminate() == 0
    viewer.close()
    until(lambda: not any(one.is_running() for one in children), limit_s=60, what="every child to end")


def test_a_killed_worker_takes_ffmpeg_with_it(served: Served) -> None:
    viewer = served.ask("/stream/old.ts?profile=h264-aac")
    viewer.read(20_000)
    tree = psutil.Process(served.process.pid).children(recursive=True)
    ffmpeg = next(one for one in tree if one.name() == "ffmpeg")
    for one in (psutil.Process(served.process.pid), ffmpeg.parent()):
        one.kill()
    viewer.close()
    until(lambda: not ffmpeg.is_running() or ffmpeg.status() == psutil.STATUS_ZOMBIE, limit_s=60, what="ffmpeg to end")
