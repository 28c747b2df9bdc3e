"""A week of daily imports of a guide whose window moves and of which a part changes every day."""

import random
from pathlib import Path

from servicekit.store.sqlite import integrity
from tests.epg.guidekit import DAY, HOUR, MIDNIGHT, Show, Station, guide_of

CHANNELS, DAYS_AHEAD = 30, 7
PAST_DAYS = 2


def show(channel: int, start: int, version: int) -> Show:
    text = f"<desc>{'The story of this programme. ' * 5}{version}</desc>"
    return Show(f"c{channel}.tv", start, start + HOUR, f"Show {start // HOUR} v{version}", text)


def test_a_week_of_daily_imports_leaves_the_window_and_keeps_ids(tmp_path: Path) -> None:
    chance = random.Random(7)
    station = Station(tmp_path, {"retention": {"past_days": PAST_DAYS, "future_days": DAYS_AHEAD}})
    station.provider()
    versions: dict[tuple[int, int], int] = {}
    ids: dict[tuple[str, int], int] = {}
    sizes: list[int] = []
    for day in range(8):
        midnight = MIDNIGHT + day * DAY
        station.clock.at = midnight + 3 * HOUR
        starts = range(midnight, midnight + DAYS_AHEAD * DAY, HOUR)
        for channel in range(CHANNELS):
            for start in starts:
                if chance.random() < 0.05:
                    versions[channel, start] = day
        shows = [show(channel, at, versions.get((channel, at), 0)) for channel in range(CHANNELS) for at in starts]
        station.lay(guide_of(shows))
        run = station.it.imports.enqueue(1, reason="schedule")
        station.keeper().work_off()
        ended = station.it.imports.get(run.id)
        assert (ended.status, ended.programs_imported, ended.programs_skipped) == ("success", len(shows), 0)
        found = {(name, row[1]): row for name, rows in station.everything().items() for row in rows}
        wanted = {(one.channel, one.start): one for one in shows}
        kept_from = station.clock.at - PAST_DAYS * DAY
        assert {key: found[key][3] for key in wanted} == {key: one.title for key, one in wanted.items()}
        history = [row for key, row in found.items() if key not in wanted]
        assert all(kept_from < row[2] and row[1] < midnight for row in history)
        assert len(history) == CHANNELS * sum(kept_from < start + HOUR for start in range(MIDNIGHT, midnight, HOUR)), (
            "what the file no longer holds stays as history as long as the window holds it"
        )
        for key, row in found.items():
            assert ids.setdefault(key, row[0]) == row[0], "a programme keeps its id"
        assert station.it.programs.stats().total_programs == len(found)
        sizes.append(station.paths.database.stat().st_size)
    assert sizes[-1] < 2 * sizes[0], sizes
    assert sizes[-1] <= 1.2 * sizes[4], "it grows no further once the window is full"
    assert integrity(station.paths.database) == []
    station.close()
