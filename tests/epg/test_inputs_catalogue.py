"""Everything wrong that guides were seen to hold, row by row (X1 to X90), with the result that each must get.

The first part drives the reader (unpack, parse, clean, retention) by a table; the second the whole import, where a row
speaks of what the guide keeps or of how the file comes over the wire.
"""

import gzip
import json
import re
import tracemalloc
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from backports import zstd

from epg_service.domain.entities import Run
from epg_service.domain.losses import Losses
from epg_service.domain.model import Readable
from epg_service.providers.unpack import unpacked
from epg_service.xmltv import iterparse as reader
from epg_service.xmltv import write
from epg_service.xmltv.details import EpisodeNum, Programme, Text, details
from epg_service.xmltv.times import Stamps
from servicekit.errors import AerialError
from tests.epg.guidekit import DAY, HOUR, MIDNIGHT, NOON, Show, Station, guide_of, hourly
from tests.epg.nasty_inputs import CASES, MARKUP, ROWS, STRUCTURE, Case, among, guide, show, titled
from tests.epg.readingkit import MB, READERS, Reading, read
from tests.providerkit import HTML, Reply, ScriptedProvider


@pytest.mark.parametrize("by", READERS)
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_nasty_input_gets_its_result(case: Case, by: str) -> None:
    data = case.data.encode("utf-8", "surrogatepass") if isinstance(case.data, str) else case.data
    if case.refused:
        with pytest.raises(AerialError, match=re.compile(case.refused, re.DOTALL)):
            read(data, zone=case.zone, window=case.window, reader=by)
        return
    found = read(data, zone=case.zone, window=case.window, reader=by)
    assert found.losses.warnings == case.warned
    assert (found.lost(), found.noted()) == (case.lost, case.noted)
    assert found.end.complete == case.complete
    for expected, got in ((case.titles, found.titles), (case.spans, found.spans), (case.shown, found.shown)):
        assert expected is None or got == expected
    check_repeatable(found)


def check_repeatable(found: Reading) -> None:
    """What was read is written as a guide, and that guide says the same."""
    parts = [write.head("test")]
    for channel, rows in found.rows.items():
        for start, stop, _, title, raw in rows:
            parts.append(write.programme(raw, start=start, stop=stop, channel_id=channel, title_fallback=title or "-"))
    again = read(b"".join([*parts, write.tail()]))
    assert again.losses.warnings == []
    assert sum(map(len, again.rows.values())) == sum(map(len, found.rows.values()))


@pytest.mark.parametrize("by", READERS)
@pytest.mark.parametrize("chunk_bytes", [13, 1000])
@pytest.mark.parametrize("case", [case for case in [*STRUCTURE, *MARKUP] if len(case.data) < 4000], ids=lambda c: c.id)
def test_the_result_is_the_same_however_the_file_arrives(case: Case, chunk_bytes: int, by: str) -> None:
    data = case.data.encode("utf-8", "surrogatepass") if isinstance(case.data, str) else case.data

    def outcome(size: int) -> object:
        try:
            found = read(data, zone=case.zone, window=case.window, chunk_bytes=size, reader=by)
        except AerialError as refusal:
            return type(refusal)
        return found.rows, found.end, found.lost(), found.noted(), found.losses.warnings

    assert outcome(chunk_bytes) == outcome(reader.CHUNK_BYTES)


def test_every_row_of_the_catalogue_has_a_test() -> None:
    tested = {case.row for case in CASES}
    tested |= {int(row) for name in globals() for row in re.findall(r"_x(\d+)(?=_)", name)}
    assert sorted(tested) == ROWS


# ---- what a table cannot say -----------------------------------------------------------------------------------------


def the_programme(inner: str) -> Programme:
    (raw,) = read(guide(show(inner))).raws
    return details(raw)


def test_x2_x18_what_a_date_says_is_kept_as_it_was_written() -> None:
    found = the_programme("<title>T</title><date>1991|2001</date>")
    assert found.date == "1991|2001"
    (raw,) = read(guide(show(times=("20161121",)))).raws
    assert details(raw).start == "20161121"
    assert read(f'<tv date="7/29/2020 11:00:29 AM">{titled("T")}</tv>').head == {"date": "7/29/2020 11:00:29 AM"}


def test_x10_what_is_refused_is_shown_as_a_sample() -> None:
    tally = read(among(show(times=("2016043015600",)))).losses.as_dict()["unreadable_start"]
    assert "2016043015600" in str(tally["samples"])


