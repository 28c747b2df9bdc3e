"""The fast reader: cuts a guide at `</programme>` and shows expat only what is not known to be sound already.

It says the same as `iterparse`, item by item, for a third of the cost. Why the cut is exact:

1. It starts only where the exact reader stands between two elements, so outside every comment, CDATA and tag.
2. A piece up to `</programme>` must begin with a start tag in the form that this file's programmes have.
3. A piece whose digest is known for its channel equals bytes that were proven one whole element before. So the next
   piece starts between two elements again, and so on.
4. The other pieces of a stretch are shown to expat in one call. Where no comment, CDATA section or instruction holds
   the word, `<programme` and `</programme` stand at tags only; as many of the first as pieces, one at the head of each,
   and as many of the second then mean that every piece is one element. Else each piece is proven alone.
   Pieces in the DTD's own form (one pattern, see `xmltv.form`) need no expat: what the pattern leaves open is told
   by their bytes: valid UTF-8, no forbidden characters, no reference but those to characters, no `]]>`.
5. At the first piece that fails any of this the exact reader takes over from its very byte, mends or counts what is
   broken, and hands back when it is past it.
"""

import pyexpat
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress, groupby, takewhile
from operator import itemgetter
from typing import TypeAlias

import xxhash

from epg_service.domain.days import IN_FORM, digests_of
from epg_service.domain.losses import Losses
from epg_service.domain.model import Readable
from epg_service.xmltv.columns import title_of
from epg_service.xmltv.elements import folded, proven
from epg_service.xmltv.encoding import utf8_chunks
from epg_service.xmltv.form import flags_in_form, flags_of
from epg_service.xmltv.heads import Form, OddValue, Piece, form_of, odd
from epg_service.xmltv.iterparse import CHUNK_BYTES, MAX_ELEMENT_BYTES, ExactReader
from epg_service.xmltv.records import Batch, Item, Same, Stretch
from epg_service.xmltv.times import MAX_ENTRIES, Stamps

_END = b"</programme>"
_STEP_BYTES = 2 * 1024
_MANY = 8
"""So many programmes in one leap are a success; after fewer the exact reader goes on for a while."""
_MAX_WAIT = 64
_LARGE_BYTES = 4 * 1024
"""Few programmes are larger: so far a leap of some pieces looks ahead."""
_MAX_REACH = 1 << 10
_NO_HINT = 1 << 62


_ODD_SIGNS = (b"&", b"\t", b"\r", b"  ", b"\n ", b" \n")  # in titles, joined by line feeds, that are to be folded
_LEGAL = b"\t\n\r" + bytes(range(0x20, 0x100))
# A reference to anything but the five that XML predefines, or characters from 32 to 9999, all of them legal.
_REFERENCE = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#(?:3[2-9]|[4-9][0-9]|[1-9][0-9]{2,3}));)")

_Run: TypeAlias = tuple[str, slice]
"""A channel and its elements, which stand one after the other."""

Known = Callable[[str], Mapping[int, int]]
"""What is known of a channel: the digest of each element that is stored, so was proven well formed, and its flags (see
`domain.days`)."""

Recalled = Callable[[str], Stretch | None]
"""The stretch of a channel in an earlier file, which was proven then."""

_Columns: TypeAlias = tuple[
    list[int | None], list[int | None], Sequence[bytes | None], list[bytes], list[int], list[int]
]
"""Starts, stops, titles as they stand, elements, their digests and flags."""


def nothing_known(_: str) -> Mapping[int, int]:
    """For a guide that is read for the first time."""
    return {}


def nothing_recalled(_: str) -> Stretch | None:
    """For a guide of which nothing is remembered."""
    return None


