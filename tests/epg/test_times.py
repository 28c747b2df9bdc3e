"""XMLTV times: every dialect that feeds were seen to write, and what must not be read at all."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epg_service.xmltv import times
from epg_service.xmltv.times import Stamps, text_utc

READ = [
    ("20180615084500", "2018-06-15T08:45:00"),
    ("20160101", "2016-01-01T00:00:00"),
    ("2016010112", "2016-01-01T12:00:00"),
    ("200006031633", "2000-06-03T16:33:00"),
    ("200202240000 +0100", "2002-02-23T23:00:00"),
    ("20160101 -0100", "2016-01-01T01:00:00"),
    ("20160101120000 Z", "2016-01-01T12:00:00"),
    ("20160101120000Z", "2016-01-01T12:00:00"),
    ("20160101120000 UTC", "2016-01-01T12:00:00"),
    ("20160101120000 GMT", "2016-01-01T12:00:00"),
    ("20010829000500 BST", "2001-08-28T23:05:00"),
    ("20160101120000 mst", "2016-01-01T19:00:00"),
    ("20160101120000 CEST", "2016-01-01T10:00:00"),
    ("20160101120000 +1000", "2016-01-01T02:00:00"),
    ("20160101120000 +0530", "2016-01-01T06:30:00"),
    ("20160101120000 +0545", "2016-01-01T06:15:00"),
    ("20160101120000 -0330", "2016-01-01T15:30:00"),
    ("20160101120000 +0010", "2016-01-01T11:50:00"),
    ("20160101120000 -0010", "2016-01-01T12:10:00"),
    ("20160101120000 -0001", "2016-01-01T12:01:00"),
    ("20160101120000 +000", "2016-01-01T12:00:00"),
    ("20160101120000 +00", "2016-01-01T12:00:00"),
    ("20160101120000 +0", "2016-01-01T12:00:00"),
    ("20160101120000 0", "2016-01-01T12:00:00"),
    ("20160101120000 +02:00", "2016-01-01T10:00:00"),
    ("20160101120000 +1:00", "2016-01-01T11:00:00"),
    ("20160101120000 +14", "2015-12-31T22:00:00"),
    ("20240101120000+0100", "2024-01-01T11:00:00"),
    ("20240101120000  \t +0100", "2024-01-01T11:00:00"),
    (" 20240101120000 +0100\n", "2024-01-01T11:00:00"),
    ("20240229240000 +0000", "2024-03-01T00:00:00"),
    ("202312312400", "2024-01-01T00:00:00"),
    ("19700101000000", "1970-01-01T00:00:00"),
    ("21060207062815", "2106-02-07T06:28:15"),
]

REFUSED = [
    "", " ", "1", "2016", "201601", "2016043015600", "201643030153000", "2016043015600000",
    "20240230120000", "20241301120000", "20240101250000", "20240101240001", "20240101126000", "20240101120060",
    "00010101000000", "99991231235959", "99991231240000", "19691231235959", "19700101000000 +0100",
    "21060207062816", "20240101120000 +2500", "20240101120000 +0160", "20240101120000 +01:99",
    "20240101120000 ++0100", "20240101120000 +01000", "20240101120000 5", "20240101120000 00",
    "20240101120000 foo bar", "2024-01-01 12:00", "tomorrow", "２０２４０１０１１２００００", "٢٠٢٤٠١٠١", "2024_101",
    "+20240101", "20240101120000 " + "x" * 500,
]  # fmt: skip


@pytest.fixture(params=["UTC", "America/Chicago", "Asia/Kolkata", "Pacific/Apia", "Europe/London"])
def _host_zone(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def _epoch(iso: str) -> int:
    return int(datetime.fromisoformat(iso).replace(tzinfo=UTC).timestamp())


@pytest.mark.usefixtures("_host_zone")
class TestWhateverTheHostZone:
    @pytest.mark.parametrize(("text", "instant"), READ, ids=[repr(text) for text, _ in READ])
    def test_a_dialect_is_read_as_its_instant(self, text: str, instant: str) -> None:
        stamps = Stamps()
        assert stamps[text] == _epoch(instant)
        assert stamps[text] == _epoch(instant), "the second time it is remembered"

    @pytest.mark.parametrize(
        ("zone", "text", "instant"),
        [
            ("Europe/London", "20260328120000", "2026-03-28T12:00:00"),
            ("Europe/London", "20260329120000", "2026-03-29T11:00:00"),
            ("Europe/London", "20260329013000", "2026-03-29T01:30:00"),
            ("Europe/London", "20261025013000", "2026-10-25T00:30:00"),
            ("America/New_York", "20260308023000", "2026-03-08T07:30:00"),
            ("America/New_York", "20261101013000", "2026-11-01T05:30:00"),
            ("Australia/Lord_Howe", "20260405120000", "2026-04-05T01:30:00"),
            ("Australia/Lord_Howe", "20260404120000", "2026-04-04T01:00:00"),
        ],
    )
    def test_a_time_without_a_zone_is_the_providers_own_wall_clock(self, zone: str, text: str, instant: str) -> None:
        assert Stamps(ZoneInfo(zone))[text] == _epoch(instant)

    def test_an_instant_is_written_in_utc(self) -> None:
        assert text_utc(_epoch("2026-11-21T20:15:00")) == "20261121201500 +0000"


@pytest.mark.parametrize("text", REFUSED, ids=repr)
def test_what_is_no_instant_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Stamps()[text]


def test_zones_are_known_behind_any_number_of_unknown_ones() -> None:
    stamps = Stamps()
    for number in range(50):
        assert stamps["20160101120000 Xx/" + chr(65 + number // 26) + chr(65 + number % 26)] == stamps["20160101120000"]
    assert len(stamps.unknown_zones) == 20
    assert stamps["20160101120000 Europe/Paris"] == stamps["20160101110000"]


def test_an_unknown_zone_counts_as_the_providers_own_and_is_remembered() -> None:
    stamps = Stamps(ZoneInfo("Europe/Paris"))
    assert stamps["20260701120000 XYZ"] == _epoch("2026-07-01T10:00:00")
    assert stamps.unknown_zones == {"XYZ"}


def test_a_stated_zone_beats_the_providers_own() -> None:
    assert Stamps(ZoneInfo("Asia/Tokyo"))["20260701120000 +0000"] == _epoch("2026-07-01T12:00:00")


def test_the_memory_of_texts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "MAX_ENTRIES", 10)
    stamps = Stamps()
    for day in range(1, 29):
        stamps[f"202601{day:02}"]
        assert len(stamps) <= 10


@given(
    st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2105, 12, 31)),
    st.integers(min_value=-14 * 60, max_value=14 * 60),
)
def test_any_instant_in_any_offset_reads_back(naive: datetime, minutes: int) -> None:
    local = naive.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))
    text = local.strftime("%Y%m%d%H%M%S %z")
    epoch_s = Stamps()[text]
    assert epoch_s == int(local.timestamp())
    assert Stamps()[text_utc(epoch_s)] == epoch_s
