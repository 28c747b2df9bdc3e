"""The catalogue of nasty inputs as a table: everything wrong that guides were seen to hold, and what becomes of each.

Rows are numbered X1 to X90 as in the catalogue; one row may have many cases. What a table cannot say stands in
`test_inputs_catalogue`.
"""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from backports import zstd

from tests.epg.readingkit import MB
from tests.providerkit import HTML

ROWS = [*range(1, 19), *range(20, 43), *range(50, 76), *range(80, 91)]
EIGHT, NINE, TEN = "2026-11-21T20:00", "2026-11-21T21:00", "2026-11-21T22:00"
AT_EIGHT = ("20261121200000 +0000", "20261121210000 +0000")
AT_NINE = ("20261121210000 +0000", "20261121220000 +0000")
NOW_S = int(datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp())
WEEK = (NOW_S - 7 * 86_400, NOW_S + 7 * 86_400)


def show(inner: str = "<title>T</title>", times: tuple[str, ...] = AT_EIGHT, channel: str = "c") -> str:
    """A programme as text: inner markup, start and (where there is one) stop as they are written."""
    stop = f' stop="{times[1]}"' if len(times) > 1 else ""
    return f'<programme start="{times[0]}"{stop} channel="{channel}">{inner}</programme>'


def titled(title: str, times: tuple[str, ...] = AT_EIGHT, channel: str = "c") -> str:
    return show(f"<title>{title}</title>", times, channel)


def guide(*parts: str, end: str = "</tv>") -> str:
    return "<tv>\n" + "\n".join(parts) + "\n" + end


BEFORE = titled("before", ("20261121180000 +0000", "20261121190000 +0000"))
AFTER = titled("after", ("20261121230000 +0000", "20261122000000 +0000"))


def among(*parts: str) -> str:
    """Something odd between two sound programmes, which nothing may cost."""
    return guide(BEFORE, *parts, AFTER)


@dataclass(frozen=True)
class Case:
    """A file and what becomes of it. What is None is not asked."""

    row: int
    name: str
    data: str | bytes
    titles: list[str] | None = None
    spans: list[tuple[str, str]] | None = None
    shown: list[tuple[str, str, str]] | None = None
    lost: Mapping[str, int] = field(default_factory=dict)
    noted: Mapping[str, int] = field(default_factory=dict)
    warned: list[str] = field(default_factory=list)
    refused: str = ""
    zone: tzinfo = UTC
    window: tuple[int, int] | None = None
    complete: bool = True

    @property
    def id(self) -> str:
        return f"X{self.row} {self.name}"


# ---- times -----------------------------------------------------------------------------------------------------------


def time_case(row: int, start: str, instant: str, zone: tzinfo = UTC, warned: list[str] | None = None) -> Case:
    data = guide(show(times=(start, "21050101000000 +0000")))
    return Case(row, repr(start), data, spans=[(instant, "2105-01-01T00:00")], noted={"overlong": 1}, zone=zone,
                warned=warned or [])  # fmt: skip


def bad_start(row: int, start: str) -> Case:
    return Case(row, f"{start!r} refused", among(show(times=(start,))), titles=["before", "after"],
                lost={"unreadable_start": 1})  # fmt: skip


LONDON, NEW_YORK, LORD_HOWE = map(ZoneInfo, ("Europe/London", "America/New_York", "Australia/Lord_Howe"))

