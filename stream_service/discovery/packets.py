"""HDHomeRun's packets (libhdhomerun, `hdhomerun_pkt.h`): type, length, tagged values, CRC. Pure.

type (2 bytes, big-endian), length of the values (2), values, CRC-32 of all before it (4, little-endian)
a value: tag (1), length (1, or 2 from 128 on), that many bytes
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

DISCOVER_REQUEST, DISCOVER_REPLY = 2, 3
GETSET_REQUEST, GETSET_REPLY = 4, 5
DEVICE_TYPE, DEVICE_ID = 0x01, 0x02
GETSET_NAME, GETSET_VALUE, ERROR_MESSAGE = 0x03, 0x04, 0x05
TUNER_COUNT, LINEUP_URL, BASE_URL, DEVICE_AUTH, MULTI_TYPE = 0x10, 0x27, 0x2A, 0x2B, 0x2D
TUNER_TYPE = 1
ANY = 0xFFFFFFFF
MAX_BYTES = 1460
HEAD_BYTES = 4
CRC_BYTES = 4
_LONG = 0x80

Values = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that was whole."""

    kind: int
    values: Values

    def value(self, tag: int) -> bytes | None:
        """The first value of a tag."""
        return next((value for found, value in self.values if found == tag), None)

    def number(self, tag: int, default: int) -> int:
        """The first value of a tag as a number of four bytes; the default when it has none, or of another size."""
        value = self.value(tag)
        return default if value is None or len(value) != 4 else int.from_bytes(value, "big")


def read(data: bytes) -> Packet | None:
    """The packet; None when it is none, or is damaged."""
    if not HEAD_BYTES + CRC_BYTES <= len(data) <= HEAD_BYTES + MAX_BYTES + CRC_BYTES:
        return None
    kind, length = struct.unpack_from(">HH", data)
    end = HEAD_BYTES + length
    if len(data) < end + CRC_BYTES or struct.unpack_from("<I", data, end)[0] != crc32(data[:end]):
        return None
    values = _values(data[HEAD_BYTES:end])
    return None if values is None else Packet(kind, values)


def _values(data: bytes) -> Values | None:
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            return None
        tag, size, at = data[at], data[at + 1], at + 2
        if size & _LONG:
            if at >= len(data):
                return None
            size, at = (size & ~_LONG) | data[at] << 7, at + 1
        if at + size > len(data):
            return None
        found.append((tag, data[at : at + size]))
        at += size
    return tuple(found)


def write(kind: int, values: Iterable[tuple[int, bytes]]) -> bytes:
    """The bytes of a packet."""
    body = b"".join(bytes([tag]) + _length(len(value)) + value for tag, value in values)
    head = struct.pack(">HH", kind, len(body)) + body
    return head + struct.pack("<I", crc32(head))


def _length(size: int) -> bytes:
    return bytes([size]) if size < _LONG else bytes([size & 0x7F | _LONG, size >> 7])


def asks_for(packet: Packet, device_id: int) -> bool:
    """Whether a request for devices means this tuner: by type and id, each may be "any"."""
    if packet.kind != DISCOVER_REQUEST:
        return False
    types = packet.value(MULTI_TYPE)
    if types is not None:
        wanted = {int.from_bytes(types[at : at + 4], "big") for at in range(0, len(types) - 3, 4)}
    else:
        wanted = {packet.number(DEVICE_TYPE, ANY)}
    return bool(wanted & {TUNER_TYPE, ANY}) and packet.number(DEVICE_ID, ANY) in (device_id, ANY)


def reply(*, device_id: int, tuners: int, base: str, auth: str) -> bytes:
    """What a tuner answers to a request for devices. `base`: its address, without a slash at the end."""
    return write(
        DISCOVER_REPLY,
        (
            (DEVICE_TYPE, TUNER_TYPE.to_bytes(4, "big")),
            (DEVICE_ID, device_id.to_bytes(4, "big")),
            (TUNER_COUNT, bytes([min(tuners, 255)])),
            (DEVICE_AUTH, auth.encode()),
            (BASE_URL, base.encode()),
            (LINEUP_URL, f"{base}/lineup.json".encode()),
        ),
    )


def getset_answer(name: bytes, value: bytes) -> bytes:
    """The answer to a control request that asks for a value."""
    return write(GETSET_REPLY, ((GETSET_NAME, name), (GETSET_VALUE, value + b"\0")))


def getset_refusal(words: str) -> bytes:
    """The answer to a control request that cannot be met."""
    return write(GETSET_REPLY, ((ERROR_MESSAGE, words.encode() + b"\0"),))
