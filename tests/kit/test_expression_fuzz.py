"""Expressions made up at random: what is valid reads back from its canonical form, and nothing crashes."""

import regex
from hypothesis import given
from hypothesis import strategies as st

from tvkit.expressions import PROGRAMME, REQUEST, STREAM, ExpressionError, compile_expression, parse, validate
from tvkit.expressions.patterns import Bound, InvalidPattern, compiled, parted
from tvkit.expressions.shape import shape_of

TEXTS = ("channel_name", "tvg_id", "group_title", "source_name")
WRITABLE = ("channel_name", "group", "tvg-logo", "tvg_chno")
OPERATORS = ("equals", "contains", "starts_with", "not_ends_with", "==", "!=", "not contains", "neq")


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


strings = st.text(max_size=12).map(quoted) | st.sampled_from(
    [
        '"$1"',
        r'"\$1 ${2}3"',
        '"$channel_name x"',
        r'"\d"',
        "'it'",
        '"a && b"',
        r'"\\$1"',
        '"$"',
        '"$$1"',
        r'"\\"',
        '"${name}s"',
    ]
)
values = strings | st.sampled_from(["5", "-1.5", "true", "$tvg_name", "@time:now+2h", "@logo:abc"])
plain = st.builds(
    "{} {} {}".format,
    st.sampled_from(TEXTS),
    st.tuples(st.sampled_from(["", "case_sensitive "]), st.sampled_from(OPERATORS)).map("".join),
    values,
)
terms = (
    plain
    | plain.map("NOT {}".format)
    | st.sampled_from(
        ["true", "FALSE", "tvg_chno > 5", 'name matches "(.)(b)?"', r'name !~ "^\d+$"', "is_adult == true"]
    )
)
conditions = st.recursive(
    terms,
    lambda inner: st.one_of(
        inner.map("NOT ({})".format),
        inner.map("({})".format),
        st.tuples(inner, st.sampled_from([" AND ", " or ", " && ", "||"]), inner).map("".join),
    ),
    max_leaves=8,
)
assignments = st.builds(
    "{} {} {}".format, st.sampled_from(WRITABLE), st.sampled_from(["=", "?=", "+=", "-="]), values | st.just("$1")
)
actions = st.lists(
    st.builds(
        "{} {}".format,
        st.sampled_from(["SET", "set_if_empty", "APPEND", "REMOVE", "", ", SET", ","]),
        assignments,
    )
    | st.just("DELETE tvg_id"),
    min_size=1,
    max_size=4,
).map(lambda parts: " ".join(parts).lstrip(" ,"))
rules = st.builds("{} {}".format, conditions, actions)
groups = st.lists(rules.map("({})".format), min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from([" AND ", " OR "]).map(lambda joint: joint.join(parts))
)
expressions = conditions | rules | groups
records = st.dictionaries(
    st.sampled_from(["channel_name", "tvg_id", "tvg_name", "group_title", "tvg_chno", "is_adult"]), st.text(max_size=8)
)


@given(expressions)
def test_the_canonical_form_reads_back_as_the_same(text: str) -> None:
    program = parse(text, STREAM)
    written = validate(text, STREAM).canonical
    assert parse(written, STREAM) == program
    assert validate(written, STREAM).canonical == written


@given(expressions, records)
def test_both_forms_do_the_same_and_tell_what_changed(text: str, record: dict[str, str]) -> None:
    first, second = dict(record), dict(record)
    applied = compile_expression(text, STREAM).apply(first)
    again = compile_expression(validate(text, STREAM).canonical, STREAM)
    assert again.matches(record) is applied.matched
    assert again.apply(second) == applied
    assert first == second
    told = record | {one.field: one.after for one in applied.changes}
    assert {k: v for k, v in told.items() if v} == {k: v for k, v in first.items() if v}


def compiled_or_refused(text: str) -> None:
    for fields in (STREAM, PROGRAMME, REQUEST):
        validation = validate(text, fields)
        try:
            expression = compile_expression(text, fields)
        except ExpressionError as error:
            assert error.faults == validation.faults
            for fault in error.faults:
                assert fault.message
                assert 0 <= fault.position <= len(text)
        else:
            assert validation.is_valid
            expression.apply({"channel_name": "abc", "programme_title": "abc"})


