"""What stood in the version before is copied from there: the same files as without it, whatever became of that."""

import gzip
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epg_service.domain.days import deflated
from epg_service.domain.entities import LineupChannel
from epg_service.lineups import places, writing
from epg_service.lineups.published import Publication, PublishedGuides
from epg_service.lineups.writing import AsStored, Piece
from epg_service.wiring import for_keeper
from tests.epg.guidekit import MIDNIGHT, Station, guide_of, hourly

Channels = list[tuple[str, list[int]]]
"""Channels, and the numbers of the texts that each has."""
TEXTS = [b"<programme>%d %s</programme>\n" % (at, b"abcdefgh" * (at * 37 % 400)) for at in range(40)]
BODIES = [deflated(one) for one in TEXTS]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.close()


@pytest.fixture
def inflating(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is inflated."""
    seen: list[bytes] = []
    really = writing.inflated

    def inflated(body: bytes) -> bytes:
        seen.append(body)
        return really(body)

    monkeypatch.setattr(writing, "inflated", inflated)
    return seen


def pieces_of(channels: Channels) -> list[Piece]:
    found: list[Piece] = [b"<tv>\n"]
    for name, texts in channels:
        found.append(AsStored(name, [BODIES[at] for at in texts[:2]]))
        found += [AsStored(name, [BODIES[at]]) for at in texts[2:]]
        if len(texts) % 3 == 1:
            found.append(f"<programme channel={name!a}>written</programme>\n".encode())
    return [*found, b"</tv>\n"]


def files_of(made: Publication) -> tuple[bytes, bytes]:
    text, packed = made.plain.read_bytes(), made.packed.read_bytes()
    assert gzip.decompress(packed) == text
    return text, packed


def published_anew(channels: Channels) -> tuple[bytes, bytes]:
    """What is published where there was nothing before."""
    with tempfile.TemporaryDirectory() as folder:
        return files_of(PublishedGuides(Path(folder)).publish("guide", pieces_of(channels)))


guides = st.lists(
    st.tuples(st.sampled_from(["one.tv", "two.tv", "drei.tv", "\udc80"]), st.lists(st.integers(0, 39), max_size=12)),
    max_size=5,
    unique_by=lambda one: one[0],
)


@settings(max_examples=60, deadline=None)
@given(st.lists(guides, min_size=2, max_size=4), st.sampled_from([0, 3_000, 1 << 20]), st.sampled_from([100, 1 << 20]))
def test_every_version_is_the_same_as_if_nothing_were_copied(
    versions: list[Channels], batch_bytes: int, span_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
        patched.setattr(writing, "BATCH_BYTES", batch_bytes)
        patched.setattr(places, "SPAN_BYTES", span_bytes)
        for channels in versions:
            made = PublishedGuides(Path(folder)).publish("guide", pieces_of(channels))
            assert files_of(made) == published_anew(channels)


FIRST: Channels = [("one.tv", [*range(20)]), ("two.tv", [*range(15, 35)])]
EDITED: Channels = [("one.tv", [*range(7), 38, *range(8, 20)]), ("new.tv", [39]), ("two.tv", [*range(16, 36)])]
NEW = [38, 39, 35]


def test_only_what_is_new_is_inflated(tmp_path: Path, inflating: list[bytes]) -> None:
    guide = PublishedGuides(tmp_path)
    guide.publish("guide", pieces_of(FIRST))
    assert len(inflating) == 40
    inflating.clear()
    made = guide.publish("guide", pieces_of(EDITED))
    assert inflating == [BODIES[at] for at in NEW]
    inflating.clear()
    assert files_of(made) == published_anew(EDITED)
    inflating.clear()
    guide.publish("guide", pieces_of(FIRST))
    assert len(inflating) == 2, "the third version copies from the second"


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_damaged_text_is_made_anew_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, inflating: list[bytes], place: float
) -> None:
    guide = PublishedGuides(tmp_path)
    before = guide.publish("guide", pieces_of(FIRST))
    flipped(before.plain, int(before.plain.stat().st_size * place))
    inflating.clear()
    with caplog.at_level(logging.WARNING):
        made = guide.publish("guide", pieces_of(EDITED))
    assert len(inflating) == len(NEW) + 1
    assert files_of(made) == published_anew(EDITED)
    assert [one.message for one in caplog.records if "is damaged" in one.message]


def test_any_damage_to_the_places_costs_time_alone(tmp_path: Path) -> None:
    guide = PublishedGuides(tmp_path)
    before = guide.publish("guide", pieces_of(FIRST))
    expected, whole = published_anew(EDITED), before.places.read_bytes()
    kept = {path: path.read_bytes() for path in tmp_path.glob("*")}
    harms = [whole[:at] for at in range(0, len(whole), 97)] + [whole + b"x", b"\0" * len(whole)]
    for at in range(0, len(whole), 13):
        harms.append(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    for harm in harms:
        for path, data in kept.items():
            path.write_bytes(data)
        before.places.write_bytes(harm)
        assert files_of(PublishedGuides(tmp_path).publish("guide", pieces_of(EDITED))) == expected


def test_places_of_another_text_are_not_used(tmp_path: Path, inflating: list[bytes]) -> None:
    guide = PublishedGuides(tmp_path)
    other = guide.publish("guide", pieces_of([("one.tv", [1, 2, 3])])).places.read_bytes()
    before = guide.publish("guide", pieces_of([("one.tv", [1, 2, 4])]))
    before.places.write_bytes(other)
    inflating.clear()
    guide.publish("guide", pieces_of([("one.tv", [1, 2, 5])]))
    assert len(inflating) == 3


@pytest.mark.parametrize("kind", ["plain", "places", "shorter"])
def test_files_that_are_gone_cost_time_alone(tmp_path: Path, inflating: list[bytes], kind: str) -> None:
    guide = PublishedGuides(tmp_path)
    before = guide.publish("guide", pieces_of(FIRST))
    if kind == "shorter":
        before.plain.write_bytes(before.plain.read_bytes()[:-40])
    else:
        (before.plain if kind == "plain" else before.places).unlink()
    inflating.clear()
    made = guide.publish("guide", pieces_of(EDITED))
    assert len(inflating) == 41
    assert files_of(made) == published_anew(EDITED)


def test_a_disk_that_cannot_read_the_version_before_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    guide = PublishedGuides(tmp_path)
    guide.publish("guide", pieces_of(FIRST))

    def refused(*_: Any) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.preadv", refused)
    made = guide.publish("guide", pieces_of(EDITED))
    assert "Input/output error" in caplog.text
    assert files_of(made) == published_anew(EDITED)


def test_places_that_are_missing_come_back_with_the_same_text(tmp_path: Path) -> None:
    guide = PublishedGuides(tmp_path)
    before = guide.publish("guide", pieces_of(FIRST))
    known = before.places.read_bytes()
    before.places.unlink()
    assert guide.publish("guide", pieces_of(FIRST)).digest == before.digest
    assert before.places.read_bytes() == known


def test_places_live_as_long_as_their_text(tmp_path: Path) -> None:
    guide = PublishedGuides(tmp_path)
    versions = [guide.publish("guide", pieces_of([("one.tv", [at])])) for at in range(3)]
    assert [one.places.exists() for one in versions] == [False, True, True]
    assert guide.publish("plain", [b"<tv/>"]).places.exists() is False, "nothing in it is as it is stored"
    guide.remove("guide")
    assert [path.name for path in tmp_path.glob("*.places")] == []


@pytest.mark.parametrize("step", ["end", "add"])
def test_a_disk_that_fills_up_with_the_places_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    guide = PublishedGuides(tmp_path)
    before = guide.publish("guide", pieces_of(FIRST))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as cut:
        cut.setattr(writing.PlacesFile, step, full)
        with pytest.raises(OSError, match="No space"):
            guide.publish("guide", pieces_of(EDITED))
    assert guide.find("guide") == before
    assert files_of(before) == published_anew(FIRST)
    assert not list(tmp_path.glob(".*.staged"))
    assert files_of(guide.publish("guide", pieces_of(EDITED))) == published_anew(EDITED)


def test_a_publisher_killed_between_its_files_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    guide = PublishedGuides(tmp_path)
    before = guide.publish("guide", pieces_of(FIRST))
    with monkeypatch.context() as cut:
        cut.setattr(PublishedGuides, "_switch", killed)
        with pytest.raises(Killed):
            guide.publish("guide", pieces_of(EDITED))
    assert PublishedGuides(tmp_path).find("guide") == before
    (tmp_path / ".guide.77-1.places.staged").write_bytes(b"half")
    again = PublishedGuides(tmp_path)
    again.tidy()
    assert not list(tmp_path.glob(".*.staged"))
    assert files_of(again.publish("guide", pieces_of(EDITED))) == published_anew(EDITED)


def test_a_lineup_and_the_whole_guide_are_the_same_as_without_the_version_before(
    station: Station, tmp_path: Path, inflating: list[bytes]
) -> None:
    def take(shows: Sequence[Any]) -> dict[str, tuple[bytes, bytes]]:
        station.take(guide_of([*shows]))
        publishing.everything()
        return {name: files_of(found) for name in ("guide", "lineup-home") if (found := guides_there.find(name))}

    guides_there = PublishedGuides(station.paths.published)
    station.it.lineups.put(
        "home", "1", [LineupChannel("one.tv", "One", "one.tv"), LineupChannel("b", "Two", "two.tv")], {}
    )
    publishing = for_keeper.publishing(station.config, station.it, clock=station.clock)
    take([*hourly("one.tv", MIDNIGHT, 72), *hourly("two.tv", MIDNIGHT, 72)])
    inflating.clear()
    copied = take([*hourly("one.tv", MIDNIGHT, 71), *hourly("two.tv", MIDNIGHT, 72)])
    assert len(inflating) == 2, "one day of the guide and of the lineup's channel that has its id"
    for path in station.paths.published.glob("*"):
        path.unlink()
    publishing.everything()
    assert {name: files_of(found) for name in copied if (found := guides_there.find(name))} == copied
