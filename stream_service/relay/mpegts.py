"""MPEG transport streams: packets found in a flow of bytes, tables kept, places known where a decoder can start.

Pure. Layout after ISO/IEC 13818-1: packets of 188 bytes (2.4.3.2), adaptation field with the random access indicator
(2.4.3.4), program association and program map tables (2.4.4).

The scan is made for the hot path: three calls that run in C over a whole read (every 188th byte is a sync byte; every
second header byte translated to "a payload unit starts here"; find). Python looks only at packets that start a unit,
about thirty a second, which costs 41 us per MB.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PACKET_BYTES = 188
SYNC = 0x47
SYNC_SPAN_BYTES = 2 * PACKET_BYTES
"""Three sync bytes in step, this far from first to last, are a transport stream; one or two happen by chance."""
NULL_PID = 0x1FFF

_UNIT_STARTS = bytes(1 if second & 0x40 else 0 for second in range(256))
_PAT_PID = 0
_PAT_TABLE = 0x00
_PMT_TABLE = 0x02
_VIDEO_TYPES = frozenset({0x01, 0x02, 0x10, 0x1B, 0x1E, 0x1F, 0x20, 0x21, 0x24, 0x33, 0x42, 0xD1, 0xD2, 0xEA})
_MAX_TABLE_PACKETS = 8


@dataclass(frozen=True, slots=True)
class Program:
    """What PAT and PMT say of the first program. `section` is the PMT's, with its checksum.

    `streams`: (PID, stream type) in the order of the map.
    """

    pat: bytes
    pmt_pid: int
    clock_pid: int
    streams: tuple[tuple[int, int], ...]
    section: bytes

    @property
    def version(self) -> int:
        """The PMT's version, 0 to 31."""
        return self.section[5] >> 1 & 0x1F


@dataclass(frozen=True, slots=True)
class Blob:
    """Whole packets of one read, in one object that all clients are sent from.

    `starts`: byte offsets of packets where a decoder can start, each with the tables (PAT and PMT packets) in force
    there. `tables`: those in force at the end.
    """

    data: bytes
    starts: tuple[tuple[int, bytes], ...]
    tables: bytes


class Scanner:
    """Turns the bytes of one connection into blobs. One per connection; `feed` is its only door."""

    def __init__(self) -> None:
        self.locked = False
        """In step with the packets."""
        self.junk_bytes = 0
        """Bytes left out because they were no packets."""
        self.tables = b""
        """The newest PAT and PMT, as packets ready to send; empty until both were seen."""
        self.video_pid: int | None = None
        """The program's video stream; None until its PMT came, or when it has none (radio)."""
        self._rest = b""
        self._pat = b""
        self._pmt = b""
        self._pmt_pid: int | None = None

    @property
    def without_video(self) -> bool:
        """True when the program map came and names no video: no keyframe will ever come."""
        return bool(self._pmt) and self.video_pid is None

    def feed(self, view: memoryview | bytes) -> Blob | None:
        """The packets that `view` completes, or None. What completes none is kept; junk is counted and left out."""
        if self.locked:
            end = (len(self._rest) + len(view)) // PACKET_BYTES * PACKET_BYTES
            if not end:
                self._rest += bytes(view)
                return None
            cut = end - len(self._rest)
            data = b"".join((self._rest, view[:cut]))
            if data[::PACKET_BYTES].count(SYNC) * PACKET_BYTES == end:
                self._rest = bytes(view[cut:])
                return self._scan(data)
        data = self._align(b"".join((self._rest, view)))
        return self._scan(data) if data else None

    def _align(self, data: bytes) -> bytes:
        """The packets of `data` that stand in step; what follows them is kept, everything else is junk."""
        self.locked = False
        runs: list[bytes] = []
        at = 0
        while (start := find_sync(data, at)) >= 0:
            self.junk_bytes += start - at
            marks = data[start::PACKET_BYTES]
            in_step = len(marks) - len(marks.lstrip(b"\x47"))
            if in_step == len(marks):
                end = start + (len(data) - start) // PACKET_BYTES * PACKET_BYTES
                self._rest = data[end:]
                self.locked = True
                return b"".join((*runs, data[start:end]))
            end = start + (in_step - 1) * PACKET_BYTES  # the packet before the break is the damaged one
            runs.append(data[start:end])
            at = end
        keep = max(at, len(data) - SYNC_SPAN_BYTES - 3)
        self.junk_bytes += keep - at
        self._rest = data[keep:]
        return b"".join(runs)

    def _scan(self, data: bytes) -> Blob:
        starts: list[tuple[int, bytes]] = []
        unit_starts = data[1::PACKET_BYTES].translate(_UNIT_STARTS)
        found = unit_starts.find(1)
        while found >= 0:
            at = found * PACKET_BYTES
            pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            if pid == _PAT_PID:
                self._take_pat(data, at)
            elif pid == self._pmt_pid:
                self._take_pmt(data, at)
            elif pid == self.video_pid and _is_random_access(data, at):
                starts.append((at, self.tables))
            found = unit_starts.find(1, found + 1)
        return Blob(data, tuple(starts), self.tables)

    def _take_pat(self, data: bytes, at: int) -> None:
        if len(self._pat) == PACKET_BYTES and data[at + 4 : at + PACKET_BYTES] == self._pat[4:]:
            self._pat = data[at : at + PACKET_BYTES]  # the same table, its counter as a joiner has to find it
            self.tables = self._pat + self._pmt if self._pmt else b""
            return
        found = read_table(data, at, _PAT_TABLE)
        if found is None:
            return
        packets, section = found
        pid = first_program_map_pid(section)
        if pid is None:
            return
        self._pat = packets
        if pid != self._pmt_pid:
            self._pmt_pid, self._pmt, self.video_pid = pid, b"", None
        self.tables = self._pat + self._pmt if self._pmt else b""

    def _take_pmt(self, data: bytes, at: int) -> None:
        if len(self._pmt) == PACKET_BYTES and data[at + 4 : at + PACKET_BYTES] == self._pmt[4:]:
            self._pmt = data[at : at + PACKET_BYTES]
            self.tables = self._pat + self._pmt
            return
        found = read_table(data, at, _PMT_TABLE)
        if found is None:
            return
        self._pmt, section = found
        self.video_pid = video_pid(section)
        self.tables = self._pat + self._pmt