def test_x28_all_names_of_a_channel_that_stands_twice_are_read() -> None:
    found = read(guide("<channel id='c'><display-name>A</display-name></channel>",
                       "<channel id='c'><display-name>B</display-name></channel>", titled("a")))  # fmt: skip
    assert [channel.display_names for channel in found.channels] == [[(None, "A")], [(None, "B")]]


def test_x31_all_languages_are_kept_one_twice_too() -> None:
    found = the_programme("<title lang='en'>E</title><title lang='de'>D</title><title lang='en'>E1</title>"
                          "<desc lang='fr'>F</desc><desc>x</desc>")  # fmt: skip
    assert found.titles == (Text("E", "en"), Text("D", "de"), Text("E1", "en"))
    assert found.descs == (Text("F", "fr"), Text("x"))


def test_x32_episode_numbers_of_every_form_are_kept() -> None:
    numbers = [("0 . 12/13 . 0/3", "xmltv_ns"), (".26/0.", "xmltv_ns"), ("9" * 30 + "..", "xmltv_ns")]
    inner = "".join(f"<episode-num system='{system}'>{text}</episode-num>" for text, system in numbers)
    found = the_programme(f"<title>T</title><episode-num>S01E02</episode-num>{inner}")
    assert found.episode_nums == (EpisodeNum("S01E02", "onscreen"), *(EpisodeNum(*number) for number in numbers))


def test_x34_text_of_elements_inside_a_text_is_kept() -> None:
    assert the_programme("<title>T</title><desc>a <x-fig-roll>b</x-fig-roll> c<i/>d</desc>").description == "a b cd"


def test_x35_what_the_dtd_does_not_know_stays_in_the_store_and_out_of_the_guide() -> None:
    (raw,) = read(guide(show("<title>T</title><lcn>4</lcn><live/>"))).raws
    assert b"<lcn>4</lcn><live/>" in raw
    assert write.programme(raw, start=0, stop=1, channel_id="c", title_fallback="-").count(b"<") == 4


def test_x36_the_limit_of_an_element_marks_what_was_cut() -> None:
    found = read(guide(show(f"<title>T</title><desc>{'ä&amp;' * 900_000}</desc><new/>")))
    (raw,) = found.raws
    description = details(raw).description or ""
    assert description.endswith("…")
    assert 30_000 < len(raw) < 70_000
    assert set(description) == {"ä", "&", "…"}
    assert found.noted() == {"capped": 1, "cut_behind": 1}


@pytest.mark.parametrize("by", READERS)
@pytest.mark.parametrize("text_bytes", [5_000_000 + step for step in (0, 1, 7, 20, 31, 33, 64)])
def test_x36_what_stood_behind_the_cut_is_named(text_bytes: int, by: str) -> None:
    """Wherever the file is cut into pieces."""
    behind = "<previously-shown start='2020'/><category>K</category><category>L</category><my:own_1>x</my:own_1>"
    found = read(guide(show(f"<title>T</title><desc>{'d' * text_bytes}</desc>{behind}"), titled("T2")), reader=by)
    assert found.losses.notes_dict()["cut_behind"] == {"count": 1, "samples": [
        f"previously-shown, category, my:own_1 of {show()[:show().index('>') + 1]}"
    ]}  # fmt: skip
    assert found.titles == ["T", "T2"]


def test_x36_a_thousand_things_behind_the_cut_are_named_in_few_words() -> None:
    found = read(guide(show("<title>T</title>" + "".join(f"<x{n}>{'y' * 40}</x{n}>" for n in range(90_000)))))
    (sample,) = found.losses.notes_dict()["cut_behind"]["samples"]  # type: ignore[misc]
    assert sample.count(", ") == 9


def test_x60_no_control_character_comes_out_again() -> None:
    (raw,) = read(guide(show("<title>a\x1a&#8;\x85\x7fb</title>"))).raws
    out = write.programme(raw, start=0, stop=1, channel_id="c", title_fallback="-").decode()
    assert "<title>ab</title>" in out


class Long:
    """A guide of any size that takes no memory itself."""

    def __init__(self, size: int) -> None:
        row = titled("x" * 200) + f"<!--{'y' * 100}-->\n"
        self._row = row.encode() * 100
        self._left = size
        self._head = b"<tv>"

    def read(self, size: int, /) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        if self._left <= 0:
            return b""
        self._left -= len(self._row)
        return self._row


def peak_of(stream: Readable, by: str) -> int:
    """Bytes of memory at the most while a stream is unpacked and read."""
    losses = Losses()
    tracemalloc.start()
    for _ in READERS[by](unpacked(stream, max_bytes=10**12, losses=losses), stamps=Stamps(), losses=losses):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("by", READERS)
