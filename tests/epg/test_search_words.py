"""How texts are cut into words: as FTS5's own tokenizer cuts what was folded, whatever the writing."""

import apsw
from hypothesis import given, settings
from hypothesis import strategies as st

from epg_service.domain.terms import fold
from epg_service.store.search_words import Words

WORDS = Words(apsw.Connection(":memory:"))
TEXTS = st.text(
    st.one_of(
        st.sampled_from("aZ09 -_'\n.ßéÉœǅΣςЙё日本ｶﾞ가각\u1100\u1161\u11a8\u0301\u0300\u05b8\u093f\u1b05\u1b35\ue000①ﬁ"),
        st.characters(exclude_characters="\0", exclude_categories=("Cs",)),
    ),
    max_size=12,
)


def as_fts5(text: str) -> tuple[list[str], int]:
    return WORDS.words(fold(text)), len(fold(text))


@settings(max_examples=400, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_words_are_those_of_the_tokenizer(texts: list[str]) -> None:
    told = WORDS.of(texts)
    assert [(words.split(), length) for words, length in told] == [as_fts5(text) for text in texts]
    assert all(words.strip(" ") == " ".join(words.split()) for words, _ in told)


def test_every_letter_there_is_becomes_what_the_tokenizer_makes_of_it() -> None:
    letters = [chr(code) for code in range(1, 0x30000, 7)]
    letters = [letter for letter in letters if not "\ud800" <= letter <= "\udfff"]
    assert [("".join(words.split()), length) for words, length in WORDS.of(letters)] == [
        ("".join(words), length) for words, length in map(as_fts5, letters)
    ]
