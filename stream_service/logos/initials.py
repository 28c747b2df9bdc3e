"""The picture of a channel that has none: its initials on a colour, both made of its name. Pure."""

import re
from zlib import crc32

from anyascii import anyascii

NAME = re.compile(r"[A-Z0-9]{1,3}-[0-9a-f]", re.ASCII)
"""What such a picture is called: the letters, and the number of its colour."""
COLOURS = (
    "#b3413a", "#b5651d", "#8a7a1c", "#4d7c2a", "#2b7f56", "#1f7a7a", "#2a6c9c", "#3757a6",
    "#5548a8", "#7a3f9d", "#9c3a80", "#a83a5c", "#5f6b76", "#7a5c47", "#47664f", "#3f5870",
)  # fmt: skip
_MARKS = re.compile(r"\([^)]*\)|\[[^\]]*\]|\b(?:U?HD|FHD|SD|4K|8K|HEVC|RAW|1080[pi]?|720p?)\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9]+", re.ASCII)
_MOST_LETTERS = 3


def picture_of(name: str) -> str:
    """The name of the picture for a channel of this name, '' when nothing in it can be written.

    "Harbour News HD" is HN on the colour of "harbour news"; "BBC 1" is BBC, its number is in the text beside it.
    """
    plain = name if name.isascii() else anyascii(name)
    words = _WORD.findall(_MARKS.sub(" ", plain)) or _WORD.findall(plain)
    if not words:
        return ""
    letters = words[0][:_MOST_LETTERS] if len(words) == 1 or _is_acronym(words[0]) else _first_letters(words)
    colour = crc32(" ".join(words).lower().encode()) % len(COLOURS)
    return f"{letters.upper()}-{colour:x}"


def _first_letters(words: list[str]) -> str:
    return "".join(word[0] for word in words[:_MOST_LETTERS])


def _is_acronym(word: str) -> bool:
    return word.isupper() and len(word) > 1
