"""Rules and filters at work, without a database: chains, sieves, limits of time, what comes shipped."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import Invalid
from stream_service.domain.model import LineupStream, StreamAddress
from stream_service.domain.rules import Action, Attached, Filter, Rule
from stream_service.rules.check import check_filter, check_rule
from stream_service.rules.engine import Chain, OverBudget, Sieve
from stream_service.rules.exchange import plan_rules, rules_document
from stream_service.rules.fields import SourceTexts, record_of, with_texts
from stream_service.rules.selection import Selection, select
from stream_service.rules.shipped import FILTERS, RULES
from tvkit.expressions import STREAM, Helpers

HOSTILE = r'channel_name matches "^(?:(?:a|aa|aaa)+)+[.!]$"'
BAIT = "a" * 60 + "?"
SOURCE = SourceTexts("Home", "m3u", "http://example.com/list.m3u")


def stream(name: str, ident: int = 1, *, source_id: int = 1, **texts: Any) -> LineupStream:
    url = texts.pop("url", f"http://example.com/live/{ident}.ts")
    address = StreamAddress(id=ident, source_id=source_id, url=url)
    said = {"tvg_id": "", "group": "", "logo": "", "wanted_number": "", "attributes": {}, **texts}
    return LineupStream(stream=address, channel_id=None, name=name, **said)


def rule(expression: str, ident: int = 1, **more: Any) -> Rule:
    return Rule(id=ident, name=f"rule {ident}", expression=expression, **more)


def attached(*pairs: tuple[Action, str]) -> list[Attached]:
    return [
        Attached(Filter(id=place, name=f"filter {place}", expression=expression), action)
        for place, (action, expression) in enumerate(pairs, 1)
    ]


def through(rules: Sequence[Rule], *streams: LineupStream) -> list[LineupStream]:
    return [one.done() for one in Chain(rules).run(streams, lambda _: SOURCE)]


def selected(
    streams: Sequence[LineupStream], rules: Sequence[Rule] = (), filters: Sequence[Attached] = (), **more: Any
) -> Selection:
    return select(streams, rules=rules, filters=filters, source_of=lambda _: SOURCE, helpers=Helpers(), **more)


# ---- chains ----------------------------------------------------------------------------------------------------------


def test_a_rule_sees_what_the_one_before_it_did() -> None:
    rules = [
        rule('channel_name contains "BBC" SET channel_name = "Modified BBC"', 1),
        rule('channel_name contains "Modified" SET group_title = "Was Modified"', 2),
    ]
    assert through(rules, stream("BBC One"))[0].group == "Was Modified"


def test_a_rule_with_stop_hides_what_it_matched_from_the_rules_behind_it() -> None:
    rules = [
        rule('channel_name contains "BBC" SET group_title = "Rule 1"', 1, stop=True),
        rule('channel_name contains "e" SET group_title = "Rule 2"', 2),
    ]
    assert [one.group for one in through(rules, stream("BBC One"), stream("Else"))] == ["Rule 1", "Rule 2"]


def test_a_rule_of_a_source_leaves_the_entries_of_others_alone() -> None:
    rules = [rule('true SET group_title = "x"', source_id=2)]
    assert [one.group for one in through(rules, stream("a"), stream("b", source_id=2))] == ["", "x"]


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("channel_name", "New", lambda one: one.name),
        ("tvg_id", "new.uk", lambda one: one.tvg_id),
        ("tvg_logo", "http://x/l.png", lambda one: one.logo),
        ("group_title", "Sport", lambda one: one.group),
        ("tvg_chno", "007", lambda one: one.wanted_number),
        ("tvg_name", "Name", lambda one: one.tvg_name),
        ("tvg_shift", "-2", lambda one: one.attributes["tvg-shift"]),
        ("tvg_language", "de", lambda one: one.attributes["tvg-language"]),
        ("tvg_country", "DE", lambda one: one.attributes["tvg-country"]),
        ("radio", "true", lambda one: one.attributes["radio"]),
        ("is_adult", "1", lambda one: one.attributes["is-adult"]),
    ],
)
def test_every_field_that_may_be_written_reaches_the_stream(field: str, value: str, read: Any) -> None:
    changed = through([rule(f'true SET {field} = "{value}"')], stream("Old", attributes={"adult": "0"}))[0]
    assert read(changed) == ("7" if field == "tvg_chno" else value)
    assert record_of(changed)[field] == read(changed)


def test_every_field_of_the_language_stands_in_a_record() -> None:
    assert set(record_of(stream("x"), SOURCE)) == set(STREAM.names)


def test_a_number_that_is_none_counts_as_not_given() -> None:
    assert through([rule('true SET tvg_chno = "$1"')], stream("x", wanted_number="5"))[0].wanted_number == ""


def test_what_a_rule_writes_is_one_clean_line() -> None:
    assert through([rule(r'true SET channel_name = " a\nb "')], stream("x"))[0].name == "a b"


texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)


@given(name=texts, group=texts, number=st.sampled_from(["", "5", "7.1"]), adult=st.sampled_from([None, "1"]))
def test_a_record_written_back_unchanged_says_the_same(name: str, group: str, number: str, adult: str | None) -> None:
    said = {} if adult is None else {"adult": adult}
    one = through([], stream(name.strip(), group=group.strip(), wanted_number=number, attributes=said))[0]
    again = with_texts(one, record_of(one), STREAM.names)
    assert record_of(with_texts(again, record_of(again), STREAM.names)) == record_of(again)
    assert record_of(again)["is_adult"] == (adult or "")


@given(
    names=st.lists(st.sampled_from(["BBC One HD", "UK: BBC Two", "ITV", "Sky +1", ""]), max_size=70),
    order=st.permutations(range(3)),
)
def test_a_chain_in_chunks_does_what_it_does_one_by_one(names: list[str], order: list[int]) -> None:
    known = [
        rule('channel_name matches "(.+) HD$" SET channel_name = "$1", group_title += "HD"', 1),
        rule('channel_name contains "BBC" SET group_title = "UK"', 2, stop=True),
        rule('group_title equals "" SET group_title = "None", tvg_name = $channel_name', 3),
    ]
    rules = [known[place] for place in order]
    streams = [stream(name, ident) for ident, name in enumerate(names)]
    assert through(rules, *streams) == [through(rules, one)[0] for one in streams]


def test_the_chain_counts_what_each_rule_did() -> None:
    chain = Chain([rule('channel_name contains "a" SET group_title = "A"')])
    list(chain.run([stream("a"), stream("b"), stream("ab", group="A")], lambda _: SOURCE))
    assert (chain.counts[1].matched, chain.counts[1].changed) == (2, 1)


def test_explain_says_what_each_rule_did_and_which_did_not_apply() -> None:
    rules = [
        rule('channel_name contains "BBC" SET group_title = "UK"', 1),
        rule('true SET group_title = "x"', 2, source_id=9),
        rule('channel_name contains "ITV" SET group_title = "y"', 3),
        rule("true", 4, stop=True),
        rule('true SET group_title = "z"', 5),
    ]
    mapped, steps = Chain(rules).explain(stream("BBC One"), SOURCE)
    assert [(step.applies, step.matched) for step in steps] == [
        (True, True), (False, False), (True, False), (True, True), (False, False),
    ]  # fmt: skip
    assert [(change.field, change.before, change.after) for change in steps[0].changes] == [("group_title", "", "UK")]
    assert mapped.done().group == "UK"


def test_a_rule_that_cannot_be_understood_is_left_out_and_named() -> None:
    outcome = selected([stream("a")], [rule("nonsense", 1), rule('true SET group_title = "x"', 2)])
    assert [one.group for one in outcome.streams] == ["x"]
    assert "nonsense" in outcome.left_out[1]


# ---- sieves ----------------------------------------------------------------------------------------------------------

CNN = stream("CNN News", 1, group="News")
ADULT = stream("Adult News", 2, group="News")
FILM = stream("Film", 3, group="Movies")
NEWS, IS_ADULT = 'group_title equals "News"', 'channel_name matches ".*Adult.*"'


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        pytest.param([], [CNN, ADULT, FILM], id="none: everything"),
        pytest.param([("include", NEWS), ("exclude", IS_ADULT)], [CNN], id="include, then exclude"),
        pytest.param([("exclude", IS_ADULT)], [CNN, FILM], id="an exclude alone begins with everything"),
        pytest.param([("include", IS_ADULT)], [ADULT], id="an include alone begins with nothing"),
        pytest.param([("include", NEWS), ("include", 'group_title equals "Movies"')], [CNN, ADULT, FILM],
                     id="two includes add up"),
        pytest.param([("exclude", IS_ADULT), ("include", NEWS)], [CNN, ADULT], id="the last that matches decides"),
        pytest.param([("include", "")], [CNN, ADULT, FILM], id="an empty include lets everything in"),
        pytest.param([("exclude", "")], [], id="an empty exclude takes everything out"),
    ],
)  # fmt: skip
def test_filters_speak_in_their_order(filters: list[tuple[Action, str]], kept: list[LineupStream]) -> None:
    outcome = selected([CNN, ADULT, FILM], filters=attached(*filters))
    assert outcome.streams == kept
    assert outcome.entered == 3


def test_a_filter_that_is_switched_off_does_not_speak() -> None:
    off = [
        Attached(Filter(1, "a", IS_ADULT), "include", enabled=False),
        Attached(Filter(2, "b", NEWS, enabled=False), "include"),
    ]
    assert selected([CNN, FILM], filters=off).streams == [CNN, FILM]


def test_filters_see_what_the_rules_did() -> None:
    outcome = selected([CNN, FILM], [rule(f'{NEWS} SET group_title = "Talk"')], attached(("exclude", NEWS)))
    assert [one.group for one in outcome.streams] == ["Talk", "Movies"]


conditions = st.sampled_from([NEWS, IS_ADULT, "", 'channel_name contains "film"', "false"])
chosen = st.lists(st.tuples(st.sampled_from(["include", "exclude"]), conditions), max_size=5)


@given(chosen, st.lists(st.sampled_from([CNN, ADULT, FILM]), max_size=70))
def test_a_sieve_in_chunks_keeps_what_it_keeps_one_by_one(
    filters: list[tuple[Action, str]], streams: list[LineupStream]
) -> None:
    sieve = Sieve(attached(*filters))
    expected = [one for one in streams if sieve.keeps(record_of(one))]
    assert selected(streams, filters=attached(*filters)).streams == expected


@given(chosen)
def test_the_verdict_is_that_of_gathering_and_taking_out_in_order(filters: list[tuple[Action, str]]) -> None:
    everything = [CNN, ADULT, FILM]
    kept = set() if any(action == "include" for action, _ in filters) else {1, 2, 3}
    for action, expression in filters:
        found = {one.stream.id for one in selected(everything, filters=attached(("include", expression))).streams}
        kept = kept | found if action == "include" else kept - found
    assert {one.stream.id for one in selected(everything, filters=attached(*filters)).streams} == kept


def test_the_verdict_names_the_filter_that_decided() -> None:
    sieve = Sieve(attached(("include", NEWS), ("exclude", IS_ADULT)))
    assert [sieve.verdict(record_of(one)).kept for one in (CNN, ADULT, FILM)] == [True, False, False]
    decided = [by.filter.id if (by := sieve.verdict(record_of(one)).by) else None for one in (CNN, ADULT, FILM)]
    assert decided == [1, 2, None]


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_a_rule_that_takes_too_long_is_left_out_whole_and_named() -> None:
    streams = [stream("fine one!", 1), stream(BAIT, 2), stream("fine two!", 3)]
    rules = [rule(HOSTILE + ' SET group_title = "x"', 1), rule('true SET tvg_name = "kept"', 2)]
    outcome = selected(streams, rules)
    assert [one.group for one in outcome.streams] == ["", "", ""]
    assert [one.tvg_name for one in outcome.streams] == ["kept"] * 3
    assert "takes too long" in outcome.left_out[1]


def test_many_rules_that_take_too_long_are_found_in_one_go() -> None:
    streams = [*(stream(f"fine {n}", n) for n in range(70)), stream(BAIT, 900)]
    slow = [rule(HOSTILE.replace("aaa", "a" * (3 + n)) + ' SET group_title = "x"', n) for n in (1, 2)]
    outcome = selected(streams, [*slow, rule('true SET tvg_name = "kept"', 9)])
    assert sorted(outcome.left_out) == [1, 2]
    assert {(one.group, one.tvg_name) for one in outcome.streams} == {("", "kept")}


def test_a_rule_over_its_share_of_a_build_is_left_out() -> None:
    outcome = selected([stream("a")], [rule('true SET group_title = "x"')], budget_s=-1.0)
    assert list(outcome.left_out) == [1]


def test_a_filter_that_takes_too_long_ends_the_build_since_nothing_may_slip_through() -> None:
    with pytest.raises(OverBudget, match="filter 1"):
        selected([stream(BAIT)], filters=attached(("exclude", HOSTILE)))


def test_a_filter_that_cannot_be_understood_ends_the_build() -> None:
    with pytest.raises(Invalid, match="filter 1 cannot be understood"):
        selected([stream("a")], filters=attached(("exclude", "nonsense")))


# ---- written down ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        pytest.param(rule('channel_name contains "a"'), "needs an action", id="no action"),
        pytest.param(rule('chanel_name contains "a" SET group_title = "b"'), "channel_name", id="unknown field"),
        pytest.param(rule('channel_name matches "[" SET group_title = "b"'), "expression", id="no pattern"),
        pytest.param(rule('channel_name contains "a" SET stream_url = "b"'), "expression", id="read only"),
        pytest.param(rule('title contains "a" SET title = "b"', domain="programme", source_id=1), "source_id",
                     id="a programme rule of a source"),
        pytest.param(rule('group_title contains "a" SET programme_title = "b"'), "programme_title", id="other domain"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_work_is_refused_with_the_reason(wrong: Rule, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        check_rule(wrong)


def test_a_fault_carries_its_place_and_a_suggestion() -> None:
    with pytest.raises(Invalid) as caught:
        check_filter(Filter(1, "f", 'chanel_name contains "a"'))
    fault = caught.value.extra["errors"][0]  # type: ignore[index]
    assert (fault["where"], fault["position"], fault["suggestion"]) == ("expression", 0, "channel_name")


def test_a_filter_with_an_action_is_refused() -> None:
    with pytest.raises(Invalid, match="belong in rules"):
        check_filter(Filter(1, "f", 'true SET group_title = "x"'))


# ---- documents -------------------------------------------------------------------------------------------------------

written = st.builds(
    Rule,
    id=st.integers(1, 99),
    name=st.text(min_size=1, max_size=5),
    expression=st.just(""),
    source_id=st.sampled_from([None, 1, 2]),
    enabled=st.booleans(),
    stop=st.booleans(),
    shipped=st.sampled_from(["", "", "", "time-shift"]),
)
SOURCES = {1: "Home", 2: "away"}


@given(st.lists(written, max_size=8, unique_by=(lambda one: one.id, lambda one: one.name.casefold())))
def test_a_document_of_rules_says_all_of_them(known: list[Rule]) -> None:
    items: Any = rules_document(known, SOURCES)["items"]
    by_name = {name.casefold(): ident for ident, name in SOURCES.items()}
    made = plan_rules(items, [], by_name, mode="merge").items
    assert [Rule(**{**values, "id": one.id}) for (_, values), one in zip(made, known, strict=True)] == known
    once = {one.shipped: one.id for one in known if one.shipped}
    if len(once) == sum(bool(one.shipped) for one in known):
        again = plan_rules(items, known, by_name, mode="replace")
        assert again.counts() == {"created": 0, "updated": 0, "unchanged": len(known), "deleted": 0}


# ---- shipped ---------------------------------------------------------------------------------------------------------


def test_what_comes_shipped_is_valid_and_has_a_key_and_words_of_its_own() -> None:
    for values in RULES:
        check_rule(Rule(id=0, **values))
    for values in FILTERS:
        check_filter(Filter(id=0, **values))
    for table in (RULES, FILTERS):
        assert len({one["shipped"] for one in table}) == len({one["name"].casefold() for one in table}) == len(table)


def of_key(key: str) -> Rule:
    return next(Rule(id=1, **one) for one in RULES if one["shipped"] == key)


@pytest.mark.parametrize(
    ("name", "tvg_id", "shift"),
    [
        ("Channel 4 +1", "c4.uk", "1"),
        ("Channel 4 +24H HD", "c4.uk", "24"),
        ("ITV -2", "itv.uk", "-2"),
        ("Channel 4 +1", "", None),
        ("Sport 24/7 +1", "s.uk", None),
        ("CANAL+1", "c.fr", None),
        ("BBC One", "b.uk", None),
        ("Boxing start: +2", "b.uk", None),
    ],
)
def test_time_shifts_are_read_from_names(name: str, tvg_id: str, shift: str | None) -> None:
    changed = through([of_key("time-shift")], stream(name, tvg_id=tvg_id))[0]
    assert changed.attributes.get("tvg-shift") == shift


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("group-ornaments", "|| ★ SPORT ★ ||", "SPORT"),
        ("group-ornaments", "Kids", "Kids"),
        ("group-ornaments", "#####", ""),
        ("group-country", "UK: Sport", "Sport"),
        ("group-country", "UK | Sport", "Sport"),
        ("group-country", "[UK] Sport", "Sport"),
        ("group-country", "Movies: Action", "Movies: Action"),
        ("group-quality", "Sport FHD", "Sport"),
        ("group-quality", "Sport (4K)", "Sport"),
        ("group-quality", "HD", "HD"),
        ("group-sport", "UK Sports HD", "Sport"),
        ("group-sport", "Transport", "Transport"),
        ("group-news", "Noticias", "News"),
        ("group-movies", "Películas", "Movies"),
        ("group-none", " ", "Other"),
        ("group-none", "x", "x"),
    ],
)
def test_groups_are_cleaned(key: str, before: str, after: str) -> None:
    assert through([of_key(key)], stream("x", group=before))[0].group == after


@pytest.mark.parametrize(
    ("key", "one", "kept"),
    [
        ("valid-urls", stream("a", url="http://example.com/1.ts"), True),
        ("valid-urls", stream("a", url="udp://@239.1.1.1:5000"), True),
        ("valid-urls", stream("a", url="https://"), False),
        ("valid-urls", stream("a", url="none"), False),
        ("adult-off", stream("BBC One", group="Kids 18:00"), True),
        ("adult-off", stream("Adult Swim", group="Comedy"), True),
        ("adult-off", stream("Essex FM"), True),
        ("adult-off", stream("x", group="XXX | Adults"), False),
        ("adult-off", stream("x", group="18+"), False),
        ("adult-off", stream("Late XXX 1"), False),
        ("adult-off", stream("x", attributes={"is-adult": "1"}), False),
        ("no-separators", stream("##### SPORT #####"), False),
        ("no-separators", stream("-- UK --"), True),
        ("no-separators", stream("#1 Hits"), True),
        ("no-radio", stream("x", attributes={"radio": "true"}), False),
        ("no-radio", stream("x"), True),
    ],
)
def test_shipped_filters_take_out_what_they_say(key: str, one: LineupStream, kept: bool) -> None:
    filters = [Attached(Filter(id=1, **row), row["action"]) for row in FILTERS if row["shipped"] == key]
    assert (selected([one], filters=filters).streams == [one]) is kept
