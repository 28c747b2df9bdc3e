"""The guide service's HTTP face: the app as gunicorn loads it, and once the whole service as a person starts it."""

import gzip
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
import pytest
from flask.testing import FlaskClient

from tests.epg.guidekit import DAY, HOUR, REPOSITORY, HeldClock, Show, Station, guide_of, hourly
from tests.providerkit import ScriptedProvider
from tests.waiting import until

SECRET = "s3cret-of-the-house"
INTERNAL = {"Aerial-Internal": "1", "Aerial-Secret": SECRET}
THIS_HOUR = int(time.time()) // HOUR * HOUR


class Reading(FlaskClient):
    """Reads every answer to its end, so that files are closed."""

    def open(self, *arguments: Any, **options: Any) -> Any:
        return super().open(*arguments, **{"buffered": True, **options})


class Site(Station):
    """A station with the web application over it."""

    def app(self) -> Any:
        app = runpy.run_module("epg_service.wsgi")["app"]
        app.test_client_class = Reading
        return app


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path, clock=HeldClock(int(time.time())))
    monkeypatch.setenv("AERIAL_CONFIG", str(made.file))
    monkeypatch.setenv("AERIAL_INTERNAL_SECRET", SECRET)
    yield made
    made.close()


@pytest.fixture
def client(site: Site) -> FlaskClient:
    found: FlaskClient = site.app().test_client()
    return found


def new(client: FlaskClient, name: str = "sample", **values: object) -> Any:
    return client.post("/api/v1/providers", json={"name": name, "xmltv_url": f"{name}.xml", **values})


def imported(site: Site, client: FlaskClient, data: bytes, name: str = "sample") -> Any:
    """Imports through the API, the keeper's work done in between; the run as the API tells it."""
    site.lay(data, f"{name}.xml")
    if not any(one["name"] == name for one in client.get("/api/v1/providers").json):
        new(client, name)
    triggered = client.post("/api/v1/import/trigger")
    assert triggered.status_code == 202
    site.keeper().work_off()
    run_id = triggered.json["runs"][-1]["id"]
    return next(run for run in client.get("/api/v1/import/status").json["runs"] if run["id"] == run_id)


