"""Lineups beside one another that deliver in different ways: every address that one writes leads its own way."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.web import Door, make_app
from stream_service.api import hls, live, xtream_streams
from stream_service.api.access import Gate
from stream_service.domain.lineup import LineupOptions, names_itself
from stream_service.domain.model import ChannelTarget
from tests.stream.test_stream_api import directly
from tests.stream.xtreamkit import PASSWORD, TOKEN, Hls, Site

AT_PROVIDER = "http://p.example/live/u/p/77.ts"
GOOD = {"username": "ann", "password": PASSWORD}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.load({"name": "One", "tvg-id": "one.tv", "url": AT_PROVIDER}, {"name": "Two", "tvg-id": "two.tv"})
    made.user()
    yield made
    made.close()


def deliver(site: Site, **ways: str) -> None:
    """Each lineup delivers so from now on, made where it is not there; all are built."""
    lineups = site.house.lineups
    known = {one.name for one in lineups.all()}
    for name, way in ways.items():
        if name in known:
            lineups.change(name, delivery=way)
        else:
            lineups.create(name, LineupOptions(), delivery=way)
    site.build(*lineups.stale())


def first(site: Site, path: str, **query: str) -> str:
    """The first channel's address in a playlist."""
    text = site.client.get(path, query_string=query).get_data(as_text=True)
    return next(line for line in text.splitlines() if line.startswith("http")).removeprefix("http://localhost")


def led(site: Site, address: str) -> str:
    """Where an address leads: the way of delivery."""
    answer = site.client.get(address)
    if answer.status_code == 302:
        assert answer.headers["Location"] == AT_PROVIDER
        return "redirect"
    assert answer.status_code == 200, answer.data
    return "relay"


@pytest.mark.parametrize("default", ["relay", "redirect"])
@pytest.mark.parametrize("kids", ["relay", "redirect"])
def test_every_output_of_a_lineup_leads_its_own_way(site: Site, default: str, kids: str) -> None:
    deliver(site, default=default, kids=kids)
    site.user("bob", lineups=["kids"])
    bob = {"username": "bob", "password": PASSWORD}
    for name, way in (("default", default), ("kids", kids)):
        assert led(site, first(site, f"/lineups/{name}/playlist.m3u")) == way
        assert led(site, first(site, f"/lineups/{name}/playlist.m3u", **GOOD)) == way
        assert led(site, first(site, "/get.php", **GOOD, lineup=name)) == way
        listed = site.client.get(f"/api/v1/lineups/{name}/channels").get_json()["items"][0]
        assert led(site, listed["stream_url"].removeprefix("http://localhost")) == way
        assert site.client.get(f"/api/v1/lineups/{name}/channels/{listed['id']}").get_json() == listed
    assert led(site, first(site, "/get.php", **bob)) == kids
    assert led(site, f"/live/bob/{PASSWORD}/1.ts") == kids
    assert led(site, f"/live/ann/{PASSWORD}/1.ts") == default
    assert led(site, f"/live/ann/{PASSWORD}/1?lineup=kids") == kids
    assert "?" not in first(site, "/playlist.m3u")


@pytest.mark.parametrize(
    ("lineup", "way", "default", "named"),
    [
        ("default", "relay", "relay", False),
        ("default", "redirect", "redirect", False),
        ("kids", "relay", "relay", False),
        ("kids", "relay", "redirect", True),
        ("kids", "relay", "h264-aac", True),
        ("kids", "redirect", "relay", True),
        ("kids", "redirect", "redirect", True),
        ("kids", "h264-aac", "relay", True),
    ],
)
def test_addresses_say_the_lineup_where_they_would_lead_another_way(
    lineup: str, way: str, default: str, named: bool
) -> None:
    assert names_itself(lineup, way, default) is named


def test_lineups_that_relay_are_written_anew_when_default_delivers_in_another_way(site: Site) -> None:
    deliver(site, kids="relay", away="redirect")
    before = first(site, "/lineups/kids/playlist.m3u")
    assert "?" not in before
    site.client.put("/api/v1/lineups/default", json={"title": "another"})
    assert site.house.lineups.stale() == ["default"]
    site.build("default")
    site.client.put("/api/v1/lineups/default", json={"delivery": "redirect"})
    assert site.house.lineups.stale() == ["default", "kids"]
    site.build("default", "kids")
    assert first(site, "/lineups/kids/playlist.m3u") == f"{before}?lineup=kids"
    deliver(site, default="relay")
    assert first(site, "/lineups/kids/playlist.m3u") == before


