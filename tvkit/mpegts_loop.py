"""A recorded MPEG transport stream as an endless one: on each lap the clocks and counters go on rising.

Pure: bytes in, bytes out, no clock of its own. A file that is simply sent again jumps back in time at the seam and
players stall or skip; here every PTS, DTS and PCR of lap n is n durations later and every continuity counter goes on
where the lap before ended (ISO/IEC 13818-1, 2.4.3.3 to 2.4.3.7).
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from tvkit.mpegts_clock import (
    CLOCK_WRAP,
    TICKS_PER_S,
    read_pcr_base,
    read_stamp,
    stamp_places,
    write_pcr_base,
    write_stamp,
)

__all__ = ["TICKS_PER_S", "LoopedStream", "Piece"]

PACKET_BYTES = 188
_SYNC = 0x47
_PAT_PID = 0x0000
_NULL_PID = 0x1FFF


@dataclass(frozen=True, slots=True)
class _Packet:
    """One packet's fields that matter here; `stamps` and `pcrs` are byte positions inside the packet."""

    pid: int
    counts: bool  # carries payload, so its continuity counter advances
    starts_unit: bool
    keyframe: bool
    stamps: tuple[int, ...] = ()
    pcrs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A place to join: a keyframe's packet, and the tables that a newcomer needs before it."""

    packet: int
    tables: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Packets to be sent at once when the stream's clock shows `due_ticks` (90 kHz, from the start of lap 0)."""

    due_ticks: int
    data: bytes


@dataclass(slots=True)
class _Layout:
    """What one pass over the file finds."""

    packets: list[_Packet] = field(default_factory=list)
    clock: list[tuple[int, int]] = field(default_factory=list)  # (packet index, PCR base)
    decoding_ticks: list[int] = field(default_factory=list)  # DTS of every picture
    entries: list[_Entry] = field(default_factory=list)
    per_lap: Counter[int] = field(default_factory=Counter)  # PID -> counted packets


class LoopedStream:
    """An endless stream made of one recording.

    The recording: whole 188-byte packets, one programme, pictures evenly spaced and without reordering gaps at the
    seam, sound exactly as long as the pictures (`media/make.sh` makes such files). Raises ValueError, saying what is
    wrong, when the file is no transport stream or its pictures are not evenly spaced.
    """

    def __init__(self, recording: bytes) -> None:
        self._data = recording
        layout = _read_layout(recording)
        self._packets = layout.packets
        self._per_lap = layout.per_lap
        self._entries = layout.entries
        self.duration_ticks = _duration(layout.decoding_ticks)
        first_clock = layout.clock[0][1]
        # The tables ahead of the first PCR belong to its piece.
        self._starts = [0, *(index for index, _ in layout.clock[1:])]
        self._dues = [(base - first_clock) % CLOCK_WRAP for _, base in layout.clock]

    def pieces(self, from_ticks: int, *, later_ticks: int = 0) -> Iterator[Piece]:
        """Yield the endless stream from the newest place to join at or before `from_ticks` (90 kHz, not negative).

        `later_ticks` is added to every clock and stamp (not to `due_ticks`), so that the stream can follow another.
        """
        lap, within = divmod(from_ticks, self.duration_ticks)
        entry, number = self._entry_before(within)
        tables = b"".join(self._rewritten(index, index + 1, lap, later_ticks) for index in entry.tables)
        first = entry.packet
        while True:
            end = self._starts[number + 1] if number + 1 < len(self._starts) else len(self._packets)
            data = tables + self._rewritten(first, end, lap, later_ticks)
            yield Piece(lap * self.duration_ticks + self._dues[number], data)
            tables, first, number = b"", end, number + 1
            if number == len(self._starts):
                lap, number, first = lap + 1, 0, 0

    def _entry_before(self, within_ticks: int) -> tuple[_Entry, int]:
        """Return the newest entry due by `within_ticks` of a lap, and the number of the piece that it lies in."""
        found = self._entries[0]
        for entry in self._entries:
            number = bisect_right(self._starts, entry.packet) - 1
            if self._dues[number] > within_ticks:
                break
            found = entry
        return found, bisect_right(self._starts, found.packet) - 1

    def _rewritten(self, first: int, end: int, lap: int, later_ticks: int) -> bytes:
        """Return packets `first` up to `end` as they are on the given lap, so much later."""
        data = bytearray(self._data[first * PACKET_BYTES : end * PACKET_BYTES])
        shift = lap * self.duration_ticks + later_ticks
        for index in range(first, end):
            packet, at = self._packets[index], (index - first) * PACKET_BYTES
            flags_and_counter = data[at + 3]
            counter = (flags_and_counter + lap * self._per_lap[packet.pid]) & 0x0F
            data[at + 3] = (flags_and_counter & 0xF0) | counter
            for place in packet.stamps:
                write_stamp(data, at + place, read_stamp(data, at + place) + shift)
            for place in packet.pcrs:
                write_pcr_base(data, at + place, read_pcr_base(data, at + place) + shift)
        return bytes(data)