def test_x88_memory_does_not_grow_with_the_guide(by: str) -> None:
    assert peak_of(Long(7 * MB), by) < peak_of(Long(3 * MB), by) + MB


@pytest.mark.parametrize("by", READERS)
@pytest.mark.parametrize("giant", ["attribute", "text", "comment", "CDATA"])
def test_x74_a_giant_token_is_not_held_in_memory(giant: str, by: str) -> None:
    forms = {"attribute": "<programme odd='", "text": "<programme><title>", "comment": "<!--", "CDATA": "<![CDATA["}

    class Token(Long):
        def __init__(self) -> None:
            super().__init__(48 * MB)
            self._row = b"x" * (256 * 1024)
            self._head = f"<tv>{forms[giant]}".encode()

    assert peak_of(Token(), by) < 24 * MB


# ---- the whole import ------------------------------------------------------------------------------------------------


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.close()


@pytest.fixture
def site() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        yield running


def days(channel: str = "c", word: str = "Show", hours: int = 72) -> list[Show]:
    return hourly(channel, MIDNIGHT, hours, word)


def held(run: Run) -> tuple[str, int, int]:
    """A run's end; its losses always add up to what it left out."""
    losses = run.report.get("losses", {})
    assert isinstance(losses, dict)
    if run.status in ("success", "unchanged"):
        assert sum(tally["count"] for tally in losses.values()) == run.programs_skipped
    return run.status, run.programs_imported, run.programs_skipped


def test_x1_a_provider_may_have_a_zone_of_its_own(station: Station) -> None:
    provider = station.provider(default_timezone="America/New_York")
    station.take(guide(titled("T", ("20260310120000", "20260310130000"))).encode(), provider)
    (listing,) = station.listings("c")
    assert listing.start_s == NOON + 4 * HOUR


def test_x13_a_provider_may_be_shifted(station: Station) -> None:
    provider = station.provider(shift_minutes=-90)
    station.take(guide_of([Show("c", NOON, NOON + HOUR, "T")]), provider)
    (listing,) = station.listings("c")
    assert (listing.start_s, listing.stop_s) == (NOON - 5400, NOON - 1800)


