"""The detector of shifted times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epg_service.domain.shift import MIN_PAIRS, Shift, shift_between

HOUR = 3600


def guide(shift_s: int = 0, *, count: int = 60, channel: str = "a") -> dict[str, list[int]]:
    """Different programmes an hour each; `shift_s` later."""
    return {f"{channel} {number}": [1_000_000 * HOUR + number * HOUR + shift_s] for number in range(count)}


@pytest.mark.parametrize("minutes", [-720, -330, -60, -15, 15, 60, 120, 345, 720])
def test_a_guide_that_is_off_by_one_amount_is_told(minutes: int) -> None:
    assert shift_between([(guide(minutes * 60), guide())]) == Shift(minutes, 60, 1.0)


def test_guides_that_agree_are_not_shifted() -> None:
    assert shift_between([(guide(), guide())]) is None


def test_small_differences_are_no_shift() -> None:
    assert shift_between([(guide(5 * 60), guide())]) is None


def test_too_little_to_compare_says_nothing() -> None:
    assert shift_between([(guide(HOUR, count=MIN_PAIRS - 1), guide())]) is None
    assert shift_between([]) is None


def test_a_title_that_runs_all_day_says_nothing() -> None:
    news = {"News": [number * HOUR for number in range(100)]}
    assert shift_between([(news, {"News": [one + HOUR for one in news["News"]]})]) is None


def test_the_amount_that_most_pairs_agree_on_counts_over_all_channels() -> None:
    channels = [(guide(HOUR, channel=name), guide(channel=name)) for name in "abc"]
    assert shift_between([*channels, (guide(channel="d"), guide(channel="d"))]) == Shift(60, 240, 0.75)
    assert shift_between([*channels, *[(guide(channel=name), guide(channel=name)) for name in "def"]]) is None


@given(st.dictionaries(st.text(max_size=3), st.lists(st.integers(0, 2**32 - 1), max_size=6), max_size=40))
def test_a_guide_is_never_shifted_against_itself(titles: dict[str, list[int]]) -> None:
    assert shift_between([(titles, titles)]) is None
