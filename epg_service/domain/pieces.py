"""What an import has cut out of programmes already, on its way to the search index: nothing has to be there.

A frame holds the pieces of a channel's programmes, each once, and for each of its days a digest of the keys and digests
that the stored day has then. Who reads it takes a day that still has these, and cuts all others out of the stored
elements.
"""

import struct
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple, TypeAlias

import xxhash

from epg_service.domain.days import IDENTITY_BYTES, ROW_BYTES
from epg_service.domain.tags import NEW, PREMIERE

_FRAME = struct.Struct("<IIIIIIQ")
"""Length of the channel's id, days, programmes, different titles, different people; length and digest of the rest."""

Cut: TypeAlias = tuple[bytes | None, bytes | None, bytes | None]
"""Of a programme: titles with sub-titles, people to categories, what may say that it is a premiere or new; the first
two are None where it was not cut."""
Said: TypeAlias = tuple[bytes, bytes, int]
"""Of a programme, unread: titles with sub-titles, people with categories; flags (`domain.tags`)."""


class Handed(NamedTuple):
    """The pieces of a channel's programmes, day by day."""

    channel: str
    days: tuple[tuple[int, int, int], ...]
    """Day, `identity_digest`, programmes."""
    said: list[Said]

    def by_day(self) -> dict[int, tuple[int, list[Said]]]:
        """Of each day its `identity_digest` and what its programmes say."""
        ends = accumulate((count for _, _, count in self.days), initial=0)
        runs = zip(self.days, pairwise(ends), strict=True)
        return {day: (digest, self.said[first:end]) for (day, digest, _), (first, end) in runs}


def identity(contents: bytes) -> bytes:
    """The columns of a day's `contents` that tell what its programmes say: keys and digests."""
    return contents[: len(contents) // ROW_BYTES * IDENTITY_BYTES]


def identity_digest(contents: bytes) -> int:
    """What names `identity`."""
    return xxhash.xxh3_64_intdigest(identity(contents))


def framed(channel: str, days: Sequence[tuple[int, bytes]], cut: Sequence[Cut]) -> bytes:
    """A frame of days (each with its `contents`) that hold these programmes; empty when not all of them were cut."""
    if not cut or len(cut) * ROW_BYTES != sum(len(contents) for _, contents in days):
        return b""
    heads, tails, ends = zip(*cut, strict=True)
    titles, people = ({one: at for at, one in enumerate(dict.fromkeys(column))} for column in (heads, tails))
    if None in titles or None in people:
        return b""
    flags = bytes([_flags(end) if end else 0 for end in ends])
    name = channel.encode()
    packed = b"".join(
        (
            name,
            array("Q", chain.from_iterable((day, identity_digest(text), len(text) // ROW_BYTES) for day, text in days)),
            array("I", map(len, chain(titles, people))),
            array("I", map(titles.__getitem__, heads)),
            array("I", map(people.__getitem__, tails)),
            flags,
            *titles,
            *people,
        )
    )
    counts = (len(name), len(days), len(cut), len(titles), len(people))
    return _FRAME.pack(*counts, len(packed), xxhash.xxh3_64_intdigest(packed)) + packed


def unframed(read: Callable[[int], bytes]) -> Handed | None:
    """The next frame; None at the end, or where what is there is none."""
    head = read(_FRAME.size)
    if len(head) < _FRAME.size:
        return None
    name, days, count, titles, people, length, digest = _FRAME.unpack(head)
    packed = read(length)
    if xxhash.xxh3_64_intdigest(packed) != digest:
        return None
    *at, texts = accumulate((name, 24 * days, 4 * (titles + people), 4 * count, 4 * count, count))
    numbers = array("Q", packed[at[0] : at[1]])
    ends = accumulate(array("I", packed[at[1] : at[2]]), initial=texts)
    cut = [packed[begin:end] for begin, end in pairwise(ends)]
    heads = map(cut.__getitem__, array("I", packed[at[2] : at[3]]))
    tails = map(cut[titles:].__getitem__, array("I", packed[at[3] : at[4]]))
    said = list(zip(heads, tails, packed[at[4] : texts], strict=True))
    return Handed(packed[:name].decode(), tuple(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)), said)


def _flags(end: bytes) -> int:
    return (NEW if b"<new" in end else 0) | (PREMIERE if b"<premiere" in end else 0)
