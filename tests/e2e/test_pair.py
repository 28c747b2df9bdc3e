"""The proof of the pair: a guide and a playlist go in; one XMLTV address, one M3U address and a picture come out."""

import gzip
import json
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import apsw
import pytest

from tests.e2e.running import REPOSITORY, Answered, Pair, Service
from tests.programs import needs
from tests.providerkit import Asked, Reply, ScriptedProvider
from tests.waiting import until
from tvkit.mpegts_loop import LoopedStream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

CHANNELS = 40
PER_CHANNEL = 100
TICKS_A_SECOND = 90_000


def guide_of(channels: int, per_channel: int, *, word: str = "Programme") -> bytes:
    """A guide dated from yesterday, an hour a programme."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    parts = ['<?xml version="1.0" encoding="UTF-8"?>\n<tv>']
    for number in range(channels):
        parts.append(f'<channel id="ch{number}.example"><display-name>Channel {number}</display-name></channel>')
    for number in range(channels):
        for hour in range(per_channel):
            begins = start + timedelta(hours=hour)
            ends = begins + timedelta(hours=1)
            title = escape(f"{word} {number} & {hour}")
            parts.append(
                f'<programme start="{begins:%Y%m%d%H%M%S} +0000" stop="{ends:%Y%m%d%H%M%S} +0000" '
                f'channel="ch{number}.example"><title>{title}</title><desc>About {title}</desc></programme>'
            )
    return ("\n".join(parts) + "</tv>\n").encode()


def playlist_of(provider: ScriptedProvider, channels: int) -> bytes:
    lines = ["#EXTM3U"]
    for number in range(channels):
        lines.append(
            f'#EXTINF:-1 tvg-id="ch{number}.example" tvg-chno="{number + 100}" '
            f'tvg-logo="https://logos.example/{number}.png" group-title="All",Channel {number}'
        )
        lines.append(provider.url(f"/live/{number}.ts"))
    return ("\n".join(lines) + "\n").encode()


def live_stream(asked: Asked) -> Reply:
    """The bundled recording, paced in real time, for as long as somebody reads it."""
    recording = LoopedStream((REPOSITORY / "pair" / "media" / "one.ts").read_bytes())

    def play(send: Any, stopping: threading.Event) -> bool:
        began = time.monotonic()
        for piece in recording.pieces(0):
            wait_s = piece.due_ticks / TICKS_A_SECOND - (time.monotonic() - began)
            if stopping.wait(max(0.0, wait_s)):
                return False
            send(piece.data)
        return False

    return Reply(headers={"Content-Type": "video/mp2t"}, length=-1, wire=play)


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        guide = guide_of(CHANNELS, PER_CHANNEL)
        running.serve("/guide.xml.gz", gzip.compress(guide), content_type="application/gzip", etag='"1"')
        running.serve("/list.m3u", playlist_of(running, CHANNELS), content_type="audio/x-mpegurl")
        for number in range(CHANNELS):
            running.script(f"/live/{number}.ts", live_stream)
        yield running


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    running = Pair(tmp_path)
    yield running
    running.end()


def runs(guide: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = guide.get("/api/v1/import/status").json["runs"]
    return found


def import_guide(guide: Service, address: str) -> dict[str, Any]:
    made = guide.post("/api/v1/providers", {"name": "sample", "xmltv_url": address})
    assert made.status == 201, made.text
    assert guide.post("/api/v1/import/trigger").status == 202
    return until(lambda: next((run for run in runs(guide) if run["completed_at"]), None), limit_s=60, what="the import")


def add_channels(streams: Service, address: str) -> None:
    made = streams.post("/api/v1/sources", {"name": "sample", "type": "m3u", "url": address})
    assert made.status == 201, made.text
    assert streams.post(f"/api/v1/sources/{made.json['id']}/refresh").status == 202
    until(
        lambda: streams.get("/playlist.m3u").text.count("#EXTINF") == CHANNELS,
        limit_s=60,
        what="the playlist's channels",
    )


def tvg_ids(playlist: Answered) -> list[str]:
    return re.findall(r'tvg-id="([^"]+)"', playlist.text)


def test_a_guide_and_a_playlist_go_in_and_one_address_of_each_and_a_picture_come_out(
    pair: Pair, provider: ScriptedProvider
) -> None:
    needs("ffprobe", "xmllint")
    pair.wait_until_ready()
    run = import_guide(pair.guide, provider.url("/guide.xml.gz"))
    assert (run["status"], run["programs_imported"], run["programs_skipped"]) == ("success", CHANNELS * PER_CHANNEL, 0)
    add_channels(pair.streams, provider.url("/list.m3u"))

    playlist = pair.streams.get("/playlist.m3u")
    ids = tvg_ids(playlist)
    assert len(set(ids)) == CHANNELS
    origin = pair.streams.url("")
    assert f'x-tvg-url="{origin}/lineups/default/epg.xml.gz"' in playlist.text.splitlines()[0]

    def whole_lineup() -> ET.Element | None:
        root = ET.fromstring(pair.guide.get("/epg.xml").body)
        named = {one.get("id"): [name.text for name in one.iter("display-name")] for one in root.iter("channel")}
        # Under the lineup's ids, each with its name and its number: the whole guide knows no numbers.
        return root if set(named) == set(ids) and all(len(names) == 2 for names in named.values()) else None

    root = until(whole_lineup, limit_s=60, what="the lineup's guide")
    assert {one.get("channel") for one in root.iter("programme")} == set(ids)

    # The stream port serves the same guide.
    def same_guide() -> bool:
        answer = pair.streams.get("/lineups/default/epg.xml.gz")
        return answer.status == 200 and gzip.decompress(answer.body).count(b"<programme") > 0

    until(same_guide, limit_s=60, what="the guide on the stream port")

    stream = re.findall(r"^http\S+$", playlist.text, re.MULTILINE)[0]
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "json", stream],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert {one["codec_name"] for one in json.loads(shown.stdout)["streams"]} == {"h264", "aac"}


def test_five_clients_share_one_upstream_connection(pair: Pair, provider: ScriptedProvider) -> None:
    pair.wait_until_ready()
    add_channels(pair.streams, provider.url("/list.m3u"))
    address = re.findall(r"^http\S+$", pair.streams.get("/playlist.m3u").text, re.MULTILINE)[0]
    viewers = [subprocess.Popen(["curl", "-sN", "-o", "/dev/null", address]) for _ in range(5)]
    try:

        def watching() -> bool:
            items = pair.streams.get("/api/v1/relay/sessions").json["items"]
            return len(items) == 1 and len(items[0]["clients"]) == 5

        until(watching, limit_s=60, what="five clients on one channel")
        assert provider.count("/live/0.ts") == 1
    finally:
        for one in viewers:
            one.kill()
            one.wait()
    until(lambda: provider.open_connections == 0, limit_s=60, what="the upstream to close after the grace")


@pytest.mark.parametrize("order", ["guide first", "streams first"])
def test_start_order_and_restarts_need_no_action(tmp_path: Path, provider: ScriptedProvider, order: str) -> None:
    pair = Pair(tmp_path)
    try:
        pair.wait_until_ready()
        first, second = (pair.guide, pair.streams) if order == "guide first" else (pair.streams, pair.guide)
        second.kill()
        if first is pair.guide:
            import_guide(pair.guide, provider.url("/guide.xml.gz"))
            second.restart()
            add_channels(pair.streams, provider.url("/list.m3u"))
        else:
            add_channels(pair.streams, provider.url("/list.m3u"))
            second.restart()
            import_guide(pair.guide, provider.url("/guide.xml.gz"))

        def listed() -> bool:
            text = pair.guide.get("/epg.xml").text
            # Only the lineup's guide knows numbers.
            return text.count("<programme ") == CHANNELS * PER_CHANNEL and "<display-name>100</display-name>" in text

        until(listed, limit_s=90, what="the lineup's guide")
    finally:
        pair.end()


def test_the_stream_port_keeps_the_guide_while_the_guide_service_is_away(
    pair: Pair, provider: ScriptedProvider
) -> None:
    pair.wait_until_ready()
    import_guide(pair.guide, provider.url("/guide.xml.gz"))
    add_channels(pair.streams, provider.url("/list.m3u"))
    guide = "/lineups/default/epg.xml"
    until(lambda: pair.streams.get(guide).text.count("<programme ") > 0, limit_s=60, what="the guide's copy")
    pair.guide.kill()
    assert pair.streams.get(guide).text.count("<programme ") == CHANNELS * PER_CHANNEL
    assert pair.streams.get("/playlist.m3u").text.count("#EXTINF") == CHANNELS


def check_database(path: Path) -> str:
    """SQLite's own word on a database, asked in this process: nobody else has it open here."""
    connection = apsw.Connection(str(path))
    try:
        return str(next(iter(connection.execute("PRAGMA integrity_check")))[0])
    finally:
        connection.close()


