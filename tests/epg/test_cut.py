"""The fast reader says what the exact one says: on plain guides, odd ones, broken ones, in pieces of any size."""

import io
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from epg_service.domain.days import digests_of
from epg_service.domain.losses import Losses
from epg_service.xmltv import cut as fast
from epg_service.xmltv.cut import cut
from epg_service.xmltv.elements import tree
from epg_service.xmltv.iterparse import ExactReader, iterparse
from epg_service.xmltv.records import Batch, ChannelElement, End, Head
from epg_service.xmltv.times import Stamps
from servicekit.errors import AerialError

Row = tuple[str, int, int, str, bytes]
Reading = tuple[dict[str, str], list[ChannelElement], list[Row], End | None, dict[str, Any], list[str], type | None]


def told(read: Callable[..., Iterator[object]], document: bytes, **options: Any) -> Reading:
    """Everything a reading said: head, channels, rows, end, losses by kind, warnings, the kind of refusal."""
    losses = Losses()
    head: dict[str, str] = {}
    channels: list[ChannelElement] = []
    rows: list[Row] = []
    end: End | None = None
    refused: type | None = None
    try:
        for item in read(io.BytesIO(document), stamps=Stamps(), losses=losses, **options):
            match item:
                case Head():
                    head = item.attributes
                case ChannelElement():
                    channels.append(item)
                case Batch():
                    columns = (item.starts, item.stops, item.titles, item.raws)
                    rows += zip([item.channel] * len(item), *columns, strict=True)
                case End():
                    end = item
    except AerialError as refusal:
        refused = type(refusal)
    ledgers = {**losses.as_dict(), **losses.notes_dict()}
    counts = {kind: tally["count"] for kind, tally in ledgers.items()}
    return head, channels, rows, end, counts, losses.warnings, refused


def stored(rows: list[Row]) -> Callable[[str], dict[int, int]]:
    """The digests of a reading's rows, as the store would know them."""
    known: dict[str, dict[int, int]] = {}
    for row in rows:
        known.setdefault(row[0], {})[digests_of([row[4]])[0]] = 0
    return lambda channel: known.get(channel, {})


# ---- documents that leap, stumble and leap again ---------------------------------------------------------------------

FALSE_PROGRAMME = '<programme start="20261121220000 +0000" stop="20261121230000 +0000" channel="c1"><title>no</title>'
TEXTS = ["word ", "a  b", " lead", "\n\t", "\r\n", "é", "日本", "&amp;", "&lt;x&gt;", "&#233;", "&#x41;", "> ]] >",
         "--", "<!-- c -->", "<![CDATA[]]>", "<!---->", "<?pi x?>", f"<!-- </programme> {FALSE_PROGRAMME} -->",
         f"<![CDATA[ & </programme> {FALSE_PROGRAMME} ]]>", "<?pi </programme>?>", "<b>bold</b>"]  # fmt: skip
STRAY = '<programme start="20261121" stop="20261122" channel="c1"><title>a</title></programme>'
WRONG = ["&", "&nbsp;", "&eacute;", "<", "\x01", "</programme>", "<b>", "</title>", "<!-- ", "<![CDATA[", "<?x", "]]>",
         "<programme>", "</tv>", "<tv>", "\ud800", FALSE_PROGRAMME, "\ufffe", "-->", "</programme >", "\x00",
         '"', "<programme ", "<channel id='x'>"]  # fmt: skip


@st.composite
def texts(draw: st.DrawFn, odd: bool) -> str:
    if not odd:
        return draw(st.sampled_from(["Show", "The &amp; show", "Über", "", " x "]))
    return "".join(draw(st.lists(st.sampled_from(TEXTS), max_size=3)))