def test_x15_a_host_zone_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    found = []
    try:
        for zone in ("UTC", "America/Chicago", "Asia/Kolkata", "Pacific/Apia"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            made = Station(tmp_path / zone.replace("/", "-"))
            made.take(guide_of(days()))
            found.append([(one.start_s, one.stop_s) for one in made.listings("c")])
            made.close()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == [found[0]] * 4
    assert found[0][0] == (MIDNIGHT, MIDNIGHT + HOUR)


def test_x20_a_stop_is_made_up_anew_when_neighbours_arrive(station: Station) -> None:
    def lone(*more: Show) -> bytes:
        whole = guide_of([Show("c", NOON, NOON + 1, "a"), *more])
        return re.sub(rb' stop="[^"]*"', b"", whole, count=1)

    station.take(lone())
    assert [one.stop_s for one in station.listings("c")] == [NOON + HOUR // 2]
    station.take(lone(Show("c", NOON + 2 * HOUR, NOON + 3 * HOUR, "b")))
    assert [one.stop_s for one in station.listings("c")] == [NOON + 2 * HOUR, NOON + 3 * HOUR]


def test_x23_the_same_file_again_changes_no_row(station: Station) -> None:
    shows = [*days(), *days(), Show("c", NOON, NOON + HOUR, "another"), Show("c", NOON, NOON, "zero")]
    assert held(station.take(guide_of(shows))) == ("success", 74, 72)
    before = station.everything()
    again = station.take(guide_of(shows) + b"\n")
    assert again.report["changes"] == {"added": 0, "changed": 0, "removed": 0}
    assert station.everything() == before


def test_x26_x27_channels_in_any_place_or_none_cost_no_programme(station: Station) -> None:
    one, two = days("one", hours=24), days("two", hours=24)
    mixed = [show for pair in zip(one, two, strict=True) for show in pair]
    late = guide_of(mixed, {}).replace(b"</tv>", b"<channel id='one'><display-name>One</display-name></channel></tv>")
    assert held(station.take(late)) == ("success", 48, 0)
    assert {(c.name, c.display_name) for c in station.it.channels.all()} == {("one", "One"), ("two", "two")}
    assert len(station.titles("one")) == len(station.titles("two")) == 24


def test_x28_a_channel_that_stands_twice_has_all_its_names(station: Station) -> None:
    twice = (
        b"<channel id='c'><display-name>One</display-name></channel><channel id='c'>"
        b"<display-name lang='cy'>Un</display-name><icon src='http://i'/></channel><channel id='c'/>"
    )
    station.take(guide_of(days(), {}).replace(b"<tv>", b"<tv>" + twice))
    (channel,) = station.it.channels.all()
    assert (channel.display_name, channel.icon_url) == ("One", "http://i")
    ((element,),) = station.it.channels.elements([channel.id])
    names = ET.fromstring(element).findall("display-name")
    assert [name.text for name in names] == ["One", "Un"]


@pytest.mark.parametrize("late", [False, True], ids=["channel first", "programmes first"])
def test_x29_the_case_of_an_id_is_forgiven(station: Station, late: bool) -> None:
    channel = b"<channel id=' bbc1 '><display-name>BBC One</display-name></channel>"
    document = guide_of(days("BBC1"), {})
    station.take(
        document.replace(b"</tv>", channel + b"</tv>") if late else document.replace(b"<tv>", b"<tv>" + channel)
    )
    (found,) = station.it.channels.all()
    assert found.display_name == "BBC One"
    assert len(station.titles(found.name)) == 72


def test_x29_two_ids_that_are_declared_are_two_channels(station: Station) -> None:
    station.take(guide_of([*days("abc", "lower"), *days("ABC", "upper")], {"abc": "Alpha", "ABC": "Australian"}))
    assert [len(station.titles(channel.name)) for channel in station.it.channels.all()] == [72, 72]


def test_x40_x41_x71_x72_what_is_no_guide_or_over_leaves_the_guide_as_it_was(station: Station) -> None:
    station.take(guide_of(days()))
    before = station.everything()
    refused = [b"<ProgramGuide/>", b"<rss/>", b"", HTML, b"<tv/>", guide_of(hourly("c", MIDNIGHT - 3 * DAY, 24))]
    ends = [station.take(data) for data in refused]
    assert [run.status for run in ends] == ["failed"] * 4 + ["rejected"] * 2
    assert all(run.error_message for run in ends)
    assert station.everything() == before


def test_x42_channels_that_vanish_keep_their_guide(station: Station) -> None:
    shows = {name: days(name) for name in map(str, range(10))}
    station.take(guide_of([one for each in shows.values() for one in each]))
    del shows["3"]
    run = station.take(guide_of([one for each in shows.values() for one in each]))
    assert run.status == "success"
    assert len(station.titles("3")) == 72


def test_x69_a_truncated_file_is_kept_where_nothing_better_stands(station: Station) -> None:
    whole = guide_of(days())
    cut = whole[: len(whole) // 2]
    run = station.take(cut)
    assert held(run) == ("success", cut.count(b"</programme>"), 1)
    assert run.report["warnings"] == ["truncated"]
    station.take(whole)
    before = station.everything()
    again = station.take(cut)
    assert (again.status, "breaks off" in (again.error_message or "")) == ("rejected", True)
    assert station.everything() == before


# ---- over the wire ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "path", "headers"),
    [
        (80, "/guide", {"Content-Type": "application/x-gzip"}),
        (80, "/guide", {"Content-Type": "application/octet-stream"}),
        (80, "/get.php?x=1", {"Content-Type": "text/html", "Content-Disposition": 'attachment; filename="g.xml"'}),
    ],
    ids=str,
)
def test_x80_what_it_is_called_does_not_matter(
    station: Station, site: ScriptedProvider, row: int, path: str, headers: dict[str, str]
) -> None:
    site.script(path, lambda asked: Reply(200, headers, gzip.compress(guide_of(days()))))
    assert held(station.run(station.provider(address=site.url(path)))) == ("success", 72, 0)


def test_x81_a_gz_that_is_plain_is_read(station: Station, site: ScriptedProvider) -> None:
    site.serve("/guide.xml.gz", guide_of(days()), content_type="application/gzip")
    assert held(station.run(station.provider(address=site.url("/guide.xml.gz")))) == ("success", 72, 0)


def test_x82_a_gzip_file_sent_with_a_gzip_coding_is_read(station: Station, site: ScriptedProvider) -> None:
    site.serve("/guide.xml.gz", gzip.compress(guide_of(days())), gzip_by="coding")
    assert held(station.run(station.provider(address=site.url("/guide.xml.gz")))) == ("success", 72, 0)


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("zstd", zstd.compress),
        ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
        ("identity", bytes),
    ],
    ids=["zlib", "raw deflate", "zstd", "two codings", "identity"],
)
def test_x83_codings_of_the_transport_are_undone(
    station: Station, site: ScriptedProvider, coding: str, pack: type[bytes]
) -> None:
    body = pack(guide_of(days()))
    site.script("/g", lambda asked: Reply(200, {"Content-Encoding": coding}, body))
    assert held(station.run(station.provider(address=site.url("/g")))) == ("success", 72, 0)


