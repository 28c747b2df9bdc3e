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
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress, groupby, takewhile
from typing import Any, TypeAlias

from epg_service.domain.days import IN_FORM, digests_of
from epg_service.domain.losses import Losses
from epg_service.domain.model import Readable
from epg_service.domain.pieces import Cut
from epg_service.xmltv.columns import title_of
from epg_service.xmltv.elements import folded, proven
from epg_service.xmltv.encoding import utf8_chunks
from epg_service.xmltv.form import flags_in_form, flags_of
from epg_service.xmltv.heads import Form, OddValue, Piece, form_of, odd
from epg_service.xmltv.iterparse import CHUNK_BYTES, MAX_ELEMENT_BYTES, ExactReader
from epg_service.xmltv.records import Batch, Item, KnownPart, KnownRows
from epg_service.xmltv.times import MAX_ENTRIES, Stamps
from epg_service.xmltv.walk import END, Expected, Walk

_STEP_BYTES = 2 * 1024
_MANY = 8
"""So many programmes in one leap are a success; after fewer the exact reader goes on for a while."""
_MAX_WAIT = 64
_LARGE_BYTES = 4 * 1024
"""Few programmes are larger: so far a leap of some pieces looks ahead."""
_MAX_REACH = 1 << 10


_ODD_SIGNS = (b"&", b"\t", b"\r", b"  ", b"\n ", b" \n")  # in titles, joined by line feeds, that are to be folded
_LEGAL = b"\t\n\r" + bytes(range(0x20, 0x100))
# A reference to anything but the five that XML predefines, or characters from 32 to 9999, all of them legal.
_REFERENCE = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#(?:3[2-9]|[4-9][0-9]|[1-9][0-9]{2,3}));)")

_Run: TypeAlias = tuple[str, slice]
"""A channel and its elements, which stand one after the other."""

Known = Callable[[str], Mapping[int, int]]
"""What is known of a channel: the digest of each element that is stored, so was proven well formed, and its flags (see
`domain.days`)."""

Recalled = Callable[[str], Sequence[KnownPart]]
"""The parts of a channel that stood in an earlier file, were proven then and are stored, by start."""

_Columns: TypeAlias = tuple[
    list[int | None], list[int | None], Sequence[bytes | None], list[bytes], list[int], list[int], list[Cut]
]
"""Starts, stops, titles as they stand, elements, their digests and flags, and what was cut out of them."""


def nothing_known(_: str) -> Mapping[int, int]:
    """For a guide that is read for the first time."""
    return {}


