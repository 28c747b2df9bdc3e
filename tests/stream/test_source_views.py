"""Sources over HTTP beyond their rows: browsing, typing, uploading, trying, and watching what goes on."""

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from servicekit.errors import NotFound
from stream_service.api.sourcing import blueprints
from stream_service.sources.trial import Trial
from stream_service.store.builds import Builds
from stream_service.wiring import sourcing
from tests.stream.panelkit import PASSWORD, USER, FakePanel, channel, movie
from tests.stream.sourcekit import House, playlist
from tests.stream.test_stream_api import Site, directly


class Browsed(Site):
    """The site with the views about sources; the keeper's trial answers at once."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        house = self.house
        self.sourcing = sourcing.sourcing(
            house.connections,
            builds=Builds(house.connections, clock=house.clock).since,
            import_dir=house.import_dir,
            max_upload_bytes=1 << 20,
            clock=house.clock,
            call=directly,
        )
        self.trial = Trial(ways=house.access, sources=house.sources, clock=house.clock)
        self.probed: list[Any] = []
        app: Any = self.client.application
        for one in blueprints(self.sourcing, ask=self.ask, check_address=house.access.check_address, probe=self.probe):
            app.register_api(one)

    def ask(self, kind: str, params: Mapping[str, object]) -> dict[str, Any]:
        if kind != "source-test":
            raise NotFound(kind)
        answer: dict[str, Any] = json.loads(json.dumps(self.trial.test(params)))
        return answer

    def probe(self, target: Any, *, again: bool = False) -> dict[str, object]:
        self.probed.append((target.id, target.streams[0].url, again))
        return {"streams": [], "cached": False}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Browsed]:
    made = Browsed(tmp_path)
    yield made
    made.house.connections.close()


@pytest.fixture
def client(site: Browsed) -> FlaskClient:
    return site.client


@pytest.fixture
def house(site: Browsed) -> House:
    return site.house


# ---- browsing --------------------------------------------------------------------------------------------------------

MANY = [
    {
        "name": f"{word} {n}",
        "group-title": word,
        "tvg-id": f"{word}.{n}",
        "url": f"http://h/live/u/S3CR3T-xyz/{i}{n}.ts",
    }
    for i, word in enumerate(("News", "sport", "Films"))
    for n in range(4)
]


def names(client: FlaskClient, query: str, *, path: str = "/api/v1/streams") -> list[str]:
    """The names of all pages."""
    found: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"{path}?limit=5&{query}{cursor}").get_json()
        found += [one["name"] for one in page["items"]]
        if not page["next"]:
            return found
        cursor = f"&cursor={page['next']}"


def test_streams_are_searched_filtered_and_sorted_page_by_page(house: House, client: FlaskClient) -> None:
    house.add(house.put(playlist(MANY)))
    house.refresh()
    told = [one["name"] for one in MANY]
    assert names(client, "") == told
    assert names(client, "sort=name") == sorted(told, key=str.lower)
    assert names(client, "sort=group&q=2") == ["Films 2", "News 2", "sport 2"]
    assert names(client, "group=sport", path="/api/v1/sources/1/streams") == [f"sport {n}" for n in range(4)]
    assert names(client, "q=NEWS.3") == ["News 3"]
    groups = client.get("/api/v1/sources/1/groups").get_json()
    assert groups["items"] == [{"name": n, "streams": 4} for n in ("Films", "News", "sport")]


def test_what_is_shown_of_a_stream_holds_no_login(house: House, client: FlaskClient) -> None:
    house.add(house.put(playlist(MANY)))
    house.refresh()
    one = client.get("/api/v1/sources/1/streams").get_json()["items"][0]
    assert (one["provider_id"], one["kind"], one["state"]) == ("live:00", "live", "present")
    assert "S3CR3T" not in client.get("/api/v1/streams").text
    assert client.get(f"/api/v1/sources/1/streams/{one['id']}").get_json() == one
    assert client.get("/api/v1/sources/1/streams/99999").status_code == 404
    assert client.get("/api/v1/sources/9/streams").status_code == 404


def test_what_vanished_can_be_looked_at(house: House, client: FlaskClient) -> None:
    house.add(house.put(playlist(MANY)))
    house.refresh()
    house.put(playlist(MANY[1:]))
    house.refresh()
    assert names(client, "state=vanished") == ["News 0"]
    assert "News 0" not in names(client, "")


@pytest.mark.parametrize("cursor", ["x", "WyJhIl0", "bnVsbA", "WzEsIDFlOTld", "Ww" * 90], ids=str)
def test_a_cursor_that_is_none_is_refused(house: House, client: FlaskClient, cursor: str) -> None:
    house.add(house.put(playlist(MANY)))
    house.refresh()
    assert client.get(f"/api/v1/streams?cursor={cursor}").status_code == 400


def test_movies_and_radio_are_kinds_of_their_own(house: House, client: FlaskClient) -> None:
    entries = [{"name": "R", "radio": "true"}, {"name": "T"}, {"name": "F", "url": "http://h/f.mp4"}]
    house.add(house.put(playlist(entries)))
    house.refresh()
    assert (names(client, "kind=radio"), names(client, "kind=live")) == (["R"], ["R", "T"])
    assert (names(client, "kind=movie"), names(client, "kind=series")) == (["F"], [])


def test_a_stream_is_probed_as_a_viewer_would_see_it(site: Browsed) -> None:
    site.house.add(site.house.put(playlist(["A"])))
    site.house.refresh()
    answer = site.client.get("/api/v1/sources/1/streams/1/probe?again=true")
    assert (answer.status_code, answer.get_json()["stream_id"]) == (200, 1)
    assert site.probed == [("stream.1", "http://streams.example/A.ts", True)]
    assert site.client.get("/api/v1/sources/1/streams/2/probe").status_code == 404


# ---- typing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def typed(client: FlaskClient) -> str:
    """The address of a manual source."""
    assert client.post("/api/v1/sources", json={"name": "M", "type": "manual"}).status_code == 201
    return "/api/v1/sources/1"


DOOR = {"name": "Door", "url": "http://cam.lan/door.ts", "number": "900", "group": "House"}


def put(client: FlaskClient, typed: str, *channels: dict[str, Any]) -> Any:
    return client.put(f"{typed}/manual-channels", json={"channels": list(channels)})


def test_typed_channels_are_on_air_after_their_refresh(house: House, client: FlaskClient, typed: str) -> None:
    answer = put(client, typed, DOOR, {"name": "Later"}, {"name": "Off", "enabled": False}).get_json()
    assert answer["run"]["status"] == "queued"
    assert house.refresh().status == "success"
    assert list(house.streams()) == ["Door", "Later"]
    house.build()
    assert set(house.numbers().values()) == {"900", "1"}


def test_a_typed_channel_that_keeps_its_id_is_the_same_channel(house: House, client: FlaskClient, typed: str) -> None:
    put(client, typed, DOOR, {"name": "B"})
    house.refresh()
    before = house.streams()["Door"]
    door = client.get(f"{typed}/manual-channels").get_json()["items"][0]
    put(client, typed, door | {"name": "Gate", "url": "http://other.lan/x.ts", "number": "1", "group": ""})
    run = house.refresh()
    assert (run.status, house.streams()) == ("success", {"Gate": before})
    assert house.refresh().status == "unchanged"


@pytest.mark.parametrize(
    ("channels", "says"),
    [
        pytest.param([{"url": "http://h/"}], "name", id="no name"),
        pytest.param([{"name": "A\nB"}], "one line", id="two lines"),
        pytest.param([{"name": "A", "url": "file:///etc/passwd"}], "address", id="a file"),
        pytest.param([{"name": "A", "url": "http://h/a b"}], "address", id="a blank"),
        pytest.param([{"name": "A", "logo": "javascript:x"}], "http(s)", id="a logo that is none"),
        pytest.param([{"name": "A", "number": "x"}], "number", id="a number that is none"),
        pytest.param([{"name": "A", "id": 77}], "no id of a channel", id="a strange id"),
        pytest.param([{"name": "A"}] * 5_001, "5000", id="too many"),
        pytest.param([{"name": "A", "headers": {"Host": "x"}}], "Host", id="a header of the connection's"),
    ],
)
def test_what_cannot_be_a_channel_is_refused_and_all_stays(
    client: FlaskClient, typed: str, channels: list[dict[str, Any]], says: str
) -> None:
    put(client, typed, DOOR)
    answer = put(client, typed, *channels)
    assert (answer.status_code, says in answer.get_json()["detail"]) == (400, True)
    assert [one["name"] for one in client.get(f"{typed}/manual-channels").get_json()["items"]] == ["Door"]


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"channels": [{"name": "\\ud83d"}]}', b"[" * 60_000], ids=repr)
def test_a_body_that_is_none_is_refused(client: FlaskClient, typed: str, body: bytes) -> None:
    answer = client.put(f"{typed}/manual-channels", data=body, content_type="application/json")
    assert answer.status_code == 400


def test_only_a_manual_source_is_typed(house: House, client: FlaskClient) -> None:
    house.add(house.put(playlist(["A"])))
    assert client.get("/api/v1/sources/1/manual-channels").status_code == 409
    assert put(client, "/api/v1/sources/1", DOOR).status_code == 409


def test_an_export_is_what_an_import_reads(client: FlaskClient, typed: str) -> None:
    tricky = DOOR | {"name": "Öl, \"quoted\" & more", "tvg_id": "a=b", "attributes": {"catchup": "xc"},
                     "headers": {"User-Agent": "VLC"}}  # fmt: skip
    put(client, typed, tricky, {"name": "Off", "url": "http://h/off.ts", "enabled": False})
    text = client.get(f"{typed}/export.m3u").text
    shown = client.post(f"{typed}/import-m3u", data=text.encode(), content_type="audio/x-mpegurl").get_json()
    assert (shown["parsed_count"], shown["skipped_count"], shown["applied"]) == (2, 0, False)
    back = shown["channels"][0]
    assert {key: back[key] for key in tricky} == tricky
    assert len(client.get(f"{typed}/manual-channels").get_json()["items"]) == 2


def test_an_import_joins_or_replaces(client: FlaskClient, typed: str) -> None:
    put(client, typed, DOOR, {"name": "Yard", "url": "http://cam.lan/yard.ts"})
    body = playlist([{"name": "Front door", "url": DOOR["url"]}, {"name": "New", "url": "http://h/n.ts"}]).encode()
    kind = "audio/x-mpegurl"
    joined = client.post(f"{typed}/import-m3u?apply=merge", data=body, content_type=kind).get_json()
    assert [(one["id"], one["name"], one["number"]) for one in joined["items"]] == [
        (1, "Front door", "900"), (2, "Yard", ""), (3, "New", ""),
    ]  # fmt: skip
    replaced = client.post(f"{typed}/import-m3u?apply=replace", data=body, content_type=kind).get_json()
    assert [one["name"] for one in replaced["items"]] == ["Front door", "New"]
    nothing = client.post(f"{typed}/import-m3u?apply=replace", data=b"#EXTM3U\n", content_type=kind)
    assert (nothing.status_code, len(client.get(f"{typed}/manual-channels").get_json()["items"])) == (400, 2)


# ---- uploading and trying --------------------------------------------------------------------------------------------


def test_an_uploaded_list_is_the_sources_from_then_on(house: House, client: FlaskClient) -> None:
    house.add("nothing-yet.m3u")
    body = gzip.compress(playlist(["A", "B"]).encode())
    answer = client.put("/api/v1/sources/1/file", data=body, content_type="application/gzip")
    assert (answer.status_code, answer.get_json()["url"]) == (200, "source-1.m3u")
    assert house.refresh().streams == 2
    assert client.put("/api/v1/sources/1/file", data=b"").status_code == 400
    assert client.put("/api/v1/sources/1/file", data=b"x" * ((1 << 20) + 1)).status_code == 413
    assert house.refresh(force=True).streams == 2


def test_a_trial_says_what_a_list_would_give_and_keeps_nothing(house: House, client: FlaskClient) -> None:
    name = house.put(playlist([*MANY, {"name": "F", "url": "http://h/f.mkv"}]) + "#EXTINF:-1,lost\n")
    found = client.post("/api/v1/sources/test", json={"url": name}).get_json()
    assert (found["ok"], found["counts"], found["truncated"]) == (True, {"live": 12, "movie": 1}, False)
    assert found["groups"][0]["streams"] == 4
    assert found["losses"]["extinf_without_address"]["count"] == 1
    assert "S3CR3T" not in json.dumps(found)
    assert house.sources.all() == []
    assert list(house.channels.streams()) == []


def test_a_trial_of_a_panel_shows_its_account(client: FlaskClient, house: House) -> None:
    with FakePanel(live=[channel(1, "A")], vod=[movie(2, "F")]) as panel:
        body = {"type": "xtream", "url": panel.base, "username": USER, "password": PASSWORD}
        found = client.post("/api/v1/sources/test", json=body).get_json()
        assert (found["counts"], found["account"]["max_connections"]) == ({"live": 1, "movie": 1}, 3)
        wrong = client.post("/api/v1/sources/test", json=body | {"password": "nope"}).get_json()
        assert (wrong["ok"], wrong["account"]["status"]) == (False, "refused")
        house.add(panel.base, type="xtream", username=USER, password="old")
        assert client.post("/api/v1/sources/test", json={"source_id": 1, "password": PASSWORD}).get_json()["ok"]
        assert not client.post("/api/v1/sources/test", json={"source_id": 1}).get_json()["ok"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"url": "../x"}, 400), ({"type": "xtream", "url": "http://h"}, 400), ({"source_id": 9}, 404)],
    ids=["nothing", "a way out", "no login", "no source"],
)
def test_what_cannot_be_tried_is_refused(client: FlaskClient, body: dict[str, object], status: int) -> None:
    assert client.post("/api/v1/sources/test", json=body).status_code == status


def test_a_trial_that_takes_too_long_says_what_it_saw(house: House) -> None:
    name = house.put(playlist([f"C{n}" for n in range(5_000)]))
    ticks = iter(range(10_000))
    clock = type("Ticking", (), {"monotonic": lambda self: float(next(ticks)), "now_s": house.clock.now_s})()
    trial = Trial(ways=house.access, sources=house.sources, clock=clock, limit_s=4)
    found = trial.test({"values": {"type": "m3u", "url": name}})
    assert (found["ok"], found["truncated"]) == (True, True)


# ---- watching --------------------------------------------------------------------------------------------------------


def test_what_goes_on_is_told_until_it_ended(site: Browsed) -> None:
    house, progress = site.house, site.sourcing.progress
    house.add(house.put(playlist(["A"])))
    run = house.runs.enqueue(1, reason="manual")
    assert [event.kind for event in progress.look()] == ["progress"]
    house.runs.start(run.id)
    house.runs.tell(run.id, "reading", {"percent": 50, "entries": 7})
    (event,) = progress.look()
    told: Any = event.data
    assert (event.kind, told["stage"], told["percent"], told["counts"]) == ("progress", "reading", 70.0, {"entries": 7})
    assert progress.look() == []
    house.refresher.refresh(run, house.sources.get(1))
    (event,) = progress.look()
    told = event.data
    assert (event.kind, told["status"], told["percent"]) == ("finished", "success", 100.0)
    assert site.client.get("/api/v1/progress").get_json()["items"] == [told]
    house.clock.s += 301
    assert progress.look() == []


def test_the_events_begin_with_a_snapshot(site: Browsed) -> None:
    site.house.add(site.house.put(playlist(["A"])))
    site.house.refresh()
    answer = site.client.get("/api/v1/progress/events", buffered=False)
    pieces = answer.iter_encoded()
    text = (next(pieces) + next(pieces)).decode()
    assert "event: snapshot" in text
    assert '"id":"refresh-1"' in text
    answer.close()


def test_what_stood_in_the_snapshot_is_told_again_only_when_it_changes(site: Browsed) -> None:
    site.house.add(site.house.put(playlist(["A"])))
    site.house.refresh()
    progress = site.sourcing.progress
    (snapshot,) = progress.first()
    assert snapshot.kind == "snapshot"
    assert progress.look() == []


def test_a_refresh_that_is_cancelled_while_it_runs_changes_nothing(house: House) -> None:
    house.add(house.put(playlist(["A"])))
    house.refresh()
    house.put(playlist(["A", "B"]))
    run = house.runs.enqueue(1, reason="manual")
    house.runs.start(run.id)
    house.runs.cancel(run.id)
    assert house.refresher.refresh(run, house.sources.get(1)) == "cancelled"
    assert list(house.streams()) == ["A"]
    assert house.events.kinds == []


def test_a_panels_guide_is_shown_and_looked_for_again(house: House, client: FlaskClient) -> None:
    house.add("http://h", type="xtream", username="u", password="p")
    assert client.get("/api/v1/sources/1/guide").get_json()["state"] == "waiting"
    assert client.post("/api/v1/sources/1/guide").status_code == 202
    house.sources.update(1, {"auto_epg": False})
    assert client.get("/api/v1/sources/1/guide").get_json()["state"] == "off"
    house.add("x.m3u", name="list")
    assert client.get("/api/v1/sources/2/guide").status_code == 409
