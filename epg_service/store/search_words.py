"""Texts as the search index takes them apart: folded, cut into the words that FTS5 finds in them.

A text is kept as its words, each between two blanks, so that a term stands in it where the term's own words, written
the same way, are a part of it: what FTS5 says of several texts together is proven of each of them by `instr`.
"""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from epg_service.domain.terms import fold

_TOKENIZER = ("unicode61", ["remove_diacritics", "0"])
TOKENIZE = " ".join((_TOKENIZER[0], *_TOKENIZER[1]))
"""The tokenizer as FTS5 is told of it."""
_BLANKS = {code: " " for code in range(1, 128) if not chr(code).isalnum()}
_BETWEEN = "\0"


class Words:
    """Cuts texts into words."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._tokenizer = connection.fts5_tokenizer(*_TOKENIZER)
        self._letters = _Letters(self.words)

    def of(self, texts: Sequence[str]) -> list[tuple[str, int]]:
        """Of each text its words, and how long it is when it is folded. Texts hold no character zero."""
        plain = iter(_plain([text for text in texts if text.isascii()]))
        other = iter(self._other([text for text in texts if not text.isascii()]))
        return [next(plain if text.isascii() else other) for text in texts]

    def words(self, folded: str) -> list[str]:
        """The words of a folded text."""
        whole: Any = self._tokenizer(
            folded.encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False, include_colocated=False
        )
        return list(whole)

    def _other(self, texts: Sequence[str]) -> list[tuple[str, int]]:
        if not texts:
            return []
        told = f" {_BETWEEN} ".join(texts).translate(self._letters)
        if unicodedata.is_normalized("NFKC", told):
            return _split(told)
        return [(f" {' '.join(self.words(text))} ", len(text)) for text in map(fold, texts)]


class _Letters(dict[int, str]):
    """What each letter becomes: without case and accents, a blank where it is none; asked for when it is first met."""

    def __init__(self, words: Callable[[str], list[str]]) -> None:
        super().__init__({0: _BETWEEN})
        self._words = words

    def __missing__(self, letter: int) -> str:
        told = self[letter] = "".join("".join(self._words(one)) or " " for one in fold(chr(letter)))
        return told


def _plain(texts: Sequence[str]) -> list[tuple[str, int]]:
    """The same for ASCII: letters and digits are words."""
    return _split(f" {_BETWEEN} ".join(texts).lower().translate(_BLANKS)) if texts else []


def _split(line: str) -> list[tuple[str, int]]:
    """Words of texts that were joined with a blank on each side of what is between them."""
    lengths = [len(text) - 2 for text in line.split(_BETWEEN)]
    lengths[0] += 1
    lengths[-1] += 1
    line = f" {line} "
    while "  " in line:
        line = line.replace("  ", " ")
    return list(zip(line.split(_BETWEEN), lengths, strict=True))