@given(st.text(max_size=200))
def test_any_text_is_an_expression_or_told_why_not(text: str) -> None:
    compiled_or_refused(text)


PIECES = [
    "(", ")", "AND", "or", "NOT", "!", "&&", "SET", "DELETE", "APPEND", ",", "=", "+=", "==", "!=", ">", "=~",
    "contains", "not_equals", "matches", "channel_name", "name", "nme", "foo", '"x"', "'y'", '"[', '"(a+)+"', "$1",
    "$name", "@time:now", "@time:", "@logo:a", "@x", "5", "5x", "true", "case_sensitive", "&", ";", "“a”", "\n", "\\",
    "stop", "@dynamic(request.headers):a", "@dynamic(", "tvg_chno", "is_adult", "source_url",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join))
def test_any_row_of_words_is_an_expression_or_told_why_not(text: str) -> None:
    compiled_or_refused(text)


@given(expressions, st.data())
def test_a_damaged_expression_is_told_why(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 5))
    put = data.draw(st.sampled_from(["", *PIECES]))
    compiled_or_refused(text[:at] + put + text[at + gone :])


# ---- patterns -----------------------------------------------------------------------------------------------------

PATTERN_PIECES = [
    "a", "b", "SK", "k", "é", "ß", "ı", ".", r"\d", r"\.", "[ab]", "[^a]", "(", ")", "(?:", "|", "*", "+", "?", "{2}",
    "{0,3}", "{1,}", "^", "$", "+?", r"\b", "bbc", " hd", "(?i)", "(?=", "\\", "{", "x{0}", "(?:ab)?",
]  # fmt: skip
patterns = st.lists(st.sampled_from(PATTERN_PIECES), max_size=8).map("".join)
subjects = st.text(alphabet="abBcdhk KSſıißé.1x", max_size=14)


@given(patterns, subjects, st.booleans())
def test_what_is_looked_for_first_never_changes_what_matches(pattern: str, subject: str, exact: bool) -> None:
    try:
        literals, search = parted(pattern, case_sensitive=exact, bound=Bound(start_s=1e9))
    except InvalidPattern:
        return
    found = search(subject) if all(one in subject.casefold() for one in literals) else None
    plain = regex.compile(pattern, 0 if exact else regex.IGNORECASE).search(subject)
    assert (found and found.span()) == (plain and plain.span())


def test_a_letter_matches_nothing_that_folds_to_another() -> None:
    everything = "".join(map(chr, range(0x110000)))
    for letter in "abcdefghijklmnopqrstuvwxyz":
        found = regex.findall(letter, everything, regex.IGNORECASE)
        assert all(letter in one.casefold() for one in found)


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    shape_of(pattern)
    try:
        compiled(pattern, case_sensitive=False)
    except InvalidPattern as error:
        assert str(error)


def test_patterns_show_what_they_must_contain() -> None:
    known = {
        "bbc": ("bbc",), "^UK: (.+) HD$": ("UK: ",), "(.+) HD": (" HD",), "adult|xxx": ("adult", "xxx"),
        ".*Adult.*": ("Adult",),
        "(?:one|two) three": (" three",), "a+bc": ("bc",), "abc?": ("ab",), "(abc)?": (), "(abc)+": ("abc",),
        "[abc]": (),
        "ab|.": (), r"\d+ km": (" km",), "(?!ab)": (), "(?i)Sky": ("Sky",),
    }  # fmt: skip
    assert {pattern: shape_of(pattern).literals for pattern in known} == {
        pattern: literals if all(len(one) > 1 for one in literals) else () for pattern, literals in known.items()
    }
    assert shape_of(r"a\.bc").literals == ("a.bc",)


def test_patterns_show_all_that_every_match_contains() -> None:
    known = {
        "^UK: (Sport) Channel ([0-9]+)": ("UK: ", "Sport", " Channel "), "a(bc|de)fg": ("fg",), "(ab)?cd": ("cd",),
        "(?:ab(cd|ef))+gh": ("ab", "gh"), "ab|cd": (), "(ab|cd)": (), "(ab(cd)){0,2}ef": ("ef",),
        "abc?de": ("ab", "de"),
    }  # fmt: skip
    assert {pattern: shape_of(pattern).sure for pattern in known} == known
