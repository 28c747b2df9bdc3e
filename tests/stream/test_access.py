"""Who comes in at which address: the home network, people with a user, outsiders, and those who try tricks."""

import base64
import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stream.xtreamkit import OUTSIDE, PASSWORD, TOKEN, Site

GOOD = {"username": "ann", "password": PASSWORD}
CLIENT_PATHS = [
    "/playlist.m3u",
    "/lineups/default/playlist.m3u",
    "/epg.xml",
    "/epg.xml.gz",
    "/lineups/default/epg.xml",
    "/lineups/default/epg.xml.gz",
    "/stream/One.ts",
]
XTREAM_PATHS = ["/player_api.php", "/panel_api.php", "/get.php", "/xmltv.php"]
OPEN = re.compile(r"/(?:live|ready|health|api/v1/health)|/internal/.*|/logos/.*|/stream/<channel_id>/hls/.*")
HOME_ONLY = re.compile(r"/(?:api/.*|metrics|static/.*|)")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.load({"name": "One", "group-title": "News"}, "Two")
    made.user()
    yield made
    made.close()


def basic(name: str = "ann", password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def status(site: Site, path: str, *, outside: bool = False, **more: Any) -> int:
    return int(site.client.get(path, environ_base=OUTSIDE if outside else {}, **more).status_code)


def test_the_home_network_needs_no_user_until_the_setting_says_so(site: Site) -> None:
    for path in CLIENT_PATHS:
        site.settings.update({"access_lan_without_user": True})
        assert status(site, path) == 200
        site.settings.update({"access_lan_without_user": False})
        refused = site.client.get(path)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="Aerial", charset="UTF-8"'
        assert refused.content_type == "application/problem+json"
        assert status(site, path, query_string=GOOD) == 200
        assert status(site, path, headers=basic()) == 200
        assert status(site, path, headers={"Authorization": f"Bearer {TOKEN}"}) == 200


def test_elsewhere_a_user_is_needed(site: Site) -> None:
    for path in CLIENT_PATHS:
        assert status(site, path, outside=True) == 401
        assert status(site, path, outside=True, query_string={**GOOD, "password": "wrong-Pass"}) == 401
        assert status(site, path, outside=True, query_string=GOOD) == 200
        assert status(site, path, outside=True, headers=basic()) == 200
        assert status(site, path, outside=True, headers={"Authorization": f"Bearer {TOKEN}"}) == 200


def test_a_forged_forwarding_header_makes_nobody_local(site: Site) -> None:
    for path in CLIENT_PATHS:
        forged = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "10.0.0.1"}
        assert status(site, path, outside=True, headers=forged) == 401
        assert status(site, path, headers=forged) == 401


@pytest.mark.parametrize("path", ["/api/v1/users", "/api/v1/sources", "/metrics", "/"])
def test_a_user_is_no_administrator(site: Site, path: str) -> None:
    assert status(site, path, outside=True, query_string=GOOD) == 401
    assert status(site, path, outside=True, headers=basic()) == 401
    assert status(site, path) == 200


@pytest.mark.parametrize(
    "query", [{}, {"username": "ann"}, {"username": "ann", "password": "x"}, {"username": "", "password": ""},
              {"username": "../ann", "password": PASSWORD}, {"username": "ann\r\nX: y", "password": PASSWORD}],
    ids=["nothing", "no password", "wrong", "empty", "path", "line break"],
)  # fmt: skip
def test_an_xtream_app_without_the_right_login_is_told_auth_0(site: Site, query: dict[str, str]) -> None:
    for path in XTREAM_PATHS:
        answer = site.client.get(path, query_string=query)
        assert (answer.status_code, answer.get_data(as_text=True)) == (401, '{"user_info":{"auth":0}}')
        assert answer.content_type == "application/json"


@pytest.mark.parametrize(
    "path",
    [
        f"/live/ann/{PASSWORD}x/1.ts",
        f"/live/nobody/{PASSWORD}/1.ts",
        f"/ann/{PASSWORD}x/1",
        f"/movie/ann/{PASSWORD}x/1.mkv",
        f"/timeshift/ann/{PASSWORD}x/30/2026-11-21:10-00/1.ts",
    ],
)
def test_a_stream_address_with_a_wrong_login_is_refused_also_at_home(site: Site, path: str) -> None:
    assert status(site, path) == 401
    assert site.relay.watchers == []


def test_a_stream_address_with_the_right_login_is_watched_from_anywhere(site: Site) -> None:
    for path in (
        f"/live/ann/{PASSWORD}/1.ts",
        f"/live/ann/{PASSWORD}/1",
        f"/ann/{PASSWORD}/2.ts",
        f"/ann/{PASSWORD}/2",
    ):
        assert status(site, path, outside=True) == 200
    assert [(one.channel, one.user) for one in site.relay.watchers] == [("One", "ann")] * 2 + [("Two", "ann")] * 2


@pytest.mark.parametrize("name", ["api", "stream", "hdhr", "lineups", "static", "tuner1"])
def test_our_own_addresses_are_no_users(site: Site, name: str) -> None:
    assert status(site, f"/{name}/{PASSWORD}/1") == 404
    assert status(site, f"/{name}/{PASSWORD}/1", outside=True) == 401


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"enabled": False}, "Disabled"), ({"expires_at": "2020-01-01T00:00:00Z"}, "Expired")],
    ids=["disabled", "expired"],
)
def test_a_user_whose_time_is_over_is_told_so_and_watches_nothing(
    site: Site, changes: dict[str, object], told: str
) -> None:
    site.client.put("/api/v1/users/1", json=changes)
    info = site.xtream().get_json()["user_info"]
    assert (info["auth"], info["status"]) == (1, told)
    assert site.xtream("get_live_streams").status_code == 403
    assert status(site, f"/live/ann/{PASSWORD}/1.ts") == 403
    assert status(site, "/playlist.m3u", query_string=GOOD) == 403
    assert status(site, "/get.php", query_string=GOOD) == 401
    assert site.relay.watchers == []


