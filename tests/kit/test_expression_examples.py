"""The examples of two earlier programs, row by row, with this dialect's result; a comment says where theirs differs.

M and T are those programs; the numbers are the rows of the list that the language was designed by.
"""

import pytest

from tvkit.expressions import PROGRAMME, STREAM, ExpressionError, Fields, Helpers, compile_expression, parse, validate
from tvkit.expressions.nodes import Term

P1 = {"channel_id": "channel_1", "programme_title": "Breaking News", "programme_category": "News"}
P2 = {
    "channel_id": "channel_2",
    "programme_title": "Movie Night: Action Hero",
    "programme_category": "Movies",
}
P3 = {"channel_id": "channel_1", "programme_title": "Sports Tonight", "programme_category": "Sports"}
P = (P1, P2, P3)
BBC = {"channel_name": "BBC One HD", "group_title": ""}


def applied(rules: str | list[str], record: dict[str, str], fields: Fields = STREAM) -> dict[str, str]:
    """The record after all rules."""
    after = dict(record)
    for rule in [rules] if isinstance(rules, str) else rules:
        compile_expression(rule, fields).apply(after)
    return after


def matched(expression: str, record: dict[str, str], fields: Fields = STREAM) -> bool:
    return compile_expression(expression, fields).matches(record)


PROGRAMMES = [
    ("1", 'program_category equals "Movies" SET program_title = "MOVIE: Action Hero"', "programme_title",
     ["Breaking News", "MOVIE: Action Hero", "Sports Tonight"]),
    ("2", 'channel_id equals "channel_1" SET language = "en-US"', "language", ["en-US", "", "en-US"]),
    ("3", 'program_title matches "^(.+): (.+)$" SET program_title = "$2 ($1)"', "programme_title",
     ["Breaking News", "Action Hero (Movie Night)", "Sports Tonight"]),
    ("4", 'program_category equals "Movies" SET subtitles ?= "No subtitles available"', "programme_subtitle",
     ["", "No subtitles available", ""]),
    ("5", 'program_category equals "Movies" SET program_title = "ALIased Movie Title"', "programme_title",
     ["Breaking News", "ALIased Movie Title", "Sports Tonight"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "field", "wanted"), [row[1:] for row in PROGRAMMES], ids=[row[0] for row in PROGRAMMES]
)
def test_rules_of_programmes(rule: str, field: str, wanted: list[str]) -> None:
    assert [applied(rule, one, PROGRAMME).get(field, "") for one in P] == wanted


CONDITIONS = [
    ("6", 'channel_name equals "News Channel"', {"channel_name": "NEWS CHANNEL"}, True),
    ("7a", 'channel_name case_sensitive equals "News Channel"', {"channel_name": "NEWS CHANNEL"}, False),
    ("7b", 'channel_name case_sensitive equals "News Channel"', {"channel_name": "News Channel"}, True),
    ("8", 'channel_name equals "News Channel"', {"channel_name": "News Channel"}, True),  # the filter then excludes it
    ("9a", 'group_title equals "News"', {"channel_name": "CNN News", "group_title": "News"}, True),
    ("9b", 'channel_name matches ".*Adult.*"', {"channel_name": "Adult News", "group_title": "News"}, True),
    ("9c", 'group_title equals "News"', {"channel_name": "Film", "group_title": "Movies"}, False),
    ("13", "", {"channel_name": "anything"}, True),
    *(
        (f"35-{name}", '(name contains "BBC" OR name contains "ITV") AND group_title not_equals "Adult"',
         {"channel_name": name, "group_title": group}, held)
        for name, group, held in [("BBC One", "UK", True), ("ITV", "UK", True), ("CNN", "News", False),
                                  ("BBC Adult", "Adult", False)]
    ),
    ("36", r'channel_name matches "\\[([A-Z]+)\\] (.+)"', {"channel_name": "[UK] BBC One"}, True),
    ("38", 'channel_name contains "bbc"', {"channel_name": "BBC One"}, True),  # M and T's filters; T's rules said no
    ("39", 'channel_name matches "(.+) (HD|SD)"', BBC, True),
    ("40a", 'channel_number greater_than_or_equal "150"', {"tvg_chno": "150"}, True),
    ("40b", 'channel_number less_than "100"', {"tvg_chno": "150"}, False),
    ("41", r'stream_url matches ".*\\.m3u8$"', {"stream_url": "http://example.com/live/123.m3u8"}, True),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "record", "held"), [r[1:] for r in CONDITIONS], ids=[r[0] for r in CONDITIONS])