def cut(
    stream: Readable,
    *,
    stamps: Stamps,
    losses: Losses,
    known: Known = nothing_known,
    recalled: Recalled = nothing_recalled,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[Item]:
    """Read an unpacked XMLTV file: the same items, losses and errors as `iterparse`, and `Stretch` and `Same`.

    `known` is asked once for each stretch of a channel; what it names is not proven again. `recalled` is asked once
    where a channel begins: a stretch that stands there again is not read at all.
    """
    return _Cutter(utf8_chunks(stream, losses, chunk_bytes), stamps, losses, known, recalled).items()


class _Instants(dict[bytes, int | None]):
    """Times as they stand in the file; None for what is no time. Raises `OddValue`."""

    def __init__(self, stamps: Stamps) -> None:
        super().__init__()
        self._stamps = stamps

    def __missing__(self, text: bytes) -> int | None:
        if odd(text):
            raise OddValue
        if len(self) >= MAX_ENTRIES:
            self.clear()
        try:
            value = self._stamps.read(text.decode())
        except ValueError:
            value = None
        self[text] = value
        return value


class _Measured:
    """The stretch of a channel, as far as it was read."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._programmes = 0
        self._length = 0
        self._whole = True
        self._digest = xxhash.xxh3_128()

    def add(self, text: memoryview, starts: Sequence[int | None]) -> None:
        """The next bytes, and the times of the programmes in them."""
        self._digest.update(text)
        self._length += len(text)
        self._programmes += len(starts)
        self._whole = self._whole and None not in starts

    def stretch(self) -> Stretch | None:
        """All of it; None when a programme in it was lost."""
        if not self.channel or not self._whole:
            return None
        return Stretch(self.channel, self._programmes, self._length, self._digest.intdigest())


class _Cutter(ExactReader):
    """The exact reader, leaping over the stretches that can be had for less."""

    def __init__(
        self, chunks: Iterator[bytes], stamps: Stamps, losses: Losses, known: Known, recalled: Recalled
    ) -> None:
        super().__init__(chunks, stamps, losses)
        self._instants = _Instants(stamps)
        self._known = known
        self._recalled = recalled
        self._looked_for = ""  # the channel whose stretch was looked for last
        self._hint_bytes = _NO_HINT  # about so long is what it has instead
        self._measured: _Measured | None = None
        self._form: Form | None = None
        self._mostly_new = True  # look at elements whole at once: few of the last ones were known
        self._reach = _MAX_REACH  # pieces to cut off at most
        self._wait = 1  # programmes for the exact reader after a leap that came to little
        self._leap_from = 1  # leap when so many programmes were read
        self._leapt = False  # the last leap took all that was there
        self._step = _STEP_BYTES

    def _ahead(self) -> bool:
        """Take over the next programmes, as far as they can be proven; whether all that are here were."""
        if self._nested or (self._open >= 0 and not self._in_programme):
            return False
        return not self._done and self._programmes >= self._leap_from and (self._skip() or self._leap())

    def _leap(self) -> bool:
        """Take over the elements that are here; whether all of them were sound."""
        begin = max(self._needed(), 0)
        end = self._buffer.rfind(_END, begin, begin + min(self._reach * _LARGE_BYTES, self._hint_bytes))
        if end < 0:
            self._hint_bytes = _NO_HINT
            return False
        form, pieces, taken = self._form_at(begin), list[Piece](), 0
        if form is not None:
            pieces, ends = self._pieces(form, begin, end + len(_END))
            taken = self._take(form, pieces, [begin, *ends])
            if taken:
                self._programmes += taken
                self._resume(ends[taken - 1])
        self._leapt = 0 < taken == len(pieces)
        self._judge(taken)
        return self._leapt

    def _pieces(self, form: Form, position: int, end: int) -> tuple[list[Piece], list[int]]:
        """The elements up to `end` that begin in the file's form, one behind the other, and where each of them ends."""
        found: list[Piece] = []
        ends: list[int] = []
        whole = form.whole if self._mostly_new else None
        head, buffer, at = form.head, self._buffer, form.channel + 1
        for _ in range(self._reach):
            if whole is not None and (match := whole(buffer, position, end)):
                found.append(match.groups())
                position = match.end()
            elif match := head(buffer, position, end):
                position = buffer.index(_END, match.end()) + len(_END)
                found.append((buffer[match.start(1) : position], *match.groups()[1:]))
            else:
                break
            ends.append(position)
        if self._recalled is not nothing_recalled and found and found[0][at] != found[-1][at]:
            # The next channel may stand there as it is remembered.
            found = list(next(groupby(found, itemgetter(at)))[1])
        return found, ends

    def _awaits(self) -> bool:
        """Not past the file's end tag: what follows it is not read."""
        rest = max(self._needed(), 0)
        return self._leapt and len(self._buffer) - rest < CHUNK_BYTES and self._buffer.find(b"</tv", rest) < 0

    def _more(self) -> bool:
        more = super()._more()
        self._leapt = self._leapt and more
        return more

    def _feed(self) -> bool:
        self._leapt = False
        self._end_stretch()
        return super()._feed()

    def _judge(self, taken: int) -> None:
        """Leap far while it works; where it does not, let the exact reader work before it is tried again."""
        if self._leapt:
            self._reach = min(self._reach * 2, _MAX_REACH)
            self._wait = 1
            return
        self._step = _STEP_BYTES
        self._reach = 2 * _MANY  # what is proven behind the next fault is proven for nothing
        self._wait = 1 if taken >= _MANY else min(2 * self._wait, _MAX_WAIT)
        self._leap_from = self._programmes + self._wait

    def _take(self, form: Form, pieces: list[Piece], bounds: list[int]) -> int:
        """Takes over the first pieces, as many as are sure to be one element each; how many. `bounds`: where they lie
        in the buffer."""
        too_large = bounds[len(pieces)] - bounds[0] > MAX_ELEMENT_BYTES and _largest(pieces) > MAX_ELEMENT_BYTES
        if not pieces or too_large:
            return 0
        columns = list(zip(*pieces, strict=True))
        raws, count = list(columns[0]), len(pieces)
        written = columns[form.start + 1], columns[form.stop + 1] if form.stop >= 0 else (b"",) * count
        try:
            sure, digests, flags = self._sure(_runs(columns[form.channel + 1], count), raws, columns[-1])
            starts, stops = (list(map(self._instants.__getitem__, column[:sure])) for column in written)
        except OddValue:
            plain = list(takewhile(_plain, pieces))
            return self._take(form, plain, bounds) if plain else 0
        if sure:
            runs = _runs(columns[form.channel + 1], sure)
            self._measure(runs, starts, bounds)
            self._add(runs, (starts, stops, columns[-2], raws, digests, flags), written)
        return sure

    def _form_at(self, position: int) -> Form | None:
        """The form of the start tag that begins here; None when it is one for the exact reader."""
        if self._form is None or not self._form.head(self._buffer, position):
            self._form = form_of(self._buffer, position)
        return self._form if self._form and self._form.head(self._buffer, position) else None

    # ---- stretches ---------------------------------------------------------------------------------------------------

    def _skip(self) -> bool:
        """Pass over a channel's stretch that stands here again byte for byte, and whole."""
        if self._recalled is nothing_recalled:
            return False
        begin = max(self._needed(), 0)
        channel = self._channel_at(begin)
        if not channel or channel == self._looked_for:
            return False
        self._looked_for = channel
        stretch = self._recalled(channel)
        self._hint_bytes = stretch.length + _LARGE_BYTES if stretch else _NO_HINT
        if stretch is None:
            return False
        while len(self._buffer) - begin < stretch.length + _LARGE_BYTES and self._more():
            begin = max(self._needed(), 0)
        end = begin + stretch.length
        if _digest(self._buffer, begin, end) != stretch.digest or self._channel_at(end) in (channel, None):
            return False
        self._end_stretch()
        self._columns.put(Same(channel, stretch))
        self._programmes += stretch.programmes
        self._resume(end)
        self._leapt = True
        return True

    def _channel_at(self, position: int) -> str | None:
        """The channel of the programme that begins here; "" where none does, None for one that cannot be told."""
        if not self._buffer[position : position + _LARGE_BYTES].lstrip().startswith(b"<programme"):
            return ""
        form = self._form_at(position)
        head = form.head(self._buffer, position) if form else None
        try:
            return _name(head[form.channel + 2]) if form and head else None
        except OddValue:
            return None

    def _measure(self, runs: Sequence[_Run], starts: Sequence[int | None], bounds: list[int]) -> None:
        """Notes the bytes of each channel's pieces; those of one channel follow those of the leap before."""
        for name, part in runs:
            if self._measured is None or self._measured.channel != name:
                self._end_stretch()
                self._measured = _Measured(name)
            self._measured.add(memoryview(self._buffer)[bounds[part.start] : bounds[part.stop]], starts[part])

    def _end_stretch(self) -> None:
        stretch = self._measured.stretch() if self._measured else None
        self._measured = None
        if stretch:
            self._columns.put(stretch)

    # ---- the proof ---------------------------------------------------------------------------------------------------

    def _sure(
        self, runs: Sequence[_Run], raws: list[bytes], numbers: Sequence[bytes | None]
    ) -> tuple[int, list[int], list[int]]:
        """How many of the first elements are well formed, each by itself; their digests and flags. `numbers`: see
        `_proof`."""
        digests, flags, fresh = digests_of(raws), list[int](), list[int]()
        for name, part in runs:
            if known := self._known(name):
                flags += [known.get(digest, -1) for digest in digests[part]]
                fresh += [index for index in range(part.start, part.stop) if flags[index] < 0]
            else:
                flags += [-1] * (part.stop - part.start)
                fresh += range(part.start, part.stop)
        looked, self._mostly_new = self._mostly_new, 2 * len(fresh) > len(raws)
        if len(fresh) == len(raws):
            sure, flags = _proof(raws, numbers if looked else None)
            return sure, digests, flags
        found = [numbers[index] for index in fresh] if looked else None
        sound, marks = _proof([raws[index] for index in fresh], found)
        for index, mark in zip(fresh, marks, strict=True):
            flags[index] = mark
        return len(raws) if sound == len(fresh) else fresh[sound], digests, flags

    # ---- the columns -------------------------------------------------------------------------------------------------

    def _add(self, runs: Sequence[_Run], columns: _Columns, written: Sequence[Sequence[bytes]]) -> None:
        """The rows of these elements; those that lack a time or a channel go the way that counts them."""
        starts, stops, titles, raws, digests, flags = columns
        for name, part in runs:
            run = starts[part]
            if name and None not in run:
                ends = [stop or 0 for stop in stops[part]]
                rows = (run, ends, _titles(titles[part], raws[part]), raws[part], digests[part], flags[part])
                self._columns.extend(Batch(name, *rows))  # type: ignore[arg-type]
                continue
            for start, stop, raw in zip(written[0][part], written[1][part], raws[part], strict=True):
                self._columns.add({"channel": name, "start": start.decode(), "stop": stop.decode()}, raw)


def _runs(channels: Sequence[bytes], count: int) -> list[_Run]:
    """Who the first elements belong to, one channel after the other; raises `OddValue`."""
    runs, at = list[_Run](), 0
    for channel, group in groupby(channels[:count]):
        part = slice(at, at + len(list(group)))
        runs.append((_name(channel), part))
        at = part.stop
    return runs


def _largest(pieces: list[Piece]) -> int:
    """The bytes of the largest element."""
    return max(len(piece[0] or b"") for piece in pieces)


def _digest(text: bytes, begin: int, end: int) -> int:
    """The digest of a stretch; that of nothing where the text ends before it."""
    return xxhash.xxh3_128_intdigest(memoryview(text)[begin:end] if end <= len(text) else b"")


@lru_cache(1024)
def _name(channel: bytes) -> str:
    """The channel's id; raises `OddValue`."""
    if odd(channel):
        raise OddValue
    return channel.decode("utf-8", "replace").strip()


def _plain(piece: Piece) -> bool:
    return not any(odd(value) for value in piece[1:-2] if value)


def _titles(texts: Sequence[bytes | None], raws: Sequence[bytes]) -> list[str]:
    """The first titles, blanks folded."""
    if None not in texts:
        joined = b"\n".join(texts)  # type: ignore[arg-type]
        odd = any(sign in joined for sign in _ODD_SIGNS)
        if not odd and joined == joined.strip(b" ") and joined.count(b"\n") == len(texts) - 1:
            return joined.decode().split("\n")
    return [
        title_of(raw) if text is None or b"&#" in text or b"\r" in text else _unescaped(folded(text.decode()))
        for text, raw in zip(texts, raws, strict=True)
    ]


def _unescaped(text: str) -> str:
    """The text with the references that XML predefines; others cannot stand in it."""
    if "&" in text:
        for reference, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
            text = text.replace(reference, character)
    return text


def _proof(raws: list[bytes], numbers: Sequence[bytes | None] | None) -> tuple[int, list[int]]:
    """How many of the first elements are well formed; the flags of each.

    `numbers`: group 2 of `BODY` of each element, None for those that are not in form; None: nobody has looked yet.
    """
    joined = b"".join(raws)
    flags = flags_of(raws) if numbers is None else flags_in_form(raws, joined, numbers)
    forms = [flag & IN_FORM for flag in flags]
    chosen = raws if all(forms) else list(compress(raws, forms))
    if not _sound_bytes(chosen, joined if chosen is raws else b"".join(chosen)):
        forms = [form and _sound_bytes([raw], raw) for form, raw in zip(forms, raws, strict=True)]
    others = [index for index, form in enumerate(forms) if not form]
    sound = _well_formed([raws[index] for index in others])
    return (len(raws) if sound == len(others) else others[sound]), flags


def _sound_bytes(raws: Sequence[bytes], text: bytes) -> bool:
    """Whether nothing in elements without fault in their tags makes one ill formed; False in doubt. `text`: all of
    them joined."""
    if text.translate(None, _LEGAL) or _REFERENCE.search(text) or (b"]" in text and b"]]>" in text):
        return False
    try:
        decoded = b"".join([raw for raw in raws if not raw.isascii()]).decode()
    except UnicodeDecodeError:
        return False
    return "\ufffe" not in decoded and "\uffff" not in decoded


def _well_formed(raws: list[bytes]) -> int:
    """How many of the first elements are well formed; one call to expat where nothing asks for more."""
    if not raws:
        return 0
    whole, joined = len(raws), b"".join(raws)
    hiding = _Hiding(joined)
    try:
        hiding.parser.Parse(b"<tv>" + joined + b"</tv>", True)
    except pyexpat.ExpatError:
        whole = _ended_before(raws, hiding.parser.ErrorByteIndex - 4)
        joined = b"".join(raws[:whole])
        hiding.found |= b"<!" in joined or b"<?" in joined  # one that is not closed was not told of
    if not hiding.found and joined.count(b"<programme") == whole:
        return whole
    return next((index for index, raw in enumerate(raws) if proven(raw) is None), len(raws))


class _Hiding:
    """A parser that notices comments, CDATA sections and instructions in which the tag of a programme may hide."""

    def __init__(self, joined: bytes) -> None:
        self.found = False
        self.parser = parser = pyexpat.ParserCreate("utf-8")
        self._joined = joined
        self._section = 0
        parser.CommentHandler = self._seen
        parser.ProcessingInstructionHandler = self._seen
        parser.StartCdataSectionHandler = self._section_begins
        parser.EndCdataSectionHandler = self._section_ends

    def _seen(self, *texts: str) -> None:
        self.found = self.found or any("programme" in text for text in texts)

    def _section_begins(self) -> None:
        self._section = self.parser.CurrentByteIndex - 4

    def _section_ends(self) -> None:
        end = self.parser.CurrentByteIndex - 4
        self.found = self.found or self._joined.find(b"programme", self._section, end) >= 0


def _ended_before(raws: list[bytes], position: int) -> int:
    """How many of the elements lie wholly before `position` of all of them joined."""
    for index, raw in enumerate(raws):
        position -= len(raw)
        if position < 0:
            return index
    return len(raws)
