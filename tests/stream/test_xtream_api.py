"""The Xtream server: types to the letter, what TiviMate, Kodi, IPTV Smarters and XCIPTV ask, and the way back in."""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.web import Door, make_app
from stream_service.api import xtream_streams
from stream_service.lineups.rendered import slices
from stream_service.outputs import xtream
from stream_service.store.lineup_channels import Page
from tests.providerkit import ScriptedProvider
from tests.stream.sourcekit import START_S
from tests.stream.test_stream_api import directly
from tests.stream.xtreamkit import OUTSIDE, PASSWORD, TOKEN, Hls, Site

GOOD = {"username": "ann", "password": PASSWORD}
HOUR = 3600


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.load(
        {"name": 'One, "HD"', "tvg-id": "one.tv", "group-title": "News", "catchup": "xc", "catchup-days": "2",
         "tvg-logo": "http://logos.example/one.png", "url": "http://p.example/live/u/p/77.ts"},
        {"name": "Two & Söhne", "tvg-id": "two.tv", "group-title": "Kids", "is-adult": "1"},
        {"name": "Three", "tvg-chno": "5.1"},
    )  # fmt: skip
    made.user()
    yield made
    made.close()


def show(number: int, start: int, stop: int) -> dict[str, Any]:
    return {"id": number, "start": start, "stop": stop, "title": f"Show {number} ü", "description": None}


