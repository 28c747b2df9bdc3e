"""The verdict: what a file is held against before it may replace the last good guide."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from epg_service.domain.verdict import Found, LastGood, Share, rejection
from epg_service.importer.basis import basis_of, moves_times
from epg_service.wiring import for_keeper
from tests.epg.guidekit import DAY, HOUR, MIDNIGHT, NOON, Show, Station, guide_of, hourly

NOW = 1_000_000
MANY, FEW, NONE = Share(100, 10), Share(20, 2), Share(0, 0)


def found(whole: Share = MANY, kept: Share = MANY, *, complete: bool = True, latest_stop_s: int = NOW + 1) -> Found:
    return Found(complete=complete, whole=whole, kept=kept, latest_stop_s=latest_stop_s)


def last(whole: Share = MANY, kept: Share = MANY, *, same_window: bool = True, same_file: bool = False) -> LastGood:
    return LastGood(whole=whole, kept=kept, same_window=same_window, same_file=same_file)


@pytest.mark.parametrize(
    ("now", "before", "word"),
    [
        pytest.param(found(), None, None, id="the first one"),
        pytest.param(found(complete=False, latest_stop_s=1), None, None, id="better than nothing"),
        pytest.param(found(NONE, NONE), None, "no programme", id="nothing"),
        pytest.param(found(MANY, NONE), None, "100 programmes can be kept", id="nothing to keep"),
        pytest.param(found(complete=False), last(), "breaks off", id="truncated"),
        pytest.param(found(latest_stop_s=NOW), last(), "over", id="over"),
        pytest.param(found(FEW, FEW), last(NONE, NONE), None, id="after one that held nothing"),
        pytest.param(found(FEW, FEW), last(), "20 programmes", id="too few programmes"),
        pytest.param(found(Share(100, 4), Share(100, 4)), last(), "4 channels", id="too few channels"),
        pytest.param(found(Share(50, 5), Share(50, 5)), last(), None, id="just enough"),
        pytest.param(found(MANY, FEW), last(), "20 programmes", id="too few kept"),
        pytest.param(found(MANY, FEW), last(same_window=False), None, id="a smaller window"),
        pytest.param(found(), last(MANY, FEW, same_window=False), None, id="a larger window"),
        pytest.param(found(FEW, FEW), last(MANY, FEW, same_window=False), "held 100", id="fewer behind a larger one"),
        pytest.param(found(FEW, Share(5, 1)), last(same_window=False), "held 100", id="fewer behind a smaller one"),
        pytest.param(found(Share(100, 4), FEW), last(same_window=False), "4 channels", id="fewer channels behind one"),
        pytest.param(found(MANY, FEW), last(same_file=True), None, id="the same file later"),
        pytest.param(found(MANY, FEW, latest_stop_s=NOW), last(same_file=True), "over", id="the same file too late"),
    ],
)
def test_a_file_is_held_against_the_last_good_one(now: Found, before: LastGood | None, word: str | None) -> None:
    reason = rejection(now, before, min_share=0.5, now_s=NOW)
    assert (reason is None) if word is None else (word in str(reason))


# ---- through the whole pipe ------------------------------------------------------------------------------------------


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.close()


def week() -> list[Show]:
    """A channel with something today, three that begin in two days."""
    later = (hourly(name, MIDNIGHT + 2 * DAY, 48) for name in ("b", "c", "d"))
    return [*hourly("a", MIDNIGHT, 96), *(one for shows in later for one in shows)]


def kept_with(station: Station, days: int | None, shows: list[Show]) -> tuple[str, int]:
    provider = station.it.providers.all()[0]
    station.it.providers.update(provider.id, {"retention_days": days})
    run = station.take(guide_of(shows))
    return run.status, run.programs_imported


def test_a_window_of_ours_is_no_fault_of_the_file(station: Station) -> None:
    station.take(guide_of(week()))
    assert kept_with(station, 1, week()) == ("success", 36)
    assert kept_with(station, 1, week()) == ("unchanged", 36)
    assert kept_with(station, None, week()) == ("success", 96 + 3 * 48)


@pytest.mark.parametrize(("first", "then"), [(None, 1), (1, None)], ids=["shrinks", "grows"])
@pytest.mark.parametrize(
    ("file", "word"),
    [
        pytest.param(lambda: week()[:40], "programmes", id="few programmes"),
        pytest.param(lambda: [*week()[:96], *hourly("a", MIDNIGHT + 4 * DAY, 48)], "channels", id="few channels"),
    ],
)
def test_a_file_that_lost_much_is_refused_behind_another_window_too(
    station: Station, first: int | None, then: int | None, file: object, word: str
) -> None:
    assert callable(file)
    station.take(guide_of(week()), station.provider(retention_days=first))
    before = station.everything()
    assert kept_with(station, then, file())[0] == "rejected"
    provider = station.it.providers.all()[0]
    assert word in str(station.it.imports.latest(limit=1)[0].error_message)
    assert station.everything() == before
    assert (provider.good.channels, provider.good.channels_skipped) == ((1, 3) if first else (4, 0))


def test_the_same_file_is_good_as_long_as_it_holds_anything(station: Station) -> None:
    station.take(guide_of(week()), station.provider(retention_days=1))
    for days, kept in ((1, 48 + 3 * 12), (2, 48 + 3 * 36), (3, 4 * 36)):
        station.clock.at = NOON + days * DAY
        run = station.run(station.it.providers.all()[0])
        assert (run.status, run.programs_imported) == ("success", kept), days


def test_a_rehearsal_comes_to_the_same_verdict(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(for_keeper, "CLOCK", station.clock)
    station.take(guide_of(week()))
    provider = station.it.providers.all()[0]
    ends = []
    for days in (1, None, 3):
        asked = station.it.providers.update(provider.id, {"retention_days": days})
        would = for_keeper.rehearse(station.config, station.it, asked, force=False)
        ends.append((would.status, would.imported))
        assert kept_with(station, days, week()) == ends[-1]
    assert ends == [("success", 36), ("success", 240), ("success", 84 + 3 * 36)]


def test_nobody_is_woken_for_a_rehearsal(
    station: Station, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(for_keeper, "CLOCK", station.clock)
    station.take(guide_of(week()))
    provider = station.it.providers.all()[0]
    station.lay(guide_of(week()[:9]))
    told = []
    for run in (lambda: for_keeper.rehearse(station.config, station.it, provider, force=False).status,
                lambda: station.run(provider).status):  # fmt: skip
        caplog.clear()
        assert run() == "rejected"
        told.append("import_rejected" in caplog.text)
    assert told == [False, True]


# ---- times that are read in another way ------------------------------------------------------------------------------


def test_only_zone_and_shift_move_times(station: Station) -> None:
    provider = station.provider()
    bases = [
        basis_of(station.it.providers.update(provider.id, values), station.importer._limits.window)
        for values in ({"default_timezone": "Asia/Tokyo"}, {"shift_minutes": 5}, {"priority": 3})
    ]
    assert [moves_times(before, now) for before, now in zip([None, *bases], bases, strict=False)] == [
        False,
        True,
        False,
    ]


def spans(station: Station) -> list[tuple[int, str]]:
    return [((one.start_s - NOON) // 60, one.title) for one in station.listings("one.tv")]


@pytest.mark.parametrize("minutes", [60, -60, 36 * 60, -36 * 60])
def test_after_a_new_shift_nothing_that_is_not_over_stands_at_the_old_times(station: Station, minutes: int) -> None:
    """The file begins now and ends in two days; what it is, is never told by what was there before."""
    shows = [Show("one.tv", NOON + n * HOUR, NOON + (n + 1) * HOUR, f"S{n}") for n in range(48)]
    provider = station.provider()
    station.take(guide_of([Show("one.tv", NOON - (n + 1) * HOUR, NOON - n * HOUR, f"P{n}") for n in range(20)] + shows))
    past = spans(station)[:20]
    station.take(guide_of(shows))
    station.it.providers.update(provider.id, {"shift_minutes": minutes})
    assert station.take(guide_of(shows)).status == "success"
    moved = [(n * 60 + minutes, f"S{n}") for n in range(48)]
    assert spans(station) == [one for one in past if one[0] < minutes] + moved


def test_a_new_window_leaves_history_as_it_is(station: Station) -> None:
    shows = hourly("one.tv", NOON, 48)
    station.take(guide_of([Show("one.tv", NOON - HOUR, NOON + HOUR, "Long"), *shows]), station.provider())
    station.take(guide_of(shows))
    assert kept_with(station, 5, shows)[1] == 48
    assert station.titles("one.tv")[0] == "Long"
