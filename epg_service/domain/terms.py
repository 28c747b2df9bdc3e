"""What people type into a search box: words, quoted terms, the beginning of the last word."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from servicekit.errors import Invalid

MAX_TERMS = 16
_TERM = re.compile(r'"([^"]*)"?|([^\s"]+)')
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
MIN_PREFIX = 2
"""A single letter is searched as a word: as a beginning it would mean a tenth of the guide."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all must be found. A term of several words is found where they stand one after the other."""

    exact: tuple[str, ...]
    beginning: str | None = None
    """The last word while it is being typed: it may be the beginning of a longer one."""


def terms_of(text: str) -> Terms:
    """The terms of a query; every sign in it is data. Raises `Invalid` without a letter or digit, or with too much."""
    found: list[tuple[str, bool]] = []
    for match in _TERM.finditer(_CONTROLS.sub(" ", text)):
        quoted = match[2] is None
        term = (match[1] if quoted else match[2]).strip()
        if any(letter.isalnum() for letter in term):
            found.append((term, quoted))
    if not found:
        raise Invalid('q: give a word, such as q=news, or words that stand together, such as q="late news"')
    if len(found) > MAX_TERMS:
        raise Invalid(f"q: at most {MAX_TERMS} words")
    last, quoted = found[-1]
    if quoted or len(last) < MIN_PREFIX:
        return Terms(tuple(term for term, _ in found))
    return Terms(tuple(term for term, _ in found[:-1]), last)


class _Folded(dict[int, str]):
    """What each letter becomes without case and accents, found out when it is first met."""

    def __missing__(self, letter: int) -> str:
        apart = unicodedata.normalize("NFKD", chr(letter).casefold())
        bare = self[letter] = "".join(one for one in apart if not unicodedata.combining(one))
        return bare


_FOLDED = _Folded()


@lru_cache(4096)
def folded(text: str) -> str:
    """The same as `fold`, for texts that come again soon."""
    return fold(text)


def fold(text: str) -> str:
    """Text as it is compared: without case and accents."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text.translate(_FOLDED))


def holds_all(text: str, words: tuple[str, ...]) -> bool:
    """Whether every one of the (folded) words stands somewhere in the text."""
    whole = folded(text)
    return all(word in whole for word in words)


def words_of(text: str) -> tuple[str, ...]:
    """The folded words and quoted terms of a filter by title."""
    terms = terms_of(text)
    return tuple(folded(term) for term in (*terms.exact, *([terms.beginning] if terms.beginning else [])))