TIMES = [
    time_case(1, "20180615084500", "2018-06-15T08:45"),
    time_case(1, "20180615084500 ", "2018-06-15T12:45", NEW_YORK),
    time_case(2, "20160101", "2016-01-01T00:00"),
    time_case(2, "2016010112", "2016-01-01T12:00"),
    time_case(2, "200006031633", "2000-06-03T16:33"),
    time_case(2, "200202240000 +0100", "2002-02-23T23:00"),
    bad_start(2, "2016"),
    bad_start(2, "201601"),
    *(time_case(3, f"20160101120000 {word}", "2016-01-01T12:00", NEW_YORK) for word in ("Z", "UTC", "GMT", "utc")),
    time_case(3, "20160101120000Z", "2016-01-01T12:00", NEW_YORK),
    time_case(4, "20010829000500 BST", "2001-08-28T23:05"),
    time_case(4, "20010829000500 MST", "2001-08-29T07:05"),
    time_case(4, "20260701120000 XYZ", "2026-07-01T16:00", NEW_YORK, ["unknown_zone"]),
    time_case(4, "20260701120000 Nowhere/Else", "2026-07-01T16:00", NEW_YORK, ["unknown_zone"]),
    time_case(4, "20260701120000 America", "2026-07-01T12:00", UTC, ["unknown_zone"]),
    time_case(4, "20260701120000 Europe/Lisbon", "2026-07-01T11:00", NEW_YORK),
    time_case(5, "20160101120000 +0530", "2016-01-01T06:30"),
    time_case(5, "20160101120000 +0545", "2016-01-01T06:15"),
    time_case(5, "20160101120000 -0330", "2016-01-01T15:30"),
    time_case(5, "20160101120000 +0010", "2016-01-01T11:50"),
    time_case(5, "20160101120000 -0001", "2016-01-01T12:01"),
    *(time_case(6, f"20160101120000 {zero}", "2016-01-01T12:00", NEW_YORK) for zero in ("+000", "+00", "+0", "0")),
    time_case(7, "20160101120000 +02:00", "2016-01-01T10:00"),
    time_case(7, "20160101120000 -1:30", "2016-01-01T13:30"),
    time_case(8, "20240101120000+0100", "2024-01-01T11:00"),
    time_case(8, "20240101120000   +0100", "2024-01-01T11:00"),
    time_case(8, "20240101120000\t+0100", "2024-01-01T11:00"),
    time_case(9, "20240101240000 +0000", "2024-01-02T00:00"),
    time_case(9, "202402282400", "2024-02-29T00:00"),
    bad_start(10, "2016043015600"),
    bad_start(10, "201643030153000"),
    bad_start(10, "2016043001530000"),
    bad_start(11, "20260230120000"),
    bad_start(11, "20260101120060"),
    bad_start(11, "20261301000000"),
    bad_start(12, "1"),
    *(time_case(14, text, instant, zone) for text, instant, zone in [
        ("20260329003000", "2026-03-29T00:30", LONDON), ("20260329013000", "2026-03-29T01:30", LONDON),
        ("20260329020000", "2026-03-29T01:00", LONDON), ("20261025003000", "2026-10-24T23:30", LONDON),
        ("20261025013000", "2026-10-25T00:30", LONDON), ("20261025023000", "2026-10-25T02:30", LONDON),
        ("20260308013000", "2026-03-08T06:30", NEW_YORK), ("20260308033000", "2026-03-08T07:30", NEW_YORK),
        ("20261101013000", "2026-11-01T05:30", NEW_YORK), ("20261101023000", "2026-11-01T07:30", NEW_YORK),
        ("20260405013000", "2026-04-04T14:30", LORD_HOWE), ("20260405023000", "2026-04-04T16:00", LORD_HOWE),
        ("20261004013000", "2026-10-03T15:00", LORD_HOWE), ("20261004030000", "2026-10-03T16:00", LORD_HOWE),
    ]),
    Case(14, "a stop missing across the spring switch", guide(titled("a", ("20260329003000",)),
         titled("b", ("20260329020000", "20260329030000"))), zone=LONDON, noted={"missing_stop": 1},
         spans=[("2026-03-29T00:30", "2026-03-29T01:00"), ("2026-03-29T01:00", "2026-03-29T02:00")]),
    Case(14, "a stop missing across the autumn switch", guide(titled("a", ("20261025003000",)),
         titled("b", ("20261025020000", "20261025030000"))), zone=LONDON, noted={"missing_stop": 1},
         spans=[("2026-10-24T23:30", "2026-10-25T02:00"), ("2026-10-25T02:00", "2026-10-25T03:00")]),
    Case(14, "an offset that stayed after the switch", guide(show(times=("20261121200000 +0300",
         "20261121210000 +0300"))), spans=[("2026-11-21T17:00", "2026-11-21T18:00")]),
    Case(16, "one instant in two offsets", guide(titled("T"), titled("T", ("20261122090000 +1300",
         "20261122100000 +1300"))), spans=[(EIGHT, NINE)], lost={"double": 1}),
    bad_start(17, "00010101000000 +0000"),
    bad_start(17, "99991231235959 -1200"),
    Case(17, "a stop in the far future", guide(show(times=("20261121200000", "99991231235959"))),
         spans=[(EIGHT, "2026-11-21T20:30")], noted={"missing_stop": 1}),
    Case(17, "outside the window", guide(show(times=("19700101000000", "19700101010000")), BEFORE,
         show(times=("21050101000000", "21050101010000"))), titles=["before"], window=WEEK,
         lost={"outside_retention_past": 1, "outside_retention_future": 1}),
    *(Case(18, f"date {date!r}", guide(show(f"<title>T</title><date>{date}</date>")), titles=["T"])
      for date in ("1991|2001", "2", "", "2026-11-21T20:00:00Z")),
    Case(18, "date of the file", f'<tv date="7/29/2020 11:00:29 AM">{titled("T")}</tv>', titles=["T"]),
]  # fmt: skip

