"""The `next` of lists: a place in a list and the window it was asked for, opaque to the caller.

The window is part of it, so that all pages of a walk that began "now" see the same one.
"""

import base64
import json
from dataclasses import dataclass

from servicekit.errors import Invalid

MAX_EPOCH_S = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Place:
    """A window in epoch seconds, and what the last entry of the page before is known by; None: the first page."""

    from_s: int
    to_s: int
    after: tuple[float, ...] | None = None


def cursor_of(place: Place, *after: float) -> str:
    """The `next` behind an entry."""
    text = json.dumps([place.from_s, place.to_s, *after], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def place_of(cursor: str, count: int) -> Place:
    """The place that a `next` means, entries being known by `count` numbers. Raises `Invalid` for anything else."""
    try:
        text = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # no base64, no UTF-8, no JSON
        raise _unknown(cursor) from error
    if not (isinstance(values, list) and len(values) == 2 + count and all(map(_is_number, values))):
        raise _unknown(cursor)
    if not all(isinstance(value, int) and 0 <= value <= MAX_EPOCH_S for value in values[:2]):
        raise _unknown(cursor)
    return Place(values[0], values[1], tuple(values[2:]))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -(1 << 53) < value < 1 << 53


def _unknown(cursor: str) -> Invalid:
    return Invalid(f"cursor: use the `next` of the answer before, as it was given, not {cursor[:40]!r}")
