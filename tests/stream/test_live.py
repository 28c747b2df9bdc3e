"""Streams over HTTP: under Flask's test client (iterated) and under gunicorn's gevent worker (the socket handed)."""

import fcntl
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from stream_service.api.live import handover
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.house import House, house
from tests.stream.relaykit.server import Served, gunicorn
from tests.stream.relaykit.site import build
from tests.stream.relaykit.upstream import ScriptedUpstream, hangs, html, live
from tests.waiting import until


def in_order(data: bytes) -> bool:
    numbers = ts.numbers(data[: len(data) // ts.PACKET * ts.PACKET])
    return len(numbers) > 1 and all(b == a + 1 for a, b in pairwise(numbers))


class TestWithoutTheSocket:
    @pytest.fixture
    def there(self) -> Iterator[House]:
        with house() as built:
            yield built

    @pytest.fixture
    def client(self, there: House, tmp_path: Path) -> FlaskClient:
        urls = {"good": there.provider.script("/a", [live()]), "bad": there.provider.script("/b", [html()])}
        app = build(there.hub, urls, tmp_path)
        app.wsgi_app = handover(app.wsgi_app)  # type: ignore[assignment,method-assign]
        return app.test_client()

    def test_the_stream_comes_as_an_iterated_answer(self, client: FlaskClient, there: House) -> None:
        with client.get("/stream/good.ts") as answer:
            assert answer.status_code == 200
            data = b"".join(piece for piece, _ in zip(answer.iter_encoded(), range(5), strict=False))
        assert ts.starts_on_keyframe(data)
        assert in_order(data)
        there.wait_until_idle()

    def test_head_opens_no_upstream(self, client: FlaskClient, there: House) -> None:
        answer = client.head("/stream/good.ts")
        assert answer.status_code == 200
        assert answer.content_type == "video/mp2t"
        assert "Content-Length" not in answer.headers
        assert there.provider.opened("/a") == 0
        assert there.hub.sessions() == []

    def test_an_unknown_channel_is_404(self, client: FlaskClient) -> None:
        assert client.get("/stream/nope.ts").status_code == 404
        assert client.head("/stream/nope.ts").status_code == 404

    @pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
    def test_other_methods_are_405(self, client: FlaskClient, method: str) -> None:
        assert getattr(client, method)("/stream/good.ts").status_code == 405

    def test_a_channel_that_does_not_come_is_503_with_the_reason_and_when_to_ask_again(
        self, client: FlaskClient
    ) -> None:
        answer = client.get("/stream/bad.ts")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert "web page" in answer.get_json()["detail"]

    def test_sessions_are_listed(self, client: FlaskClient) -> None:
        assert client.get("/api/v1/relay/sessions").get_json() == {"items": [], "next": None}
        with client.get("/stream/good.ts", headers={"User-Agent": "Kodi/21"}):
            (session,) = client.get("/api/v1/relay/sessions").get_json()["items"]
        assert session["id"] == "good"
        assert session["clients"][0]["user_agent"] == "Kodi/21"
        assert session["clients"][0]["address"] == "127.0.0.1"


class TestUnderGunicorn:
    @pytest.fixture
    def provider(self) -> Iterator[ScriptedUpstream]:
        with ScriptedUpstream() as provider:
            yield provider

    @pytest.fixture
    def served(self, provider: ScriptedUpstream, tmp_path: Path) -> Iterator[Served]:
        urls = {
            "good": provider.script("/a", [live()]),
            "fast": provider.script("/f", [live(every_s=0.002)]),
            "bad": provider.script("/b", [html()]),
        }
        with gunicorn(tmp_path, urls) as served:
            yield served

    def test_five_viewers_share_one_connection_from_a_keyframe_on(
        self, served: Served, provider: ScriptedUpstream
    ) -> None:
        viewers = [served.ask("/stream/good.ts", Range="bytes=0-") for _ in range(5)]
        for viewer in viewers:
            assert viewer.status == 200
            assert viewer.headers["content-type"] == "video/mp2t"
            assert viewer.headers["connection"] == "close"
            assert viewer.headers["access-control-allow-origin"] == "*"
            assert "transfer-encoding" not in viewer.headers
            data = viewer.read(200_000)
            assert ts.starts_on_keyframe(data)
            assert in_order(data)
        assert provider.opened("/a") == 1
        (session,) = served.get("/api/v1/relay/sessions")["items"]
        assert len(session["clients"]) == 5
        for viewer in viewers:
            viewer.close()
        until(lambda: served.get("/figures")["clients"] == 0)

    def test_an_old_client_is_served_too(self, served: Served) -> None:
        with served.ask("/stream/good.ts", version="1.0") as viewer:
            assert ts.starts_on_keyframe(viewer.read(20_000))

    def test_a_second_viewer_gets_the_backlog_at_once(self, served: Served) -> None:
        with served.ask("/stream/good.ts") as first, served.ask("/stream/good.ts") as second:
            first.read(400_000)
            with served.ask("/stream/good.ts") as third:
                assert ts.numbers(third.read(564)[:564])[0] % (5 * ts.PICTURE_PACKETS) == 0
            assert in_order(second.read(400_000))

    def test_tuned_as_kodi_does_there_is_one_upstream_and_one_slot(
        self, served: Served, provider: ScriptedUpstream
    ) -> None:
        methods = ("HEAD", "GET", "HEAD", "GET", "GET", "GET")
        asked = [served.ask("/stream/good.ts", method=m, Range="bytes=0-") for m in methods]
        assert [one.status for one in asked] == [200] * 6
        assert all("content-length" not in one.headers for one in asked)
        for one in asked[:-1]:
            one.close()
        assert in_order(asked[-1].read(100_000))
        until(lambda: served.get("/figures")["clients"] == 1)
        assert served.get("/figures")["slots"] == 1
        assert provider.opened("/a") == 1
        asked[-1].close()
        with served.ask("/stream/good.ts", Range="bytes=100000-") as again:  # what it asks after a stall
            assert again.status == 200
            assert "content-range" not in again.headers
            assert ts.starts_on_keyframe(again.read(20_000))
        assert provider.opened("/a") == 1

    def test_a_refusal_reaches_the_client_as_an_ordinary_answer(self, served: Served) -> None:
        with served.ask("/stream/bad.ts") as answer:
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) >= 1
            body = answer.read(int(answer.headers["content-length"]))
            assert "web page" in json.loads(body)["detail"]

    def test_a_lock_held_elsewhere_stops_no_stream(self, served: Served, tmp_path: Path) -> None:
        with (tmp_path / "lock").open("w") as lock, served.ask("/stream/good.ts") as viewer:
            fcntl.flock(lock, fcntl.LOCK_EX)
            viewer.read(10_000)
            answers: list[object] = []
            waiting = threading.Thread(target=lambda: answers.append(served.get("/locked")))
            waiting.start()
            assert in_order(viewer.read(len(viewer.body) + 300_000))
            assert answers == []
            fcntl.flock(lock, fcntl.LOCK_UN)
            waiting.join(20)
        assert answers == ["had it"]

    def test_sigterm_ends_every_viewer_on_a_packet_boundary(self, served: Served, provider: ScriptedUpstream) -> None:
        viewers = [served.ask("/stream/fast.ts") for _ in range(20)]
        for viewer in viewers:
            viewer.read(50_000)
        assert served.terminate() == 0
        for viewer in viewers:
            data = viewer.read_to_end()
            assert len(data) % ts.PACKET == 0
            assert in_order(data)
            viewer.close()
        until(lambda: not any(provider.connected.values()))

    def test_real_video_is_recognised_by_ffprobe(self, provider: ScriptedUpstream, tmp_path: Path) -> None:
        need_ffmpeg()
        film = tmp_path / "film.ts"
        _make_film(film)
        data = film.read_bytes()
        url = provider.script("/film", [lambda c: c.body(data), hangs()])
        with gunicorn(tmp_path, {"film": url}) as served:
            probed = subprocess.run(
                [
                    *("ffprobe", "-v", "error", "-read_intervals", "%+2", "-analyzeduration", "2000000"),
                    *("-show_entries", "stream=codec_name", "-of", "json", served.url("/stream/film.ts")),
                ],
                capture_output=True,
                timeout=60,
                check=True,
            )
        names = {stream["codec_name"] for stream in json.loads(probed.stdout)["streams"]}
        assert names == {"h264", "aac"}
        assert probed.stderr == b""


def need_ffmpeg() -> None:
    """Skip on a person's machine, fail where tests must be whole."""
    if shutil.which("ffmpeg") and shutil.which("ffprobe"):
        return
    if os.environ.get("CI"):
        pytest.fail("ffmpeg and ffprobe are missing: apt-get install ffmpeg")
    pytest.skip("needs ffmpeg and ffprobe: apt-get install ffmpeg")


def _make_film(path: Path) -> None:
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine"),
            *("-t", "6", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"),
            *("-c:a", "aac", "-f", "mpegts", str(path)),
        ],
        timeout=120,
        check=True,
    )
