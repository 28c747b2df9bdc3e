"""A lineup's rules and filters for programmes: what they do to elements, to files, and what is told of them."""

import runpy
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from epg_service.domain.days import IN_FORM
from epg_service.domain.profiles import FULL, PROFILES, STANDARD, Options, options
from epg_service.domain.rules import ProgrammeRules
from epg_service.lineups.render import Entry, Rendering
from epg_service.wiring import for_keeper
from epg_service.xmltv import edit, form, write
from epg_service.xmltv.details import details
from epg_service.xmltv.gzipped import Ready
from tests.epg.guidekit import HOUR, NOON, HeldClock, Station, guide_of, hourly
from tests.epg.test_render import INNER, Stored

WHOLE = b"""  <programme start="20261121120000 +0000" stop="20261121130000 +0000" channel="c.1">
    <title lang="en">NEW: Pets &amp; Co</title>
    <title lang="de">Tiere</title>
    <sub-title>One</sub-title>
    <desc>About pets.</desc>
    <category lang="en">Series</category>
    <category lang="de">Tiere</category>
    <language>en</language>
    <icon src="http://e.x/a.png?a=1&amp;b=2"/>
    <icon src="http://e.x/b.png"/>
    <episode-num system="dd_progid">EP1.2</episode-num>
    <episode-num system="onscreen">S02E03</episode-num>
    <video><aspect>4:3</aspect><quality>HDTV</quality></video>
    <subtitles type="teletext"><language>fr</language></subtitles>
    <rating system="FSK"><value>12</value><icon src="http://e.x/fsk.png"/></rating>
  </programme>
"""
BARE = b"  <programme>\n    <title>T</title>\n  </programme>\n"
EVERY = {
    "programme_title": "NEW: Pets & Co",
    "programme_subtitle": "One",
    "programme_description": "About pets.",
    "programme_category": "Series, Tiere",
    "programme_icon": "http://e.x/a.png?a=1&b=2",
    "language": "en",
    "rating": "12",
    "aspect_ratio": "4:3",
    "season_num": "2",
    "episode_num": "3",
}


def rules(*expressions: str, filters: tuple[tuple[str, str], ...] = (), now_s: int = NOON) -> ProgrammeRules:
    sent = {
        "rules": [{"name": text, "expression": text} for text in expressions],
        "filters": [{"name": text, "expression": text, "action": action} for text, action in filters],
    }
    return ProgrammeRules(sent, now_s=lambda: now_s)


# ---- elements -----------------------------------------------------------------------------------------------------


def test_every_field_is_read() -> None:
    assert edit.read(WHOLE, EVERY) == EVERY
    assert edit.read(BARE, EVERY) == {**dict.fromkeys(EVERY, ""), "programme_title": "T"}
    assert edit.read(WHOLE, {"rating"}) == {"rating": "12"}


@pytest.mark.parametrize("element", [WHOLE, BARE], ids=["whole", "bare"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("programme_title", 'Less < "More" & Æ'),
        ("programme_subtitle", "Two"),
        ("programme_description", "Another."),
        ("programme_category", "Tiere, Film, Doku"),
        ("programme_icon", 'http://e.x/?a=1&b="2"'),
        ("language", "de"),
        ("rating", "16+"),
        ("aspect_ratio", "16:9"),
        ("season_num", "7"),
        ("episode_num", "12"),
    ],
)
def test_what_is_written_is_read_again_and_nothing_else_changes(element: bytes, name: str, text: str) -> None:
    before = edit.read(element, EVERY)
    after = edit.edited(element, {name: text})
    if name == "season_num" and element is BARE:
        assert b'<episode-num system="xmltv_ns">6..</episode-num>' in after  # a season alone is no number to read
    else:
        assert edit.read(after, EVERY) == before | {name: text}
    assert in_form(after)
    assert details(after).titles[0].lang == details(element).titles[0].lang


def in_form(element: bytes) -> bool:
    """Whether it is in the form of the DTD, as the pattern that proves it says."""
    return bool(form.flags_of([element.strip()])[0] & IN_FORM)


