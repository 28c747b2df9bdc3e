"""A stored day's body in parts: some programmes each, deflated so that each can be inflated, moved and kept alone.

A day changes in few places, so most of its parts stay as they are: a new version of the day takes over their deflated
bytes. Each part also says how it stands in the provider's file, as a whole and programme by programme, so that the next
file need not be read where that stands again.
"""

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate, count, pairwise
from typing import NamedTuple, Protocol

from epg_service.domain.days import (
    UNREAD,
    Contents,
    PackedDay,
    StoredDay,
    contents_of,
    deflated,
    inflated,
    raws_of,
)

PART_ROWS = 12
"""About so many programmes in a part, half a day of most channels: fewer are packed worse, of more fewer parts stay."""
MAX_FILE_BYTES = 256 * 1024
"""A part that takes more in the file is always read: to be compared it has to be in memory whole."""
_HEAD = struct.Struct("=IIIIQ")


class InFile(NamedTuple):
    """Programmes as they stand one behind the other in the provider's file."""

    basis: int
    """How the file was read: the same bytes read in another way are something else."""
    length: int
    """From the first one's tag to the last one's end, in bytes."""
    digest: int
    """`digest_of` these bytes."""
    lengths: tuple[int, ...]
    """Of each of them alone."""


class Part(NamedTuple):
    """Programmes of a day that stand one behind the other."""

    programmes: int
    body_bytes: int
    """What they take in the day's body."""
    in_file: InFile | None = None
    """None: not to be told."""


def parts_of(packed: bytes) -> list[Part]:
    """The parts of a day, as `packed_parts` wrote them."""
    found, at = list[Part](), 0
    while at < len(packed):
        programmes, body_bytes, basis, length, digest = _HEAD.unpack_from(packed, at)
        at += _HEAD.size
        in_file = None
        if length:
            lengths = _lengths(programmes)
            in_file = InFile(basis, length, digest, lengths.unpack_from(packed, at))
            at += lengths.size
        found.append(Part(programmes, body_bytes, in_file))
    return found


def packed_parts(parts: Sequence[Part]) -> bytes:
    """The parts of a day, to be stored beside its body."""
    pieces = list[bytes]()
    for part in parts:
        basis, length, digest, lengths = part.in_file or (0, 0, 0, ())
        pieces += (
            _HEAD.pack(part.programmes, part.body_bytes, basis, length, digest),
            _lengths(len(lengths)).pack(*lengths),
        )
    return b"".join(pieces)


@lru_cache(1024)
def _lengths(programmes: int) -> struct.Struct:
    return struct.Struct(f"={programmes}I")


class _Placed(NamedTuple):
    """A part where it stands in a stored day."""

    part: Part
    rows: slice
    body: bytes


def _placed(parts: bytes, body: bytes, rows: int) -> list[_Placed]:
    """The parts of a day in their order; all of it as one when nothing is known of them."""
    found, row, at = list[_Placed](), 0, 0
    for part in parts_of(parts):
        end, until = at + part.body_bytes, row + part.programmes
        found.append(_Placed(part, slice(row, until), body[at:end]))
        row, at = until, end
    return found if (row, at) == (rows, len(body)) else [_Placed(Part(rows, len(body)), slice(0, rows), body)]


def raws_at(day: StoredDay, lengths: Sequence[int], places: Sequence[int]) -> list[bytes]:
    """Some elements of a day, places rising; parts that hold none of them are not inflated. `lengths`: of all."""
    found: list[bytes] = []
    for _, rows, body in _placed(day.parts, day.body, len(lengths)):
        wanted = places[bisect_left(places, rows.start) : bisect_left(places, rows.stop)]
        if wanted:
            text, ends = inflated(body), list(accumulate(lengths[rows]))
            for place in wanted:
                until = ends[place - rows.start] + place - rows.start  # a line feed stands behind each
                found.append(text[until - lengths[place] : until])
    return found


class DayRows(NamedTuple):
    """The programmes of a day as columns of equal length, sorted by key, without what their elements say."""

    keys: Sequence[int]
    digests: Sequence[int]
    stops: Sequence[int]
    flags: Sequence[int]
    titles: Sequence[str]


class Texts(Protocol):
    """What the elements of a day say; asked for those alone that stand in no part that stays."""

    def elements(self, rows: slice) -> list[bytes]:
        """Elements as they are to be stored, a line feed behind each."""

    def in_file(self, rows: slice) -> InFile | None:
        """How these elements stand in the provider's file; None where that cannot be told."""


