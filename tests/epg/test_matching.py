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
