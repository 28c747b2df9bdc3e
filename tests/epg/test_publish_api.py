"""Published guides over HTTP: options, files as files, and what is rendered on demand and kept."""

import gzip
import itertools
import json
import os
import runpy
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from epg_service.domain.entities import LineupChannel
from epg_service.domain.profiles import PROFILES, Options, options
from epg_service.lineups import variants as variants_module
from epg_service.lineups.published import PublishedGuides
from epg_service.lineups.render import Piece
from epg_service.lineups.variants import Variants
from epg_service.wiring import for_keeper
from servicekit.errors import Unavailable
from tests.epg.guidekit import DAY, HOUR, HeldClock, Show, Station, guide_of, hourly, python
from tests.waiting import until

THIS_HOUR = int(time.time()) // HOUR * HOUR


class Reading(FlaskClient):
    """Reads every answer to its end, so that files are closed."""

    def open(self, *arguments: Any, **more: Any) -> Any:
        return super().open(*arguments, **{"buffered": True, **more})


@pytest.fixture
def station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Station]:
    made = Station(tmp_path, clock=HeldClock(int(time.time())))
    monkeypatch.setenv("AERIAL_CONFIG", str(made.file))
    overlap = Show("one.tv", THIS_HOUR + 60, THIS_HOUR + 2 * HOUR, "Over it")
    made.take(guide_of([*hourly("one.tv", THIS_HOUR - DAY, 72), overlap, *hourly("two.tv", THIS_HOUR, 48)]))
    yield made
    made.close()


@pytest.fixture
def client(station: Station) -> FlaskClient:
    app = runpy.run_module("epg_service.wsgi")["app"]
    app.test_client_class = Reading
    found: FlaskClient = app.test_client()
    return found


def receive(station: Station, digest: str = "1") -> None:
    news, kids = (None, "News"), (None, "Kids")
    channels = [LineupChannel("a", "A", "one.tv", "1", *news), LineupChannel("b", "B", "two.tv", "2", *kids)]
    station.it.lineups.put("default", digest, channels, {})
    publish(station)


def publish(station: Station) -> None:
    for_keeper.publishing(station.config, station.it, clock=station.clock).everything()


