"""Channel numbers: read from what a provider wrote, given once and kept for ever.

A number is text: digits, or digits with one minor part ("5.1"). Two numbers are the same only when their texts are.
"""

import re
from collections.abc import Iterable, Mapping

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


def give_numbers(wanted: Iterable[tuple[str, str]], taken: Iterable[str]) -> Mapping[str, str]:
    """Numbers for new channels: channel id -> number.

    `wanted` are (channel id, the provider's number or '') in the order of the list, `taken` every number that was ever
    given in this lineup. Whoever asks for a number that is free gets it (the first who asks, where several do); all
    others get the next free whole number from 1, in the order of the list.
    """
    used = set(taken)
    given: dict[str, str] = {}
    rest: list[str] = []
    for channel_id, number in wanted:
        if number and number not in used:
            used.add(number)
            given[channel_id] = number
        else:
            rest.append(channel_id)
    following = 1
    for channel_id in rest:
        while (number := str(following)) in used:
            following += 1
        used.add(number)
        given[channel_id] = number
    return given
