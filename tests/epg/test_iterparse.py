"""The streaming reader against ElementTree, and against everything that feeds get wrong."""

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from epg_service.domain.losses import Losses
from epg_service.xmltv import iterparse as reader
from epg_service.xmltv.iterparse import iterparse
from epg_service.xmltv.records import Batch, ChannelElement, End, Head
from epg_service.xmltv.times import Stamps
from servicekit.errors import AerialError, BadAnswer, Invalid


@dataclass
class Told:
    """Everything a reading said."""

    head: dict[str, str] = field(default_factory=dict)
    channels: list[ChannelElement] = field(default_factory=list)
    rows: list[tuple[str, int, int, str, bytes]] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    end: End = field(default_factory=lambda: End(False, -1, -1))
    losses: Losses = field(default_factory=Losses)

    @property
    def titles(self) -> list[str]:
        return [row[3] for row in self.rows]

    def lost(self) -> dict[str, object]:
        return {kind: tally["count"] for kind, tally in self.losses.as_dict().items()}


def read(document: bytes | str, chunk_bytes: int = reader.CHUNK_BYTES) -> Told:
    told = Told()
    stream = io.BytesIO(document.encode() if isinstance(document, str) else document)
    for item in iterparse(stream, stamps=Stamps(), losses=told.losses, chunk_bytes=chunk_bytes):
        assert told.end.programmes < 0, "nothing comes behind the end"
        match item:
            case Head(attributes):
                told.head = attributes
            case ChannelElement():
                told.channels.append(item)
            case Batch(channel, starts, stops, titles, raws):
                told.batches.append(item)
                told.rows.extend(zip([channel] * len(item), starts, stops, titles, raws, strict=True))
            case End():
                told.end = item
    assert told.end.programmes == len(told.rows) + told.losses.total()
    for row in told.rows:
        ET.fromstring(row[4])
    return told


def programme(n: int, inner: str | None = None) -> str:
    title = f"<title>T{n}</title>" if inner is None else inner
    return f'<programme start="202611210{n}0000 +0000" stop="202611210{n}3000 +0000" channel="c">{title}</programme>'


def guide(*parts: str, end: str = "</tv>") -> str:
    return "<tv>" + "\n".join(parts) + end


# ---- well-formed documents: the same as ElementTree -------------------------------------------------------------

NASTY_TEXT = st.lists(
    st.sampled_from(
        ["a", " ", "\n", "é",
         "漢", "&amp;", "&lt;", "&#233;", "]]&gt;", "<!-- </programme> -->", "<!--<programme x='-->",
         "<![CDATA[ </programme> <programme> & ]]>", "<?pi </programme>?>", "<b>bold</b>", "<b/>", "\u0085", "\u00a0"]
    ),
    max_size=5,
).map("".join)  # fmt: skip
ATTRIBUTE_TEXT = st.lists(
    st.sampled_from(["x", ">", "/>", "&lt;programme&gt;", "&quot;", "&apos;", "é", " ", "</"[1:]]), max_size=4
).map("".join)


@st.composite
def start_tags(draw: st.DrawFn, name: str = "programme") -> str:
    pairs = [
        ("start", draw(st.sampled_from(["20261121200000 +0000", "202611212000", "20261121", "soon", ""]))),
        ("channel", draw(st.sampled_from(["c1", " c2 ", "a&amp;b", "&#97;", "", "é"]))),
    ]
    if draw(st.booleans()):
        pairs.append(("stop", draw(st.sampled_from(["20261121210000 +0000", "later"]))))
    if draw(st.booleans()):
        pairs.append(("odd", draw(ATTRIBUTE_TEXT)))
    pairs = draw(st.permutations([pair for pair in pairs if pair[1] or draw(st.booleans())]))
    quote = draw(st.sampled_from("\"'"))
    gap = draw(st.sampled_from([" ", "\n", "\t  "]))
    equals = draw(st.sampled_from(["=", " = "]))
    return "<" + name + "".join(f"{gap}{key}{equals}{quote}{value}{quote}" for key, value in pairs)