def _read_layout(recording: bytes) -> _Layout:
    """Find packets, clocks, picture times and places to join; raise ValueError for what cannot be looped."""
    if not recording or len(recording) % PACKET_BYTES:
        raise ValueError(f"not whole transport packets: {len(recording)} bytes is no multiple of {PACKET_BYTES}")
    layout = _Layout()
    clock_pid: int | None = None
    tables: dict[int, int] = {}  # PID -> newest packet index of PAT and PMT
    for index in range(len(recording) // PACKET_BYTES):
        packet = _read_packet(recording, index * PACKET_BYTES)
        layout.packets.append(packet)
        if packet.counts and packet.pid != _NULL_PID:
            layout.per_lap[packet.pid] += 1
        if packet.pid == _PAT_PID or _is_pmt(recording, index * PACKET_BYTES, packet):
            tables[packet.pid] = index
        if packet.pcrs:
            clock_pid = packet.pid if clock_pid is None else clock_pid
            layout.clock.append((index, read_pcr_base(recording, index * PACKET_BYTES + packet.pcrs[0])))
        if packet.pid == clock_pid and packet.stamps:
            layout.decoding_ticks.append(read_stamp(recording, index * PACKET_BYTES + packet.stamps[-1]))
        if packet.pid == clock_pid and packet.keyframe and packet.pcrs:
            layout.entries.append(_Entry(index, tuple(sorted(tables.values()))))
    if not layout.entries:
        raise ValueError("no keyframe that carries a clock: nowhere to join")
    return layout


def _read_packet(data: bytes, at: int) -> _Packet:
    """Read the header, the adaptation field and, if one starts here, the PES header of the packet at byte `at`."""
    if data[at] != _SYNC:
        raise ValueError(f"no sync byte at byte {at}")
    pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
    starts_unit = bool(data[at + 1] & 0x40)
    has_field, has_payload = bool(data[at + 3] & 0x20), bool(data[at + 3] & 0x10)
    payload, keyframe, pcrs = 4, False, []
    if has_field:
        payload = 5 + data[at + 4]
        flags = data[at + 5] if data[at + 4] else 0
        keyframe = bool(flags & 0x40)
        pcrs = [6 + 6 * n for n in range((flags >> 4 & 1) + (flags >> 3 & 1))]  # PCR, then the original PCR
    stamps = stamp_places(data[at + payload : at + PACKET_BYTES]) if has_payload and starts_unit else ()
    return _Packet(pid, has_payload, starts_unit, keyframe, tuple(payload + place for place in stamps), tuple(pcrs))


def _is_pmt(data: bytes, at: int, packet: _Packet) -> bool:
    """Tell whether a section with the table id of a programme map (2) starts in this packet."""
    if not (packet.starts_unit and packet.counts) or packet.stamps:
        return False
    payload = 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
    section = payload + 1 + data[at + payload]  # after the pointer field
    return (
        section < PACKET_BYTES and data[at + payload : at + payload + 3] != b"\x00\x00\x01" and data[at + section] == 2
    )


def _duration(decoding_ticks: list[int]) -> int:
    """Return pictures x spacing: what one lap lasts, the step over the seam included."""
    steps = {(after - before) % CLOCK_WRAP for before, after in pairwise(decoding_ticks)}
    if len(steps) != 1:
        raise ValueError(f"pictures are not evenly spaced: steps of {sorted(steps)[:5]} ticks")
    return len(decoding_ticks) * steps.pop()
