"""Pictures drawn anew by a child with limits (`painter`): whatever comes in, a small PNG or a reason comes out."""

import contextlib
import logging
import os
import select
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from servicekit.errors import Invalid, Unavailable
from stream_service.logos.initials import COLOURS

LIMIT_S = 15.0
"""A child that has not answered then is ended."""
PICTURES_A_CHILD = 200
MOST_BYTES = 5 << 20
_PAINTER = Path(__file__).with_name("painter.py")
_REQUEST = struct.Struct(">cI")
_ANSWER = struct.Struct(">cHHI")
_MOST_ANSWER_BYTES = 8 << 20
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"\0\0\1\0")
_log = logging.getLogger("logos")


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG of at most 512 pixels a side."""

    png: bytes
    width: int
    height: int


class Drawing:
    """Draws one picture at a time; safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def redraw(self, data: bytes) -> Picture:
        """The picture in these bytes, told by what they hold, not by a name or type; raises `Invalid` (no picture)."""
        if len(data) > MOST_BYTES:
            raise Invalid(f"a logo of over {MOST_BYTES} bytes is too large")
        if data.startswith(_SIGNATURES):
            return self._asked(b"R", data)
        if looks_like_svg(data):
            return self._alone(b"S", data)
        raise Invalid("these bytes are no picture (PNG, JPEG, GIF, WebP, BMP, ICO or SVG)")

    def initials(self, name: str) -> Picture:
        """The picture of that name, one that `initials.picture_of` gives."""
        letters, _, colour = name.partition("-")
        return self._asked(b"I", f"{letters} {COLOURS[int(colour, 16)]}".encode())

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _asked(self, kind: bytes, data: bytes) -> Picture:
        """By the child that serves many: its decoders are long in use everywhere."""
        with self._lock:
            if self._child is None or self._child.pictures >= PICTURES_A_CHILD:
                self._end()
                self._child = _Child()
            try:
                return self._child.draw(kind, data)
            except _Broken as error:
                self._end()
                raise Invalid(str(error)) from error

    def _alone(self, kind: bytes, data: bytes) -> Picture:
        """By a child of its own: the drawer of SVGs is young."""
        child = _Child()
        try:
            return child.draw(kind, data)
        except _Broken as error:
            raise Invalid(str(error)) from error
        finally:
            child.close()

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def looks_like_svg(data: bytes) -> bool:
    """Whether it begins as XML that may be an SVG."""
    return data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<svg", b"<?xml", b"<!--"))


class _Broken(Exception):
    """The child ended or did not answer."""


class _Child:
    """One painter, and the pipes to it."""

    def __init__(self) -> None:
        self.pictures = 0
        self._directory = tempfile.TemporaryDirectory(prefix="aerial-logo-")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_PAINTER)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                cwd=self._directory.name, env={"PATH": "/nowhere", "MALLOC_ARENA_MAX": "2"}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._directory.cleanup()
            raise Unavailable(f"no process to draw logos can be started: {error}") from error

    def draw(self, kind: bytes, data: bytes) -> Picture:
        """One picture; raises `Invalid` with the child's reason, `_Broken` when it has to be ended."""
        end_s = time.monotonic() + LIMIT_S
        self.pictures += 1
        self._send(_REQUEST.pack(kind, len(data)) + data, end_s)
        said, width, height, length = _ANSWER.unpack(self._read(_ANSWER.size, end_s))
        if length > _MOST_ANSWER_BYTES:
            raise _Broken("the picture is too large")
        body = self._read(length, end_s)
        if said != b"+":
            raise Invalid(f"this is no picture that can be used: {body.decode('utf-8', 'replace')}")
        return Picture(body, width, height)

    def _send(self, data: bytes, end_s: float) -> None:
        """The child may be gone, or stuck in the picture before: nobody waits for it longer than agreed."""
        pipe = _pipe(self._process.stdin)
        os.set_blocking(pipe, False)
        left = memoryview(data)
        while left:
            _, ready, _ = select.select([], [pipe], [], max(0.0, end_s - time.monotonic()))
            if not ready:
                raise _Broken("drawing it took too long")
            try:
                left = left[os.write(pipe, left) :]
            except OSError as error:
                raise _Broken("drawing it took too much time or memory") from error

    def _read(self, size: int, end_s: float) -> bytes:
        pipe = _pipe(self._process.stdout)
        pieces: list[bytes] = []
        while size > 0:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end_s - time.monotonic()))
            if not ready:
                raise _Broken("drawing it took too long")
            piece = os.read(pipe, size)
            if not piece:
                raise _Broken("drawing it took too much time or memory")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """End it and wait for its end."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not sent is not needed
                    stream.close()
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()


def _pipe(stream: IO[bytes] | None) -> int:
    if stream is None:
        raise _Broken("the child has no pipe")
    return stream.fileno()