@st.composite
def programmes(draw: st.DrawFn, depth: int = 0) -> str:
    tag = draw(start_tags())
    if draw(st.integers(0, 5)) == 0:
        return tag + " />"
    inner = []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(["title", "title", "desc", "programmeX", "tv"]))
        inner.append(f"<{name} lang='x'>{draw(NASTY_TEXT)}</{name} >")
    if depth < 2 and draw(st.integers(0, 4)) == 0:
        inner.append(draw(programmes(depth + 1)))
    inner.append(draw(NASTY_TEXT))
    return tag + ">" + "".join(inner) + draw(st.sampled_from(["</programme>", "</programme\n>"]))


DOCUMENTS = st.builds(
    lambda prolog, parts, tail: prolog + "<tv source-info-name='s>'>" + "".join(parts) + "</tv>" + tail,
    st.sampled_from(
        ["", '<?xml version="1.0" encoding="UTF-8"?>\n', "<!-- <tv> -->", '<!DOCTYPE tv SYSTEM "xmltv.dtd">',
         "<!DOCTYPE tv [<!ELEMENT tv ANY> <!-- > -->]>\n", "\ufeff"]
    ),
    st.lists(
        st.one_of(
            programmes(),
            programmes(),
            st.sampled_from(
                ["\n", "text", "<!-- <programme></programme> -->",
                 "<channel id='c1'><display-name>C</display-name></channel>",
                 "<channel id='q'/>", "<other><programme start='20261121' channel='c'/></other>", "<programmes/>"]
            ),
        ),
        max_size=7,
    ),
    st.sampled_from(["", "\n", "<!-- </tv> -->\n"]),
)  # fmt: skip


def blanks_folded(text: str) -> str:
    return re.sub("[ \t\r\n]+", " ", text).strip(" ")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENTS, st.sampled_from([7, 8, 13, 64, 1000, 262144]))
@example("<tv><programme/><programme start='20261121' channel='c'/></tv>", 7)
def test_a_well_formed_document_reads_as_elementtree_reads_it(document: str, chunk_bytes: int) -> None:
    told = read(document, chunk_bytes)
    root = ET.fromstring(document.encode())
    stamps = Stamps()
    expected = []
    for element in root.findall("programme"):
        channel = element.get("channel", "").strip()
        try:
            start = stamps[element.get("start", "")]
        except ValueError:
            continue
        if channel:
            title = element.find("title")
            text = "" if title is None else blanks_folded("".join(title.itertext()))
            expected.append((channel, start, text, ET.tostring(element).rpartition(b">")[0]))
    found = [
        (ch, start, title, ET.tostring(ET.fromstring(raw)).rpartition(b">")[0])
        for ch, start, _, title, raw in told.rows
    ]
    assert found == expected
    assert told.head == root.attrib
    assert [channel.id for channel in told.channels] == [c.get("id") for c in root.findall("channel")]
    assert told.end == End(True, len(root.findall("programme")), len(root.findall("channel")))
    assert set(told.lost()) <= {"unreadable_start", "no_channel"}
    assert told.losses.warnings == []


def test_channels_and_batches_come_in_the_order_of_the_file() -> None:
    items = list(
        iterparse(
            io.BytesIO(
                b"<tv><channel id=' a '><display-name lang='en'>A</display-name><display-name>B</display-name>"
                b"<icon src='http://i/1.png'/><icon src='http://i/2.png'/><url>http://u</url></channel>"
                b"<programme start='20261121' channel='a'/><programme start='20261122' channel='a'/>"
                b"<programme start='20261121' channel='b'/><channel id='late'/></tv>"
            ),
            stamps=Stamps(),
            losses=Losses(),
        )
    )
    assert [type(item).__name__ for item in items] == [
        "Head",
        "ChannelElement",
        "Batch",
        "Batch",
        "ChannelElement",
        "End",
    ]
    first = items[1]
    assert isinstance(first, ChannelElement)
    assert (first.id, first.display_names) == ("a", [("en", "A"), (None, "B")])
    assert (first.icon, first.urls) == ("http://i/1.png", ["http://u"])
    assert first.raw.startswith(b"<channel id=' a '>")
    assert first.raw.endswith(b"</channel>")
    assert [len(item) for item in items if isinstance(item, Batch)] == [2, 1]


