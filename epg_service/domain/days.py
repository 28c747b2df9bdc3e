"""A day of one provider's channel, packed: what tells two versions of it apart, and everything its elements said.

`contents` are five columns one after the other: keys (start << 3 | ordinal), digests of the elements as the provider
wrote them, stops, lengths of the stored elements, flags. Two days that hold the same programmes have the same
`contents`, so comparing a day is comparing bytes.

`body` is the stored elements, a line feed behind each, deflated and flushed, without a header and without an end. So
bodies one after the other are deflated text again: what is published as it stands needs no packing anew. A body itself
is some such pieces, one behind the other (`domain.parts`).
"""

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import xxhash
from isal import isal_zlib

DAY_S = 86_400
LEVEL = 0
"""Of isal, for stored days: a quarter less work than level 2 and a tenth more bytes."""
ORDINAL_BITS = 3
START_BITS = 32
DAY_BITS = 16
LAST_DAY = (1 << DAY_BITS) - 1
"""Behind all that can start before the end of 32 bits of seconds."""
ROW_BYTES = 25
"""Bytes of `contents` a programme."""
IDENTITY_BYTES = 16
"""Of these, those of key and digest, the first two columns."""
IN_FORM = 1
"""Flag: the stored element stands as it is published, times in UTC, children in the DTD's own form."""
NUMBERED = 2
"""Flag: it says its episode number in both systems that clients read, or says none."""
UNREAD = "\x01"
"""In the place of a title: the programme is stored as it is, and nobody looked at it."""
LAST_BLOCK = b"\x03\x00"
"""Ends deflated text."""
RAW_DEFLATE = -15


def program_id(mapping_id: int, key: int) -> int:
    """The permanent id of a programme: its mapping, start and ordinal in one number below 2^53."""
    return (mapping_id << (START_BITS + ORDINAL_BITS)) + key


def day_id(mapping_id: int, day: int) -> int:
    """The key of a packed day."""
    return mapping_id << DAY_BITS | day


@dataclass(frozen=True, slots=True)
class PackedDay:
    """A day ready to be stored. Without contents it stands for a day that is to go."""

    day: int
    contents: bytes
    titles: bytes
    """Joined by NUL. That of a programme that is stored as it is may be `UNREAD`."""
    body: bytes
    parts: bytes = b""
    """What is known of the parts of the body (`domain.parts`)."""


@dataclass(frozen=True, slots=True)
class Contents:
    """`contents` unpacked."""

    keys: tuple[int, ...]
    digests: tuple[int, ...]
    stops: tuple[int, ...]
    lengths: tuple[int, ...]
    flags: bytes


@dataclass(frozen=True, slots=True)
class StoredDay:
    """A day as it is stored: what is published as it stands is never unpacked."""

    day: int
    packed: bytes
    """`contents`."""
    body: bytes
    parts: bytes = b""
    """See `PackedDay`; empty: not known."""

    @property
    def contents(self) -> Contents:
        """The columns, unpacked each time."""
        return unpacked_contents(self.packed)

    @property
    def programmes(self) -> int:
        """How many there are."""
        return len(self.packed) // ROW_BYTES

    def all_have(self, flags: int) -> bool:
        """Whether every element has these flags."""
        return all(one & flags == flags for one in set(self.packed[len(self.packed) - self.programmes :]))


def digest_of(text: bytes | memoryview) -> int:
    """A number that tells texts of a provider apart. Equal only keeps text that is stored already."""
    return xxhash.xxh3_64_intdigest(text)


def digests_of(raws: Sequence[bytes]) -> list[int]:
    """`digest_of` each element."""
    return list(map(xxhash.xxh3_64_intdigest, raws))


def contents_of(
    keys: Sequence[int], digests: Sequence[int], stops: Sequence[int], lengths: Sequence[int], flags: Sequence[int]
) -> bytes:
    """All but titles and elements packed."""
    return identity_of(keys, digests, stops) + array("I", lengths).tobytes() + bytes(flags)


def identity_of(keys: Sequence[int], digests: Sequence[int], stops: Sequence[int]) -> bytes:
    """The beginning of `contents`, which tells days apart: lengths and flags follow from the digests."""
    return b"".join((array("Q", keys), array("Q", digests), array("I", stops)))


def unpacked_contents(contents: bytes) -> Contents:
    """The columns of `contents_of`."""
    n = len(contents) // ROW_BYTES
    values = _layout(n).unpack(contents)
    return Contents(values[:n], values[n : 2 * n], values[2 * n : 3 * n], values[3 * n : 4 * n], values[-1])


def keys_in(contents: bytes) -> list[int]:
    """The keys alone, a fifth of the work of all columns."""
    return memoryview(contents)[: len(contents) // ROW_BYTES * 8].cast("Q").tolist()


def digests_in(contents: bytes) -> list[int]:
    """The digests alone."""
    n = len(contents) // ROW_BYTES
    return memoryview(contents)[n * 8 : n * 16].cast("Q").tolist()


def stops_in(contents: bytes) -> list[int]:
    """The stops alone."""
    n = len(contents) // ROW_BYTES
    return memoryview(contents)[n * 16 : n * 20].cast("I").tolist()


def same_keys(contents: bytes, others: bytes) -> bool:
    """Whether two days have the same keys."""
    return len(contents) == len(others) and contents.startswith(others[: len(others) // ROW_BYTES * 8])


def first_key(contents: bytes) -> int:
    """The first of the keys, without unpacking the others."""
    return int.from_bytes(contents[:8], sys.byteorder)


@lru_cache(1024)
def _layout(n: int) -> struct.Struct:
    return struct.Struct(f"={n}Q{n}Q{n}I{n}I{n}s")


def deflated(text: bytes) -> bytes:
    """Deflated text that others may stand before and behind."""
    packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, RAW_DEFLATE)
    return packer.compress(text) + packer.flush(isal_zlib.Z_FULL_FLUSH)


def inflated(body: bytes) -> bytes:
    """The text of `deflated`."""
    return isal_zlib.decompress(body + LAST_BLOCK, RAW_DEFLATE)


def raws_of(contents: Contents, body: bytes) -> list[bytes]:
    """The elements of a day, in the order of its keys."""
    text = inflated(body)
    ends = accumulate(length + 1 for length in contents.lengths)
    return [text[end - length - 1 : end - 1] for end, length in zip(ends, contents.lengths, strict=True)]


def by_day(starts: Sequence[int]) -> Iterator[tuple[int, slice]]:
    """The runs of equal days in a sorted column of starts."""
    from_ = 0
    while from_ < len(starts):
        day = starts[from_] // DAY_S
        end = bisect_left(starts, (day + 1) * DAY_S, from_)
        yield day, slice(from_, end)
        from_ = end