def cut(
    stream: Readable,
    *,
    stamps: Stamps,
    losses: Losses,
    known: Known = nothing_known,
    recalled: Recalled | None = None,
    pieces: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[Item]:
    """Read an unpacked XMLTV file: the same items, losses and errors as `iterparse`.

    `known` is asked for channels of which elements are read; what it names is not proven again. `recalled` is asked
    once where a channel begins: parts, and programmes of parts, that stand there again are not read at all. `pieces`:
    batches say what was cut out of elements (`domain.pieces`).
    """
    return _Cutter(utf8_chunks(stream, losses, chunk_bytes), stamps, losses, known, recalled, pieces).items()


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


class _Cutter(ExactReader):
    """The exact reader, leaping over the stretches that can be had for less."""

    def __init__(
        self,
        chunks: Iterator[bytes],
        stamps: Stamps,
        losses: Losses,
        known: Known,
        recalled: Recalled | None,
        cuts: bool,  # batches say what was cut out of elements
    ) -> None:
        super().__init__(chunks, stamps, losses)
        self._instants = _Instants(stamps)
        self._known = known
        self._recalled = recalled
        self._cuts = cuts
        self._expected = Expected("", ())
        self._form: Form | None = None
        self._mostly_new = True  # look at elements whole at once: few of the last ones were known
        self._reach = _MAX_REACH  # programmes to pass at most
        self._wait = 1  # programmes for the exact reader after a leap that came to little
        self._leap_from = 1  # leap when so many programmes were read
        self._leapt = False  # the last leap took all that was there
        self._step = _STEP_BYTES

    def _ahead(self) -> bool:
        """Take over the next programmes, as far as they can be proven; whether all that are here were."""
        if self._nested or (self._open >= 0 and not self._in_programme):
            return False
        return not self._done and self._programmes >= self._leap_from and self._leap()

    def _leap(self) -> bool:
        """Take over the elements that are here; whether all of them were sound."""
        if self._recalled:
            self._look_out(self._recalled)
        begin = max(self._needed(), 0)
        end = self._buffer.rfind(END, begin, begin + self._reach * _LARGE_BYTES)
        if end < 0:
            return False
        passed = 0
        self._leapt = False
        if form := self._form_at(begin):
            walk = Walk(self._buffer, form, begin, end + len(END), whole=self._mostly_new)
            if self._recalled:
                walk.read_among(self._expected, self._instants.__getitem__, self._reach)
            else:
                walk.read(self._reach)
            passed = self._pass(form, walk, begin)
        self._judge(passed)
        return self._leapt

    def _look_out(self, recalled: Recalled) -> None:
        """Finds out what is known of the channel that stands here, and reads on until its next part may be whole."""
        begin = max(self._needed(), 0)
        channel, start_s = self._stands_at(begin)
        if channel and channel != self._expected.channel:
            self._expected = Expected(channel, recalled(channel))
        if not channel or start_s is None:
            return
        self._expected.after(start_s - 1)
        part = self._expected.part
        while part and len(self._buffer) - begin < part.in_file.length + _LARGE_BYTES and self._more():
            begin = max(self._needed(), 0)

    def _pass(self, form: Form, walk: Walk, begin: int) -> int:
        """Takes over what was walked through, up to the first element that is not sure; how many programmes."""
        pieces = walk.pieces
        if pieces and walk.position - begin > MAX_ELEMENT_BYTES and _largest(pieces) > MAX_ELEMENT_BYTES:
            return 0
        sure = self._take(form, pieces, walk) if pieces else 0
        known = walk.known_until(sure)
        if not sure:
            self._add_known(self._expected.channel, known, walk.gap)
        passed = sure + sum(len(rows[0]) for _, rows in known)
        if passed:
            self._leapt = sure == len(pieces)
            self._programmes += passed
            self._resume(walk.position if self._leapt else walk.begins[sure])
        return passed

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

    def _take(self, form: Form, pieces: list[Piece], walk: Walk) -> int:
        """Takes over the first pieces, as many as are sure to be one element each; how many. With them go the known
        parts before, between and behind them."""
        columns = list(zip(*pieces, strict=True))
        raws, count = list(columns[0]), len(pieces)
        written = columns[form.start + 1], columns[form.stop + 1] if form.stop >= 0 else (b"",) * count
        try:
            sure, digests, flags = self._sure(_runs(columns[form.channel + 1], count), raws, columns[form.numbers])
            starts, stops = (list(map(self._instants.__getitem__, column[:sure])) for column in written)
        except OddValue:
            plain = list(takewhile(lambda piece: not any(odd(value) for value in piece[form.values] if value), pieces))
            return self._take(form, plain, walk) if plain else 0
        if sure:
            runs = _runs(columns[form.channel + 1], sure)
            cut_out: list[Any] = list(zip(*(columns[at] for at in form.pieces), strict=True))
            rows = (starts, stops, columns[form.title], raws, digests, flags, cut_out)
            self._add(runs, rows, written, walk.gap, walk.known_until(sure))
        return sure

    def _form_at(self, position: int) -> Form | None:
        """The form of the start tag that begins here; None when it is one for the exact reader."""
        if self._form is None or not self._form.head(self._buffer, position):
            self._form = form_of(self._buffer, position, cut=self._cuts)
        return self._form if self._form and self._form.head(self._buffer, position) else None

    def _stands_at(self, position: int) -> tuple[str, int | None]:
        """Channel and start of the programme that begins here; "" and None where that cannot be told."""
        if not self._buffer[position : position + _LARGE_BYTES].lstrip().startswith(b"<programme"):
            return "", None
        form = self._form_at(position)
        head = form.head(self._buffer, position) if form else None
        if not form or not head:
            return "", None
        try:
            return _name(head[form.channel + 2]), self._instants[head[form.start + 2]]
        except OddValue:
            return "", None

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

    def _add(
        self,
        runs: Sequence[_Run],
        columns: _Columns,
        written: Sequence[Sequence[bytes]],
        gap: bytes | None,
        known: Sequence[tuple[int, KnownRows]],
    ) -> None:
        """The rows of these elements; those that lack a time or a channel go the way that counts them. `known`: what is
        known of the one channel, before, between and behind them."""
        starts, stops, titles, raws, digests, flags, cut_out = columns
        for name, part in runs:
            run = starts[part]
            if name and None not in run:
                ends = [stop or 0 for stop in stops[part]]
                said = _titles(titles[part], raws[part])
                read = (run, ends, said, raws[part], digests[part], flags[part])
                batch = Batch(name, *read, gap, cut_out[part])  # type: ignore[arg-type]
                self._columns.extend(_woven(batch, known) if known else batch)
                continue
            waiting = deque(known)
            for at, raw in enumerate(raws[part], part.start):
                while waiting and waiting[0][0] <= at:
                    self._add_known(name, [waiting.popleft()], gap)
                start, stop = (column[at].decode() for column in written)
                self._columns.add({"channel": name, "start": start, "stop": stop}, raw)
            self._add_known(name, list(waiting), gap)

    def _add_known(self, channel: str, known: Sequence[tuple[int, KnownRows]], gap: bytes | None) -> None:
        """The rows of one channel that are known, with no others between them."""
        if known:
            self._columns.extend(_woven(Batch(channel, [], [], [], [], [], [], gap), known))


def _woven(batch: Batch, known: Iterable[tuple[int, KnownRows]]) -> Batch:
    """The rows that were read, with those that are known where they stand."""
    read = (batch.starts, batch.stops, batch.titles, batch.raws, batch.digests, batch.flags)
    columns: list[list[Any]] = [[] for _ in read]
    before = 0
    for at, rows in known:
        if at > before:
            for column, own in zip(columns, read, strict=True):
                column.extend(own[before:at])  # type: ignore[index]
            before = at
        for column, others in zip(columns, rows, strict=True):
            column.extend(others)
    for column, own in zip(columns, read, strict=True):
        column.extend(own[before:])  # type: ignore[index]
    starts, stops, titles, raws, digests, flags = columns
    return Batch(batch.channel, starts, stops, titles, raws, digests, flags, batch.gap)


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


@lru_cache(1024)
def _name(channel: bytes) -> str:
    """The channel's id; raises `OddValue`."""
    if odd(channel):
        raise OddValue
    return channel.decode("utf-8", "replace").strip()


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
