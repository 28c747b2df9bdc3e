"""A day of one provider's channel, packed: what tells two versions of it apart, and everything its elements said.

`contents` are four columns one after the other: keys (start << 3 | ordinal), digests, stops, lengths of the elements.
Two days that hold the same programmes have the same `contents`, so comparing a day is comparing bytes. `body` is the
elements joined and compressed.
"""

import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import xxhash

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

DAY_S = 86_400
LEVEL = 1
ORDINAL_BITS = 3
START_BITS = 32
DAY_BITS = 16


def program_id(mapping_id: int, key: int) -> int:
    """The permanent id of a programme: its mapping, start and ordinal in one number below 2^53."""
    return (mapping_id << (START_BITS + ORDINAL_BITS)) + key


def day_id(mapping_id: int, day: int) -> int:
    """The key of a packed day."""
    return mapping_id << DAY_BITS | day


@dataclass(frozen=True, slots=True)
class DayColumns:
    """The programmes of a day as columns; all the same length, sorted by key."""

    keys: Sequence[int]
    digests: Sequence[int]
    stops: Sequence[int]
    titles: Sequence[str]
    raws: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class PackedDay:
    """A day ready to be stored. Without contents it stands for a day that is to go."""

    day: int
    contents: bytes
    titles: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """`contents` unpacked."""

    keys: tuple[int, ...]
    digests: tuple[int, ...]
    stops: tuple[int, ...]
    lengths: tuple[int, ...]


def digests_of(raws: Sequence[bytes]) -> list[int]:
    """A number for each element that tells its versions apart. Equal only keeps text that is stored already."""
    return [xxhash.xxh3_64_intdigest(raw) for raw in raws]


def contents_of(keys: Sequence[int], digests: Sequence[int], stops: Sequence[int], raws: Sequence[bytes]) -> bytes:
    """The four columns packed."""
    return b"".join((array("Q", keys), array("Q", digests), array("I", stops), array("I", map(len, raws))))


def unpacked_contents(contents: bytes) -> Contents:
    """The four columns of `contents_of`."""
    n = len(contents) // 24
    values = _layout(n).unpack(contents)
    return Contents(values[:n], values[n : 2 * n], values[2 * n : 3 * n], values[3 * n :])


@lru_cache(1024)
def _layout(n: int) -> struct.Struct:
    return struct.Struct(f"={n}Q{n}Q{n}I{n}I")


def packed(day: int, columns: DayColumns, contents: bytes) -> PackedDay:
    """The day with its elements compressed."""
    titles = "\0".join(columns.titles).encode("utf-8", "replace")
    return PackedDay(day, contents, titles, zstd.compress(b"".join(columns.raws), LEVEL))


def raws_of(contents: Contents, body: bytes) -> list[bytes]:
    """The elements of a day, in the order of its keys."""
    text = zstd.decompress(body)
    ends = list(accumulate(contents.lengths))
    return [text[end - length : end] for end, length in zip(ends, contents.lengths, strict=True)]


def by_day(starts: Sequence[int]) -> Iterator[tuple[int, slice]]:
    """The runs of equal days in a sorted column of starts."""
    from_ = 0
    while from_ < len(starts):
        day = starts[from_] // DAY_S
        end = from_
        while end < len(starts) and starts[end] // DAY_S == day:
            end += 1
        yield day, slice(from_, end)
        from_ = end