def test_conditions_of_streams(expression: str, record: dict[str, str], held: bool) -> None:
    assert matched(expression, record) is held


PROGRAMME_CONDITIONS = [
    ("10", 'channel_id contains "sport"', "channel_id",
     {"BeInSports1.fr": True, "eurosport2": True, "NewsWorld.fr": False, "HistoryPlus": False}),
    ("11", 'program_title case_sensitive contains "Match"', "programme_title",
     {"Weekend Match": True, "Weekend match": False}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "field", "rows"), [r[1:] for r in PROGRAMME_CONDITIONS], ids=[r[0] for r in PROGRAMME_CONDITIONS]
)
def test_conditions_of_programmes(expression: str, field: str, rows: dict[str, bool]) -> None:
    assert {text: matched(expression, {field: text}, PROGRAMME) for text in rows} == rows


SPORT = 'channel_name contains "sport"'
TEST = 'channel_name contains "test"'
INVALID = [
    ("12", PROGRAMME, 'program_titel contains "News"', "unknown_field", "programme_title"),
    ("16a", STREAM, f"{SPORT} SET", "missing_action", ""),
    ("16b", STREAM, f'{SPORT} SET group_title "Sports"', "missing_assignment", "="),
    ("16c", STREAM, f"{SPORT} SET group_title =", "missing_value", ""),
    ("16e", STREAM, f"{SPORT} SET group_title = Sports", "unquoted_value", '"Sports"'),
    ("17b", STREAM, f'({TEST} SET group_title = "T"', "unclosed_parenthesis", ")"),
    ("17c", STREAM, f'{TEST} SET group_title = "T")', "unmatched_closing_parenthesis", ""),
    ("17d", STREAM, f'() AND ({TEST} SET group_title = "T")', "missing_condition", ""),
    ("17e", STREAM, f"({TEST} SET)", "missing_action", ""),
    ("18", STREAM, 'channel_name matches "[unclosed"', "invalid_regex", ""),
    ("29", STREAM, f"{TEST} DELETE unwanted_field", "unknown_field", ""),  # T empties fields that do not exist
    ("34", STREAM, 'NOT channel_name contains "Adult" SET approved = "true"', "unknown_field", ""),  # T makes one
    ("37", STREAM, 'nonexistent_field equals ""', "unknown_field", ""),  # T: an unknown field is an empty text
    ("44a", STREAM, "channel_name equals", "missing_value", ""),
    ("44b", STREAM, 'channel_name invalid_op "v"', "operator_typo", "equals"),
    ("44c", STREAM, '(channel_name equals "x"', "unclosed_parenthesis", ")"),
    ("44d", STREAM, f"{TEST} SET group_title =", "missing_value", ""),
    ("44e", STREAM, f"{TEST} AND", "missing_condition", ""),
    # T's own tests know formats and sums of times; only now, parse and spans are words of this dialect.
    ("45", STREAM, f'{TEST} SET tvg_name = @time:format("2024-01-15T10:30:00Z|2006-01-02")', "unknown_helper", "@time"),
]


@pytest.mark.parametrize(
    ("fields", "expression", "error_type", "hint"), [r[1:] for r in INVALID], ids=[r[0] for r in INVALID]
)
def test_expressions_that_are_refused(fields: Fields, expression: str, error_type: str, hint: str) -> None:
    validation = validate(expression, fields)
    assert error_type in [fault.error_type for fault in validation.faults], validation.faults
    assert any(hint in fault.suggestion for fault in validation.faults)
    with pytest.raises(ExpressionError):
        compile_expression(expression, fields)