# ---- structure -------------------------------------------------------------------------------------------------------

STRUCTURE = [
    Case(20, "stop from the next", guide(titled("a", ("20261121200000",)), titled("b", AT_NINE)),
         spans=[(EIGHT, NINE), (NINE, TEN)], noted={"missing_stop": 1}),
    Case(20, "a usual length for the last", guide(titled("a", ("20261121200000",))),
         spans=[(EIGHT, "2026-11-21T20:30")], noted={"missing_stop": 1}),
    Case(20, "an empty stop", guide(titled("a", ("20261121200000", "")), titled("b", AT_NINE)),
         spans=[(EIGHT, NINE), (NINE, TEN)], noted={"missing_stop": 1}),
    Case(20, "the next one is days away", guide(titled("a", ("20261121200000",)), titled("b", ("20261130",
         "2026113001"))), spans=[(EIGHT, "2026-11-21T20:30"), ("2026-11-30T00:00", "2026-11-30T01:00")],
         noted={"missing_stop": 1}),
    Case(21, "stop before start", guide(titled("a", ("20261121200000", "20261119063000")), titled("b", AT_NINE)),
         spans=[(EIGHT, NINE), (NINE, TEN)], noted={"backward_stop": 1}),
    Case(22, "no length", guide(titled("News", ("20261121200000",) * 2), titled("Regional News")),
         titles=["News", "Regional News"], noted={"zero_length": 1}, shown=[("Regional News", EIGHT, NINE)]),
    Case(22, "no length, in the middle", guide(titled("Film"), titled("Draw", ("20261121203000",) * 2)),
         titles=["Film", "Draw"], noted={"zero_length": 1}, shown=[("Film", EIGHT, NINE)]),
    Case(23, "exact doubles", guide(*[titled("T")] * 3), titles=["T"], lost={"double": 2}),
    Case(23, "doubles but for blanks", guide(titled("A  B"), titled(" A\nB ")), titles=["A B"], lost={"double": 1}),
    Case(23, "a double with more to say", guide(show("<title>T</title><desc>D</desc>"), titled("T")),
         titles=["T"], lost={"double": 1}),
    Case(23, "another stop", guide(titled("T"), titled("T", ("20261121200000", "20261121203000"))),
         titles=["T", "T"], shown=[("T", EIGHT, NINE)]),
    Case(23, "another title", guide(titled("short"), titled("much longer")),
         titles=["short", "much longer"], shown=[("much longer", EIGHT, NINE)]),
    Case(23, "another title as long", guide(titled("one"), titled("two")), titles=["one", "two"],
         shown=[("two", EIGHT, NINE)]),
    Case(23, "a block repeated", guide(*[titled("a"), titled("b", AT_NINE)] * 2), titles=["a", "b"],
         lost={"double": 2}),
    Case(23, "more than eight at one start", guide(*(titled(f"T{n}") for n in range(10))),
         titles=[f"T{n}" for n in range(8)], lost={"crowded": 2}),
    Case(24, "minutes", guide(titled("a", ("20261121200000", "20261121210500")), titled("b", AT_NINE)),
         titles=["a", "b"], shown=[("a", EIGHT, NINE), ("b", NINE, TEN)]),
    Case(24, "a whole day", guide(titled("a", ("20261121", "20261122")), titled("b", AT_EIGHT), titled("c", AT_NINE)),
         titles=["a", "b", "c"], shown=[("a", "2026-11-21T00:00", EIGHT), ("b", EIGHT, NINE), ("c", NINE, TEN)]),
    Case(24, "more than a day", guide(titled("a", ("20261120", "20261123"))), titles=["a"], noted={"overlong": 1}),
    Case(25, "two in one slot", guide(*(titled(f"part {n}").replace("channel=", f'clumpidx="{n}/2" channel=')
         for n in (0, 1))), titles=["part 0", "part 1"], shown=[("part 1", EIGHT, NINE)]),
    Case(26, "channels behind and between", guide(titled("a"), "<channel id='c'><display-name>C</display-name>"
         "</channel>", titled("x", channel="d"), titled("b", AT_NINE), "<channel id='d'/>"), titles=["a", "b", "x"]),
    Case(27, "no channel element", guide(titled("a", channel="nobody.said")), titles=["a"]),
    Case(28, "one id twice", guide("<channel id='c'><display-name>A</display-name></channel>"
         "<channel id='c'><display-name>B</display-name><icon src='http://i'/></channel>", titled("a")), titles=["a"]),
    Case(29, "no channel attribute", among("<programme start='20261121200000'/>", titled("x", channel=" ")),
         titles=["before", "after"], lost={"no_channel": 2}),
    Case(29, "a channel without an id", among("<channel><display-name>N</display-name></channel>", "<channel id=''/>"),
         titles=["before", "after"], noted={"channel_without_id": 2}),
    Case(29, "blanks around an id", guide(titled("a", channel=" c "), titled("b", AT_NINE, "c")), titles=["a", "b"]),
    *(Case(29, f"the id {id_!r}", guide(titled("a", channel=id_)), titles=["a"])
      for id_ in ("a b", "a|b", "a:b", "a/b", "Ä ö", "A&amp;B")),
    *(Case(30, f"{inner!r}", guide(show(inner)), titles=[""], noted={"no_title": 1})
      for inner in ("", "<title/>", "<title></title>", "<title> \n </title>", "<desc>d</desc>")),
    Case(33, "empty wrappers", guide(show("<title>T</title><credits/><category/><video/><audio/><rating/><icon/>"
         "<icon src='' width='' height=''/><date/><subtitles/><previously-shown/>")), titles=["T"]),
    Case(35, "what the DTD does not know", guide('<!-- c --><lcn>1</lcn>', show("<title odd='1'>T</title><live/>"
         "<lcn>4</lcn><x:y>z</x:y>").replace("channel=", 'catchup-id="9" stop_timestamp="1" channel=')), titles=["T"]),
    Case(36, "a name of 5000 letters", guide(f"<channel id='c'><display-name>{'n' * 5000}</display-name></channel>",
         titled("t" * 5000)), titles=["t" * 5000]),
    Case(36, "a text of 700 kB", among(show(f"<title>T</title><desc>{'d' * 700_000}</desc>")),
         titles=["before", "T", "after"]),
    Case(36, "a text of 5 MB", among(show(f"<title>T</title><desc>{'d' * 5_000_000}</desc>")),
         titles=["before", "T", "after"], noted={"capped": 1}),
    Case(36, "more behind a text of 5 MB", among(show(f"<title>T</title><desc>{'d' * 5_000_000}</desc><new/>")),
         titles=["before", "T", "after"], noted={"capped": 1, "cut_behind": 1}),
    Case(37, "a name that only begins so", guide("<programmeX start='1'><title>no</title></programmeX>", titled("T"),
         "<channels/>"), titles=["T"]),
    Case(37, "single quotes", guide(titled("T").replace('"', "'")), titles=["T"]),
    Case(37, "blanks of all kinds in the tag", guide(titled("T").replace(" start", "\n\t start").replace(" channel",
         "\r\n channel").replace("=", " = ")), titles=["T"]),
    Case(37, "stop first", guide('<programme channel="c" stop="20261121210000 +0000" start="20261121200000 +0000"/>'),
         spans=[(EIGHT, NINE)], noted={"no_title": 1}),
    Case(37, "a greater-than in an attribute", guide(titled("T").replace("channel=", 'odd="a>b/>" channel=')),
         titles=["T"]),
    Case(38, "all on one line", "<tv>" + "".join(titled(f"T{n}", (f"202611{n:02}",)) for n in range(1, 30)) + "</tv>",
         titles=[f"T{n}" for n in range(1, 30)], noted={"missing_stop": 29}),
    *(Case(39, doctype, f'<?xml version="1.0"?>\n<!DOCTYPE tv {doctype}>\n' + guide(titled("T")), titles=["T"])
      for doctype in ('SYSTEM "xmltv.dtd"', 'SYSTEM "https://dtd.example/xmltv.dtd"', 'PUBLIC "-//X//Y" "file:///x"',
                      "[<!ELEMENT tv ANY>]")),
    *(Case(40, root, f"<?xml version='1.0'?><{root}><a/></{root}>", refused=root)
      for root in ("ProgramGuide", "rss", "TV", "epg")),
    Case(41, "no programme", "<tv/>", titles=[]),
    Case(41, "only the past", guide(titled("old", ("20251121", "2025112101"))), titles=[], window=WEEK,
         lost={"outside_retention_past": 1}),
]  # fmt: skip

