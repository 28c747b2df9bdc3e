"""The streaming reader: from the bytes of a guide to channels and columns of programmes, in flat memory.

Expat reads the whole file, but no field is handed to Python: behind `<programme …>` the handler of start tags is
switched off, and the element's bytes are cut out by expat's offsets. Where expat stops, the broken element is cut at
the tags around it, mended if that cannot move a tag, proven alone, and expat goes on behind it: a fault costs one
programme, never the file. What a reader behind `iterparse` must do is in `records`; `cut` leaps over what is plain
and falls back on this reader.
"""

import pyexpat
import re
from collections.abc import Iterator
from typing import NoReturn

from epg_service.domain.losses import Losses
from epg_service.domain.model import Readable
from epg_service.xmltv.columns import Columns, channel_of
from epg_service.xmltv.elements import CAPPED_BYTES, MAX_DEPTH, capped, folded, open_count, proven
from epg_service.xmltv.encoding import SAMPLE_BYTES, guess, utf8_chunks
from epg_service.xmltv.records import End, Head, Item
from epg_service.xmltv.repair import repaired
from epg_service.xmltv.times import Stamps
from servicekit.errors import BadAnswer, Invalid

CHUNK_BYTES = 256 * 1024
MAX_ELEMENT_BYTES = 4 * 1024 * 1024
# A programme inside a programme is either nonsense that is well formed, or the one before has lost its end tag.
# Within this many bytes it may still prove well formed; past them the end tag counts as lost. Each time that happens
# the patience of this reading halves, or a file of lost end tags would cost the square of its size.
_DOUBT_BYTES = 64 * 1024
_LEAST_DOUBT_BYTES = 128
_STEP_BYTES = 2 * 1024
_LEAST_STEP_BYTES = 64

_MARK = re.compile(rb"<(programme|channel)(?=[\s/>])|</(tv)\s*>")
_EDGE = re.compile(rb"</(programme|channel)\s*>|<(?:programme|channel)(?=[\s/>])|</tv\s*>")
_MARK_TAIL_BYTES = 32  # the beginning of the longest tag that is looked for
_BEGUN = re.compile(rb"<([A-Za-z_][\w:.-]{0,28})(?=[\s/>])")
_MOST_NAMED = 10
_SLASH = ord("/")
_PREAMBLE_BYTES = 4096
_PREAMBLE_TAGS = frozenset(("b", "br", "p", "pre", "font", "div", "span", "i"))  # how PHP words its warnings
_TAG = re.compile(rb"""<[^"'>]*+(?:"[^"]*+"[^"'>]*+|'[^']*+'[^"'>]*+)*+>""")
_ROOT = re.compile(rb"<\?xml\s|<tv[\s>]")
_PAGE = re.compile(rb"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
_PAGE_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,200})", re.IGNORECASE)


def iterparse(stream: Readable, *, stamps: Stamps, losses: Losses, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Item]:
    """Read an unpacked XMLTV file: `Head`, then `ChannelElement` and `Batch` in file order, then `End`.

    Programmes without a channel or a readable start, and elements too broken to mend, are counted in `losses`.
    Raises BadAnswer when the file is no XMLTV (empty, HTML, another root) and Invalid when it declares entities.
    """
    return ExactReader(utf8_chunks(stream, losses, chunk_bytes), stamps, losses).items()


class _Broken(Exception):
    """Well formed so far, but not to be followed further: too deep."""


class _DoctypeEnd(Exception):
    """The DOCTYPE ends here. Reading goes on without it, so that an undeclared entity is an error to be mended, not
    something expat skips in silence because an external DTD, which is never fetched, might declare it."""


def _end_of_tag(buffer: bytes, begin: int, end: int) -> int:
    """Where an element ends that may be an empty one: expat tells the end of `<a/>` at either end of the tag, so that
    `<a/>` and `<a><b/></a>` look alike by its offsets."""
    tag = _TAG.match(buffer, begin)
    if tag and tag.end() in (end, end + len(tag[0])):
        return tag.end()
    return buffer.index(b">", end) + 1