def moment(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_problem(answer: Any, status: int) -> bool:
    body = json.loads(answer.data)
    return (
        answer.status_code == status == body["status"]
        and answer.content_type == "application/problem+json"
        and len(body["detail"]) > 5
        and bool(body["title"])
    )


# ---- providers -------------------------------------------------------------------------------------------------------


def test_a_provider_is_made_read_changed_and_deleted(client: FlaskClient) -> None:
    made = client.post("/api/v1/providers", json={"name": "Mine", "xmltv_url": "https://example.com/epg.xml"})
    assert made.status_code == 201
    body = made.json
    assert {key: body[key] for key in ("id", "name", "xmltv_url", "enabled")} == {
        "id": 1, "name": "Mine", "xmltv_url": "https://example.com/epg.xml", "enabled": True,
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["created_at"])
    assert client.get("/api/v1/providers").json == [body]
    assert client.get("/api/v1/providers/1").json == body
    changed = client.put(
        "/api/v1/providers/1",
        json={"name": "Yours", "xmltv_url": "https://example.com/b.xml", "enabled": False, "priority": 3,
              "schedule": "04:30", "default_timezone": "Europe/Berlin", "shift_minutes": -60, "retention_days": 3},
    )  # fmt: skip
    assert changed.status_code == 200
    assert (changed.json["name"], changed.json["enabled"], changed.json["schedule"]) == ("Yours", False, "04:30")
    cleared = client.put("/api/v1/providers/1", json={"schedule": None, "retention_days": None})
    assert (cleared.json["schedule"], cleared.json["retention_days"], cleared.json["priority"]) == (None, None, 3)
    assert client.delete("/api/v1/providers/1").status_code == 204
    assert client.get("/api/v1/providers").json == []
    assert is_problem(client.get("/api/v1/providers/1"), 404)
    assert is_problem(client.delete("/api/v1/providers/1"), 404)
    assert is_problem(client.put("/api/v1/providers/1", json={"name": "x"}), 404)


def test_adding_a_provider_imports_nothing(client: FlaskClient) -> None:
    assert new(client).status_code == 201
    assert client.get("/api/v1/import/status").json["runs"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"xmltv_url": "https://e.x/"},
        {"name": "", "xmltv_url": "https://e.x/"},
        {"name": "  ", "xmltv_url": "https://e.x/"},
        {"name": "a\nb", "xmltv_url": "https://e.x/"},
        {"name": "x" * 201, "xmltv_url": "https://e.x/"},
        {"name": 5, "xmltv_url": "https://e.x/"},
        {"name": "x", "xmltv_url": ""},
        {"name": "x", "xmltv_url": "ftp://e.x/"},
        {"name": "x", "xmltv_url": "file:///etc/passwd"},
        {"name": "x", "xmltv_url": "http://"},
        {"name": "x", "xmltv_url": "http://[::1"},
        {"name": "x", "xmltv_url": "http://e.x:99999/"},
        {"name": "x", "xmltv_url": "../config.yaml"},
        {"name": "x", "xmltv_url": "/etc/passwd"},
        {"name": "x", "xmltv_url": "."},
        {"name": "x", "xmltv_url": "a/../../b"},
        {"name": "x", "xmltv_url": "https://e.x/", "unknown": 1},
        {"name": "x", "xmltv_url": "https://e.x/", "priority": 10_000},
        {"name": "x", "xmltv_url": "https://e.x/", "default_timezone": "Mars/Olympus"},
        {"name": "x", "xmltv_url": "https://e.x/", "default_timezone": "../../etc/passwd"},
        {"name": "x", "xmltv_url": "https://e.x/", "schedule": "99:99"},
        {"name": "x", "xmltv_url": "https://e.x/", "schedule": "every day"},
        {"name": "x", "xmltv_url": "https://e.x/", "schedule": "0 0 31 2 *"},
        {"name": "x", "xmltv_url": "https://e.x/", "shift_minutes": 1e9},
        {"name": "x", "xmltv_url": "https://e.x/", "retention_days": -1},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_a_provider_that_cannot_be_is_refused_with_a_reason(client: FlaskClient, body: dict[str, object]) -> None:
    assert is_problem(client.post("/api/v1/providers", json=body), 400)
    assert client.get("/api/v1/providers").json == []


def test_a_name_that_is_taken_is_a_conflict(client: FlaskClient) -> None:
    new(client, "one")
    new(client, "two")
    assert is_problem(new(client, "ONE"), 409)
    assert is_problem(client.put("/api/v1/providers/2", json={"name": "one"}), 409)
    assert client.put("/api/v1/providers/1", json={"name": "One"}).status_code == 200


@pytest.mark.parametrize("address", ["http://[::1", "../x", "ftp://a.b/c"])
def test_an_address_that_cannot_be_is_refused_on_change_too(client: FlaskClient, address: str) -> None:
    new(client)
    assert is_problem(client.put("/api/v1/providers/1", json={"xmltv_url": address}), 400)
    assert is_problem(client.put("/api/v1/providers/1", json={"name": None}), 400)


def test_a_guide_can_be_uploaded(site: Site, client: FlaskClient) -> None:
    new(client, xmltv_url="https://example.com/none.xml")
    data = gzip.compress(guide_of(hourly("x", THIS_HOUR, 24)))
    sent = client.put("/api/v1/providers/1/file", data=data, content_type="application/gzip")
    assert (sent.status_code, sent.json["xmltv_url"]) == (200, "provider-1.xmltv")
    client.post("/api/v1/import/trigger", json={"provider_id": 1})
    site.keeper().work_off()
    assert client.get("/api/v1/import/status").json["runs"][0]["programs_imported"] == 24
    assert is_problem(client.put("/api/v1/providers/1/file", data=b""), 400)
    assert is_problem(client.put("/api/v1/providers/9/file", data=data), 404)
    assert (site.paths.import_dir / "provider-1.xmltv").read_bytes() == data


def test_a_large_upload_is_not_held_to_the_limit_of_json(site: Site, client: FlaskClient) -> None:
    new(client)
    data = guide_of(hourly("x", THIS_HOUR, 24)) + b"<!--" + b"x" * (2 << 20) + b"-->"
    assert client.put("/api/v1/providers/1/file", data=data).status_code == 200
    assert client.post("/api/v1/providers", data=data, content_type="application/json").status_code == 413


# ---- channels and programmes -----------------------------------------------------------------------------------------


def test_channels_are_listed_with_and_without_programmes(site: Site, client: FlaskClient) -> None:
    data = guide_of(hourly("one.tv", THIS_HOUR, 2), {"one.tv": "One", "two.tv": "Two"}).replace(
        b"</display-name></channel>", b'</display-name><icon src="https://e.x/1.png"/></channel>', 1
    )
    imported(site, client, data)
    listed = client.get("/api/v1/channels").json
    assert [{key: one[key] for key in ("id", "name", "display_name", "icon_url")} for one in listed] == [
        {"id": 1, "name": "one.tv", "display_name": "One", "icon_url": "https://e.x/1.png"},
        {"id": 2, "name": "two.tv", "display_name": "Two", "icon_url": None},
    ]
    assert client.get("/api/v1/channels/1").json == listed[0]
    for path in ("/api/v1/channels/99", "/api/v1/channels/99/programs", "/api/v1/channels/abc"):
        assert is_problem(client.get(path), 404)


FULL = (
    "<sub-title>Part</sub-title><desc>About</desc><credits><director>Dee</director><actor>Ann</actor><actor>Bob</actor>"
    '</credits><category>News</category><category>Live</category><icon src="https://e.x/p.png"/>'
    '<episode-num system="onscreen">S1E2</episode-num><rating><value>12</value></rating>'
)


def test_a_programme_has_the_founding_fields(site: Site, client: FlaskClient) -> None:
    imported(site, client, guide_of([Show("x", THIS_HOUR, THIS_HOUR + 3 * HOUR, "Title", FULL)]))
    (found,) = client.get("/api/v1/channels/1/programs").json
    assert found["id"] == (1 << 35) + (THIS_HOUR << 3)
    assert (found["actors"], found["directors"]) == ("Ann, Bob", "Dee")
    assert {key: found[key] for key in ("channel_id", "provider_id", "start_time", "end_time", "title", "subtitle",
                                        "description", "episode_num", "rating", "icon_url")} == {
        "channel_id": 1, "provider_id": 1, "start_time": moment(THIS_HOUR), "end_time": moment(THIS_HOUR + 3 * HOUR),
        "title": "Title", "subtitle": "Part", "description": "About", "episode_num": "S1E2", "rating": "12",
        "icon_url": "https://e.x/p.png",
    }  # fmt: skip
    assert "News" in str(found["category"])


def test_a_programme_without_a_title_is_shown_with_a_placeholder_as_in_the_published_guide(
    site: Site, client: FlaskClient
) -> None:
    run = imported(site, client, guide_of([Show("x", THIS_HOUR, THIS_HOUR + HOUR, "")]))
    assert run["notes"]["no_title"] == {
        "count": 1,
        "samples": [f"channel 'x', without a title, at {moment(THIS_HOUR)}"],
    }
    (found,) = client.get("/api/v1/channels/1/programs").json
    assert found["title"] == "No title"
    (entry,) = client.get("/api/v1/now").json["items"]
    assert entry["now"]["title"] == "No title"


def test_a_run_that_failed_or_waits_has_the_keys_of_one_that_succeeded(site: Site, client: FlaskClient) -> None:
    good = imported(site, client, guide_of(hourly("x", THIS_HOUR, 3)))
    assert good["changes"] == {"added": 3, "changed": 0, "removed": 0}
    bad = imported(site, client, b"<html/>")
    waiting = client.post("/api/v1/import/trigger").json["runs"][0]
    assert (good["status"], bad["status"], waiting["status"]) == ("success", "failed", "queued")
    assert set(good) == set(bad) == set(waiting)


def test_a_window_is_given_as_iso_times(site: Site, client: FlaskClient) -> None:
    imported(site, client, guide_of(hourly("x", THIS_HOUR - DAY, 96)))

    def starts(query: str) -> list[str]:
        answer = client.get(f"/api/v1/channels/1/programs?{query}")
        assert answer.status_code == 200, answer.text
        return [one["start_time"] for one in answer.json]

    in_two = [moment(THIS_HOUR), moment(THIS_HOUR + HOUR)]
    z = f"start={moment(THIS_HOUR)}&end={moment(THIS_HOUR + 2 * HOUR)}"
    assert starts(z) == in_two
    plain = z.replace("Z", "")
    assert starts(plain) == in_two, "no offset is UTC"
    assert starts(z.replace("Z", "+00:00")) == in_two, "a plus sign that the query string made a blank"
    assert starts(z.replace("Z", "%2B00:00")) == in_two
    assert starts(z.replace("Z", "-01:00")) == [moment(THIS_HOUR + HOUR), moment(THIS_HOUR + 2 * HOUR)]
    assert starts(plain.replace("T", "%20")) == in_two
    assert len(starts("")) in (24, 25), "from now for a day"
    assert starts(f"start={moment(THIS_HOUR)}")[0] == moment(THIS_HOUR)
    assert len(starts("start=1970-01-01&end=2100-01-01")) == 96


@pytest.mark.parametrize(
    "query",
    [
        "start=yesterday",
        "start=",
        "end=2026-13-01",
        "start=2026-01-02&end=2026-01-01",
        "start=2026-01-01&end=2026-01-01",
        "start=0001-01-01T00:00:00%2B14:00",
        "end=9999-12-31",
        "start=%C3%A4",
        "limit=0",
        "limit=x",
        "cursor=-1",
        "cursor=%F0%9D%9F%99",
        "what=this",
    ],
)
def test_a_window_that_is_none_is_refused(site: Site, client: FlaskClient, query: str) -> None:
    imported(site, client, guide_of(hourly("x", THIS_HOUR, 2)))
    assert is_problem(client.get(f"/api/v1/channels/1/programs?{query}"), 400)


def test_founding_lists_are_plain_and_whole_unless_they_are_cut(site: Site, client: FlaskClient) -> None:
    imported(site, client, guide_of(hourly("x", THIS_HOUR, 1), {f"c{n}": "" for n in range(7)} | {"x": "X"}))
    whole = client.get("/api/v1/channels")
    assert (len(whole.json), whole.headers["X-Total-Count"], whole.headers.get("Link")) == (8, "8", None)
    found: list[Any] = []
    path: str | None = "/api/v1/channels?limit=3"
    while path:
        page = client.get(path)
        assert page.headers["X-Total-Count"] == "8"
        found += page.json
        link = re.fullmatch(r'<http://localhost(/[^>]+)>; rel="next"', page.headers.get("Link", ""))
        path = link[1] if link else None
    assert found == whole.json


# ---- imports ---------------------------------------------------------------------------------------------------------


def test_a_trigger_queues_a_run_for_every_enabled_provider(client: FlaskClient) -> None:
    for name in ("a", "b", "c"):
        new(client, name)
    client.put("/api/v1/providers/2", json={"enabled": False})
    answer = client.post("/api/v1/import/trigger")
    assert answer.status_code == 202
    assert answer.json["message"] == "Import started"
    assert [(run["provider_id"], run["status"]) for run in answer.json["runs"]] == [(1, "queued"), (3, "queued")]
    again = client.post("/api/v1/import/trigger", json={"provider_id": 3, "force": True})
    assert [(run["id"], run["provider_id"], run["force"]) for run in again.json["runs"]] == [(3, 3, True)]
    assert client.post("/api/v1/import/trigger", json={}).status_code == 202
    status = client.get("/api/v1/import/status").json
    assert status["running"] is True
    assert [run["id"] for run in status["runs"]] == [5, 4, 3, 2, 1]
    assert is_problem(client.post("/api/v1/import/trigger", json={"provider_id": 2}), 409)
    assert is_problem(client.post("/api/v1/import/trigger", json={"provider_id": 9}), 404)
    assert is_problem(client.post("/api/v1/import/trigger", json={"provider_id": "x"}), 400)
    assert is_problem(client.post("/api/v1/import/trigger", json={"provider": 1}), 400)


def test_a_run_tells_what_it_took_and_what_it_lost(site: Site, client: FlaskClient) -> None:
    shows = hourly("x", THIS_HOUR, 24)
    run = imported(site, client, guide_of([*shows, shows[0], Show("x", 0, HOUR, "old")]))
    assert (run["status"], run["programs_imported"], run["programs_skipped"]) == ("success", 24, 2)
    assert {kind: one["count"] for kind, one in run["losses"].items()} == {"double": 1, "outside_retention_past": 1}
    assert all(one["samples"] for one in run["losses"].values())
    assert run["warnings"] == []
    assert run["error_message"] is None
    assert run["started_at"]
    assert run["completed_at"]
    assert client.get(f"/api/v1/import/{run['id']}").json == run
    failed = imported(site, client, b"<html><title>Log in</title></html>")
    assert (failed["status"], failed["programs_imported"]) == ("failed", 0)
    assert "HTML" in failed["error_message"]
    assert client.get("/api/v1/import/status?limit=1").json["runs"] == [failed]
    following = client.get(f"/api/v1/import/status?limit=1&cursor={failed['id']}").json
    assert following["runs"] == [run]
    assert client.get("/api/v1/import/status").json["running"] is False


def test_a_queued_run_can_be_cancelled_and_an_ended_one_not(client: FlaskClient) -> None:
    new(client)
    client.post("/api/v1/import/trigger")
    answer = client.post("/api/v1/import/1/cancel")
    assert (answer.status_code, answer.json["status"]) == (202, "cancelled")
    assert is_problem(client.post("/api/v1/import/1/cancel"), 409)
    assert is_problem(client.post("/api/v1/import/7/cancel"), 404)


def test_the_figures(site: Site, client: FlaskClient) -> None:
    empty = client.get("/api/v1/stats").json
    assert (empty["channels_with_epg"], empty["total_programs"], empty["oldest_program"], empty["last_update"]) == (
        0, 0, None, None,
    )  # fmt: skip
    imported(site, client, guide_of(hourly("x", THIS_HOUR, 5), {"x": "X", "y": "Y"}))
    stats = client.get("/api/v1/stats").json
    assert (stats["channels_with_epg"], stats["total_programs"]) == (1, 5)
    assert stats["oldest_program"] == moment(THIS_HOUR)
    assert stats["newest_program"] == moment(THIS_HOUR + 5 * HOUR)
    assert stats["last_update"]


# ---- manners ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v1/channels", 405),
        ("DELETE", "/api/v1/providers", 405),
        ("PUT", "/epg.xml", 405),
        ("GET", "/api/v1/import/trigger", 405),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/lineups/none/epg.xml", 404),
        ("GET", "/lineups/..%2f..%2fsecret/epg.xml", 404),
        ("GET", "/api/v1/providers/99999999999999999999", 400),
    ],
)
def test_what_is_not_there_is_told_as_a_problem(client: FlaskClient, method: str, path: str, status: int) -> None:
    assert is_problem(client.open(path, method=method), status)


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"name=x", "application/x-www-form-urlencoded", 415),
        (b"<x/>", "text/xml", 415),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b'{"name": "\\ud800", "xmltv_url": "a.xml"}', "application/json", 400),
        (b'{"name": "a\\u0000b", "xmltv_url": "a.xml"}', "application/json", 400),
    ],
)
def test_a_body_that_cannot_be_used_is_never_a_fault_of_ours(
    client: FlaskClient, data: bytes, kind: str, status: int
) -> None:
    assert is_problem(client.post("/api/v1/providers", data=data, content_type=kind), status)