VALID = [
    ("16d", f'{SPORT} SET group_title = "Sports" category = "TV"'),  # M refuses; here shorthand may follow a block
    ("17a", f'({TEST} group_title = "T")'),  # M refuses; here shorthand works in groups too
    ("19", f'{TEST} && group_title equals "value"'),  # M's validator refuses what its parser takes
    ("20a", f'{TEST} SET group_title = ""'),
    ("20b", f'{TEST} SET group_title = "{"x" * 300}"'),  # M's longest value is 255; here it is 1,024
]


@pytest.mark.parametrize("expression", [row[1] for row in VALID], ids=[row[0] for row in VALID])
def test_expressions_that_are_taken(expression: str) -> None:
    validation = validate(expression, STREAM)
    assert validation.is_valid, validation.faults


def test_row_14_modifiers_stand_behind_the_field() -> None:
    program = parse('channel_name not case_sensitive contains "StreamCast"', STREAM)
    (term,) = [group.condition for group in program.groups]
    assert isinstance(term, Term)
    assert (term.operator, term.negated, term.case_sensitive) == ("contains", True, True)
    shown = validate('channel_name not case_sensitive contains "StreamCast"', STREAM).tree
    assert shown is not None
    assert (shown["operator"], shown["case_sensitive"], shown["negate"]) == ("not_contains", True, False)


def test_row_15_two_groups_are_independent() -> None:
    text = (
        '(channel_name matches "BBC" SET group_title = "BBC") AND (channel_name matches "ITV" SET group_title = "ITV")'
    )
    assert len(parse(text, STREAM).groups) == 2
    assert [applied(text, {"channel_name": name})["group_title"] for name in ("BBC One", "ITV 2")] == ["BBC", "ITV"]