def find_sync(data: bytes, at: int) -> int:
    """The first offset from `at` on with a packet header there, 188 and 376 bytes further; -1 when there is none.

    The fourth byte of a header never says "neither payload nor adaptation field" (reserved), which tells headers
    from payloads that are full of sync bytes.
    """
    last = len(data) - SYNC_SPAN_BYTES - 3
    found = data.find(b"\x47", at)
    while 0 <= found < last:
        if all(
            data[place] == SYNC and data[place + 3] & 0x30
            for place in range(found, found + SYNC_SPAN_BYTES + 1, PACKET_BYTES)
        ):
            return found
        found = data.find(b"\x47", found + 1)
    return -1


def read_table(data: bytes, at: int, table_id: int) -> tuple[bytes, bytes] | None:
    """The packets that carry the section which starts in the packet at `at`, and the section itself.

    None when it is of another table, broken, or not complete in `data` (its next repetition is as good).
    """
    packets = [data[at : at + PACKET_BYTES]]
    payload = _payload(packets[0])
    if not payload or len(payload) < payload[0] + 4:
        return None
    section = payload[payload[0] + 1 :]
    if section[0] != table_id:
        return None
    size = 3 + ((section[1] & 0x0F) << 8 | section[2])
    further = _same_pid_after(data, at)
    while len(section) < size and len(packets) < _MAX_TABLE_PACKETS:
        following = next(further, None)
        if following is None:
            return None
        packets.append(following)
        section += _payload(following)
    return (b"".join(packets), section[:size]) if len(section) >= size else None


def first_program_map_pid(section: bytes) -> int | None:
    """The PID of the first program's map in a PAT section (program number 0 is the network's, not a program)."""
    for at in range(8, len(section) - 4 - 3, 4):
        if section[at] or section[at + 1]:
            return (section[at + 2] & 0x1F) << 8 | section[at + 3]
    return None


def video_pid(section: bytes) -> int | None:
    """The PID of the first video stream in a PMT section, None without one."""
    return next((pid for pid, kind, _ in streams_of(section) if kind in _VIDEO_TYPES), None)


