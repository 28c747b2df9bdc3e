"""One leap of the fast reader: elements in the file's form, and parts among them that are known."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence

from epg_service.domain.parts import file_digest
from epg_service.xmltv.heads import Form, OddValue, Piece
from epg_service.xmltv.records import KnownPart

END = b"</programme>"
_BLANKS = re.compile(rb"[ \t\r\n]*+").match
Instant = Callable[[bytes], int | None]


class Expected:
    """The known parts of a channel, looked for in the order of their starts."""

    def __init__(self, channel: str, parts: Sequence[KnownPart], seed: int) -> None:
        self.channel = channel
        self._parts = parts
        self._starts = [part.first_s for part in parts]
        self._places = {start: at for at, start in enumerate(self._starts)}
        self._at = 0
        self._seed = seed

    @property
    def part(self) -> KnownPart | None:
        """The one that is looked for next."""
        return self._parts[self._at] if self._at < len(self._parts) else None

    @property
    def lot(self) -> int:
        """So many programmes are read at a time behind the last part: the channel ends soon. 0: nothing is known."""
        return self._parts[-1].programmes if self._parts else 0

    def after(self, start_s: int) -> None:
        """Goes on with the first part behind a programme that was read."""
        self._at = bisect_right(self._starts, start_s)

    def begins(self, start_s: int | None, *, tried: bool = False) -> bool:
        """Goes on with the part that begins with such a programme; False when there is none. `tried`: or when it is
        the one that was looked for here just now."""
        place = self._places.get(start_s, -1) if start_s is not None else -1
        if place < 0 or (tried and place == self._at):
            return False
        self._at = place
        return True

    def stands(self, buffer: bytes, position: int) -> int:
        """Where the next part ends if it stands here; else -1."""
        part = self._parts[self._at]
        end = position + part.length
        if end > len(buffer) or file_digest(memoryview(buffer)[position:end], self._seed) != part.digest:
            return -1
        self._at += 1
        return end


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
        self.known: list[tuple[int, KnownPart]] = []
        """The parts that are known, and how many elements were read before each."""

    def known_until(self, count: int) -> list[tuple[int, KnownPart]]:
        """The known parts that stand before the first element behind so many."""
        return [(at, part) for at, part in self.known if at <= count]

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
        """Reads the elements of one channel, but for the parts that are known; as far as those are here whole."""
        channel = self._channel_here()
        passed = 0
        while passed < reach:
            part = expected.part
            if part is not None:
                begin = _BLANKS(self._buffer, self.position).end()  # type: ignore[union-attr]
                if passed and begin + part.length > len(self._buffer):
                    return
                end = expected.stands(self._buffer, begin)
                if end >= 0:
                    self.known.append((len(self.pieces), part))
                    self.position = end
                    passed += part.programmes
                    continue
            before = len(self.pieces)
            self.read(part.programmes if part else expected.lot or reach - passed)
            if self._left(channel, before, expected, instant):
                return
            passed += max(1, len(self.pieces) - before)

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
