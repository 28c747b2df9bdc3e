"""What a provider's `<tv>` says of where its listings come from: kept, shown, published where it is true of all."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from epg_service.api import shapes
from epg_service.domain.entities import LineupChannel, Provider
from epg_service.domain.profiles import Options
from epg_service.domain.profiles import options as options_of
from epg_service.lineups.publish import Contents, Publishing
from epg_service.wiring import for_keeper
from tests.epg.guidekit import NOON, Station, guide_of, hourly

SAID = {
    "date": "20260310", "source-info-url": "https://s.example/", "source-info-name": "A & <B>",
    "source-data-url": "https://d.example/x", "generator-info-name": "theirs", "generator-info-url": "https://g.example/",
}  # fmt: skip
SHOWN = {name: text for name, text in SAID.items() if not name.startswith("generator")}
OURS = {"generator-info-name": "Aerial"}


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.close()


def guide(said: Mapping[str, str] = SAID, channel: str = "a", hours: int = 48) -> bytes:
    root = ET.Element("tv", {**said, "not-in-the-dtd": "x"})
    return guide_of(hourly(channel, NOON, hours)).replace(b"<tv>", ET.tostring(root).replace(b" />", b">"), 1)


def publishing(station: Station) -> Publishing:
    return for_keeper.publishing(station.config, station.it)


def published(station: Station) -> dict[str, str]:
    """The attributes in `/guide.xml`, which are those of the export."""
    made = publishing(station)
    exported = dict(ET.fromstring(b"".join(made.exported())).attrib)
    assert dict(ET.fromstring(made.whole().plain.read_bytes()).attrib) == exported
    return exported


def of(station: Station, options: Options) -> dict[str, str]:
    contents = Contents(guide=station.it.guide, lineups=station.it.lineups)
    pieces = contents.whole(options, station.clock.now_s())
    return dict(ET.fromstring(b"".join(one if isinstance(one, bytes) else one.text for one in pieces)).attrib)


def kept(station: Station, provider: Provider) -> object:
    return shapes.provider(station.it.providers.get(provider.id))["source_info"]


def test_what_one_provider_says_stands_in_the_whole_guide_and_in_the_export(station: Station) -> None:
    provider = station.provider()
    assert kept(station, provider) == {}
    station.take(guide(), provider)
    assert kept(station, provider) == SAID
    assert published(station) == {**SHOWN, **OURS}


def test_only_the_profile_that_repeats_everything_repeats_it(station: Station) -> None:
    station.take(guide())
    station.it.lineups.put("default", "1", [LineupChannel("a", "A", "a")], {})
    lineup = publishing(station).lineup("default")
    assert ET.fromstring(lineup.plain.read_bytes()).attrib == OURS
    assert of(station, options_of(usual="standard")) == OURS


def test_of_two_providers_nobody_speaks_for_both(station: Station) -> None:
    one, two = station.provider("one"), station.provider("two")
    station.take(guide(), one)
    station.take(b"<tv date='x'><channel id='c'/><programme start='19700101' channel='c'/></tv>", two)
    assert published(station) == {**SHOWN, **OURS}, "the other one has no programmes"
    station.take(guide({"source-info-name": "Two"}, "b"), two)
    assert published(station) == OURS
    for channels, said in ((["a"], SHOWN), (["b"], {"source-info-name": "Two"}), (["a", "b"], {})):
        assert of(station, options_of(usual="full", channels=channels)) == {**said, **OURS}
    station.it.mappings.change_channel(station.channel_id("b"), {"hidden": True})
    assert published(station) == {**SHOWN, **OURS}
    station.it.providers.delete(one.id)
    assert published(station) == OURS


def test_a_new_date_alone_publishes_nothing(station: Station) -> None:
    station.take(guide())
    first = publishing(station).whole()
    station.take(guide({**SAID, "date": "20260311"}))
    assert publishing(station).whole().digest == first.digest
    assert published_date(station) == "20260310", "when what stands there was listed"
    station.take(guide({**SAID, "date": "20260312"}, hours=49))
    assert published_date(station) == "20260312"
    station.take(guide({**SAID, "source-info-name": "Other"}, hours=49))
    assert publishing(station).whole().digest != first.digest


def published_date(station: Station) -> str | None:
    return ET.fromstring(publishing(station).whole().plain.read_bytes()).get("date")


def test_a_file_that_is_refused_says_nothing(station: Station) -> None:
    provider = station.provider()
    station.take(guide(), provider)
    run = station.take(guide({"date": "bad"}, hours=3), provider)
    assert (run.status, kept(station, provider)) == ("rejected", SAID)


def test_no_password_and_no_giant_is_kept(station: Station) -> None:
    provider = station.provider()
    address = "http://panel.example/xmltv.php?username=me&password=secret1"
    station.take(guide({"source-data-url": address, "date": "9" * 100_000, "source-info-name": " "}), provider)
    said = kept(station, provider)
    assert isinstance(said, dict)
    assert set(said) == {"source-data-url", "date"}
    assert "secret1" not in said["source-data-url"]
    assert len(said["date"]) == 1000
