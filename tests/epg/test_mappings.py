"""What people decide of channels: names, hiding, shifts, mappings, merges, splits, pins; imports undo none of it."""

import json
import re
import runpy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from epg_service.domain.entities import LineupChannel
from epg_service.store import mappings as mappings_store
from epg_service.store.channels import ChannelBook
from servicekit.clock import iso
from servicekit.store.sqlite import writing
from tests.epg.guidekit import HOUR, HeldClock, Show, Station, guide_of, hourly, sqlite

SECRET = "s3cret-of-the-house"


class Site(Station):
    """A station with the web application over it."""

    def client(self) -> Any:
        return runpy.run_module("epg_service.wsgi")["app"].test_client()

    def look(self) -> None:
        """What the keeper does at its next look."""
        self.keeper().work_off()

    def published(self, address: str = "/guide.xml") -> str:
        return str(self.client().get(address, buffered=True).get_data(as_text=True))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path, clock=HeldClock(int(time.time())))
    monkeypatch.setenv("AERIAL_CONFIG", str(made.file))
    monkeypatch.setenv("AERIAL_INTERNAL_SECRET", SECRET)
    yield made
    made.close()


@pytest.fixture
def two(site: Site) -> Site:
    """Two providers: A with bbc1 and itv, B with its own bbc1 under another id."""
    start = site.clock.now_s() // HOUR * HOUR
    a, b = site.provider("a"), site.provider("b", priority=-1)
    site.take(
        guide_of(hourly("bbc1", start, 6, "A") + hourly("itv", start, 6, "A"), {"bbc1": "BBC One", "itv": "ITV"}), a
    )
    site.take(guide_of(hourly("BBC-ONE", start, 12, "B"), {"BBC-ONE": "BBC 1"}), b)
    return site


def mapping_of(client: Any, provider_channel_id: str) -> dict[str, Any]:
    items = client.get("/api/v1/mappings").get_json()["items"]
    return next(one for one in items if one["provider_channel_id"] == provider_channel_id)


def shown(client: Any) -> dict[str, str]:
    return {one["name"]: one["display_name"] for one in client.get("/api/v1/channels").get_json()}


def send(site: Site, *channels: LineupChannel, name: str = "default", digest: str = "one") -> None:
    site.it.lineups.put(name, digest, channels, {})


def matches(client: Any, query: str = "", name: str = "default") -> list[dict[str, Any]]:
    answer = client.get(f"/api/v1/lineups/{name}/matches{query}").get_json()
    return list(answer["items"])


# ---- mappings --------------------------------------------------------------------------------------------------------


def test_every_mapping_says_how_it_was_decided(two: Site) -> None:
    client = two.client()
    answer = client.get("/api/v1/mappings").get_json()
    assert [(one["provider"], one["provider_channel_id"], one["channel_name"]) for one in answer["items"]] == [
        ("a", "bbc1", "bbc1"),
        ("a", "itv", "itv"),
        ("b", "BBC-ONE", "BBC-ONE"),
    ]
    assert all(one["how"].startswith("new: ") for one in answer["items"])
    assert answer["next"] is None
    provider = answer["items"][2]["provider_id"]
    assert len(client.get(f"/api/v1/mappings?provider_id={provider}").get_json()["items"]) == 1
    assert len(client.get(f"/api/v1/mappings?channel_id={two.channel_id('itv')}").get_json()["items"]) == 1
    assert len(client.get("/api/v1/mappings?limit=2").get_json()["items"]) == 2


def test_a_mapping_by_hand_stands_through_imports_and_its_programmes_follow(two: Site) -> None:
    client, target = two.client(), two.channel_id("bbc1")
    mapping = mapping_of(client, "BBC-ONE")
    body = {"provider_id": mapping["provider_id"], "provider_channel_id": "BBC-ONE", "channel_id": target}
    made = client.post("/api/v1/mappings", json=body).get_json()
    assert (made["channel_id"], made["how"]) == (target, "by hand: mapped, from 'BBC-ONE'")
    assert "BBC-ONE" not in shown(client)
    titles = [one.title for one in two.listings("bbc1")]
    assert titles[0].startswith("A ") and titles[-1].startswith("B ") and len(titles) == 12
    two.look()
    assert {row[0] for row in sqlite(two.paths.database, "SELECT DISTINCT channel_id FROM programs")} == {
        str(target),
        str(two.channel_id("itv")),
    }
    provider = two.it.providers.named("b")
    start = two.clock.now_s() // HOUR * HOUR
    two.take(guide_of(hourly("BBC-ONE", start, 13, "C"), {"BBC-ONE": "BBC 1 renamed"}), provider)
    assert mapping_of(client, "BBC-ONE")["channel_id"] == target
    assert shown(client) == {"bbc1": "BBC One", "itv": "ITV"}


