"""A panel and both services as real processes: one address and login typed once gives channels, films and a guide."""

import contextlib
import http.client
import json
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.running import Pair, ask
from tests.e2e.test_pair import guide_of
from tests.stream.panelkit import PASSWORD, USER, FakePanel, channel, movie
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
CANARY = PASSWORD.partition("/")[0]


@pytest.fixture
def panel() -> Iterator[FakePanel]:
    with FakePanel(live=[channel(n, f"Channel {n}", epg_channel_id=f"ch{n}.example") for n in range(5)],
                   vod=[movie(9, "Film")]) as running:  # fmt: skip
        running.guide = guide_of(5, 60)
        yield running


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    running = Pair(tmp_path)
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.end()


class Heard:
    """Listens to the events of what goes on, on a thread."""

    def __init__(self, address: str) -> None:
        self.finished: list[dict[str, object]] = []
        self._answer = urllib.request.urlopen(address, timeout=120)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        kind = ""
        with self._answer, contextlib.suppress(OSError, ValueError, http.client.HTTPException):  # the service ended
            for raw in self._answer:
                name, _, said = raw.decode().rstrip("\n").partition(": ")
                kind = said if name == "event" else kind
                if name == "data" and kind == "finished":
                    self.finished.append(json.loads(said))

    def ended(self, kind: str, status: str) -> bool:
        return any((one["kind"], one["status"]) == (kind, status) for one in self.finished)


def test_a_login_typed_once_gives_channels_films_and_a_guide(pair: Pair, panel: FakePanel) -> None:
    stream, epg = pair.streams, pair.guide
    heard = Heard(stream.url("/api/v1/progress/events"))
    source = {"name": "Panel", "type": "xtream", "url": panel.base, "username": USER, "password": PASSWORD}
    tried = stream.post("/api/v1/sources/test", source).json
    assert (tried["ok"], tried["counts"], tried["account"]["status"]) == (True, {"live": 5, "movie": 1}, "active")
    assert stream.post("/api/v1/sources", source).status == 201

    def guide() -> dict[str, object] | None:
        found = epg.get("/api/v1/providers").json
        return found[0] if found else None

    until(lambda: guide() is not None, limit_s=60, what="the panel's guide to be a provider")
    until(lambda: any(run["status"] == "success" for run in epg.get("/api/v1/import/status").json["runs"]),
          limit_s=60, what="its import")  # fmt: skip
    assert stream.post("/api/v1/sources/1/refresh").status == 202
    until(lambda: heard.ended("refresh", "success") and heard.ended("build", "success"), limit_s=60, what="the events")
    until(lambda: "Channel 4" in stream.get("/playlist.m3u").text, limit_s=60, what="the playlist")
    assert [one["name"] for one in stream.get("/api/v1/streams?kind=movie").json["items"]] == ["Film"]
    now = f"{datetime.now(UTC):%Y%m%d}"
    until(
        lambda: now in epg.get("/epg.xml").text and "Channel 4" in epg.get("/epg.xml").text,
        limit_s=60,
        what="its guide",
    )

    shown = [service.get(path).text for service, path in (
        (epg, "/api/v1/providers"), (stream, "/api/v1/sources"), (stream, "/api/v1/sources/1/streams"),
        (stream, "/api/v1/progress"), (stream, "/playlist.m3u"), (epg, "/epg.xml"), (epg, "/api/v1/import/status"),
    )]  # fmt: skip
    assert not [text[:200] for text in shown if CANARY in text]

    assert ask("DELETE", stream.url("/api/v1/sources/1")).status == 204
    until(lambda: guide() is None, limit_s=60, what="the login to leave the guide service")
    assert CANARY not in stream.log()
    assert CANARY not in epg.log()
