"""Which channels are one: by id, by name, by rule; and that a decision stays."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_service.domain.merging import Group, merge, resolved, settle
from stream_service.domain.model import LineupStream, StreamAddress

Stream = tuple[int, str, str]
"""Source, name, tvg-id."""


def streams(*told: Stream) -> list[LineupStream]:
    """Each with a channel of its own: a, b, c …"""
    return [
        LineupStream(StreamAddress(n, source, f"http://h/{n}"), chr(97 + n), tvg_id, name, "", "", "", xtream_id=n + 1)
        for n, (source, name, tvg_id) in enumerate(told)
    ]


def one_of(
    *told: Stream, by_id: bool = True, by_name: bool = True, rule: Callable[..., str] | None = None
) -> list[str]:
    """The channels that are one, as words: "ab" "c"."""
    groups = merge(streams(*told), by_id=by_id, by_name=by_name, rule_key=rule)
    return ["".join(group.ids) for group in groups]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([(1, "One", "one.uk"), (2, "Uno", "ONE.uk")], ["ab"], id="equal ids of two sources"),
        pytest.param([(1, "One", "one.uk"), (1, "Uno", "one.uk")], ["a", "b"], id="equal ids of one source: never"),
        pytest.param([(1, "One", "7"), (2, "Two", "7")], ["a", "b"], id="a provider's own count is no id"),
        pytest.param([(1, "UK: BBC One HD", ""), (2, "BBC One", "x")], ["ab"], id="equal names, written otherwise"),
        pytest.param([(1, "Film", ""), (1, "Film HD", "")], ["a", "b"], id="equal names of one source: never"),
        pytest.param([(1, "ITV", ""), (2, "ITV +1", "")], ["a", "b"], id="an hour later is another channel"),
        pytest.param([(1, "Sport 1", ""), (2, "Sport 2", "")], ["a", "b"], id="other numbers"),
        pytest.param([(1, "UK: Sky News", ""), (2, "AU: Sky News", "")], ["a", "b"], id="other countries"),
        pytest.param([(1, "UK: Sky News", ""), (2, "Sky News", "")], ["ab"], id="one says its country"),
        pytest.param(
            [(1, "A SD", "x"), (1, "A HD", "x"), (2, "A HD", "x"), (2, "A SD", "x")], ["ad", "bc"],
            id="variants find their like by name",
        ),
        pytest.param([(1, "A", "x"), (1, "B", "x"), (2, "C", "x")], ["ac", "b"], id="else the first"),
        pytest.param([(1, "A", "x"), (2, "B", "x"), (3, "C", "x")], ["abc"], id="three sources"),
        pytest.param(
            [*((1, f"N{n}", "none") for n in range(9)), (2, "M", "none")], [*"abcdefghij"],
            id="an id that a source gives to many says nothing",
        ),
    ],
)  # fmt: skip
def test_channels_of_several_sources(told: list[Stream], expected: list[str]) -> None:
    assert one_of(*told) == expected


def test_each_way_can_be_switched_off() -> None:
    told = [(1, "One", "one.uk"), (2, "Uno", "one.uk"), (3, "One", "")]
    assert one_of(*told, by_name=False) == ["ab", "c"]
    assert one_of(*told, by_id=False) == ["ac", "b"]
    assert one_of(*told, by_id=False, by_name=False) == ["a", "b", "c"]


def test_a_rule_merges_entries_of_one_source_too() -> None:
    told = [(1, "Arena 1", ""), (1, "Other", ""), (1, "Arena 2", ""), (2, "Arena 3", "")]
    assert one_of(*told, rule=lambda stream: "arena" if stream.name.startswith("Arena") else "") == ["acd", "b"]


def test_streams_are_ranked_as_they_came() -> None:
    (group,) = merge(streams((2, "A", "x"), (1, "A", "x"), (3, "A", "x")), by_id=True, by_name=True)
    assert [stream.stream.id for stream in group.streams] == [0, 1, 2]


def test_very_many_alike_cost_no_ages() -> None:
    told = [(1 + n % 2, "24/7", "x") for n in range(20_000)]
    made = [
        LineupStream(StreamAddress(n, source, ""), f"c{n}", tvg_id, name, "", "", "")
        for n, (source, name, tvg_id) in enumerate(told)
    ]
    assert len(merge(made, by_id=True, by_name=True)) == 10_000


_some = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["A", "B HD", "b", ""]), st.sampled_from(["", "x", "y"])))


@given(_some)
def test_nothing_is_lost_and_no_source_is_in_a_channel_twice(told: list[Stream]) -> None:
    given = streams(*told[:20])
    groups = merge(given, by_id=True, by_name=True)
    assert sorted(s.stream.id for g in groups for s in g.streams) == [s.stream.id for s in given]
    for group in groups:
        assert len({s.stream.source_id for s in group.streams}) == len(group.streams)


# ---- what stays ------------------------------------------------------------------------------------------------------


def group(ids: str) -> Group:
    return Group(list(ids), [], set())


def settled(*groups: str, aliases: dict[str, str] | None = None, shown: str = "") -> tuple[list[str], dict[str, str]]:
    done = settle([group(ids) for ids in groups], aliases=aliases or {}, shown=set(shown), age=ord)
    return list(done.channels), done.aliases


def test_the_oldest_channel_stands_for_the_others() -> None:
    assert settled("ba", "c") == (["a", "c"], {"b": "a"})


def test_the_one_that_clients_know_goes_on() -> None:
    assert settled("ab", shown="b") == (["b"], {"a": "b"})


def test_a_decision_outlives_an_absence() -> None:
    assert settled("b", aliases={"b": "a"}) == (["a"], {"b": "a"})
    assert settled("ab", aliases={"b": "a"}, shown="b") == (["a"], {"b": "a"})


def test_what_is_back_and_another_channel_takes_its_own_id() -> None:
    assert settled("a", "b", aliases={"b": "a"}) == (["a", "b"], {})


def test_two_that_had_the_same_home_do_not_get_it_both() -> None:
    ids, aliases = settled("b", "c", aliases={"b": "a", "c": "a"})
    assert ids == ["a", "c"]
    assert aliases == {"b": "a"}


@given(
    st.lists(st.text("abcdef", min_size=1, max_size=3), max_size=4),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef"), max_size=5),
    st.sets(st.sampled_from("abcdef")),
)
def test_every_group_gets_an_id_of_its_own(texts: list[str], aliases: dict[str, str], shown: set[str]) -> None:
    seen: set[str] = set()
    groups = []
    for text in texts:
        ids = "".join(dict.fromkeys(one for one in text if one not in seen))
        seen |= set(ids)
        groups += [ids] if ids else []
    aliases = {ident: to for ident, to in aliases.items() if ident != to}
    ids, after = settled(*groups, aliases=aliases, shown="".join(shown))
    assert len(ids) == len(set(ids)) == len(groups)
    again, same = settled(*groups, aliases=after, shown="".join(ids))
    assert (again, same) == (ids, after)


def test_an_old_id_leads_where_its_channel_went() -> None:
    aliases = {"a": "b", "b": "c", "x": "y", "p": "q", "q": "p", "c": "d"}
    assert resolved(aliases, {"c"}) == {"a": "c", "b": "c"}
