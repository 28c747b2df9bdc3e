"""The child that decodes pictures: reads requests on standard input, answers with PNGs on standard output.

Run as a file of its own (`python -I painter.py`), never imported by a process that holds anything worth taking: what it
reads was written by strangers. It stands in an empty directory, opens no address, and its memory, its time for each
picture and the size of files it may write are limited by the kernel. Whatever goes wrong costs one picture.

    request   kind (1 byte: R raster, S SVG, I initials), length (4 bytes, big-endian), that many bytes
    answer    "+", width, height (2 bytes each), length (4), a PNG      or      "-", 0, 0, length, the reason
"""

import io
import os
import resource
import struct
import sys
import warnings
from collections.abc import Callable
from xml.parsers import expat

from PIL import Image, ImageDraw, ImageFont

SIDE = 512
"""A logo is at most this wide and high."""
MOST_PIXELS = 16_000_000
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "ICO")
MEMORY_BYTES = 768 << 20
PICTURE_CPU_S = 3
ALL_CPU_S = 900
OPEN_FILES = 32
SVG_SIDE = 400
_REQUEST = struct.Struct(">cI")
_ANSWER = struct.Struct(">cHHI")
_FORBIDDEN = frozenset({"image", "feimage", "filter", "foreignobject", "script", "iframe", "audio", "video", "animate"})
_MOST_ELEMENTS = 20_000
_MOST_DEPTH = 60


class Unusable(Exception):
    """Why these bytes are no picture that can be drawn."""


def raster(data: bytes) -> Image.Image:
    """The first picture of a file of one of `FORMATS`; raises `Unusable`."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise Unusable(f"{opened.width} x {opened.height} pixels are too many")
            opened.draft("RGB", (SIDE, SIDE))  # a large JPEG is decoded smaller at once
            return opened.convert("RGBA")
    except Unusable:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unusable("it has too many pixels") from error
    except Exception as error:  # decoders raise whatever they like; the reason goes into the answer
        raise Unusable(f"it cannot be decoded ({type(error).__name__})") from error


def svg(data: bytes) -> Image.Image:
    """An SVG, drawn; raises `Unusable` for one that reaches outside itself or holds what costs too much."""
    from resvg_py import svg_to_bytes  # only where an SVG comes: most children never see one

    check_svg(data)
    try:
        drawn = svg_to_bytes(svg_string=data.decode(), width=SVG_SIDE)
    except Exception as error:  # as above
        raise Unusable(f"it cannot be drawn ({type(error).__name__})") from error
    return raster(bytes(drawn))


def check_svg(data: bytes) -> None:
    """Raises `Unusable` unless it is a plain drawing.

    That is: no DOCTYPE, no pictures, filters or scripts, no address but `#…`, not too deep and not too long.
    """
    guard, parser = _Guard(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = guard.start
    parser.EndElementHandler = guard.end
    parser.CharacterDataHandler = guard.text
    parser.StartDoctypeDeclHandler = guard.doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Unusable(f"it is no well-formed SVG ({error})") from error


class _Guard:
    """What expat meets, refused at the first thing that is no plain drawing."""

    def __init__(self) -> None:
        self._depth = 0
        self._elements = 0
        self._in_style = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth, self._elements = self._depth + 1, self._elements + 1
        tag = name.rpartition(":")[2].lower()
        if self._elements == 1 and tag != "svg":
            raise Unusable(f"it is <{name[:40]}>, no <svg>")
        if self._depth > _MOST_DEPTH or self._elements > _MOST_ELEMENTS:
            raise Unusable("it has too many elements")
        if tag in _FORBIDDEN:
            raise Unusable(f"it holds <{name[:40]}>")
        self._in_style = tag == "style"
        for key, value in attributes.items():
            _check_text(value)
            if key.rpartition(":")[2].lower() in ("href", "src") and not value.strip().startswith("#"):
                raise Unusable("it names an address")

    def end(self, _name: str) -> None:
        self._depth, self._in_style = self._depth - 1, False

    def text(self, value: str) -> None:
        if self._in_style:
            _check_text(value)

    def doctype(self, *_: object) -> None:
        raise Unusable("it holds a DOCTYPE")


def _check_text(value: str) -> None:
    folded = value.lower().replace(" ", "").replace("'", "").replace('"', "")
    if "@import" in folded or "\\" in value or folded.count("url(") != folded.count("url(#"):
        raise Unusable("it names an address")


def initials(data: bytes) -> Image.Image:
    """A square with letters: `LETTERS #rrggbb`."""
    letters, _, colour = data.decode("ascii").partition(" ")
    side = 256
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, side - 1, side - 1), radius=32, fill=colour)
    font = ImageFont.load_default({1: 150, 2: 120}.get(len(letters), 90))
    draw.text((side / 2, side / 2), letters, font=font, fill="white", anchor="mm")
    return image


def png(image: Image.Image) -> tuple[int, int, bytes]:
    """Width, height and the bytes of it as a PNG of at most `SIDE` pixels a side, with nothing but the picture."""
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    bare = Image.new("RGBA", image.size)
    bare.paste(image)
    if bare.getchannel("A").getextrema() == (255, 255):
        bare.convert("RGB").save(out, "PNG", optimize=True)
    else:
        bare.save(out, "PNG", optimize=True)
    return image.width, image.height, out.getvalue()


_PAINTS: dict[bytes, Callable[[bytes], Image.Image]] = {b"R": raster, b"S": svg, b"I": initials}


def answer(kind: bytes, data: bytes) -> bytes:
    """The answer to one request."""
    try:
        width, height, made = png(_PAINTS[kind](data))
    except Unusable as error:
        reason = str(error).encode("utf-8", "replace")[:500]
        return _ANSWER.pack(b"-", 0, 0, len(reason)) + reason
    except MemoryError:
        reason = b"it takes too much memory"
        return _ANSWER.pack(b"-", 0, 0, len(reason)) + reason
    return _ANSWER.pack(b"+", width, height, len(made)) + made


def limit() -> None:
    """What holds for the child's whole life. Decoders are loaded first: afterwards it may open little."""
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    Image.init()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    if sys.platform.startswith("linux"):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def allow_time() -> None:
    """The kernel ends the child when the next picture takes longer than `PICTURE_CPU_S`."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + PICTURE_CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (min(soft, ALL_CPU_S), ALL_CPU_S))


def main() -> None:
    """Answer requests until the end of the input."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    limit()
    while len(head := source.read(_REQUEST.size)) == _REQUEST.size:
        kind, length = _REQUEST.unpack(head)
        allow_time()
        sink.write(answer(kind, source.read(length)))
        sink.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