@st.composite
def programmes(draw: st.DrawFn, odd: bool) -> str:
    minute = draw(st.integers(0, 9_999))
    start = f"202611{1 + minute // 1440:02}{minute // 60 % 24:02}{minute % 60:02}00"
    pairs = [("start", start + " +0000"), ("stop", start[:8] + "235900 +0100"), ("channel", "c1")]
    quote, gap, end = '"', " ", "</programme>"
    if odd:
        pairs[0] = ("start", draw(st.sampled_from([start, start + " Z", "soon", "", "2026112"])))
        pairs[2] = ("channel", draw(st.sampled_from(["c1", "c2", "a&amp;b", "x>y", " é ", ""])))
        pairs += draw(
            st.lists(st.sampled_from([("x-y", "1"), ("clumpidx", "0/2"), ("z", ">")]), max_size=2, unique=True)
        )
        pairs = draw(st.permutations(pairs))[draw(st.integers(0, 1)) :]
        quote, gap = draw(st.sampled_from('""\'')), draw(st.sampled_from(["  ", "\n", "\t"]))
        end = draw(st.sampled_from(["</programme>", "</programme>", "</programme >"]))
    opening = "<programme" + "".join(f"{gap}{name}={quote}{value}{quote}" for name, value in pairs) + ">"
    lang = draw(st.sampled_from(["", ' lang="en"']))
    parts = [f"<title{lang}>{draw(texts(odd))}</title>"] if not odd or draw(st.booleans()) else []
    for name in draw(st.lists(st.sampled_from(["desc", "title", "category", "programme-x"]), max_size=2)):
        parts.append(f"<{name}>{draw(texts(odd))}</{name}>")
    return opening + "".join(parts) + end


GAPS = ["text", "<!-- hi -->", f"<!-- {FALSE_PROGRAMME} </programme> -->", "<channel id='c9'/>", "<?pi x?>",
        "<other/>", "<channel id='q'><display-name>Q</display-name></channel>", "<programme/>",
        "<programme start='20261121' channel='c1'/>"]  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    parts: list[str] = []
    for _ in range(draw(st.integers(0, 5))):
        odd = draw(st.integers(0, 2)) == 0
        parts += draw(st.lists(programmes(odd), min_size=1, max_size=2 if odd else 6))
        parts.append(draw(st.sampled_from(["\n  ", "", *(GAPS if odd else ())])))
    head = draw(st.sampled_from(["", '<?xml version="1.0"?>', '<!DOCTYPE tv SYSTEM "xmltv.dtd">\n']))
    blank = draw(st.sampled_from(["", "\n  "]))
    tail = draw(st.sampled_from(["</tv>", "</tv>\n<!-- end -->", "\n</tv>"]))
    return (head + "<tv><channel id='c1'/>" + blank + blank.join(parts) + tail).encode()


CHUNKS = st.sampled_from([7, 31, 64, 300, 1 << 18])


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), CHUNKS)
def test_a_well_formed_guide_reads_the_same_by_cut_by_expat_and_by_elementtree(document: bytes, chunk: int) -> None:
    by_cut = told(cut, document, chunk_bytes=chunk)
    assert by_cut == told(iterparse, document)
    root = ET.fromstring(document)
    assert by_cut[3] == End(True, len(root.findall("programme")), len(root.findall("channel")))
    assert set(by_cut[4]) <= {"unreadable_start", "no_channel"}
    bodies = [list(map(ET.tostring, ET.fromstring(row[4]))) for row in by_cut[2]]
    stamps = Stamps()
    expected = [
        list(map(ET.tostring, element))
        for element in root.findall("programme")
        if element.get("channel", "").strip() and _readable(stamps, element.get("start", ""))
    ]
    assert bodies == expected


def _readable(stamps: Stamps, text: str) -> bool:
    try:
        return stamps[text] >= 0
    except ValueError:
        return False


DAMAGES = st.lists(
    st.tuples(
        st.integers(0, 100_000),
        st.integers(0, 12),
        st.one_of(
            st.sampled_from(WRONG).map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=2)
        ),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=700, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), DAMAGES, CHUNKS)
