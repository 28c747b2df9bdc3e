"""What an import hands over to the search index: missing, damaged or of another guide, the index is the same."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epg_service.domain.pieces import Cut, framed, identity_digest, unframed
from epg_service.domain.tags import NEW, PREMIERE
from epg_service.importer.handing import Handing
from epg_service.store import search_step
from epg_service.xmltv import indexed
from tests.epg.guidekit import HOUR, NOON, Show, guide_of
from tests.epg.querykit import Asked, station  # noqa: F401 (a fixture)
from tests.epg.test_indexing import from_nothing, told

TEXTS = st.sampled_from([b"", b"<title>A</title>", b"<title>B</title>\n ", b"x" * 300])
ENDS = st.sampled_from([None, b"", b"<new/>", b"<premiere>x</premiere>\n<new/>"])


def contents(programmes: int, seed: int) -> bytes:
    return bytes([seed % 256]) * 25 * programmes


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 65535), st.lists(st.tuples(TEXTS, TEXTS, ENDS), max_size=4)), max_size=4))
def test_what_was_framed_is_read_back(days: list[tuple[int, list[Cut]]]) -> None:
    days = list(dict(days).items())
    cut = [one for _, of_day in days for one in of_day]
    packed = [(day, contents(len(of_day), day)) for day, of_day in days]
    frame = framed("kanal\u00e9", packed, cut)
    if not cut:
        assert frame == b""
        return
    handed = unframed(io.BytesIO(frame).read)
    assert handed
    assert handed.channel == "kanal\u00e9"
    assert handed.by_day() == {
        day: (identity_digest(text), [(head, tail, flags(end)) for head, tail, end in of_day])
        for (day, text), (_, of_day) in zip(packed, days, strict=True)
    }


def flags(end: bytes | None) -> int:
    return (NEW if end and b"<new" in end else 0) | (PREMIERE if end and b"<premiere" in end else 0)


def test_nothing_is_framed_of_what_was_not_cut() -> None:
    assert framed("a", [(1, contents(1, 1))], [(None, None, None)]) == b""
    assert framed("a", [(1, contents(2, 1))], [(b"", b"", None)]) == b""


def serial() -> bytes:
    more = ("", "<sub-title>Part</sub-title>", "<new/>", "<premiere/>\n<new/>", "<category>Film</category>")
    crew = "<desc>About it</desc>\n<credits>\n<actor>Ada Stone</actor> </credits> <date>2020</date>\n"
    odd = "<icon src='x'/><desc>not in form</desc>"

    def said(name: str, at: int) -> str:
        if name == "odd" and at == 3:
            return odd
        return more[at % 2] + (crew if at % 3 else "") + more[at % 5] * (at % 5 > 1)

    return guide_of(
        Show(name, NOON + at * HOUR, NOON + (at + 1) * HOUR, f"Title {at % 5}", said(name, at))
        for name in ("first", "one", "odd", "two")
        for at in range(40)
    )


def handed_days(station: Asked, monkeypatch: pytest.MonkeyPatch) -> list[bool]:  # noqa: F811
    """Indexes; of each day whether its pieces were handed over."""
    found: list[bool] = []
    read = search_step.Step._read

    def noted(step: search_step.Step, day: search_step.Day, texts: search_step.MappingTexts) -> bytes:
        found.append(day.said is not None)
        return read(step, day, texts)

    monkeypatch.setattr(search_step.Step, "_read", noted)
    station.index()
    monkeypatch.undo()
    return found


def test_an_index_of_what_was_handed_over_says_the_same(
    station: Asked,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    station.take(serial())
    files = list(station.paths.pieces.iterdir())
    assert len(files) == 1
    assert sorted(handed_days(station, monkeypatch)) == [False] * 6 + [True] * 6
    assert not station.paths.pieces.exists()
    assert told(station.paths.search) == from_nothing(station)
    assert len(station.found("ada stone")) > 1
    station.take(serial().replace(b"About it", b"About that"))
    assert not station.paths.pieces.exists()  # only of a new guide
    station.index()
    assert told(station.paths.search) == from_nothing(station)
    connection = apsw.Connection(str(station.paths.search))
    counts: Any = connection.execute("SELECT count(*) FROM texts GROUP BY id >> 26").fetchall()
    connection.close()
    assert sorted(counts) == [(10,), (10,), (10,), (11,)]  # what is cut out later is the same text


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(b"\xff" * 5000),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes().replace(b"Title 1", b"Titel 1")),
        lambda path: path.rename(path.with_name("77")),
        lambda path: path.rename(path.with_name("no number")),
    ],
    ids=["cut", "junk", "empty", "changed", "deleted provider", "strange"],
)
def test_a_file_that_is_none_changes_nothing(station: Asked, damage: Callable[[Path], object]) -> None:  # noqa: F811
    station.take(serial())
    damage(next(station.paths.pieces.iterdir()))
    station.index()
    assert not station.paths.pieces.exists()
    assert told(station.paths.search) == from_nothing(station)


def test_pieces_of_an_earlier_version_of_a_day_are_not_taken(
    station: Asked,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    station.take(serial())
    station.take(serial().replace(b"Title 2", b"Another one"))
    assert not any(handed_days(station, monkeypatch))
    assert len(station.found("another one")) == 32
    assert told(station.paths.search) == from_nothing(station)


def test_a_disk_that_is_full_ends_the_handing_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "1"
    with Handing(path) as handing:
        stream = handing._stream
        assert stream

        def full(_: bytes) -> None:
            raise OSError("no space left")

        monkeypatch.setattr(stream, "write", full)
        handing.add("a", [(1, contents(1, 1))], [(b"t", b"p", None)])
        assert not path.exists()
        handing.add("a", [(1, contents(1, 1))], [(b"t", b"p", None)])
    assert not path.exists()


def test_without_search_nothing_is_handed_over(tmp_path: Path) -> None:
    quiet = Asked(tmp_path, settings={"search": {"enabled": False}})
    quiet.take(serial())
    assert not quiet.paths.pieces.exists()
    quiet.close()


def test_the_reader_of_pieces_and_the_pattern_of_guides_cut_alike() -> None:
    assert indexed.said_in_form(b"<programme>\n <title>A</title>\n</programme>")[0].strip() == b"<title>A</title>"
