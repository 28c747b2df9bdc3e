"""The guide asked over HTTP: routes, filters, cursors, ETags, hostile queries, and the same answer by other ways."""

import gzip
import json
import runpy
import threading
import xml.etree.ElementTree as ET
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apsw
import pytest
from flask.testing import FlaskClient

from tests.epg.guidekit import DAY, NOON, guide_of, hourly, sqlite
from tests.epg.querykit import Asked, shows, station  # noqa: F401 (a fixture)
from tests.epg.test_search import HOSTILE

WINDOW = "start=2026-03-10T12:00:00Z&end=2026-03-12T12:00:00Z"
SPAN = "from=2026-03-10T12:00:00Z&to=2026-03-12T12:00:00Z"
AT = "at=2026-03-10T12:30:00Z"


@pytest.fixture
def client(station: Asked, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:  # noqa: F811
    provider = station.provider()
    station.lay(guide_of([*shows(), *hourly("four", NOON, 48)]), provider.xmltv_url)
    station.it.imports.enqueue(provider.id, reason="manual")
    station.keeper().work_off()
    monkeypatch.setenv("AERIAL_CONFIG", str(station.file))
    found: FlaskClient = runpy.run_module("epg_service.wsgi")["app"].test_client()
    return found


def get(client: FlaskClient, path: str, status: int = 200) -> Any:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.json


def walked(client: FlaskClient, path: str) -> list[Any]:
    items: list[Any] = []
    page = get(client, path)
    while page["next"]:
        items += page["items"]
        page = get(client, f"{path}&cursor={quote(page['next'])}")
    return items + page["items"]


def test_a_programme_has_the_same_fields_wherever_it_is_asked_for(client: FlaskClient) -> None:
    one = get(client, f"/channels/1/programs?{WINDOW}")[1]
    assert one["title"] == "Café Noir"
    assert (one["subtitle"], one["actors"], one["category"]) == ("Night at the news desk", "Ada Stone", "Film")
    assert (one["new"], one["premiere"]) == (False, True)
    assert one in get(client, f"/epg/programs?{WINDOW}&channel=one")["items"]
    assert one in get(client, f"/epg/guide?{WINDOW}&channels=one")["items"][0]["programs"]
    assert one == get(client, "/now?at=2026-03-10T13:30:00Z&channels=one&details=true")["items"][0]["now"]
    assert {**one, "channel_name": "one", "matched": "title"} == get(client, f"/search?q=noir&{SPAN}")["items"][0]


def test_browsing_filters_by_title_category_channel_new_and_premiere(client: FlaskClient) -> None:
    def titles(query: str) -> list[str]:
        return [one["title"] for one in get(client, f"/epg/programs?{WINDOW}&{query}")["items"]]

    assert titles("q=news") == ["The Evening News", "News", "News"]
    assert titles("q=EVEN+news") == ["The Evening News"]
    assert titles("q=cafe") == ["Café Noir"]
    assert titles("category=news") == ["The Evening News", "News", "News"]
    assert titles("new=true") == ["The Evening News"]
    assert titles("premiere=true&category=film") == ["Café Noir"]
    assert titles("channel=one&new=false") == ["Café Noir", "Stone Age"]
    assert titles("channel=two,three&q=news") == ["News", "News"]
    assert titles("channel=two&channel=three&q=quiz") == ["Quiz"]
    assert titles("q=nothing") == []


def test_now_tells_what_runs_and_what_comes(client: FlaskClient) -> None:
    answer = get(client, f"/now?{AT}")
    assert answer["at"] == "2026-03-10T12:30:00Z"
    seen = {one["channel_name"]: (one["now"], one["next"]) for one in answer["items"]}
    assert (seen["one"][0]["title"], seen["one"][1]["title"]) == ("The Evening News", "Café Noir")
    assert (seen["three"][0]["title"], seen["three"][1]) == ("日本語 ニュース", None)
    late = get(client, "/now?at=2026-03-20T00:00:00Z")["items"]
    assert [(one["now"], one["next"]) for one in late] == [(None, None)] * 4


@pytest.mark.parametrize(
    "path",
    [f"/epg/programs?{WINDOW}", f"/epg/programs?{WINDOW}&category=news", f"/search?q=show&{SPAN}",
     f"/epg/guide?{WINDOW}", f"/now?{AT}", "/categories?x=1"],
    ids=["programmes", "filtered", "search", "grid", "now", "categories"],
)  # fmt: skip
def test_cursors_walk_over_everything_exactly_once(client: FlaskClient, path: str) -> None:
    path = path.replace("?x=1", "?limit=1000")
    whole = get(client, path if "limit" in path else f"{path}&limit=1000")
    assert whole["next"] is None
    assert len(whole["items"]) > 2
    for limit in ("limit=1", "limit=2", ""):
        found = walked(client, f"{path.split('limit=1000')[0]}{'' if path.endswith('1000') else '&'}{limit}")
        assert found == whole["items"]


def test_a_walk_that_began_now_keeps_its_window(client: FlaskClient) -> None:
    first = get(client, "/epg/guide?limit=1&channels=one,two")
    second = get(client, f"/epg/guide?limit=1&channels=one,two&cursor={first['next']}")
    assert (first["start_time"], first["end_time"]) == (second["start_time"], second["end_time"])
    assert second["next"] is None


def test_sql_grid_browsing_and_published_guide_count_the_same(client: FlaskClient, station: Asked) -> None:  # noqa: F811
    rows = int(sqlite(station.paths.database, "SELECT count(*) FROM programs")[0][0])
    grid = walked(client, f"/epg/guide?{WINDOW}&limit=2")
    assert sum(len(one["programs"]) for one in grid) == rows
    assert len(walked(client, f"/epg/programs?{WINDOW}&limit=7")) == rows
    document = ET.fromstring(client.get("/guide.xml", buffered=True).get_data())
    published = {(one.get("channel"), one.get("start"), one.findtext("title")) for one in document.iter("programme")}
    shown = {
        (one["channel_name"], datetime.fromisoformat(p["start_time"]).strftime("%Y%m%d%H%M%S +0000"), p["title"])
        for one in grid
        for p in one["programs"]
    }
    assert shown == published
    assert len(published) == rows
    assert get(client, "/stats")["total_programs"] == rows
    assert sum(one["programs"] for one in get(client, "/categories")["items"]) == 5


QUERIES = [f"/epg/programs?{WINDOW}", f"/epg/guide?{WINDOW}", f"/now?{AT}", f"/search?q=news&{SPAN}"]


@pytest.mark.parametrize("path", QUERIES, ids=["programmes", "grid", "now", "search"])
def test_an_unchanged_guide_answers_304_and_a_changed_one_does_not(
    client: FlaskClient,
    station: Asked,  # noqa: F811
    path: str,
) -> None:
    first = client.get(f"/api/v1{path}")
    etag = first.headers["ETag"]
    assert etag.startswith('W/"')
    known = {"If-None-Match": etag}
    again = client.get(f"/api/v1{path}", headers=known)
    assert (again.status_code, again.get_data(), again.headers["ETag"]) == (304, b"", etag)
    assert client.get(f"/api/v1{path}&limit=1", headers=known).status_code == 200
    packed = client.get(f"/api/v1{path}", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.get_data())) == first.json
    assert client.get(f"/api/v1{path}", headers={"Accept-Encoding": "gzip", **known}).status_code == 304
    station.take(guide_of([*shows(), *hourly("four", NOON, 48, "Other")]))
    station.index()
    assert client.get(f"/api/v1{path}", headers=known).status_code == 200


