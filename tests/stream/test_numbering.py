"""Channel numbers: read, given once, never given again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_service.domain.numbering import canonical_number, give_numbers, number_key


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
    assert give_numbers(wanted, taken) == given_numbers


@given(
    st.lists(st.sampled_from(["", "1", "2", "3", "5.1", "7"]), max_size=12), st.sets(st.sampled_from(["1", "3", "9"]))
)
def test_nobody_shares_a_number(wishes: list[str], taken: set[str]) -> None:
    found = give_numbers([(f"c{i}", wish) for i, wish in enumerate(wishes)], taken)
    assert len(found) == len(wishes)
    assert len(set(found.values()) | taken) == len(wishes) + len(taken)
