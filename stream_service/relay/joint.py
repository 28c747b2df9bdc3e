"""Where one source ends and the next begins: a stream that decoders follow from the one to the other.

Pure. What a joint does with the packets of the source that follows (ISO/IEC 13818-1, 2.4.3.4, 2.4.4):

- It begins with the tables, and with the first place where a decoder can start, if the first packets hold one.
- Before the first packet of every PID goes one of ours without payload: it carries the discontinuity indicator, which
  allows counter and clock to jump, and the counter that the packet behind it continues.
- A new source's streams take over the PIDs of the old one's, as far as their types agree, so that a player which chose
  its streams once (ffmpeg for instance) goes on with them. The tables are then ours: the old PAT, and the new PMT with
  moved PIDs and the next version.
- Its clock goes on from the old one's (`reclock`).

A source with the same tables and no clock to move passes untouched once every PID was seen.
"""

from dataclasses import replace
from itertools import chain

from stream_service.relay.mpegts import (
    NULL_PID,
    PACKET_BYTES,
    SYNC,
    Blob,
    Program,
    moved_section,
    program_of,
    section_packets,
)
from stream_service.relay.reclock import Reclock

_FIRST_FREE_PID = 0x0F00
_UNSEEN_PACKETS = 40_000
"""After so many packets no more is waited for PIDs that are in the tables but do not come."""


class Joint:
    """One source behind another. `feed` is its only door.

    `before`: the program that viewers follow. `behind`: the last packets they got, when the clock is to go on from
    them.
    """

    def __init__(self, before: Program | None, *, behind: bytes = b"") -> None:
        self._open = False
        self._reclock = Reclock(behind) if behind else None
        self._before = before
        self._pids: dict[int, int] = {}
        self._blocked: frozenset[int] = frozenset()
        self._tables = b""
        self._tables_of: bytes | None = None
        self._ours: tuple[bytes, list[bytes]] | None = None
        self._source_map_pid: int | None = None
        self._counters: dict[int, int] = {}
        self._unmarked: set[int] = set()
        self._passed = 0

    def feed(self, blob: Blob) -> Blob:
        """What goes out for `blob`: the very same once all is settled."""
        joined = self._joined(blob)
        return joined if self._reclock is None else replace(joined, data=self._reclock.feed(joined.data))

    def _joined(self, blob: Blob) -> Blob:
        if not self._open:
            self._open = True
            first, tables = blob.starts[0] if blob.starts else (0, blob.tables)
            self._learn(tables)
            self._unmarked = {0, *self._pids}
            return self._rewritten(blob, first, self._opening())
        if blob.tables != self._tables_of:
            self._learn(blob.tables)
        if self._ours is None and not self._unmarked:
            return blob
        return self._rewritten(blob, 0, b"")

    def _learn(self, tables: bytes) -> None:
        """Plan for the new source's tables: which PID becomes which, and whether the tables have to be ours."""
        self._tables_of = self._tables = tables
        self._ours = None
        program, before = program_of(tables), self._before
        if program is None:
            self._pids, self._blocked = {}, frozenset()
            return
        self._source_map_pid = program.pmt_pid
        self._pids = _taken_over(before, program) if before else {pid: pid for pid in _pids_of(program)}
        self._blocked = frozenset(self._pids.values()) - frozenset(self._pids)
        if before is None or (program.pat[4:], program.section) == (before.pat[4:], before.section):
            return
        section = moved_section(program.section, self._pids, before.version)
        if section != before.section:
            section = moved_section(program.section, self._pids, (before.version + 1) % 32)
        maps = section_packets(before.pmt_pid, section)
        self._ours = (before.pat, maps)
        self._tables = before.pat + b"".join(maps)

    def _opening(self) -> bytes:
        """The tables that every viewer gets before the first packet of the new source."""
        if not self._tables:
            return b""
        tables = b"".join((self._our_pat(), *self._our_maps())) if self._ours is not None else self._tables
        out: list[bytes] = []
        seen: set[int] = set()
        for at in range(0, len(tables), PACKET_BYTES):
            packet = tables[at : at + PACKET_BYTES]
            pid = (packet[1] & 0x1F) << 8 | packet[2]
            if pid not in seen:
                out.append(_mark(pid, packet[3] - 1))
                seen.add(pid)
            out.append(packet)
        return b"".join(out)

    def _our_pat(self) -> bytes:
        return b"".join(self._counted(0, self._ours[0][at:at + PACKET_BYTES])
                        for at in range(0, len(self._ours[0]), PACKET_BYTES)) if self._ours else b""  # fmt: skip

    def _our_maps(self) -> list[bytes]:
        if self._ours is None or self._before is None:
            return []
        return [self._counted(self._before.pmt_pid, one) for one in self._ours[1]]

    def _counted(self, pid: int, packet: bytes) -> bytes:
        counter = self._counters[pid] = (self._counters.get(pid, packet[3] - 1) + 1) & 0x0F
        return packet[:3] + bytes((packet[3] & 0xF0 | counter,)) + packet[4:]

    def _rewritten(self, blob: Blob, first: int, opening: bytes) -> Blob:
        data = blob.data
        out = [opening]
        size = len(opening)
        starts: list[tuple[int, bytes]] = []
        marked = dict(blob.starts)
        for at in range(first, len(data), PACKET_BYTES):
            packet = data[at : at + PACKET_BYTES]
            for one in self._passed_on(packet):
                if at in marked and one[3] & 0x10:
                    starts.append((size, self._tables))
                out.append(one)
                size += len(one)
        self._passed += len(data) // PACKET_BYTES
        if self._passed > _UNSEEN_PACKETS:
            self._unmarked.clear()
        return Blob(b"".join(out), tuple(starts), self._tables)

    def _passed_on(self, packet: bytes) -> list[bytes]:
        """What goes out for one packet: nothing, the packet, or more than it."""
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        if self._ours is not None and pid in (0, self._source_map_pid):
            self._unmarked.discard(pid)
            if not packet[1] & 0x40:
                return []
            return [self._our_pat()] if pid == 0 else self._our_maps()
        new = self._pids.get(pid, pid)
        if new == pid and pid in self._blocked:
            return []
        if new != pid:
            packet = bytes((SYNC, packet[1] & 0xE0 | new >> 8, new & 0xFF)) + packet[3:]
        if pid in self._unmarked:
            self._unmarked.discard(pid)
            return [_mark(new, packet[3] - (1 if packet[3] & 0x10 else 0)), packet]
        return [packet]


