"""Cleaning of one channel, and the timeline made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epg_service.domain.clean import clean
from epg_service.domain.losses import Losses
from epg_service.domain.model import Rows
from epg_service.domain.timeline import timeline

H = 3600
Row = tuple[int, int, str]


def rows_of(rows: list[tuple[int, int, str, bytes]]) -> Rows:
    return Rows([r[0] for r in rows], [r[1] for r in rows], [], [r[2] for r in rows], [r[3] for r in rows])


def cleaned(*rows: Row) -> tuple[list[tuple[int, int, int, str]], Losses]:
    losses = Losses()
    result = clean(rows_of([(*row, b"x") for row in rows]), losses=losses)
    return [row[:4] for row in result], losses


def test_rows_in_order_pass_as_they_are() -> None:
    result, losses = cleaned((1, 2, "a"), (2, 3, "b"))
    assert result == [(1, 2, 0, "a"), (2, 3, 0, "b")]
    assert losses.as_dict() == losses.notes_dict() == {}


@pytest.mark.parametrize(
    ("rows", "expected", "noted"),
    [
        ([], [], {}),
        ([(5, 6, "b"), (1, 2, "a")], [(1, 2, 0, "a"), (5, 6, 0, "b")], {}),
        ([(0, 0, "a"), (H, 2 * H, "b")], [(0, H, 0, "a"), (H, 2 * H, 0, "b")], {"missing_stop": 1}),
        ([(H, 0, "a")], [(H, H + 1800, 0, "a")], {"missing_stop": 1}),
        ([(H, 5, "a"), (H + 60, 2 * H, "b")], [(H, H + 60, 0, "a"), (H + 60, 2 * H, 0, "b")], {"backward_stop": 1}),
        ([(H, 0, "a"), (99 * H, 100 * H, "b")],
         [(H, H + 1800, 0, "a"), (99 * H, 100 * H, 0, "b")], {"missing_stop": 1}),
        ([(H, 0, "a"), (H, 0, "b"), (2 * H, 3 * H, "c")],
         [(H, 2 * H, 0, "a"), (H, 2 * H, 1, "b"), (2 * H, 3 * H, 0, "c")], {"missing_stop": 2}),
        ([(H, H, "News"), (H, 2 * H, "Regional")], [(H, H, 0, "News"), (H, 2 * H, 1, "Regional")], {"zero_length": 1}),
        ([(H, 30 * H, "a")], [(H, 30 * H, 0, "a")], {"overlong": 1}),
        ([(H, 2 * H, "")], [(H, 2 * H, 0, "")], {"no_title": 1}),
        ([(2**32 - 1, 0, "a")], [(2**32 - 1, 2**32 - 1, 0, "a")], {"missing_stop": 1}),
    ],
)  # fmt: skip
def test_what_is_odd_is_put_right_and_noted(
    rows: list[Row], expected: list[tuple[int, int, int, str]], noted: dict[str, int]
) -> None:
    result, losses = cleaned(*rows)
    assert result == expected
    assert {kind: tally["count"] for kind, tally in losses.notes_dict().items()} == noted
    assert losses.total() == 0


def test_what_has_no_title_is_told_by_its_start() -> None:
    _, losses = cleaned((0, 0, ""), (H, 2 * H, ""), (3 * H, 3 * H, ""))
    samples = {kind: tally["samples"] for kind, tally in losses.notes_dict().items()}
    first, last = "without a title, at 1970-01-01T00:00:00Z", "without a title, at 1970-01-01T03:00:00Z"
    between = "without a title, at 1970-01-01T01:00:00Z"
    assert samples == {"no_title": [first, between, last], "missing_stop": [first], "zero_length": [last]}


def test_a_sample_without_a_title_names_its_channel() -> None:
    losses = Losses()
    rows = rows_of([(H, 2 * H, "", b"x"), (H, 2 * H, "", b"y"), *((3 * H, 3 * H + n, "", b"x") for n in range(1, 10))])
    clean(rows, losses=losses, channel="x.tv")
    told = {**losses.as_dict(), **losses.notes_dict()}
    assert {kind: tally["count"] for kind, tally in told.items()} == {"double": 1, "crowded": 1, "no_title": 11}
    for kind, hour in (("double", 1), ("crowded", 3)):
        assert told[kind]["samples"] == [f"channel 'x.tv', without a title, at 1970-01-01T0{hour}:00:00Z"]


def test_exact_doubles_fold_into_the_longer_the_later_of_equals() -> None:
    losses = Losses()
    raws = [b"short", b"longer", b"LONGER", b"other"]
    rows = clean(Rows([1] * 4, [9] * 4, [], ["a", "a", "a", "b"], raws), losses=losses)
    assert rows.raws == [b"LONGER", b"other"]
    assert rows.ordinals == [0, 1]
    assert losses.as_dict() == {"double": {"count": 2, "samples": ["a"]}}


def test_a_repeated_block_folds_away() -> None:
    block: list[Row] = [(n * H, (n + 1) * H, f"p{n}") for n in range(4)]
    result, losses = cleaned(*block, *block)
    assert [row[3] for row in result] == ["p0", "p1", "p2", "p3"]
    assert losses.count("double") == 4


def test_a_ninth_programme_at_one_start_is_counted_and_left_out() -> None:
    result, losses = cleaned(*((H, 2 * H, f"p{n}") for n in range(10)))
    assert [row[2] for row in result] == list(range(8))
    assert losses.as_dict() == {"crowded": {"count": 2, "samples": ["p8", "p9"]}}


ROWS = st.lists(
    st.tuples(
        st.integers(0, 20).map(lambda n: n * 1800),
        st.one_of(st.just(0), st.integers(0, 22).map(lambda n: n * 1800), st.just(90 * H)),
        st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", ""]),
        st.sampled_from([b"1", b"22", b"333"]),
    ),
    max_size=40,
)


@given(ROWS)
def test_nothing_is_lost_in_silence_and_cleaning_twice_changes_nothing(rows: list[tuple[int, int, str, bytes]]) -> None:
    losses = Losses()
    once = clean(rows_of(rows), losses=losses)
    assert len(once) + losses.total() == len(rows)
    assert once.starts == sorted(once.starts)
    assert all(stop >= start for start, stop in zip(once.starts, once.stops, strict=True))
    keys = list(zip(once.starts, once.ordinals, strict=True))
    assert keys == sorted(set(keys))
    again = Losses()
    assert clean(once, losses=again) == once
    assert again.total() == 0


@given(ROWS)
def test_a_timeline_has_no_overlap_and_covers_what_was_covered(rows: list[tuple[int, int, str, bytes]]) -> None:
    once = clean(rows_of(rows), losses=Losses())
    shown = timeline(once)
    assert all(start < stop for start, stop in zip(shown.starts, shown.stops, strict=True))
    assert all(stop <= start for stop, start in zip(shown.stops, shown.starts[1:], strict=False))
    assert {start for start, stop, *_ in once if stop > start} == set(shown.starts)
    assert timeline(shown) == shown


def test_the_shown_one_of_a_start_is_the_longer_text_then_the_later() -> None:
    rows = Rows([0, 0, 0, H], [H, H, 2 * H, 2 * H], [0, 1, 2, 0], list("abcd"), [b"333", b"1", b"444", b"1"])
    shown = timeline(rows)
    assert (shown.titles, shown.stops) == (["c", "d"], [H, 2 * H])


def test_one_with_a_length_beats_one_without() -> None:
    rows = Rows([0, 0], [0, H], [0, 1], ["News", "Regional"], [b"a long text", b"x"])
    assert timeline(rows).titles == ["Regional"]


def test_a_programme_ends_where_the_next_begins() -> None:
    rows = Rows([0, H], [5 * H, 2 * H], [0, 0], ["a", "b"], [b"", b""])
    assert timeline(rows).stops == [H, 2 * H]


def test_rows_pick_by_index() -> None:
    rows = Rows([0, H], [H, 2 * H], [0, 0], ["a", "b"], [b"1", b"2"])
    assert rows.at([0, 1]) is rows
    assert rows.at([1]).titles == ["b"]