def test_programmes_of_a_moved_mapping_follow_in_steps(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings_store, "STEP_ROWS", 5)
    target = two.channel_id("bbc1")
    two.it.mappings.merge(target, [two.channel_id("BBC-ONE")])
    assert list(two.it.mappings.follow()) == [5, 5, 2]
    assert list(two.it.mappings.follow()) == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"provider_channel_id": "no such"}, 404, "never had a channel 'no such'"),
        ({"channel_id": 999}, 404, "there is no channel 999"),
        ({"provider_id": 999}, 404, "provider 999 never had"),
        ({"channel_id": "x"}, 400, "channel_id"),
    ],
    ids=["channel of provider", "channel", "provider", "no number"],
)
def test_a_mapping_to_nowhere_is_refused(two: Site, body: dict[str, Any], status: int, words: str) -> None:
    client = two.client()
    mapping = mapping_of(client, "BBC-ONE")
    whole = {"provider_id": mapping["provider_id"], "provider_channel_id": "BBC-ONE", "channel_id": 1, **body}
    answer = client.post("/api/v1/mappings", json=whole)
    assert answer.status_code == status
    assert words in json.dumps(answer.get_json())


def test_a_shift_of_one_providers_channel_moves_its_times_alone(two: Site) -> None:
    client, mapping = two.client(), mapping_of(two.client(), "itv")
    before = two.listings("itv")[0].start_s
    body = {key: mapping[key] for key in ("provider_id", "provider_channel_id", "channel_id")}
    made = client.post("/api/v1/mappings", json={**body, "shift_minutes": 30}).get_json()
    assert (made["shift_minutes"], made["how"]) == (30, mapping["how"])
    assert two.listings("itv")[0].start_s == before + 1800
    assert two.listings("bbc1")[0].start_s == before


def test_an_import_sees_what_people_decide_while_it_is_applied(two: Site) -> None:
    provider = two.provider("late")
    connection = two.it.connections.get()
    book = ChannelBook(connection, provider_id=provider.id, provider_name="late", now_s=two.clock.now_s())
    with writing(connection):
        assert book.mapping("first", "First", None).channel_id
    target = two.channel_id("bbc1")
    two.it.mappings.merge(target, [two.channel_id("BBC-ONE")])
    with writing(connection):
        joined = book.mapping("BBC-ONE", "BBC One", None)
    assert (joined.channel_id, joined.how) == (target, "same id and name")


# ---- merge and split -------------------------------------------------------------------------------------------------


def test_merged_channels_are_one_and_can_be_split_again(two: Site) -> None:
    client, target, other = two.client(), two.channel_id("bbc1"), two.channel_id("BBC-ONE")
    assert client.post(f"/api/v1/channels/{target}/merge", json={"channel_ids": [other]}).get_json()["id"] == target
    assert client.get(f"/api/v1/channels/{other}").status_code == 404
    assert mapping_of(client, "BBC-ONE")["how"] == "by hand: merged, from 'BBC-ONE'"
    answer = client.post(
        f"/api/v1/channels/{target}/split", json={"mapping_ids": [mapping_of(client, "BBC-ONE")["id"]]}
    )
    made = answer.get_json()
    assert answer.status_code == 201
    assert (made["name"], made["display_name"]) == ("BBC-ONE", "BBC 1")
    assert mapping_of(client, "BBC-ONE")["channel_id"] == made["id"]
    assert {one.title[0] for one in two.listings("BBC-ONE")} == {"B"}
    assert {one.title[0] for one in two.listings("bbc1")} == {"A"}


