"""What the stream service is told of lineup channels in a window."""

import runpy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from epg_service.domain.entities import LineupChannel
from epg_service.wiring import for_keeper
from tests.epg.guidekit import HOUR, HeldClock, Show, Station, guide_of, hourly
from tvkit.expressions import PROGRAMME

NOW = int(time.time()) // HOUR * HOUR


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    station = Station(tmp_path, clock=HeldClock(NOW))
    monkeypatch.setenv("AERIAL_CONFIG", str(station.file))
    monkeypatch.setenv("AERIAL_INTERNAL_SECRET", "s" * 32)
    overlap = Show("one.tv", NOW + HOUR // 2, NOW + 2 * HOUR, "Over it")
    station.take(guide_of([*hourly("one.tv", NOW - 4 * HOUR, 12), overlap], {"one.tv": "One", "two.tv": "Two"}))
    channels = [
        LineupChannel("one", "One", "one.tv", "1"),
        LineupChannel("one-later", "One +1", None, "2"),
        LineupChannel("nothing", "Zzz", None, "3"),
    ]
    station.it.lineups.put("default", "1", channels, {})
    for_keeper.publishing(station.config, station.it, clock=station.clock).everything()
    yield runpy.run_module("epg_service.wsgi")["app"].test_client()
    station.close()


def ask(client: FlaskClient, secret: str = "s" * 32, **query: object) -> Any:
    headers = {"Aerial-Internal": "1", "Aerial-Secret": secret}
    return client.get("/internal/v1/lineups/default/listings", query_string=query, headers=headers)


def test_one_programme_at_a_time_with_the_one_that_runs_at_the_start(client: FlaskClient) -> None:
    answer = ask(client, channels="one,nothing,unknown", start=NOW + 60, end=NOW + 3 * HOUR)
    one, nothing = answer.get_json()["items"]
    assert (nothing["id"], nothing["programs"]) == ("nothing", [])
    starts = [programme["start"] for programme in one["programs"]]
    stops = [programme["stop"] for programme in one["programs"]]
    assert starts[0] == NOW
    assert all(stop <= start for stop, start in zip(stops, starts[1:], strict=False))
    assert "Over it" in [programme["title"] for programme in one["programs"]]


def test_a_plus_one_channel_is_an_hour_later(client: FlaskClient) -> None:
    answer = ask(client, channels="one,one-later", start=NOW - 3 * HOUR, end=NOW - HOUR)
    one, later = (item["programs"] for item in answer.get_json()["items"])
    titles = {programme["start"]: programme["title"] for programme in one}
    compared = [each["title"] == titles[each["start"] - HOUR] for each in later if each["start"] - HOUR in titles]
    assert compared
    assert all(compared)


def test_what_rules_see_of_a_programme_is_told_when_it_is_asked_for(client: FlaskClient) -> None:
    (item,) = ask(client, channels="one", start=NOW, end=NOW + HOUR, record="true").get_json()["items"]
    told = item["programs"][0]
    record = told["record"]
    assert (record["programme_title"], record["programme_start"]) == (told["title"], str(told["start"]))
    assert (record["channel_id"], record["channel_name"]) == ("one", "One")
    assert set(record) <= set(PROGRAMME.names)


def test_the_limit_is_for_each_channel(client: FlaskClient) -> None:
    (item,) = ask(client, channels="one", start=NOW - 4 * HOUR, end=NOW, limit=2).get_json()["items"]
    assert len(item["programs"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        {"channels": "one", "start": NOW, "end": NOW},
        {"channels": "one", "start": 0, "end": NOW},
        {"channels": "", "start": NOW, "end": NOW + 1},
        {"channels": ",".join(map(str, range(501))), "start": NOW, "end": NOW + 1},
        {"channels": "one", "start": "x", "end": NOW},
    ],
    ids=["no window", "too long", "no channels", "too many", "no number"],
)
def test_what_cannot_be_asked_is_refused(client: FlaskClient, query: dict[str, object]) -> None:
    assert ask(client, **query).status_code == 400


def test_only_the_other_service_may_ask(client: FlaskClient) -> None:
    assert ask(client, secret="wrong", channels="one", start=NOW, end=NOW + 60).status_code == 403