class OldDay:
    """A stored day, of which the next version takes over what it can."""

    def __init__(self, day: StoredDay, contents: Contents | None = None) -> None:
        """`contents`: those of the day, where somebody has unpacked them already."""
        self.contents = contents or day.contents
        self._parts = day.parts
        self._body = day.body

    @cached_property
    def _raws(self) -> dict[int, bytes]:
        return dict(zip(self.contents.keys, raws_of(self.contents, self._body), strict=True))

    def raw(self, key: int) -> bytes:
        """A stored element. Raises KeyError."""
        return self._raws[key]

    def placed(self) -> list[_Placed]:
        """Its parts in their order."""
        return _placed(self._parts, self._body, len(self.contents.keys))


def assembled(day: int, rows: DayRows, texts: Texts, old: OldDay | None = None) -> PackedDay:
    """A day ready to be stored; the parts of the `old` version that are still the same are not packed anew."""
    made, bodies, lengths = list[Part](), list[bytes](), list[int]()
    for fresh, kept in _runs(rows, old):
        if kept is not None and old is not None:
            made.append(kept.part)
            bodies.append(kept.body)
            lengths += old.contents.lengths[kept.rows]
            continue
        elements = texts.elements(fresh)
        body = deflated(b"".join(elements))
        made.append(Part(len(elements), len(body), texts.in_file(fresh)))
        bodies.append(body)
        lengths += [len(element) - 1 for element in elements]
    contents = contents_of(rows.keys, rows.digests, rows.stops, lengths, rows.flags)
    titles = "\0".join(rows.titles).encode("utf-8", "replace")
    return PackedDay(day, contents, titles, b"".join(bodies), packed_parts(made))


_Run = tuple[slice, _Placed | None]


def _runs(rows: DayRows, old: OldDay | None) -> list[_Run]:
    """The rows in the parts that they are to have; those of old parts that stay, and others."""
    whole = len(rows.keys)
    runs, at = list[_Run](), 0
    for first, placed in _staying(rows, old) if old else ():
        runs += _fresh(at, first)
        at = first + placed.part.programmes
        runs.append((slice(first, at), placed))
    runs += _fresh(at, whole)
    # Where edits have worn a day into crumbs it is packed anew, or it would never be packed well again.
    return runs if len(runs) <= 3 + 2 * whole // PART_ROWS else _fresh(0, whole)


def _fresh(first: int, end: int) -> list[_Run]:
    """Rows in parts of about the same size."""
    if first >= end:
        return []
    parts = round((end - first) / PART_ROWS) or 1
    bounds = [first + (end - first) * n // parts for n in range(parts + 1)]
    return [(slice(begin, until), None) for begin, until in pairwise(bounds)]


def _staying(rows: DayRows, old: OldDay) -> Iterator[tuple[int, _Placed]]:
    """The parts of the old day of which every programme is there as it was, and where each begins now."""
    keys, digests, stops = tuple(rows.keys), tuple(rows.digests), tuple(rows.stops)
    was, aligned = old.contents, keys == old.contents.keys  # as on most days: only words change
    place = {} if aligned else dict(zip(keys, count()))
    for placed in old.placed():
        then = placed.rows
        first = then.start if aligned else place.get(was.keys[then.start], -1)
        now = then if aligned else slice(first, first + placed.part.programmes)
        same = first >= 0 and digests[now] == was.digests[then] and stops[now] == was.stops[then]
        if same and (aligned or keys[now] == was.keys[then]):
            yield first, placed


class _Stored:
    """The elements of a stored day, some of them left out."""

    def __init__(self, old: OldDay, keys: Sequence[int]) -> None:
        self._old = old
        self._keys = keys

    def elements(self, rows: slice) -> list[bytes]:
        return [self._old.raw(key) + b"\n" for key in self._keys[rows]]

    def in_file(self, rows: slice) -> None:
        return None


def thinned(day: StoredDay, stays: Callable[[int, int], bool]) -> PackedDay | None:
    """A stored day with those programmes alone whose keys and stops say that they stay; None when none does."""
    old = OldDay(day)
    was = old.contents
    kept = [at for at, (key, stop) in enumerate(zip(was.keys, was.stops, strict=True)) if stays(key, stop)]
    if not kept:
        return None
    columns = (was.keys, was.digests, was.stops, was.flags)
    keys, digests, stops, flags = ([column[at] for at in kept] for column in columns)
    return assembled(day.day, DayRows(keys, digests, stops, flags, [UNREAD] * len(keys)), _Stored(old, keys), old)