@pytest.mark.parametrize("victim", ["keeper", "service"])
def test_kill_9_during_an_import_leaves_a_sound_database_and_an_interrupted_run(
    pair: Pair, provider: ScriptedProvider, victim: str
) -> None:
    guide = pair.guide
    guide.wait_until_ready()
    import_guide(guide, provider.url("/guide.xml.gz"))
    before = guide.get("/api/v1/stats").json["total_programs"]
    provider.drip(
        "/guide.xml.gz", gzip.compress(guide_of(CHANNELS, PER_CHANNEL, word="Newer")), piece=2000, pause_s=0.2
    )
    guide.post("/api/v1/import/trigger")
    running = until(
        lambda: next((run for run in runs(guide) if run["status"] == "running" and run["progress"].get("bytes")), None),
        limit_s=60,
        what="the import to be on its way",
    )
    if victim == "keeper":
        keeper = guide.keeper()
        assert keeper is not None
        keeper.kill()
        until(lambda: (one := guide.keeper()) is not None and one.pid != keeper.pid, limit_s=60, what="a new keeper")
    else:
        guide.kill()
        assert check_database(pair.folder / "data" / "epg.db") == "ok"
        guide.restart()

    def ended() -> dict[str, Any] | None:
        return next((one for one in runs(guide) if one["id"] == running["id"] and one["completed_at"]), None)

    run = until(ended, limit_s=60, what="the run's end")
    assert run["status"] == "interrupted"
    assert run["error_message"]
    assert guide.get("/api/v1/stats").json["total_programs"] == before
    assert "Newer" not in guide.get("/guide.xml").text


def test_kill_9_of_the_web_server_ends_the_service_and_frees_the_port(pair: Pair) -> None:
    for one in (pair.guide, pair.streams):
        one.wait_until_ready()
        server, tree = one.server(), one.tree()
        assert server is not None
        server.kill()
        until(lambda tree=tree: not [p for p in tree if p.is_running() and p.status() != "zombie"], limit_s=30)
        one.process.wait(30)
        one.restart()


def test_a_second_keeper_refuses_with_a_sentence(pair: Pair) -> None:
    pair.wait_until_ready()
    for one in (pair.guide, pair.streams):
        keeper = ["-m", one.name, "keeper", "--config", str(pair.folder / "config.yaml")]
        second = subprocess.run([sys.executable, *keeper], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
        assert second.returncode != 0
        assert "another process" in second.stderr


def test_sigterm_ends_both_within_ten_seconds(pair: Pair) -> None:
    pair.wait_until_ready()
    for one in (pair.guide, pair.streams):
        tree = one.tree()
        one.process.terminate()
        assert one.process.wait(10) == 0
        assert not [process for process in tree if process.is_running() and process.status() != "zombie"]