# ---- bytes and markup ------------------------------------------------------------------------------------------------

GERMAN = guide(*(titled(f"Größe {n} – schön", (f"202611{n:02}", f"202611{n:02}01")) for n in range(1, 10)))
GERMAN_TITLES = [f"Größe {n} – schön" for n in range(1, 10)]


def said(label: str, encoding: str, document: str = GERMAN) -> bytes:
    return (f'<?xml version="1.0" encoding="{label}"?>\n' + document).encode(encoding)


def german(row: int, label: str, encoding: str, *warned: str) -> Case:
    return Case(row, f"{encoding} that says {label}", said(label, encoding), GERMAN_TITLES, warned=list(warned))


def mended(row: int, inner: str, title: str) -> Case:
    return Case(row, repr(inner), among(show(inner)), ["before", title, "after"], noted={"repaired": 1})


def costs_one(row: int, inner: str) -> Case:
    return Case(row, repr(inner[:50]), among(show(inner)), ["before", "after"], lost={"broken": 1})


CAFE_IN_LATIN_1 = titled("Café").encode("latin-1")
DEEP, PEED = "<a>" * 200_000, "</a>" * 200_000

MARKUP = [
    german(50, "UTF-8", "utf-8-sig"),
    *(Case(51, repr(blank), blank + said("UTF-8", "utf-8").decode(), GERMAN_TITLES)
      for blank in ("\n", " \r\n\n", "\0")),
    *(Case(52, repr(junk[:20]), junk + said("UTF-8", "utf-8").decode(), GERMAN_TITLES, warned=["preamble"])
      for junk in ("<br />\n<b>Warning</b>:  fopen() in <b>/x.php</b> on line <b>3</b><br />\n", "Notice: a & b\n",
                   "x" * 4000)),
    german(53, "UTF-16", "utf-16"),
    german(53, "UTF-8", "utf-16"),
    german(53, "UTF-16", "utf-8"),
    german(53, "UTF-16", "utf-16-be"),
    german(54, "UTF-8", "cp1252", "encoding"),
    Case(54, "one bad byte in good UTF-8", GERMAN.encode().replace(b"</tv>", CAFE_IN_LATIN_1 + b"</tv>"),
         [*GERMAN_TITLES, "Café"], warned=["encoding"], noted={"repaired": 1}),
    Case(54, "Windows bytes behind a long ASCII beginning", (guide(*[BEFORE] * 2000, titled("Gr\xf6\xdfe \x96 da"))
         .encode("latin-1")), ["before", "Größe – da"], warned=["encoding"], noted={"repaired": 1},
         lost={"double": 1999}),
    german(55, "ISO-8859-1", "cp1252"),
    german(56, "ISO-8859-1", "utf-8", "encoding"),
    Case(56, "U+FFFD in the file already", guide(titled("a\ufffdb")), ["a\ufffdb"]),
    german(57, "invalid", "utf-8", "encoding"),
    german(57, "iso8859-1", "cp1252"),
    german(57, "utf8", "utf-8"),
    german(57, "unicode_escape", "utf-8", "encoding"),
    Case(58, "encoded twice", guide(titled("GrÃ¶ÃŸe")), ["GrÃ¶ÃŸe"]),
    *(mended(59, f"<title>a{char}b</title>", "ab") for char in "\x1a\x08\0\x01\x1f"),
    mended(60, "<title>a&#0;&#x1F;b</title>", "ab"),
    mended(60, "<title>&#xD83D;&#xDE00;</title>", "😀"),
    mended(60, "<title>&#55357;&#56832;</title>", "😀"),
    mended(60, "<title>a&#xD83D;b</title>", "ab"),
    mended(60, "<title>a&#1114112;b</title>", "ab"),
    mended(61, "<title>a\ufffe\uffffb</title>", "ab"),
    Case(61, "C1 and DEL", guide(titled("a\x7f\x85b")), ["a\x7f\x85b"]),
    mended(62, "<title>Dailey & Vincent</title>", "Dailey & Vincent"),
    mended(62, "<title>AT&T; R&amp;B</title>", "AT&T; R&B"),
    mended(62, "<title>T</title><icon src='http://h/?a=1&b=2&copy=3'/>", "T"),
    mended(63, "<title>caf&eacute;&nbsp;&middot; t&ecirc;te</title>", "café\u00a0· tête"),
    mended(63, "<title>&unheardof;</title>", "&unheardof;"),
    mended(64, "<title><1> of <2></title>", "<1> of <2>"),
    costs_one(64, "<title>a <oest-of-th3-gs.gid30n> b</title>"),
    costs_one(65, "<title lang='en'type='x'>a</title>"),
    costs_one(65, '<title lang="en>a</title>'),
    Case(65, "a root tag without a quote", f'<?xml version="1.0"?><tv generator-info-name=x">{titled("T")}</tv>', ["T"],
         warned=["broken_root"]),
    Case(65, "a channel without a quote", among('<channel id="x><display-name>X</display-name></channel>'),
         ["before", "after"], noted={"broken_channel": 1}),
    costs_one(66, "<title lang='en' lang='en'>a</title>"),
    Case(67, "a prefix nobody declared", guide(show("<title>T</title><x:rating y:z='1'>5</x:rating>")), ["T"]),
    Case(68, "CDATA", guide(show("<title><![CDATA[<b>A & B</b> </programme>]]></title>")),
         ["<b>A & B</b> </programme>"]),
    *(Case(69, f"cut {where}", guide(titled("a"), titled("b", AT_NINE))[:-cut], titles, lost=lost, warned=["truncated"],
           complete=False)
      for where, cut, titles, lost in [
          ("in a title", 30, ["a"], {"cut_off": 1}), ("before the end tag", 6, ["a", "b"], {}),
          ("in the end tag", 2, ["a", "b"], {}), ("in a start tag", 90, ["a"], {"cut_off": 1})]),
    *(Case(70, repr(tail[:20]), guide(titled("a")) + tail, ["a"], warned=warned)
      for tail, warned in [("\n\n", []), ("\0" * 9, []), ("\x1a", []), ("<br />PHP Warning: x", ["trailing_junk"]),
                           ("junk", ["trailing_junk"]), (guide(titled("b", AT_NINE)), ["second_document"]),
                           ("<?xml version='1.0'?>" + guide(titled("b")), ["second_document"])]),
    *(Case(71, repr(nothing), nothing, refused="empty") for nothing in ("", " \n\t", "\0\0", "\ufeff")),
    Case(72, "a login page", HTML, refused="HTML page.*Portal"),
    Case(72, "an old page", "<HTML><HEAD><TITLE>Sign\n in</TITLE></HEAD></HTML>", refused="HTML page.*Sign in"),
    Case(72, "an error in JSON", '{"error": "expired"}', refused="no XMLTV guide.*expired"),
    Case(72, "a playlist", "#EXTM3U\n#EXTINF:-1,A\nhttp://h/1\n", refused="no XMLTV guide.*EXTM3U"),
    Case(73, "200,000 levels in a programme", among(show(f"<title>T</title><desc>x{DEEP}{PEED}</desc>")),
         ["before", "T", "after"]),
    Case(73, "200,000 levels between", among(DEEP + PEED), ["before", "after"], noted={"junk": 1}),
    Case(73, "200,000 levels without an end", guide(BEFORE, DEEP, end=""), ["before"], warned=["truncated"],
         noted={"junk": 1}, complete=False),
    Case(74, "an attribute of 12 MB", among(titled("T").replace("channel=", f'odd="{"x" * 12_000_000}" channel=')),
         ["before", "after"], lost={"too_large": 1}),
    Case(74, "a text of 12 MB", among(show(f"<title>{'x' * 12_000_000}</title>")), noted={"capped": 1}),
    Case(74, "a comment of 12 MB", among(f"<!--{'x' * 12_000_000}-->"), ["before", "after"], noted={"junk": 1}),
    *(Case(75, ascii(text)[:30], guide(titled(text)), [text])
      for text in ("👍🏽 👩\u200d👩\u200d👧", "שלום עולם", "a\u202eb\u202c", "Z" + "\u0301" * 200, "𝕏 𐍈")),
]  # fmt: skip