def test_a_page_of_another_site_may_not_trigger(client: FlaskClient) -> None:
    assert is_problem(client.post("/api/v1/import/trigger", headers={"Sec-Fetch-Site": "cross-site"}), 403)
    assert client.post("/api/v1/import/trigger").status_code == 202


def test_a_locked_database_is_told_with_a_time_to_come_back(site: Site, client: FlaskClient) -> None:
    new(client)
    other = apsw.Connection(str(site.paths.database))
    other.execute("BEGIN IMMEDIATE")
    answer = client.post("/api/v1/import/trigger")
    assert is_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/api/v1/providers").status_code == 200, "readers go on"
    other.close()


def test_the_health_names_what_is_wrong(site: Site, client: FlaskClient) -> None:
    for path in ("/health", "/api/v1/health"):
        answer = client.get(path)
        assert (answer.status_code, answer.json["status"]) == (200, "degraded")
        assert any("keeper" in reason for reason in answer.json["reasons"])
    assert client.get("/live").status_code == 200
    assert is_problem(client.get("/ready"), 503)
    site.paths.heartbeat.write_text(str(os.getpid()))
    assert client.get("/health").json["status"] == "ok"
    assert client.get("/ready").status_code == 200
    imported(site, client, b"no guide")
    assert any("sample" in reason for reason in client.get("/health").json["reasons"])


