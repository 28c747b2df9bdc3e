"""Guides of panels, which the stream service makes, changes with the login, and has imported."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from epg_service.stream_link import StreamLink
from servicekit.store.sqlite import writing
from tests.epg.guidekit import guide_of, hourly
from tests.epg.test_api import INTERNAL, THIS_HOUR, Site, client, site
from tests.providerkit import ScriptedProvider

__all__ = ["client", "site"]

LINK = {"key": "k1", "name": "Panel", "xmltv_url": "http://h:80/xmltv.php?username=u&password=S3CR3T-xyz"}


def put(client: FlaskClient, **changes: object) -> Any:
    return client.put("/internal/v1/providers/linked", json=LINK | changes, headers=INTERNAL)


def later(site: Site, seconds: int) -> None:
    """Let that time pass since every run there was."""
    with writing(site.it.connections.get()):
        site.it.connections.get().execute("UPDATE import_log SET queued_at = queued_at - ?", (seconds,))


def runs(client: FlaskClient) -> list[tuple[int, str]]:
    return [(run["provider_id"], run["reason"]) for run in client.get("/api/v1/import/status").json["runs"]]


def test_a_panels_guide_is_made_once_and_imported(client: FlaskClient) -> None:
    assert (put(client).status_code, put(client).json) == (201, {"provider_id": 1})
    (one,) = client.get("/api/v1/providers").json
    assert (one["name"], one["linked"], one["enabled"]) == ("Panel", True, True)
    assert runs(client) == [(1, "linked")]


def test_its_login_is_shown_to_nobody(client: FlaskClient) -> None:
    put(client)
    shown = client.get("/api/v1/providers").text + client.get("/api/v1/providers/1").text
    assert "S3CR3T" not in shown
    assert "xmltv.php" in shown


def test_a_new_login_follows_and_is_imported_at_once(client: FlaskClient) -> None:
    put(client)
    put(client, xmltv_url="http://h:80/xmltv.php?username=u&password=other")
    assert len(client.get("/api/v1/providers").json) == 1
    assert runs(client) == [(1, "linked"), (1, "linked")]


def test_its_address_is_changed_at_the_source_alone(client: FlaskClient) -> None:
    put(client)
    shown = client.get("/api/v1/providers/1").json["xmltv_url"]
    assert client.put("/api/v1/providers/1", json={"xmltv_url": shown, "priority": 3}).json["priority"] == 3
    refused = client.put("/api/v1/providers/1", json={"xmltv_url": "http://other/"})
    assert (refused.status_code, "source of the stream service" in refused.json["detail"]) == (409, True)
    put(client, enabled=False)
    assert client.get("/api/v1/providers/1").json["enabled"] is False


def test_a_guide_that_was_typed_before_is_taken_and_not_doubled(client: FlaskClient) -> None:
    client.post("/api/v1/providers", json={"name": "Mine", "xmltv_url": LINK["xmltv_url"]})
    assert put(client).json == {"provider_id": 1}
    assert [one["name"] for one in client.get("/api/v1/providers").json] == ["Mine"]


def test_a_name_that_is_taken_gets_a_number(client: FlaskClient) -> None:
    client.post("/api/v1/providers", json={"name": "panel", "xmltv_url": "http://else/"})
    put(client)
    assert [one["name"] for one in client.get("/api/v1/providers").json] == ["panel", "Panel (2)"]


def test_it_goes_with_its_source(client: FlaskClient) -> None:
    put(client)
    assert put(client, deleted=True).json == {"provider_id": None}
    assert put(client, deleted=True).status_code == 200
    assert client.get("/api/v1/providers").json == []


def test_an_import_is_asked_for_unless_there_was_one_within_the_grace(client: FlaskClient, site: Site) -> None:
    def asked() -> Any:
        return client.post("/internal/v1/providers/linked/import", json={"key": "k1"}, headers=INTERNAL)

    assert asked().status_code == 404
    site.lay(guide_of(hourly("x", THIS_HOUR, 3)), "panel.xml")
    put(client, xmltv_url="panel.xml")
    assert asked().json == {"run_id": None}
    site.keeper().work_off()
    later(site, 290)
    assert asked().json == {"run_id": None}
    later(site, 20)
    assert asked().json == {"run_id": 2}


@pytest.mark.parametrize(
    "body", [{}, {"key": ""}, {"key": "k", "xmltv_url": "ftp://h/"}], ids=["nothing", "no key", "ftp"]
)
def test_what_is_no_link_is_refused(client: FlaskClient, body: dict[str, object]) -> None:
    assert client.put("/internal/v1/providers/linked", json=body, headers=INTERNAL).status_code == 400


def test_only_the_other_service_may(client: FlaskClient) -> None:
    assert client.put("/internal/v1/providers/linked", json=LINK).status_code == 403


def test_an_import_by_hand_tells_whose_guide_it_was_and_one_for_the_source_does_not(
    client: FlaskClient, site: Site
) -> None:
    site.lay(guide_of(hourly("x", THIS_HOUR, 3)), "panel.xml")
    put(client, xmltv_url="panel.xml")
    told: list[tuple[str, ...]] = []
    keeper = site.keeper()
    keeper._imported = lambda *keys: told.append(keys)
    keeper.work_off()
    client.post("/api/v1/import/trigger", json={"provider_id": 1, "force": True})
    keeper.work_off()
    client.post("/api/v1/import/trigger", json={"provider_id": 1})
    keeper.work_off()
    assert told == [(), ("k1",), ("k1",)]


def test_the_notice_carries_the_keys() -> None:
    with ScriptedProvider() as stream:
        bodies: list[bytes] = []

        class Fetches:
            def open(self, url: str, *, body: bytes, **more: object) -> Any:
                bodies.append(body)
                return type("Closed", (), {"close": lambda self: None})()

        StreamLink(asking=Fetches(), stream_url=stream.url(""), secret="s").guide_imported("k1", "k2")
        assert json.loads(bodies[0]) == {"linked": ["k1", "k2"]}
