"""A whole programme: nothing that the DTD knows may be lost."""

import io
from dataclasses import fields
from pathlib import Path

import pytest

from epg_service.domain.losses import Losses
from epg_service.xmltv.details import (
    Audio,
    Credit,
    EpisodeNum,
    Icon,
    Image,
    Length,
    PreviouslyShown,
    Programme,
    Rating,
    Review,
    Subtitles,
    Text,
    Url,
    Video,
    details,
)
from epg_service.xmltv.iterparse import iterparse
from epg_service.xmltv.records import Batch
from epg_service.xmltv.times import Stamps

FIXTURE = Path(__file__).parent.parent / "fixtures" / "xmltv" / "everything.xml"


def first_raw(document: bytes) -> bytes:
    batches = iterparse(io.BytesIO(document), stamps=Stamps(), losses=Losses())
    return next(item.raws[0] for item in batches if isinstance(item, Batch))


@pytest.fixture
def everything() -> Programme:
    return details(first_raw(FIXTURE.read_bytes()))


def test_every_element_and_attribute_is_kept(everything: Programme) -> None:
    person = Image("http://img.example/bo.jpg", "person", "1", "P", "tmdb")
    assert everything == Programme(
        start="20261121200000 +0100",
        stop="20261121213000 +0100",
        channel="one.example",
        pdc_start="20261121195900 +0100",
        vps_start="20261121195800 +0100",
        showview="12345",
        videoplus="67890",
        clumpidx="0/2",
        titles=(Text("The Long Night", "en"), Text("Die lange Nacht", "de"), Text("Night & Day")),
        sub_titles=(Text("Part One", "en"), Text("Teil eins", "de")),
        descs=(Text("Nobody sleeps in Oslo.", "en"), Text("In Oslo schläft niemand.", "de")),
        credits=(
            Credit(
                "director",
                "Ada Dale",
                images=(Image("http://img.example/ada.jpg", "person"),),
                urls=(Url("http://people.example/ada", "imdb"),),
            ),
            Credit("actor", "Bo Berg", "The Guard", "yes", (person,)),
            Credit("actor", "Cy Dahl", "Herself", "no"),
            Credit("actor", "Bo Berg"),
            Credit("writer", "W One"),
            Credit("adapter", "Ad One"),
            Credit("producer", "P One"),
            Credit("composer", "C One"),
            Credit("editor", "E One"),
            Credit("presenter", "Pr One"),
            Credit("commentator", "Co One"),
            Credit("guest", "G One"),
        ),
        date="2025",
        categories=(Text("Drama", "en"), Text("Krimi", "de")),
        keywords=(Text("night", "en"), Text("oslo")),
        language=Text("English", "en"),
        orig_language=Text("Norwegian", "en"),
        length=Length("85", "minutes"),
        icons=(Icon("http://img.example/night.jpg", "640", "360"), Icon("http://img.example/night2.jpg")),
        urls=(Url("http://night.example/", "home"), Url("http://night.example/2")),
        countries=(Text("Norway", "en"), Text("SE")),
        episode_nums=(
            EpisodeNum("1 . 2/10 . 0/1", "xmltv_ns"),
            EpisodeNum("S02E03", "onscreen"),
            EpisodeNum("3", "onscreen"),
        ),
        video=Video("yes", "no", "16:9", "HDTV"),
        audio=Audio("yes", "dolby digital"),
        previously_shown=PreviouslyShown("20260101", "two.example"),
        premiere=Text("First on One", "en"),
        last_chance=Text("Last day", "en"),
        new=True,
        subtitles=(Subtitles("teletext", Text("Norwegian", "en")), Subtitles("deaf-signed")),
        ratings=(Rating("TV-14", "VCHIP", (Icon("http://img.example/14.png"),)), Rating("12")),
        star_ratings=(Rating("3 / 5", "critics", (Icon("http://img.example/3.png", "10"),)),),
        reviews=(
            Review("Good.", "text", "Paper", "R. Viewer", "en"),
            Review("http://reviews.example/1", "url"),
        ),
        images=(
            Image("http://img.example/poster.jpg", "poster", "3", "P", "tmdb"),
            Image("http://img.example/back.jpg", "backdrop"),
        ),
    )


def test_the_fixture_fills_every_field(everything: Programme) -> None:
    assert [item.name for item in fields(everything) if not getattr(everything, item.name)] == []


def test_the_founding_fields_are_made_of_the_whole(everything: Programme) -> None:
    assert everything.title == "The Long Night"
    assert everything.subtitle == "Part One"
    assert everything.description == "Nobody sleeps in Oslo."
    assert everything.category == "Drama, Krimi"
    assert everything.episode_num == "S02E03"
    assert everything.rating == "TV-14"
    assert everything.actors == "Bo Berg, Cy Dahl"
    assert everything.directors == "Ada Dale"
    assert everything.icon_url == "http://img.example/night.jpg"


def test_an_empty_programme_has_empty_fields() -> None:
    empty = details(b"<programme/>")
    assert (empty.title, empty.subtitle, empty.description, empty.category) == ("", None, None, None)
    assert (empty.episode_num, empty.rating, empty.actors, empty.icon_url) == (None, None, None, None)
    assert not empty.new


ODD = {
    "text inside strange children": (b"<desc>a <x-fig-roll>b</x-fig-roll> c</desc>", "description", "a b c"),
    "the first title that says something": (b"<title/><title> </title><title>t</title>", "title", "t"),
    "CDATA": (b"<title><![CDATA[<b>&</b>]]></title>", "title", "<b>&</b>"),
    "a rating without a value element": (b"<rating>12</rating>", "rating", "12"),
    "an actor inside strange markup": (b"<credits><actor><b>A</b> B</actor></credits>", "actors", "A B"),
    "two credits": (b"<credits><actor>A</actor></credits><credits><actor>B</actor></credits>", "actors", "A, B"),
    "empty wrappers": (b"<credits/><video/><audio/><rating/><icon/><category/>", "category", None),
    "an image where no icon stands": (b"<image type='poster'>http://i</image>", "icon_url", "http://i"),
    "only a machine's episode number": (
        b"<episode-num system='xmltv_ns'> . 3 . </episode-num>",
        "episode_num",
        ". 3 .",
    ),
}


@pytest.mark.parametrize(("inner", "attribute", "value"), ODD.values(), ids=ODD.keys())
def test_odd_forms_are_understood(inner: bytes, attribute: str, value: str | None) -> None:
    assert getattr(details(b"<programme start='1' channel='c'>" + inner + b"</programme>"), attribute) == value


def test_depth_costs_markup_not_text() -> None:
    deep = b"<a>" * 500 + b"x" + b"</a>" * 500
    assert details(b"<programme><desc>" + deep + b"</desc><new/></programme>").description == "x"


def test_what_is_no_element_is_refused() -> None:
    with pytest.raises(ValueError, match="mismatched tag"):
        details(b"<programme><a></programme>")
