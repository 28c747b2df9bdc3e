"""Which logical channel a provider's channel belongs to, decided when it is first seen.

A wrong join mixes two channels' programmes and is hard to see; a missing join shows a channel twice and is mended by
one call. So a channel of another provider joins only on an equal id that says something, and names that agree.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from tvkit.names import normalised


@dataclass(frozen=True, slots=True)
class KnownChannel:
    """A logical channel that stands already."""

    id: int
    name: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Joining:
    """Join `channel_id`, or make a channel called `name` (when `channel_id` is None); `how` says why, in words."""

    channel_id: int | None
    name: str
    how: str


def join(xmltv_id: str, display_name: str, provider: str, known: Mapping[str, KnownChannel]) -> Joining:
    """The decision for a provider's new channel. `known` maps the case-folded name of each channel to it."""
    other = known.get(xmltv_id.casefold())
    if other is None:
        return Joining(None, xmltv_id, "new: no channel had this id")
    if xmltv_id.isdigit():
        reason = "the id is only a number"
    elif normalised(display_name or xmltv_id) != normalised(other.display_name):
        reason = f"the names differ: {display_name!r}, {other.display_name!r}"
    else:
        return Joining(other.id, other.name, "same id and name")
    return Joining(None, free_name(f"{xmltv_id}@{provider}", known), f"kept apart from {other.name!r}: {reason}")


def free_name(name: str, known: Container[str]) -> str:
    """`name`, or `name-2` and so on until its case-folded form is not among the known ones."""
    number, free = 2, name
    while free.casefold() in known:
        free, number = f"{name}-{number}", number + 1
    return free
