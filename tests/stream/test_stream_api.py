"""The stream service's HTTP face, on real stores, without its processes."""

import gzip
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import apsw
import pytest
from flask.testing import FlaskClient

from servicekit.errors import Invalid, Unavailable
from servicekit.health import Checks, State
from servicekit.levels import LevelFollower
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from servicekit.web import Door
from stream_service.app import create_app
from stream_service.domain.model import REDIRECT, RELAY, ChannelTarget
from stream_service.lineups.catalogue import Catalogue
from stream_service.lineups.rendered import RenderedPlaylists
from stream_service.wiring.for_web import Collaborators
from stream_service.wiring.rulebook import condition
from tests.stream.sourcekit import House, playlist

SECRET = "S3CR3T-xyz"
P = ParamSpec("P")
T = TypeVar("T")


class NoRelay:
    """A relay that carries nothing."""

    def join(self, target: ChannelTarget, sock_fd: int, **more: Any) -> None:
        raise AssertionError("nobody joins here")

    def follow(self, target: ChannelTarget, **more: Any) -> Iterator[bytes]:
        return iter((b"G" * 188,))

    def sessions(self) -> list[dict[str, object]]:
        return []

    @property
    def circuits(self) -> "NoCircuits":
        return NoCircuits()


class NoCircuits:
    """Circuit breakers of a relay that asked nobody."""

    def items(self) -> list[dict[str, object]]:
        return []

    def shown(self, name: str) -> dict[str, object]:
        return {"name": name}

    def force(self, name: str, state: str) -> dict[str, object]:
        return {"name": name, "state": state}

    def reset(self, name: str) -> dict[str, object]:
        return {"name": name, "state": "closed"}


def known_delivery(delivery: str) -> None:
    if delivery not in (RELAY, REDIRECT):
        raise Invalid(f"delivery: {delivery!r}")


