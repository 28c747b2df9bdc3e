"""Transport streams made packet by packet, numbered so that loss, doubling and order can be proved.

Every video packet carries its number (64 bit) at the end of its payload. A picture is `PICTURE_PACKETS` packets; every
`gop` pictures a keyframe comes with PAT and PMT before it and the random access indicator set.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

PACKET = 188
PMT_PID = 0x100
VIDEO_PID = 0x101
AUDIO_PID = 0x102
PICTURE_PACKETS = 20
_MARK = b"NUMB"


def packet(pid: int, payload: bytes, *, start: bool = False, counter: int = 0, random_access: bool = False) -> bytes:
    """One packet of 188 bytes, stuffed through the adaptation field as the standard asks."""
    head = bytes((0x47, (0x40 if start else 0) | pid >> 8, pid & 0xFF))
    room = 184 - len(payload)
    if room == 0 and not random_access:
        return head + bytes((0x10 | counter & 15,)) + payload
    flags = bytes((0x40 if random_access else 0,)) if room > 1 else b""
    field_bytes = bytes((room - 1,)) + flags + b"\xff" * (room - 1 - len(flags))
    return head + bytes((0x30 | counter & 15,)) + field_bytes + payload


def _filler(number: int, size: int) -> bytes:
    """Bytes that look like coded video: no pattern, sync bytes among them."""
    return random.Random(number).randbytes(size - 4) + b"\x47\x01\x00\x47" if size > 4 else b"\xff" * size


def _crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            crc = (crc << 1) ^ (0x04C11DB7 if (crc >> 31) ^ (byte >> bit & 1) else 0)
            crc &= 0xFFFFFFFF
    return struct.pack(">I", crc)


def section(table_id: int, body: bytes) -> bytes:
    """A PSI section with number 1, version 0 and its checksum."""
    size = 2 + 3 + len(body) + 4
    head = bytes((table_id, 0xB0 | size >> 8, size & 0xFF)) + b"\x00\x01\xc1\x00\x00"
    return head + body + _crc(head + body)


def table_packets(pid: int, data: bytes, counter: int = 0) -> list[bytes]:
    """A section in as many packets as it needs, the last filled with 0xFF as sections are."""
    data = b"\x00" + data
    data += b"\xff" * (-len(data) % 184)
    return [
        packet(pid, data[at : at + 184], start=at == 0, counter=counter + n)
        for n, at in enumerate(range(0, len(data), 184))
    ]


def pat(pmt_pid: int = PMT_PID, *, counter: int = 0) -> bytes:
    """Program 0 is the network's; program 1 is the one that counts."""
    return table_packets(0, section(0, struct.pack(">HHHH", 0, 0xE010, 1, 0xE000 | pmt_pid)), counter)[0]


def pmt(
    streams: tuple[tuple[int, int], ...] = ((0x1B, VIDEO_PID), (0x0F, AUDIO_PID)), *, descriptors: bytes = b""
) -> bytes:
    """The program map as a bare section."""
    body = struct.pack(">HH", 0xE000 | streams[0][1], 0xF000 | len(descriptors)) + descriptors
    for kind, pid in streams:
        body += struct.pack(">BHH", kind, 0xE000 | pid, 0xF000)
    return section(2, body)


@dataclass
class Numbered:
    """A stream without end; `number` is that of the next video packet."""

    gop: int = 5
    number: int = 0
    marks: bool = True
    video: bool = True
    counters: dict[int, int] = field(default_factory=dict)

    def _next(self, pid: int) -> int:
        self.counters[pid] = self.counters.get(pid, -1) + 1
        return self.counters[pid]

    def tables(self) -> bytes:
        streams = ((0x1B, VIDEO_PID), (0x0F, AUDIO_PID)) if self.video else ((0x0F, VIDEO_PID),)
        program_map = table_packets(PMT_PID, pmt(streams), self._next(PMT_PID))
        return pat(counter=self._next(0)) + b"".join(program_map)

    def picture(self) -> bytes:
        """The next picture; a keyframe with its tables whenever the group is full."""
        index = self.number // PICTURE_PACKETS
        key = index % self.gop == 0
        out = [self.tables()] if key else []
        for n in range(PICTURE_PACKETS):
            payload = struct.pack(">Q", self.number) + _MARK
            first = n == 0
            if first:
                payload = b"\x00\x00\x01\xe0\x00\x00\x80\x00\x00" + payload
            filler = 150 - len(payload)
            out.append(
                packet(
                    VIDEO_PID,
                    payload[: len(payload) - 12] + _filler(self.number, filler) + payload[-12:],
                    start=first,
                    counter=self._next(VIDEO_PID),
                    random_access=first and key and self.marks,
                )
            )
            self.number += 1
        return b"".join(out)

    def pictures(self, count: int) -> bytes:
        return b"".join(self.picture() for _ in range(count))


def packets(data: bytes) -> Iterator[bytes]:
    """The packets of `data`, which has to be aligned and whole."""
    assert len(data) % PACKET == 0, f"{len(data) % PACKET} bytes too many for whole packets"
    for at in range(0, len(data), PACKET):
        assert data[at] == 0x47, f"no sync byte at packet {at // PACKET}"
        yield data[at : at + PACKET]


def pid_of(one: bytes) -> int:
    return (one[1] & 0x1F) << 8 | one[2]


def numbers(data: bytes) -> list[int]:
    """The numbers of the video packets in `data`, in the order they came."""
    return [struct.unpack(">Q", one[-12:-4])[0] for one in packets(data) if one.endswith(_MARK)]


def is_keyframe(one: bytes) -> bool:
    return bool(one[3] & 0x20 and one[4] and one[5] & 0x40)


def starts_on_keyframe(data: bytes) -> bool:
    """True when `data` begins with PAT, PMT and a packet that is a random access point."""
    first = [data[at : at + PACKET] for at in range(0, 3 * PACKET, PACKET)]
    return [pid_of(one) for one in first] == [0, PMT_PID, VIDEO_PID] and is_keyframe(first[2])