def shown(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.data
    return [str(one.get("channel")) for one in ET.fromstring(answer.data).iter("programme")]


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    ["lines=1-2", "bytes=1-2,5-6", "bytes=x", "bytes=9-1", "bytes=", "x"],
)
def test_a_range_that_is_no_single_range_of_bytes_is_ignored(station: Station, client: FlaskClient, asked: str) -> None:
    receive(station)
    whole = client.get("/epg.xml")
    answer = client.get("/epg.xml", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (200, whole.data)


@pytest.mark.parametrize(("asked", "part"), [("bytes=2-4", slice(2, 5)), ("bytes=-3", slice(-3, None))], ids=str)
def test_a_range_of_bytes_is_given(station: Station, client: FlaskClient, asked: str, part: slice) -> None:
    receive(station)
    whole = client.get("/epg.xml").data
    answer = client.get("/epg.xml", headers={"Range": asked})
    assert (answer.status_code, answer.data) == (206, whole[part])
    assert client.get("/epg.xml", headers={"Range": f"bytes={len(whole)}-"}).status_code == 416


@pytest.mark.parametrize("asked", ["gzip;q=0", "identity", "br", "", "gzip; q=0.0, identity"])
def test_who_takes_no_gzip_gets_none(station: Station, client: FlaskClient, asked: str) -> None:
    receive(station)
    answer = client.get("/epg.xml", headers={"Accept-Encoding": asked})
    assert answer.headers.get("Content-Encoding") is None
    assert answer.data.startswith(b"<?xml")


def test_the_file_stays_the_same_until_something_changes(station: Station, client: FlaskClient) -> None:
    receive(station)
    paths = ("/epg.xml", "/guide.xml", "/epg.xml?profile=plex&days=3", "/epg.xml.gz?profile=kodi")
    first = {path: (client.get(path).headers["ETag"], client.get(path).headers["Last-Modified"]) for path in paths}
    publish(station)
    station.take(guide_of(hourly("one.tv", THIS_HOUR - DAY, 72)) + b"<!-- another file -->")
    receive(station, "2")
    again = {path: client.get(path).headers["ETag"] for path in paths}
    assert again["/epg.xml"] != first["/epg.xml"][0], "the overlap is gone"
    station.clock.at += 60
    publish(station)
    assert {path: client.get(path).headers["ETag"] for path in paths} == again
    etag = again["/epg.xml?profile=plex&days=3"]
    assert client.get("/epg.xml?profile=plex&days=3", headers={"If-None-Match": etag}).status_code == 304


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/epg.xml", "/guide.xml", "/lineups/default/epg.xml"])
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_guide_has_every_profile_plain_and_packed(
    station: Station, client: FlaskClient, path: str, profile: str
) -> None:
    receive(station)
    plain = client.get(f"{path}?profile={profile}")
    packed = client.get(f"{path}.gz?profile={profile}")
    assert gzip.decompress(packed.data) == plain.data
    assert (b"Over it" in plain.data) is True
    assert set(shown(plain)) == ({"one.tv", "two.tv"} if path == "/guide.xml" else {"a", "b"})


def test_options_choose_together(station: Station, client: FlaskClient) -> None:
    receive(station)
    assert set(shown(client.get("/epg.xml?group=News"))) == {"a"}
    assert set(shown(client.get("/epg.xml?channels=b"))) == {"b"}
    assert set(shown(client.get("/epg.xml?channels=a&channels=b&group=kids"))) == {"b"}
    assert len(shown(client.get("/epg.xml?channels=b&days=1"))) < 48
    assert shown(client.get("/guide.xml?channels=two.tv")) == ["two.tv"] * 48


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("profile=vlc", "jellyfin, kodi, plex"), ("days=x", "days"), ("days=0", "1 to 366"),
        ("past_days=-1", "0 to 366"),
        ("channels=none", "no channel 'none'"), ("group=none", "Kids, News"), ("lang=%3F", "such as de"),
        ("extras=perhaps", "extras"), ("profil=plex", "profil"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_with_what_is_allowed(
    station: Station, client: FlaskClient, query: str, word: str
) -> None:
    receive(station)
    answer = client.get(f"/epg.xml?{query}")
    assert answer.status_code == 400
    assert word in json.loads(answer.data)["detail"]


def test_without_a_lineup_media_servers_get_the_whole_guide_without_overlaps(
    station: Station, client: FlaskClient
) -> None:
    publish(station)
    assert len(shown(client.get("/guide.xml"))) == 121
    main = client.get("/epg.xml")
    spans = [
        (one.get("channel"), one.get("start"), one.get("stop")) for one in ET.fromstring(main.data).iter("programme")
    ]
    assert all(a[0] != b[0] or str(a[2]) <= str(b[1]) for a, b in itertools.pairwise(spans))


def test_options_of_a_guide_that_is_not_there_yet_are_an_empty_guide(client: FlaskClient) -> None:
    assert shown(client.get("/epg.xml?profile=plex")) == []


# ---- kept files ------------------------------------------------------------------------------------------------------


class Counted:
    """Renders a few bytes, counting."""

    def __init__(self) -> None:
        self.times: list[str] = []

    def pieces(self, name: str, options: Options, now_s: int) -> list[Piece]:
        self.times.append(options.key())
        return [f"<tv>{options.days}</tv>".encode() * 100]

    def usual(self, name: str) -> Options:
        return options(usual="standard")

    def settled(self, name: str) -> bool:
        return True


def days(count: int) -> Options:
    return options(usual="standard", days=count)


def test_the_least_recently_used_go(tmp_path: Path) -> None:
    published, counted = PublishedGuides(tmp_path), Counted()
    published.publish("guide", [b"<tv/>"], basis="1")
    kept = Variants(published=published, rendered=counted, most=3)
    for count in (1, 2, 3):
        assert kept.find("guide", days(count))
        used = next(iter(sorted((tmp_path / "variants").glob("*.used"), key=lambda one: one.stat().st_mtime_ns)[-1:]))
        os.utime(used, ns=(count * 10**9, count * 10**9))
    kept.find("guide", days(1))
    kept.find("guide", days(4))
    assert len(list((tmp_path / "variants").glob("*.xml"))) == 3
    before = len(counted.times)
    for count in (1, 3, 4):
        kept.find("guide", days(count))
    assert len(counted.times) == before
    kept.find("guide", days(2))
    assert len(counted.times) == before + 1, "the least recently used one was gone"


def test_files_are_bounded_by_their_bytes_and_the_newest_stays(tmp_path: Path) -> None:
    published, counted = PublishedGuides(tmp_path), Counted()
    published.publish("guide", [b"<tv/>"], basis="1")
    kept = Variants(published=published, rendered=counted, most_bytes=100)
    for count in (1, 2):
        found = kept.find("guide", days(count))
        assert found is not None
        assert found.there
        assert len(list((tmp_path / "variants").glob("*.xml"))) == 1


def test_a_new_publication_ends_all_variants(tmp_path: Path) -> None:
    published, counted = PublishedGuides(tmp_path), Counted()
    kept = Variants(published=published, rendered=counted)
    lasting = options(usual="standard", profile="full")
    published.publish("guide", [b"<tv/>"], basis="1", at=1)
    for _ in range(2):
        kept.find("guide", days(1))
        kept.find("guide", lasting)
    assert len(counted.times) == 2
    published.publish("guide", [b"<tv/>"], basis="1", at=2)
    kept.find("guide", days(1))
    kept.find("guide", lasting)
    assert len(counted.times) == 3, "an hour later only what depends on the time is made again"
    published.publish("guide", [b"<tv/>"], basis="2", at=3)
    kept.find("guide", lasting)
    assert len(counted.times) == 4


def test_who_waits_too_long_is_told_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = PublishedGuides(tmp_path)
    published.publish("guide", [b"<tv/>"])
    kept = Variants(published=published, rendered=Counted())
    kept.find("guide", days(1))
    monkeypatch.setattr(variants_module, "WAIT_S", 0.0)
    with (
        kept._held(tmp_path / "variants" / ".render.lock", 0.0),
        pytest.raises(Unavailable, match="other guides are being made"),
    ):
        kept.find("guide", days(2))


WORKER = """
import sys, time
from pathlib import Path
from epg_service.domain.profiles import options
from epg_service.lineups.published import PublishedGuides
from epg_service.lineups.variants import Variants

folder = Path(sys.argv[1])

class Slow:
    def pieces(self, name, asked, now_s):
        with (folder / "rendered").open("a") as log:
            log.write("x")
        while not (folder / "go").exists():
            time.sleep(0.01)
        yield b"<tv>once</tv>"
    def usual(self, name):
        return options(usual="standard")
    def settled(self, name):
        return True

found = Variants(published=PublishedGuides(folder / "files"), rendered=Slow()).find("guide", options(usual="plex"))
print(found.plain.read_bytes().decode())
"""


def test_two_workers_who_are_asked_at_once_render_once(tmp_path: Path) -> None:
    PublishedGuides(tmp_path / "files").publish("guide", [b"<tv/>"], basis="1")
    workers = [python(WORKER, str(tmp_path), stdout=subprocess.PIPE) for _ in range(2)]
    until((tmp_path / "rendered").exists, what="the first to render")
    (tmp_path / "go").touch()
    told = [one.communicate(timeout=30)[0].strip() for one in workers]
    assert told == [b"<tv>once</tv>"] * 2
    assert (tmp_path / "rendered").read_text() == "x"