class ExactReader:
    """Expat over a file, and what to do where it stops.

    `_buffer` holds the bytes that may still be needed; the first `_fed` of them were shown to the parser. The parser
    counts bytes from where it was started: its index minus `_base` is a position in `_buffer`.
    """

    def __init__(self, chunks: Iterator[bytes], stamps: Stamps, losses: Losses) -> None:
        self._chunks = chunks
        self._stamps = stamps
        self._losses = losses
        self._columns = Columns(stamps, losses)
        self._buffer = b""
        self._fed = 0
        self._step = CHUNK_BYTES
        self._doubt_bytes = _DOUBT_BYTES
        self._found: list[tuple[bool, dict[str, str], int, int]] = []
        self._opened = False  # <tv> was read
        self._done = False  # </tv> was read
        self._begun = -1
        self._programmes = 0
        self._channels = 0
        self._fallback: str | None = None
        self._base = 0
        self._advance = 0  # how far the parser before this one got
        self._fresh(0)

    # ---- the parser and its handlers ----------------------------------------------------------------------------

    def _fresh(self, position: int, *, inside: bool = False) -> None:
        """A new parser that starts at `position` of the buffer; `inside`: as if `<tv>` had just been read."""
        self._advance = position + self._base
        self._parser = parser = pyexpat.ParserCreate("utf-8")
        self._fed = position
        self._base = -position
        self._depth = 0
        self._open = -1  # index of the programme or channel that is being read
        self._in_programme = False
        self._nested = 0
        self._attributes: dict[str, str] = {}
        if inside:
            parser.Parse(b"<tv>")
            self._base += 4
            self._depth = 1
        self._last = position + self._base  # index behind the last thing that was understood
        parser.specified_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CommentHandler = self._comment
        parser.EntityDeclHandler = self._entity_declared
        parser.EndDoctypeDeclHandler = self._doctype_end

    def _entity_declared(self, name: str, *_: object) -> NoReturn:
        raise Invalid(f"entity declarations are not read (the file declares {name[:40]!r}): they can hide bombs")

    def _doctype_end(self) -> NoReturn:
        self._last = self._parser.CurrentByteIndex
        raise _DoctypeEnd

    def _comment(self, _: str) -> None:
        if self._open < 0:
            position = self._parser.CurrentByteIndex - self._base
            self._last = self._buffer.find(b"-->", position) + 3 + self._base

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        depth = self._depth
        if depth == 1:
            self._last = self._parser.CurrentByteIndex
            if name == "programme":
                self._open = self._last
                self._in_programme = True
                self._attributes = attributes
                self._parser.StartElementHandler = None
                return
            if name == "channel":
                self._open = self._last
                self._attributes = attributes
        elif depth == 0:
            self._root(name, attributes)
        elif depth >= MAX_DEPTH:
            raise _Broken
        self._depth = depth + 1

    def _root(self, name: str, attributes: dict[str, str]) -> None:
        if name != "tv":
            if name.lower() not in _PREAMBLE_TAGS:
                self._refuse(name)
            raise _Broken
        self._last = self._parser.CurrentByteIndex
        self._opened = True
        self._columns.put(Head(attributes))

    def _end(self, name: str) -> None:
        if self._in_programme:
            if name == "programme":
                self._programme_end()
            return
        self._depth -= 1
        if self._depth <= 1:
            self._last = index = self._parser.CurrentByteIndex
            if self._depth == 0:
                self._done = True
            elif self._open >= 0:
                self._found.append((False, self._attributes, self._open, index))
                self._open = -1

    def _programme_end(self) -> None:
        index = self._parser.CurrentByteIndex
        begin = self._open - self._base
        if self._nested:
            self._nested -= 1
            if self._nested:
                return
        elif index != self._open and self._buffer[index - self._base + 1] != _SLASH:
            return  # an empty <programme/> inside; with the start handler off, its end is told where it begins
        elif self._buffer.find(b"<programme", begin + 10, index - self._base) >= 0:
            self._nested = open_count(self._buffer[begin : index - self._base], "programme") - 1
            if self._nested > 0:
                self._parser.StartElementHandler = self._start_nested
                return
            self._nested = 0
        self._found.append((True, self._attributes, self._open, index))
        self._last = index + (self._open == index)
        self._open = -1
        self._in_programme = False
        self._parser.StartElementHandler = self._start

    def _start_nested(self, name: str, _: dict[str, str]) -> None:
        self._nested += name == "programme"

    # ---- the walk through the file ------------------------------------------------------------------------------

    def items(self) -> Iterator[Item]:
        """The whole file."""
        alive = True
        while alive and (self._more() or self._fed < len(self._buffer) or self._rest()):
            yield from self._leaps()
            while alive and self._fed < len(self._buffer) and not self._awaits():
                alive = self._feed()
                yield from self._leaps()
        if not self._opened:
            self._refuse("")
        self._columns.cut()
        yield from self._columns.take()
        if not self._done:
            self._losses.warn("truncated", "the file ends before </tv>: what stood whole before that was kept")
        if zones := self._stamps.unknown_zones:
            self._losses.warn("unknown_zone", f"zones nobody knows, read as the provider's own: {sorted(zones)}")
        yield End(self._done, self._programmes, self._channels)

    def _leaps(self) -> Iterator[Item]:
        while self._ahead():
            yield from self._columns.take()
        yield from self._columns.take()

    def _ahead(self) -> bool:
        """Called wherever the reader stands between two pieces: a faster reader takes over what it can; True when
        there may be more for it behind that."""
        return False

    def _awaits(self) -> bool:
        """Whether a faster reader wants more of the file before the parser is shown what is left of this piece."""
        return False

    def _more(self) -> bool:
        """Drop what is not needed any more and read the next piece; False at the end of the file."""
        piece = next(self._chunks, b"")
        if not piece:
            return False
        if self._opened:
            keep = min(max(self._needed(), 0), len(self._buffer))
            self._fed -= keep
            self._base += keep
            self._buffer = self._buffer[keep:]
        self._buffer += piece
        return True

    def _needed(self) -> int:
        """Where in the buffer the bytes begin that may still be asked for."""
        return (self._open if self._open >= 0 else self._last) - self._base

    def _rest(self) -> bool:
        """At the end of the file, in the middle of something: whether there is more behind a broken element."""
        if self._done or not self._opened:
            return False
        if self._open < 0 and not _MARK.search(self._buffer, max(self._needed(), 0)):
            return False
        self._mend(self._base + len(self._buffer), "the file ends inside the element")
        return self._fed < len(self._buffer)

    def _feed(self) -> bool:
        """Show the parser the next piece; False when the document is over."""
        whole = self._fed == 0 and len(self._buffer) <= self._step
        piece = self._buffer if whole else self._buffer[self._fed : self._fed + self._step]
        try:
            self._parser.Parse(piece)
        except _DoctypeEnd:
            self._fresh(self._buffer.index(b">", self._last - self._base) + 1)
            return True
        except _Broken:
            self._doubt_more()
            return self._stopped(self._parser.CurrentByteIndex, "nested too deep")
        except pyexpat.ExpatError as reason:
            return self._stopped(self._parser.ErrorByteIndex, pyexpat.ErrorString(reason.code) or "")
        self._fed += len(piece)
        self._step = min(self._step * 2, CHUNK_BYTES)
        self._collect()
        begin = max(self._needed(), 0)
        size = self._fed - begin
        doubtful = size > self._doubt_bytes and self._in_doubt(begin)
        if doubtful:
            self._doubt_more()
        if doubtful or size > MAX_ELEMENT_BYTES:
            return self._stopped(self._base + self._fed, "its end tag is missing or far away")
        return True

    def _doubt_more(self) -> None:
        self._doubt_bytes = max(self._doubt_bytes // 2, _LEAST_DOUBT_BYTES)

    def _in_doubt(self, begin: int) -> bool:
        """Whether the element being read holds the beginning of another one."""
        return self._open >= 0 and bool(self._nested or _MARK.search(self._buffer, begin + 8, self._fed))

    def _collect(self) -> None:
        """Cut the elements that were read whole out of the buffer."""
        buffer, base = self._buffer, self._base
        for is_programme, attributes, begin, end in self._found:
            if begin == end or buffer[end - base - 2 : end - base] == b"/>":
                stop = _end_of_tag(buffer, begin - base, end - base)
            else:
                stop = buffer.index(b">", end - base) + 1
            raw = buffer[begin - base : stop]
            self._last = max(self._last, stop + base)
            if is_programme:
                self._programmes += 1
                self._columns.add(attributes, raw)
            else:
                self._channels += 1
                self._add_channel(attributes, raw)
        self._found.clear()

    def _add_channel(self, attributes: dict[str, str], raw: bytes) -> None:
        channel = channel_of(attributes, raw)
        if channel.id:
            self._columns.put(channel)
        else:
            self._losses.add("channel_without_id", raw.decode("utf-8", "replace"))

    # ---- where the parser stops ---------------------------------------------------------------------------------

    def _stopped(self, index: int, reason: str) -> bool:
        """The parser cannot go on past `index`. False when nothing follows that is worth it."""
        self._collect()
        if self._done:
            self._warn_of_the_rest()
            return False
        if self._opened:
            self._mend(index, reason)
        else:
            self._begin_again()
        # What is shown behind a fault is shown again, so where faults stand close together the pieces are small.
        self._step = min(max(2 * self._advance, _LEAST_STEP_BYTES), _STEP_BYTES)
        return True

    def _warn_of_the_rest(self) -> None:
        rest = self._buffer[max(self._needed(), 0) :].partition(b">")[2]
        if _ROOT.search(rest):
            self._losses.warn("second_document", "a second document follows </tv>: only the first was read")
        elif rest.strip(b"\0 \t\r\n\x1a"):
            self._losses.warn("trailing_junk", "something that is no guide follows </tv>: it was left out")

    def _begin_again(self) -> None:
        """Nothing readable up to `<tv>`: begin at the next thing that looks like the beginning of a guide."""
        while len(self._buffer) < _PREAMBLE_BYTES and self._more():
            pass
        match = _ROOT.search(self._buffer, self._begun + 1, self._begun + _PREAMBLE_BYTES)
        if match and not _PAGE.search(self._buffer, 0, match.start()):
            if self._begun < 0 and self._buffer[: match.start()].strip(b"\0 \t\r\n"):
                self._losses.warn("preamble", "something stands before the guide: it was skipped")
            self._begun = match.start()
            self._fresh(self._begun)
            return
        if not self._buffer.startswith(b"<tv", max(self._begun, 0)):
            self._refuse("")
        self._losses.warn("broken_root", "the <tv> tag is not well formed: its attributes were skipped")
        self._opened = True
        self._columns.put(Head({}))
        self._last = self._begun + self._base
        self._resume(self._next_mark())

    def _mend(self, index: int, reason: str) -> None:
        """Deal with the element that the parser met at `index`, or with the junk there, and go on behind it."""
        if self._open < 0:
            position = self._next_mark()
            if position < 0 or position + self._base > index or self._buffer.startswith(b"</", position):
                self._losses.add("junk", f"{reason}, before byte {max(position, 0)} of the piece")
                self._resume(position)
                return
            self._open = position + self._base
        kind = "channel" if self._buffer.startswith(b"<channel", self._needed()) else "programme"
        end, at_end_of_file = self._edge(kind.encode())
        self._programmes += kind == "programme"
        self._channels += kind == "channel"
        begin = self._needed()
        if end < 0:
            end = self._too_large(kind, self._buffer[begin : begin + CAPPED_BYTES])
        elif not self._mended(kind, self._buffer[begin:end].strip()):
            lost = "broken_channel" if kind == "channel" else "cut_off" if at_end_of_file else "broken"
            self._losses.add(lost, f"{reason}: {self._buffer[begin : begin + 160].decode('utf-8', 'replace')}")
        self._resume(end)

    def _too_large(self, kind: str, begin: bytes) -> int:
        """An element over the limit: a programme whose text can be cut is kept for its place in the guide. Returns
        where the next one begins."""
        sample = begin[:200].decode("utf-8", "replace")
        fixed = capped(begin) if kind == "programme" else None
        facts = proven(fixed) if fixed else None
        if fixed and facts:
            self._losses.add("capped", sample)
            self._columns.add(facts[1], fixed)
        else:
            self._losses.add("too_large" if kind == "programme" else "broken_channel", sample)
        self._open, self._last = -1, self._open + (CAPPED_BYTES if facts else 8)
        behind: dict[bytes, None] = {}
        position = self._next_mark(behind)
        if facts and behind:
            names = ", ".join(name.decode() for name in list(behind)[:_MOST_NAMED])
            self._losses.add("cut_behind", f"{names} of {sample[: sample.find('>') + 1] or sample}")
        return position

    def _resume(self, position: int) -> None:
        """Go on at `position` of the buffer, between two elements; below zero: nothing is left."""
        self._fresh(position if position >= 0 else len(self._buffer), inside=True)

    def _next_mark(self, names: dict[bytes, None] | None = None) -> int:
        """Where the next element, or `</tv>`, begins behind what was understood; what is passed over is forgotten, but
        for the names of the elements in it."""
        while True:
            position = max(self._needed(), 0)
            match = _MARK.search(self._buffer, position)
            if names is not None and len(names) < _MOST_NAMED:
                found = _BEGUN.findall(self._buffer, position, match.start() if match else len(self._buffer))
                names.update(dict.fromkeys(found))
            if match:
                return match.start()
            self._last = max(position, len(self._buffer) - _MARK_TAIL_BYTES) + self._base
            if not self._more():
                return -1

    def _edge(self, kind: bytes) -> tuple[int, bool]:
        """Where the open element ends by its bytes: behind its end tag, or before the next element; -1: too far.
        And whether that is the end of the file."""
        offset = 8
        while True:
            begin = self._needed()
            for match in _EDGE.finditer(self._buffer, begin + offset):
                if match[1] == kind:
                    return match.end(), False
                if match[1] is None:
                    return match.start(), False
            size = len(self._buffer) - begin
            if size > MAX_ELEMENT_BYTES:
                return -1, False
            offset = max(8, size - _MARK_TAIL_BYTES)
            if not self._more():
                return len(self._buffer), True

    def _mended(self, kind: str, raw: bytes) -> bool:
        """Keep a broken element if it can be made well formed without guessing."""
        try:
            raw.decode()
        except UnicodeDecodeError:
            if self._fallback is None:
                self._fallback = guess(self._buffer[self._needed() :][:SAMPLE_BYTES])
                self._losses.warn("encoding", f"some bytes are no UTF-8; they were read as {self._fallback}")
        fixed = repaired(raw, self._fallback or "cp1252")
        facts = proven(fixed)
        if facts is None or facts[0] != kind:
            return False
        if fixed != raw:
            self._losses.add("repaired", raw.decode("utf-8", "replace"))
        if kind == "programme":
            self._columns.add(facts[1], fixed)
        else:
            self._add_channel(facts[1], fixed)
        return True

    def _refuse(self, root: str) -> NoReturn:
        """Say what the file is instead of a guide."""
        head = self._buffer[:_STEP_BYTES]
        if not head.strip(b"\0 \t\r\n"):
            raise BadAnswer("the file is empty")
        if root.lower() == "html" or _PAGE.search(head):
            title = _PAGE_TITLE.search(head)
            said = folded(title[1].decode("utf-8", "replace")) if title else "untitled"
            raise BadAnswer(f"got an HTML page instead of a guide: {said!r}")
        if root:
            raise BadAnswer(f"the root element is <{root[:60]}>, not <tv>: this is no XMLTV guide")
        raise BadAnswer(f"this is no XMLTV guide; it begins with {head[:60]!r}")
