"""One leap of the fast reader: elements in the file's form, and what is known among them."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence

from epg_service.domain.days import digest_of
from epg_service.xmltv.heads import Form, OddValue, Piece
from epg_service.xmltv.records import KnownPart, KnownRows

END = b"</programme>"
_BLANKS = re.compile(rb"[ \t\r\n]*+").match
_MOST_AT_ONCE = 16
"""So many programmes at most are read where known ones are looked for, before those behind them are."""
Instant = Callable[[bytes], int | None]


class Expected:
    """The known parts of a channel and their programmes, looked for in the order of their starts."""

    def __init__(self, channel: str, parts: Sequence[KnownPart]) -> None:
        self.channel = channel
        self._parts = parts
        self._starts = [part.starts[0] for part in parts]
        self._places = {start: at for at, start in enumerate(self._starts)}
        self._at = 0
        self._row = 0  # so many programmes of the part are behind us

    @property
    def any(self) -> bool:
        """Whether anything of the channel is known."""
        return bool(self._parts)

    @property
    def part(self) -> KnownPart | None:
        """The one that is looked for next."""
        return self._parts[self._at] if self._at < len(self._parts) else None

    def after(self, start_s: int) -> None:
        """Goes on with the first programme behind one that was read."""
        self._at, self._row = max(0, bisect_right(self._starts, start_s) - 1), 0
        if self._at < len(self._parts):
            self._pass(bisect_right(self._parts[self._at].starts, start_s))

    def begins(self, start_s: int | None, *, tried: bool) -> bool:
        """Goes on with the part that begins with such a programme; False when there is none. `tried`: or when it is
        the one that was looked for here just now."""
        place = self._places.get(start_s, -1) if start_s is not None else -1
        if place < 0 or (tried and place == self._at):
            return False
        self._at, self._row = place, 0
        return True

    def misses(self, buffer: bytes, position: int) -> bool:
        """Whether the next part would stand here, but is not in the buffer whole."""
        part = self.part
        return part is not None and not self._row and position + part.in_file.length > len(buffer)

    def standing(self, buffer: bytes, position: int, gap: bytes) -> tuple[KnownRows, int] | None:
        """What is known of the next part and stands here, `gap` between two programmes, and where it ends."""
        part = self.part
        if part is None:
            return None
        whole = part.in_file
        end = position + whole.length
        if not self._row and end <= len(buffer) and digest_of(memoryview(buffer)[position:end]) == whole.digest:
            self._at += 1
            return part.columns, end
        first, raws, end = self._row, list[bytes](), position
        for length, digest in zip(whole.lengths[first:], part.digests[first:], strict=True):
            begin = end + len(gap) if raws else end
            raw = buffer[begin : begin + length]
            if digest_of(raw) != digest or (raws and not buffer.startswith(gap, end)):
                break
            raws.append(raw)
            end = begin + length
        self._pass(len(raws))
        return (part.stretch(first, raws), end) if raws else None

    def _pass(self, programmes: int) -> None:
        self._row += programmes
        if self._row >= len(self._parts[self._at].starts):
            self._at, self._row = self._at + 1, 0


class Walk:
    """Goes through the buffer from `position`; `whole`: elements are looked at whole at once."""

    def __init__(self, buffer: bytes, form: Form, position: int, end: int, *, whole: bool) -> None:
        self._buffer = buffer
        self._form = form
        self._end = end
        self._whole = form.whole if whole else None
        self.position = position
        """Behind the last thing that was passed."""
        self.gap: bytes | None = None
        """What stands before the last element that was read."""
        self.pieces: list[Piece] = []
        """The elements that were read."""
        self.begins: list[int] = []
        """Behind what stands before each of them."""
        self.known: list[tuple[int, KnownRows]] = []
        """The rows that are known, and how many elements were read before each of these stretches."""

    def known_until(self, count: int) -> list[tuple[int, KnownRows]]:
        """What is known of those that stand before the first element behind so many."""
        return [(at, rows) for at, rows in self.known if at <= count]

    def read(self, count: int) -> None:
        """Reads up to so many elements."""
        found, begins, position = self.pieces, self.begins, self.position
        head, whole, buffer, end = self._form.head, self._whole, self._buffer, self._end
        before = len(found)
        for _ in range(count):
            begin = position
            if whole is not None and (match := whole(buffer, position, end)):
                found.append(match.groups())
                position = match.end()
            elif match := head(buffer, position, end):
                position = buffer.index(END, match.end()) + len(END)
                found.append((buffer[match.start(1) : position], *match.groups()[1:]))
            else:
                break
            begins.append(begin)
        self.position = position
        if len(found) > before:
            self.gap = buffer[begins[-1] : position - len(found[-1][0] or b"")]

    def read_among(self, expected: Expected, instant: Instant, reach: int) -> None:
        """Reads the elements of one channel, but for those that are known; as far as those are here whole."""
        channel = self._channel_here()
        passed, lot = 0, 1
        while passed < reach:
            begin = _BLANKS(self._buffer, self.position).end()  # type: ignore[union-attr]
            if passed and expected.misses(self._buffer, begin):
                return
            gap = self._buffer[self.position : begin]
            if known := expected.standing(self._buffer, begin, gap):
                rows, self.position = known
                self.known.append((len(self.pieces), rows))
                self.gap = gap
                passed += len(rows[0])
                lot = 1
                continue
            before = len(self.pieces)
            self.read(lot if expected.any else reach - passed)
            if self._left(channel, before, expected, instant):
                return
            passed += max(1, len(self.pieces) - before)
            lot = min(2 * lot, _MOST_AT_ONCE)

    def _channel_here(self) -> bytes | None:
        match = self._form.head(self._buffer, self.position, self._end)
        return match.group(self._form.channel + 2) if match else None

    def _left(self, channel: bytes | None, before: int, expected: Expected, instant: Instant) -> bool:
        """Takes back what was read past the channel, or past where a known part begins; whether the walk is over."""
        start_at, channel_at = self._form.start + 1, self._form.channel + 1
        start_s: int | None = None
        for index, piece in enumerate(self.pieces[before:], before):
            if piece[channel_at] != channel:
                self._back_to(index)
                return True
            try:
                start_s = instant(piece[start_at] or b"")
            except OddValue:
                start_s = None
            if expected.begins(start_s, tried=index == before):
                self._back_to(index)
                return False
        if start_s is not None:
            expected.after(start_s)
        return len(self.pieces) == before

    def _back_to(self, index: int) -> None:
        self.position = self.begins[index]
        del self.pieces[index:], self.begins[index:]
