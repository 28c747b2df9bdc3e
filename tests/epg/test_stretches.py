"""What stood in the last file byte for byte is not read again, and nothing is told otherwise for it."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epg_service.domain.losses import Losses
from epg_service.importer import reading
from epg_service.importer.compare import changed_days
from epg_service.xmltv.cut import cut
from epg_service.xmltv.iterparse import iterparse
from epg_service.xmltv.records import Batch, End, Same, Stretch
from epg_service.xmltv.times import Stamps
from tests.epg.guidekit import HOUR, MIDNIGHT, Show, Station, guide_of, hourly
from tests.epg.test_cut import DAMAGES, Row, documents, plain, told

Recalled = Callable[[str], Stretch | None]


def rows_of(batch: Batch) -> list[Row]:
    columns = (batch.starts, batch.stops, batch.titles, batch.raws)
    return list(zip([batch.channel] * len(batch), *columns, strict=True))


def read(document: bytes, chunk: int, recalled: Recalled, kept: dict[str, list[Row]]) -> tuple[list[Row], End, int]:
    """The rows of a reading, those of skipped channels put in from `kept`; its end; how many were skipped."""
    rows: list[Row] = []
    end, skipped = End(False, 0, 0), 0
    for item in cut(io.BytesIO(document), stamps=Stamps(), losses=Losses(), recalled=recalled, chunk_bytes=chunk):
        match item:
            case Batch():
                rows += rows_of(item)
            case Same():
                rows += kept[item.channel]
                skipped += len(kept[item.channel])
            case End():
                end = item
    return rows, end, skipped


def remembered(document: bytes, chunk: int) -> tuple[dict[str, Stretch], dict[str, list[Row]]]:
    """The stretches of a document that hold all programmes of their channel, and those."""
    stretches: dict[str, Stretch] = {}
    rows: dict[str, list[Row]] = {}
    for item in cut(io.BytesIO(document), stamps=Stamps(), losses=Losses(), chunk_bytes=chunk):
        if isinstance(item, Stretch):
            stretches[item.channel] = item
        elif isinstance(item, Batch):
            rows.setdefault(item.channel, []).extend(rows_of(item))
    whole = {name: one for name, one in stretches.items() if one.programmes == len(rows.get(name, ()))}
    return whole, rows


CHUNKS = st.sampled_from([64, 300, 1 << 18])


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), DAMAGES, CHUNKS, CHUNKS)
def test_a_changed_guide_reads_the_same_whether_the_one_before_is_remembered(
    document: bytes, damages: list[tuple[int, int, bytes]], chunk: int, other: int
) -> None:
    stretches, kept = remembered(document, chunk)
    for at, length, put in damages[:2]:
        begin = at % (len(document) + 1)
        document = document[:begin] + put + document[begin + length :]
    expected = told(iterparse, document)
    guessed = "encoding" in expected[5]  # from as much as is at hand, so what the pieces are matters
    if expected[-1] is None and not guessed:
        rows, end, _ = read(document, other, stretches.get, kept)
        assert (rows, end) == (expected[2], expected[3])


def test_nearly_all_of_an_unchanged_guide_is_passed_over() -> None:
    document = ("<tv>" + "".join(plain(n) for n in range(2000)) + "</tv>").encode()
    stretches, kept = remembered(document, 1 << 18)
    rows, end, skipped = read(document, 5_000, stretches.get, kept)
    assert (rows, end) == (told(iterparse, document)[2], End(True, 2000, 0))
    assert skipped == 1600, "all but the first channel, which the exact reader begins"


def test_a_channel_that_goes_on_behind_its_stretch_is_read() -> None:
    parts = [plain(n) for n in range(1200)]
    stretches, kept = remembered(("<tv>" + "".join(parts) + "</tv>").encode(), 1 << 18)
    parts.insert(800, plain(799).replace("T799", "more"))
    document = ("<tv>" + "".join(parts) + "</tv>").encode()
    rows, end, skipped = read(document, 1 << 18, stretches.get, kept)
    assert (rows, end, skipped) == (told(iterparse, document)[2], End(True, 1201, 0), 400)


# ---- imports ---------------------------------------------------------------------------------------------------------

CHANNELS = [f"c{n}" for n in range(6)]


def shows(word: str = "Show") -> list[Show]:
    return [one for name in CHANNELS for one in hourly(name, MIDNIGHT, 48, word if name == "c3" else "Show")]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The channels that were compared with the guide."""
    names: list[str] = []

    def noted(rows, stored, *more):  # type: ignore[no-untyped-def]
        names.append(stored.name)
        return changed_days(rows, stored, *more)

    monkeypatch.setattr(reading, "changed_days", noted)
    return names


def test_only_channels_that_changed_are_compared(tmp_path: Path, compared: list[str]) -> None:
    station = Station(tmp_path)
    station.take(guide_of(shows()))
    compared.clear()
    run = station.take(guide_of(shows("New")))
    assert (run.status, run.programs_imported, run.programs_skipped) == ("success", 288, 0)
    assert compared == ["c0", "c3"], "the first one is always read"
    assert run.report["changes"] == {"added": 0, "changed": 48, "removed": 0}
    compared.clear()
    station.take(guide_of(shows("New")) + b"\n")
    assert compared == ["c0"]
    station.close()


@pytest.mark.parametrize("why", ["forced", "another zone", "rows are gone", "the window moved", "damaged"])
def test_what_is_remembered_is_not_believed(tmp_path: Path, compared: list[str], why: str) -> None:
    station = Station(tmp_path, {"retention": {"past_days": 1, "future_days": 9}})
    station.take(guide_of(shows()))
    compared.clear()
    provider = station.it.providers.all()[0]
    if why == "another zone":
        station.it.providers.update(provider.id, {"default_timezone": "Europe/Berlin"})
    elif why == "rows are gone":
        for mapped in station.it.channels.of_provider(provider.id).values():
            station.it.programs.prune_past(mapped.id, MIDNIGHT + 5 * HOUR)
    elif why == "the window moved":
        station.clock.at += 14 * HOUR
    elif why == "damaged":
        (station.paths.memory / f"{provider.id}.json").write_text('{"mark": 1, "channels": [')
    run = station.take(guide_of(shows()) + b"\n", force=why == "forced")
    assert run.status == "success"
    assert compared == CHANNELS
    station.close()


def test_a_channel_of_which_something_was_lost_is_read_again(tmp_path: Path, compared: list[str]) -> None:
    station = Station(tmp_path)
    odd = [*shows(), *(Show("c9", MIDNIGHT + n * HOUR, MIDNIGHT + n * HOUR, "x") for n in range(3))]
    first = station.take(guide_of([*odd, *hourly("z", MIDNIGHT, 3)]))
    compared.clear()
    again = station.take(guide_of([*odd, *hourly("z", MIDNIGHT, 3)]) + b"\n")
    assert "c9" in compared
    assert again.report["notes"] == first.report["notes"] != {}
    station.close()
