"""Applying an import while others read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import pytest

from epg_service.domain.days import PackedDay
from epg_service.domain.entities import Mapped
from epg_service.store import applying
from epg_service.store.programs import Change, replace_days
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
