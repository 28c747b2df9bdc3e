"""Applying an import while others read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import pytest

from epg_service.domain.days import PackedDay, identity_of
from epg_service.domain.entities import Mapped
from epg_service.store import applying
from epg_service.store.programs import Change, replace_days
from servicekit.store.sqlite import writing
from tests.epg.guidekit import MIDNIGHT, Station, guide_of, hourly


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


@pytest.fixture
def slow_reader(station: Station) -> Iterator[apsw.Connection]:
    station.take(guide_of(hourly("c0", MIDNIGHT, 24)))
    connection = apsw.Connection(str(station.it.connections.path))
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM programs").fetchall()
    yield connection
    connection.close()


def test_an_import_waits_for_a_slow_reader_but_not_for_ever(
    station: Station, slow_reader: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "MAX_LOG_BYTES", 0)
    monkeypatch.setattr(applying, "WAIT_S", 0.2)
    monkeypatch.setattr(applying, "LOCK_S", 0.0)
    shows = [one for n in range(6) for one in hourly(f"c{n}", MIDNIGHT, 48)]
    assert station.take(guide_of(shows)).status == "success"
    assert slow_reader.execute("SELECT count(*) FROM programs").fetchall() == [(24,)], "what it saw when it began"
    slow_reader.execute("COMMIT")
    assert slow_reader.execute("SELECT count(*) FROM programs").fetchall() == [(6 * 48,)]


def test_a_channel_of_very_many_programmes_is_written_in_steps(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "MOST_AT_ONCE", 30)
    monkeypatch.setattr(applying, "LOCK_S", 0.0)
    steps: list[int] = []

    def counted(connection: apsw.Connection, mapped: Mapped, days: Sequence[PackedDay]) -> Change:
        steps.append(len(days))
        return replace_days(connection, mapped, days)

    monkeypatch.setattr(applying, "replace_days", counted)
    assert station.take(guide_of(hourly("c0", MIDNIGHT, 5 * 24))).status == "success"
    assert steps == [1] * 5
    query = "SELECT count(*), count(DISTINCT id) FROM programs"
    assert station.it.connections.get().execute(query).fetchall() == [(120, 120)]


Row = tuple[int, int, int, str]
"""Key, digest, stop, title."""


def day_of(*rows: Row) -> PackedDay:
    keys, digests, stops, titles = zip(*rows, strict=True)
    contents = identity_of(keys, digests, stops) + bytes(5 * len(rows))
    return PackedDay(MIDNIGHT // 86_400, contents, "\0".join(titles).encode(), b"body")


def row(n: int, *, digest: int = 1, minutes: int = 5, title: str | None = None) -> Row:
    start = MIDNIGHT + 300 * n
    return start << 3, digest, start + 60 * minutes, f"\u00fc {n}" if title is None else title


def replaced(station: Station, *days: PackedDay) -> Change:
    connection = station.it.connections.get()
    with writing(connection):
        return replace_days(connection, station.it.channels.of_provider(1)["c0"], days)


def stored(station: Station) -> list[tuple[int, int, str]]:
    mapped = station.it.channels.of_provider(1)["c0"]
    found = station.it.programs.window(mapped, MIDNIGHT, MIDNIGHT + 86_400)
    assert all(one.channel_id == mapped.channel_id and one.provider_id == mapped.provider_id for one in found)
    assert all(one.id == (mapped.id << 35) + (one.start_s << 3) for one in found)
    return [(one.start_s << 3, one.stop_s, one.title) for one in found]


@pytest.mark.parametrize("programmes", [1, 7, 8, 9, 63, 64, 65, 73, 201])
def test_every_row_of_a_day_is_written_whatever_their_number(station: Station, programmes: int) -> None:
    station.take(guide_of(hourly("c0", MIDNIGHT - 86_400, 2)))
    rows = [row(n) for n in range(programmes)]
    assert replaced(station, day_of(*rows)) == Change(added=programmes)
    assert stored(station) == [(key, stop, title) for key, _, stop, title in rows]
    assert replaced(station, day_of(*rows)) == Change()
    other = [row(n, digest=2, title="other") for n in range(programmes)]
    assert replaced(station, day_of(*other)) == Change(changed=programmes)
    assert {title for *_, title in stored(station)} == {"other"}


def test_of_a_changed_day_only_the_rows_that_changed_are_written(station: Station) -> None:
    station.take(guide_of(hourly("c0", MIDNIGHT - 86_400, 2)))
    replaced(station, day_of(*(row(n) for n in range(80))))
    same_keys = [row(n, title="") for n in range(80)]  # a title of a row that is the same is not looked at
    same_keys[3], same_keys[7] = row(3, digest=2, title="three"), row(7, minutes=90, title="seven")
    assert replaced(station, day_of(*same_keys)) == Change(changed=2)
    expected = [(key, stop, title) for key, _, stop, title in (row(n) for n in range(80))]
    expected[3], expected[7] = (
        (expected[3][0], expected[3][1], "three"),
        (expected[7][0], row(7, minutes=90)[2], "seven"),
    )
    assert stored(station) == expected
    assert station.it.channels.of_provider(1)["c0"].longest_s == 90 * 60


def test_rows_that_go_and_come_are_counted_each_by_its_own_name(station: Station) -> None:
    station.take(guide_of(hourly("c0", MIDNIGHT - 86_400, 2)))
    replaced(station, day_of(*(row(n) for n in range(10))))
    later = day_of(*(row(n, title="") for n in range(2, 9)), row(9, digest=5), row(10), row(11))
    assert replaced(station, later) == Change(added=2, changed=1, removed=2)
    assert [key for key, *_ in stored(station)] == [row(n)[0] for n in range(2, 12)]
    assert replaced(station, PackedDay(MIDNIGHT // 86_400, b"", b"", b"")) == Change(removed=10)
    assert stored(station) == []