def test_a_split_channel_takes_a_free_name(site: Site) -> None:
    start = site.clock.now_s() // HOUR * HOUR
    a, b = site.provider("a"), site.provider("b")
    for provider in (a, b):
        site.take(guide_of(hourly("x1", start, 3), {"x1": "Same"}), provider)
    channel = site.channel_id("x1")
    joined = [one.id for one in site.it.mappings.all(channel_id=channel)]
    assert len(joined) == 2
    assert site.it.mappings.split(channel, joined[1:]).name == "x1@b"


def test_a_third_provider_joins_what_was_merged(two: Site) -> None:
    start = two.clock.now_s() // HOUR * HOUR
    target = two.channel_id("bbc1")
    two.it.mappings.merge(target, [two.channel_id("BBC-ONE")])
    two.take(guide_of(hourly("BBC-ONE", start, 2), {"BBC-ONE": "BBC One HD"}), two.provider("c"))
    assert [one.how for one in two.it.mappings.all(channel_id=target)][-1] == "same id and name"


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("merge", {"channel_ids": [1]}, 400),
        ("merge", {"channel_ids": [999]}, 404),
        ("merge", {"channel_ids": []}, 400),
        ("split", {"mapping_ids": [1]}, 400),
        ("split", {"mapping_ids": [2]}, 404),
        ("split", {}, 400),
    ],
    ids=["with itself", "unknown", "nothing", "all of it", "another's", "no body"],
)
def test_a_merge_or_split_that_makes_no_sense_is_refused(
    two: Site, call: str, body: dict[str, Any], status: int
) -> None:
    client = two.client()
    assert client.post(f"/api/v1/channels/1/{call}", json=body).status_code == status
    assert len(shown(client)) == 3


# ---- names, hiding, shifts -------------------------------------------------------------------------------------------


def test_a_name_and_an_icon_by_hand_survive_imports_and_can_be_given_back(two: Site) -> None:
    client, channel = two.client(), two.channel_id("bbc1")
    own = {"display_name": "The Beeb", "icon_url": "http://icons.example/bbc.png"}
    answer = client.put(f"/api/v1/channels/{channel}", json=own).get_json()
    assert {key: answer[key] for key in own} == own
    start = two.clock.now_s() // HOUR * HOUR
    two.take(guide_of(hourly("bbc1", start, 9, "N"), {"bbc1": "BBC One London"}), two.it.providers.named("a"))
    assert shown(client)["bbc1"] == "The Beeb"
    two.look()
    assert "The Beeb" in two.published()
    client.put(f"/api/v1/channels/{channel}", json={"display_name": None, "icon_url": None})
    assert client.get(f"/api/v1/channels/{channel}").get_json()["display_name"] == "BBC One London"


def test_a_hidden_channel_leaves_lists_and_published_guides_until_it_is_shown_again(two: Site) -> None:
    client, channel = two.client(), two.channel_id("itv")
    send(two, LineupChannel("c1", "ITV", "itv"))
    two.look()
    assert matches(client)[0]["guide_name"] == "itv"
    client.put(f"/api/v1/channels/{channel}", json={"hidden": True})
    two.take(two.paths.import_dir.joinpath("a.xml").read_bytes() + b"\n", two.it.providers.named("a"))
    two.look()
    assert "itv" not in shown(client)
    assert [one["name"] for one in client.get("/api/v1/channels?hidden=true").get_json()] == ["itv"]
    assert 'id="itv"' not in two.published()
    assert matches(client)[0]["channel_id"] is None
    client.put(f"/api/v1/channels/{channel}", json={"hidden": False})
    two.look()
    assert 'id="itv"' in two.published()
    assert matches(client)[0]["guide_name"] == "itv"


def test_a_shift_moves_what_is_asked_and_published(two: Site) -> None:
    client, channel = two.client(), two.channel_id("itv")
    start = two.listings("itv")[0].start_s
    client.put(f"/api/v1/channels/{channel}", json={"shift_minutes": -60})
    query = f"?start={iso(start - HOUR)}&end={iso(start)}"
    found = client.get(f"/api/v1/channels/{channel}/programs{query}").get_json()
    assert [(one["start_time"], one["end_time"]) for one in found] == [(iso(start - HOUR), iso(start))]
    two.look()
    stamp = time.strftime("%Y%m%d%H%M%S +0000", time.gmtime(start - HOUR))
    assert f'start="{stamp}"' in two.published()