def directly(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    return fn(*args, **kwargs)


def no_keeper(kind: str, params: Mapping[str, object]) -> dict[str, Any]:
    raise Unavailable("no keeper here")


class Reading(FlaskClient):
    """A client that reads every answer to its end, as players do, so that its file is closed."""

    def open(self, *args: Any, buffered: bool = True, **kwargs: Any) -> Any:
        return super().open(*args, buffered=buffered, **kwargs)


class Site:
    """The app and what stands behind it."""

    def __init__(self, directory: Path) -> None:
        self.house = House(directory)
        self.catalogue = Catalogue(self.house.files.catalogue)
        settings = Settings(directory / "settings.json", lock=directory / "settings.lock")
        app = create_app(
            door=Door(admin_token="t" * 40, internal_secret="s" * 40),
            collaborators=Collaborators(
                sources=self.house.sources,
                runs=self.house.runs,
                channels=self.house.channels,
                lineups=self.house.lineups,
                lineup_channels=self.house.lineup_channels,
                builds=self.house.builds,
                files=self.house.files,
                playlists=RenderedPlaylists(self.house.files.rendered),
                call=directly,
                ask=no_keeper,
                check_address=self.house.access.check_address,
                check_delivery=known_delivery,
                check_condition=condition,
                target=self.catalogue.get,
                guide_imported=lambda: None,
                status=lambda: "ok",
            ),
            relay=NoRelay(),
            checks=Checks(state=State, not_ready=lambda: None),
            metrics=Metrics("aerial_stream", figures=list),
            settings=settings,
            levels=LevelFollower(
                settings=settings, marker=directory / "reload", configured=lambda: "INFO", level="INFO"
            ),
        )
        app.test_client_class = Reading
        self.client: FlaskClient = app.test_client()

    def load(self, *entries: dict[str, str] | str) -> None:
        """A source with these entries, refreshed, built and followed."""
        name = self.house.put(playlist(entries))
        if not self.house.sources.all():
            self.house.add(name)
        assert self.house.refresh(force=True).status == "success"
        self.house.build()
        self.catalogue.look()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.house.connections.close()


# ---- lineups ---------------------------------------------------------------------------------------------------------


def test_a_lineup_is_delivered_by_redirect_when_that_is_asked_for(site: Site) -> None:
    site.load({"name": "One", "url": "http://h/live/joe/secret/1.ts"})
    before = site.client.get("/stream/one.ts")
    assert before.status_code == 200
    assert "secret" not in str(before.headers)
    changed = site.client.put("/api/v1/lineups/default", json={"delivery": "redirect"})
    assert changed.get_json()["delivery"] == "redirect"
    assert site.house.lineups.stale() == ["default"]
    site.house.build()
    site.catalogue.look()
    answer = site.client.get("/stream/one.ts")
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://h/live/joe/secret/1.ts")
    site.client.put("/api/v1/lineups/default", json={"delivery": "relay"})
    site.house.build()
    site.catalogue.look()
    assert site.client.get("/stream/one.ts").status_code == 200


@pytest.mark.parametrize("delivery", ["teleport", "", "a b", 7], ids=str)
def test_a_delivery_that_is_not_there_is_refused(site: Site, delivery: object) -> None:
    assert site.client.put("/api/v1/lineups/default", json={"delivery": delivery}).status_code == 400
    assert site.client.get("/api/v1/lineups/default").get_json()["delivery"] == "relay"
    assert site.client.put("/api/v1/lineups/nope", json={"delivery": "relay"}).status_code == 404


def test_what_a_source_says_of_its_connections_reaches_the_relay(site: Site) -> None:
    site.load({"name": "One", "url": "http://h/1.ts"})
    said = {
        "connection_limit": 2,
        "user_agent": "TV/1",
        "headers": {"Referer": "http://h/"},
        "timeouts": {"first_byte_s": 45, "stall_s": 9, "connect_s": 3},
    }
    shown = site.client.put("/api/v1/sources/1", json=said).get_json()
    assert {name: shown[name] for name in said} == said
    site.house.build()
    site.catalogue.look()
    target = site.catalogue.get("one")
    assert target is not None
    (stream,) = target.streams
    assert stream.connection_limit == 2
    assert dict(stream.timeouts) == said["timeouts"]
    assert dict(stream.headers) == {"User-Agent": "TV/1", "Referer": "http://h/"}


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Connection"])
def test_headers_of_the_connection_itself_cannot_be_chosen(site: Site, name: str) -> None:
    body = {"name": "A", "url": "http://h/list.m3u", "headers": {name: "x"}}
    answer = site.client.post("/api/v1/sources", json=body)
    assert answer.status_code == 400
    assert name.lower() in str(answer.get_json()).lower()


def test_circuit_breakers_are_shown_forced_and_reset(site: Site) -> None:
    assert site.client.get("/api/v1/circuit-breakers").get_json() == {"items": [], "next": None}
    base = "/api/v1/circuit-breakers/services/example.org:8080"
    assert site.client.get(base).get_json() == {"name": "example.org:8080"}
    assert site.client.post(f"{base}/force", json={"state": "open"}).get_json()["state"] == "open"
    assert site.client.post(f"{base}/force", json={"state": "ajar"}).status_code == 400
    assert site.client.post(f"{base}/reset").get_json()["state"] == "closed"


# ---- sources ---------------------------------------------------------------------------------------------------------


def test_a_source_is_made_and_shown_and_loads_nothing_by_itself(site: Site) -> None:
    answer = site.client.post("/api/v1/sources", json={"name": "A", "type": "m3u", "url": "http://h/list.m3u"})
    assert answer.status_code == 201
    made = answer.get_json()
    assert (made["id"], made["enabled"], made["status"], made["streams"]) == (1, True, None, 0)
    assert site.client.get("/api/v1/sources/1").get_json() == made
    assert site.client.get("/api/v1/sources").get_json() == {"items": [made], "next": None}
    assert site.house.runs.due() == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param({"url": "http://h/"}, "name", id="no name"),
        pytest.param({"name": "A"}, "url", id="no address"),
        pytest.param({"name": "A", "url": "ftp://h/"}, "http", id="another scheme"),
        pytest.param({"name": "A", "url": "file:///etc/passwd"}, "http", id="a file address"),
        pytest.param({"name": "A", "url": "../x.m3u"}, "import directory", id="out of the import directory"),
        pytest.param({"name": "A", "url": "http://"}, "host", id="no host"),
        pytest.param({"name": "A", "url": "http://h/", "type": "stalker"}, "m3u", id="a type that is not there"),
        pytest.param({"name": "A", "url": "http://h/", "schedule": "61 * * * *"}, "cron", id="a bad schedule"),
        pytest.param({"name": "A", "url": "http://h/", "headers": {"A b": "c"}}, "header", id="a bad header name"),
        pytest.param({"name": "A", "url": "http://h/", "headers": {"A": "b\r\nC: d"}}, "Latin-1", id="a header of two"),
        pytest.param({"name": "A\nB", "url": "http://h/"}, "one line", id="a name of two lines"),
        pytest.param({"name": "A", "url": "http://h/", "colour": 1}, "colour", id="an unknown key"),
        pytest.param({"name": "A", "url": "http://h/", "connection_limit": 0}, "connection_limit", id="no connection"),
        pytest.param({"name": "A", "url": "http://h/", "timeouts": {"read_s": -1}}, "read_s", id="a negative time"),
    ],
)
def test_a_source_that_cannot_be_is_refused_with_the_reason(site: Site, body: dict[str, object], says: str) -> None:
    answer = site.client.post("/api/v1/sources", json=body)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert says in answer.get_json()["detail"]


