"""Now and next, and the grid: by whatever way they are read, they are what the published guide shows."""

import random
from collections.abc import Sequence

import pytest

from epg_service.domain.entities import Listing
from epg_service.domain.shown import now_and_next, one_at_a_time
from tests.epg.guidekit import DAY, HOUR, NOON, Show, guide_of, hourly
from tests.epg.querykit import Asked, station  # noqa: F401 (a fixture)

QUARTER = 900


LENGTHS = (0, QUARTER, HOUR, HOUR, HOUR, 2 * HOUR)


def odd_guide(source: random.Random, channel: str, lengths: Sequence[int]) -> list[Show]:
    """Overlaps, gaps, several programmes with one start, no length, long ones."""
    found, at = [], NOON - 6 * HOUR
    for number in range(60):
        length = source.choice(lengths)
        found.append(
            Show(channel, at, at + length, f"{channel} {number}", f"<desc>{'x' * source.randrange(30)}</desc>")
        )
        at += source.choice((0, 0, QUARTER, HOUR, HOUR, length, 3 * HOUR))
    return found


def whole(station: Asked, channel_id: int) -> list[Listing]:  # noqa: F811
    """All that a viewer would see of a channel, one programme at a time, by the way publishing takes."""
    return one_at_a_time(station.it.guide.listings(channel_id, 0, 1 << 32, with_raw=True))


def bare(one: Listing | None) -> tuple[int, int, int, str] | None:
    return None if one is None else (one.id, one.start_s, one.stop_s, one.title)


@pytest.mark.parametrize("seed", range(12))
def test_now_and_next_and_grids_are_cut_out_of_what_is_published(station: Asked, seed: int) -> None:  # noqa: F811
    source = random.Random(seed)
    channels = [f"ch{n}" for n in range(4)]
    several = seed % 2 == 1
    lengths = LENGTHS if several else (*LENGTHS, 7 * HOUR, DAY + HOUR)
    station.take(guide_of([show for name in channels for show in odd_guide(source, name, lengths)]))
    if several:
        other = station.provider("other")
        station.take(guide_of([show for name in channels[:2] for show in odd_guide(source, name, lengths)]), other)
    if seed % 3 == 0:
        station.it.connections.get().execute("UPDATE channels SET shift_minutes = 45 WHERE name = 'ch1'")
    seen = {one.id: whole(station, one.id) for one in station.it.channels.all()}
    for at in range(NOON - 7 * HOUR, NOON + 60 * HOUR, 37 * 60):
        found, more = station.it.browse.now_next([], at, after=0, limit=1000, with_elements=False)
        assert more is None
        for channel, now, coming in found:
            right = now_and_next(seen[channel.id], at)
            assert (bare(now), bare(coming)) == (bare(right[0]), bare(right[1])), (channel.name, at)
    for _ in range(25):
        start = NOON + source.randrange(-8 * HOUR, 60 * HOUR)
        end = start + source.choice((60, HOUR, 3 * HOUR, DAY))
        grid, _ = station.it.browse.grid([], start, end, after=0, limit=1000, with_elements=False)
        for channel, shown in grid:
            right = [bare(one) for one in seen[channel.id] if one.stop_s > start and one.start_s < end]
            assert [bare(one) for one in shown] == right, (channel.name, start, end)


def test_pages_of_now_and_grid_hold_every_channel_once(station: Asked) -> None:  # noqa: F811
    station.take(guide_of([show for n in range(7) for show in hourly(f"ch{n}", NOON, 3)]))
    names = [one.name for one in station.it.channels.all()]
    for limit in (1, 2, 7, 100):
        after, walked, gridded = 0, [], []
        while True:
            page, more = station.it.browse.now_next([], NOON, after=after, limit=limit, with_elements=False)
            grid, more_grid = station.it.browse.grid([], NOON, NOON + 1, after=after, limit=limit, with_elements=True)
            walked += [channel.name for channel, _, _ in page]
            gridded += [channel.name for channel, _ in grid]
            assert more == more_grid
            if more is None:
                break
            after = more
        assert walked == gridded == names


def test_a_grid_that_takes_too_long_ends_early_and_goes_on(station: Asked, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    station.take(guide_of([show for n in range(4) for show in hourly(f"ch{n}", NOON, 3)]))
    monkeypatch.setattr("epg_service.store.browse.PAGE_LIMIT_S", -1.0)
    walked, after = [], 0
    for _ in range(4):
        page, more = station.it.browse.grid([], NOON, NOON + HOUR, after=after, limit=100, with_elements=False)
        walked += [channel.name for channel, _ in page]
        assert len(page) == 1
        after = more or 0
    assert more is None
    assert walked == ["ch0", "ch1", "ch2", "ch3"]


def test_channels_are_named_by_id_or_xmltv_id(station: Asked) -> None:  # noqa: F811
    station.take(guide_of([*hourly("one", NOON, 3), *hourly("two", NOON, 3)]))
    two = station.channel_id("two")
    for names in (["two"], [str(two)], ["two", str(two)]):
        page, _ = station.it.browse.now_next(names, NOON, after=0, limit=10, with_elements=False)
        assert [channel.name for channel, _, _ in page] == ["two"]
