"""The web layer: who may enter, one error shape, addresses handed out, published files, the shared views."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from servicekit import callers, errors, web
from servicekit.health import State
from tests.kit.apps.site import SECRET, TOKEN, build

HOME, FOREIGN = "192.168.1.5", "8.8.8.8"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
INTERNAL = {"Aerial-Internal": "1", "Aerial-Secret": SECRET}


@pytest.fixture(autouse=True)
def _on_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "on_link_networks", lambda: ())


class Site:
    """A client of the small application, as a machine at `peer` would be."""

    def __init__(self, data: Path, **door: Any) -> None:
        self.app = build(data, **door)
        self.client: FlaskClient = self.app.test_client()

    def ask(self, path: str, method: str = "GET", *, peer: str = HOME, host: str = "tv:8080", **more: Any) -> Any:
        return self.client.open(
            path,
            method=method,
            base_url=f"http://{host}",
            environ_base={"REMOTE_ADDR": peer},
            buffered=True,
            **more,
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def networks(*texts: str) -> tuple[Any, ...]:
    return tuple(__import__("ipaddress").ip_network(text) for text in texts)


# ---- route x caller --------------------------------------------------------------------------------------------------

PATHS = ("/live", "/ready", "/health", "/api/v1/health", "/metrics", "/api/v1/things", "/api/v1/settings", "/origin",
         "/api/v1/openapi.json", "/nothing", "/internal/v1/lineup")  # fmt: skip
OPEN = {"/live", "/ready", "/health", "/api/v1/health"}
ADMIN = {"/metrics", "/api/v1/things", "/api/v1/settings", "/api/v1/openapi.json"}

CALLERS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "home": (HOME, {}, {}),
    "loopback": ("127.0.0.1", {}, {}),
    "foreign": (FOREIGN, {}, {}),
    "foreign with the token": (FOREIGN, BEARER, {}),
    "foreign with a wrong token": (FOREIGN, {"Authorization": "Bearer wrong"}, {}),
    "foreign with an empty token": (FOREIGN, {"Authorization": "Bearer "}, {}),
    "foreign with a token that is no ASCII": (FOREIGN, {"Authorization": "Bearer \xe4"}, {}),
    "forwarded by a stranger": ("127.0.0.1", {"X-Forwarded-For": HOME}, {}),
    "forwarded, with the token": ("127.0.0.1", {"X-Forwarded-For": FOREIGN, **BEARER}, {}),
    "home behind a trusted proxy": ("10.0.0.1", {"X-Forwarded-For": HOME}, {"trusted_proxies": networks("10.0.0.1")}),
    "foreign behind a trusted proxy": (
        "10.0.0.1", {"X-Forwarded-For": f"{HOME}, {FOREIGN}"}, {"trusted_proxies": networks("10.0.0.1")},
    ),
    "home, service in a container": ("172.17.0.1", {}, {"in_container": True}),
    "loopback, service in a container": ("127.0.0.1", {}, {"in_container": True}),
    "token, service in a container": ("172.17.0.1", BEARER, {"in_container": True}),
    "internal secret": (FOREIGN, INTERNAL, {}),
    "internal secret, empty": (HOME, {"Aerial-Internal": "1", "Aerial-Secret": ""}, {"internal_secret": ""}),
    "empty token of an empty key": (FOREIGN, {"Authorization": "Bearer "}, {"admin_token": ""}),
}  # fmt: skip
AT_HOME = {"home", "loopback", "foreign with the token", "forwarded, with the token", "home behind a trusted proxy",
           "loopback, service in a container", "token, service in a container", "internal secret, empty"}  # fmt: skip


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("path", PATHS)
def test_who_may_ask_for_what(tmp_path: Path, path: str, who: str) -> None:
    peer, headers, door = CALLERS[who]
    status = Site(tmp_path, **door).ask(path, peer=peer, headers=headers).status_code
    inside = {"/nothing": 404}.get(path, 200)
    if path == "/internal/v1/lineup":
        assert status == (200 if who == "internal secret" else 403)
    elif path in OPEN or who in AT_HOME or (who == "home, service in a container" and path not in ADMIN):
        assert status == inside
    else:
        assert status == 401


def test_a_refused_caller_is_told_the_way_in(site: Site) -> None:
    answer = site.ask("/api/v1/things", peer=FOREIGN)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "admin.token" in answer.json["detail"]
    assert TOKEN not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "tv.evil.example"])
def test_another_host_name_is_misdirected_and_told_the_key(site: Site, host: str) -> None:
    for path in ("/live", "/api/v1/things", "/nothing"):
        answer = site.ask(path, host=host)
        assert answer.status_code == 421
        assert "public_url" in answer.json["detail"]


# ---- writes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "none"}, 202),
        ({"Origin": "http://tv:8080"}, 202),
        ({"Origin": "http://tv:8080", "Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "https://tv:8080"}, 403),
        ({"Origin": "http://tv"}, 403),
        ({"Origin": "http://tv:8080.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example", **BEARER}, 403),
    ],
)
def test_a_page_of_another_site_may_not_write(site: Site, headers: dict[str, str], status: int) -> None:
    assert site.ask("/api/v1/trigger", "POST", headers=headers).status_code == status
    assert site.ask("/api/v1/things", headers=headers).status_code == 200


def test_a_page_under_the_public_address_or_let_in_by_cors_may_write(tmp_path: Path) -> None:
    public = Site(tmp_path, public_url="https://tv.example.org/guide")
    assert public.ask("/api/v1/trigger", "POST", headers={"Origin": "https://tv.example.org"}).status_code == 202
    friends = Site(tmp_path, cors_origins=("http://panel:3000",))
    friendly = {"Origin": "http://panel:3000", "Sec-Fetch-Site": "cross-site"}
    answer = friends.ask("/api/v1/trigger", "POST", headers=friendly)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (202, "http://panel:3000")
    other = friends.ask("/api/v1/trigger", "POST", headers={"Origin": "http://evil.example"})
    assert (other.status_code, "Access-Control-Allow-Origin" in other.headers) == (403, False)


def test_without_cors_no_header_of_it_is_sent(site: Site) -> None:
    assert "Access-Control-Allow-Origin" not in site.ask("/live", headers={"Origin": "http://a"}).headers


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data", "text/json"]
)
def test_a_body_that_is_no_json_by_its_type_is_415(site: Site, kind: str) -> None:
    answer = site.ask("/api/v1/things", "POST", data=b'{"name": "a"}', content_type=kind)
    assert answer.status_code == 415
    assert "application/json" in answer.json["detail"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"name": "a",}', "line 1 column 1"),
        (b'{"name":\n  oops}', "at line 2 column 3"),
        (b"[]", "must be a JSON object"),
        (b'"{}"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"name": NaN}', "NaN is no JSON number"),
        (b'{"name": "\\ud800"}', "surrogates"),
        (b"\xff\xfe\xfd", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b'{"size": ' + b"9" * 5_000 + b"}", "no JSON"),
        (b'{"name": ""}', "name: "),
        (b'{"name": "a", "size": 0}', "size: "),
        (b'{"name": "a", "size": "x"}', "size: "),
        (b'{"name": "a", "colour": 1}', "colour: "),
        (b"{}", "name: Field required"),
        (b"", "name: Field required"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_body_that_cannot_be_used_is_400_and_says_where(site: Site, data: bytes, told: str) -> None:
    answer = site.ask("/api/v1/things", "POST", data=data, content_type="application/json")
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert told in answer.json["detail"]


def test_a_good_body_and_a_missing_one_are_fine(site: Site) -> None:
    answer = site.ask(
        "/api/v1/things", "POST", data=b'{"name": "\xc3\xa4"}', content_type="application/json; charset=utf-8"
    )
    assert (answer.status_code, answer.json) == (201, {"name": "ä", "size": 1})
    assert site.ask("/api/v1/trigger", "POST").status_code == 202
    assert site.ask("/api/v1/trigger", "POST", json={}).status_code == 202
    assert site.ask("/api/v1/things/3", "DELETE").status_code == 204


def test_a_body_over_the_limit_is_413_and_a_view_may_have_its_own(site: Site) -> None:
    big = b'{"name": "' + b"a" * web.MAX_BODY_BYTES + b'"}'
    assert site.ask("/api/v1/things", "POST", data=big, content_type="application/json").status_code == 413
    assert site.ask("/api/v1/upload", "PUT", data=big, content_type="text/plain").json == {"bytes": len(big)}
    assert site.ask("/api/v1/upload", "PUT", data=big * 4, content_type="text/plain").status_code == 413
    assert site.ask("/api/v1/upload", "PUT", data=b"x", content_type="text/csv").status_code == 415


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [kind for kind in web.STATUS if kind.__name__ in dir(errors)], ids=lambda k: k.__name__
)
def test_each_kind_of_error_has_its_status_and_the_one_shape(site: Site, kind: type[errors.AerialError]) -> None:
    answer = site.ask(f"/api/v1/error/{kind.__name__}")
    assert answer.status_code == web.STATUS[kind]
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == answer.status_code
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert set(answer.json) - {"thing"} == {"type", "title", "status", "detail", "request_id"}


def test_every_kind_stands_in_the_table() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AerialError)}
    assert kinds - {errors.AerialError} == set(web.STATUS)


@pytest.mark.parametrize(
    ("kind", "after"), [("Unavailable", "9"), ("RateLimited", "60"), ("BadAnswer", "4"), ("NotFound", None)]
)
def test_what_may_be_tried_again_says_when(site: Site, kind: str, after: str | None) -> None:
    assert site.ask(f"/api/v1/error/{kind}").headers.get("Retry-After") == after


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/nothing", 404), ("GET", "/api/v1/things/x", 404),
     ("PUT", "/api/v1/things", 405), ("GET", "/api/v1/trigger", 405), ("BREW", "/api/v1/things", 405)],
)  # fmt: skip
def test_no_such_route_or_method_is_a_problem_too(site: Site, method: str, path: str, status: int) -> None:
    answer = site.ask(path, method, data=b"x" if method == "POST" else None, content_type="text/plain")
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.json["status"] == status
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limt=5", "cursor=x", "cursor=-1", "cursor=١", "a=b"]
)
def test_a_query_that_cannot_be_used_is_400(site: Site, query: str) -> None:
    answer = site.ask(f"/api/v1/things?{query}")
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")
    assert query.partition("=")[0] in answer.json["detail"]


def test_a_list_is_cut_and_its_pages_hold_everything_once(site: Site) -> None:
    found, cursor, pages = [], "", 0
    while cursor is not None:
        answer = site.ask("/api/v1/things", query_string={"limit": 999, **({"cursor": cursor} if cursor else {})}).json
        found += answer["items"]
        cursor, pages = answer["next"], pages + 1
    assert (found, pages) == (list(range(25)), 3)


@pytest.mark.parametrize("debug", [False, True])
def test_a_fault_of_ours_is_told_only_with_debug_and_always_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, debug: bool
) -> None:
    with caplog.at_level(logging.ERROR, "web"):
        answer = Site(tmp_path, debug=debug).ask("/api/v1/error/Bug")
    assert answer.status_code == 500
    assert ("RuntimeError" in answer.text, "site.py" in answer.text) == (debug, debug)
    assert "S3CR3T" not in answer.text
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_full_disk_is_told_as_what_it_is(site: Site) -> None:
    answer = site.ask("/api/v1/error/FullDisk")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "the disk is full" in answer.json["detail"]


# ---- addresses handed out --------------------------------------------------------------------------------------------

PROXY = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "tv.lan",
    "X-Forwarded-Prefix": "/guide",
    "X-Forwarded-For": HOME,
}


@pytest.mark.parametrize(
    ("headers", "door", "origin"),
    [
        ({}, {}, "http://tv:8080"),
        (BEARER | PROXY, {}, "http://tv:8080"),
        (PROXY, {"trusted_proxies": networks("192.168.1.0/24")}, "https://tv.lan/guide"),
        (
            PROXY | {"X-Forwarded-Host": "tv.lan:444, other"},
            {"trusted_proxies": networks(HOME)},
            "https://tv.lan:444/guide",
        ),
        (PROXY | {"X-Forwarded-Prefix": "/"}, {"trusted_proxies": networks(HOME)}, "https://tv.lan"),
        (PROXY | {"X-Forwarded-Prefix": '/"><b'}, {"trusted_proxies": networks(HOME)}, "https://tv.lan"),
        (PROXY | {"X-Forwarded-Host": "evil.example"}, {"trusted_proxies": networks(HOME)}, "http://tv:8080"),
        (PROXY | {"X-Forwarded-Proto": "javascript"}, {"trusted_proxies": networks(HOME)}, "http://tv:8080"),
        (PROXY, {"trusted_proxies": networks(HOME), "public_url": "https://me.example/x"}, "https://me.example/x"),
        ({}, {"public_url": "https://me.example"}, "https://me.example"),
    ],
)
def test_one_resolver_says_what_we_are_called(
    tmp_path: Path, headers: dict[str, str], door: dict[str, Any], origin: str
) -> None:
    assert Site(tmp_path, **door).ask("/origin", headers=headers).text == origin


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080", "192.168.1.9"])
def test_a_request_to_an_address_gets_that_address(site: Site, host: str) -> None:
    assert site.ask("/origin", host=host).text == f"http://{host}"


# ---- published files -------------------------------------------------------------------------------------------------


def test_a_published_file_has_etag_304_head_and_range(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file.xml").write_bytes(b"<tv>0123456789</tv>")
    whole = site.ask("/file.xml")
    assert (whole.status_code, whole.data, whole.mimetype) == (200, b"<tv>0123456789</tv>", "application/xml")
    assert whole.headers["ETag"] == '"v1"'
    assert whole.headers["Cache-Control"] == "no-cache"
    assert "Last-Modified" in whole.headers
    assert site.ask("/file.xml", headers={"If-None-Match": '"v1"'}).status_code == 304
    assert site.ask("/file.xml", headers={"If-None-Match": '"v0"'}).status_code == 200
    assert site.ask("/file.xml", headers={"If-Modified-Since": whole.headers["Last-Modified"]}).status_code == 304
    head = site.ask("/file.xml", "HEAD")
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", "19")
    part = site.ask("/file.xml", headers={"Range": "bytes=4-6"})
    assert (part.status_code, part.data, part.headers["Content-Range"]) == (206, b"012", "bytes 4-6/19")
    past = site.ask("/file.xml", headers={"Range": "bytes=99-"})
    assert (past.status_code, past.content_type) == (416, "application/problem+json")


def test_what_is_not_published_yet_is_worth_another_try(site: Site) -> None:
    answer = site.ask("/file.xml")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    ("header", "wanted"),
    [("gzip", True), ("gzip, br", True), ("gzip;q=0", False), ("br", False), ("", False), ("*", False)],
)
def test_gzip_is_for_those_who_name_it(site: Site, header: str, wanted: bool) -> None:
    with site.app.test_request_context(headers={"Accept-Encoding": header}):
        assert web.wants_gzip() is wanted


# ---- shared views ----------------------------------------------------------------------------------------------------


def test_every_answer_carries_what_it_should(site: Site) -> None:
    for path in ("/live", "/nothing", "/api/v1/things"):
        headers = site.ask(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert re.fullmatch(r"[0-9a-f]{12}", headers["X-Request-Id"])
        assert headers["Server-Timing"].startswith("app;dur=")


@pytest.mark.parametrize(
    ("state", "status", "word"),
    [
        (State(), 200, "ok"),
        (State(reasons=("disk",)), 200, "degraded"),
        (State(usable=False, reasons=("db",)), 503, "error"),
    ],
)
def test_health_says_how_it_is_and_why(tmp_path: Path, state: State, status: int, word: str) -> None:
    for path in ("/health", "/api/v1/health"):
        answer = Site(tmp_path, state=state).ask(path)
        assert (answer.status_code, answer.json["status"], answer.json["reasons"]) == (
            status,
            word,
            list(state.reasons),
        )


def test_ready_waits_and_says_for_what(tmp_path: Path) -> None:
    answer = Site(tmp_path, not_ready="the keeper is starting").ask("/ready")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json["detail"] == "the keeper is starting"
    assert Site(tmp_path).ask("/ready").status_code == 200


def test_metrics_count_by_route_and_hold_the_figures(site: Site) -> None:
    for path in ("/api/v1/things/1", "/api/v1/things/2", "/nothing", "/nothing2"):
        site.ask(path)
    site.ask("/live", "BREW")
    text = site.ask("/metrics").text
    assert 'site_http_requests_total{method="GET",route="/api/v1/things/<int:number>",status="200"} 2.0' in text
    assert 'site_http_requests_total{method="GET",route="none",status="404"} 2.0' in text
    assert 'method="other"' in text
    assert 'site_things{kind="a"} 3.0' in text
    assert "BREW" not in text


def test_settings_are_shown_set_and_reset(site: Site) -> None:
    base, limit, token = "/api/v1/settings", "bandwidth_global_limit_mbps", "notification_telegram_bot_token"
    assert site.ask(f"{base}/{limit}").json["value"] == 0.0
    assert site.ask(f"{base}/{limit}", "PUT", json={"value": 12.5}).json["value"] == 12.5
    assert site.ask(f"{base}/bulk-update", "POST", json={"settings": {token: "S3CR3T", limit: 3}}).status_code == 200
    assert "S3CR3T" not in site.ask(base).text
    assert limit in site.ask(f"{base}/categories").json["bandwidth"]
    assert site.ask(f"{base}/reset", "POST", json={"keys": [limit]}).status_code == 200
    assert site.ask(f"{base}/{limit}").json["value"] == 0.0
    assert site.ask(f"{base}/{token}").json["value"] == "********"
    assert site.ask(f"{base}/reset", "POST").status_code == 200
    assert site.ask(f"{base}/{token}").json["value"] == ""


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("bandwidth_global_limit_mbps", {"value": -1}, 400),
        ("bandwidth_global_limit_mbps", {"value": "1"}, 400),
        ("bandwidth_global_limit_mbps", {"value": True}, 400),
        ("bandwidth_global_limit_mbps", {"value": None}, 400),
        ("bandwidth_global_limit_mbps", {"value": 1e999}, 400),
        ("bandwidth_global_limit_mbps", {}, 400),
        ("nonsense", {"value": 1}, 404),
    ],
)
def test_a_setting_that_cannot_be_is_refused(site: Site, path: str, body: dict[str, Any], status: int) -> None:
    text = json.dumps(body).replace("Infinity", "1e999")
    answer = site.ask(f"/api/v1/settings/{path}", "PUT", data=text, content_type="application/json")
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


def test_the_api_describes_itself_validly(site: Site) -> None:
    document = site.ask("/api/v1/openapi.json").json
    validate(document)
    assert {"/health", "/live", "/ready", "/metrics", "/api/v1/settings", "/api/v1/things"} <= set(document["paths"])
    answers = document["paths"]["/api/v1/things"]["get"]["responses"]
    assert {"400", "401", "404", "503"} <= set(answers)


def test_the_browsable_page_needs_no_internet(site: Site) -> None:
    page = site.ask("/api/v1/swagger")
    assert page.status_code == 200
    named = re.findall(r"(?:src|href)=[\"']([^\"']+)", page.text)
    assert named, "the page has its scripts and styles"
    for address in named:
        assert not re.match(r"(?:https?:)?//", address), address
        assert site.ask(address if address.startswith("/") else f"/api/v1/{address}").status_code == 200


def test_answers_are_packed_for_those_who_ask(site: Site) -> None:
    answer = site.ask("/api/v1/settings", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["Vary"]