def test_every_visible_change_moves_the_mark(station: Asked) -> None:  # noqa: F811
    marks = {station.it.browse.mark()}
    write = station.it.connections.get().execute

    def moved() -> bool:
        before = len(marks)
        marks.add(station.it.browse.mark())
        return len(marks) > before

    station.take(guide_of(shows()))
    assert moved()
    station.take(guide_of([one for one in shows() if one.title != "Quiz"]))
    assert moved()
    for change in (
        "UPDATE channels SET display_name = 'Another' WHERE name = 'one'",
        "UPDATE channel_mappings SET shift_minutes = 5",
        "UPDATE providers SET priority = 5",
    ):
        write(change)
        assert moved(), change
    station.clock.at += 40 * DAY
    assert station.keeper().prune() > 0
    assert moved()
    station.it.providers.delete(1)
    assert moved()


@pytest.mark.parametrize("query", HOSTILE)
@pytest.mark.parametrize("path", ["/search?", f"/epg/programs?{WINDOW}&"], ids=["search", "programmes"])
def test_hostile_queries_are_data(client: FlaskClient, path: str, query: str) -> None:
    answer = client.get(f"/api/v1{path}q={quote(query)}")
    assert answer.status_code in (200, 400)
    assert isinstance(answer.json.get("items", answer.json.get("detail")), list | str)


