"""Guides for clients: what each of them needs, as its own test; small files kept beside; options in canonical form."""

import itertools
import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epg_service.domain import episodes
from epg_service.domain.entities import LineupChannel
from epg_service.domain.placeholders import BLOCK_S, gaps
from epg_service.domain.profiles import PROFILES, options
from epg_service.lineups.publish import WHOLE, Contents, _in_groups, lineup_publication
from epg_service.lineups.render import Piece
from epg_service.xmltv import shape
from servicekit.errors import Invalid
from tests.epg.guidekit import DAY, HOUR, MIDNIGHT, NOON, Show, Station, guide_of, hourly
from tests.programs import needs

GOLDEN = Path(__file__).parent / "golden_profiles"
DTD_PLACES = (Path("/usr/share/xmltv/xmltv.dtd"), Path("/usr/local/share/xmltv/xmltv.dtd"))

SERIES = (
    '<sub-title lang="en">Pilot</sub-title><sub-title lang="de">Anfang</sub-title><desc lang="en">Once.</desc>'
    "<credits><actor>Ann<url>https://e.x/ann</url></actor></credits><category>Drama</category><keyword>k</keyword>"
    '<icon src="https://e.x/still.jpg"/><url>https://e.x/show</url><episode-num system="onscreen">1x05</episode-num>'
    '<new/><review type="text">Good.</review><image type="poster">https://e.x/poster.jpg</image><lcn>5</lcn>'
)
SHOWS = [
    Show("one.tv", NOON - HOUR, NOON + HOUR, "The Show", SERIES),
    Show("one.tv", NOON + HOUR, NOON + 2 * HOUR, "Again", "<previously-shown/>"),
    Show("one.tv", NOON + 2 * HOUR, NOON + 3 * HOUR, "Old", "<date>20200102</date><category>Film</category>"),
    Show("one.tv", NOON + 5 * HOUR, NOON + 6 * HOUR, "", '<episode-num system="xmltv_ns">2.11.0/1</episode-num>'),
    Show("one.tv", NOON + 5 * HOUR + 60, NOON + 7 * HOUR, "Over it", "<desc>d</desc>"),
    Show("two.tv", NOON - 3 * DAY, NOON - 3 * DAY + HOUR, "Gone"),
    Show("two.tv", NOON, NOON + HOUR, "Special", '<episode-num system="onscreen">S00E03</episode-num>'),
    Show("two.tv", NOON + 3 * DAY, NOON + 3 * DAY + HOUR, "Far"),
]
CHANNELS = [
    LineupChannel("a.1", "First", "one.tv", "5", "https://e.x/1.png", "News"),
    LineupChannel("a.2", "Second", "two.tv", None, None, "Kids & Co"),
    LineupChannel("a.3", "No guide", None, "7"),
]


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    made = Station(tmp_path_factory.mktemp("profiles"), {"retention": {"days": 30}})
    made.take(guide_of(SHOWS))
    made.it.lineups.put("default", "1", CHANNELS, {})
    made.keeper().work_off()
    yield made
    made.close()


def text(pieces: Iterator[Piece]) -> bytes:
    return b"".join(one if isinstance(one, bytes) else one.text for one in pieces)


def made(station: Station, profile: str | None = None, name: str = "lineup-default", **more: object) -> bytes:
    contents = Contents(guide=station.it.guide, lineups=station.it.lineups)
    asked = options(usual=contents.usual(name).profile, profile=profile, **more)  # type: ignore[arg-type]
    return text(iter(contents.pieces(name, asked, NOON)))


def root_of(station: Station, profile: str | None = None, **more: object) -> ET.Element:
    return ET.fromstring(made(station, profile, **more))  # type: ignore[arg-type]


def show(root: ET.Element, title: str) -> ET.Element:
    return next(one for one in root.iter("programme") if one.findtext("title") == title)


def numbers(one: ET.Element) -> dict[str | None, str | None]:
    return {child.get("system"): child.text for child in one.iter("episode-num")}


