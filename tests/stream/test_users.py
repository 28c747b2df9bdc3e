"""Users: over the API, in memory, what they may do, how many streams they have, and how often one may guess."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servicekit.errors import Forbidden, Invalid, RateLimited, Unauthorized
from stream_service.accounts.seats import HLS_IDLE_S, Seats
from stream_service.accounts.throttle import MOST_ADDRESSES, Throttle
from stream_service.domain.users import Credentials, User, checked_name, checked_password
from tests.stream.sourcekit import HeldClock
from tests.stream.xtreamkit import PASSWORD, Site, WatchedRelay, Watcher


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


# ---- over the API ----------------------------------------------------------------------------------------------------


def test_a_user_is_made_changed_and_deleted_and_their_password_is_never_shown(site: Site) -> None:
    made = site.user(connection_limit=2, expires_at="2027-01-01T00:00:00Z", lineups=["default"], priority=5)
    assert made["expires_at"] == "2027-01-01T00:00:00Z"
    assert (made["connections"], made["status"], made["lineups"]) == (0, "active", ["default"])
    changed = site.client.put("/api/v1/users/1", json={"password": "another-Pass2", "lineups": None})
    assert changed.get_json()["lineups"] is None
    said = changed.data + site.client.get("/api/v1/users").data + site.client.get("/api/v1/users/1").data
    assert b"Pass" not in said
    table = site.accounts.table
    assert table.check("ann", PASSWORD) is None
    assert table.check("ANN", "another-Pass2") is not None
    assert site.client.delete("/api/v1/users/1").status_code == 204
    assert table.check("ann", "another-Pass2") is None
    assert site.client.get("/api/v1/users/1").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"name": "ann"},
        {"name": "..", "password": PASSWORD},
        {"name": "a/b", "password": PASSWORD},
        {"name": "a\r\nX: y", "password": PASSWORD},
        {"name": "Live", "password": PASSWORD},
        {"name": "tuner0", "password": PASSWORD},
        {"name": "ann", "password": "short"},
        {"name": "ann", "password": "sla/sh-sla/sh"},
        {"name": "ann", "password": PASSWORD, "connection_limit": 0},
        {"name": "ann", "password": PASSWORD, "lineups": ["../x"]},
        {"name": "ann", "password": PASSWORD, "enabled": None},
        {"name": "ann", "password": PASSWORD, "expires_at": "soon"},
    ],
    ids=lambda body: str(sorted(body.items()))[:60],
)
def test_what_cannot_be_a_user_is_refused_without_repeating_the_password(site: Site, body: dict[str, Any]) -> None:
    answer = site.client.post("/api/v1/users", json=body)
    assert answer.status_code == 400
    assert "sla/sh-sla" not in answer.get_data(as_text=True)


def test_a_name_is_taken_whatever_its_case_and_a_lineup_must_be_there(site: Site) -> None:
    site.user()
    assert site.client.post("/api/v1/users", json={"name": "ANN", "password": PASSWORD}).status_code == 409
    body = {"name": "bob", "password": PASSWORD, "lineups": ["nowhere"]}
    assert site.client.post("/api/v1/users", json=body).status_code == 404


def test_favourites_are_kept_in_order_and_mend_the_case_of_ids(site: Site) -> None:
    site.load("One", "Two")
    site.user()
    assert site.client.put("/api/v1/users/1/favourites", json={"channels": ["TWO", "oNE", "two"]}).get_json() == {
        "channels": ["Two", "One"]
    }
    assert site.client.get("/api/v1/users/1/favourites").get_json() == {"channels": ["Two", "One"]}
    assert site.client.put("/api/v1/users/1/favourites", json={"channels": ["nope"]}).status_code == 404
    text = site.client.get("/playlist.m3u?favourites=ann").get_data(as_text=True)
    assert text.count("#EXTINF") == 2
    site.client.put("/api/v1/users/1/favourites", json={"channels": ["two"]})
    assert site.client.get("/playlist.m3u?favourites=ann").get_data(as_text=True).count("#EXTINF") == 1
    site.user("bob")
    assert site.client.get(f"/playlist.m3u?favourites=ann&username=bob&password={PASSWORD}").status_code == 403


def test_the_key_lies_beside_the_database_and_is_nobody_elses(site: Site, tmp_path: Path) -> None:
    site.user()
    assert (tmp_path / "users.key").stat().st_mode & 0o777 == 0o600
    held = b"".join(path.read_bytes() for path in tmp_path.glob("stream.db*"))
    assert PASSWORD.encode() not in held


def test_the_table_in_memory_follows_a_change_that_another_process_made(site: Site) -> None:
    site.user()
    site.accounts.users.update(1, {"enabled": False})
    before = site.accounts.table.check("ann", PASSWORD)
    assert before is not None
    assert before.enabled
    assert site.accounts.table.look()
    assert not site.accounts.table.look()
    after = site.accounts.table.check("ann", PASSWORD)
    assert after is not None
    assert not after.enabled


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ann", "Ann.B-1_2~3", "a" * 64, "7"])
def test_names_that_can_stand_in_a_path(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "...", "a b", "a%2fb", "ä", "a\x00", "a" * 65, "api", "API", "Internal", "stream", "movie",
     "series", "timeshift", "hdhr", "lineups", "logos", "auto", "hls", "static", "guide", "tuner", "tuner12", "vod"],
)  # fmt: skip
def test_names_that_would_be_a_path_of_ours_or_none_at_all(name: str) -> None:
    with pytest.raises(Invalid):
        checked_name(name)


def test_a_password_that_is_refused_is_not_told() -> None:
    with pytest.raises(Invalid) as caught:
        checked_password("geheim geheim")
    assert "geheim" not in str(caught.value)


# ---- guessing --------------------------------------------------------------------------------------------------------


def test_an_address_that_guesses_is_slowed_and_others_are_not() -> None:
    clock = HeldClock()
    throttle = Throttle(clock=clock, tries=3, refill_s=10)
    for guess in "abc":
        throttle.check("192.0.2.1")
        throttle.failed("192.0.2.1", guess)
    with pytest.raises(RateLimited) as caught:
        throttle.check("192.0.2.1")
    assert 1 <= caught.value.retry_after_s <= 10
    throttle.check("192.0.2.2")
    clock.s += 10
    throttle.check("192.0.2.1")
    throttle.failed("192.0.2.1", "d")
    with pytest.raises(RateLimited):
        throttle.check("192.0.2.1")


def test_a_home_with_ipv6_is_one_address_and_the_memory_of_addresses_is_bounded() -> None:
    throttle = Throttle(clock=HeldClock(), tries=1)
    throttle.failed("2001:db8::1", "a")
    with pytest.raises(RateLimited):
        throttle.check("2001:db8::ffff")
    throttle.check("2001:db8:0:1::1")
    for number in range(MOST_ADDRESSES):
        throttle.failed(str(ipaddress.ip_address(number + (10 << 24))), "a")
    throttle.check("2001:db8::1")


def test_a_player_with_an_old_password_does_not_lock_its_home_out(site: Site) -> None:
    site.user()
    old = {"username": "ann", "password": "old-Pass-0"}
    for _ in range(40):
        assert site.client.get("/player_api.php", query_string=old).status_code == 401
    assert site.xtream().status_code == 200


def test_guessing_over_http_ends_in_429_for_right_ones_too(site: Site) -> None:
    site.user()
    answers = [
        site.client.get("/player_api.php", query_string={"username": "ann", "password": f"guess-{n}"}).status_code
        for n in range(12)
    ]
    assert answers == [401] * 10 + [429] * 2
    assert site.xtream().status_code == 429
    site.clock.s += 25
    assert site.xtream().status_code == 200


@pytest.mark.parametrize("name", ["ann", "nobody", "ä" * 500, "a\udcff"], ids=repr)
def test_a_wrong_password_and_an_unknown_name_are_told_alike(site: Site, name: str) -> None:
    site.user()
    with pytest.raises(Unauthorized) as caught:
        site.accounts.rule.login(Credentials(name, "wrong-Pass-\udcff"), address="192.0.2.7")
    assert str(caught.value) == "wrong name or password"


# ---- seats -----------------------------------------------------------------------------------------------------------

ANN = User(1, "ann", connection_limit=2)


@pytest.fixture
def relay() -> WatchedRelay:
    return WatchedRelay()


@pytest.fixture
def seats(relay: WatchedRelay, monkeypatch: pytest.MonkeyPatch) -> Seats:
    monkeypatch.setattr("stream_service.accounts.seats.WAIT_S", 0.0)
    return Seats(relay=relay, clock=HeldClock())


def watch(relay: WatchedRelay, *agents: str) -> None:
    relay.watchers += [Watcher("one", "ann", "10.0.0.1", agent, 0, n) for n, agent in enumerate(agents, 1)]


def test_others_at_the_table_keep_their_seats(seats: Seats, relay: WatchedRelay) -> None:
    watch(relay, "tv", "phone")
    with pytest.raises(Forbidden) as caught:
        seats.make_room(ANN, address="10.0.0.1", user_agent="tablet")
    assert caught.value.extra["code"] == "user_limit"
    assert len(relay.watchers) == 2


def test_a_player_that_changes_the_channel_gives_its_own_oldest_stream_up(seats: Seats, relay: WatchedRelay) -> None:
    watch(relay, "tv", "phone")
    seats.make_room(ANN, address="10.0.0.1", user_agent="tv")
    assert [one.agent for one in relay.watchers] == ["phone"]


def test_two_players_of_one_kind_in_one_home_are_two_streams(seats: Seats, relay: WatchedRelay) -> None:
    seats.make_room(ANN, address="10.0.0.1", user_agent="tv")
    watch(relay, "tv")
    seats.make_room(ANN, address="10.0.0.1", user_agent="tv")
    assert len(relay.watchers) == 1


def test_files_and_hls_count_too(seats: Seats, relay: WatchedRelay) -> None:
    ended: list[str] = []
    leave = seats.enter("ann", address="10.0.0.2", user_agent="film", end=lambda: ended.append("film"))
    seats.watch_hls(ANN, address="10.0.0.3", user_agent="hls")
    seats.watch_hls(ANN, address="10.0.0.3", user_agent="hls")
    assert seats.used("ann") == 2
    with pytest.raises(Forbidden):
        seats.make_room(ANN, address="10.0.0.4", user_agent="new")
    leave()
    leave()
    seats.make_room(ANN, address="10.0.0.4", user_agent="new")
    assert ended == []


def test_an_hls_player_that_asks_no_more_gives_its_seat_back(relay: WatchedRelay) -> None:
    clock = HeldClock()
    seats = Seats(relay=relay, clock=clock)
    one = User(1, "ann", connection_limit=1)
    seats.watch_hls(one, address="10.0.0.3", user_agent="hls")
    clock.s += HLS_IDLE_S + 1
    seats.make_room(one, address="10.0.0.4", user_agent="new")
    assert seats.used("ann") == 0


def test_a_limit_that_comes_while_hls_is_watched_counts_its_players_at_once(seats: Seats) -> None:
    seats.watch_hls(User(1, "ann"), address="10.0.0.3", user_agent="hls")
    assert seats.used("ann") == 1
    limited = User(1, "ann", connection_limit=1)
    with pytest.raises(Forbidden):
        seats.make_room(limited, address="10.0.0.4", user_agent="new")
    seats.make_room(limited, address="10.0.0.3", user_agent="hls")


def test_who_goes_on_without_hls_holds_one_seat_also_without_a_limit(seats: Seats, relay: WatchedRelay) -> None:
    seats.watch_hls(User(1, "ann"), address="10.0.0.3", user_agent="tv")
    seats.make_room(User(1, "ann"), address="10.0.0.3", user_agent="tv")
    watch(relay, "tv")
    assert seats.used("ann") == 1


@pytest.mark.parametrize(("before", "after"), [(None, 1), (2, 1), (1, 2)])
def test_a_changed_limit_holds_for_the_very_next_request(
    site: Site, monkeypatch: pytest.MonkeyPatch, before: int | None, after: int
) -> None:
    monkeypatch.setattr("stream_service.accounts.seats.WAIT_S", 0.0)
    site.load("One")
    made = site.user(connection_limit=before)
    watch(site.relay, "tv")
    asked = {"User-Agent": "phone"}
    site.client.put(f"/api/v1/users/{made['id']}", json={"connection_limit": after})
    assert site.client.get(f"/live/ann/{PASSWORD}/1.ts", headers=asked).status_code == (200 if after > 1 else 403)


def test_who_has_no_limit_is_not_counted(seats: Seats, relay: WatchedRelay) -> None:
    watch(relay, *("abcdefgh"))
    seats.make_room(User(1, "ann"), address="10.0.0.9", user_agent="x")
    seats.make_room(None, address="10.0.0.9", user_agent="x")