def test_x86_a_download_that_breaks_off_is_no_guide(station: Station, site: ScriptedProvider) -> None:
    whole = guide_of(days())
    site.serve("/g", whole)
    provider = station.provider(address=site.url("/g"))
    station.run(provider)
    before = station.everything()
    site.cut("/g", whole.replace(b"Show", b"Late"), len(whole) // 2)
    assert station.run(provider).status in ("failed", "rejected")
    assert station.everything() == before


def test_x73_what_is_nested_too_deep_to_be_read_is_noted(station: Station) -> None:
    deep, shallow = (f"<a>{'<b>' * n}{'x' * 5000}{'</b>' * n}</a>" for n in (100_000, 30))
    shows = [Show("c", NOON + n * HOUR, NOON + (n + 1) * HOUR, f"T{n}", more) for n, more in enumerate((deep, shallow))]
    for _ in range(2):
        run = station.take(guide_of(shows), force=True)
        assert held(run) == ("success", 2, 0)
        assert run.report["notes"] == {"nested": {"count": 1, "samples": ["T0"]}}


@pytest.mark.parametrize("at", [-6, -2], ids=["checksum", "length"])
@pytest.mark.parametrize("behind", [b"", b"<br/>", guide_of(days("d"))], ids=["nothing", "junk", "another guide"])
def test_x86_a_wrong_checksum_is_told_whatever_follows_the_guide(station: Station, behind: bytes, at: int) -> None:
    packed = bytearray(gzip.compress(guide_of(days()) + behind))
    packed[at] ^= 1
    run = station.take(bytes(packed))
    assert held(run) == ("success", 72, 0)
    assert "corrupt" in str(run.report["warnings"])


def test_x86_x87_a_bomb_behind_the_guide_is_not_unpacked(station: Station) -> None:
    run = station.take(gzip.compress(guide_of(days()) + guide_of(days("d")) + bytes(100 * MB)))
    assert held(run) == ("success", 72, 0)
    assert run.report["warnings"] == ["second_document"]


def test_x87_a_bomb_fails_its_run_only(station: Station) -> None:
    station.take(guide_of(days()))
    before = station.everything()
    run = station.take(gzip.compress(b"<tv>" + bytes(40 * MB)))
    assert (run.status, "bomb" in (run.error_message or "")) == ("failed", True)
    assert station.everything() == before


def test_x89_validators_go_with_the_address_and_the_guide(station: Station, site: ScriptedProvider) -> None:
    for path in ("/a", "/b"):
        site.serve(path, guide_of(days()), etag='"1"')
    provider = station.provider(address=site.url("/a"))
    assert [station.run(provider).status for _ in range(2)] == ["success", "unchanged"]
    station.it.providers.update(provider.id, {"xmltv_url": site.url("/b")})
    station.run(provider)
    station.it.providers.delete(provider.id)
    station.run(station.provider("anew", site.url("/b")))
    asked = [request.headers.get("If-None-Match") for request in site.requests]
    assert asked == ["", '"1"', "", ""]
    assert len(station.titles("c")) == 72


def test_x89_a_part_that_nobody_asked_for_is_refused(station: Station, site: ScriptedProvider) -> None:
    site.script("/g", lambda asked: Reply(206, {"Content-Range": "bytes 0-9/100"}, guide_of(days())))
    run = station.run(station.provider(address=site.url("/g")))
    assert (run.status, "206" in (run.error_message or "")) == ("failed", True)


def test_x90_a_slow_server_is_asked_once(station: Station, site: ScriptedProvider) -> None:
    whole = gzip.compress(guide_of(days()))
    site.drip("/g", whole, len(whole) // 20, 0.01)
    provider = station.provider(address=site.url("/g"))
    waiting = station.it.imports.enqueue(provider.id, reason="manual", force=False)
    assert held(station.run(provider)) == ("success", 72, 0)
    assert site.count("/g") == 1
    assert station.it.imports.get(waiting.id).status == "queued"
    assert json.dumps(station.it.imports.get(waiting.id).report)