def test_a_name_that_is_taken_is_a_conflict(site: Site) -> None:
    site.house.add("http://h/", name="A")
    assert site.client.post("/api/v1/sources", json={"name": "a", "url": "http://h/"}).status_code == 409


def test_a_source_is_changed_key_by_key(site: Site) -> None:
    site.house.add("http://h/", name="A", schedule="0 4 * * *", connection_limit=2)
    changed = site.client.put("/api/v1/sources/1", json={"enabled": False, "schedule": None}).get_json()
    assert (changed["name"], changed["enabled"], changed["schedule"], changed["connection_limit"]) == (
        "A",
        False,
        None,
        2,
    )
    assert site.client.put("/api/v1/sources/1", json={"schedule": "04:30"}).get_json()["schedule"] == "30 4 * * *"
    assert site.client.put("/api/v1/sources/1", json={"name": None}).status_code == 400
    assert site.client.put("/api/v1/sources/9", json={}).status_code == 404


def test_a_source_is_deleted_at_once(site: Site) -> None:
    site.load("A")
    assert site.client.delete("/api/v1/sources/1").status_code == 204
    assert site.client.get("/api/v1/sources/1").status_code == 404
    assert site.client.delete("/api/v1/sources/1").status_code == 404


def test_a_refresh_is_queued_and_its_end_is_told(site: Site) -> None:
    site.house.add(site.house.put(playlist(["A"]) + "#EXTINF:-1,B\n"))
    answer = site.client.post("/api/v1/sources/1/refresh")
    assert answer.status_code == 202
    run = answer.get_json()
    assert (run["id"], run["source_id"], run["status"]) == (1, 1, "queued")
    assert site.client.get("/api/v1/sources/1").get_json()["status"] == "queued"
    (due,) = site.house.runs.due()
    site.house.runs.start(due.id)
    site.house.refresher.refresh(due, site.house.sources.get(1))
    source = site.client.get("/api/v1/sources/1").get_json()
    assert (source["status"], source["streams"], source["entries_skipped"]) == ("success", 1, 1)
    assert source["last_refresh"] == "2026-11-21T12:00:00Z"
    assert source["losses"]["extinf_without_address"] == {"count": 1, "samples": ["B"]}
    (item,) = site.client.get("/api/v1/sources/1/runs").get_json()["items"]
    assert (item["status"], item["completed_at"]) == ("success", "2026-11-21T12:00:00Z")


