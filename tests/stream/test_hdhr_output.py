"""A lineup as an HDHomeRun's texts: what discover, lineup and device description say."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_service.domain.lineup import LineupView
from stream_service.domain.model import LineupChannel
from stream_service.outputs import hdhr
from stream_service.outputs.origin import with_origin

ORIGIN = "http://tv.lan:8081"
CHANNELS = [
    LineupChannel(id="one", number="1", name='Ääkköset "1" <HD> & Co'),
    LineupChannel(id="two", number="5.1", name="Two, the second"),
    LineupChannel(id="radio", number="7", name="", attributes={"radio": "true"}),
]
VIEW = LineupView("default", CHANNELS, tuner_count=3, installation="house")
KIDS = LineupView("kids", CHANNELS, tuner_count=2, installation="house")


def told(text: bytes) -> bytes:
    return with_origin(text, ORIGIN)


@pytest.mark.parametrize(
    ("ident", "valid"),
    [
        ("1038A145", True), ("1012873A", True), ("12345674", True), ("107ABCD6", True),
        ("12345678", False), ("107ABCDF", False), ("1038a145", True), ("1038A14", False), ("1038A14G", False),
    ],
)  # fmt: skip
def test_the_checksum_is_that_of_devices(ident: str, valid: bool) -> None:
    assert hdhr.valid_device_id(ident) is valid


@given(st.text(), st.text())
def test_every_device_id_is_valid_stable_and_of_no_old_device(house: str, lineup: str) -> None:
    ident = hdhr.device_id(house, lineup)
    assert hdhr.valid_device_id(ident)
    assert ident == hdhr.device_id(house, lineup)
    assert re.fullmatch("1[3-9A-F][0-9A-F]{6}", ident)


def test_lineups_and_installations_have_devices_of_their_own() -> None:
    idents = {hdhr.device_id(house, lineup) for house in ("a", "b", "c") for lineup in ("default", "kids", "sport")}
    assert len(idents) == 9


def test_discover_says_text_as_text_and_the_tuners_as_a_number() -> None:
    said = json.loads(told(hdhr.discover(VIEW)))
    assert said["TunerCount"] == 3
    assert all(isinstance(value, str) for key, value in said.items() if key != "TunerCount")
    assert said["BaseURL"] == ORIGIN
    assert said["LineupURL"] == f"{ORIGIN}/lineup.json"
    assert "hdtc" not in said["ModelNumber"].lower()  # else Jellyfin asks for a transcoded stream
    assert hdhr.read_device("default", hdhr.discover(VIEW)) == hdhr.device_of(VIEW)


def test_another_lineup_has_its_own_base() -> None:
    said = json.loads(told(hdhr.discover(KIDS)))
    assert said["BaseURL"] == f"{ORIGIN}/hdhr/kids"
    assert said["FriendlyName"] == "Aerial kids"
    assert json.loads(told(hdhr.discover(replace(KIDS, title="For the kids"))))["FriendlyName"] == "Aerial For the kids"
    assert json.loads(told(hdhr.lineup_json(hdhr.rows(KIDS))))[1]["URL"] == f"{ORIGIN}/hdhr/kids/auto/v5.1"


def test_lineup_json_is_what_readers_of_the_real_one_expect() -> None:
    text = told(hdhr.lineup_json(hdhr.rows(VIEW)))
    assert b"\\/" not in text  # Emby takes addresses as they stand
    assert json.loads(text) == [
        {"GuideNumber": "1", "GuideName": 'Ääkköset "1" <HD> & Co', "HD": 1, "URL": f"{ORIGIN}/auto/v1"},
        {"GuideNumber": "5.1", "GuideName": "Two, the second", "URL": f"{ORIGIN}/auto/v5.1"},
        {"GuideNumber": "7", "GuideName": "radio", "URL": f"{ORIGIN}/auto/v7"},
    ]


def test_the_same_lineup_as_xml_and_m3u() -> None:
    programs = ET.fromstring(told(hdhr.lineup_xml(hdhr.rows(VIEW)))).findall("Program")
    assert [one.findtext("GuideName") for one in programs] == [c.name or c.id for c in CHANNELS]
    assert programs[1].findtext("URL") == f"{ORIGIN}/auto/v5.1"
    lines = told(hdhr.lineup_m3u(hdhr.rows(VIEW))).decode().splitlines()
    assert lines[0] == "#EXTM3U"
    assert lines[1].endswith(',1 Ääkköset "1" <HD> & Co')
    assert lines[2::2] == [f"{ORIGIN}/auto/v{c.number}" for c in CHANNELS]


def test_the_description_names_the_device() -> None:
    space = "{urn:schemas-upnp-org:device-1-0}"
    root = ET.fromstring(told(hdhr.device_xml(KIDS)))
    device = root.find(f"{space}device")
    assert device is not None
    assert device.findtext(f"{space}serialNumber") == hdhr.device_of(KIDS).id
    assert device.findtext(f"{space}UDN") == hdhr.device_of(KIDS).udn
    assert hdhr.device_of(KIDS).udn != hdhr.device_of(VIEW).udn
    assert root.findtext(f"{space}URLBase") == f"{ORIGIN}/hdhr/kids"