def test_an_empty_text_takes_the_element_away_but_a_title_stays() -> None:
    after = edit.edited(WHOLE, dict.fromkeys(EVERY, " "))
    assert edit.read(after, EVERY) == dict.fromkeys(EVERY, "") | {"programme_title": "No title"}
    told = details(after)
    assert [one.value for one in told.episode_nums] == ["EP1.2"]
    assert told.subtitles[0].language is not None
    assert told.video is not None
    assert told.video.quality == "HDTV"


def test_numbers_are_written_in_both_systems() -> None:
    told = details(edit.edited(WHOLE, {"season_num": "4"}))
    assert {one.system: one.value for one in told.episode_nums} == {
        "dd_progid": "EP1.2",
        "onscreen": "S04E03",
        "xmltv_ns": "3.2.0/1",
    }
    assert edit.read(edit.edited(WHOLE, {"episode_num": "many"}), EVERY) == EVERY


def test_what_else_an_element_says_stays() -> None:
    told = details(
        edit.edited(WHOLE, {"rating": "16", "programme_category": "Tiere, Film", "programme_icon": "http://n"})
    )
    assert (told.ratings[0].system, told.ratings[0].value) == ("FSK", "16")
    assert [(one.value, one.lang) for one in told.categories] == [("Tiere", "de"), ("Film", None)]
    assert [one.src for one in told.icons] == ["http://n", "http://e.x/b.png"]


@given(st.sampled_from(sorted(EVERY)), st.text(max_size=20))
def test_whatever_is_written_is_xml(name: str, text: str) -> None:
    after = edit.edited(WHOLE, {name: text})
    ET.fromstring(after)
    assert in_form(after)


# ---- rules and filters --------------------------------------------------------------------------------------------


def test_rules_run_in_order_and_one_may_stop() -> None:
    sent = [
        {"expression": 'title contains "a" SET title = "b"', "stop": False},
        {"expression": 'title equals "b" SET genre = "x"', "stop": True, "unknown": 1},
        {"expression": 'true SET desc = "never"'},
        {"expression": 'true SET desc = "off"', "enabled": False},
    ]
    ruled = ProgrammeRules({"rules": sent}, now_s=lambda: 0)
    assert ruled.judged({"programme_title": "a"}) == (("programme_title", "b"), ("programme_category", "x"))
    assert ruled.judged({"programme_title": "z"}) == (("programme_description", "never"),)
    assert (ruled.changed, ruled.left_out, ruled.faults) == (2, 0, ())


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ((), "abc"),
        ((('title == "a"', "exclude"),), "bc"),
        ((('title == "a"', "include"),), "a"),
        ((('title matches "a|b"', "include"), ('title == "a"', "exclude")), "b"),
        ((('title == "a"', "exclude"), ('title matches "a|b"', "include")), "ab"),
    ],
)
def test_the_last_filter_that_matches_decides(filters: tuple[tuple[str, str], ...], kept: str) -> None:
    ruled = rules("true SET desc = ''", filters=filters)
    assert "".join(title for title in "abc" if ruled.judged({"programme_title": title}) is not None) == kept


def test_what_cannot_be_used_is_left_out_and_told() -> None:
    sent = {
        "rules": [
            5,
            {"name": "no text"},
            {"name": "broken", "expression": "titel contains"},
            {"expression": 'title == "x"'},
        ],
        "filters": "none",
    }
    ruled = ProgrammeRules(sent, now_s=lambda: 0)
    assert [(one.kind, one.name) for one in ruled.faults] == [("rule", "1"), ("rule", "no text"), ("rule", "broken")]
    assert ruled.counts == {"rules": 1, "filters": 0}
    assert not ProgrammeRules({}, now_s=lambda: 0)


# ---- files --------------------------------------------------------------------------------------------------------


def file_of(stored: Stored, asked: Options, ruled: ProgrammeRules | None) -> bytes:
    entry = Entry("c.1", "Eins", write.channel("c.1", [(None, "Eins")]), 1, group="Kids")
    pieces = Rendering(guide=stored, options=asked, now_s=NOON, ruled=ruled).file([entry])
    return b"".join(one.text if isinstance(one, Ready) else one for one in pieces)


