"""The pair and the demo with the real services: a newcomer's first minutes."""

import json
import re
import signal
import subprocess
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.pair.test_run import ANY_PORTS, Started, alive, configure, free_ports
from tests.programs import needs

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not (find_spec("epg_service.__main__") and find_spec("stream_service.__main__")),
        reason="the services cannot be started yet",
    ),
]


class _Real(Started):
    stand_ins = False


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return bytes(answer.read()).decode()


def test_a_fresh_pair_tells_its_addresses_and_ends_within_ten_seconds(tmp_path: Path) -> None:
    guide, streams = free_ports()
    configure(tmp_path, guide, streams)
    pair = _Real(tmp_path, "run")
    try:
        pair.wait_for("Bearer")
        assert fetch(f"http://127.0.0.1:{streams}/playlist.m3u").startswith("#EXTM3U")
        assert "<tv" in fetch(f"http://127.0.0.1:{guide}/epg.xml")
        processes = pair.tree()
        pair.process.send_signal(signal.SIGTERM)
        assert pair.process.wait(10) == 0
        assert not alive(processes)
    finally:
        pair.close()


def test_the_demo_shows_channels_with_guide_and_picture_and_leaves_nothing(tmp_path: Path) -> None:
    needs("ffprobe", "ffmpeg")
    demo = _Real(tmp_path, "demo", *ANY_PORTS)
    try:
        printed = demo.wait_for("The demo is running")
        guide, playlist = (re.findall(rf"\({kind}\) +(http\S+)", printed)[0] for kind in ("XMLTV", "M3U"))
        channels, listings = fetch(playlist), fetch(guide)
        ids = re.findall(r'tvg-id="([^"]+)"', channels)
        assert len(ids) == 6
        for one in ids:
            assert f'<channel id="{one}">' in listings
            assert f'channel="{one}"' in listings
        streams = [line for line in channels.splitlines() if line.startswith("http")]
        assert {stream.rsplit("/", 1)[1] for stream in streams} == {f"{one}.ts" for one in ids}
        watched = streams[0]
        shown = subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "json", watched],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert {one["codec_name"] for one in json.loads(shown.stdout)["streams"]} == {"h264", "aac"}
        # Longer than one lap of the recording: the seam is inside.
        command = ["ffmpeg", "-v", "error", "-i", watched, "-t", "18", "-f", "null", "-"]
        decoded = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (decoded.returncode, decoded.stderr) == (0, "")
        processes = demo.tree()
        assert demo.end(signal.SIGINT) == 0
        assert not alive(processes)
        assert not list(tmp_path.glob("aerial-demo-*"))
    finally:
        demo.close()
