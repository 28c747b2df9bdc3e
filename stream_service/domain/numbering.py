"""Channel numbers: read from what a provider wrote, given once and kept for ever.

A number is text: digits, or digits with one minor part ("5.1"). Two numbers are the same only when their texts are.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stream_service.domain.values import many

_NUMBER = re.compile(r"0*([0-9]{1,7})(?:[._-]([0-9]{1,4}))?", re.ASCII)


def canonical_number(text: str) -> str:
    """The canonical text of a channel number, empty when `text` is none ("-1", "0", "abc").

    Leading zeros go ("007" is 7), "5-1" and "5_1" are written "5.1" as receivers do, "5.0" is 5.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return ""
    major, minor = int(found[1]), found[2]
    if major == 0:
        return ""
    return f"{major}.{minor}" if minor and int(minor) else str(major)


def number_key(number: str) -> tuple[int, int]:
    """What numbers are sorted by: 5, 5.1, 5.2, 5.10, 6."""
    major, _, minor = number.partition(".")
    return int(major), int(minor or 0)


@many(frozen=True, slots=True)
class Wish:
    """A channel without a number: what its provider calls it ('' for nothing), and its group."""

    channel_id: str
    number: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """`numbers` of the new channels. `ranges`: every group's ranges now, by their first numbers.

    `overflow`: how many channels of a group found its range full and got numbers of a range further on.
    """

    numbers: dict[str, str]
    ranges: dict[str, list[int]] = field(default_factory=dict)
    overflow: dict[str, int] = field(default_factory=dict)


def give_numbers(wishes: Iterable[Wish], taken: Iterable[str], *, first: int = 1, preserve: bool = True) -> Given:
    """Numbers for new channels, `wishes` in the order of the list, `taken` every number that was ever given.

    Whoever asks for a number that is free gets it (the first who asks, where several do) when `preserve` is set; all
    others get the next free whole number from `first`, in the order of the list.
    """
    used = set(taken)
    given: dict[str, str] = {}
    rest: list[str] = []
    for wish in wishes:
        if preserve and wish.number and wish.number not in used:
            used.add(wish.number)
            given[wish.channel_id] = wish.number
        else:
            rest.append(wish.channel_id)
    following = first
    for channel_id in rest:
        while (number := str(following)) in used:
            following += 1
        used.add(number)
        given[channel_id] = number
    return Given(given)


def give_by_group(
    wishes: Sequence[Wish], taken: Iterable[str], ranges: Mapping[str, Sequence[int]], *, first: int, size: int
) -> Given:
    """Numbers by group: each has ranges of `size` numbers, which it keeps for ever (`ranges`, by first numbers).

    New groups get ranges in alphabetical order behind those that are given away. A group whose ranges are full gets
    another one; two groups never share one, so no number is given twice.
    """
    used = set(taken)
    known = {group: list(firsts) for group, firsts in ranges.items()}
    free = max((start + size for firsts in known.values() for start in firsts), default=first)
    free = max(free, first)
    for group in sorted({wish.group for wish in wishes} - known.keys(), key=lambda one: (not one, one.casefold(), one)):
        known[group] = [free]
        free += size
    given: dict[str, str] = {}
    overflow: dict[str, int] = {}
    at = {group: (0, firsts[0]) for group, firsts in known.items()}
    for wish in wishes:
        place, number = at[wish.group]
        while str(number) in used or number >= known[wish.group][place] + size:
            number += 1
            if number >= known[wish.group][place] + size:
                place += 1
                if place == len(known[wish.group]):
                    known[wish.group].append(free)
                    free += size
                number = known[wish.group][place]
        if place:
            overflow[wish.group] = overflow.get(wish.group, 0) + 1
        at[wish.group] = (place, number)
        used.add(str(number))
        given[wish.channel_id] = str(number)
    return Given(given, known, overflow)
