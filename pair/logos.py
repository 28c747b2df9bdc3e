"""The demo channels' logos, drawn here: a white mark on a coloured tile, as PNG. Pure, standard library only."""

import math
import struct
import zlib
from collections.abc import Callable

SIDE_PIXELS = 160

# Each mark tells whether it covers the point (x, y); both run from -1 to 1, y downwards.
MARKS: dict[str, Callable[[float, float], bool]] = {
    "disc": lambda x, y: math.hypot(x, y) < 0.5,
    "ring": lambda x, y: 0.34 < math.hypot(x, y) < 0.56,
    "bars": lambda x, y: abs(x) < 0.55 and abs(y) < 0.55 and (y + 0.55) % 0.44 < 0.22,
    "peak": lambda x, y: -0.45 < y < 0.45 and abs(x) < (y + 0.45) * 0.62,
    "kite": lambda x, y: abs(x) * 1.3 + abs(y) < 0.6,
    "wave": lambda x, y: abs(x) < 0.62 and abs(y - 0.22 * math.sin(5 * x)) < 0.13,
}


def draw(mark: str, colour: tuple[int, int, int]) -> bytes:
    """Return a square PNG (8-bit RGB, `SIDE_PIXELS` wide) of the mark, a key of `MARKS`, on the colour."""
    covers = MARKS[mark]
    ground, white = bytes(colour), b"\xff\xff\xff"
    steps = [(2 * n + 1) / SIDE_PIXELS - 1 for n in range(SIDE_PIXELS)]
    rows = b"".join(b"\0" + b"".join(white if covers(x, y) else ground for x in steps) for y in steps)
    size = struct.pack(">IIBBBBB", SIDE_PIXELS, SIDE_PIXELS, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    """Return one PNG chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
