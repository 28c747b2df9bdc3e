"""Lineups over HTTP: made, changed, looked at, built and forgotten."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stream.sourcekit import playlist
from tests.stream.test_stream_api import Site

LINEUPS = "/api/v1/lineups"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.house.connections.close()


def filled(site: Site, *names: str) -> None:
    house = site.house
    house.add(house.put(playlist(names)))
    house.refresh()
    house.build()


def test_a_lineup_is_made_shown_changed_and_forgotten(site: Site) -> None:
    filled(site, "A")
    made = site.client.post(LINEUPS, json={"name": "kids", "title": "For the kids", "sources": [1], "tuner_count": 3})
    assert made.status_code == 201
    told = made.get_json()
    assert (told["name"], told["title"], told["sources"], told["status"]) == ("kids", "For the kids", [1], "waiting")
    assert told["playlist_url"] == "http://localhost/lineups/kids/playlist.m3u"
    assert told["hdhr_url"] == "http://localhost/hdhr/kids"
    numbering = {"numbering": {"mode": "group", "range_size": 50}}
    changed = site.client.put(f"{LINEUPS}/kids", json={**numbering, "sources": None}).get_json()
    assert changed["numbering"] == {"mode": "group", "first": 1, "range_size": 50}
    assert (changed["sources"], changed["title"], changed["tuner_count"]) == (None, "For the kids", 3)
    site.house.build("kids")
    assert site.client.get(f"{LINEUPS}/kids").get_json()["channels"] == 1
    assert [one["name"] for one in site.client.get(LINEUPS).get_json()["items"]] == ["default", "kids"]
    assert site.client.delete(f"{LINEUPS}/kids").status_code == 204
    assert site.client.get(f"{LINEUPS}/kids").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param({"name": "default"}, 409, id="the name is taken"),
        pytest.param({"name": ".."}, 400, id="no name for a directory"),
        pytest.param({"name": "x", "sources": [9]}, 404, id="a source that is not there"),
        pytest.param({"name": "x", "sources": [1, 1]}, 400, id="a source twice"),
        pytest.param({"name": "x", "merge": "maybe"}, 400, id="a way of merging that is not there"),
        pytest.param({"name": "x", "merge_rules": ["channel_nam equals 1"]}, 400, id="a rule with a fault"),
        pytest.param({"name": "x", "merge_rules": ['channel_name = "x"']}, 400, id="a rule with an action"),
        pytest.param({"name": "x", "numbering": {"first": 0}}, 400, id="a number that is none"),
        pytest.param({"name": "x", "delivery": "teleport"}, 400, id="a delivery that is not there"),
        pytest.param({"name": "x", "colour": "red"}, 400, id="a word that means nothing"),
        pytest.param({}, 400, id="nothing"),
    ],
)
def test_a_lineup_that_cannot_be_is_refused(site: Site, body: dict[str, Any], status: int) -> None:
    answer = site.client.post(LINEUPS, json=body)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"


def test_the_default_lineup_cannot_be_forgotten(site: Site) -> None:
    assert site.client.delete(f"{LINEUPS}/default").status_code == 409


def test_channels_are_set_shown_and_let_go(site: Site) -> None:
    filled(site, "A", "B")
    place = f"{LINEUPS}/default/channels"
    assert site.client.put(f"{place}/A", json={"number": "007", "name": "Bond", "order": 1}).status_code == 200
    site.house.build()
    items = site.client.get(f"{place}?sort=order").get_json()["items"]
    assert [(one["id"], one["number"], one["name"]) for one in items] == [("A", "7", "Bond"), ("B", "2", "B")]
    assert items[0]["set"] == {"number": "7", "name": "Bond", "order": 1}
    assert items[1]["set"] is None
    taken = site.client.put(f"{place}/B", json={"number": "7"})
    assert taken.status_code == 409
    assert "Bond" in taken.get_json()["detail"]
    assert site.client.delete(f"{place}/A").status_code == 204
    site.house.build()
    assert site.client.get(f"{place}/A").get_json()["number"] == "1"
    assert site.client.put(f"{place}/none", json={"name": "x"}).status_code == 404
    assert site.client.put(f"{place}/A", json={"number": "-1"}).status_code == 400


def test_channels_come_in_pages_and_groups_with_counts(site: Site) -> None:
    house = site.house
    house.add(house.put(playlist([{"name": f"C{n}", "group-title": "odd" if n % 2 else "even"} for n in range(7)])))
    house.refresh()
    house.build()
    found, cursor = [], ""
    while True:
        page = site.client.get(f"{LINEUPS}/default/channels?limit=3&group=odd&sort=name{cursor}").get_json()
        found += [one["name"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == ["C1", "C3", "C5"]
    groups = site.client.get(f"{LINEUPS}/default/groups").get_json()["items"]
    assert groups == [{"name": "even", "channels": 4}, {"name": "odd", "channels": 3}]
    for cursor in ("x", "W10", "WzEsMiwzLDRd", "bnVsbA"):
        assert site.client.get(f"{LINEUPS}/default/channels?cursor={cursor}").status_code == 400


def test_builds_are_asked_for_and_shown(site: Site) -> None:
    filled(site, "A")
    asked = site.client.post(f"{LINEUPS}/default/build")
    assert asked.status_code == 202
    assert asked.get_json()["build"]["status"] == "queued"
    site.house.build()
    done, first = site.client.get(f"{LINEUPS}/default/builds").get_json()["items"]
    assert (done["id"], done["status"], done["reason"], done["channels"]) == (
        asked.get_json()["build"]["id"], "success", "manual", 1,
    )  # fmt: skip
    assert done["stages"]["load"]["streams"] == 1
    assert first["reason"] == "change"
    page = site.client.get(f"{LINEUPS}/default/builds?limit=1").get_json()
    assert len(page["items"]) == 1
    assert site.client.get(f"{LINEUPS}/default/builds?cursor={page['next']}").get_json()["items"] == [first]


def test_a_lineup_without_m3u_has_no_playlist(site: Site) -> None:
    filled(site, "A")
    site.client.put(f"{LINEUPS}/default", json={"outputs": ["hdhr"]})
    site.house.build()
    assert site.client.get("/playlist.m3u").status_code == 404
    assert site.client.get(f"{LINEUPS}/default").get_json()["playlist_url"] is None
    site.client.put(f"{LINEUPS}/default", json={"outputs": ["m3u", "hdhr", "xtream"]})
    site.house.build()
    assert site.client.get("/playlist.m3u").status_code == 200


def test_the_providers_guide_ids_are_written_for_people_with_another_guide(site: Site) -> None:
    house = site.house
    house.add(house.put(playlist([{"name": "A", "tvg-id": "A b.uk", "catchup": "xc", "tvg-shift": "1"}])))
    house.refresh()
    house.build()
    assert b'tvg-id="A-b.uk"' in site.client.get("/playlist.m3u").data
    site.client.put(f"{LINEUPS}/default", json={"tvg_id": "source", "catchup": False})
    house.build()
    text = site.client.get("/playlist.m3u").data
    assert b'tvg-id="A b.uk"' in text and b'tvg-shift="1"' in text and b"catchup" not in text
    assert b"/stream/A-b.uk.ts\n" in text


def test_a_playlist_that_did_not_change_is_not_sent_again(site: Site) -> None:
    filled(site, "A")
    first = site.client.get("/playlist.m3u")
    site.house.build()
    again = site.client.get("/playlist.m3u", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    head = site.client.head("/playlist.m3u")
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", first.headers["ETag"])
