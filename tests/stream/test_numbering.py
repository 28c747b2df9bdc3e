"""Channel numbers: read, given once, never given again."""

from itertools import starmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_service.domain.numbering import Given, Wish, canonical_number, give_by_group, give_numbers, number_key


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", "7"), (" 7 ", "7"), ("007", "7"), ("5.1", "5.1"), ("5-1", "5.1"), ("5_1", "5.1"), ("5.10", "5.10"),
        ("5.0", "5"), ("0", ""), ("-1", ""), ("", ""), ("abc", ""), ("1e3", ""), ("²", ""), ("٢٠", ""), ("5.", ""),
        ("12345678", ""), ("7\n8", ""), ("0.1", ""),
    ],
)  # fmt: skip
def test_numbers_are_read_strictly(text: str, number: str) -> None:
    assert canonical_number(text) == number


def test_numbers_sort_as_people_count() -> None:
    assert sorted(["10", "5.10", "5", "6", "5.2"], key=number_key) == ["5", "5.2", "5.10", "6", "10"]


@pytest.mark.parametrize(
    ("wanted", "taken", "given_numbers"),
    [
        pytest.param([("a", "5"), ("b", "")], [], {"a": "5", "b": "1"}, id="the provider's, and the next free from 1"),
        pytest.param([("a", ""), ("b", "1")], [], {"a": "2", "b": "1"}, id="a wish later in the list is still heard"),
        pytest.param([("a", "5"), ("b", "5")], [], {"a": "5", "b": "1"}, id="the first who asks gets it"),
        pytest.param([("a", "1"), ("b", "")], ["1", "2"], {"a": "3", "b": "4"}, id="never what was ever given"),
        pytest.param([("a", "5.1"), ("b", "")], ["1"], {"a": "5.1", "b": "2"}, id="decimals"),
        pytest.param([("a", ""), ("b", "")], ["2"], {"a": "1", "b": "3"}, id="gaps are used"),
    ],
)
def test_new_channels_get_numbers(
    wanted: list[tuple[str, str]], taken: list[str], given_numbers: dict[str, str]
) -> None:
    assert give_numbers(starmap(Wish, wanted), taken).numbers == given_numbers


@given(
    st.lists(st.sampled_from(["", "1", "2", "3", "5.1", "7"]), max_size=12), st.sets(st.sampled_from(["1", "3", "9"]))
)
def test_nobody_shares_a_number(wishes: list[str], taken: set[str]) -> None:
    found = give_numbers([Wish(f"c{i}", wish) for i, wish in enumerate(wishes)], taken).numbers
    assert len(found) == len(wishes)
    assert len(set(found.values()) | taken) == len(wishes) + len(taken)


def by_group(*groups: str, taken: tuple[str, ...] = (), size: int = 2, **ranges: list[int]) -> Given:
    wishes = [Wish(f"{group}{n}", "", group) for n, group in enumerate(groups)]
    return give_by_group(wishes, taken, ranges, first=100, size=size)


def test_each_group_has_a_range_in_alphabetical_order_and_no_group_comes_last() -> None:
    found = by_group("B", "", "a", "B")
    assert found.numbers == {"a2": "100", "B0": "102", "B3": "103", "1": "104"}
    assert found.ranges == {"a": [100], "B": [102], "": [104]}
    assert found.overflow == {}


def test_a_group_keeps_its_range_when_others_come() -> None:
    found = by_group("A", "C", B=[100], taken=("100",))
    assert found.numbers == {"A0": "102", "C1": "104"}
    assert by_group("B", taken=("100",), B=[100]).numbers == {"B0": "101"}


def test_a_full_range_goes_on_further_up_and_says_so() -> None:
    found = by_group("A", "A", "A", "B", "A")
    assert found.numbers == {"A0": "100", "A1": "101", "A2": "104", "B3": "102", "A4": "105"}
    assert found.overflow == {"A": 2}
    assert found.ranges["A"] == [100, 104]


@given(
    st.lists(st.sampled_from(["a", "b", "", "c"]), max_size=30),
    st.sets(st.integers(95, 120).map(str)),
    st.integers(1, 4),
)
def test_groups_never_share_a_number(groups: list[str], taken: set[str], size: int) -> None:
    found = by_group(*groups, taken=tuple(taken), size=size)
    assert len(set(found.numbers.values()) | taken) == len(groups) + len(taken)
    firsts = [first for own in found.ranges.values() for first in own]
    assert len(set(firsts)) == len(firsts)