SHOWS = [(NOON + n * HOUR, NOON + (n + 1) * HOUR, inner) for n, inner in enumerate(INNER)]


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_rules_that_match_nothing_change_no_byte(profile: str) -> None:
    asked = options(usual=profile)
    untouched = rules('title equals "never" SET title = "x"', filters=(('title equals "never"', "exclude"),))
    assert file_of(Stored(SHOWS), asked, untouched) == file_of(Stored(SHOWS), asked, None)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profile_shows_what_rules_write(profile: str) -> None:
    ruled = rules(
        'channel_group equals "kids" SET title = "<Changed>", season = 3, episode = 4', 'true SET genre += ", New"'
    )
    made = file_of(Stored(SHOWS), options(usual=profile), ruled)
    programmes = [one for one in ET.fromstring(made).iter("programme") if one.findtext("title") != "Eins"]
    assert len(programmes) == len(SHOWS)  # the others fill gaps
    for one in programmes:
        assert one.findtext("title") == "<Changed>"
        assert "New" in [category.text for category in one.findall("category")]
        assert "S03E04" in [number.text for number in one.findall("episode-num")]
    assert ruled.changed == len(SHOWS)


def test_only_what_a_rule_touches_is_written_anew() -> None:
    plain = file_of(Stored(SHOWS), options(usual=STANDARD), None)
    ruled = file_of(Stored(SHOWS), options(usual=STANDARD), rules('desc contains "d & e" SET title = "Other"'))
    before, after = plain.split(b"<programme "), ruled.split(b"<programme ")
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_a_filter_leaves_programmes_out_and_placeholders_fill_the_gap() -> None:
    late = f"programme_start >= {NOON + HOUR}"
    made = file_of(Stored(SHOWS), options(usual=STANDARD), rules(filters=((late, "exclude"),)))
    assert made.count(b"<programme ") == 1
    filled = file_of(Stored(SHOWS), options(usual=STANDARD, placeholders=True), rules(filters=((late, "exclude"),)))
    assert filled.count(b"<programme ") > 1


def test_extras_of_changed_programmes_stay() -> None:
    made = file_of(Stored([(NOON, NOON + HOUR, "<title>T</title><lcn>5</lcn>")]), options(usual=FULL, extras=True),
                   rules('true SET title = "Other"'))  # fmt: skip
    assert b"<lcn>5</lcn>" in made
    assert b"<title>Other</title>" in made


def test_hostile_patterns_cost_a_bounded_time_and_are_told() -> None:
    shows = [(NOON + n, NOON + n + 1, f"<title>{'a' * 900}{n}</title>") for n in range(300)]
    ruled = rules('title matches "(a+)+$" SET title = "x"')
    made = file_of(Stored(shows), options(usual=FULL), ruled)
    assert made.count(b"<programme ") == len(shows)
    assert len(ruled.gave_up) == 1


# ---- over HTTP ----------------------------------------------------------------------------------------------------

THIS_HOUR = int(time.time()) // HOUR * HOUR
SECRET = "s" * 40
INTERNAL = {"Aerial-Internal": "1", "Aerial-Secret": SECRET}


