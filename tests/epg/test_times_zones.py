"""Right to the minute: whatever zone the host is set to, through both switches of the clocks, beside other readers."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from epg_service.xmltv.times import Stamps, text_utc
from tests.epg.nasty_inputs import TIMES, Case, guide, titled
from tests.epg.readingkit import read

HOST_ZONES = ["UTC", "America/Chicago", "Asia/Kolkata", "Pacific/Apia"]
# Zone, the day of a switch, and how long that week is.
SWITCHES = [
    ("Europe/London", datetime(2026, 3, 29), 167.0),
    ("Europe/London", datetime(2026, 10, 25), 169.0),
    ("America/New_York", datetime(2026, 3, 8), 167.0),
    ("America/New_York", datetime(2026, 11, 1), 169.0),
    ("Australia/Lord_Howe", datetime(2026, 4, 5), 168.5),
    ("Australia/Lord_Howe", datetime(2026, 10, 4), 167.5),
]
# The dates that Jellyfin's reader is tested with, and what it makes of them.
JELLYFIN = [
    ("20160101", "2016-01-01 00:00:00"),
    ("2016010112", "2016-01-01 12:00:00"),
    ("201601011234", "2016-01-01 12:34:00"),
    ("20160101123456", "2016-01-01 12:34:56"),
    ("20160101120000 +0000", "2016-01-01 12:00:00"),
    ("20160101120000 +1000", "2016-01-01 02:00:00"),
    ("20160101120000 +0100", "2016-01-01 11:00:00"),
    ("20160101120000 +0010", "2016-01-01 11:50:00"),
    ("20160101120000 +0001", "2016-01-01 11:59:00"),
    ("20160101120000 -1000", "2016-01-01 22:00:00"),
    ("20160101120000 -0100", "2016-01-01 13:00:00"),
    ("20160101120000 -0010", "2016-01-01 12:10:00"),
    ("20160101120000 -0001", "2016-01-01 12:01:00"),
    ("20160101 -0100", "2016-01-01 01:00:00"),
    ("2016010112 -0100", "2016-01-01 13:00:00"),
    ("201601011200 -0100", "2016-01-01 13:00:00"),
    ("20160101120000 -0100", "2016-01-01 13:00:00"),
    ("20160101120000 +000", "2016-01-01 12:00:00"),
    ("20160101120000 +00", "2016-01-01 12:00:00"),
    ("20160101120000 +0", "2016-01-01 12:00:00"),
    ("20160101120000 0", "2016-01-01 12:00:00"),
]
# Jellyfin reads these as the first of January; a programme cannot start at "2016", so here they are no start.
JELLYFIN_SHORT = ["2016", "201601", "2016 -0100", "201601 -0100"]


@pytest.fixture
def libc() -> Iterator[None]:
    """The process's own zone may be changed by `of_host`; it comes back."""
    before = os.environ.get("TZ")
    yield
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture(params=HOST_ZONES)
def _host_zone(request: pytest.FixtureRequest, libc: None) -> None:
    of_host(request.param)


def of_host(zone: str) -> None:
    os.environ["TZ"] = zone
    time.tzset()


@pytest.mark.usefixtures("_host_zone")
@pytest.mark.parametrize("case", [case for case in TIMES if case.spans], ids=lambda case: case.id)
def test_the_hosts_zone_moves_no_time_of_a_file(case: Case) -> None:
    assert read(case.data, zone=case.zone).spans == case.spans


@pytest.mark.usefixtures("_host_zone")
@pytest.mark.parametrize(("text", "instant"), JELLYFIN, ids=[text for text, _ in JELLYFIN])
def test_times_are_read_as_jellyfin_reads_them(text: str, instant: str) -> None:
    assert datetime.fromtimestamp(Stamps()[text], UTC).strftime("%Y-%m-%d %H:%M:%S") == instant


@pytest.mark.parametrize("text", JELLYFIN_SHORT)
def test_a_year_or_a_month_is_no_start(text: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        Stamps()[text]


def quarters(day: datetime) -> list[datetime]:
    """Every quarter of an hour from the day before to the day after, as the clock on the wall would count it."""
    begin = day - timedelta(days=1)
    return [begin + timedelta(minutes=15 * n) for n in range(3 * 96)]


def libc_instants(wall: datetime) -> set[int]:
    """Every instant at which the C library's clock shows this wall time in the process's zone; empty in a gap."""
    found = set()
    for summer in (0, 1):
        instant = int(time.mktime((*wall.timetuple()[:6], 0, 0, summer)))
        if time.localtime(instant)[:5] == wall.timetuple()[:5]:
            found.add(instant)
    return found


@pytest.mark.usefixtures("libc")
@pytest.mark.parametrize(("zone", "day", "_"), SWITCHES, ids=str)
def test_a_wall_clock_without_an_offset_is_what_the_c_library_says(zone: str, day: datetime, _: float) -> None:
    of_host(zone)
    stamps = Stamps(ZoneInfo(zone))
    twice = missing = 0
    for wall in quarters(day):
        instants = libc_instants(wall)
        found = stamps[wall.strftime("%Y%m%d%H%M%S")]
        if instants:
            assert found == min(instants), "where the clock shows a time twice, the first is meant"
        else:  # a time that no clock showed: as far behind the switch as it would have been without one
            assert abs(found - time.mktime((*wall.timetuple()[:6], 0, 0, -1))) <= 3600
        twice += len(instants) == 2
        missing += not instants
    assert (twice > 0) != (missing > 0)


@pytest.mark.parametrize(("zone", "day", "hours"), SWITCHES, ids=str)
@pytest.mark.parametrize("with_offset", [True, False], ids=["offsets", "wall clock"])
def test_a_week_through_a_switch_has_no_gap_and_its_true_length(
    zone: str, day: datetime, hours: float, with_offset: bool
) -> None:
    """Programmes three hours long on the wall, without a stop: each ends where the next begins."""
    place = ZoneInfo(zone)
    walls = [day - timedelta(days=3) + timedelta(hours=3 * n) for n in range(57)]
    texts = [
        wall.replace(tzinfo=place).strftime("%Y%m%d%H%M%S %z" if with_offset else "%Y%m%d%H%M%S") for wall in walls
    ]
    found = read(guide(*(titled(str(n), (text,)) for n, text in enumerate(texts))), zone=place)
    (rows,) = found.rows.values()
    assert rows.stops[:-1] == rows.starts[1:]
    assert rows.starts[-1] - rows.starts[0] == hours * 3600
    assert {stop - start for start, stop in zip(rows.starts[:-1], rows.stops[:-1], strict=True)} <= {
        3 * 3600, 2 * 3600, 4 * 3600, 3 * 3600 - 1800, 3 * 3600 + 1800,
    }  # fmt: skip


@pytest.mark.usefixtures("_host_zone")
def test_what_is_written_is_utc_whatever_the_host() -> None:
    for day, wall in ((0, "19700101"), (20_522, "20260310"), (49_709, "21060206")):
        assert [text_utc(day * 86_400 + hour * 3600) for hour in range(24)] == [
            f"{wall}{hour:02}0000 +0000" for hour in range(24)
        ]