def test_another_order_of_providers_is_published_without_an_import(two: Site) -> None:
    client = two.client()
    b = two.it.providers.named("b")
    assert b is not None
    client.post(f"/api/v1/channels/{two.channel_id('bbc1')}/merge", json={"channel_ids": [two.channel_id("BBC-ONE")]})
    two.look()

    def first() -> str:
        return re.findall(r'channel="bbc1"><title>([AB]).*?<', two.published("/epg.xml"))[0]

    assert first() == "A"
    assert client.put(f"/api/v1/providers/{b.id}", json={"priority": 5}).status_code == 200
    two.look()
    assert first() == "B"
    client.put(f"/api/v1/providers/{b.id}", json={"priority": 5, "name": "B"})
    assert two.it.mappings.waiting() is None


@pytest.mark.parametrize(
    "body",
    [{"hidden": None}, {"shift_minutes": None}, {"shift_minutes": 10**6}, {"display_name": ""}, {"colour": "red"}],
    ids=["hidden null", "shift null", "shift far", "empty name", "unknown key"],
)
def test_a_change_that_makes_no_sense_is_refused(two: Site, body: dict[str, Any]) -> None:
    assert two.client().put("/api/v1/channels/1", json=body).status_code == 400


# ---- matches ---------------------------------------------------------------------------------------------------------


def test_the_matches_of_a_lineup_are_shown_with_how_they_came_about(two: Site) -> None:
    send(
        two,
        LineupChannel("c1", "BBC One HD", "BBC1"),
        LineupChannel("c2", "UK: I.T.V", None),
        LineupChannel("c3", "ITV +1"),
        LineupChannel("c4", "Something else", group="News"),
    )
    two.look()
    client = two.client()
    found = matches(client)
    assert [(one["id"], one["guide_name"], one["method"], one["score"], one["shift_minutes"]) for one in found] == [
        ("c1", "bbc1", "id", 99.0, 0),
        ("c2", "itv", "name", 94.0, 0),
        ("c3", "itv", "name", 95.0, 60),
        ("c4", None, None, None, 0),
    ]
    assert [one["id"] for one in matches(client, "?method=name")] == ["c2", "c3"]
    assert [one["id"] for one in matches(client, "?unmatched=1")] == ["c4"]
    page = client.get("/api/v1/lineups/default/matches?limit=3").get_json()
    assert [one["id"] for one in matches(client, f"?limit=3&cursor={page['next']}")] == ["c4"]
    lineup = client.get("/api/v1/lineups").get_json()["items"][0]
    assert (lineup["name"], lineup["channels"], lineup["methods"]) == ("default", 4, {"none": 1, "id": 1, "name": 2})


def test_a_channel_an_hour_later_publishes_the_base_channels_guide_an_hour_later(two: Site) -> None:
    send(two, LineupChannel("plus", "ITV +1"))
    two.look()
    first = two.listings("itv")[0]
    stamp = time.strftime("%Y%m%d%H%M%S +0000", time.gmtime(first.start_s + HOUR))
    assert f'start="{stamp}"' in two.published("/lineups/default/epg.xml")


def test_a_wrong_match_is_undone_by_one_call_and_stays_so(two: Site) -> None:
    client = two.client()
    send(two, LineupChannel("c1", "BBC One", "bbc1"), LineupChannel("c2", "ITV", "itv"))
    two.look()
    wanted = two.channel_id("BBC-ONE")
    answer = client.put("/api/v1/lineups/default/matches/c1", json={"channel_id": wanted})
    assert answer.status_code == 200
    told = {key: answer.get_json()[key] for key in ("channel_id", "method", "score", "shift_minutes", "pinned")}
    assert told == {"channel_id": wanted, "method": "pin", "score": 100.0, "shift_minutes": 0, "pinned": True}
    assert client.put("/api/v1/lineups/default/matches/c2", json={"channel_id": None}).status_code == 200
    two.look()
    expected = [("c1", "BBC-ONE", "pin", True), ("c2", None, "pin", True)]
    assert [(m["id"], m["guide_name"], m["method"], m["pinned"]) for m in matches(client)] == expected
    text = two.published("/lineups/default/epg.xml")
    assert ">B BBC-ONE" in text and "A itv" not in text
    assert matches(client)[0]["runners_up"][0]["name"] == "bbc1"
    send(two, LineupChannel("c1", "BBC One", "bbc1"), LineupChannel("c2", "ITV", "itv"), digest="two")
    two.look()
    assert [(m["id"], m["guide_name"], m["method"], m["pinned"]) for m in matches(client)] == expected
    assert client.delete("/api/v1/lineups/default/matches/c1").status_code == 200
    two.look()
    assert [m["guide_name"] for m in matches(client)] == ["bbc1", None]


