"""The clocks of an MPEG transport stream: where stamps and references stand in its packets, reading and writing them.

Pure. ISO/IEC 13818-1, 2.4.3.5 (PCR) and 2.4.3.7 (PTS, DTS); all of them count 90 kHz in 33 bits and wrap.
"""

TICKS_PER_S = 90_000
CLOCK_WRAP = 1 << 33


def stamp_places(unit: bytes) -> tuple[int, ...]:
    """Return where PTS and DTS stand in the start of a PES packet; none for tables and for streams without a header."""
    if unit[:3] != b"\x00\x00\x01" or len(unit) < 19 or not (0xC0 <= unit[3] <= 0xEF or unit[3] in {0xBD, 0xFD}):
        return ()
    return {0b10: (9,), 0b11: (9, 14)}.get(unit[7] >> 6, ())


def read_stamp(data: bytes | bytearray, at: int) -> int:
    """Read a 33-bit PTS or DTS: 3 + 15 + 15 bits, each followed by a marker bit."""
    high, middle, low = data[at] >> 1 & 7, data[at + 1] << 7 | data[at + 2] >> 1, data[at + 3] << 7 | data[at + 4] >> 1
    return high << 30 | (middle & 0x7FFF) << 15 | low & 0x7FFF


def write_stamp(data: bytearray, at: int, ticks: int) -> None:
    """Write a PTS or DTS, wrapped to 33 bits, over the one that stands there."""
    ticks %= CLOCK_WRAP
    data[at] = (data[at] & 0xF0) | (ticks >> 30) << 1 | 1
    data[at + 1 : at + 3] = ((ticks >> 15 & 0x7FFF) << 1 | 1).to_bytes(2, "big")
    data[at + 3 : at + 5] = ((ticks & 0x7FFF) << 1 | 1).to_bytes(2, "big")


def read_pcr_base(data: bytes | bytearray, at: int) -> int:
    """Read the 33-bit 90 kHz part of a PCR."""
    return int.from_bytes(data[at : at + 5], "big") >> 7


def write_pcr_base(data: bytearray, at: int, ticks: int) -> None:
    """Write the 90 kHz part of a PCR, wrapped to 33 bits; the 27 MHz rest stays."""
    rest = data[at + 4] & 0x7F
    data[at : at + 5] = ((ticks % CLOCK_WRAP) << 7 | rest).to_bytes(5, "big")
