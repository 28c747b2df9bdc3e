"""Reading M3U lists as providers write them."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import BadAnswer
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.sources.m3u import MAX_LINE_BYTES, MAX_VALUE_CHARS, Playlist

FIXTURES = Path(__file__).parent.parent / "fixtures" / "m3u"
BASE = "http://lists.example/my/list.m3u"


def read(body: bytes | str | Iterable[bytes], *, base_url: str = BASE, losses: Losses | None = None) -> list[Entry]:
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, bytes):
        body = [body] if body else []
    return list(Playlist(body, base_url=base_url, losses=losses if losses is not None else Losses()))


def one(extinf: str, url: str = "http://h/1.ts") -> Entry:
    """The entry of a list whose neighbours are sound: they must come through whatever stands between them."""
    entries = read(
        f'#EXTM3U\n#EXTINF:-1 tvg-id="b",Before\nhttp://h/b\n{extinf}\n{url}\n#EXTINF:-1,After\nhttp://h/a\n'
    )
    assert entries[0].name == "Before"
    assert entries[-1].name == "After"
    assert len(entries) == 3
    return entries[1]


def test_a_tidy_entry_gives_every_field_and_keeps_what_it_does_not_know() -> None:
    entry = one(
        '#EXTINF:-1 tvg-id="bbc1.uk" tvg-name="BBC_One" tvg-logo="http://l/1.png" tvg-chno="007" '
        'group-title="News;UK" catchup="shift" CUID="9",BBC One, London',
    )
    assert entry == Entry(
        url="http://h/1.ts",
        name="BBC One, London",
        tvg_id="bbc1.uk",
        tvg_name="BBC_One",
        logo="http://l/1.png",
        group="News;UK",
        number="7",
        attributes={"catchup": "shift", "cuid": "9"},
    )


@pytest.mark.parametrize(
    ("extinf", "name", "tvg_id", "group"),
    [
        pytest.param("#EXTINF:-1 tvg-id='x' group-title='A B',N", "N", "x", "A B", id="single quotes"),
        pytest.param("#EXTINF:-1 tvg-id=x group-title=News tvg-rec=3,N", "N", "x", "News", id="no quotes"),
        pytest.param(
            "#EXTINF:-1 group-title=UK Movies tvg-id=x,N", "N", "x", "UK Movies", id="bare value of two words"
        ),
        pytest.param('#EXTINF:-1 tvg-id = "x"  group-title= "G",N', "N", "x", "G", id="blanks around ="),
        pytest.param('#EXTINF:-1 TVG-ID="x" Group-Title="G",N', "N", "x", "G", id="upper case keys"),
        pytest.param('#EXTINF:-1,tvg-id="x" group-title="G",N', "N", "x", "G", id="comma before the attributes"),
        pytest.param('#EXTINF:-1,N tvg-id="x" group-title="G"', "N", "x", "G", id="attributes after the name"),
        pytest.param('#EXTINF:-1 tvg-id="x" group-title="G, H",N, M', "N, M", "x", "G, H", id="commas everywhere"),
        pytest.param(
            '#EXTINF:-1 tvg-id="x" group-title="This is "a test"",N', "N", "x", 'This is "a test"', id="quotes"
        ),
        pytest.param('#EXTINF:-1 tvg-id="overwr"itten",N', "N", 'overwr"itten', "", id="a stray quote"),
        pytest.param(r'#EXTINF:-1 tvg-id="x" group-title="a \"b\", c",N', "N", "x", 'a "b", c', id="escaped quotes"),
        pytest.param('#EXTINF:-1 tvg-id="x"group-title="G",N', "N", "x", "G", id="no blank between"),
        pytest.param('#EXTINF:-1 tvg-id="a=b==" group-title="G",N', "N", "a=b==", "G", id="= in a value"),
        pytest.param('#EXTINF:-1 tvg-id="" tvg-id="x" tvg-id="y",N', "N", "x", "", id="duplicate keys"),
        pytest.param('#EXTINF:-1 tvg-id="x" group-title="G" Name Here', "Name Here", "x", "G", id="no comma"),
        pytest.param('#EXTINF:-1 radio tvg-id="x",N', "N", "x", "", id="a stray word"),
        pytest.param('#EXTINF:-1 tvg-id="x",', "x", "x", "", id="empty name: the tvg-id"),
        pytest.param("#EXTINF:-1,", "1.ts", "", "", id="nothing at all: the file's name"),
        pytest.param("#EXTINF: -1,N", "N", "", "", id="blank before the duration"),
        pytest.param("#EXTINF:,N", "N", "", "", id="no duration"),
        pytest.param("#EXTINF:1e308,N", "N", "", "", id="huge duration"),
        pytest.param('#extinf:-1.5 tvg-id="x",N', "N", "x", "", id="lower case directive"),
        pytest.param("#EXTINF:-1,84. VOX Schweiz", "84. VOX Schweiz", "", "", id="a number in the name"),
        pytest.param('#EXTINF:-1 tvg-id="x" group-title="G,N', "N", "x", "G", id="closing quote missing"),
    ],
)
def test_attributes_are_read_however_they_are_written(extinf: str, name: str, tvg_id: str, group: str) -> None:
    entry = one(extinf)
    assert (entry.name, entry.tvg_id, entry.group) == (name, tvg_id, group)


@pytest.mark.parametrize(
    ("attribute", "number"),
    [
        ('tvg-chno="5"', "5"),
        ('tvg-chno="5.1"', "5.1"),
        ('ch-number="12"', "12"),
        ('channel-number="12"', "12"),
        ('tvh-chnum="3"', "3"),
        ('tvg-chno="x" ch-number="4"', "4"),
        ('tvg-chno="-1"', ""),
        ('tvg-chno="0"', ""),
        ('tvg-chno="²"', ""),
        ('tvg-chno="٢٠"', ""),
        ('tvg-chno="2_0_1"', ""),
    ],
)
def test_numbers_are_taken_from_the_keys_players_know(attribute: str, number: str) -> None:
    assert one(f"#EXTINF:-1 {attribute},N").number == number


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
def test_line_ends_and_marks_do_not_matter(end: str, mark: str) -> None:
    text = mark + end.join(["#EXTM3U", "", '   #EXTINF:-1 tvg-id="x",A  ', "", "# a note", "  http://h/1  "])
    (entry,) = read(text)
    assert (entry.name, entry.tvg_id, entry.url) == ("A", "x", "http://h/1")


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_only_cr_and_lf_end_a_line(sign: str) -> None:
    (entry,) = read(f"#EXTM3U\n#EXTINF:-1,A{sign}B\nhttp://h/1\n")
    assert entry.name == "A B"


def test_a_list_needs_no_header_and_may_have_several() -> None:
    entries = read("#EXTINF:-1,A\nhttp://h/1\n#EXTM3U\n#EXTINF:-1,B\nhttp://h/2")
    assert [entry.name for entry in entries] == ["A", "B"]


def test_addresses_alone_are_a_list_too() -> None:
    assert [entry.name for entry in read("http://h/first.ts\nhttp://h/\n")] == ["first.ts", "h"]


def test_guides_named_in_the_header_are_reported_once_each() -> None:
    body = b'#EXTM3U x-tvg-url="http://g/1.xml,http://g/2.xml.gz" url-tvg="http://g/1.xml" tvg-shift=1\n#EXTINF:-1,A\nhttp://h\n'
    playlist = Playlist([body], losses=Losses())
    assert len(list(playlist)) == 1
    assert playlist.guide_urls == ("http://g/1.xml", "http://g/2.xml.gz")


def test_extgrp_inside_an_entry_is_its_own_and_outside_holds_until_the_next() -> None:
    entries = read(
        "#EXTM3U\n#EXTINF:-1,A\n#EXTGRP:One\nhttp://h/1\n#EXTINF:-1,B\nhttp://h/2\n"
        '#EXTGRP:Two\n#EXTINF:-1,C\nhttp://h/3\n#EXTINF:-1 group-title="Own",D\nhttp://h/4\n#EXTINF:-1,E\nhttp://h/5\n'
        "#EXTGRP:\n#EXTINF:-1,F\nhttp://h/6\n"
    )
    assert [entry.group for entry in entries] == ["One", "", "Two", "Own", "Two", ""]


def test_headers_come_from_options_attributes_and_pipes_but_only_allowed_ones() -> None:
    entries = read(
        '#EXTM3U\n#EXTVLCOPT:http-referrer=http://r/\n#EXTINF:-1 user-agent="Fox/1",A\n'
        '#EXTVLCOPT:http-user-agent="late"\n#KODIPROP:inputstream=adaptive\n#EXTVLCOPT:network-caching=1000\nhttp://h/1\n'
        "#EXTINF:-1,B\nhttp://h/2|User-Agent=Mozilla%2F5.0%20(X11)&Referer=http%3A%2F%2Fr%2F&Host=evil&Authorization=x\n"
        "#EXTINF:-1,C\nhttp://h/3|User-Agent=a%0d%0aX-Evil:1&Cookie=k%3Dv\n"
    )
    assert [entry.headers for entry in entries] == [
        {"Referer": "http://r/", "User-Agent": "Fox/1"},
        {"User-Agent": "Mozilla/5.0 (X11)", "Referer": "http://r/"},
        {"Cookie": "k=v"},
    ]
    assert [entry.url for entry in entries] == ["http://h/1", "http://h/2", "http://h/3"]


@pytest.mark.parametrize(
    ("line", "url"),
    [
        pytest.param("stream/1.m3u8", "http://lists.example/my/stream/1.m3u8", id="relative"),
        pytest.param("/1.m3u8", "http://lists.example/1.m3u8", id="from the root"),
        pytest.param("//other.example/1", "http://other.example/1", id="without scheme"),
        pytest.param("../1.ts?a=b", "http://lists.example/1.ts?a=b", id="from the parent"),
        pytest.param("http:\\\\h\\a\\1.ts", "http://h/a/1.ts", id="backslashes"),
        pytest.param("http://h/a b/[1].ts", "http://h/a%20b/[1].ts", id="blanks"),
        pytest.param("HTTP://h/1", "HTTP://h/1", id="upper case"),
        pytest.param("http://[::1]:8080/1", "http://[::1]:8080/1", id="IPv6"),
        pytest.param("udp://@239.0.0.1:1234", "udp://@239.0.0.1:1234", id="multicast"),
        pytest.param("rtsp://h/1", "rtsp://h/1", id="rtsp"),
        pytest.param("mmsh://h/1", "mmsh://h/1", id="mmsh"),
        pytest.param("http://h/" + "x" * 3300, "http://h/" + "x" * 3300, id="3 kB"),
    ],
)
def test_addresses_are_made_absolute(line: str, url: str) -> None:
    assert one("#EXTINF:-1,N", line).url == url


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        pytest.param("[NO PUBLIC STREAM]", "not_an_address", id="text in brackets"),
        pytest.param("=====sudan=====", "not_an_address", id="separator"),
        pytest.param("file:///etc/passwd", "address_scheme", id="file"),
        pytest.param("plugin://plugin.video.x/?a=1", "address_scheme", id="plugin"),
        pytest.param("pipe://ffmpeg -i x", "address_scheme", id="pipe"),
        pytest.param("javascript:alert(1)", "address_scheme", id="javascript"),
        pytest.param("http:///1.ts", "address_without_host", id="no host"),
        pytest.param("http://[::1/1.ts", "address_without_host", id="broken IPv6"),
        pytest.param("http://h/" + "x" * 20_000, "address_too_long", id="20 kB"),
    ],
)
def test_what_names_no_stream_is_counted_and_harms_nobody(line: str, kind: str) -> None:
    losses = Losses()
    entries = read(f"#EXTM3U\n#EXTINF:-1,A\n{line}\n#EXTINF:-1,B\nhttp://h/b\n", losses=losses)
    assert [entry.name for entry in entries] == ["B"]
    assert losses.count(kind) == 1
    assert losses.entries_lost == 1


def test_a_relative_address_in_a_file_is_counted() -> None:
    losses = Losses()
    assert read("#EXTM3U\n#EXTINF:-1,A\nstream/1.ts\n", base_url="", losses=losses) == []
    assert losses.count("relative_without_base") == 1


def test_entries_without_address_and_addresses_without_entry_are_counted_and_not_mixed_up() -> None:
    losses = Losses()
    entries = read(
        '#EXTM3U\n#EXTINF:-1 tvg-id="lost",Lost\n#EXTVLCOPT:http-user-agent=Lost\n#EXTINF:-1,A\nhttp://h/1\nhttp://h/2\n'
        "#EXTINF:-1,Last\n",
        losses=losses,
    )
    assert [(entry.name, entry.tvg_id, entry.headers) for entry in entries] == [("A", "", {})]
    assert losses.count("extinf_without_address") == 2
    assert losses.count("address_without_extinf") == 1
    assert losses.entries_lost == 3


def test_doubles_are_kept() -> None:
    assert len(read("#EXTM3U\n" + '#EXTINF:-1 tvg-id="x",A\nhttp://h/1\n' * 3)) == 3


@pytest.mark.parametrize(
    ("logo", "kept"),
    [
        ("http://l/1.png", "http://l/1.png"),
        ("logos/1.png", "http://lists.example/my/logos/1.png"),
        ("file:///etc/passwd", ""),
        ("javascript:alert(1)", ""),
        ("data:image/png;base64,AAAA", ""),
    ],
)
def test_a_logo_is_a_web_address_or_nothing(logo: str, kept: str) -> None:
    assert one(f'#EXTINF:-1 tvg-logo="{logo}",N').logo == kept


def test_direction_marks_and_controls_leave_names_and_markup_stays_text() -> None:
    assert one('#EXTINF:-1 tvg-id="a\x00b",\u202eN\x07\u200f"><script>').name == 'N "><script>'


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp1252", "Kanal 5 Ø – „Århus“ Æble smørrebrød på dansk"),
        ("cp1251", "Первый канал Россия Культура Новости спорта"),
        ("utf-16", "Första kanalen €"),
        ("utf-16-le", "Første kanal"),
        ("utf-8", "Première chaîne 📺 第一"),
    ],
)
def test_legacy_encodings_are_read(codec: str, text: str) -> None:
    body = f"#EXTM3U\n#EXTINF:-1,{text}\nhttp://h/1\n".encode(codec)
    assert [entry.name for entry in read([body[i : i + 7] for i in range(0, len(body), 7)])] == [text]


def test_one_legacy_line_among_utf8_is_read_alone_and_counted() -> None:
    losses = Losses()
    body = "#EXTM3U\n#EXTINF:-1,Première\nhttp://h/1\n#EXTINF:-1,Écran\nhttp://h/3\n".encode()
    entries = read(body + b"#EXTINF:-1,\xd8stjylland\nhttp://h/2\n", losses=losses)
    assert [entry.name for entry in entries] == ["Première", "Écran", "Østjylland"]
    assert losses.count("legacy_encoding") == 1


def test_hostile_sizes_cost_no_memory_and_no_neighbour() -> None:
    losses = Losses()
    body = [b"#EXTM3U\n#EXTINF:-1,A\nhttp://h/1\n#EXTINF:-1,", *[b"x" * 65_536] * 40, b"\nhttp://h/2\n"]
    body.append(b'#EXTINF:-1 tvg-id="' + b"y" * (MAX_LINE_BYTES - 100) + b'",C\nhttp://h/3\n')
    entries = read(body, losses=losses)
    assert [entry.url for entry in entries] == ["http://h/1", "http://h/3"]
    assert losses.count("line_too_long") == 1
    assert losses.count("value_too_long") == 1
    assert len(entries[1].tvg_id) <= MAX_VALUE_CHARS


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "empty", id="nothing"),
        pytest.param(b" \r\n\xef\xbb\xbf", "empty", id="blanks"),
        pytest.param(b"<html><head><title>Log &amp; in</title>", "web page.*Log & in", id="web page"),
        pytest.param(b"<!DOCTYPE html>", "web page", id="doctype"),
        pytest.param(b'\n{"user_info":{"auth":0}}', "JSON", id="panel"),
        pytest.param(b"[]", "JSON", id="empty list"),
        pytest.param(b'<?xml version="1.0"?><tv>', "XML", id="guide"),
        pytest.param(b"[playlist]\nFile1=http://h/1", "PLS", id="PLS"),
        pytest.param(b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n1.ts\n", "HLS", id="media playlist"),
        pytest.param(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n", "HLS", id="master playlist"),
        pytest.param((b"G" + b"\0" * 187) * 4, "MPEG-TS", id="a stream"),
    ],
)
def test_what_is_no_list_is_refused_with_its_name(body: bytes, says: str) -> None:
    with pytest.raises(BadAnswer, match=says):
        read(body)


def test_reports_show_no_addresses() -> None:
    losses = Losses()
    read("#EXTM3U\n#EXTINF:-1,A\nftp://user:S3CR3T@h/live/U/S3CR3T/1.ts\nhttp://h/U/S3CR3T/2\n", losses=losses)
    assert losses.entries_lost == 2
    assert "S3CR3T" not in str(losses.report())


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.m3u")), ids=lambda path: path.stem)
def test_lists_kept_as_files_read_as_their_notes_say(path: Path) -> None:
    """A fixture ends with `#expect: NAME|GROUP|URL` lines: adding a case is dropping in a file."""
    expected = [
        line.removeprefix("#expect: ") for line in path.read_text().splitlines() if line.startswith("#expect: ")
    ]
    entries = read(path.read_bytes())
    assert [f"{entry.name}|{entry.group}|{entry.url}" for entry in entries] == expected


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_can_break_the_reader(chunks: list[bytes]) -> None:
    try:
        entries = read([b"#EXTM3U\n", *chunks])
    except BadAnswer:
        return
    assert all(entry.url and entry.name for entry in entries)


@given(st.text(max_size=300), st.text(max_size=100))
def test_no_entry_harms_the_next(extinf: str, address: str) -> None:
    text = f'#EXTM3U\n#EXTINF:-1{extinf}\n{address}\n#EXTINF:-1 tvg-id="x",After\nhttp://h/after\n'
    try:
        entries = read(text.encode("utf-8", "replace"))
    except BadAnswer:
        return
    assert (entries[-1].name, entries[-1].tvg_id, entries[-1].url) == ("After", "x", "http://h/after")


def test_what_the_first_line_says_of_catch_up_holds_for_entries_that_say_nothing() -> None:
    entries = read(
        '#EXTM3U catchup="append" catchup-days="3" catchup-source="?utc={utc}" refresh="3600"\n'
        '#EXTINF:-1,A\nhttp://h/1\n#EXTINF:-1 catchup="xc" catchup-days="1",B\nhttp://h/2\n'
        "#EXTM3U\n#EXTINF:-1,C\nhttp://h/3\n"
    )
    assert [dict(entry.attributes) for entry in entries] == [
        {"catchup": "append", "catchup-days": "3", "catchup-source": "?utc={utc}"},
        {"catchup": "xc", "catchup-days": "1", "catchup-source": "?utc={utc}"},
        {},
    ]
