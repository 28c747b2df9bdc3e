"""The window of what is kept."""

from hypothesis import given
from hypothesis import strategies as st

from epg_service.domain.losses import Losses
from epg_service.domain.retention import DAY_S, Window, keep

NOW = 1_795_000_000


def test_the_window_lies_around_now() -> None:
    assert Window(7, 14).bounds(NOW) == (NOW - 7 * DAY_S, NOW + 14 * DAY_S)
    assert Window(0.5, 0).bounds(NOW) == (NOW - DAY_S // 2, NOW)


def test_the_running_programme_stays_and_the_ended_one_goes() -> None:
    losses = Losses()
    starts = [0, 50, 90, 100, 199, 200]
    stops = [100, 101, 100, 100, 300, 260]
    assert keep(starts, stops, (100, 200), losses=losses, titles=list("abcdef")) == [1, 4]
    assert losses.as_dict() == {
        "outside_retention_past": {"count": 3, "samples": ["a"]},
        "outside_retention_future": {"count": 1, "samples": ["f"]},
    }


def test_with_no_past_at_all_what_runs_now_is_kept() -> None:
    assert keep([NOW - 60, NOW - 120], [NOW + 60, NOW], Window(0, 1).bounds(NOW)) == [0]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50))), st.integers(0, 50), st.integers(0, 50))
def test_what_goes_is_counted(rows: list[tuple[int, int]], begin: int, end: int) -> None:
    losses = Losses()
    kept = keep([row[0] for row in rows], [row[1] for row in rows], (begin, end), losses=losses)
    assert len(kept) + losses.total() == len(rows)
    assert kept == sorted(kept)