class Told:
    """Listings without a guide service."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int, int, int]] = []

    def of(self, lineup: str, channel_id: str, *, start_s: int, end_s: int, limit: int) -> list[dict[str, Any]]:
        self.asked.append((lineup, channel_id, start_s, end_s, limit))
        first = START_S - 3 * 86_400 // HOUR * HOUR
        shows = [show(at, at, at + HOUR) for at in range(first - HOUR // 2, START_S + 9 * HOUR, HOUR)]
        return [one for one in shows if one["stop"] > start_s and one["start"] < end_s][:limit]


# ---- exact forms -----------------------------------------------------------------------------------------------------

ACCOUNT = {
    "username": str, "password": str, "message": str, "auth": int, "status": str, "exp_date": (str, type(None)),
    "is_trial": str, "active_cons": str, "created_at": str, "max_connections": str, "allowed_output_formats": list,
}  # fmt: skip
SERVER = {
    "url": str, "port": str, "https_port": str, "server_protocol": str, "rtmp_port": str, "timezone": str,
    "timestamp_now": int, "time_now": str,
}  # fmt: skip
STREAM = {
    "num": int, "name": str, "stream_type": str, "stream_id": int, "stream_icon": str, "epg_channel_id": str,
    "added": str, "is_adult": int, "category_id": str, "category_ids": list, "custom_sid": str, "tv_archive": int,
    "direct_source": str, "tv_archive_duration": int, "thumbnail": str,
}  # fmt: skip
LISTING = {
    "id": str, "epg_id": str, "title": str, "lang": str, "start": str, "end": str, "description": str,
    "channel_id": str, "start_timestamp": str, "stop_timestamp": str,
}  # fmt: skip


def assert_form(said: dict[str, Any], form: dict[str, Any]) -> None:
    assert set(form) <= set(said)
    wrong = {key: said[key] for key, kind in form.items() if not isinstance(said[key], kind)}
    assert not wrong
    assert not [key for key, kind in form.items() if kind is int and isinstance(said[key], bool)]


def test_a_login_has_every_field_with_its_type(site: Site) -> None:
    said = site.xtream().get_json()
    assert_form(said["user_info"], ACCOUNT)
    assert_form(said["server_info"], SERVER)
    assert said["user_info"]["max_connections"] == "100"
    assert said["server_info"]["time_now"] == "2026-11-21 12:00:00"
    assert said["server_info"]["timezone"] == "UTC"


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        ("http://10.0.0.5:8081", ("10.0.0.5", "8081", "443", "http")),
        ("http://tv.lan", ("tv.lan", "80", "443", "http")),
        ("https://tv.example.org", ("tv.example.org", "80", "443", "https")),
        ("https://tv.example.org:8443", ("tv.example.org", "80", "8443", "https")),
        ("http://[fd00::5]:8081", ("[fd00::5]", "8081", "443", "http")),
    ],
)
def test_apps_are_told_the_address_that_they_used(origin: str, wanted: tuple[str, ...]) -> None:
    said = xtream.server_info(origin, START_S)
    assert (said["url"], said["port"], said["https_port"], said["server_protocol"]) == wanted


def test_the_public_address_is_told_behind_a_proxy(tmp_path: Path) -> None:
    site = Site(tmp_path, public_url="https://tv.example.org")
    site.user()
    said = site.xtream().get_json()["server_info"]
    assert (said["url"], said["server_protocol"], said["https_port"]) == ("tv.example.org", "https", "443")
    site.close()


def test_live_lists_have_their_types_and_permanent_numbers(site: Site) -> None:
    categories = site.xtream("get_live_categories").get_json()
    assert [one["category_name"] for one in categories] == ["News", "Kids", "Uncategorised"]
    assert all(one["category_id"].isdigit() and one["parent_id"] == 0 for one in categories)
    streams = site.xtream("get_live_streams").get_json()
    for one in streams:
        assert_form(one, STREAM)
    assert [one["name"] for one in streams] == ['One, "HD"', "Two & Söhne", "Three"]
    assert [(one["tv_archive"], one["tv_archive_duration"], one["is_adult"]) for one in streams] == [
        (1, 2, 0), (0, 0, 1), (0, 0, 0),
    ]  # fmt: skip
    numbers = {one["name"]: one["stream_id"] for one in streams}
    site.load({"name": "New first"}, {"name": "Three", "tvg-chno": "5.1"}, {"name": 'One, "HD"', "tvg-id": "one.tv"})
    again = {one["name"]: one["stream_id"] for one in site.xtream("get_live_streams").get_json()}
    assert {name: again[name] for name in ("Three", 'One, "HD"')} == {
        name: numbers[name] for name in ("Three", 'One, "HD"')
    }
    assert again["New first"] not in numbers.values()


def test_a_category_is_cut_out_of_the_list(site: Site) -> None:
    whole = site.xtream("get_live_streams").get_json()
    for category in site.xtream("get_live_categories").get_json():
        ident = category["category_id"]
        part = site.xtream("get_live_streams", category_id=ident).get_json()
        assert part == [one for one in whole if one["category_id"] == ident]
        assert part
    assert site.xtream("get_live_streams", category_id="12345").get_json() == []
    assert site.xtream("get_live_streams", category_id="x'\"").get_json() == []
    assert site.xtream("get_live_streams", category_id="0").get_json() == whole


def test_lists_come_packed_and_conditionally(site: Site) -> None:
    plain = site.xtream("get_live_streams")
    said = {**GOOD, "action": "get_live_streams"}
    packed = site.client.get("/player_api.php", query_string=said, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert packed.headers["ETag"] != plain.headers["ETag"]
    again = site.client.get("/player_api.php", query_string=said, headers={"If-None-Match": plain.headers["ETag"]})
    assert again.status_code == 304
    part = site.client.get(
        "/player_api.php",
        query_string={**said, "category_id": json.loads(plain.data)[0]["category_id"]},
        headers={"Accept-Encoding": "gzip"},
    )
    assert len(json.loads(gzip.decompress(part.data))) == 1


def test_old_clients_get_everything_at_once(site: Site) -> None:
    said = site.client.get("/panel_api.php", query_string=GOOD).get_json()
    assert_form(said["user_info"], ACCOUNT)
    assert set(said["categories"]) == {"live", "movie", "series"}
    streams = {str(one["stream_id"]): one for one in site.xtream("get_live_streams").get_json()}
    assert set(said["available_channels"]) == set(streams)
    one = said["available_channels"][next(iter(streams))]
    assert (one["category_name"], one["live"]) == ("News", "1")


def test_an_action_has_a_number_too_and_an_unknown_one_is_an_empty_object(site: Site) -> None:
    for number, name in xtream.ACTIONS_BY_NUMBER.items():
        assert site.xtream(number).get_json() == site.xtream(name).get_json()
    for action in ("get_everything", "209x", "../x", "a" * 500):
        assert site.xtream(action).get_json() == {}


def test_a_form_does_as_well_as_a_query(site: Site) -> None:
    answer = site.client.post("/player_api.php", data={**GOOD, "action": "get_live_streams"})
    assert answer.get_json() == site.xtream("get_live_streams").get_json()
    assert site.client.post("/player_api.php", data={**GOOD, "password": "x"}).status_code == 401
    assert site.client.post("/player_api.php", json=GOOD).status_code in (401, 415)


def test_before_the_first_build_everything_is_there_and_empty(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.user()
    for action in ("get_live_categories", "get_live_streams", "get_vod_categories", "get_vod_streams", "get_series"):
        assert site.xtream(action).get_json() == []
    assert site.client.get("/panel_api.php", query_string=GOOD).get_json()["available_channels"] == {}
    assert site.client.get("/get.php", query_string=GOOD).get_data(as_text=True).startswith("#EXTM3U")
    assert b"<tv" in site.client.get("/xmltv.php", query_string=GOOD).data
    site.close()


# ---- playlists -------------------------------------------------------------------------------------------------------


def test_a_users_playlist_holds_their_login_and_the_anonymous_one_does_not(site: Site) -> None:
    plain = site.client.get("/playlist.m3u").data
    for path in ("/playlist.m3u", "/lineups/default/playlist.m3u", "/get.php"):
        text = site.client.get(path, query_string=GOOD).get_data(as_text=True)
        assert f"/live/ann/{PASSWORD}/1.ts" in text
        assert "xmltv.php?username=ann" in text.partition("\n")[0]
        assert "\x01" not in text
    mine = site.client.get("/playlist.m3u", query_string=GOOD)
    assert mine.headers["Cache-Control"] == "private, no-cache"
    written = [path for path in site.house.files.rendered.iterdir() if PASSWORD.encode() in path.read_bytes()]
    assert written
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in written)
    assert site.client.get("/playlist.m3u").data == plain
    assert b"ann/" not in plain
    assert PASSWORD.encode() not in plain
    assert b"/stream/one.tv.ts" in plain


@pytest.mark.parametrize(
    ("query", "ending", "attributes"),
    [
        ({"type": "m3u_plus", "output": "ts"}, ".ts", True),
        ({"type": "m3u_plus", "output": "mpegts"}, ".ts", True),
        ({"type": "m3u_plus", "output": "m3u8"}, ".m3u8", True),
        ({"type": "m3u_plus", "output": "hls"}, ".m3u8", True),
        ({"type": "m3u", "output": "ts"}, ".ts", False),
        ({}, ".ts", True),
    ],
)
def test_get_php_in_its_forms(site: Site, query: dict[str, str], ending: str, attributes: bool) -> None:
    text = site.client.get("/get.php", query_string={**GOOD, **query}).get_data(as_text=True)
    addresses = [line for line in text.splitlines() if line.startswith("http")]
    assert len(addresses) == 3
    assert all(one.endswith(ending) for one in addresses)
    assert ("tvg-id" in text) is attributes
    assert "Two & Söhne" in text


def test_a_lineup_without_xtream_has_empty_lists_and_its_playlist_shows_the_login_behind_plain_addresses(
    site: Site,
) -> None:
    assert site.client.put("/api/v1/lineups/default", json={"outputs": ["m3u"]}).status_code == 200
    site.build()
    assert site.xtream("get_live_streams").get_json() == []
    assert site.xtream("get_live_categories").get_json() == []
    text = site.client.get("/playlist.m3u", query_string=GOOD).get_data(as_text=True)
    login = f"?username=ann&password={PASSWORD}"
    assert f"http://localhost/stream/one.tv.ts{login}\n" in text
    assert f'x-tvg-url="http://localhost/lineups/default/epg.xml.gz{login}"' in text
    address = next(line for line in text.splitlines() if line.startswith("http"))
    assert site.client.get(address, environ_base=OUTSIDE).status_code == 200


def test_a_group_is_chosen_whatever_its_case(site: Site) -> None:
    text = site.client.get("/playlist.m3u?group=news&group=KIDS").get_data(as_text=True)
    assert text.count("#EXTINF") == 2
    assert text.startswith("#EXTM3U x-tvg-url")


@pytest.mark.parametrize("size", [1, 50, 300, 10_000])
def test_slices_cut_no_entry_and_lose_nothing(size: int) -> None:
    text = b"#EXTM3U\n" + b"".join(b'#EXTINF:-1 a="%d",N\nhttp://h/%d\n' % (n, n) for n in range(50))
    parts = list(slices(text, b"\n#EXTINF", size=size))
    assert b"".join(parts) == text
    assert all(part.endswith(b"\n") for part in parts)
    assert all(part.count(b"#EXTINF") == part.count(b"http://") for part in parts)


# ---- the guide -------------------------------------------------------------------------------------------------------


def test_a_player_that_knows_no_xtream_asks_for_the_past_of_a_plain_stream(
    site: Site, provider: ScriptedProvider
) -> None:
    template = provider.url("/past/u/S3CR3T/{utc}-{duration}.ts")
    site.load(
        {
            "name": "Kept",
            "catchup": "default",
            "catchup-days": "3",
            "catchup-source": template,
            "url": provider.url("/a"),
        },
        {"name": "Appends", "catchup": "append", "catchup-source": "?utc={utc}", "url": provider.url("/b.ts")},
    )
    text = site.client.get("/playlist.m3u").get_data(as_text=True)
    assert "S3CR3T" not in text
    assert 'catchup-source="http://localhost/stream/Kept.ts?utc={utc}&duration={duration}"' in text
    assert 'catchup="default" catchup-days="3"' in text
    assert 'catchup-source="?utc={utc}"' in text
    user_text = site.client.get("/playlist.m3u", query_string=GOOD).get_data(as_text=True)
    assert f"/live/ann/{PASSWORD}/" in user_text.partition('catchup-source="')[2].partition('"')[0]
    provider.serve(f"/past/u/S3CR3T/{START_S - 7200}-3600.ts", b"G" * 188, content_type="video/mp2t")
    provider.serve("/b.ts", b"G" * 376, content_type="video/mp2t")
    asked = {"utc": START_S - 7200, "duration": 3600}
    assert len(site.client.get("/stream/Kept.ts", query_string=asked).data) == 188
    assert len(site.client.get("/stream/Appends.ts", query_string={"utc": START_S - 7200}).data) == 376
    assert provider.count(f"/b.ts?utc={START_S - 7200}") == 1
    assert site.client.get("/stream/Kept.ts", query_string={**asked, "utcend": 1, "duration": 0}).status_code == 400
    assert site.client.get("/stream/Kept.ts", query_string={"utc": START_S, "utcend": START_S - 9}).status_code == 404


@pytest.fixture
def told(site: Site, monkeypatch: pytest.MonkeyPatch) -> Told:
    made = Told()
    monkeypatch.setattr(site.showing.listings, "of", made.of)
    return made


def test_the_short_guide_begins_with_what_runs(site: Site, told: Told) -> None:
    listings = site.xtream("get_short_epg", stream_id=1, limit=2).get_json()["epg_listings"]
    for one in listings:
        assert_form(one, LISTING | {"stop": str})
    assert len(listings) == 2
    first = listings[0]
    assert int(first["start_timestamp"]) <= START_S < int(first["stop_timestamp"])
    assert base64.b64decode(first["title"]).decode().endswith("ü")
    assert first["start"] == "2026-11-21 11:30:00"
    assert first["channel_id"] == "one.tv"
    assert len(site.xtream("get_short_epg", stream_id=1).get_json()["epg_listings"]) == 4


def test_the_whole_table_marks_what_runs_and_what_is_kept(site: Site, told: Told) -> None:
    listings = site.xtream("get_simple_data_table", stream_id=1).get_json()["epg_listings"]
    for one in listings:
        assert_form(one, LISTING | {"now_playing": int, "has_archive": int})
    assert sum(one["now_playing"] for one in listings) == 1
    kept = [one for one in listings if one["has_archive"]]
    assert kept
    assert all(int(one["start_timestamp"]) >= START_S - 2 * 86_400 for one in kept)
    assert all(int(one["stop_timestamp"]) <= START_S for one in kept)
    other = site.xtream("get_simple_data_table", stream_id=2).get_json()["epg_listings"]
    assert not any(one["has_archive"] for one in other)


@pytest.mark.parametrize("stream_id", ["", "0", "999", "x", "-1", "1; DROP", "9" * 30])
def test_a_channel_that_is_not_there_has_no_listings(site: Site, told: Told, stream_id: str) -> None:
    for action in ("get_short_epg", "get_simple_data_table"):
        assert site.xtream(action, stream_id=stream_id).get_json() == {"epg_listings": []}
    assert told.asked == []


def test_without_the_guide_service_there_are_no_listings_and_nobody_waits_twice(site: Site) -> None:
    assert site.xtream("get_short_epg", stream_id=1).get_json() == {"epg_listings": []}
    assert site.xtream("get_short_epg", stream_id=2).get_json() == {"epg_listings": []}


def test_a_user_gets_a_channel_as_their_own_lineup_delivers_it(site: Site) -> None:
    made = site.client.post("/api/v1/lineups", json={"name": "away", "delivery": "redirect"})
    assert made.status_code == 201, made.data
    site.build("default", "away")
    site.user("bob", lineups=["away"])
    own = site.client.get(f"/live/bob/{PASSWORD}/1.ts")
    assert (own.status_code, own.headers.get("Location")) == (302, "http://p.example/live/u/p/77.ts")
    assert site.client.get(f"/live/ann/{PASSWORD}/1.ts").status_code == 200


def test_the_m3u_of_a_lineup_leads_to_streams_as_it_delivers_them(site: Site) -> None:
    site.client.post("/api/v1/lineups", json={"name": "away", "delivery": "redirect"})
    site.build("default", "away")
    site.user("bob", lineups=["default"])

    def first(path: str, **query: str) -> str:
        text = site.client.get(path, query_string=query).get_data(as_text=True)
        return next(line for line in text.splitlines() if line.startswith("http")).removeprefix("http://localhost")

    plain = first("/lineups/away/playlist.m3u")
    assert plain.endswith(".ts?lineup=away")
    assert site.client.get(plain).headers["Location"] == "http://p.example/live/u/p/77.ts"
    theirs = first("/lineups/away/playlist.m3u", **GOOD)
    assert theirs == f"/live/ann/{PASSWORD}/1.ts?lineup=away"
    assert site.client.get(theirs).headers["Location"] == "http://p.example/live/u/p/77.ts"
    assert first("/get.php", **GOOD, lineup="away", output="m3u8") == f"/live/ann/{PASSWORD}/1.m3u8?lineup=away"
    bobs = {"username": "bob", "password": PASSWORD}
    refused = site.client.get(plain.partition("?")[0], query_string={**bobs, "lineup": "away"})
    assert refused.status_code == 403
    assert site.client.get(plain.replace("away", "nowhere")).status_code == 404
    assert "?" not in first("/playlist.m3u")


@pytest.mark.parametrize("lineup", ["../..", "..", "a/b", "default\r\nX: y", "a" * 65, "/etc", "%2e%2e"])
def test_a_lineup_that_is_a_path_is_none(site: Site, lineup: str) -> None:
    for path, action in (
        ("/player_api.php", "get_live_streams"),
        ("/get.php", ""),
        ("/xmltv.php", ""),
        ("/panel_api.php", ""),
    ):
        said = {**GOOD, "lineup": lineup, **({"action": action} if action else {})}
        assert site.client.get(path, query_string=said).status_code == 404


# ---- streams of the past ---------------------------------------------------------------------------------------------


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as made:
        yield made


def test_the_past_comes_from_the_providers_archive(site: Site, provider: ScriptedProvider) -> None:
    site.load({"name": "Kept", "catchup": "xc", "url": provider.url("/live/u/p/77.ts")}, "Not kept")
    streams = {one["name"]: one["stream_id"] for one in site.xtream("get_live_streams").get_json()}
    provider.serve("/timeshift/u/p/90/2026-11-20:20-15/77.ts", b"G" * 1880, content_type="video/mp2t")
    ident = streams["Kept"]
    answers = [
        site.client.get(f"/timeshift/ann/{PASSWORD}/90/2026-11-20:20-15/{ident}.ts"),
        site.client.get(
            "/streaming/timeshift.php",
            query_string={**GOOD, "stream": ident, "start": "2026-11-20:20-15", "duration": 90},
        ),
    ]
    assert [(one.status_code, len(one.data)) for one in answers] == [(200, 1880)] * 2
    assert site.client.get(f"/timeshift/ann/{PASSWORD}/90/2026-11-20:20-15/{streams['Not kept']}.ts").status_code == 404
    assert site.client.get(f"/timeshift/ann/{PASSWORD}/90/soon/{ident}.ts").status_code == 404
    assert site.client.get(f"/timeshift/ann/{PASSWORD}/0/2026-11-20:20-15/{ident}.ts").status_code == 404
    assert site.client.get(f"/timeshift/ann/{PASSWORD}/90/2026-11-19:20-15/{ident}.ts").status_code == 404


def test_hls_of_a_user_names_segments_where_they_are(site: Site) -> None:
    app = make_app(
        "hls",
        title="hls",
        door=Door(admin_token=TOKEN, internal_secret="s" * 40),
        metrics=Metrics("hls_test", figures=list),
        settings=site.settings,
        checks=Checks(state=State, not_ready=lambda: None),
    )
    app.register_api(
        xtream_streams.blueprint(
            channels=site.showing,
            hub=site.relay,
            past=xtream_streams.Past(channels=site.showing, pump=site.showing.pump, call=directly),
            output=Hls(),
        )
    )
    client = app.test_client()
    for path in (f"/live/ann/{PASSWORD}/1.m3u8", f"/ann/{PASSWORD}/1.m3u8"):
        answer = client.get(path)
        assert answer.content_type == "application/vnd.apple.mpegurl"
        assert answer.get_data(as_text=True).splitlines()[-1] == "http://localhost/stream/one.tv/hls/TOKEN/7.ts"
        assert client.head(path).status_code == 200


# ---- transcripts: what apps ask for, in their order ------------------------------------------------------------------

TRANSCRIPTS = {
    # Actions and parameters as the apps send them; each line must answer 200 with the JSON type named.
    "TiviMate": [
        ("/player_api.php", {}, dict),
        ("/player_api.php", {"action": "get_live_categories"}, list),
        ("/player_api.php", {"action": "get_live_streams"}, list),
        ("/player_api.php", {"action": "get_vod_categories"}, list),
        ("/player_api.php", {"action": "get_vod_streams"}, list),
        ("/player_api.php", {"action": "get_series_categories"}, list),
        ("/player_api.php", {"action": "get_series"}, list),
        ("/xmltv.php", {}, None),
    ],
    "IPTV Smarters": [
        ("/player_api.php", {}, dict),
        ("/player_api.php", {"action": "get_live_categories"}, list),
        ("/player_api.php", {"action": "get_live_streams", "category_id": "0"}, list),
        ("/player_api.php", {"action": "get_short_epg", "stream_id": "1", "limit": "10"}, dict),
        ("/player_api.php", {"action": "get_simple_data_table", "stream_id": "1"}, dict),
        ("/player_api.php", {"action": "get_vod_info", "vod_id": "1"}, dict),
        ("/player_api.php", {"action": "get_series_info", "series_id": "1"}, dict),
    ],
    "XCIPTV": [
        ("/panel_api.php", {}, dict),
        ("/player_api.php", {"action": "get_live_streams", "params[offset]": "0"}, list),
        ("/player_api.php", {"action": "get_epg_batch", "stream_ids": "1,2"}, dict),
    ],
    "Kodi PVR IPTV Simple": [
        ("/get.php", {"type": "m3u_plus", "output": "ts"}, None),
        ("/xmltv.php", {}, None),
    ],
}  # fmt: skip


@pytest.mark.parametrize("app", TRANSCRIPTS)
def test_what_an_app_asks_is_answered_as_it_expects(site: Site, app: str) -> None:
    for path, query, kind in TRANSCRIPTS[app]:
        answer = site.client.get(
            path, query_string={**GOOD, **query}, headers={"User-Agent": app}, environ_base=OUTSIDE
        )
        assert answer.status_code == 200, (path, query)
        if kind is not None:
            assert isinstance(answer.get_json(), kind), (path, query)
    streams = site.xtream("get_live_streams").get_json()
    server = site.xtream().get_json()["server_info"]
    for one in streams:  # addresses are put together by the app
        base = f"{server['server_protocol']}://{server['url']}:{server['port']}"
        address = f"{base}/live/ann/{PASSWORD}/{one['stream_id']}.ts"
        assert site.client.get(address, headers={"User-Agent": app}, environ_base=OUTSIDE).status_code == 200


# ---- round trip ------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(site: Site) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, site.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def entries(site: Site) -> list[tuple[str, ...]]:
    rows = site.house.lineup_channels.page("default", Page(), limit=500)
    return [(row.id, row.number, row.name, row.group) for row, _ in rows]


@pytest.mark.parametrize("kind", ["xtream", "m3u"])
def test_our_output_as_a_source_gives_the_same_lineup(site: Site, served: str, tmp_path: Path, kind: str) -> None:
    (tmp_path / "second").mkdir()
    second = Site(tmp_path / "second")
    if kind == "xtream":
        second.house.add(served, type="xtream", username="ann", password=PASSWORD)
    else:
        second.house.add(f"{served}/get.php?username=ann&password={PASSWORD}&type=m3u_plus&output=ts")
    run = second.house.refresh()
    assert run.status == "success", run.error_message
    second.build()
    theirs, ours = entries(second), entries(site)
    named = {"Uncategorised": ""}
    # M3U has no word for a comma in a group or a quotation mark in a name, Xtream none for a decimal number.
    assert [(one[2].replace("'", '"'), named.get(one[3], one[3])) for one in theirs] == [
        (one[2], one[3]) for one in ours
    ]
    assert [one[0] for one in theirs][:2] == [one[0] for one in ours][:2]
    (first,) = [one for one in second.catalogue.get("one.tv").streams]  # type: ignore[union-attr]
    assert first.url == f"{served}/live/ann/{PASSWORD}/1.ts"
    second.close()