def test_a_failed_refresh_says_why_and_the_streams_stay(site: Site) -> None:
    site.load("A", "B", "C")
    site.house.put("<html><title>Log in</title>")
    site.house.refresh()
    source = site.client.get("/api/v1/sources/1").get_json()
    assert (source["status"], source["streams"]) == ("rejected", 3)
    assert "Log in" in source["error_message"]


def test_what_cannot_be_refreshed_is_told(site: Site) -> None:
    assert site.client.post("/api/v1/sources/9/refresh").status_code == 404
    site.house.add("http://h/", enabled=False)
    assert site.client.post("/api/v1/sources/1/refresh", json={}).status_code == 409


def test_lists_come_in_pages(site: Site) -> None:
    for n in range(5):
        site.house.add(f"http://h/{n}", name=f"S{n}")
    seen, cursor = [], ""
    while True:
        page = site.client.get(f"/api/v1/sources?limit=2{cursor}").get_json()
        seen += [one["name"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == [f"S{n}" for n in range(5)]
    assert site.client.get("/api/v1/sources?cursor=x").status_code == 400


# ---- channels and lineups --------------------------------------------------------------------------------------------


def test_channels_are_listed_and_shown_without_secrets(site: Site) -> None:
    site.load({"name": "One", "tvg-id": "one.uk", "url": f"http://u:{SECRET}@h/live/u/{SECRET}/1.ts"}, "Two")
    page = site.client.get("/api/v1/channels?limit=1").get_json()
    assert page["next"] == "Two"
    rest = site.client.get(f"/api/v1/channels?cursor={page['next']}").get_json()
    assert [one["id"] for one in page["items"] + rest["items"]] == ["Two", "one.uk"]
    answer = site.client.get("/api/v1/channels/ONE.uk")
    one = answer.get_json()
    assert (one["id"], one["number"], one["tvg_id"]) == ("one.uk", "1", "one.uk")
    assert one["stream_url"] == "http://localhost/stream/one.uk.ts"
    assert SECRET not in answer.get_data(as_text=True)
    assert site.client.get("/api/v1/channels/none").status_code == 404


def test_channels_can_be_searched_by_name(site: Site) -> None:
    site.load("BBC One", "ITV", "bbc two")
    found = site.client.get("/api/v1/channels?q=bbc").get_json()["items"]
    assert {one["name"] for one in found} == {"BBC One", "bbc two"}


def test_a_lineup_is_listed_by_number(site: Site) -> None:
    site.load({"name": "B", "tvg-chno": "10"}, {"name": "A", "tvg-chno": "9.2"}, {"name": "C", "tvg-chno": "9.10"})
    (lineup,) = site.client.get("/api/v1/lineups").get_json()["items"]
    assert (lineup["name"], lineup["channels"]) == ("default", 3)
    seen, cursor = [], "?limit=1"
    while cursor:
        page = site.client.get(f"/api/v1/lineups/default/channels{cursor}").get_json()
        seen += [one["number"] for one in page["items"]]
        cursor = f"?limit=1&cursor={page['next']}" if page["next"] else ""
    assert seen == ["9.2", "9.10", "10"]
    assert site.client.get("/api/v1/lineups/none/channels").status_code == 404
    assert site.client.get("/api/v1/lineups/default/channels?cursor=1").status_code == 400


# ---- playlists and guides --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/playlist.m3u", "/lineups/default/playlist.m3u"])
def test_from_the_first_second_there_is_a_playlist(site: Site, path: str) -> None:
    answer = site.client.get(path)
    assert answer.status_code == 200
    assert answer.content_type == "audio/x-mpegurl; charset=utf-8"
    assert answer.get_data(as_text=True).startswith('#EXTM3U x-tvg-url="http://localhost/lineups/default/epg.xml.gz"')


def test_a_playlist_names_the_address_it_was_asked_under(site: Site) -> None:
    site.load("A")
    mine = site.client.get("/playlist.m3u", headers={"Host": "192.168.1.5:8081"})
    other = site.client.get("/playlist.m3u", headers={"Host": "tv.lan"})
    assert "http://192.168.1.5:8081/stream/A.ts" in mine.get_data(as_text=True)
    assert "http://tv.lan/stream/A.ts" in other.get_data(as_text=True)
    assert mine.headers["ETag"] != other.headers["ETag"]


def test_a_playlist_is_fetched_conditionally_and_by_head(site: Site) -> None:
    site.load("A")
    whole = site.client.get("/playlist.m3u")
    again = site.client.get("/playlist.m3u", headers={"If-None-Match": whole.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    head = site.client.head("/playlist.m3u")
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.data))
    site.load("A", "B")
    assert site.client.get("/playlist.m3u", headers={"If-None-Match": whole.headers["ETag"]}).status_code == 200


def test_an_unknown_lineup_is_not_found(site: Site) -> None:
    assert site.client.get("/lineups/none/playlist.m3u").status_code == 404
    assert site.client.get("/lineups/none/epg.xml").status_code == 404
    assert site.client.get("/lineups/a%20b/playlist.m3u").status_code == 400


@pytest.mark.parametrize("path", ["/epg.xml", "/lineups/default/epg.xml"])
def test_the_copy_of_the_guide_is_served_and_an_empty_one_before_it_is_there(site: Site, path: str) -> None:
    assert site.client.get(path).data.endswith(b"</tv>\n")
    assert gzip.decompress(site.client.get(f"{path}.gz").data).endswith(b"</tv>\n")
    guide = b'<?xml version="1.0"?><tv><channel id="A"/></tv>'
    for packed in (False, True):
        target = site.house.files.guide("default", packed=packed)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.compress(guide) if packed else guide)
    plain = site.client.get(path)
    assert plain.data == guide
    assert gzip.decompress(site.client.get(f"{path}.gz").data) == guide
    coded = site.client.get(path, headers={"Accept-Encoding": "gzip"})
    assert coded.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(coded.data) == guide
    assert coded.headers["ETag"] != plain.headers["ETag"]
    assert site.client.get(path, headers={"If-None-Match": plain.headers["ETag"]}).status_code == 304


def test_the_start_page_gives_the_addresses_and_escapes_what_providers_wrote(site: Site) -> None:
    site.load("A")
    site.house.sources.update(1, {"name": "<script>alert(1)</script>"})
    answer = site.client.get("/")
    text = answer.get_data(as_text=True)
    assert "http://localhost/playlist.m3u" in text
    assert "http://localhost/epg.xml.gz" in text
    assert "<script>" not in text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


# ---- the rest --------------------------------------------------------------------------------------------------------


def test_a_stream_is_found_in_the_catalogue(site: Site) -> None:
    site.load("A")
    assert site.client.head("/stream/A.ts").status_code == 200
    assert site.client.get("/stream/none.ts").status_code == 404


def test_a_locked_database_is_503_and_the_playlist_goes_on(site: Site) -> None:
    site.load("A")
    site.house.connections.get().set_busy_timeout(0)
    other = apsw.Connection(str(site.house.connections.path))
    other.execute("BEGIN IMMEDIATE")
    answer = site.client.post("/api/v1/sources", json={"name": "B", "url": "http://h/"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert site.client.get("/playlist.m3u").status_code == 200
    assert site.client.get("/api/v1/sources").status_code == 200
    other.execute("ROLLBACK")
    other.close()


def test_the_description_names_every_route(site: Site) -> None:
    described = set(site.client.get("/api/v1/openapi.json").get_json()["paths"])
    assert {"/api/v1/sources", "/api/v1/sources/{source_id}/refresh", "/playlist.m3u", "/health"} <= described
