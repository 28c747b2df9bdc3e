"""Sources over HTTP: panels, channels typed by hand, uploads; what is taken, refused and never shown."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stream.panelkit import PASSWORD, USER, FakePanel
from tests.stream.test_stream_api import Site

XTREAM = {"name": "P", "type": "xtream", "url": "http://h:8080", "username": "u", "password": PASSWORD}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.house.connections.close()


def test_a_panel_is_added_and_its_password_is_never_shown(site: Site) -> None:
    answer = site.client.post("/api/v1/sources", json=XTREAM)
    assert answer.status_code == 201
    made = answer.get_json()
    assert (made["username"], made["has_password"], made["account"]["status"]) == ("u", True, "unknown")
    shown = [made, site.client.get("/api/v1/sources").get_json(), site.client.get("/api/v1/sources/1").get_json()]
    assert PASSWORD not in json.dumps(shown)


def test_a_pasted_address_is_taken_apart(site: Site) -> None:
    pasted = "https://panel.example:8443/sub/get.php?username=me&password=S3CR3T-xyz&type=m3u_plus"
    made = site.client.post("/api/v1/sources", json={"name": "P", "type": "xtream", "url": pasted}).get_json()
    assert (made["url"], made["username"]) == ("https://panel.example:8443/sub", "me")
    assert site.house.sources.get(1).password == "S3CR3T-xyz"
    assert "S3CR3T" not in json.dumps(made)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(XTREAM | {"password": None}, "password", id="no password"),
        pytest.param(XTREAM | {"url": "list.m3u"}, "http", id="a file for a panel"),
        pytest.param(XTREAM | {"backup_urls": ["ftp://x/"]}, "http", id="a backup that is no address"),
        pytest.param(XTREAM | {"type": "m3u"}, "only sources of type xtream", id="a login for a list"),
        pytest.param(XTREAM | {"options": {"radio": True}}, "radio", id="an option that is none"),
    ],
)
def test_a_panel_that_cannot_be_is_refused(site: Site, body: dict[str, object], says: str) -> None:
    answer = site.client.post("/api/v1/sources", json=body)
    assert (answer.status_code, says in answer.get_json()["detail"]) == (400, True)
    assert PASSWORD not in answer.text


def test_a_new_password_is_enough_to_change_one_and_the_next_refresh_reads_all(site: Site) -> None:
    with FakePanel() as panel:
        site.client.post("/api/v1/sources", json=XTREAM | {"url": panel.base, "username": USER, "password": "wrong"})
        assert "refuses" in str(site.house.refresh().error_message)
        shown = site.client.get("/api/v1/sources/1").get_json()
        assert (shown["account"]["status"], shown["status"]) == ("refused", "rejected")
        assert site.client.put("/api/v1/sources/1", json={"password": PASSWORD}).status_code == 200
        assert site.house.refresh().status == "success"
        account = site.client.get("/api/v1/sources/1").get_json()["account"]
        assert (account["status"], account["max_connections"], account["expires_at"]) == (
            "active", 3, "2030-03-17T17:46:40Z",
        )  # fmt: skip


def test_a_queued_refresh_is_cancelled_and_a_foreign_run_is_not_found(site: Site) -> None:
    site.client.post("/api/v1/sources", json={"name": "A", "url": "a.m3u"})
    run = site.client.post("/api/v1/sources/1/refresh").get_json()
    answer = site.client.post(f"/api/v1/sources/1/runs/{run['id']}/cancel")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "cancelled")
    assert site.client.post(f"/api/v1/sources/2/runs/{run['id']}/cancel").status_code == 404
    assert site.client.get("/api/v1/sources/1/history").get_json()["items"][0]["status"] == "cancelled"
