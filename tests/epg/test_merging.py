"""One guide out of several providers' guides: the best one whole, its gaps filled, nothing over anything."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epg_service.domain.merging import merged


@dataclass(frozen=True)
class Slot:
    start_s: int
    stop_s: int
    guide: str = ""


def slots(guide: str, *spans: tuple[int, int]) -> list[Slot]:
    return [Slot(start, stop, guide) for start, stop in spans]


@pytest.mark.parametrize(
    ("best", "next_", "expected"),
    [
        ([(0, 10), (20, 30)], [(0, 10), (10, 20), (20, 30)], "a0 b10 a20"),
        ([(0, 10)], [(5, 15), (15, 20)], "a0 b15"),
        ([(0, 10)], [(20, 30)], "a0 b20"),
        ([(10, 20)], [(0, 10), (0, 5)], "b0 a10"),
        ([(10, 20)], [(0, 11)], "a10"),
        ([], [(0, 10), (5, 20), (20, 30)], "b0 b20"),
        ([(0, 60), (10, 20)], [(30, 40), (60, 70)], "a0 a10 b60"),
        ([(10, 10)], [(0, 20)], "b0 a10"),
        ([(0, 10)], [(10, 10), (10, 20)], "a0 b10"),
        ([(0, 5), (0, 10)], [(10, 20)], "a0 a0 b10"),
    ],
    ids=[
        "a gap is filled",
        "what overlaps stays out",
        "after the end",
        "two for one gap: the first",
        "a second too long",
        "nothing from the best: no overlaps from the next",
        "a programme within a long one frees nothing",
        "without length it takes no room",
        "without length it fills nothing",
        "same-start pairs of the best stay",
    ],
)
def test_gaps_of_the_best_guide_are_filled(
    best: list[tuple[int, int]], next_: list[tuple[int, int]], expected: str
) -> None:
    found = merged([slots("a", *best), slots("b", *next_)])
    assert " ".join(f"{one.guide}{one.start_s}" for one in found) == expected


def test_the_third_provider_fills_what_two_left_open() -> None:
    found = merged([slots("a", (0, 10)), slots("b", (10, 20)), slots("c", (5, 15), (20, 30))])
    assert [one.guide for one in found] == ["a", "b", "c"]


def test_one_guide_and_no_guide_come_back_as_they_are() -> None:
    alone = slots("a", (0, 10), (5, 15), (5, 5))
    assert merged([alone]) == alone
    assert merged([]) == []


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)


@given(st.lists(SPANS, min_size=1, max_size=4))
def test_what_fills_overlaps_nothing_and_nothing_of_the_best_is_lost(guides: list[list[tuple[int, int]]]) -> None:
    rows = [
        slots(str(at), *((start, start + length) for start, length in sorted(spans))) for at, spans in enumerate(guides)
    ]
    found = merged(rows)
    assert [one for one in found if one.guide == "0"] == rows[0]
    assert [one.start_s for one in found] == sorted(one.start_s for one in found)
    for filler in (one for one in found if one.guide != "0"):
        for other in found:
            if other is not filler and other.stop_s > other.start_s:
                assert filler.stop_s <= other.start_s or filler.start_s >= other.stop_s
