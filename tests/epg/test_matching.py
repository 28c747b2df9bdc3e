"""Lineup channels find their guide channels by id."""

import pytest

from epg_service.domain.entities import LineupChannel
from epg_service.domain.matching import Candidate, Match, match
from epg_service.domain.model import GuideChannel


def guide(*names: str) -> list[GuideChannel]:
    return [GuideChannel(number, name, name) for number, name in enumerate(names, 1)]


@pytest.mark.parametrize(
    ("tvg_id", "names", "expected"),
    [
        ("bbc1.uk", ["x", "bbc1.uk"], Match(2, "id", 100.0)),
        (" bbc1.uk ", ["bbc1.uk"], Match(1, "id", 100.0)),
        ("BBC1.UK", ["bbc1.uk"], Match(1, "id", 99.0)),
        ("bbc 1.uk", ["BBC1.uk"], Match(1, "id", 99.0)),
        ("A", ["a", "A"], Match(2, "id", 100.0, (Candidate(1, 99.0),))),
        ("STRASSE", ["straße"], Match(1, "id", 99.0)),
        ("aA", ["aa", "AA"], Match(1, "id", 99.0, (Candidate(2, 99.0),))),
        ("other", ["bbc1.uk"], None),
        ("", ["bbc1.uk", ""], None),
        (" ", [" "], None),
    ],
)
def test_a_tvg_id_finds_its_channel(tvg_id: str, names: list[str], expected: Match | None) -> None:
    lineup = [LineupChannel("one", "One", tvg_id)]
    assert match(lineup, guide(*names), {}) == {"one": expected or Match(None, None, 0.0)}


def test_two_lineup_channels_may_show_one_guide_channel() -> None:
    lineup = [LineupChannel("hd", "One HD", "one"), LineupChannel("sd", "One SD", "ONE"), LineupChannel("no", "No")]
    found = match(lineup, guide("one"), {})
    assert {key: one.guide_channel_id for key, one in found.items()} == {"hd": 1, "sd": 1, "no": None}


def named(*channels: tuple[str, str]) -> list[GuideChannel]:
    """Guide channels by (id, name), numbered from 1, all of one provider."""
    return [GuideChannel(number, id_, name) for number, (id_, name) in enumerate(channels, 1)]


def found(name: str, guide: list[GuideChannel], tvg_id: str = "", group: str = "") -> Match:
    return match([LineupChannel("one", name, tvg_id, group=group)], guide, {})["one"]


BY_NAME = [
    ("BBC One HD", [("1", "BBC One")], (1, "name", 95.0)),
    ("UK: BBC Oné ᴴᴰ [backup]", [("1", "BBC ONE")], (1, "name", 95.0)),
    ("Go USA TV", [("1", "GoUSA TV")], (1, "name", 94.0)),
    ("Al Arabiya Business", [("AlArabiyaBusiness.ae", "AlArabiyaBusiness.ae")], (1, "name", 91.0)),
    ("BBC 1 London", [("1", "BBC One London")], (1, "core", 92.0)),
    ("The Weather Network", [("1", "Weather Network")], (None, None, 0.0)),
    ("The History Channels", [("1", "History Channels")], (1, "core", 92.0)),
    ("Здоровое ТВ", [("1", "Zdorovoe TV")], (1, "latin", 90.0)),
    ("ABC7 KABC (LOS ANGELES)", [("1", "US: KABC")], (1, "station", 91.0)),
    ("FR: RMC DECOUVERTE", [("1", "FR: RMC DECOURVERTE")], (1, "fuzzy", 96.6)),
    ("Movistar Comedia Clasica", [("1", "Moviestar Comedia Clasica")], (1, "fuzzy", 98.0)),
    ("Sky Sports 1", [("1", "Sky Sports 2")], (None, None, 0.0)),
    ("Nova TV", [("1", "TV Nova")], (None, None, 0.0)),
    ("24 News Television", [("1", "News 24 Television")], (None, None, 0.0)),
    ("HBO Signature", [("1", "HBO Family")], (None, None, 0.0)),
    ("Cinemax (West)", [("1", "Cinemax West"), ("2", "Cinemax")], (1, "name", 95.0)),
    ("", [("1", "")], (None, None, 0.0)),
]


@pytest.mark.parametrize(("name", "guide", "expected"), BY_NAME, ids=[one[0] or "no name" for one in BY_NAME])
def test_a_name_finds_its_channel_or_none(
    name: str, guide: list[tuple[str, str]], expected: tuple[int | None, str | None, float]
) -> None:
    one = found(name, named(*guide))
    assert (one.guide_channel_id, one.method, one.score) == expected


COUNTRIES = [
    ("FR: NTV", "", "", [("ntv.ru", "NTV"), ("ntv.fr", "NTV")], 2),
    ("NTV", "x.ru", "", [("ntv.fr", "NTV"), ("ntv.ru", "NTV")], 2),
    ("NTV", "", "Germany", [("ntv.ru", "NTV"), ("n-tv.de", "NTV")], 2),
    ("NTV", "", "DE | News", [("ntv.ru", "NTV")], None),
    ("NTV", "", "", [("ntv.ru", "NTV"), ("ntv.fr", "NTV")], None),
    ("NTV", "", "", [("ntv.ru", "NTV")], 1),
    ("DE: NTV", "", "", [("17", "NTV")], 1),
    ("NTV", "", "", [("17", "NTV"), ("18", "NTV")], None),
    ("NTV", "", "", [("17", "NTV"), ("18", "NTV HD")], 1),
]