def test_a_user_sees_their_own_lineups_alone(site: Site) -> None:
    site.client.put("/api/v1/users/1", json={"lineups": []})
    assert status(site, "/playlist.m3u", query_string=GOOD) == 403
    assert status(site, "/stream/One.ts", query_string=GOOD) == 403
    assert status(site, f"/live/ann/{PASSWORD}/1.ts") == 403
    assert site.xtream("get_live_streams", lineup="default").status_code == 403
    site.client.put("/api/v1/users/1", json={"lineups": ["default"]})
    assert status(site, "/stream/ONE.ts", query_string=GOOD) == 200
    assert site.xtream("get_live_streams").status_code == 200


def test_over_the_limit_another_player_is_refused_and_the_same_one_changes_the_channel(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream_service.accounts.seats.WAIT_S", 0.0)
    site.client.put("/api/v1/users/1", json={"connection_limit": 1})
    tv, phone = {"User-Agent": "TiviMate"}, {"User-Agent": "XCIPTV"}
    assert status(site, f"/live/ann/{PASSWORD}/1.ts", headers=tv) == 200
    assert status(site, f"/live/ann/{PASSWORD}/1.ts", headers=phone) == 403
    assert status(site, f"/live/ann/{PASSWORD}/2.ts", headers=tv) == 200
    assert [(one.channel, one.agent) for one in site.relay.watchers] == [("Two", "TiviMate")]
    assert site.xtream().get_json()["user_info"]["active_cons"] == "1"
    site.client.head(f"/live/ann/{PASSWORD}/1.ts", headers=phone)
    assert len(site.relay.watchers) == 1


def test_a_tuners_client_is_told_in_its_header(site: Site) -> None:
    for path in ("/discover.json", "/lineup.json", "/auto/v1", "/hdhr/default/lineup_status.json", "/tuner0/v1"):
        answer = site.client.get(path, environ_base=OUTSIDE)
        assert (answer.status_code, answer.headers["X-HDHomeRun-Error"]) == (401, "806 Tune Failed")


def test_who_watches_is_told_to_the_relay_with_their_priority(site: Site) -> None:
    site.client.put("/api/v1/users/1", json={"priority": 9})
    status(site, "/stream/One.ts", query_string=GOOD)
    status(site, "/stream/One.ts")
    assert [(one.user, one.priority) for one in site.relay.watchers] == [("ann", 9), ("", 0)]


def test_every_route_that_is_not_open_is_closed_to_outsiders(site: Site) -> None:
    opened = []
    for rule in site.app.url_map.iter_rules():
        if OPEN.fullmatch(rule.rule) or "GET" not in (rule.methods or ()):
            continue
        path = re.sub(r"<int:\w+>", "1", re.sub(r"<(?:string:)?\w+>", "x", rule.rule))
        if site.client.get(path, environ_base=OUTSIDE).status_code not in (401, 429):
            opened.append(rule.rule)
    assert opened == []


def test_every_output_for_clients_asks_for_a_user_when_the_home_network_has_to(site: Site) -> None:
    site.settings.update({"access_lan_without_user": False})
    opened = []
    for rule in site.app.url_map.iter_rules():
        if OPEN.fullmatch(rule.rule) or HOME_ONLY.fullmatch(rule.rule) or "GET" not in (rule.methods or ()):
            continue
        path = re.sub(r"<int:\w+>", "1", re.sub(r"<(?:string:)?\w+>", "x", rule.rule))
        if site.client.get(path).status_code not in (401, 429):
            opened.append(rule.rule)
    assert opened == []


@pytest.mark.parametrize(
    "path",
    [
        "//playlist.m3u",
        "/lineups//default/playlist.m3u",
        "/lineups/default/../default/playlist.m3u",
        "/lineups/..%2fdefault/playlist.m3u",
        "/PLAYLIST.M3U",
        "/playlist.m3u/",
        "/stream/..%2f..%2fepg.xml",
        f"/live/ann/{PASSWORD}/..%2f1.ts",
        f"/live/ann/{PASSWORD}/1.ts%00",
        f"/live/ann/{PASSWORD}/-1.ts",
        f"/live/ann/{PASSWORD}/99999999999999999999.ts",
    ],
)
def test_no_trick_with_a_path_opens_anything(site: Site, path: str) -> None:
    assert status(site, path, outside=True) in (301, 308, 400, 401, 404, 421)
    assert site.relay.watchers == []


def test_a_password_in_a_path_is_not_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        status(site, f"/ann/{PASSWORD}/1.ts")
        status(site, f"/ann/{PASSWORD}x/1.ts")
    assert "/ann/***/1.ts" in caplog.text
    assert PASSWORD not in caplog.text


def test_behind_a_named_proxy_its_client_is_judged(tmp_path: Path) -> None:
    site = Site(tmp_path, trusted_proxies=[ipaddress.ip_network("127.0.0.1/32")])
    site.load("One")
    assert status(site, "/playlist.m3u", headers={"X-Forwarded-For": "203.0.113.9"}) == 401
    assert status(site, "/playlist.m3u", headers={"X-Forwarded-For": "192.168.1.9"}) == 200
    site.close()