# ---- every profile ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True], ids=["lineup", "whole"])
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profiles_file_is_valid(station: Station, tmp_path: Path, profile: str, whole: bool) -> None:
    needs("xmllint", "tv_validate_file")
    dtd = next((place for place in DTD_PLACES if place.exists()), None)
    if dtd is None:
        pytest.skip("xmltv.dtd not found: apt-get install xmltv-util")
    file = tmp_path / "guide.xml"
    file.write_bytes(made(station, profile, WHOLE if whole else "lineup-default"))
    lint = subprocess.run(["xmllint", "--noout", "--nonet", "--dtdvalid", dtd, file], capture_output=True, text=True)
    assert (lint.returncode, lint.stderr) == (0, "")
    if not whole and profile != "full":  # the tool takes a channel without a programme for a fault
        file.write_bytes(made(station, profile, placeholders=True))
    environment = {**os.environ, "XMLTV_SUPPLEMENT": str(dtd.parent)}
    check = subprocess.run(["tv_validate_file", file], capture_output=True, text=True, env=environment)
    if profile != "full":  # which repeats overlaps, and the tool looks for nothing else that is allowed
        assert (check.returncode, check.stdout) == (0, "Validated ok.\n"), check.stderr


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profiles_file_is_the_one_kept_beside(station: Station, profile: str) -> None:
    kept = GOLDEN / f"{profile}.xml"
    found = made(station, profile)
    if os.environ.get("AERIAL_WRITE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        kept.write_bytes(found)
    assert found == kept.read_bytes()


@pytest.mark.parametrize("profile", sorted(set(PROFILES) - {"full"}))
def test_no_overlap_utc_titles_and_what_runs_now(station: Station, profile: str) -> None:
    root = root_of(station, profile)
    assert [one.get("id") for one in root.iter("channel")] == ["a.1", "a.2", "a.3"]
    spans: dict[str, list[tuple[str, str]]] = {}
    for one in root.iter("programme"):
        start, stop = str(one.get("start")), str(one.get("stop"))
        assert start.endswith(" +0000")
        assert stop.endswith(" +0000")
        assert one.findtext("title")
        spans.setdefault(str(one.get("channel")), []).append((start, stop))
    for found in spans.values():
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))
    assert show(root, "The Show") is not None, "it runs now"


def test_full_repeats_overlaps_and_adds_nothing(station: Station) -> None:
    root = root_of(station, "full")
    assert [one.findtext("title") for one in root.iter("programme") if one.get("channel") == "a.1"][-1] == "Over it"
    assert numbers(show(root, "The Show")) == {"onscreen": "1x05"}
    late = [one for one in root.iter("programme") if one.get("start") == "20260310170000 +0000"]
    assert [one.get("stop") for one in late] == ["20260310180000 +0000"]
    assert show(root, "The Show").find("review") is not None


def test_what_the_dtd_does_not_know_comes_out_with_extras_only(station: Station) -> None:
    assert b"<lcn>" not in made(station, "full")
    assert b"<lcn>5</lcn>" in made(station, "full", extras=True)
    assert b"<lcn>5</lcn>" in made(station, "plex", extras=True)


# ---- plex ------------------------------------------------------------------------------------------------------------


def test_plex_gets_no_url_anywhere(station: Station) -> None:
    assert b"<url" not in made(station, "plex")
    assert b"<url" not in made(station, "plex", WHOLE)


def test_plex_gets_the_number_first(station: Station) -> None:
    found = {one.get("id"): [name.text for name in one] for one in root_of(station, "plex").iter("channel")}
    assert found["a.1"][:3] == ["5 First", "5", "First"]
    assert found["a.2"] == ["Second"]


def test_plex_is_told_of_repeats_and_of_nothing_else(station: Station) -> None:
    root = root_of(station, "plex")
    told = {one.findtext("title"): one.find("previously-shown") is not None for one in root.iter("programme")}
    assert told["The Show"] is False, "it is new"
    assert told["Again"] is True, "the feed says so"
    assert told["Old"] is True, "its date says so"
    assert told["Over it"] is True, "the channel calls others new"
    assert told["Special"] is False, "nobody says anything on that channel"


def test_plex_never_sees_an_unknown_airing(station: Station) -> None:
    root = root_of(station, "plex")
    empty = [one for one in root.iter("programme") if one.get("channel") == "a.3"]
    assert {one.findtext("title") for one in empty} == {"No guide"}
    assert all(one.find("previously-shown") is not None for one in empty)
    assert str(empty[0].get("start")) <= "20260310120000" <= str(empty[-1].get("stop"))


def test_plex_gets_series_and_films_by_their_names_and_the_poster_as_icon(station: Station) -> None:
    root = root_of(station, "plex")
    assert [one.text for one in show(root, "The Show").iter("category")] == ["Drama", "Series"]
    assert [one.text for one in show(root, "Old").iter("category")] == ["Film", "Movie"]
    icons = [one.get("src") for one in show(root, "The Show").iter("icon")]
    assert icons == ["https://e.x/poster.jpg", "https://e.x/still.jpg"]


