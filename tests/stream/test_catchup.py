"""Addresses of the past, by the attributes that players know."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from stream_service.domain.catchup import Stretch, archive_address, archive_days, start_of

START = int(datetime(2026, 7, 1, 20, 15, tzinfo=UTC).timestamp())
NOW = START + 86_400
LIVE = "http://p.example:8080/live/u/p%40/77.ts"


def asked(**more: object) -> Stretch:
    return Stretch(START, 5400, NOW, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("catchup", "days"),
    [
        ({}, 0),
        ({"catchup": "xc"}, 5),
        ({"catchup": "xc", "catchup-days": "3"}, 3),
        ({"catchup-type": "default", "catchup-days": "0"}, 5),
        ({"catchup": "xc", "catchup-days": "-1"}, 5),
        ({"catchup": "0", "catchup-days": "7"}, 0),
        ({"timeshift": "2"}, 2),
        ({"tvg-rec": "4"}, 4),
        ({"tvg-rec": "0"}, 0),
        ({"catchup": "xc", "catchup-days": "99999"}, 365),
        ({"catchup": "xc", "catchup-days": "x" * 50}, 5),
    ],
)
def test_how_many_days_are_kept(catchup: dict[str, str], days: int) -> None:
    assert archive_days(catchup) == days


@pytest.mark.parametrize(
    ("url", "catchup", "wanted"),
    [
        (LIVE, {"catchup": "xc"}, "http://p.example:8080/timeshift/u/p%40/90/2026-07-01:20-15/77.ts"),
        ("http://p.example/u/p/77", {"catchup": "xc"}, "http://p.example/timeshift/u/p/90/2026-07-01:20-15/77.ts"),
        ("http://p.example/u/p/77.m3u8", {"tvg-rec": "2"}, "http://p.example/timeshift/u/p/90/2026-07-01:20-15/77.ts"),
        ("http://p.example/one.ts", {"catchup": "xc"}, None),
        (LIVE, {}, None),
        (
            "http://p.example/one.m3u8",
            {"catchup": "default", "catchup-source": "http://a.example/{catchup-id}?s=${start}&e={utcend}&d={duration:60}",
             "catchup-id": "x9"},
            f"http://a.example/x9?s={START}&e={START + 5400}&d=90",
        ),
        (
            "http://p.example/one.m3u8",
            {"catchup": "append", "catchup-source": "?from={Y}{m}{d}T{H}{M}{S}&ago={offset:3600}"},
            "http://p.example/one.m3u8?from=20260701T201500&ago=24",
        ),
        (
            "http://p.example/one.m3u8?t=1",
            {"catchup": "shift"},
            f"http://p.example/one.m3u8?t=1&utc={START}&lutc={NOW}",
        ),
        (
            "http://p.example/one/index.m3u8?token=x",
            {"catchup": "flussonic"},
            f"http://p.example/one/archive-{START}-5400.ts?token=x",
        ),
        (
            "http://p.example/one",
            {"catchup": "default", "catchup-source": "http://a.example/{utc:YmdHMS}/{unknown}"},
            "http://a.example/20260701201500/{unknown}",
        ),
        (
            LIVE,
            {"catchup": "xc", "catchup-correction": "-1.5"},
            "http://p.example:8080/timeshift/u/p%40/90/2026-07-01:18-45/77.ts",
        ),
    ],
    ids=["xc", "xc bare", "siptv days", "no panel", "nothing kept", "default", "append", "shift", "flussonic", "words",
         "correction"],
)  # fmt: skip
def test_where_a_stretch_of_the_past_is(url: str, catchup: dict[str, str], wanted: str | None) -> None:
    assert archive_address(url, catchup, asked()) == wanted


def test_a_panel_is_asked_by_its_own_clock() -> None:
    zone = ZoneInfo("America/New_York")
    assert archive_address(LIVE, {"catchup": "xc"}, asked(zone=zone)) == (
        "http://p.example:8080/timeshift/u/p%40/90/2026-07-01:16-15/77.ts"
    )


@pytest.mark.parametrize(
    "text", ["2026-07-01:20-15", "2026-07-01:20-15-00", "2026-07-01:20:15", "2026-07-01 20:15:00", "20260701201500",
             "202607012015", str(START)],
)  # fmt: skip
def test_a_start_as_clients_write_it(text: str) -> None:
    assert start_of(text) == START


@pytest.mark.parametrize("text", ["", "now", "2026-13-01:20-15", "2026-07-01", "1", "../x", "٢٠٢٦-07-01:20-15"])
def test_what_is_no_start(text: str) -> None:
    assert start_of(text) is None
