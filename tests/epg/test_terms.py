"""What people type into the search box."""

import pytest

from epg_service.domain.terms import Terms, folded, holds_all, terms_of, words_of
from servicekit.errors import Invalid


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("news", Terms((), "news")),
        ("late news", Terms(("late",), "news")),
        ('"late news"', Terms(("late news",))),
        ('"late news" sport', Terms(("late news",), "sport")),
        ('sport "late news"', Terms(("sport", "late news"))),
        ("channel a", Terms(("channel", "a"))),
        ('"never closed', Terms(("never closed",))),
        ("* news ( ^", Terms((), "news")),
        ("a\x00b\ncd", Terms(("a", "b"), "cd")),
        ("M*A*S*H", Terms((), "M*A*S*H")),
    ],
)
def test_words_quoted_terms_and_a_beginning_are_told_apart(text: str, terms: Terms) -> None:
    assert terms_of(text) == terms


@pytest.mark.parametrize(
    "text", ["", "  ", '""', "*", "--", "a " * 17], ids=["none", "blanks", "quotes", "star", "dashes", "many"]
)
def test_a_query_without_words_or_with_too_many_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(Invalid, match=r"^q: "):
        terms_of(text)


def test_case_and_accents_are_forgiven() -> None:
    assert folded("CAFÉ Straße Ρόδος") == folded("cafe strasse ροδοσ")
    assert holds_all("Café Noir", words_of("cafe NOIR"))
    assert not holds_all("Café Noir", words_of("cafe blanc"))