def test_plex_gets_episode_numbers_in_both_systems(station: Station) -> None:
    root = root_of(station, "plex")
    assert numbers(show(root, "The Show")) == {"onscreen": "S01E05", "xmltv_ns": "0.4.0/1"}
    assert numbers(show(root, "No title")) == {"onscreen": "S03E12", "xmltv_ns": "2.11.0/1"}


# ---- jellyfin, kodi, tivimate ----------------------------------------------------------------------------------------


def test_jellyfin_reads_the_name_first_and_the_number_from_another_name(station: Station) -> None:
    found = {one.get("id"): [name.text for name in one.iter("display-name")] for one in root_of(station, "jellyfin")}
    assert found["a.1"] == ["First", "5"]


def test_jellyfins_file_is_kept_small(station: Station) -> None:
    root = root_of(station, "jellyfin")
    assert "Gone" not in [one.findtext("title") for one in root.iter("programme")], "a day back is enough"
    assert show(root, "The Show").find("review") is None
    assert [one.text for one in show(root, "The Show").iter("image")] == ["https://e.x/poster.jpg"], "it reads images"


def test_kodi_reads_numbers_as_sxxexx_only(station: Station) -> None:
    assert numbers(show(root_of(station, "kodi"), "The Show"))["onscreen"] == "S01E05"


def test_kodi_tells_what_is_new_by_the_date(station: Station) -> None:
    assert show(root_of(station, "kodi"), "The Show").findtext("date") == "20260310"


def test_kodi_holds_nothing_in_memory_that_it_does_not_read(station: Station) -> None:
    found = {child.tag for child in show(root_of(station, "kodi"), "The Show")}
    assert not found & {"review", "keyword", "url", "image"}


def test_tivimate_gets_past_programmes_for_its_archive(station: Station) -> None:
    assert show(root_of(station, "tivimate"), "Gone") is not None


# ---- options ---------------------------------------------------------------------------------------------------------


def titles(station: Station, **more: object) -> set[str | None]:
    return {one.findtext("title") for one in root_of(station, **more).iter("programme")}  # type: ignore[arg-type]


def test_windows_keep_what_runs_at_their_ends(station: Station) -> None:
    every = titles(station)
    assert titles(station, days=1) == every - {"Far"}
    assert titles(station, past_days=0) == every - {"Gone"}
    assert "The Show" in titles(station, past_days=0, days=1)


def test_channels_and_groups_choose(station: Station) -> None:
    assert [one.get("id") for one in root_of(station, channels=["a.3,a.1"]).iter("channel")] == ["a.1", "a.3"]
    assert [one.get("id") for one in root_of(station, groups=["kids & co"]).iter("channel")] == ["a.2"]
    assert [one.get("id") for one in root_of(station, name=WHOLE, channels=["two.tv"]).iter("channel")] == ["two.tv"]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        (["Info, Talk"], "1"),
        (["info,talk"], "1"),
        (["Info", "talk"], "1"),
        (["News,Info, Talk"], "12"),
        (["News"], "2"),
        (["Sport, "], "3"),
        (["Info"], "info"),
        (["Talk,Sport,none"], "none"),
    ],
    ids=str,
)
def test_a_group_with_a_comma_in_its_name_is_chosen_by_its_whole_name(asked: list[str], ids: str) -> None:
    named = {"1": "Info, Talk", "2": "News", "3": " Sport,", "4": "Info, Talk, More"}
    channels = [LineupChannel(id_, id_, group=group) for id_, group in named.items()]
    wanted = options(usual="standard", groups=asked).groups
    if ids.isdigit():
        assert "".join(one.id for one in _in_groups(channels, channels, wanted)) == ids
    else:
        with pytest.raises(Invalid, match=f"no group '{ids}'"):
            _in_groups(channels, channels, wanted)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"channels": ["none"]}, "no channel 'none'"),
        ({"groups": ["none"]}, "it has: Kids & Co, News"),
        ({"profile": "plexx"}, "full, jellyfin, kodi, plex, standard, tivimate"),
        ({"days": 0}, "1 to 366"),
        ({"past_days": -1}, "0 to 366"),
        ({"languages": ["d e"]}, "such as de"),
        ({"name": WHOLE, "groups": ["News"]}, "no groups"),
    ],
    ids=str,
)
def test_what_is_not_there_is_refused_with_what_is(station: Station, asked: dict[str, object], word: str) -> None:
    with pytest.raises(Invalid, match=word.replace("(", ".")):
        made(station, **asked)  # type: ignore[arg-type]