def streams_of(section: bytes) -> Iterator[tuple[int, int, int]]:
    """(PID, stream type, place of the entry) of each stream in a PMT section."""
    if len(section) < 12:
        return
    at = 12 + ((section[10] & 0x0F) << 8 | section[11])
    while at + 5 <= len(section) - 4:
        yield (section[at + 1] & 0x1F) << 8 | section[at + 2], section[at], at
        at += 5 + ((section[at + 3] & 0x0F) << 8 | section[at + 4])


def program_of(tables: bytes) -> Program | None:
    """What `Scanner.tables` says; None when it is empty or broken."""
    pat = read_table(tables, 0, _PAT_TABLE) if tables else None
    if pat is None:
        return None
    packets, section = pat
    pmt_pid = first_program_map_pid(section)
    found = read_table(tables, len(packets), _PMT_TABLE) if len(tables) > len(packets) else None
    if found is None or pmt_pid is None or len(found[1]) < 12:
        return None
    map_section = found[1]
    clock_pid = (map_section[8] & 0x1F) << 8 | map_section[9]
    streams = tuple((pid, kind) for pid, kind, _ in streams_of(map_section))
    return Program(packets, pmt_pid, clock_pid, streams, map_section)


def moved_section(section: bytes, pids: Mapping[int, int], version: int) -> bytes:
    """A PMT section with other PIDs, another version, and the checksum that belongs to it."""
    new = bytearray(section)
    new[5] = section[5] & 0xC1 | version << 1
    places = [(8, (section[8] & 0x1F) << 8 | section[9]), *((at + 1, pid) for pid, _, at in streams_of(section))]
    for at, pid in places:
        moved = pids.get(pid, pid)
        new[at] = new[at] & 0xE0 | moved >> 8
        new[at + 1] = moved & 0xFF
    new[-4:] = crc32(new[:-4]).to_bytes(4, "big")
    return bytes(new)


def section_packets(pid: int, section: bytes) -> list[bytes]:
    """The section in as many packets as it needs, counters from 0."""
    data = b"\x00" + section
    data += b"\xff" * (-len(data) % (PACKET_BYTES - 4))
    pieces = [data[at : at + PACKET_BYTES - 4] for at in range(0, len(data), PACKET_BYTES - 4)]
    return [
        bytes((SYNC, (0 if n else 0x40) | pid >> 8, pid & 0xFF, 0x10 | n & 0x0F)) + piece
        for n, piece in enumerate(pieces)
    ]


def crc32(data: bytes | bytearray) -> int:
    """The checksum of sections (ISO/IEC 13818-1, annex A)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
    return crc


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


def _is_random_access(data: bytes, at: int) -> bool:
    return bool(data[at + 3] & 0x20 and data[at + 4] and data[at + 5] & 0x40)


def _payload(packet: bytes) -> bytes:
    control = packet[3] >> 4 & 3
    if control == 1:
        return packet[4:]
    if control == 3:
        return packet[5 + packet[4] :]
    return b""


def _same_pid_after(data: bytes, at: int) -> Iterator[bytes]:
    """The packets behind the one at `at` that continue its PID, until one of them starts a new unit."""
    pid = (data[at + 1] & 0x1F, data[at + 2])
    for next_at in range(at + PACKET_BYTES, len(data), PACKET_BYTES):
        if (data[next_at + 1] & 0x1F, data[next_at + 2]) == pid:
            if data[next_at + 1] & 0x40:
                return
            yield data[next_at : next_at + PACKET_BYTES]


_SIGNS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"#extm3u",), "an HLS or M3U playlist"),
    ((b"<!doctype html", b"<html", b"<head", b"<body"), "a web page (HTML)"),
    ((b"<?xml",), "an XML document"),
    ((b"{", b"["), "JSON text"),
    ((b"flv\x01",), "an FLV stream"),
    ((b"\x1a\x45\xdf\xa3",), "a Matroska or WebM file"),
    ((b"oggs",), "an Ogg stream"),
    ((b"id3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf1", b"\xff\xf9"), "bare audio (MP3 or AAC)"),
)


def other_content(head: bytes) -> str | None:
    """What the first bytes of an answer say it is, when that is plainly no transport stream; else None.

    Text that merely stands before the packets (a script's warning) is not judged: the packets may follow.
    """
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:32].lower()
    if start[4:8] == b"ftyp":
        return "an MP4 file"
    return next((what for signs, what in _SIGNS if start.startswith(signs)), None)