def test_metrics_tell_of_the_guide(site: Site, client: FlaskClient) -> None:
    imported(site, client, guide_of(hourly("x", THIS_HOUR, 5)))
    text = client.get("/metrics").text
    assert re.search(r"^aerial_epg_programs 5\.0$", text, re.MULTILINE)
    assert re.search(r'^aerial_epg_run_imported\{provider="1"\} 5\.0$', text, re.MULTILINE)


def test_the_api_describes_itself(client: FlaskClient) -> None:
    described = client.get("/api/v1/openapi.json").json
    for path in ("/api/v1/providers", "/api/v1/channels/{channel_id}/programs", "/api/v1/import/trigger", "/epg.xml"):
        assert path in described["paths"]


XSS = "<script>alert(1)</script>"
BACKWARDS = "\u202e"


def test_the_start_page_shows_provider_text_as_text(site: Site, client: FlaskClient) -> None:
    new(client, XSS + BACKWARDS, xmltv_url="missing.xml")
    client.post("/api/v1/import/trigger")
    site.keeper().work_off()
    page = client.get("/")
    assert page.status_code == 200
    assert XSS not in page.text
    assert f"<bdi>&lt;script&gt;alert(1)&lt;/script&gt;{BACKWARDS}</bdi>" in page.text  # which turns nothing else round
    assert "/epg.xml" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


