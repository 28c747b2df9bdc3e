"""A source's clock moved to where another one's ended, so that players see one time that goes on. Pure.

The standard lets clocks jump at a discontinuity, and decoders follow; players that keep a time line of their own (mpv,
pages with media source extensions) stand still or run wild when it jumps back. So the first picture of the new source
is put where the one after the last of the old belongs (a hole of two pictures is enough to stop a page), and everything
that follows is moved by as much: PTS, DTS and PCR. Sound that would then be played over the old source's is left out;
where that is much, or there is no picture, it is the sound that decides. Only packets that carry a stamp are looked at
closely, some dozens a second.
"""

from collections.abc import Iterator
from itertools import pairwise

from stream_service.relay.mpegts import PACKET_BYTES
from tvkit.mpegts_clock import CLOCK_WRAP, read_pcr_base, read_stamp, stamp_places, write_pcr_base, write_stamp

_PICTURE_TICKS = 3_600
"""A picture's time, at 25 a second, where the stream's own is not known."""
_OVERLAP_TICKS = 22_500
"""A quarter of a second: so much of the new sound may be left out."""
_TRIMMED_FEEDS = 30
"""For so many pieces of the new source is looked for sound that comes too early."""
_LONGEST_STEP = 45_000
_SLACK_TICKS = 90
_PICTURES = 0xE0
_HALF = CLOCK_WRAP // 2
_MARK = bytes((PACKET_BYTES - 5, 0x80)) + b"\xff" * (PACKET_BYTES - 6)
_STARTS = bytes(1 if value & 0x40 else 0 for value in range(256))
_FIELDS = bytes(1 if value & 0x20 else 0 for value in range(256))


class Reclock:
    """`behind`: the last packets of the old source, as players got them. Without stamps among them nothing is moved."""

    def __init__(self, behind: bytes) -> None:
        self._pictures, self._others = _by_kind(behind)
        self._shift: int | None = None
        self._trims = _TRIMMED_FEEDS if self._others else 0
        self._early: dict[int, bool] = {}
        """By PID of sound: whether its present unit is too early."""

    def feed(self, data: bytes) -> bytes:
        """The packets with their clocks moved; the very same when there is nothing to move."""
        if not (self._pictures or self._others):
            return data
        if self._shift is None:
            self._shift = self._found(*_by_kind(data))
            if self._shift is None:
                return data
        moved = bytearray(data)
        for at, places in _stamps(data):
            for place in places:
                write_stamp(moved, at + place, read_stamp(data, at + place) + self._shift)
        for at in _references(data):
            write_pcr_base(moved, at + 6, read_pcr_base(data, at + 6) + self._shift)
        if self._trims:
            self._trims -= 1
            self._trim(moved)
        return bytes(moved)

    def _trim(self, data: bytearray) -> None:
        """Take units of sound that begin before the old sound has ended out; each packet becomes a mark of its place.

        A mark has no payload and the indicator of a discontinuity, so the counter of what follows it holds.
        """
        ended = _end_of(self._others, 0)
        stamped = dict(_stamps(bytes(data)))
        for at in range(0, len(data), PACKET_BYTES):
            pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            places = stamped.get(at)
            if places is not None:
                payload = at + (5 + data[at + 4] if data[at + 3] & 0x20 else 4)
                if data[payload + 3] & 0xF0 != _PICTURES:
                    self._early[pid] = _after(read_stamp(data, at + places[-1]), ended) < -_SLACK_TICKS
            if self._early.get(pid):
                data[at + 1] &= 0x1F
                data[at + 3] = 0x20 | data[at + 3] & 0x0F
                data[at + 4 : at + PACKET_BYTES] = _MARK

    def _found(self, pictures: list[int], others: list[int]) -> int | None:
        """By how much the clock is moved; None while nothing tells."""
        by_sound = _distance(self._others, others)
        if self._pictures and pictures:
            by_picture = _distance(self._pictures, pictures) or 0
            late = by_sound is not None and _after(by_sound, by_picture) > _OVERLAP_TICKS
            return by_sound if late else by_picture
        if self._pictures or pictures:
            return _distance(self._pictures + self._others, pictures + others)
        return by_sound


def decoding_times(data: bytes) -> list[int]:
    """When each unit that begins in these packets is to be decoded, in 90 kHz: its DTS, or its PTS without one."""
    return [read_stamp(data, at + places[-1]) for at, places in _stamps(data)]


def _stamps(data: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Packets in which a unit with stamps begins: where each stands, and its stamps within it (PTS, then DTS)."""
    starts = data[1::PACKET_BYTES].translate(_STARTS)
    number = starts.find(1)
    while number >= 0:
        at = number * PACKET_BYTES
        payload = 5 + data[at + 4] if data[at + 3] & 0x20 else 4
        if data[at + 3] & 0x10 and payload < PACKET_BYTES:
            places = stamp_places(data[at + payload : at + PACKET_BYTES])
            if places:
                yield at, tuple(payload + place for place in places)
        number = starts.find(1, number + 1)


def _references(data: bytes) -> Iterator[int]:
    """Packets that carry a clock reference."""
    fields = data[3::PACKET_BYTES].translate(_FIELDS)
    number = fields.find(1)
    while number >= 0:
        at = number * PACKET_BYTES
        if data[at + 4] >= 7 and data[at + 5] & 0x10:
            yield at
        number = fields.find(1, number + 1)


def _by_kind(data: bytes) -> tuple[list[int], list[int]]:
    """The decoding times of pictures (stream ids 0xE0 to 0xEF), and those of everything else."""
    pictures: list[int] = []
    others: list[int] = []
    for at, places in _stamps(data):
        payload = at + (5 + data[at + 4] if data[at + 3] & 0x20 else 4)
        kind = pictures if data[payload + 3] & 0xF0 == _PICTURES else others
        kind.append(read_stamp(data, at + places[-1]))
    return pictures, others


def _distance(before: list[int], after: list[int]) -> int | None:
    """From the first of `after` to where it belongs behind the last of `before`; None when one of them is empty."""
    if not before or not after:
        return None
    first = min(after, key=lambda one: _after(one, after[0]))
    return (_end_of(before, _PICTURE_TICKS) - first) % CLOCK_WRAP


def _end_of(times: list[int], usual: int) -> int:
    """When the last of these units has been played: the usual step is theirs, `usual` where they tell none."""
    last = max(times, key=lambda one: _after(one, times[0]))
    steps = sorted(step for one, other in pairwise(times) if 0 < (step := _after(other, one)) < _LONGEST_STEP)
    return last + (steps[len(steps) // 2] if steps else usual)


def _after(one: int, other: int) -> int:
    """How far `one` lies behind `other` (negative: before it), the shorter way round."""
    return (one - other + _HALF) % CLOCK_WRAP - _HALF