def test_texts_are_given_in_the_first_language_that_is_there(station: Station) -> None:
    for wanted, expected in (["de"], ["Anfang"]), (["fr,en"], ["Pilot"]), (["it"], ["Pilot", "Anfang"]):
        found = show(root_of(station, languages=wanted), "The Show")
        assert [one.text for one in found.iter("sub-title")] == expected


def test_a_plus_one_shows_its_base_channel_an_hour_later(tmp_path: Path) -> None:
    one = Station(tmp_path)
    one.take(guide_of(hourly("one.tv", MIDNIGHT, 24)))
    guide_channel = one.channel_id("one.tv")
    shifted = LineupChannel("a", "One +1", None, None, None, None, guide_channel, "base", 1.0, 60)
    contents = Contents(guide=one.it.guide, lineups=one.it.lineups)
    root = ET.fromstring(text(contents.lineup([shifted], contents.usual("lineup-x"), NOON)))
    first = next(root.iter("programme"))
    assert (first.get("start"), first.findtext("title")) == ("20260310010000 +0000", one.titles("one.tv")[0])
    one.close()


def test_options_that_mean_the_same_are_equal() -> None:
    one = options(usual="full", profile="PLEX", channels=["b,a", "a"], groups=["News"], placeholders=True)
    other = options(usual="standard", profile="plex", channels=["a", "b"], groups=["news", ""])
    assert one == other
    assert one.key() == other.key()
    assert one != options(usual="standard", profile="plex", channels=["a"])


def test_a_lineups_publication_carries_its_name() -> None:
    assert lineup_publication("kids") == "lineup-kids"


# ---- the parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("S01E05", (1, 5)), ("s1 e5", (1, 5)), ("S01.E05", (1, 5)), ("1x05", (1, 5)), ("Season 2 Episode 11", (2, 11)),
        ("Staffel 3, Episode 4", (3, 4)), ("E07", (None, 7)), ("Ep. 7", (None, 7)), ("S00E03", (0, 3)),
        ("Title", None), ("5", None), ("", None), ("1920x1080p", None), ("12/34", None),
    ],
)  # fmt: skip
def test_onscreen_numbers_are_read(written: str, expected: object) -> None:
    assert episodes.read_onscreen(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [("0.4.0/1", (1, 5)), (" 1 . 4/12 . ", (2, 5)), (".4.", (None, 5)), ("0..", None), ("0.4", None), ("x", None)],
)
def test_numbers_from_zero_are_read(written: str, expected: object) -> None:
    assert episodes.read_ns(written) == expected


@given(st.integers(1, 99), st.integers(1, 999))
def test_a_number_stays_the_same_in_both_systems(season: int, episode: int) -> None:
    assert episodes.read_onscreen(episodes.as_onscreen(season, episode)) == (season, episode)
    assert episodes.read_ns(episodes.as_ns(season, episode) or "") == (season, episode)


def test_specials_have_no_number_from_zero(station: Station) -> None:
    assert numbers(show(root_of(station), "Special")) == {"onscreen": "S00E03"}


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), max_size=8), st.integers(0, 50), st.integers(0, 900))
@settings(max_examples=200)
def test_gaps_and_programmes_cover_everything_once(lengths: list[tuple[int, int]], begin: int, end: int) -> None:
    at, starts, stops = 10, list[int](), list[int]()
    for gap, length in lengths:
        starts.append(at + gap)
        stops.append(at + gap + length)
        at = stops[-1]
    spans = sorted([*zip(starts, stops, strict=True), *gaps(starts, stops, begin, end)])
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    assert all(stop - start > 0 for start, stop in spans)
    if begin < end:
        assert spans[0][0] <= begin
        assert spans[-1][1] >= end


def test_blocks_end_at_fixed_hours() -> None:
    assert list(gaps([], [], BLOCK_S - 60, 2 * BLOCK_S)) == [(BLOCK_S - 60, BLOCK_S), (BLOCK_S, 2 * BLOCK_S)]


def test_an_element_that_says_both_numbers_is_left_alone() -> None:
    raw = (
        b'<programme>\n<title>t</title><episode-num system="onscreen">x</episode-num>'
        b"<episode-num system='xmltv_ns'>0.1.</episode-num>\n</programme>\n"
    )
    assert shape.with_both_numbers(raw) == raw
