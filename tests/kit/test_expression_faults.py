"""What an expression's author is told: every fault at once, where it is, and how to mend it."""

import pytest

from tvkit.expressions import PROGRAMME, REQUEST, STREAM, Fields, validate


def faults(text: str, fields: Fields = STREAM) -> list[tuple[str, str, int]]:
    return [(one.category, one.error_type, one.position) for one in validate(text, fields).faults]


ONE = [
    ('channel_nme contains "x"', ("field", "unknown_field", 0)),
    ('channel_name containz "x"', ("operator", "operator_typo", 13)),
    ('channel_name "x"', ("syntax", "missing_operator", 13)),
    ("channel_name", ("syntax", "missing_operator", 12)),
    ('channel_name contains "x', ("syntax", "unclosed_quote", 22)),
    ("channel_name contains “x”", ("syntax", "unexpected_character", 22)),
    ("channel_name contains x", ("value", "unquoted_value", 22)),
    ("tvg_chno > 5abc", ("value", "unquoted_value", 11)),
    ('channel_name contains "a" & group == "b"', ("syntax", "unexpected_character", 26)),
    ('name contains "a" group contains "b"', ("syntax", "missing_logical_operator", 18)),
    ('name contains "a" adn group contains "b"', ("syntax", "invalid_logical_operator", 18)),
    ('name contains "a" SETT group = "b"', ("syntax", "invalid_logical_operator", 18)),
    ('name contains "a" AND', ("syntax", "missing_condition", 21)),
    ('AND name contains "a"', ("syntax", "missing_condition", 0)),
    ("NOT", ("syntax", "missing_condition", 3)),
    ("()", ("syntax", "missing_condition", 1)),
    ('(name contains "a"', ("syntax", "unclosed_parenthesis", 0)),
    ('name contains "a")', ("syntax", "unmatched_closing_parenthesis", 17)),
    ('name = "a"', ("operator", "assignment_as_condition", 5)),
    ('group += "a"', ("syntax", "missing_condition", 0)),
    ('SET group = "a"', ("syntax", "missing_condition", 0)),
    ('true SET group = "a" name contains "b"', ("syntax", "unexpected_condition", 26)),
    ('true SET group = "a",', ("syntax", "missing_action", 21)),
    ("true DELETE", ("syntax", "missing_action", 11)),
    ('case_sensitive name contains "a"', ("syntax", "misplaced_modifier", 0)),
    ('name not not contains "a"', ("operator", "duplicate_modifier", 9)),
    ('name not not_contains "a"', ("operator", "duplicate_modifier", 5)),
    ('name case_sensitive not case_sensitive contains "a"', ("operator", "duplicate_modifier", 24)),
    ('name matches "(a"', ("value", "invalid_regex", 13)),
    ("name matches 5", ("value", "invalid_value", 13)),
    ("name contains $1", ("value", "capture_in_condition", 14)),
    ('tvg_chno > "many"', ("value", "type_mismatch", 11)),
    ('name starts with "B"', ("operator", "operator_typo", 5)),
    ('true SET group == "UK"', ("operator", "comparison_as_assignment", 15)),
    ('name contains "a" OR "b"', ("syntax", "missing_condition", 21)),
    ('name > "many"', ("value", "type_mismatch", 7)),
    ("tvg_chno > @time:now", ("value", "type_mismatch", 11)),
    ("is_adult > 1", ("operator", "type_mismatch", 0)),
    ('is_adult equals "perhaps"', ("value", "type_mismatch", 16)),
    ('true SET source_name = "x"', ("field", "read_only_field", 9)),
    ('true SET stream_url = "x"', ("field", "read_only_field", 9)),
    ("true DELETE source_url", ("field", "read_only_field", 12)),
    ("true SET name = $nme", ("field", "unknown_field", 17)),
    ("true SET name = @foo:bar", ("value", "unknown_helper", 16)),
    ("true SET name = @time:now+2fortnights", ("value", "invalid_time", 16)),
    ('true SET name = @time:parse("tomorrow")', ("value", "invalid_time", 16)),
    ("true SET name = @dynamic(request.headers):x", ("value", "unavailable_here", 16)),
    ('(name == "a") AND (name == "b" SET group = "x")', ("syntax", "mixed_groups", 31)),
    ('(name == "a" SET group = "x") AND name == "b"', ("syntax", "unexpected_token", 34)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fault"), ONE, ids=[row[0] for row in ONE])
def test_one_slip_is_one_fault(text: str, fault: tuple[str, str, int]) -> None:
    assert faults(text) == [fault]


def test_a_programmes_start_is_no_text_and_its_channel_is_fixed() -> None:
    assert faults('programme_start > "soon"', PROGRAMME) == [("value", "type_mismatch", 18)]
    assert faults('true SET channel_id = "x"', PROGRAMME) == [("field", "read_only_field", 9)]
    assert faults('true SET user_agent = "x"', REQUEST) == [("field", "read_only_field", 9)]


def test_every_fault_is_told_in_order_of_place() -> None:
    text = 'chanel contains "a"\nAND tvg_idd equalz "b" AND (name matches "[" OR tvg_chno > "x"\nSET source_name = "y"'
    assert [(one.error_type, one.line, one.column) for one in validate(text, STREAM).faults] == [
        ("unknown_field", 1, 1),
        ("unknown_field", 2, 5),
        ("operator_typo", 2, 13),
        ("unclosed_parenthesis", 2, 28),
        ("invalid_regex", 2, 42),
        ("type_mismatch", 2, 60),
        ("read_only_field", 3, 5),
    ]


def test_a_fault_says_what_was_found_and_what_is_nearest() -> None:
    (fault,) = validate('channel_name containz "BBC"', STREAM).faults
    assert fault.as_json() == {
        "category": "operator",
        "error_type": "operator_typo",
        "message": "Unknown operator: containz",
        "details": "Operators are equals, contains, starts_with, ends_with, matches, greater_than, less_than, "
        "greater_than_or_equal, less_than_or_equal. Did you mean 'contains'?",
        "position": 13,
        "line": 1,
        "column": 14,
        "context": 'channel_name containz "BBC"',
        "suggestion": "contains",
    }
    (fault,) = validate('grup_title equals "x"', STREAM).faults
    assert fault.message == "Unknown field 'grup_title'. Did you mean 'group_title'?"
    assert "tvg_logo" in fault.details


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ('name is "BBC"', "equals"),
        ('name like "BBC"', "contains"),
        ('name starts with "BBC"', "starts_with"),
        ('name not_contians "BBC"', "not_contains"),
        ('name matches "*HD"', '".*HD"'),
        ("name contains BBC", '"BBC"'),
        ('chanel_naem == "x"', "channel_name"),
        ("true SET name = @log:x", "@logo:ID"),
    ],
)
def test_what_was_probably_meant_is_suggested(text: str, suggestion: str) -> None:
    assert [one.suggestion for one in validate(text, STREAM).faults] == [suggestion]