@pytest.mark.parametrize(
    ("name", "tvg_id", "group", "guide", "expected"),
    COUNTRIES,
    ids=[
        "prefix",
        "id",
        "group",
        "another country's only",
        "nothing decides",
        "one only",
        "a guide without countries",
        "two of one provider called just the same",
        "one channel twice",
    ],
)
def test_a_country_settles_what_names_leave_open(
    name: str, tvg_id: str, group: str, guide: list[tuple[str, str]], expected: int | None
) -> None:
    assert found(name, named(*guide), tvg_id, group).guide_channel_id == expected


def test_the_country_of_most_channels_settles_what_their_own_leave_open() -> None:
    lineup = [LineupChannel(str(at), f"DE: Kanal {at}") for at in range(5)] + [LineupChannel("ntv", "NTV")]
    decided = match(lineup, named(("ntv.ru", "NTV"), ("ntv.de", "NTV")), {})
    assert decided["ntv"].guide_channel_id == 2


def test_the_same_channel_of_two_providers_is_the_better_ones() -> None:
    guide = [GuideChannel(9, "a1", "Arte", providers=(2,)), GuideChannel(4, "b1", "ARTE", providers=(1,))]
    one = found("Arte HD", guide)
    assert (one.guide_channel_id, one.runners_up) == (9, (Candidate(4, 95.0),))


def test_of_several_channels_with_one_id_the_one_called_alike_wins() -> None:
    guide = [GuideChannel(1, "7", "Sport", ids=("7",)), GuideChannel(2, "7@b", "News", ids=("7",))]
    assert found("News HD", guide, "7").guide_channel_id == 2
    assert found("Else", guide, "7").guide_channel_id == 1


@pytest.mark.parametrize(
    ("tvg_id", "guide_id", "expected"),
    [
        ("BBCOne.uk@HD", "BBCOne.uk", ("id", 98.0)),
        ("BBCOne.uk", "BBCOne.uk@SD", ("id", 98.0)),
        ("BBCOne.uk@London", "BBCOne.uk", ("id", 96.0)),
        ("BBCOne.uk", "BBCOne.uk@London", (None, 0.0)),
        ("BBCOne.uk@London", "BBCOne.uk@London", ("id", 100.0)),
    ],
)
def test_a_feed_in_an_id_may_differ_where_it_tells_only_quality(
    tvg_id: str, guide_id: str, expected: tuple[str | None, float]
) -> None:
    one = found("Something else", named((guide_id, "")), tvg_id)
    assert (one.method, one.score) == expected


SHIFTED = [
    ("Film4 +1", "", [("film4", "Film4")], (1, "name", 60)),
    ("Film4 +1", "", [("film4", "Film4"), ("film4p1", "Film4+1")], (2, "name", 0)),
    ("Film4 +1", "film4", [("film4", "Film4")], (1, "id", 60)),
    ("Film4 +1", "film4", [("film4", "Film4"), ("film4p1", "Film4+1")], (2, "name", 0)),
    ("Film4 +1", "film4+1", [("film4+1", "Film Four later")], (1, "id", 0)),
    ("Sky Cinema +24", "", [("sc", "Sky Cinema")], (1, "name", 24 * 60)),
    ("Canal +7", "", [("c", "Canal")], (None, None, 0)),
    ("Film4", "", [("film4p1", "Film4 +1")], (None, None, 0)),
    ("Discovery Sciense Germany +1", "", [("d", "Discovery Science Germany")], (1, "fuzzy", 60)),
]


@pytest.mark.parametrize(
    ("name", "tvg_id", "guide", "expected"), SHIFTED, ids=[f"{one[0]} {one[1]} of {len(one[2])}" for one in SHIFTED]
)
def test_a_channel_an_hour_later_has_its_own_guide_or_the_base_channels_later(
    name: str, tvg_id: str, guide: list[tuple[str, str]], expected: tuple[int | None, str | None, int]
) -> None:
    one = found(name, named(*guide), tvg_id)
    assert (one.guide_channel_id, one.method, one.shift_minutes) == expected


def test_two_that_are_as_near_leave_it_open_and_are_shown() -> None:
    one = found(
        "Discovery Sciense Plus Extra",
        named(("1", "Discovery Science Plus Extra"), ("2", "Discovery Scienze Plus Extra")),
    )
    assert one.guide_channel_id is None
    assert {near.guide_channel_id for near in one.runners_up} == {1, 2}


def test_a_pin_wins_and_what_the_rules_say_is_a_runner_up() -> None:
    lineup = [LineupChannel("one", "BBC One", "bbc1"), LineupChannel("two", "BBC Two", "bbc2")]
    decided = match(lineup, named(("bbc1", "BBC One"), ("bbc2", "BBC Two")), {"one": 2, "two": None})
    assert decided["one"] == Match(2, "pin", 100.0, (Candidate(1, 100.0),))
    assert decided["two"] == Match(None, "pin", 100.0, (Candidate(2, 100.0),))


def test_every_display_name_of_a_guide_channel_counts() -> None:
    guide = [GuideChannel(1, "x", "101 One", names=("101 One", "Stadtfernsehen"))]
    assert found("STADTFERNSEHEN HD", guide).method == "name"


def test_the_same_lineup_and_guide_are_matched_the_same_way_again() -> None:
    guide = named(*((f"c{at}", f"Channel {chr(65 + at % 26)} Word{at % 7}") for at in range(200)))
    lineup = [LineupChannel(str(at), f"Chanel {chr(65 + at % 26)} Word{at % 7}") for at in range(200)]
    assert match(lineup, guide, {}) == match(lineup, guide, {})
