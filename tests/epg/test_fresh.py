"""Texts that an import leaves for the publication after it: a convenience, which nothing depends on."""

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from epg_service.domain.days import deflated
from epg_service.lineups import fresh, writing
from epg_service.lineups.fresh import FreshTexts
from epg_service.lineups.published import PublishedGuides
from epg_service.lineups.writing import AsStored, Piece
from epg_service.wiring import for_keeper
from servicekit import uncached
from tests.epg.guidekit import MIDNIGHT, Station, guide_of, hourly

TEXTS = [b"<programme>%d %s</programme>\n" % (at, b"abcdefgh" * (at * 37 % 400)) for at in range(30)]
PACKED = [(deflated(one), one) for one in TEXTS]


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


def imported(texts: FreshTexts) -> None:
    with texts.writing():
        texts.add("one.tv", PACKED[:10])
        texts.add("two.tv", PACKED[10:20])
        texts.add("two.tv", [])
        texts.add("one.tv", PACKED[20:])


def published(folder: Path, texts: FreshTexts) -> bytes:
    pieces: list[Piece] = [
        b"<tv>",
        AsStored("one.tv", [body for body, _ in [*PACKED[:10], *PACKED[20:]]]),
        AsStored("two.tv", [body for body, _ in PACKED[10:20]]),
        b"</tv>",
    ]
    with texts.opened() as found:
        made = PublishedGuides(folder / "published").publish("guide", pieces, texts=found)
    return made.plain.read_bytes()


WHOLE = b"".join((b"<tv>", *TEXTS[:10], *TEXTS[20:], *TEXTS[10:20], b"</tv>"))


def test_what_an_import_packed_is_not_inflated_for_its_publication(tmp_path: Path, inflating: list[bytes]) -> None:
    texts = FreshTexts(tmp_path / "work")
    imported(texts)
    assert published(tmp_path, texts) == WHOLE
    assert inflating == []
    assert list((tmp_path / "work").iterdir()) == [], "it is published, and needed no more"
    shutil.rmtree(tmp_path / "published")
    assert published(tmp_path, texts) == WHOLE
    assert len(inflating) == 30


def test_what_is_published_during_an_import_leaves_its_texts_alone(tmp_path: Path, inflating: list[bytes]) -> None:
    texts = FreshTexts(tmp_path / "work")
    with texts.writing():
        texts.add("one.tv", [*PACKED[:10], *PACKED[20:]])
        with texts.opened() as found:
            assert found == []
        texts.add("two.tv", PACKED[10:20])
    assert published(tmp_path, texts) == WHOLE
    assert inflating == []


def test_nothing_is_kept_of_an_import_that_breaks_off_or_of_the_one_before(tmp_path: Path) -> None:
    texts = FreshTexts(tmp_path / "work")
    imported(texts)
    with pytest.raises(KeyError), texts.writing():
        texts.add("one.tv", PACKED[:3])
        raise KeyError
    assert list((tmp_path / "work").iterdir()) == []
    texts.add("one.tv", PACKED[:3])
    with texts.opened() as found:
        assert found == []


@pytest.mark.parametrize("damage", ["text", "places", "shorter", "gone"])
def test_damaged_texts_are_made_anew(tmp_path: Path, inflating: list[bytes], damage: str) -> None:
    texts = FreshTexts(tmp_path / "work")
    imported(texts)
    path = tmp_path / "work" / ("texts.places" if damage == "places" else "texts")
    data = path.read_bytes()
    path.unlink()
    if damage == "shorter":
        path.write_bytes(data[:-9])
    elif damage != "gone":
        path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    assert published(tmp_path, texts) == WHOLE
    assert inflating


def full(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def no_write(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(uncached.os, "write", full)


def no_room(patched: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    patched.setattr(fresh.shutil, "disk_usage", lambda _: Usage(100))
    patched.setattr(fresh, "LOOK_BYTES", 1)


def no_file(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(Path, "mkdir", full)


@pytest.mark.parametrize("fails", [no_write, no_room, no_file], ids=lambda one: one.__name__)
def test_where_there_is_no_room_they_are_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fails: Callable[[pytest.MonkeyPatch], None]
) -> None:
    texts = FreshTexts(tmp_path / "work")
    with pytest.MonkeyPatch.context() as patched, caplog.at_level(logging.INFO):
        fails(patched)
        imported(texts)
    assert len([one for one in caplog.records if "not kept" in one.message]) == 1
    assert not list(tmp_path.glob("work/*"))
    assert published(tmp_path, texts) == WHOLE


def test_everything_is_published_from_them_and_tidying_removes_them(
    station: Station, inflating: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = FreshTexts(station.paths.work)
    publishing = for_keeper.publishing(station.config, station.it, clock=station.clock, fresh=texts)
    station.take(guide_of(hourly("one.tv", MIDNIGHT, 72)))
    publishing.everything()
    inflated = [(body, writing.inflated(body)) for body in list(inflating)]
    shutil.rmtree(station.paths.published)
    inflating.clear()
    with texts.writing():
        texts.add("one.tv", inflated)
    publishing.everything()
    assert inflated
    assert inflating == []
    imported(texts)
    publishing.tidy()
    assert list(station.paths.work.iterdir()) == []
