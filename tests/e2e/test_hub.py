"""Nothing on the relay's loop waits for a lock: a viewer goes on while another process holds the database."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.e2e.running import Service, ask, free_port
from tests.e2e.test_pair import live_stream
from tests.providerkit import ScriptedProvider
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

HELD_S = 3.0
HOLD = """
import sys, time, apsw
connection = apsw.Connection(sys.argv[1])
connection.set_busy_timeout(20_000)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
print("let go", flush=True)
"""


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Service]:
    port = free_port()
    (tmp_path / "config.yaml").write_text(f"data_dir: data\nstream: {{server: {{host: 127.0.0.1, port: {port}}}}}\n")
    service = Service("stream_service", tmp_path, port)
    yield service
    service.end()


def opened(address: str) -> HTTPResponse | None:
    """The answer; None while the relay does not know the channel: the list is published a moment before."""
    try:
        answer: HTTPResponse = urlopen(address, timeout=60)
    except HTTPError as refusal:
        if refusal.code != 404:
            raise
        return None
    return answer


def watch(address: str, gaps: list[float], stopping: threading.Event) -> None:
    """Reads the stream and notes each pause between two pieces of it."""
    with until(lambda: opened(address), limit_s=60, what="the address to be served") as answer:
        last = time.monotonic()
        while not stopping.is_set() and answer.read1(65_536):
            now = time.monotonic()
            gaps.append(now - last)
            last = now


def test_a_viewer_goes_on_while_the_database_is_locked_and_a_source_is_posted(streams: Service, tmp_path: Path) -> None:
    with ScriptedProvider() as provider:
        provider.script("/live.ts", live_stream)
        provider.serve("/list.m3u", f'#EXTM3U\n#EXTINF:-1 tvg-id="one",One\n{provider.url("/live.ts")}\n'.encode())
        streams.wait_until_ready()
        streams.post("/api/v1/sources", {"name": "list", "type": "m3u", "url": provider.url("/list.m3u")})
        streams.post("/api/v1/sources/1/refresh")

        def addresses() -> list[str]:
            return re.findall(r"^http\S+$", streams.get("/playlist.m3u").text, re.MULTILINE)

        playlist = until(addresses, limit_s=60, what="a channel")
        gaps: list[float] = []
        stopping = threading.Event()
        viewer = threading.Thread(target=watch, args=(playlist[0], gaps, stopping))
        viewer.start()
        until(lambda: len(gaps) > 20, limit_s=60, what="the picture to run")

        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "data" / "stream.db"), str(HELD_S)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        seen = len(gaps)
        posted = ask("POST", streams.url("/api/v1/sources"), {"name": "two", "type": "m3u", "url": provider.url("/x")})
        assert holder.stdout.readline() == "let go\n"  # the write waited for the lock …
        holder.communicate()
        stopping.set()
        viewer.join(60)
        assert posted.status == 201
        during = gaps[seen:]
        assert len(during) > 10  # … and the viewer did not
        assert max(during) < HELD_S / 2, "the stream stood still while the database was locked"


def test_a_viewer_goes_on_when_the_keeper_dies_the_lineup_changes_and_settings_are_set(
    streams: Service, tmp_path: Path
) -> None:
    with ScriptedProvider() as provider:
        provider.script("/live.ts", live_stream)
        entry = f'#EXTINF:-1 tvg-id="one",One\n{provider.url("/live.ts")}\n'
        provider.serve("/list.m3u", f"#EXTM3U\n{entry}".encode())
        streams.wait_until_ready()
        streams.post("/api/v1/sources", {"name": "list", "type": "m3u", "url": provider.url("/list.m3u")})
        streams.post("/api/v1/sources/1/refresh")

        def addresses() -> list[str]:
            return re.findall(r"^http\S+$", streams.get("/playlist.m3u").text, re.MULTILINE)

        playlist = until(addresses, limit_s=60, what="a channel")
        gaps: list[float] = []
        stopping = threading.Event()
        viewer = threading.Thread(target=watch, args=(playlist[0], gaps, stopping))
        viewer.start()
        until(lambda: len(gaps) > 20, limit_s=60, what="the picture to run")

        keeper = streams.keeper()
        assert keeper is not None
        keeper.kill()
        until(lambda: (one := streams.keeper()) is not None and one.pid != keeper.pid, limit_s=60, what="a new keeper")
        provider.serve("/list.m3u", f"#EXTM3U\n{entry}#EXTINF:-1,Two\n{provider.url('/two.ts')}\n".encode())
        streams.post("/api/v1/sources/1/refresh")
        until(lambda: len(addresses()) == 2, limit_s=60, what="the second channel")
        changed = {"settings": {"bandwidth_throttling_enabled": True, "bandwidth_global_limit_mbps": 500}}
        assert streams.post("/api/v1/settings/bulk-update", changed).status == 200
        until(
            lambda: '"limit_mbps":500' in streams.get("/api/v1/settings/bandwidth/stats").text,
            limit_s=60,
            what="the limit to hold",
        )
        seen = len(gaps)
        until(lambda: len(gaps) > seen + 20, limit_s=60, what="the picture to go on")
        stopping.set()
        viewer.join(60)