class House:
    """A guide service with a guide, its web side and its publisher."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.station = Station(folder, clock=HeldClock(THIS_HOUR + 60))
        monkeypatch.setenv("AERIAL_CONFIG", str(self.station.file))
        monkeypatch.setenv("AERIAL_INTERNAL_SECRET", SECRET)
        self.station.take(guide_of([*hourly("one.tv", THIS_HOUR, 24), *hourly("two.tv", THIS_HOUR, 24)]))
        self.client: FlaskClient = runpy.run_module("epg_service.wsgi")["app"].test_client()

    def put(self, digest: str, **more: object) -> Any:
        channels = [
            {"id": "a", "name": "A", "tvg_id": "one.tv", "group": "News"},
            {"id": "b", "name": "B", "tvg_id": "two.tv", "group": "Kids"},
        ]
        body = {"digest": digest, "channels": channels, **more}
        return self.client.put("/internal/v1/lineups/default", json=body, headers=INTERNAL)

    def publish(self) -> None:
        for_keeper.publishing(self.station.config, self.station.it, clock=self.station.clock).everything()

    def get(self, path: str) -> bytes:
        answer = self.client.get(path, buffered=True)
        assert answer.status_code == 200, answer.data
        return answer.data


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    made = House(tmp_path, monkeypatch)
    yield made
    made.station.close()


RULES = [
    {"id": 1, "name": "News", "expression": 'channel_group equals "News" SET title = "News at $title"', "stop": False}
]
FILTERS = [{"id": 2, "name": "No kids", "expression": 'channel_group equals "Kids"', "action": "exclude"}]


def test_a_lineup_is_published_as_its_rules_want_and_the_whole_guide_as_it_is(house: House) -> None:
    house.put("1")
    house.publish()
    whole, plain = house.get("/guide.xml"), house.get("/epg.xml")
    assert plain.count(b"<programme ") == 48
    answer = house.put("2", rules=RULES, filters=FILTERS, later="unknown")
    assert answer.get_json() == {"digest": "2"}
    house.publish()
    ruled = house.get("/epg.xml")
    assert ruled.count(b"<programme ") == ruled.count(b"<title>News at Show one.tv") == 24
    assert house.get("/guide.xml") == whole
    plex = house.get("/epg.xml?profile=plex&days=1")
    assert plex.count(b"News at Show") > 0
    assert b"<title>Show" not in plex
    house.put("3")
    house.publish()
    assert house.get("/epg.xml") == plain
    assert b"News at" not in house.get("/epg.xml?profile=plex&days=1")


def test_the_short_guide_says_what_the_published_one_says(house: House) -> None:
    house.put("1", rules=RULES, filters=FILTERS)
    house.publish()
    query = f"channels=a,b&start={THIS_HOUR}&end={THIS_HOUR + 4 * HOUR}&limit=3"
    told = house.client.get(f"/internal/v1/lineups/default/listings?{query}", headers=INTERNAL).get_json()["items"]
    assert [(one["id"], [each["title"][:12] for each in one["programs"]]) for one in told] == [
        ("a", ["News at Show"] * 3),
        ("b", []),
    ]


def test_a_lineup_is_written_again_only_when_something_changed(house: House) -> None:
    house.put("1", rules=RULES)
    house.publish()
    etag = house.client.get("/epg.xml", buffered=True).headers["ETag"]
    house.station.clock.at += HOUR
    house.publish()
    assert house.client.get("/epg.xml", buffered=True).headers["ETag"] == etag
    house.put("2", rules=[{"expression": "start < @time:now SET title = 'Over'"}])
    house.publish()
    over = house.get("/epg.xml").count(b">Over<")
    house.station.clock.at += 5 * HOUR
    house.publish()
    assert house.get("/epg.xml").count(b">Over<") == over + 10


@pytest.mark.parametrize(
    "more",
    [
        {"rules": [5, None, {"expression": 7}, {"name": "x", "expression": "titel ="}, *RULES]},
        {"rules": [{"name": "n", "expression": "(" * 5_000}, *RULES], "filters": [[]]},
        {"rules": [{"expression": f"true SET title = '{'x' * 2_000}'"}, *RULES]},
    ],
    ids=["shapes", "deep", "long"],
)
def test_what_is_wrong_with_rules_is_told_and_the_others_work(house: House, more: dict[str, Any]) -> None:
    answer = house.put("1", **more)
    assert answer.status_code == 202
    faults = answer.get_json()["faults"]
    assert faults
    assert all(set(one) == {"kind", "name", "message"} for one in faults)
    house.publish()
    assert house.get("/epg.xml").count(b"News at Show") == 24
    state = house.client.get("/internal/v1/lineups/default", headers=INTERNAL).get_json()
    assert (state["programme_rules"], state["faults"]) == (len(more["rules"]), faults)
    (told,) = house.client.get("/api/v1/lineups").get_json()["items"]
    assert told["faults"] == faults


def test_rules_that_are_no_list_are_refused(house: House) -> None:
    assert house.put("1", rules="all").status_code == 400
