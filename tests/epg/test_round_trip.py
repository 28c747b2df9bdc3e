"""Nothing that the XMLTV DTD can say is lost between a provider's file and the guide that is published from it.

Documents are made by the DTD, and both sides are read by ElementTree, which knows nothing of this project.
"""

import io
import shutil
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from epg_service.wiring import for_keeper
from epg_service.xmltv import write
from epg_service.xmltv.elements import folded
from tests.epg.dtdkit import ATTRIBUTES, CONTENT, PEOPLE, RANK, REQUIRED, programmes_said, said
from tests.epg.guidekit import NOON, Station
from tests.epg.readingkit import FIXTURES, read

DTD_PLACES = (Path("/usr/share/xmltv/xmltv.dtd"), Path("/usr/local/share/xmltv/xmltv.dtd"))
# ---- documents by the DTD --------------------------------------------------------------------------------------------

LEGAL = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn"))
TEXT = st.one_of(
    st.sampled_from(["a", "A & B", "<b>", "]]>", "&amp;", 'say "x"', "it's", "ü", "漢字", "👍🏽", "a\n b", "\xa0"]),
    st.text(LEGAL, min_size=1, max_size=12),
).filter(folded)
NUMBER = st.builds("{}.{}/{}.{}".format, *[st.integers(0, 99)] * 4)
SYSTEMS = st.sampled_from(["onscreen", "dd_progid", "imdb.com", "thetvdb.com", "themoviedb.org", "x y"])
INSTANTS = st.integers(0, 2**32 - 10**6)


@st.composite
def attributes(draw: st.DrawFn, name: str) -> dict[str, str]:
    found = {}
    for key, choice in ATTRIBUTES.get(name, {}).items():
        if (name, key) in REQUIRED or draw(st.booleans()):
            found[key] = draw(st.sampled_from(choice.split()) if choice else TEXT)
    return found


@st.composite
def elements(draw: st.DrawFn, name: str) -> ET.Element:
    """One element that the DTD allows, and that says something."""
    made = ET.Element(name, {} if name in ("programme", "episode-num") else draw(attributes(name)))
    if name == "episode-num":
        if system := draw(st.one_of(st.none(), SYSTEMS, st.just("xmltv_ns"))):
            made.set("system", system)
        made.text = draw(NUMBER if system == "xmltv_ns" else TEXT)
        return made
    if name not in CONTENT or name in PEOPLE:
        may_be_empty = name in ("premiere", "last-chance")
        made.text = draw(st.one_of(st.just(""), TEXT) if may_be_empty else TEXT)
    if name in PEOPLE:
        made.extend(draw(st.lists(st.sampled_from(("image", "url")).flatmap(elements), max_size=2)))
    elif parts := CONTENT.get(name, "").split():
        made.extend(draw(children(parts)))
        if not len(made) and name in ("credits", "video", "audio"):
            made.append(draw(elements(parts[0].rstrip("+*?"))))
    return made


@st.composite
def children(draw: st.DrawFn, parts: list[str]) -> list[ET.Element]:
    found: list[ET.Element] = []
    for part in parts:
        name, sign = part.rstrip("+*?"), part[-1]
        least, most = {"*": (0, 2), "+": (1, 2), "?": (0, 1)}.get(sign, (1, 1))
        found += [draw(elements(name)) for _ in range(draw(st.integers(least, most)))]
    return found


@st.composite
def programmes(draw: st.DrawFn, channel: str, start_s: int) -> ET.Element:
    made = draw(elements("programme"))
    stop_s = start_s + draw(st.integers(1, 86_400))
    made.set("start", _written(start_s, draw(st.integers(-14 * 4, 14 * 4))))
    made.set("stop", _written(stop_s, draw(st.integers(-14 * 4, 14 * 4))))
    made.set("channel", channel)
    for key in ("pdc-start", "vps-start", "showview", "videoplus", "clumpidx"):
        if draw(st.booleans()):
            made.set(key, draw(TEXT))
    return made


def _written(epoch_s: int, quarters: int) -> str:
    zone = timezone(timedelta(minutes=15 * quarters))
    return datetime.fromtimestamp(epoch_s, zone).strftime("%Y%m%d%H%M%S %z").zfill(20)


