"""Channel names, reduced to what tells channels apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvkit.names import (
    ReadName,
    call_sign,
    id_parts,
    latin,
    normalised,
    numbers,
    read_name,
    regions_of_group,
)

SAME = [
    ("BBC One", "bbc one"),
    ("UK: BBC One HD", "bbc one"),
    ("UK: BBC Oné ᴴᴰ [backup]", "bbc one"),
    ("|FR| TF1 FHD", "tf1"),
    ("DE | Das Erste HD", "das erste"),
    ("US - CNN", "cnn"),
    ("(DE) ZDF 1080p HEVC", "zdf"),
    ("BBC One+1 HD", "bbc one +1"),
    ("BBC One +1", "bbc one +1"),
    ("Film4 (+1)", "film4 +1"),
    ("ITV plus 1", "itv +1"),
    ("CANAL+", "canal plus"),
    ("A&E HD", "a and e"),
    ("Channel  4", "channel 4"),
    ("Sky Sports F1 UHD 4K", "sky sports f1"),
    ("RTL: Plus", "rtl plus"),
    ("Новости 24 HD", "новости 24"),
    ("日本テレビ", "日本テレビ"),
    ("Straße", "strasse"),
    ("Gemini's TV", "geminis tv"),
    ("4K", "4k"),
    ("(TV)", "tv"),
    ("", ""),
    ("***", ""),
]


@pytest.mark.parametrize(("name", "expected"), SAME, ids=[repr(name) for name, _ in SAME])
def test_a_name_loses_what_providers_add(name: str, expected: str) -> None:
    assert normalised(name) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [("BBC One", "BBC Two"), ("Film4", "Film4 +1"), ("M6", "M6 +1"), ("Sky 1", "Sky 2"), ("Canal", "Canal+")],
)
def test_different_channels_stay_different(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text(max_size=40))
def test_any_text_has_a_name_in_one_line(name: str) -> None:
    result = normalised(name)
    assert result == " ".join(result.split())


READ = [
    ("UK: BBC One HD", ("bbc", "one"), (), 0, {"gb"}),
    ("|FR| TF1 FHD", ("tf1",), (), 0, {"fr"}),
    ("EX-YU: HRT 2", ("hrt", "2"), (), 0, {"exyu"}),
    ("BBC One (UK)", ("bbc", "one"), (), 0, {"gb"}),
    ("AXN DE", ("axn", "de"), (), 0, {"de"}),
    ("US: Discovery ID", ("discovery", "id"), (), 0, {"us"}),
    ("Canal 1 (Colombia)", ("canal", "1"), (), 0, {"co"}),
    ("Cinemax (West)", ("cinemax",), ("west",), 0, set()),
    ("Euronews Bulgaria (f.k.a Evropa TV)", ("euronews", "bulgaria"), (), 0, set()),
    ("Film4 +1 [Not 24/7]", ("film4",), (), 1, set()),
    ("Sky Cinema (+24) (1280p)", ("sky", "cinema"), (), 24, set()),
    ("CCTV+ 1", ("cctv", "plus", "1"), (), 0, set()),
    ("(West)", ("west",), (), 0, set()),
    ("", (), (), 0, set()),
]


@pytest.mark.parametrize(("name", "words", "notes", "hours", "regions"), READ, ids=[repr(one[0]) for one in READ])
def test_a_name_is_taken_apart(
    name: str, words: tuple[str, ...], notes: tuple[str, ...], hours: int, regions: set[str]
) -> None:
    assert read_name(name) == ReadName(words, notes, hours, frozenset(regions))


@pytest.mark.parametrize(
    ("name", "core"),
    [
        ("BBC One", "bbc 1"),
        ("The Weather Channel", "weather"),
        ("The Movies", "movies"),
        ("Metro TV", "metro"),
        ("Pop TV", "pop tv"),
        ("TV Nova", "tv nova"),
        ("Euronews DE", "euronews"),
        ("Channel", "channel"),
        ("TV", "tv"),
    ],
)
def test_a_core_is_what_tells_channels_apart(name: str, core: str) -> None:
    assert " ".join(read_name(name).core) == core


@pytest.mark.parametrize(
    ("xmltv_id", "parts"),
    [
        ("BBCOne.uk@HD", ("BBCOne", "gb", "HD")),
        ("zdf.de", ("zdf", "de", None)),
        ("some.tv", ("some.tv", None, None)),
        ("I17665.labs.zap2it.com", ("I17665.labs.zap2it.com", None, None)),
        ("17", ("17", None, None)),
        ("", ("", None, None)),
    ],
)
def test_an_id_is_taken_apart(xmltv_id: str, parts: tuple[str, str | None, str | None]) -> None:
    assert id_parts(xmltv_id) == parts


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("FOX17 WZTV (NASHVILLE)", "wztv"),
        ("LR: KSAZ", "ksaz"),
        ("KSAZ-DT1", "ksaz"),
        ("KSAZ-DT2", "ksaz2"),
        ("WCBS-TV", "wcbs"),
        ("CBS3 KYW (PHILADELPHIA)", "kyw"),
        ("KIDS WORLD", None),
        ("WILD TV", None),
        ("Kino", None),
        ("ABC WABC WNBC", None),
    ],
)
def test_an_american_station_is_known_by_its_call_sign(name: str, sign: str | None) -> None:
    assert call_sign(name) == sign


def test_groups_tell_countries() -> None:
    assert regions_of_group("UK | Sports") == {"gb"}
    assert regions_of_group("[FR] Cinéma") == {"fr"}
    assert regions_of_group("Germany") == {"de"}
    assert regions_of_group("Movies; News") == frozenset()


def test_other_scripts_have_a_latin_key() -> None:
    assert latin("Здоровое ТВ") == latin("Zdorovoe TV") == "zdorovoetv"


def test_numbers_in_a_name_are_told_without_leading_zeros() -> None:
    assert numbers("sky 01 f1") == ("1", "1")
    assert numbers("channel 0") == ("0",)


@given(st.text(max_size=60))
def test_any_text_can_be_read(name: str) -> None:
    read = read_name(name)
    assert " ".join(read.key.split()) == read.key
    assert call_sign(name) is None or name
    id_parts(name)
    regions_of_group(name)