def test_a_pin_follows_a_merge_and_waits_for_a_provider_that_comes_back(two: Site) -> None:
    client = two.client()
    send(two, LineupChannel("c1", "Anything"))
    client.put("/api/v1/lineups/default/matches/c1", json={"channel_id": two.channel_id("BBC-ONE")})
    client.post(f"/api/v1/channels/{two.channel_id('itv')}/merge", json={"channel_ids": [two.channel_id("BBC-ONE")]})
    two.look()
    assert matches(client)[0]["guide_name"] == "itv"
    for name in ("a", "b"):
        provider = two.it.providers.named(name)
        assert provider is not None
        two.it.providers.delete(provider.id)
    two.look()
    assert matches(client)[0]["channel_id"] is None
    start = two.clock.now_s() // HOUR * HOUR
    two.take(guide_of(hourly("itv", start, 3), {"itv": "ITV"}), two.provider("again"))
    two.look()
    two.it.lineups.put("default", "two", [LineupChannel("c1", "Anything")], {})
    two.look()
    assert (matches(client)[0]["guide_name"], matches(client)[0]["method"]) == ("itv", "pin")


@pytest.mark.parametrize(
    ("method", "address", "body", "status"),
    [
        ("put", "/api/v1/lineups/none/matches/c1", {"channel_id": 1}, 404),
        ("put", "/api/v1/lineups/default/matches/none", {"channel_id": 1}, 404),
        ("put", "/api/v1/lineups/default/matches/c1", {"channel_id": 999}, 404),
        ("put", "/api/v1/lineups/default/matches/c1", {}, 400),
        ("delete", "/api/v1/lineups/default/matches/c1", None, 404),
        ("get", "/api/v1/lineups/none/matches", None, 404),
        ("get", "/api/v1/lineups/default/matches?method=luck", None, 400),
        ("get", "/api/v1/lineups/default/matches/none", None, 404),
    ],
)
def test_pins_on_what_is_not_there_are_refused(
    two: Site, method: str, address: str, body: dict[str, Any] | None, status: int
) -> None:
    send(two, LineupChannel("c1", "BBC One", "bbc1"))
    options = {"json": body} if body is not None else {}
    assert getattr(two.client(), method)(address, **options).status_code == status


def test_matches_stay_as_they_are_while_nothing_they_were_decided_from_changes(two: Site) -> None:
    send(two, LineupChannel("c1", "BBC One", "bbc1"), LineupChannel("c2", "ITV"))
    two.look()
    lineup = two.it.lineups.get("default")
    start = two.clock.now_s() // HOUR * HOUR
    two.clock.at += 10
    two.take(
        guide_of(hourly("bbc1", start, 5, "N") + hourly("itv", start, 5, "N"), {"bbc1": "BBC One", "itv": "ITV"}),
        two.it.providers.named("a"),
    )
    two.keeper()._publications.everything()
    assert two.it.lineups.get("default") == lineup
    two.take(
        guide_of([Show("itv", start, start + HOUR, "x")], {"itv": "ITV London", "bbc1": "BBC One"}),
        two.it.providers.named("a"),
        force=True,
    )
    two.keeper()._publications.everything()
    assert two.it.lineups.get("default").basis != lineup.basis


def test_every_display_name_of_every_provider_counts(site: Site) -> None:
    start = site.clock.now_s() // HOUR * HOUR
    text = guide_of(hourly("0017", start, 2), {"0017": "Kanal 17"}).replace(
        b"</display-name>", b"</display-name><display-name>17</display-name><display-name>Stadt-TV</display-name>"
    )
    site.take(text, site.provider("a"))
    send(site, LineupChannel("c1", "STADT TV HD"), LineupChannel("c2", "17"))
    site.look()
    assert [(one["guide_name"], one["method"]) for one in matches(site.client())] == [("0017", "name"), (None, None)]