def test_a_batch_is_bounded() -> None:
    rows = "".join(f"<programme start='2026112120{n % 60:02}' channel='c'/>" for n in range(1200))
    assert [len(batch) for batch in read(guide(rows)).batches] == [500, 500, 200]


def test_a_missing_or_unreadable_stop_is_zero() -> None:
    told = read("<tv><programme start='20261121' channel='c'/><programme start='20261121' stop='x' channel='c'/></tv>")
    assert [row[2] for row in told.rows] == [0, 0]


def test_undated_and_channelless_programmes_are_counted_with_a_sample() -> None:
    told = read(
        "<tv><programme start='2016043015600' channel='c'/><programme channel='c'/><programme start='20261121'/>"
        "<programme start='20261121' channel=' '/></tv>"
    )
    assert told.lost() == {"unreadable_start": 2, "no_channel": 2}
    assert told.end.programmes == 4
    assert "2016043015600" in str(told.losses.as_dict()["unreadable_start"]["samples"])


@pytest.mark.parametrize("attributes", ["", " lang='a>b'", ' lang="?>en" x="y>"', " lang = 'en' ", "\n\tlang='en'"])
def test_a_title_begins_behind_its_whole_tag(attributes: str) -> None:
    assert read(guide(programme(1, f"<title{attributes}>T</title>"))).titles == ["T"]


def test_an_unknown_zone_is_warned_of() -> None:
    assert read("<tv><programme start='20261121120000 XYZ' channel='c'/></tv>").losses.warnings == ["unknown_zone"]


# ---- faults ------------------------------------------------------------------------------------------------------

MENDED = {
    "bare ampersand": ("<title>Dailey & Vincent</title>", "Dailey & Vincent"),
    "ampersand before a word": ("<title>AT&T x; y</title>", "AT&T x; y"),
    "query of an address": ("<title>t</title><icon src='http://h/?a=1&b=2'/>", "t"),
    "HTML entity": ("<title>caf&eacute;&nbsp;&middot;</title>", "café\u00a0·"),
    "unknown entity": ("<title>a &nonsense; b</title>", "a &nonsense; b"),
    "control characters": ("<title>a\x01\x08\x1ab</title>", "ab"),
    "NUL": ("<title>a\x00b</title>", "ab"),
    "reference to NUL": ("<title>a&#0;&#x1F;b</title>", "ab"),
    "surrogate pair by references": ("<title>&#xD83D;&#xDE00;!</title>", "😀!"),
    "lone surrogate reference": ("<title>a&#xD83D;b</title>", "ab"),
    "U+FFFE": ("<title>a\ufffeb</title>", "ab"),
    "less-than before a digit": ("<title><1> of 2</title>", "<1> of 2"),
    "ampersand beside CDATA": ("<title><![CDATA[a & &eacute;]]> & b</title>", "a & &eacute; & b"),
}


@pytest.mark.parametrize(("inner", "title"), MENDED.values(), ids=MENDED.keys())
@pytest.mark.parametrize("chunk_bytes", [7, 64, 262144])
def test_a_fault_that_moves_no_tag_is_mended(inner: str, title: str, chunk_bytes: int) -> None:
    told = read(guide(programme(1), programme(2, inner), programme(3)), chunk_bytes)
    assert told.titles == ["T1", title, "T3"]
    assert told.end == End(True, 3, 0)
    assert told.losses.count("repaired") == 1
    assert told.losses.total() == 0


BROKEN = {
    "tag in text": "<title>a <oest-of-th3-gs.gid30n> b</title>",
    "crossed tags": "<title>a</desc>",
    "lost end tag of a child": "<title>a",
    "attribute without a blank": "<title lang='en'type='x'>a</title>",
    "attribute without a quote": '<title lang="en>a</title>',
    "double attribute": "<title lang='en' lang='en'>a</title>",
    "bare less-than": "<title>a < b</title><x <y</x>",
}