# ---- packings --------------------------------------------------------------------------------------------------------

PLAIN = guide(*(titled(f"T{n}", (f"2026112{n}", f"2026112{n}01")) for n in range(1, 9))).encode()
PLAIN_TITLES = [f"T{n}" for n in range(1, 9)]
LONG = guide(*(titled(f"{random.Random(n).getrandbits(400):x}", (f"202611{n // 500 % 28 + 1:02}{n % 24:02}",), str(n))
               for n in range(9000))).encode()  # fmt: skip


def archive(members: Mapping[str, bytes], kind: str = "zip") -> bytes:
    target = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, content in members.items():
                packed.writestr(name, content)
    else:
        with tarfile.open(fileobj=target, mode="w") as tar:
            for name, content in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def packed(row: int, name: str, data: bytes, *warned: str, titles: list[str] | None = None) -> Case:
    return Case(row, name, data, PLAIN_TITLES if titles is None else titles, warned=list(warned))


def spoiled(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 or len(data) :]


ZIPPED = archive({"guide.xml": PLAIN})
GZIPPED = gzip.compress(PLAIN, mtime=0)
PACKINGS = [
    packed(80, "gzip", GZIPPED),
    packed(81, "plain", PLAIN),
    packed(82, "gzip in gzip", gzip.compress(GZIPPED)),
    Case(82, "gzip three times", gzip.compress(gzip.compress(GZIPPED)), refused="more than 2 times"),
    packed(83, "zlib", zlib.compress(PLAIN)),
    packed(83, "raw deflate", zlib.compress(PLAIN, wbits=-15)),
    packed(83, "zstd", zstd.compress(PLAIN)),
    packed(84, "xz", lzma.compress(PLAIN)),
    packed(84, "bzip2", bz2.compress(PLAIN)),
    packed(84, "zip", ZIPPED),
    packed(84, "zip of one file with any name", archive({"download": PLAIN})),
    packed(84, "zip with a name that leads out", archive({"../../etc/guide.xml": PLAIN, "readme.txt": b"x"})),
    packed(84, "zip of several", archive({"a.xml": PLAIN, "b.xml": b"<tv/>"}), "several_guides"),
    Case(84, "zip without a guide", archive({"a.txt": b"a", "b.txt": b"b"}), refused="called like a guide"),
    Case(84, "zip with a lock", spoiled(ZIPPED, ZIPPED.index(b"PK\1\2") + 8), refused="encrypted"),
    packed(84, "tar", archive({"readme": b"x", "guide.xml": PLAIN}, "tar")),
    packed(84, "tar.gz", gzip.compress(archive({"guide.xml": PLAIN}, "tar"))),
    packed(84, "tar of several", archive({"a.xml": PLAIN, "b.xml": b"<tv/>"}, "tar"), "several_guides"),
    packed(85, "members", b"".join(gzip.compress(PLAIN[at : at + 99]) for at in range(0, len(PLAIN), 99))),
    packed(85, "members of xz", lzma.compress(PLAIN[:99]) + lzma.compress(PLAIN[99:])),
    packed(86, "zeros behind", GZIPPED + bytes(512)),
    packed(86, "junk behind", GZIPPED + b"junk", "trailing_junk"),
    *(packed(86, f"junk of {n} bytes behind {kind}", pack(PLAIN) + b"junk!!"[:n] + b"x" * (n - 6), "trailing_junk")
      for n in (1, 2, 5, 6, 7, 8, 9, 4096)
      for kind, pack in [("gzip", gzip.compress), ("zlib", zlib.compress), ("xz", lzma.compress),
                         ("bzip2", bz2.compress), ("zstd", zstd.compress)]),
    packed(86, "a wrong checksum", spoiled(GZIPPED, len(GZIPPED) - 6), "corrupt"),
    packed(86, "a wrong length", spoiled(GZIPPED, len(GZIPPED) - 2), "corrupt"),
    packed(86, "no trailer", GZIPPED[:-8], "truncated"),
    *(Case(87, name, pack(b"<tv>" + bytes(40 * MB)), refused="bomb")
      for name, pack in [("gzip", gzip.compress), ("xz", lzma.compress), ("bzip2", bz2.compress),
                         ("zstd", zstd.compress)]),
    Case(87, "entities", '<!DOCTYPE tv [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><tv>&b;</tv>',
         refused="entity declarations"),
    Case(87, "an entity from outside", '<!DOCTYPE tv [<!ENTITY a SYSTEM "file:///etc/passwd">]><tv>&a;</tv>',
         refused="entity declarations"),
]  # fmt: skip

CASES = [*TIMES, *STRUCTURE, *MARKUP, *PACKINGS]