NONSENSE = [
    "/search",
    "/search?q=",
    "/search?q=a&from=x",
    f"/search?q={'a' * 201}",
    "/search?q=a&new=perhaps",
    "/search?q=a&limit=0",
    "/search?q=a&from=2026-03-12T00:00:00Z&to=2026-03-11T00:00:00Z",
    "/epg/guide?start=2026-03-12T00:00:00Z&end=2026-03-11",
    "/now?at=yesterday",
    "/epg/programs?limit=-1",
    "/now?limit=1e9x",
    "/epg/guide?channels=" + ",".join(["1"] * 1001),
]
CURSORS = ["x", "W10", "WzFd", "WzEsMiwzLDQsNSw2XQ", "bnVsbA", "%00", "WzEsMiwiYSJd", "é", "WzFlOTk5LDEsMV0"]


@pytest.mark.parametrize("path", NONSENSE)
def test_what_cannot_be_meant_is_400_with_a_sentence(client: FlaskClient, path: str) -> None:
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == 400
    assert answer.json["detail"]


@pytest.mark.parametrize("cursor", CURSORS)
@pytest.mark.parametrize("path", ["/epg/programs?", "/epg/guide?", "/now?", "/search?q=news&", "/categories?"])
def test_a_made_up_cursor_is_400(client: FlaskClient, path: str, cursor: str) -> None:
    get(client, f"{path}cursor={cursor}", 400)


def test_unknown_channels_are_404_and_a_huge_limit_is_cut(client: FlaskClient) -> None:
    for path in (
        "/epg/programs?channel=nine",
        "/epg/guide?channels=nine",
        "/now?channels=99",
        "/search?q=a&channel=nine",
    ):
        assert "nine" in str(get(client, path, 404)["detail"]) or "99" in path
    assert len(get(client, f"/epg/programs?{WINDOW}&limit=1000000000000")["items"]) > 50


def test_a_writer_makes_nobody_wait_and_a_locked_database_is_503(
    client: FlaskClient,
    station: Asked,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = apsw.Connection(str(station.paths.database))
    writer.execute("BEGIN IMMEDIATE; UPDATE providers SET name = name")
    for path in QUERIES:
        get(client, path)
    writer.execute("ROLLBACK")

    def locked(*_: object) -> None:
        raise apsw.BusyError("database is locked")

    monkeypatch.setattr("epg_service.store.browse._number", locked)
    for path in QUERIES:
        answer = client.get(f"/api/v1{path}")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    writer.close()


def test_search_without_an_index_is_503_and_switched_off_is_404(
    client: FlaskClient,
    station: Asked,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    station.paths.search.unlink()
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(client.get("/api/v1/search?q=news")))
    thread.start()
    thread.join()
    assert answers[0].status_code == 503
    assert "Retry-After" in answers[0].headers
    off = Asked(tmp_path / "off", settings={"search": {"enabled": False}})
    monkeypatch.setenv("AERIAL_CONFIG", str(off.file))
    other = runpy.run_module("epg_service.wsgi")["app"].test_client()
    assert "epg.search.enabled" in get(other, "/search?q=news", 404)["detail"]
    off.close()


def test_the_api_describes_the_queries(client: FlaskClient) -> None:
    described = get(client, "/openapi.json")["paths"]
    names = {one["name"] for one in described["/api/v1/search"]["get"]["parameters"]}
    assert names == {"q", "category", "channel", "from", "to", "new", "premiere", "limit", "cursor"}
    for path in ("/epg/programs", "/epg/guide", "/now", "/categories"):
        assert f"/api/v1{path}" in described