@example(b"<tv>" + 3 * STRAY.encode() + b"</programme>" + STRAY.encode() + b"</tv>", [(0, 0, b"")], 64)
@example(f"<tv>{FALSE_PROGRAMME}<!-- </programme>{FALSE_PROGRAMME}--</programme></tv>".encode(), [(0, 0, b"")], 7)
def test_a_damaged_guide_costs_the_fast_reader_what_it_costs_the_exact_one(
    document: bytes, damages: list[tuple[int, int, bytes]], chunk: int
) -> None:
    for at, length, put in damages:
        begin = at % (len(document) + 1)
        document = document[:begin] + put + document[begin + length :]
    by_cut = told(cut, document, chunk_bytes=chunk)
    assert by_cut == told(iterparse, document, chunk_bytes=chunk)
    for row in by_cut[2]:
        tree(row[4])  # well formed; ElementTree would ask for namespaces as well, which a feed need not declare
    assert by_cut == told(cut, document, chunk_bytes=chunk, known=stored(by_cut[2]))


# ---- what leaps and what does not ------------------------------------------------------------------------------------


def plain(n: int, more: str = "") -> str:
    hour, minute = n // 60 % 24, n % 60
    return (
        f'  <programme start="20261121{hour:02}{minute:02}00 +0000" stop="20261121235900" channel="c{n // 400}">\n'
        f"    <title>T{n}</title>{more}\n  </programme>\n"
    )


def test_nearly_all_of_a_plain_guide_is_read_by_the_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    exact: list[int] = []
    collect = ExactReader._collect

    def counted(self: ExactReader) -> None:
        exact.append(len(self._found))
        collect(self)

    monkeypatch.setattr(ExactReader, "_collect", counted)
    document = "<tv>" + "".join(plain(n, f"<desc>{'x' * 800}</desc>") for n in range(1200)) + "</tv>"
    assert told(cut, document.encode())[2] == told(iterparse, document.encode())[2]
    assert sum(exact) - 1200 < 300, "of 1200, beside those that the exact reading read"


@pytest.mark.parametrize(
    "wrong",
    ["&", "&eacute;", "<b>", "</title>", "<!-- x", "]]>", "\x01", "</programme>", "<programme>"],
)
def test_a_fault_in_the_middle_costs_one_programme_and_the_leaping_goes_on(wrong: str) -> None:
    parts = [plain(n) for n in range(900)]
    parts[450] = plain(450, f"<desc>a{wrong}b</desc>")
    document = ("<tv>" + "".join(parts) + "</tv>").encode()
    by_cut = told(cut, document)
    assert by_cut == told(iterparse, document)
    assert len(by_cut[2]) >= 899


def test_elements_whose_digests_are_known_are_not_proven_again(monkeypatch: pytest.MonkeyPatch) -> None:
    document = ("<tv>" + "".join(plain(n) for n in range(900)) + "</tv>").encode()
    before = told(cut, document)
    shown: list[int] = []
    prove = fast._proof

    def counted(raws: list[bytes], numbers: list[bytes | None] | None) -> tuple[int, list[int]]:
        shown.append(len(raws))
        return prove(raws, numbers)

    monkeypatch.setattr(fast, "_proof", counted)
    assert told(cut, document, known=stored(before[2])) == before
    assert sum(shown) == 0
    changed = document.replace(b"T450<", b"TX<")
    assert told(cut, changed, known=stored(before[2]))[2][450][3] == "TX"
    assert sum(shown) == 1


@pytest.mark.parametrize(
    ("tag", "order"),
    [
        ("<programme channel='c' start='20261121{:06}'>", "channel first, single quotes, no stop"),
        ('<programme start="20261121{:06}" stop="20261122" channel="c" clumpidx="0/1">', "an extra attribute"),
        ('<programme  start="20261121{:06}"\n stop="20261122"\n channel="c" >', "blanks of all kinds"),
    ],
    ids=lambda value: value if value.startswith("<") is False else "",
)
def test_the_form_of_a_files_start_tags_is_learnt(tag: str, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(tag.format(n) + f"<title>T{n}</title><desc>{'y' * 2000}</desc></programme>" for n in range(300))
    leapt: list[int] = []
    take = fast._Cutter._take

    def counted(self: Any, *told: Any) -> int:
        leapt.append(take(self, *told))
        return leapt[-1]

    monkeypatch.setattr(fast._Cutter, "_take", counted)
    document = f"<tv>{rows}</tv>".encode()
    assert told(cut, document) == told(iterparse, document), order
    assert sum(leapt) > 150
