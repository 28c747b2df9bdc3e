"""A lineup asked as an HDHomeRun is asked: files, scans, streams by number, and how each refusal is told."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from servicekit import web
from servicekit.clock import SystemClock
from servicekit.errors import NotFound
from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from stream_service.api import hdhr as hdhr_views
from stream_service.api import tuning
from stream_service.api.hdhr import SOURCE
from stream_service.api.profiles import no_profiles
from stream_service.domain.lineup import OUTPUTS, LineupView
from stream_service.domain.model import ChannelTarget, LineupChannel
from stream_service.lineups.devices import Devices
from stream_service.lineups.publish import PublishedFiles
from stream_service.lineups.rendered import RenderedPlaylists
from stream_service.outputs import hdhr
from stream_service.relay.tuners import Scans, Tuners
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.house import House, house
from tests.stream.relaykit.upstream import html, live
from tests.stream.relaykit.viewers import target
from tests.waiting import until

CHANNELS = [LineupChannel("news", "1", "News HD"), LineupChannel("sport", "5.1", "Sport")]


class Stepping:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def now_s(self) -> int:
        return int(self.now)


@dataclass
class Lineups:
    outputs: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"default": OUTPUTS, "kids": OUTPUTS})

    def get(self, name: str) -> Any:
        if name not in self.outputs:
            raise NotFound(f"there is no lineup {name!r}")
        return SimpleNamespace(name=name, options=SimpleNamespace(outputs=self.outputs[name]))


@dataclass
class There:
    client: FlaskClient
    house: House
    files: PublishedFiles
    lineups: Lineups
    clock: Stepping

    def read(self, path: str, **more: Any) -> TestResponse:
        """An answer that is whole, its file closed."""
        return self.client.get(path, buffered=True, **more)

    def publish(self, name: str, *, tuners: int) -> None:
        view = LineupView(name, CHANNELS, tuner_count=tuners, installation="house")
        for file, pieces in hdhr.texts(view, {}):
            path = self.files.of(name, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(pieces))


def through(channel: ChannelTarget, profile: str) -> ChannelTarget:
    if profile == "mobile":
        return ChannelTarget(f"{channel.id}~mobile", channel.number, channel.name, channel.streams)
    return no_profiles(channel, profile)


def channels(house: House) -> dict[tuple[str, str], ChannelTarget]:
    news = target(house.provider.script("/news", [live()]), name="news")
    gone = target(house.provider.script("/gone", [html()], [html()], [html()]), name="gone")
    return {
        ("default", "1"): news,
        ("default", "9"): gone,
        ("kids", "7"): news,
        ("default", "5.1"): target(house.provider.script("/sport", [live()]), name="sport"),
    }


@pytest.fixture
def there(tmp_path: Path) -> Iterator[There]:
    with house() as put_up:
        files, lineups, clock = PublishedFiles(tmp_path), Lineups(), Stepping()
        by_number = channels(put_up)
        it: Any = SimpleNamespace(
            files=files,
            playlists=RenderedPlaylists(files.rendered),
            lineups=lineups,
            call=lambda fn, *args: fn(*args),
        )
        tunable = SimpleNamespace(
            tuners=Tuners(put_up.hub, clock=SystemClock(), wait_s=0.2),
            scans=Scans(clock=clock),  # type: ignore[arg-type]
            device=Devices(files).of,
            count=lambda lineup: len(CHANNELS),
            channel=lambda lineup, number: by_number.get((lineup, number)),
        )
        app = web.make_app(
            "hdhr",
            title="t",
            door=web.Door(admin_token="t", internal_secret="s"),
            metrics=Metrics("hdhr", figures=list),
            settings=Settings(tmp_path / "settings.json", lock=tmp_path / "settings.lock"),
            checks=Checks(state=State, not_ready=lambda: None),
        )
        app.register_api(hdhr_views.blueprint(it, tunable))
        app.register_api(tuning.blueprint(it, tunable, hub=put_up.hub, through=through))
        built = There(app.test_client(), put_up, files, lineups, clock)
        built.publish("default", tuners=2)
        yield built
        put_up.wait_until_idle()


class TestFiles:
    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("/discover.json", "application/json"),
            ("/lineup.json", "application/json"),
            ("/lineup.json?show=found", "application/json"),
            ("/lineup_status.json", "application/json"),
            ("/lineup.xml", "application/xml; charset=utf-8"),
            ("/lineup.m3u", "audio/x-mpegurl; charset=utf-8"),
            ("/device.xml", "application/xml; charset=utf-8"),
        ],
    )
    def test_each_is_there_for_pages_of_any_origin(self, there: There, path: str, kind: str) -> None:
        answer = there.read(path)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert b"\x01" not in answer.data

    def test_addresses_are_those_that_the_client_asked_by(self, there: There) -> None:
        said = there.read("/discover.json", headers={"Host": "tv.lan:8081"}).get_json()
        assert said["BaseURL"] == "http://tv.lan:8081"
        assert said["LineupURL"] == "http://tv.lan:8081/lineup.json"
        rows = there.read("/lineup.json", headers={"Host": "192.168.1.9:8081"}).get_json()
        assert [row["URL"] for row in rows] == [
            "http://192.168.1.9:8081/auto/v1",
            "http://192.168.1.9:8081/auto/v5.1",
        ]

    def test_what_did_not_change_is_304(self, there: There) -> None:
        first = there.read("/lineup.json")
        assert first.headers["Content-Disposition"] == "inline; filename=lineup.json"
        again = there.read("/lineup.json", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")

    def test_every_lineup_is_a_device_of_its_own(self, there: There) -> None:
        there.publish("kids", tuners=1)
        one, other = (
            there.read("/discover.json").get_json(),
            there.read("/hdhr/kids/discover.json").get_json(),
        )
        assert one["DeviceID"] != other["DeviceID"]
        assert other["TunerCount"] == 1
        assert other["LineupURL"] == "http://localhost/hdhr/kids/lineup.json"
        assert there.read("/hdhr/kids/device.xml").data.count(other["DeviceID"].encode()) == 1
        assert there.read("/hdhr/default/discover.json").get_json() == one

    @pytest.mark.parametrize("path", ["discover.json", "lineup.json", "lineup_status.json", "device.xml", "auto/v1"])
    def test_a_lineup_that_is_none_is_not_found(self, there: There, path: str) -> None:
        assert there.read(f"/hdhr/nobody/{path}").status_code == 404
        assert there.read(f"/hdhr/..%2f..%2fx/{path}").status_code in (400, 404)

    def test_one_that_is_not_built_yet_is_503_and_one_that_is_switched_off_404(self, there: There) -> None:
        assert there.read("/hdhr/kids/discover.json").status_code == 503
        there.lineups.outputs["kids"] = ("m3u",)
        answer = there.read("/hdhr/kids/discover.json")
        assert answer.status_code == 404
        assert "outputs" in answer.get_json()["detail"]

    def test_there_are_no_demonstration_channels(self, there: There) -> None:
        assert there.read("/lineup.json?show=demo").get_json() == []


class TestScans:
    def test_a_scan_runs_finds_all_and_ends(self, there: There) -> None:
        idle = {"ScanInProgress": 0, "ScanPossible": 1, "Source": SOURCE, "SourceList": ["Antenna", SOURCE]}
        assert there.client.get("/lineup_status.json").get_json() == idle
        answer = there.client.post("/lineup.post?scan=start&source=Cable")
        assert (answer.status_code, answer.data) == (200, b"")
        there.clock.now = 1.6
        said = there.client.get("/lineup_status.json").get_json()
        assert (said["ScanInProgress"], said["Progress"], said["Found"]) == (1, 53, 1)
        there.clock.now = 3.0
        assert there.client.get("/lineup_status.json").get_json() == idle

    def test_a_scan_can_be_ended(self, there: There) -> None:
        there.client.post("/lineup.post", data={"scan": "start"})
        assert there.client.get("/lineup_status.json").get_json()["ScanInProgress"] == 1
        assert there.client.post("/lineup.post?scan=abort").status_code == 200
        assert there.client.get("/lineup_status.json").get_json()["ScanInProgress"] == 0

    @pytest.mark.parametrize("words", ["scan=maybe", "", "favorite=%2B1"])
    def test_other_wishes_are_400(self, there: There, words: str) -> None:
        assert there.client.post(f"/lineup.post?{words}").status_code == 400


class TestStreams:
    @pytest.mark.parametrize(("path", "tuner"), [("/auto/v1", "tuner0"), ("/tuner1/v1", "tuner1")])
    def test_a_channel_plays_and_says_its_tuner(self, there: There, path: str, tuner: str) -> None:
        with there.client.get(path, headers={"Range": "bytes=0-", "Icy-MetaData": "1"}) as answer:
            assert answer.status_code == 200
            assert answer.content_type == "video/mp2t"
            assert answer.headers["X-HDHomeRun-Resource"] == tuner
            assert "Content-Length" not in answer.headers
            data = b"".join(piece for piece, _ in zip(answer.iter_encoded(), range(3), strict=False))
        assert ts.starts_on_keyframe(data)

    def test_head_opens_nothing_and_takes_no_tuner(self, there: There) -> None:
        answer = there.client.head("/auto/v1")
        assert answer.status_code == 200
        assert there.house.provider.opened("/news") == 0
        assert there.house.hub.tuners() == []

    @pytest.mark.parametrize("path", ["/auto/v77", "/tuner0/v77", "/tuner2/v1"])
    def test_what_is_not_there_is_404_and_801(self, there: There, path: str) -> None:
        answer = there.client.get(path)
        assert answer.status_code == 404
        assert answer.headers["X-HDHomeRun-Error"] == "801 Unknown Channel"

    def test_more_streams_than_tuners_are_503_and_805_until_one_ends(self, there: There) -> None:
        with there.client.get("/auto/v1") as first, there.client.get("/auto/v5.1"):
            assert first.headers["X-HDHomeRun-Resource"] == "tuner0"
            refused = there.client.get("/auto/v1")
            assert refused.status_code == 503
            assert refused.headers["X-HDHomeRun-Error"] == "805 All Tuners In Use"
            held = [client["tuner"] for one in there.house.hub.sessions() for client in one["clients"]]  # type: ignore[attr-defined]
            assert sorted(held) == ["default/0", "default/1"]
            assert int(refused.headers["Retry-After"]) > 0
        until(lambda: there.house.hub.tuners() == [])
        with there.client.get("/auto/v1") as again:
            assert again.headers["X-HDHomeRun-Resource"] == "tuner0"

    def test_a_tuner_that_is_asked_for_by_name_and_in_use_is_804(self, there: There) -> None:
        with there.client.get("/tuner1/v1"):
            refused = there.client.get("/tuner1/v5.1")
            assert (refused.status_code, refused.headers["X-HDHomeRun-Error"]) == (503, "804 Tuner In Use")
            with there.client.get("/auto/v5.1") as other:
                assert other.headers["X-HDHomeRun-Resource"] == "tuner0"

    def test_lineups_have_tuners_of_their_own(self, there: There) -> None:
        there.publish("kids", tuners=1)
        with there.client.get("/auto/v1"), there.client.get("/auto/v1"), there.client.get("/hdhr/kids/auto/v7") as kids:
            assert kids.status_code == 200
            assert there.client.get("/hdhr/kids/auto/v7").headers["X-HDHomeRun-Error"] == "805 All Tuners In Use"

    def test_a_channel_that_does_not_come_is_806_and_gives_its_tuner_back(self, there: There) -> None:
        answer = there.client.get("/auto/v9")
        assert (answer.status_code, answer.headers["X-HDHomeRun-Error"]) == (503, "806 Tune Failed")
        assert there.house.hub.tuners() == []

    def test_a_transcode_that_nobody_knows_is_802(self, there: There) -> None:
        answer = there.client.get("/auto/v1?transcode=cinema")
        assert (answer.status_code, answer.headers["X-HDHomeRun-Error"]) == (503, "802 Unknown Transcode Profile")

    @pytest.mark.parametrize(
        ("word", "shown"), [("none", "news"), ("heavy", "news"), ("internet480", "news"), ("mobile", "news~mobile")]
    )
    def test_a_devices_words_are_passed_over_unless_a_profile_has_that_name(
        self, there: There, word: str, shown: str
    ) -> None:
        with there.client.get(f"/auto/v1?transcode={word}") as answer:
            assert answer.status_code == 200
            assert there.house.session()["id"] == shown

    def test_a_duration_ends_the_stream(self, there: There) -> None:
        with there.client.get("/auto/v1?duration=0.3") as answer:
            assert sum(len(piece) for piece in answer.iter_encoded()) > 0  # and it ends

    @pytest.mark.parametrize("value", ["0", "-5", "abc", "nan"])
    def test_a_duration_that_is_none_is_400(self, there: There, value: str) -> None:
        assert there.client.get(f"/auto/v1?duration={value}").status_code == 400


def test_numbers_are_text_in_the_published_lineup(there: There) -> None:
    rows = json.loads(there.read("/lineup.json").data)
    assert all(isinstance(row["GuideNumber"], str) and "_" not in row["GuideNumber"] for row in rows)
