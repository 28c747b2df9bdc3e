"""Where two pieces of transport stream meet: packets that tell decoders of it. Pure."""

from stream_service.relay.mpegts import NULL_PID, PACKET_BYTES, find_sync

_LOOKED_AT = 4_000
_FILL = b"\xff" * (PACKET_BYTES - 6)


def discontinuity_packets(following: bytes) -> bytes:
    """One packet for each stream of `following`, without payload, that marks a discontinuity.

    ISO/IEC 13818-1, 2.4.3.4: the indicator allows both the counter and the clock to jump. The counter of a packet
    without payload is that of the one before it, so the stream's first packet continues it.
    """
    start = find_sync(following, 0)
    if start < 0:
        return b""
    first: dict[int, int] = {}
    for at in range(start, min(len(following) - PACKET_BYTES + 1, start + _LOOKED_AT * PACKET_BYTES), PACKET_BYTES):
        pid = (following[at + 1] & 0x1F) << 8 | following[at + 2]
        if pid != NULL_PID and following[at + 3] & 0x10:
            first.setdefault(pid, following[at + 3] & 0x0F)
    return b"".join(
        bytes((0x47, pid >> 8, pid & 0xFF, 0x20 | (counter - 1) & 0x0F, PACKET_BYTES - 5, 0x80)) + _FILL
        for pid, counter in first.items()
        if pid
    )
