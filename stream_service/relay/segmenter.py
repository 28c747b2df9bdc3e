"""A transport stream cut into HLS segments at its keyframes. Pure.

A cut is made at the first start point once a segment is long enough, by the stream's own clock (PTS); where the clock
jumps, or another source begins, the next segment is marked as a discontinuity. Radio and streams without marks are cut
at any packet that begins a unit. Each segment begins with the tables, so that it can be decoded alone (RFC 8216, 3.2).
"""

from dataclasses import dataclass

from stream_service.relay.mpegts import PACKET_BYTES, Scanner

_PTS_HZ = 90_000
_JOINT = b"\xb7\x80" + b"\xff" * (PACKET_BYTES - 6)
"""A packet's adaptation field that holds the mark of a discontinuity and nothing else: another source begins."""
_PTS_WRAP = 1 << 33
_JUMP_S = 10.0
"""A clock that goes on by more than this between two cuts, or back, has jumped."""
_WITHOUT_MARKS_S = 12.0
"""A video stream without start points for so long is cut anywhere."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A finished segment. `discontinuity`: it does not continue the one before."""

    data: bytes
    duration_s: float
    discontinuity: bool


class Segmenter:
    """Fed with packets as they come, gives segments of about `target_s`, none over `most_bytes`."""

    def __init__(self, *, target_s: float, most_bytes: int) -> None:
        self._target_s = target_s
        self._most_bytes = most_bytes
        self._scanner = Scanner()
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self._begun = False
        self._torn = False
        self._start_pts: int | None = None
        self._start_s = 0.0
        self._tables = b""

    def feed(self, data: bytes, now_s: float) -> list[Cut]:
        """The segments that `data` completes; `now_s` counts where the stream has no clock."""
        blob = self._scanner.feed(data)
        if blob is None:
            return []
        cuts: list[Cut] = []
        done = 0
        for at, tables in self._places(blob.data, blob.starts, now_s):
            pts = pts_of(blob.data, at)
            joint = _JOINT in blob.data[done:at]
            if self._begun and self._elapsed_s(pts, now_s) < self._target_s and not (joint or self._jumped(pts)):
                continue
            self._keep(blob.data[done:at])
            done = at
            if self._begun:
                cuts.append(self._cut(pts, now_s))
                self._torn = self._torn or joint
            self._begin(pts, tables, now_s)
        self._keep(blob.data[done:])
        if self._size_bytes > self._most_bytes:
            self._drop()
        return cuts

    def _places(self, data: bytes, starts: tuple[tuple[int, bytes], ...], now_s: float) -> list[tuple[int, bytes]]:
        """Where a segment may begin."""
        if starts:
            return list(starts)
        marks_expected = self._scanner.video_pid is not None or not self._scanner.tables
        if marks_expected and not (self._begun and now_s - self._start_s > _WITHOUT_MARKS_S):
            return []
        tables = self._scanner.tables
        return [
            (at, tables)
            for at in range(0, len(data), PACKET_BYTES)
            if data[at + 1] & 0x40 and pts_of(data, at) is not None
        ]

    def _elapsed_s(self, pts: int | None, now_s: float) -> float:
        if pts is None or self._start_pts is None:
            return now_s - self._start_s
        return (pts - self._start_pts) % _PTS_WRAP / _PTS_HZ

    def _jumped(self, pts: int | None) -> bool:
        return pts is not None and self._start_pts is not None and self._elapsed_s(pts, 0.0) > self._target_s + _JUMP_S

    def _begin(self, pts: int | None, tables: bytes, now_s: float) -> None:
        self._torn = self._torn or (bool(self._tables) and bool(tables) and not _same(tables, self._tables))
        self._begun, self._start_pts, self._start_s, self._tables = True, pts, now_s, tables
        self._parts, self._size_bytes = [tables], len(tables)

    def _cut(self, pts: int | None, now_s: float) -> Cut:
        jumped = self._jumped(pts)
        duration_s = now_s - self._start_s if jumped else self._elapsed_s(pts, now_s)
        cut = Cut(b"".join(self._parts), min(max(duration_s, 0.1), self._target_s + _JUMP_S), self._torn)
        self._torn = jumped
        return cut

    def _keep(self, data: bytes) -> None:
        if self._begun and data:
            self._parts.append(data)
            self._size_bytes += len(data)

    def _drop(self) -> None:
        """Too much without a place to cut: begin anew."""
        self._begun, self._torn, self._parts, self._size_bytes = False, True, [], 0


def _same(one: bytes, other: bytes) -> bool:
    """The same tables but for their counters."""
    return len(one) == len(other) and all(
        one[at + 4 : at + PACKET_BYTES] == other[at + 4 : at + PACKET_BYTES] for at in range(0, len(one), PACKET_BYTES)
    )


def pts_of(data: bytes, at: int) -> int | None:
    """The presentation time (90 kHz) in the packet at `at`, when a unit with one begins there (13818-1, 2.4.3.7)."""
    start = at + 4
    if data[at + 3] & 0x20:
        start += 1 + data[at + 4]
    pes = data[start : min(start + 14, at + PACKET_BYTES)]
    if len(pes) < 14 or pes[:3] != b"\x00\x00\x01" or not pes[7] & 0x80:
        return None
    return (pes[9] >> 1 & 7) << 30 | pes[10] << 22 | pes[11] >> 1 << 15 | pes[12] << 7 | pes[13] >> 1