LIMITS = [
    ("name contains " + '"x"' + " " * 5_000, "expression_too_long"),
    (f'name contains "{"x" * 1_025}"', "value_too_long"),
    ("(" * 33 + 'name == "x"' + ")" * 33, "too_deep"),
    ("NOT " * 33 + 'name == "x"', "too_deep"),
    ("NOT (" * 17 + 'name == "x"' + ")" * 17, "too_deep"),
    ("(" * 4_000, "too_deep"),
    (" or ".join(['tvg_id=="x"'] * 201), "too_many_terms"),
    ("true " + " ".join(['logo="x"'] * 51), "too_many_actions"),
]


@pytest.mark.parametrize(("text", "error_type"), LIMITS, ids=[f"{row[1]}-{n}" for n, row in enumerate(LIMITS)])
def test_each_limit_has_its_own_error(text: str, error_type: str) -> None:
    assert [one.error_type for one in validate(text, STREAM).faults] == [error_type]


def test_what_is_just_within_the_limits_is_taken() -> None:
    texts = [
        'name contains "x"' + " " * (4_096 - 17),
        f'name contains "{"x" * 1_024}"',
        "(" * 32 + 'name == "x"' + ")" * 32,
        "NOT " * 32 + 'name == "x"',
        " or ".join(['tvg_id=="x"'] * 200),
        "true " + " ".join(['logo="x"'] * 50),
    ]
    for text in texts:
        assert validate(text, STREAM).is_valid


def test_the_tree_shows_what_was_understood() -> None:
    text = 'NOT name contains "a" AND tvg_chno > 5 SET group = "$1 TV", logo ?= @logo:abc DELETE tvg_id'
    assert validate(text, STREAM).as_json() == {
        "is_valid": True,
        "canonical_expression": 'NOT channel_name contains "a" AND tvg_chno greater_than 5 '
        'SET group_title = "$1 TV", SET_IF_EMPTY tvg_logo = @logo:abc, DELETE tvg_id',
        "errors": [],
        "expression_tree": {
            "type": "rule",
            "condition": {
                "type": "and",
                "operands": [
                    {
                        "type": "not",
                        "operand": {
                            "type": "condition",
                            "field": "channel_name",
                            "operator": "contains",
                            "case_sensitive": False,
                            "negate": False,
                            "value": "a",
                        },
                    },
                    {
                        "type": "condition",
                        "field": "tvg_chno",
                        "operator": "greater_than",
                        "case_sensitive": False,
                        "negate": False,
                        "value": 5,
                    },
                ],
            },
            "actions": [
                {"type": "action", "action": "set", "field": "group_title", "value": [{"capture": 1}, " TV"]},
                {"type": "action", "action": "set_if_empty", "field": "tvg_logo", "value": {"helper": "@logo:abc"}},
                {"type": "action", "action": "delete", "field": "tvg_id"},
            ],
        },
    }
    assert validate("", STREAM).as_json() == {
        "is_valid": True,
        "canonical_expression": "",
        "errors": [],
        "expression_tree": None,
    }