# ---- secrets ---------------------------------------------------------------------------------------------------------


def test_the_password_of_a_provider_stands_in_no_log_and_no_error(
    site: Site, client: FlaskClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with ScriptedProvider() as server:
        address = server.url("/get.php?username=joe&password=CANARY").replace("http://", "http://joe:CANARY@")
        new(client, xmltv_url=address)
        client.post("/api/v1/import/trigger")
        site.keeper().work_off()
    (run,) = client.get("/api/v1/import/status").json["runs"]
    assert run["status"] == "failed"
    assert "CANARY" not in json.dumps(run)
    assert "CANARY" not in client.get("/").text
    assert "CANARY" not in client.get("/health").text
    assert "CANARY" not in client.get("/metrics").text
    refused = client.put("/api/v1/providers/1", json={"xmltv_url": "ftp://joe:CANARY@e.x/?password=CANARY"})
    assert is_problem(refused, 400)
    assert "CANARY" not in refused.text
    told = capfd.readouterr()
    assert "CANARY" not in caplog.text + told.out + told.err


# ---- published guides ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/epg.xml", "/guide.xml", "/lineups/default/epg.xml"])
def test_a_guide_is_there_from_the_first_second(client: FlaskClient, path: str) -> None:
    plain, packed = client.get(path), client.get(f"{path}.gz")
    assert (plain.status_code, packed.status_code) == (200, 200)
    assert plain.content_type.startswith("application/xml")
    assert ET.fromstring(plain.data).tag == ET.fromstring(gzip.decompress(packed.data)).tag == "tv"


def test_a_guide_is_asked_for_as_a_file_is(site: Site, client: FlaskClient) -> None:
    imported(site, client, guide_of(hourly("x", THIS_HOUR, 24)))
    whole = client.get("/epg.xml")
    assert whole.data.count(b"<programme") == 24
    etag = whole.headers["ETag"]
    head = client.head("/epg.xml")
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", etag)
    assert head.headers["Content-Length"] == str(len(whole.data))
    assert client.get("/epg.xml", headers={"If-None-Match": etag}).status_code == 304
    assert client.get("/epg.xml", headers={"If-Modified-Since": whole.headers["Last-Modified"]}).status_code == 304
    packed = client.get("/epg.xml", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == whole.data
    assert packed.headers["ETag"] != etag
    assert "Accept-Encoding" in packed.headers["Vary"]
    same = client.get("/epg.xml", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})
    assert same.status_code == 304
    part = client.get("/epg.xml", headers={"Range": "bytes=5-9", "Accept-Encoding": "gzip"})
    assert (part.status_code, part.data) == (206, whole.data[5:10])
    file = client.get("/epg.xml.gz", headers={"Accept-Encoding": "gzip"})
    assert (file.headers.get("Content-Encoding"), file.content_type) == (None, "application/gzip")
    assert gzip.decompress(file.data) == whole.data
    site.keeper().work_off()
    assert client.get("/epg.xml").headers["ETag"] == etag


def lineup(*channels: dict[str, object], digest: str = "d1") -> dict[str, object]:
    return {"digest": digest, "channels": list(channels), "rules": [], "filters": [], "later": "ignored"}


ONE = {"id": "eins", "name": "Eins", "tvg_id": "x", "number": "1", "logo": None, "group": "A", "more": 1}


def test_the_default_lineup_takes_over_the_main_address_once_it_is_published(site: Site, client: FlaskClient) -> None:
    imported(site, client, guide_of([*hourly("x", THIS_HOUR, 24), *hourly("y", THIS_HOUR, 24)]))
    put = client.put("/internal/v1/lineups/default", json=lineup(ONE), headers=INTERNAL)
    assert (put.status_code, put.json) == (202, {"digest": "d1"})
    assert client.get("/epg.xml").data.count(b"<programme") == 48, "until it is published the whole guide stays"
    waiting = client.get("/internal/v1/lineups/default", headers=INTERNAL).json
    assert (waiting["digest"], waiting["matched_at"]) == ("d1", None)
    site.keeper().work_off()
    state = client.get("/internal/v1/lineups/default", headers=INTERNAL).json
    assert state["matched_at"]
    assert state["counts"] == {"channels": 1, "matched": 1}
    (match,) = client.get("/internal/v1/lineups/default/matches", headers=INTERNAL).json["items"]
    assert (match["id"], match["channel_id"], match["method"]) == ("eins", 1, "id")
    root = ET.fromstring(client.get("/epg.xml").data)
    assert [one.get("id") for one in root.iter("channel")] == ["eins"]
    assert client.get("/guide.xml").data.count(b"<programme") == 48
    same = client.get("/internal/v1/lineups/default/guide.xml", headers=INTERNAL)
    assert same.data == client.get("/epg.xml").data == client.get("/lineups/default/epg.xml").data
    assert gzip.decompress(client.get("/internal/v1/lineups/default/guide.xml.gz", headers=INTERNAL).data) == same.data
    again = client.get(
        "/internal/v1/lineups/default/guide.xml", headers={**INTERNAL, "If-None-Match": same.headers["ETag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize(("main", "expected"), [("all", ["x"]), ("kids", ["kid"]), ("auto", ["eins"])])
def test_the_main_address_is_what_the_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: str, expected: list[str]
) -> None:
    site = Site(tmp_path, {"guide": {"main": main}}, clock=HeldClock(int(time.time())))
    monkeypatch.setenv("AERIAL_CONFIG", str(site.file))
    monkeypatch.setenv("AERIAL_INTERNAL_SECRET", SECRET)
    client = site.app().test_client()
    for name, id_ in (("default", "eins"), ("kids", "kid")):
        client.put(f"/internal/v1/lineups/{name}", json=lineup({**ONE, "id": id_}), headers=INTERNAL)
    imported(site, client, guide_of(hourly("x", THIS_HOUR, 24)))
    root = ET.fromstring(client.get("/epg.xml").data)
    assert [one.get("id") for one in root.iter("channel")] == expected
    site.close()


def test_a_lineup_may_come_packed_and_again(client: FlaskClient) -> None:
    data = gzip.compress(json.dumps(lineup(ONE)).encode())
    headers = {**INTERNAL, "Content-Encoding": "gzip"}
    for _ in range(2):
        put = client.put("/internal/v1/lineups/a-b.c", data=data, content_type="application/json", headers=headers)
        assert put.status_code == 202
    assert client.get("/internal/v1/lineups/a-b.c", headers=INTERNAL).json["counts"]["channels"] == 1
    long = lineup({**ONE, "logo": "https://e.x/" + "x" * 5_000}, digest="d2")
    assert client.put("/internal/v1/lineups/a-b.c", json=long, headers=INTERNAL).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"no json",
        json.dumps(lineup({"name": "no id"})).encode(),
        json.dumps(lineup({**ONE, "id": "a b"})).encode(),
        json.dumps(lineup({**ONE, "id": "a/../b"})).encode(),
        json.dumps(lineup(ONE, ONE)).encode(),
        json.dumps(lineup({**ONE, "name": "\ud800"})).encode(),
        b"[" * 100_000,
    ],
    ids=["empty", "list", "text", "no id", "blank", "path", "twice", "surrogate", "deep"],
)
def test_a_lineup_that_cannot_be_is_refused(client: FlaskClient, body: bytes) -> None:
    answer = client.put("/internal/v1/lineups/x", data=body, content_type="application/json", headers=INTERNAL)
    assert is_problem(answer, 400)
    assert is_problem(client.get("/internal/v1/lineups/x", headers=INTERNAL), 404)


@pytest.mark.parametrize("headers", [{}, {"Aerial-Internal": "1"}, {**INTERNAL, "Aerial-Secret": "wrong"},
                                     {"Aerial-Secret": SECRET}])  # fmt: skip
def test_the_internal_api_needs_the_secret(client: FlaskClient, headers: dict[str, str]) -> None:
    for path in ("/internal/v1/lineups/default", "/internal/v1/lineups/default/guide.xml", "/internal/v1/activity"):
        assert is_problem(client.get(path, headers=headers), 403)
    assert client.get("/internal/v1/activity", headers=INTERNAL).json == {"imports": []}


# ---- the whole service -----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(port: int, path: str, method: str = "GET", body: object = None) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def answers(port: int, path: str) -> bool:
    try:
        return call(port, path)[0] == 200
    except OSError:
        return False


@pytest.mark.e2e
def test_the_service_runs_whole_and_imports_once_whatever_the_number_of_workers(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "config.yaml"
    config.write_text(f"data_dir: data\nepg: {{server: {{host: 127.0.0.1, port: {port}}}}}\n")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AERIAL_", "EPG_", "STREAM_"))}
    command = [sys.executable, "-m", "epg_service", str(config)]
    with ScriptedProvider() as provider, (tmp_path / "log").open("wb") as log:
        provider.serve("/guide.xml.gz", gzip.compress(guide_of(hourly("x", THIS_HOUR, 48))))
        service = subprocess.Popen(command, cwd=REPOSITORY, env=clean, stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: answers(port, "/ready") or service.poll() is not None, limit_s=60, what="the service")
            assert service.poll() is None, (tmp_path / "log").read_text()
            assert call(port, "/epg.xml")[0] == 200
            assert json.loads(call(port, "/health")[1])["status"] == "ok"
            made = call(port, "/api/v1/providers", "POST",
                        {"name": "one", "xmltv_url": provider.url("/guide.xml.gz?password=CANARY")})  # fmt: skip
            assert made[0] == 201
            assert call(port, "/api/v1/import/trigger", "POST")[0] == 202

            def ended() -> Any:
                (run,) = json.loads(call(port, "/api/v1/import/status")[1])["runs"]
                return run["completed_at"] and run

            assert until(ended, limit_s=60, what="the import")["programs_imported"] == 48
            until(lambda: call(port, "/epg.xml")[1].count(b"<programme") == 48, what="the published guide")
            assert provider.count("/guide.xml.gz") == 1
            start = quote(moment(THIS_HOUR))
            status, body = call(port, f"/api/v1/channels/1/programs?start={start}")
            assert (status, len(json.loads(body))) == (200, 24)
        finally:
            service.send_signal(signal.SIGTERM)
            code = service.wait(30)
        assert code == 0
    assert "CANARY" not in (tmp_path / "log").read_text()
    assert not answers(port, "/live")