@st.composite
def guides(draw: st.DrawFn, near: int | None = None) -> ET.Element:
    """A whole guide, with two channels; `near`: with its programmes around this instant."""
    root = ET.Element("tv", draw(attributes("tv")))
    for channel in ("one", "two"):
        made = draw(elements("channel"))
        made.set("id", channel)
        root.append(made)
    instants = INSTANTS if near is None else st.integers(near - 86_400, near + 86_400)
    for channel in ("one", "two"):
        for start_s in draw(st.lists(instants.filter(lambda s: s > 86_400), unique=True, max_size=2)):
            root.append(draw(programmes(channel, start_s)))
    return root


def exported(document: bytes) -> bytes:
    """Read and written again, without a store between."""
    parts = [write.head("test")]
    found = read(document)
    assert (found.lost(), found.losses.warnings) == ({}, [])
    for channel in found.rows:
        parts.append(write.channel(channel, []))
    for channel, rows in found.rows.items():
        for start, stop, _, title, raw in rows:
            parts.append(write.programme(raw, start=start, stop=stop, channel_id=channel, title_fallback=title))
    return b"".join([*parts, write.tail()])


# ---- the promises ----------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(guides())
def test_what_a_programme_says_it_still_says_after_export(root: ET.Element) -> None:
    document = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    assert programmes_said(ET.fromstring(exported(document))) == programmes_said(root)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(guides(), st.randoms(use_true_random=False))
def test_the_order_of_children_and_what_the_dtd_does_not_know_change_nothing(root: ET.Element, chance: Random) -> None:
    expected = programmes_said(root)
    for programme in root.iter("programme"):
        inside = list(programme)
        kinds = list(RANK)
        chance.shuffle(kinds)  # of one kind, the order says something
        programme[:] = sorted(inside, key=lambda child: kinds.index(child.tag))
        programme.set("catchup-id", "1")
        ET.SubElement(programme, "lcn").text = "5"
        ET.SubElement(programme, "live")
    out = exported(ET.tostring(root, encoding="utf-8"))
    assert b"<lcn>" not in out
    assert b"<live" not in out
    assert programmes_said(ET.fromstring(out)) == expected


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.close()


def through_the_store(root: ET.Element) -> ET.Element:
    folder = Path(tempfile.mkdtemp())
    made = Station(folder)
    try:
        run = made.take(ET.tostring(root, encoding="utf-8"))
        assert run.status == ("success" if root.find("programme") is not None else "rejected")
        return ET.fromstring(b"".join(for_keeper.publishing(made.config, made.it).exported()))
    finally:
        made.close()
        shutil.rmtree(folder)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(guides(near=NOON).filter(lambda root: root.find("programme") is not None))
def test_what_a_guide_says_it_still_says_behind_the_store(root: ET.Element) -> None:
    out = through_the_store(root)
    assert programmes_said(out) == programmes_said(root)
    assert channels_said(out) == channels_said(root)


def channels_said(root: ET.Element) -> dict[str, object]:
    """Every channel by its id, with what stands in it twice told once: names are a set to every reader."""
    return {channel.attrib["id"]: list(dict.fromkeys(map(said, channel))) for channel in root.iter("channel")}


def test_the_fixture_with_everything_comes_out_whole(station: Station) -> None:
    root = ET.fromstring((FIXTURES / "everything.xml").read_bytes())
    assert programmes_said(ET.fromstring(exported(ET.tostring(root)))) == programmes_said(root)
    spoken = {element.tag for element in root.iter()} | {"character"}
    assert set(ATTRIBUTES) | set(CONTENT) <= spoken


def test_the_tables_here_are_those_of_the_dtd() -> None:
    path = next((place for place in DTD_PLACES if place.exists()), None)
    if path is None:
        pytest.skip("xmltv.dtd not found: apt-get install xmltv-util")
    dtd = etree.DTD(io.BytesIO(path.read_bytes()))
    found = {element.name: element for element in dtd.iterelements()}
    assert {name for name, element in found.items() if element.attributes()} == set(ATTRIBUTES)
    for name, element in found.items():
        given = {one.name: " ".join(one.values()) for one in element.iterattributes()}
        assert {key: set(text.split()) for key, text in given.items()} == {
            key: set(text.split()) for key, text in ATTRIBUTES.get(name, {}).items()
        }, name
    assert {name for name, element in found.items() if element.type != "mixed" or element.content.right} == set(CONTENT)