def _mark(pid: int, counter: int) -> bytes:
    """A packet without payload that carries the discontinuity indicator."""
    head = bytes((SYNC, pid >> 8, pid & 0xFF, 0x20 | counter & 0x0F, PACKET_BYTES - 5, 0x80))
    return head + b"\xff" * (PACKET_BYTES - len(head))


def _pids_of(program: Program) -> list[int]:
    clock = [program.clock_pid] if program.clock_pid != NULL_PID else []
    return list(dict.fromkeys((program.pmt_pid, *(pid for pid, _ in program.streams), *clock)))


def _taken_over(before: Program, program: Program) -> dict[int, int]:
    """Which PID of `program` takes which one of `before`: streams of a type in their order, the rest where room is."""
    taken = {program.pmt_pid: before.pmt_pid}
    left = list(before.streams)
    for pid, kind in program.streams:
        match = next((one for one in left if one[1] == kind), None)
        if match is not None:
            left.remove(match)
            taken[pid] = match[0]
    reserved = set(chain(_pids_of(before), taken.values()))
    for pid in _pids_of(program):
        if pid not in taken:
            taken[pid] = pid if pid not in reserved else _free(reserved)
            reserved.add(taken[pid])
    return taken


def _free(reserved: set[int]) -> int:
    return next(pid for pid in range(_FIRST_FREE_PID, NULL_PID) if pid not in reserved)
