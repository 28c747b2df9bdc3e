"""Limits of bandwidth: buckets by a clock that is held, and viewers of a relay that are held back."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from servicekit import web
from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from stream_service.api.bandwidth import blueprint
from stream_service.relay.bandwidth import LEAST_BYTES, Bandwidth, Bucket, Limits, Meter
from stream_service.relay.limits import LimitSettings
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.house import House, house
from tests.stream.relaykit.upstream import hangs, live, sends
from tests.stream.relaykit.viewers import target
from tests.waiting import until


@pytest.fixture
def there() -> Iterator[House]:
    with house() as built:
        yield built


# ---- buckets ---------------------------------------------------------------------------------------------------------


@given(st.floats(0.5, 500), st.lists(st.floats(0.001, 0.1), min_size=50, max_size=300))
def test_over_a_while_a_bucket_gives_its_rate_and_never_more(mbps: float, pauses: list[float]) -> None:
    bucket = Bucket(mbps, 0.0)
    bucket.take(bucket.there(0.0))
    now_s, given_bytes = 0.0, 0
    for pause_s in pauses:
        now_s += pause_s
        there = bucket.there(now_s)
        bucket.take(there)
        given_bytes += there
    assert given_bytes <= mbps * 125_000 * now_s + 1
    assert given_bytes >= mbps * 125_000 * now_s - LEAST_BYTES - 1


def test_a_bucket_that_nobody_used_holds_a_moment_and_no_more() -> None:
    bucket = Bucket(8.0, 0.0)
    assert bucket.there(3600.0) == bucket.there(0.0) == 200_000


def test_what_is_owed_is_paid_first() -> None:
    bucket = Bucket(8.0, 0.0)
    bucket.take(1_200_000)
    assert bucket.there(0.9) == 0
    assert bucket.there(1.1) == pytest.approx(100_000, abs=1)


def test_a_share_is_even_whole_packets_and_worth_a_send() -> None:
    bandwidth = Bandwidth()
    bandwidth.set(Limits(True, 8.0), 0.0)
    assert bandwidth.share("a", 4, 0.0) == 50_000 // ts.PACKET * ts.PACKET
    assert bandwidth.share("a", 100_000, 0.0) == LEAST_BYTES
    bandwidth.sent("a", 200_000)
    assert bandwidth.share("a", 1, 0.0) == 0
    assert bandwidth.dry(0.0)


def test_each_has_a_bucket_of_its_own_within_the_one_for_all() -> None:
    bandwidth = Bandwidth()
    bandwidth.set(Limits(True, 80.0, 8.0), 0.0)
    bandwidth.sent("a", bandwidth.share("a", 1, 0.0))
    assert bandwidth.share("a", 1, 0.0) == 0
    assert bandwidth.share("b", 1, 0.0) > 0
    assert not bandwidth.dry(0.0)


@pytest.mark.parametrize(
    "limits", [Limits(), Limits(False, 5.0, 5.0), Limits(True)], ids=["nothing", "switched off", "no figure"]
)
def test_without_a_limit_nobody_has_to_ask(limits: Limits) -> None:
    bandwidth = Bandwidth()
    bandwidth.set(limits, 0.0)
    assert not bandwidth.on


def test_the_meter_tells_the_rate_of_late() -> None:
    meter = Meter()
    for second in range(10):
        meter.note(second * 1_000_000, float(second))
    assert meter.mbps(10_000_000, 10.0) == pytest.approx(8.0)
    assert meter.mbps(10_000_000, 60.0) == 0.0


# ---- viewers ---------------------------------------------------------------------------------------------------------


def in_order(numbers: list[int]) -> bool:
    return all(b == a + 1 for a, b in pairwise(numbers))


def test_a_limited_viewer_gets_whole_packets_in_order_at_its_rate_and_is_not_called_slow(there: House) -> None:
    channel = target(there.provider.script("/a", [sends(pictures=200), hangs()]))
    there.hub.throttle.limit(Limits(True, 4.0))
    viewer = there.viewer(channel)
    until(lambda: len(viewer.received) > 150_000)
    shown = there.hub.throttle.bandwidth()
    assert (shown["enabled"], shown["limit_mbps"], shown["clients"]) == (True, 4.0, 1)
    assert len(viewer.received) < 200 * ts.PICTURE_PACKETS * ts.PACKET
    assert in_order(viewer.numbers())
    figures = there.hub.figures()
    assert figures["stuck_total"] == figures["too_slow_total"] == 0


def test_a_limit_that_is_lifted_lets_those_who_watch_go_on_at_once(there: House) -> None:
    channel = target(there.provider.script("/a", [sends(pictures=200), hangs()]))
    there.hub.throttle.limit(Limits(True, 0.2))
    viewer = there.viewer(channel)
    until(lambda: len(viewer.received) > 10_000)
    there.hub.throttle.limit(Limits())
    viewer.has(200 * ts.PICTURE_PACKETS)
    assert in_order(viewer.numbers())
    assert there.hub.throttle.bandwidth()["total_bytes"] == len(viewer.received)


def test_who_falls_out_of_the_ring_by_a_limit_is_kept(there: House) -> None:
    with house(backlog_s=0.1, keyframe_interval_s=0.1, lag_s=0.2, most_jumps=2) as there:
        channel = target(there.provider.script("/a", [live(every_s=0.002)]))
        there.hub.throttle.limit(Limits(True, 0.0, 2.0))
        viewer = there.viewer(channel)
        until(lambda: there.hub.figures()["jumps_total"] >= 4, limit_s=40)
        assert there.hub.figures()["too_slow_total"] == 0
        assert not viewer.ended
        assert viewer.numbers() == sorted(set(viewer.numbers()))


def test_viewers_share_what_there_is(there: House) -> None:
    channel = target(there.provider.script("/a", [live(every_s=0.002)]))
    there.hub.throttle.limit(Limits(True, 8.0))
    viewers = [there.viewer(channel) for _ in range(4)]
    until(lambda: min(len(one.received) for one in viewers) > 200_000, limit_s=40)
    most = max(len(one.received) for one in viewers)
    assert min(len(one.received) for one in viewers) > most / 2


def test_a_follower_is_limited_and_a_reader_of_ours_is_not(there: House) -> None:
    channel = target(there.provider.script("/a", [sends(pictures=100), hangs()]))
    there.hub.throttle.limit(Limits(True, 0.0, 0.1))
    whole = 100 * ts.PICTURE_PACKETS * ts.PACKET
    with there.hub.follow(channel, address="ffmpeg", inside=True) as inside:
        got = 0
        while got < whole:
            got += len(next(inside))
    with there.hub.follow(channel, address="192.0.2.9") as pieces:
        assert len(next(pieces)) < 10_000


def test_a_segment_is_paced_for_its_player(there: House) -> None:
    data = bytes(400_000)
    assert list(there.hub.throttle.paced(data, "tv")) == [data]
    there.hub.throttle.limit(Limits(True, 16.0))
    pieces = list(there.hub.throttle.paced(data, "tv"))
    assert len(pieces) > 1
    assert b"".join(pieces) == data


# ---- settings and API ------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "settings.json", lock=tmp_path / "settings.lock")


@pytest.fixture
def client(there: House, settings: Settings, tmp_path: Path) -> FlaskClient:
    app = web.make_app(
        "limits",
        title="Limits",
        door=web.Door(admin_token="t", internal_secret="s"),
        metrics=Metrics("limits", figures=list),
        settings=settings,
        checks=Checks(state=State, not_ready=lambda: None),
    )
    app.register_api(
        blueprint(LimitSettings(values=settings, relay=there.hub.throttle), call=lambda fn, *a, **k: fn(*a, **k))
    )
    return app.test_client()


def test_stats_tell_that_nothing_is_limited_at_first(client: FlaskClient) -> None:
    found = client.get("/api/v1/settings/bandwidth/stats").get_json()
    assert found == {
        "enabled": False,
        "limit_mbps": None,
        "client_limit_mbps": None,
        "current_mbps": 0.0,
        "total_bytes": 0,
        "clients": 0,
    }


def test_what_is_configured_is_kept_and_holds_at_once(client: FlaskClient, settings: Settings) -> None:
    url = "/api/v1/settings/bandwidth/configure"
    answer = client.post(url, json={"enabled": True, "limit_mbps": 50, "client_limit_mbps": 8})
    assert (answer.status_code, answer.get_json()["status"]) == (200, "enabled")
    assert settings.get("bandwidth_global_limit_mbps") == 50
    assert client.get("/api/v1/settings/bandwidth/stats").get_json()["client_limit_mbps"] == 8
    assert client.post(url, json={"limit_mbps": None}).get_json()["limit_mbps"] is None
    assert client.post(url, json={"enabled": False}).get_json()["status"] == "disabled"


def test_settings_changed_elsewhere_are_applied_without_a_body(client: FlaskClient, settings: Settings) -> None:
    settings.update({"bandwidth_throttling_enabled": True, "bandwidth_global_limit_mbps": 3})
    assert client.post("/api/v1/settings/bandwidth/configure").get_json()["limit_mbps"] == 3


@pytest.mark.parametrize("body", [{"limit_mbps": -1}, {"limit_mbps": "fast"}, {"enabled": 3}, {"other": 1}])
def test_what_cannot_be_a_limit_is_refused(client: FlaskClient, body: dict[str, object]) -> None:
    assert client.post("/api/v1/settings/bandwidth/configure", json=body).status_code == 400


def test_running_viewers_follow_the_settings_by_themselves(there: House, settings: Settings) -> None:
    follower = LimitSettings(values=settings, relay=there.hub.throttle)
    stop = follower.follow(every_s=0.02)
    try:
        settings.update({"bandwidth_throttling_enabled": True, "bandwidth_global_limit_mbps": 3})
        until(lambda: there.hub.throttle.bandwidth()["limit_mbps"] == 3)
        settings.reset()
        until(lambda: not there.hub.throttle.bandwidth()["enabled"])
    finally:
        stop()