def test_a_user_of_several_lineups_gets_each_as_it_delivers(site: Site) -> None:
    deliver(site, away="redirect", kids="relay")
    site.client.post("/api/v1/lineups", json={"name": "gone"})
    site.user("bob", lineups=["gone", "away", "kids"])
    site.client.delete("/api/v1/lineups/gone")
    bob = {"username": "bob", "password": PASSWORD}
    kids = first(site, "/get.php", **bob, lineup="kids")
    assert kids == f"/live/bob/{PASSWORD}/1.ts?lineup=kids"
    assert led(site, kids) == "relay"
    assert led(site, first(site, "/lineups/kids/playlist.m3u", **bob)) == "relay"
    assert first(site, "/get.php", **bob, lineup="kids", output="m3u8").endswith("/1.m3u8?lineup=kids")
    assert led(site, first(site, "/get.php", **bob, lineup="away")) == "redirect"
    site.user("eve", lineups=["kids", "away"])
    eve = {"username": "eve", "password": PASSWORD}
    assert first(site, "/get.php", **eve) == f"/live/eve/{PASSWORD}/1.ts"
    assert first(site, "/get.php", **eve, lineup="away").endswith("/1.ts?lineup=away")


def test_a_channel_that_default_has_not_is_relayed_where_a_lineup_relays_it(site: Site) -> None:
    deliver(site, away="redirect", kids="relay")
    address = first(site, "/lineups/kids/playlist.m3u")
    ident = address.removeprefix("/stream/").removesuffix(".ts")
    site.client.put(f"/api/v1/lineups/default/channels/{ident}", json={"hidden": True})
    site.build("default")
    assert first(site, "/playlist.m3u") != address
    assert first(site, "/lineups/kids/playlist.m3u") == address
    assert led(site, address) == "relay"
    assert led(site, first(site, "/lineups/away/playlist.m3u")) == "redirect"


# ---- the same for HLS ------------------------------------------------------------------------------------------------


def made_by(target: ChannelTarget, profile: str) -> ChannelTarget:
    return replace(target, id=f"{target.id}~{profile}")


@pytest.fixture
def player(site: Site) -> FlaskClient:
    """A player at a site with HLS."""
    accounts, showing = site.accounts, site.showing
    gate = Gate(rule=accounts.rule, seats=accounts.seats, in_lineup=accounts.in_lineup)
    app = make_app(
        "deliveries",
        title="deliveries",
        door=Door(admin_token=TOKEN, internal_secret="s" * 40, admits=gate),
        metrics=Metrics("deliveries_test", figures=list),
        settings=site.settings,
        checks=Checks(state=State, not_ready=lambda: None),
    )
    for views in (
        live.blueprint(hub=site.relay, catalogue=site.catalogue.get, through=made_by, lineups=showing),
        hls.blueprint(output=Hls(), catalogue=site.catalogue.get, through=made_by, lineups=showing),
        xtream_streams.blueprint(
            channels=showing,
            hub=site.relay,
            past=xtream_streams.Past(channels=showing, pump=showing.pump, call=directly),
            through=made_by,
            output=Hls(),
        ),
    ):
        app.register_api(views)
    return app.test_client()


def test_hls_is_delivered_as_the_lineup_that_is_named_says(site: Site, player: FlaskClient) -> None:
    deliver(site, kids="copy", room="relay")
    site.user("bob", lineups=["room"])

    def shown(address: str) -> str:
        answer = player.get(address)
        assert answer.status_code == 200, answer.data
        return answer.text.splitlines()[-1].partition("/hls/")[0].rpartition("/")[2]

    assert shown("/stream/one.tv.m3u8") == "one.tv"
    assert shown("/stream/one.tv.m3u8?lineup=kids") == "one.tv~copy"
    assert shown("/stream/one.tv.m3u8?lineup=kids&profile=h264-aac") == "one.tv~h264-aac"
    assert shown(f"/live/ann/{PASSWORD}/1.m3u8") == "one.tv"
    assert shown(f"/live/ann/{PASSWORD}/1.m3u8?lineup=kids") == "one.tv~copy"
    for form in ("ts", "m3u8"):
        assert player.get(f"/stream/one.tv.{form}?lineup=nowhere").status_code == 404
        assert player.get(f"/stream/nothing.{form}?lineup=kids").status_code == 404
        theirs = f"username=bob&password={PASSWORD}"
        assert player.get(f"/stream/one.tv.{form}?{theirs}&lineup=kids").status_code == 403
        assert player.head(f"/stream/one.tv.{form}?{theirs}&lineup=room").status_code == 200


def test_hls_of_a_lineup_that_redirects_leads_to_playlists_of_the_provider_alone(
    site: Site, player: FlaskClient
) -> None:
    theirs = "http://p.example/two/INDEX.m3u8?token=x"
    site.load(
        {"name": "One", "tvg-id": "one.tv", "url": AT_PROVIDER}, {"name": "Two", "tvg-id": "two.tv", "url": theirs}
    )
    deliver(site, default="relay", away="redirect")
    for address in ("/stream/two.tv.m3u8?lineup=away", f"/live/ann/{PASSWORD}/2.m3u8?lineup=away"):
        answer = player.get(address)
        assert (answer.status_code, answer.headers.get("Location")) == (302, theirs)
    assert player.get("/stream/two.tv.m3u8").status_code == 200
    assert player.get("/stream/one.tv.ts?lineup=away").status_code == 302
    answer = player.get("/stream/one.tv.m3u8?lineup=away")  # no HLS there: it is made here
    assert (answer.status_code, answer.content_type) == (200, "application/vnd.apple.mpegurl")