@pytest.mark.parametrize("inner", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("chunk_bytes", [7, 64, 262144])
def test_a_broken_element_costs_one_programme(inner: str, chunk_bytes: int) -> None:
    told = read(guide(programme(1), programme(2, inner), programme(3), programme(4)), chunk_bytes)
    assert told.titles == ["T1", "T3", "T4"]
    assert told.end == End(True, 4, 0)
    assert told.lost() == {"broken": 1}
    assert told.losses.warnings == []


BETWEEN = {
    "stray end tag": "</desc>",
    "bare ampersand": "a & b",
    "lone less-than": "< ",
    "half a channel": "<channel id='x'><display-name>X</display-name>",
    "broken start tag": "<programme start='20261121' start='20261121' channel='c'/>",
    "programme without an end": programme(5).removesuffix("</programme>"),
    "programme without an end and inside": programme(5).removesuffix("</title></programme>"),
    "unfinished start tag": "<programme start='2026",
}


@pytest.mark.parametrize("junk", BETWEEN.values(), ids=BETWEEN.keys())
@pytest.mark.parametrize("chunk_bytes", [7, 64, 262144])
def test_what_stands_broken_between_elements_costs_no_other(junk: str, chunk_bytes: int) -> None:
    told = read(guide(programme(1), junk, programme(2), programme(3)), chunk_bytes)
    assert told.titles == ["T1", "T2", "T3"]
    assert told.end.complete


@pytest.mark.parametrize("lost", ["</programme>", "</channel>"])
def test_a_lost_end_tag_costs_one_element_of_many(lost: str) -> None:
    head = "<channel id='c'><display-name>C</display-name></channel>"
    body = [programme(n % 10, f"<title>{n}</title><desc>{'x' * 900}</desc>") for n in range(400)]
    if lost == "</programme>":
        body[200] = body[200].removesuffix(lost)
    else:
        head = head.removesuffix(lost)
    told = read(guide(head, *body))
    assert told.end == End(True, 400, 1)
    assert len(told.rows) == 400 - (lost == "</programme>")
    assert told.losses.count("broken") + told.losses.count("broken_channel") == 1


@pytest.mark.parametrize("cut", range(60, 330, 9))
def test_a_truncated_file_keeps_what_was_whole(cut: int) -> None:
    document = guide(programme(1), programme(2), programme(3))[:cut]
    told = read(document, 64)
    assert told.titles == [f"T{n}" for n in range(1, document.count("</programme>") + 1)]
    assert not told.end.complete
    assert told.losses.warnings == ["truncated"]
    assert told.losses.count("cut_off") <= 1


@pytest.mark.parametrize(
    ("tail", "warning"),
    [
        ("\n\n", None),
        ("\x00\x00\x00", None),
        ("<br />PHP Warning: x", "trailing_junk"),
        ("garbage", "trailing_junk"),
        ("<?xml version='1.0'?>" + guide(programme(9)), "second_document"),
        (guide(programme(9)), "second_document"),
    ],
)
def test_the_first_document_wins(tail: str, warning: str | None) -> None:
    told = read(guide(programme(1)) + tail)
    assert told.titles == ["T1"]
    assert told.end.complete
    assert told.losses.warnings == ([warning] if warning else [])


@pytest.mark.parametrize(
    ("preamble", "warning"),
    [
        ("\ufeff", None),
        ("\n \r\n", None),
        ("\x00\x00", None),
        ("<br />\n<b>Warning</b>:  x() in <b>/y.php</b> on line <b>3</b><br />\n", "preamble"),
        ("Notice: something & more\n", "preamble"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [7, 262144])
def test_what_stands_before_the_guide_is_skipped(preamble: str, warning: str | None, chunk_bytes: int) -> None:
    told = read(preamble + '<?xml version="1.0" encoding="UTF-8"?>\n' + guide(programme(1)), chunk_bytes)
    assert told.titles == ["T1"]
    assert told.losses.warnings == ([warning] if warning else [])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "empty"),
        (" \n\x00", "empty"),
        ("<!DOCTYPE html><html><head><title>Please log in</title></head><body><tv></body>", "Please log in"),
        ("<HTML><body>x", "HTML"),
        ("<ProgramGuide><a/></ProgramGuide>", "ProgramGuide"),
        ('<?xml version="1.0"?><rss version="2.0"/>', "rss"),
        ('{"user_info": {"auth": 0}}', "begins with"),
        ("#EXTM3U\n", "begins with"),
        ("\x89PNG\r\n", "begins with"),
        ("<a", "begins with"),
    ],
    ids=repr,
)
def test_what_is_no_guide_is_refused_by_its_name(document: str, said: str) -> None:
    with pytest.raises(BadAnswer, match=said):
        read(document)


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE tv [<!ENTITY a "b">]><tv/>',
        '<!DOCTYPE tv [<!ENTITY % a SYSTEM "file:///etc/passwd">%a;]><tv/>',
        '<!DOCTYPE tv [<!ENTITY a SYSTEM "http://h/x">]><tv>&a;</tv>',
    ],
)
def test_entity_declarations_are_refused(document: str) -> None:
    with pytest.raises(Invalid, match="entity declarations"):
        read(document)


