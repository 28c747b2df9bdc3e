"""Permanent channel ids: `[A-Za-z0-9._-]`, never only digits, never given twice, whatever the case of the letters."""

import re
import unicodedata
from collections.abc import Container
from hashlib import blake2b

MAX_CHARS = 64

_OUTSIDE = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)


def is_channel_id(text: str) -> bool:
    """Whether `text` has the form of a channel id."""
    return _ID.fullmatch(text) is not None


def natural_id(*, tvg_id: str, name: str) -> str:
    """The id a channel would like to have: its tvg-id, else its name, in the letters that are allowed.

    A name in another script leaves no letters; a short digest of it is the same every time, which is what counts.
    """
    base = _plain(tvg_id) or _plain(name) or blake2b((tvg_id or name).encode(), digest_size=4).hexdigest()
    return f"ch-{base}" if base.isdigit() else base


def new_channel_id(*, tvg_id: str, name: str, taken: Container[str]) -> str:
    """An id nobody ever had. `taken` holds every id ever given, casefolded."""
    base = natural_id(tvg_id=tvg_id, name=name)
    candidate, n = base, 1
    while candidate.casefold() in taken:
        n += 1
        candidate = f"{base}-{n}"
    return candidate


def _plain(text: str) -> str:
    if not text.isascii():
        folded = unicodedata.normalize("NFKD", text[: 2 * MAX_CHARS])
        text = "".join(c for c in folded if not unicodedata.combining(c))
        if sum(not c.isascii() for c in text) * 2 > len(text):
            return ""  # the few letters that are left would name many channels alike
    return _OUTSIDE.sub("-", text).strip("-._")[:MAX_CHARS].rstrip("-._")
