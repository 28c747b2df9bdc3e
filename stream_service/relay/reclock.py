"""A source's clock moved to where another one's ended, so that players see one time that goes on. Pure.

The standard lets clocks jump at a discontinuity, and decoders follow; players that keep a time line of their own (mpv,
pages with media source extensions) stand still or run wild when it jumps back. So the first stamp of the new source is
put right behind the last one of the old, and everything that follows is moved by as much: PTS, DTS and PCR. Only
packets that carry one of them are looked at closely, some dozens a second.
"""

from collections.abc import Iterator

from stream_service.relay.mpegts import PACKET_BYTES
from tvkit.mpegts_clock import CLOCK_WRAP, read_pcr_base, read_stamp, stamp_places, write_pcr_base, write_stamp

_PICTURE_TICKS = 3_600
"""A picture's time, at 25 a second: what lies between the last stamp of the old and the first of the new."""
_HALF = CLOCK_WRAP // 2
_STARTS = bytes(1 if value & 0x40 else 0 for value in range(256))
_FIELDS = bytes(1 if value & 0x20 else 0 for value in range(256))


class Reclock:
    """`behind`: the last packets of the old source, as players got them. Without stamps among them nothing is moved."""

    def __init__(self, behind: bytes) -> None:
        self._last = _latest(decoding_times(behind))
        self._shift: int | None = None

    def feed(self, data: bytes) -> bytes:
        """The packets with their clocks moved; the very same when there is nothing to move."""
        if self._last is None:
            return data
        if self._shift is None:
            first = _earliest(decoding_times(data))
            if first is None:
                return data
            self._shift = (self._last + _PICTURE_TICKS - first) % CLOCK_WRAP
        if not self._shift:
            return data
        moved = bytearray(data)
        for at, places in _stamps(data):
            for place in places:
                write_stamp(moved, at + place, read_stamp(data, at + place) + self._shift)
        for at in _references(data):
            write_pcr_base(moved, at + 6, read_pcr_base(data, at + 6) + self._shift)
        return bytes(moved)


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


def _latest(times: list[int]) -> int | None:
    """The last one on a clock that may have wrapped among them."""
    return max(times, key=lambda one: _after(one, times[0]), default=None)


def _earliest(times: list[int]) -> int | None:
    return min(times, key=lambda one: _after(one, times[0]), default=None)


def _after(one: int, other: int) -> int:
    """How far `one` lies behind `other` (negative: before it), the shorter way round."""
    return (one - other + _HALF) % CLOCK_WRAP - _HALF