ITV = 'channel_name contains "BBC"'
CHANGES = [
    ("21", f'{ITV} SET group_title = "Sports & Entertainment (Premium) [HD]"', BBC,
     {"group_title": "Sports & Entertainment (Premium) [HD]"}),
    ("22", f'{ITV} SET group_title = "UK Channels"', BBC, {"group_title": "UK Channels"}),
    ("23", [f'{ITV} SET group_title="UK"', 'channel_name ends_with "HD" APPEND channel_name = " [HD]"'], BBC,
     {"group_title": "UK", "channel_name": "BBC One HD [HD]"}),
    ("24", [f'{ITV} SET channel_name="Modified BBC"',
            'channel_name contains "Modified" SET group_title="Was Modified"'],
     {"channel_name": "BBC One"}, {"channel_name": "Modified BBC", "group_title": "Was Modified"}),
    ("26", ['channel_name matches "(.+) HD$" SET channel_name=$1',
            'channel_name matches "UK: (.+)" SET channel_name=$1, group_title="UK"',
            'channel_name not_equals "" SET_IF_EMPTY tvg_name=$channel_name'],
     {"channel_name": "UK: BBC One HD"}, {"channel_name": "BBC One", "group_title": "UK", "tvg_name": "BBC One"}),
    ("27a", f'{ITV} SET_IF_EMPTY tvg_logo = "bbc.png"', BBC | {"tvg_logo": ""}, {"tvg_logo": "bbc.png"}),
    ("27b", f'{ITV} SET_IF_EMPTY tvg_logo = "bbc.png"', BBC | {"tvg_logo": "existing.png"},
     {"tvg_logo": "existing.png"}),
    ("28", 'channel_name contains "[" REMOVE channel_name = " [UK]"', {"channel_name": "BBC One HD [UK]"},
     {"channel_name": "BBC One HD"}),  # M empties the whole field
    ("29", f"{ITV} DELETE tvg_name", BBC | {"tvg_name": "some value"}, {"tvg_name": ""}),
    ("30", 'channel_name matches "(.+): (.+) HD" SET group_title = $1, channel_name = $2',
     {"channel_name": "UK: BBC One HD"}, {"group_title": "UK", "channel_name": "BBC One"}),
    ("31", 'channel_name matches "(.+) HD" SET channel_name = "Channel: $1"', BBC,
     {"channel_name": "Channel: BBC One"}),
    ("32", 'tvg_name equals "" SET tvg_name = $channel_name', {"channel_name": "BBC One"}, {"tvg_name": "BBC One"}),
    ("33", ['channel_name starts_with "BBC" OR channel_name starts_with "ITV" OR channel_name starts_with "Channel" '
            'SET group_title = "UK Terrestrial"',
            'channel_name ends_with "HD" APPEND group_title = " [HD]"',
            f'{ITV} SET_IF_EMPTY tvg_logo = "bbc.png"'],
     BBC, {"group_title": "UK Terrestrial [HD]", "tvg_logo": "bbc.png"}),
    ("34", 'NOT channel_name contains "Adult" AND NOT channel_name contains "PPV" AND NOT group_title contains "XXX" '
     'SET is_adult = "false"', {"channel_name": "BBC One", "group_title": "Entertainment"}, {"is_adult": "false"}),
    ("39", 'channel_name matches "(.+) (HD|SD)" SET tvg_name = "$0/$1/$2"', BBC, {"tvg_name": "BBC One HD/BBC One/HD"}),
    ("42", f'{ITV} SET group_title = "UK" tvg_logo ?= "default.png"', BBC,
     {"group_title": "UK", "tvg_logo": "default.png"}),
    ("43", 'channel_name contains "HD" SET tvg_name += " HD"', BBC | {"tvg_name": "BBC"}, {"tvg_name": "BBC HD"}),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "record", "wanted"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_rules_of_streams(rules: str | list[str], record: dict[str, str], wanted: dict[str, str]) -> None:
    assert applied(rules, record) == record | wanted


def test_row_22_and_27_count_what_changed() -> None:
    assert len(compile_expression(f'{ITV} SET group_title = "UK"', STREAM).apply(dict(BBC)).changes) == 1
    kept = compile_expression(f'{ITV} SET_IF_EMPTY tvg_logo = "x"', STREAM).apply(BBC | {"tvg_logo": "existing.png"})
    assert (kept.matched, kept.changes) == (True, ())


LOGOS = {
    "01ARZ3NDEKTSV4RRFFQ69G5FAV": "http://tv/logos/1.png",
    "550e8400-e29b-41d4-a716-446655440000": "http://tv/2.png",
}


@pytest.mark.parametrize(
    ("ident", "wanted"),
    [
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "http://tv/logos/1.png"),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAW", ""),
        ("550e8400-e29b-41d4-a716-446655440000", "http://tv/2.png"),
        ("not-a-uuid", ""),  # M takes the field away; an empty text is the same here
    ],
    ids=["46-known", "46-unknown", "47-known", "47-unknown"],
)
def test_rows_46_and_47_a_logo_becomes_its_address(ident: str, wanted: str) -> None:
    rule = compile_expression(
        f"true SET tvg_logo = @logo:{ident}", STREAM, helpers=Helpers(logo=lambda i: LOGOS.get(i, ""))
    )
    record = {"tvg_logo": "old"}
    rule.apply(record)
    assert record["tvg_logo"] == wanted


def test_row_25_a_chain_can_stop_because_a_rule_tells_whether_it_matched() -> None:
    rules = [compile_expression(f'{ITV} SET group_title = "{n}"', STREAM) for n in ("Rule 1", "Rule 2")]
    record = dict(BBC)
    assert next(True for rule in rules if rule.apply(record).matched)
    assert record["group_title"] == "Rule 1"


def test_the_shipped_rule_of_time_shifts_takes_the_captures_of_the_pattern_that_has_some() -> None:
    rule = (
        r'channel_name matches ".*[ ](?:\+([0-9]{1,2})|(-[0-9]{1,2}))([hH]?)(?:$|[ ]).*" AND channel_name not matches '
        r'".*(?:start:|stop:|24[-/]7).*" AND tvg_id matches "^.+$" SET tvg_shift = "$1$2"'
    )
    for name, wanted in [
        ("ITV +1", "1"),
        ("Film -2h HD", "-2"),
        ("BBC One", ""),
        ("Start: 20 +1", ""),
        ("News 24/7 +1", ""),
    ]:
        assert applied(rule, {"channel_name": name, "tvg_id": "x"}).get("tvg_shift", "") == wanted
    assert "tvg_shift" not in applied(rule, {"channel_name": "ITV +1"})