def test_with_an_external_dtd_undeclared_entities_are_still_mended() -> None:
    told = read('<!DOCTYPE tv SYSTEM "xmltv.dtd">' + guide(programme(1, "<title>caf&eacute;</title>")))
    assert told.titles == ["café"]


def test_a_broken_root_tag_loses_its_attributes_only() -> None:
    told = read(f'<?xml version="1.0"?>\n<tv generator-info-name=x">\n{programme(1)}{programme(2)}</tv>')
    assert told.titles == ["T1", "T2"]
    assert told.losses.warnings == ["broken_root"]
    assert told.end.complete


def test_an_element_over_the_limit_keeps_its_place_with_its_text_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_ELEMENT_BYTES", 50_000)
    big = programme(2, f"<title>T2</title><desc>{'x' * 400_000}</desc>")
    token = f"<programme start='20261121' channel='{'y' * 400_000}'/>"
    told = read(guide(programme(1), big, programme(3), token, programme(4)), 4096)
    assert told.titles == ["T1", "T2", "T3", "T4"]
    assert told.rows[1][4].endswith("x…</desc></programme>".encode())
    assert told.losses.count("capped") == 1
    assert told.lost() == {"too_large": 1}
    assert told.end == End(True, 5, 0)


HOSTILE = {
    "start tags without an end": "<programme " * 30_000,
    "programmes that never end": "<programme start='20261121' channel='c'>" * 10_000,
    "channels that never end": "<channel id='c'>" * 10_000,
    "ampersands": "<programme start='20261121' channel='c'><title>" + "&" * 300_000 + "</title></programme>",
    "comments that never end": "<programme start='20261121' channel='c'>&" + "<!--" * 100_000 + "</programme>",
    "sections that never end": "<programme start='20261121' channel='c'>&" + "<![CDATA[" * 50_000 + "</programme>",
    "nesting without an end": "<a>" * 100_000,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("inner", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_costs_no_more_than_its_size(inner: str) -> None:
    told = read("<tv>" + inner)
    assert not told.end.complete


def test_deep_nesting_costs_its_element_only() -> None:
    deep = "<a>" * 5000 + "</a>" * 5000
    told = read(guide(programme(1), deep, f"<channel id='c'>{deep}</channel>", programme(2)), 1000)
    assert told.titles == ["T1", "T2"]
    assert told.losses.count("broken_channel") == 0, "well formed, so the channel is kept"
    assert told.end.complete


# ---- encodings ---------------------------------------------------------------------------------------------------

GERMAN = guide(*(programme(n % 10, f"<title>Über Größe {n} – schön</title>") for n in range(9)))
RUSSIAN = guide(*(programme(n % 10, f"<title>Новости и погода сегодня вечером {n}</title>") for n in range(9)))


def declared(label: str, document: str, encoding: str) -> bytes:
    return (f'<?xml version="1.0" encoding="{label}"?>\n' + document).encode(encoding)


ENCODED = {
    "UTF-8": (declared("UTF-8", GERMAN, "utf-8"), None),
    "UTF-8 with a mark": (declared("UTF-8", GERMAN, "utf-8-sig"), None),
    "UTF-16 with a mark": (declared("UTF-16", GERMAN, "utf-16"), None),
    "UTF-16 that says UTF-8": (declared("UTF-8", GERMAN, "utf-16"), None),
    "UTF-16 without a mark": (declared("UTF-16", GERMAN, "utf-16-le"), None),
    "UTF-16 big end first": (declared("UTF-16", GERMAN, "utf-16-be"), None),
    "UTF-32 with a mark": (declared("UTF-32", GERMAN, "utf-32"), None),
    "UTF-8 that says UTF-16": (declared("UTF-16", GERMAN, "utf-8"), None),
    "Latin-1, in truth Windows": (declared("ISO-8859-1", GERMAN, "cp1252"), None),
    "iso8859-1": (declared("iso8859-1", GERMAN, "cp1252"), None),
    "Windows that says UTF-8": (declared("UTF-8", GERMAN, "cp1252"), "encoding"),
    "UTF-8 that says Latin-1": (declared("ISO-8859-1", GERMAN, "utf-8"), "encoding"),
    "no such encoding": (declared("invalid", GERMAN, "utf-8"), "encoding"),
    "a codec that is no charset": (declared("unicode_escape", GERMAN, "utf-8"), "encoding"),
}


@pytest.mark.parametrize(("document", "warning"), ENCODED.values(), ids=ENCODED.keys())
@pytest.mark.parametrize("chunk_bytes", [7, 262144])
def test_whatever_the_encoding_utf8_comes_out(document: bytes, warning: str | None, chunk_bytes: int) -> None:
    told = read(document, chunk_bytes)
    assert told.titles == [f"Über Größe {n} – schön" for n in range(9)]
    assert all("Größe".encode() in row[4] for row in told.rows)
    assert told.losses.warnings == ([warning] if warning else [])


@pytest.mark.parametrize("label", ["UTF-8", "windows-1251"])
def test_cyrillic_bytes_are_recognised(label: str) -> None:
    told = read(declared(label, RUSSIAN, "cp1251"))
    assert told.titles == [f"Новости и погода сегодня вечером {n}" for n in range(9)]


def test_a_few_bad_bytes_in_good_utf8_cost_nothing() -> None:
    document = GERMAN.encode().replace(
        b"</tv>", programme(9, "<title>Caf\udce9</title>").encode("utf-8", "surrogateescape") + b"</tv>"
    )
    told = read(document)
    assert told.titles[-1] == "Café"
    assert told.losses.warnings == ["encoding"]
    assert told.losses.count("repaired") == 1


def test_latin_bytes_far_behind_an_ascii_beginning_are_mended() -> None:
    plain = [programme(n % 10) + " " * 100 for n in range(1000)]
    document = guide(*plain).encode().replace(b"</tv>", programme(9, "<title>@</title>").encode() + b"</tv>")
    told = read(document.replace(b"@", "Größe".encode("cp1252")))
    assert told.titles[-1] == "Größe"


# ---- anything ----------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    DOCUMENTS,
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 12), st.binary(max_size=3)), min_size=1, max_size=4),
    st.sampled_from([7, 100, 262144]),
)
def test_a_damaged_document_yields_well_formed_elements_or_a_clear_refusal(
    document: str, damages: list[tuple[int, int, bytes]], chunk_bytes: int
) -> None:
    data = document.encode()
    for at, length, put in damages:
        begin = at % (len(data) + 1)
        data = data[:begin] + put + data[begin + length :]
    try:
        read(data, chunk_bytes)
    except AerialError as refusal:
        assert refusal.detail


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused_with_a_reason(noise: bytes) -> None:
    try:
        read(b"<tv>" + noise)
        read(noise)
    except AerialError as refusal:
        assert refusal.detail
