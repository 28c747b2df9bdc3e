"""What stands in a file as it stood in the one before is not read again, and nothing is told otherwise for it."""

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epg_service.domain.clean import clean
from epg_service.domain.days import UNREAD, digest_of, inflated
from epg_service.domain.losses import Losses
from epg_service.domain.parts import InFile, parts_of
from epg_service.importer import reading
from epg_service.store.programs import Programs
from epg_service.xmltv.cut import cut
from epg_service.xmltv.iterparse import iterparse
from epg_service.xmltv.records import Batch, End, KnownPart
from epg_service.xmltv.times import Stamps
from tests.epg.guidekit import DAY, HOUR, MIDNIGHT, Show, Station, guide_of, hourly
from tests.epg.partkit import bodies_of
from tests.epg.test_cut import DAMAGES, Row, documents, plain, told

Recalled = Callable[[str], Sequence[KnownPart]]


def known_parts(document: bytes, chunk: int, size: int) -> Recalled:
    """Everything in a document that may be known again, in parts of `size` programmes. Elements stay in the columns, so
    that rows can be compared."""
    found: dict[str, list[KnownPart]] = {}
    for item in cut(io.BytesIO(document), stamps=Stamps(), losses=Losses(), chunk_bytes=chunk):
        if isinstance(item, Batch) and item.gap is not None:
            for at in range(0, len(item), size):
                part = slice(at, at + size)
                text = item.gap.join(item.raws[part])
                columns = (item.starts, item.stops, item.titles, item.raws, item.digests, item.flags)
                told_of = tuple(column[part] for column in columns)
                in_file = InFile(0, len(text), digest_of(text), tuple(map(len, item.raws[part])))
                known = KnownPart(in_file, told_of)  # type: ignore[arg-type]
                found.setdefault(item.channel, []).append(known)
    return lambda channel: sorted(found.get(channel, ()), key=lambda part: part.starts[0])


def read(document: bytes, chunk: int, recalled: Recalled) -> tuple[list[Row], End]:
    """The rows of a reading, and its end."""
    rows: list[Row] = []
    end = End(False, 0, 0)
    for item in cut(io.BytesIO(document), stamps=Stamps(), losses=Losses(), recalled=recalled, chunk_bytes=chunk):
        if isinstance(item, Batch):
            columns = (item.starts, item.stops, item.titles, item.raws)
            rows += zip([item.channel] * len(item), *columns, strict=True)
        elif isinstance(item, End):
            end = item
    return rows, end


CHUNKS = st.sampled_from([64, 300, 1 << 18])


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), DAMAGES, CHUNKS, CHUNKS, st.integers(1, 4))
def test_a_changed_guide_reads_the_same_whether_the_one_before_is_known(
    document: bytes, damages: list[tuple[int, int, bytes]], chunk: int, other: int, size: int
) -> None:
    recalled = known_parts(document, chunk, size)
    for at, length, put in damages[:2]:
        begin = at % (len(document) + 1)
        document = document[:begin] + put + document[begin + length :]
    expected = told(iterparse, document)
    guessed = "encoding" in expected[5]  # from as much as is at hand, so what the pieces are matters
    if expected[-1] is None and not guessed:
        assert read(document, other, recalled) == (expected[2], expected[3])


def whole(parts: Sequence[str]) -> bytes:
    return ("<tv>" + "\n".join(parts) + "</tv>").encode()


class Kept(str):
    """The title of an element that was not read."""


def marked(recalled: Recalled) -> Recalled:
    """The same parts, their titles to be told from those that are read."""

    def told_apart(channel: str) -> Sequence[KnownPart]:
        return [
            part._replace(columns=(*part.columns[:2], list(map(Kept, part.columns[2])), *part.columns[3:]))
            for part in recalled(channel)
        ]

    return told_apart


def kept(rows: Sequence[Row]) -> int:
    """How many of the rows were not read."""
    return sum(isinstance(row[3], Kept) for row in rows)


@pytest.mark.parametrize("chunk", [5_000, 1 << 18])
def test_nearly_all_of_an_unchanged_guide_is_passed_over(chunk: int) -> None:
    document = whole([plain(n) for n in range(2000)])
    rows, end = read(document, chunk, marked(known_parts(document, 1 << 18, 8)))
    assert (rows, end) == (told(iterparse, document)[2], End(True, 2000, 0))
    assert kept(rows) >= 1980, "all but the beginning, which the exact reader begins"


EDITS: dict[str, Callable[[list[str]], None]] = {
    "one is another": lambda parts: parts.__setitem__(500, parts[500].replace("T500", "other")),
    "one is longer": lambda parts: parts.__setitem__(501, parts[501].replace("T501", "T" * 5000)),
    "one is new": lambda parts: parts.insert(803, plain(803).replace("T803", "more")),
    "one is gone": lambda parts: parts.__delitem__(1203),
    "the first of a part is gone": lambda parts: parts.__delitem__(808),
    "a whole part is gone": lambda parts: parts.__delitem__(slice(808, 816)),
    "a comment stands between": lambda parts: parts.insert(444, "<!-- here -->"),
}
READ = {"a comment stands between": 18, "a whole part is gone": 8}
"""So many programmes less are known than without the edit; of the others those that changed, and a neighbour."""


@pytest.mark.parametrize("edit", EDITS)
def test_only_what_stands_around_a_change_is_read(edit: str) -> None:
    parts = [plain(n) for n in range(2000)]
    recalled = marked(known_parts(whole(parts), 1 << 18, 8))
    EDITS[edit](parts)
    document = whole(parts)
    before, _ = read(whole([plain(n) for n in range(2000)]), 1 << 18, recalled)
    rows, end = read(document, 1 << 18, recalled)
    assert (rows, end) == (told(iterparse, document)[2], told(iterparse, document)[3])
    assert kept(before) - kept(rows) <= READ.get(edit, 2)


# ---- imports ---------------------------------------------------------------------------------------------------------

CHANNELS = [f"c{n}" for n in range(6)]


def shows(word: str = "Show") -> list[Show]:
    return [one for name in CHANNELS for one in hourly(name, MIDNIGHT, 48, word if name == "c3" else "Show")]


@pytest.fixture
def read_titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the programmes that were read."""
    titles: list[str] = []

    def noted(rows, **more):  # type: ignore[no-untyped-def]
        titles.extend(title for title in rows.titles if title != UNREAD)
        return clean(rows, **more)

    monkeypatch.setattr(reading, "clean", noted)
    return titles


def test_only_what_changed_is_read(tmp_path: Path, read_titles: list[str]) -> None:
    station = Station(tmp_path)
    station.take(guide_of(shows()))
    assert len(read_titles) == 288
    read_titles.clear()
    run = station.take(guide_of(shows("New")))
    assert (run.status, run.programs_imported, run.programs_skipped) == ("success", 288, 0)
    assert sum(title.startswith("New") for title in read_titles) == 48
    assert len(read_titles) < 48 + 30, "and the beginning of the file"
    assert run.report["changes"] == {"added": 0, "changed": 48, "removed": 0}
    read_titles.clear()
    station.take(guide_of(shows("New")) + b"\n")
    assert len(read_titles) < 30
    station.close()


@pytest.mark.parametrize("why", ["forced", "another zone", "another shift"])
def test_what_is_known_is_not_believed(tmp_path: Path, read_titles: list[str], why: str) -> None:
    station = Station(tmp_path)
    station.take(guide_of(shows()))
    provider = station.it.providers.all()[0]
    if why == "another zone":
        station.it.providers.update(provider.id, {"default_timezone": "Europe/Berlin"})
    elif why == "another shift":
        station.it.providers.update(provider.id, {"shift_minutes": 60})
    read_titles.clear()
    assert station.take(guide_of(shows()) + b"\n", force=why == "forced").status == "success"
    assert len(read_titles) == 288
    station.close()


def test_a_channel_about_which_something_is_odd_is_read_again(tmp_path: Path, read_titles: list[str]) -> None:
    station = Station(tmp_path)
    odd = [*shows(), *(Show("c9", MIDNIGHT + n * HOUR, MIDNIGHT + n * HOUR, "x") for n in range(3))]
    first = station.take(guide_of([*odd, *hourly("z", MIDNIGHT, 3)]))
    read_titles.clear()
    again = station.take(guide_of([*odd, *hourly("z", MIDNIGHT, 3)]) + b"\n")
    assert read_titles.count("x") == 3
    assert again.report["notes"] == first.report["notes"] != {}
    station.close()


def test_an_unknown_zone_is_told_of_every_time(tmp_path: Path) -> None:
    station = Station(tmp_path)
    guide = guide_of(shows()).replace(b" +0000", b" XYZ")
    runs = [station.take(guide), station.take(guide + b"\n"), station.take(guide + b"\n\n")]
    assert [run.report["warnings"] for run in runs] == [["unknown_zone"]] * 3
    station.close()


def test_days_of_a_version_that_knew_no_parts_are_read_and_come_to_have_some(
    tmp_path: Path, read_titles: list[str]
) -> None:
    station = Station(tmp_path)
    station.take(guide_of(shows()))
    station.it.connections.get().execute("DELETE FROM program_parts")
    read_titles.clear()
    station.take(guide_of(shows("New")))
    assert len(read_titles) == 288
    assert station.titles("c3") == [show.title for show in shows("New") if show.channel == "c3"]
    read_titles.clear()
    station.take(guide_of(shows()))
    assert len(read_titles) == 288, "what did not change has no parts yet"
    assert station.titles("c3") == [show.title for show in shows() if show.channel == "c3"]
    read_titles.clear()
    station.take(guide_of(shows("Newer")))
    assert len(read_titles) == 288
    station.close()


def test_what_is_deleted_while_it_is_looked_for_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    station = Station(tmp_path)
    station.take(guide_of(shows()))
    changed = [replace(show, title="x") if show.start == MIDNIGHT + 14 * HOUR else show for show in shows()]
    with monkeypatch.context() as patch:
        patch.setattr(Programs, "some_days", lambda *_: {})
        run = station.take(guide_of(changed))
    assert run.status == "failed"
    assert "run again" in str(run.error_message)
    assert station.take(guide_of(changed)).status == "success"
    assert station.titles("c0") == [show.title for show in changed if show.channel == "c0"]
    station.close()


def stored_bodies(station: Station) -> dict[int, tuple[bytes, bytes]]:
    """Each day's contents and its text; every part is looked at by itself."""
    found: dict[int, tuple[bytes, bytes]] = {}
    for provider in station.it.providers.all():
        for mapped in station.it.channels.of_provider(provider.id).values():
            for day in station.it.programs.days(mapped):
                pieces = [inflated(body) for body in bodies_of(day)]
                assert [piece.count(b"</programme>\n") for piece in pieces] == [
                    part.programmes for part in parts_of(day.parts)
                ]
                assert b"".join(pieces) == inflated(day.body)
                found[mapped.id << 16 | day.day] = (day.packed, inflated(day.body))
    return found


def edited(guide: list[Show], chance: random.Random) -> list[Show]:
    """Another day's version of a guide."""
    found: list[Show] = []
    for one in guide:
        what = chance.random()
        if what < 0.02:
            continue
        if what < 0.06:
            found.append(replace(one, title=one.title + chance.choice([" 2", " (new)", ""])))
        elif what < 0.08:
            found.append(replace(one, start=one.start + 300))
        elif what < 0.09:
            found.append(replace(one, stop=one.stop - 60 * chance.choice([1, 90])))
        elif what < 0.10:
            found += [replace(one, title=one.title + chance.choice(["", "!"])), one]
        elif what < 0.11:
            found += [Show(one.channel, one.start - 2 * HOUR, one.stop - 2 * HOUR, "late", "<desc>x</desc>"), one]
        else:
            found.append(one)
    return found


@pytest.mark.parametrize("number", range(12))
def test_days_of_edits_come_to_the_same_guide_as_reading_everything(tmp_path: Path, number: int) -> None:
    chance = random.Random(number)
    window = {"retention": {"past_days": 1, "future_days": 5}}
    shift = chance.choice([0, 0, 90])
    one, other = (Station(tmp_path / name, window) for name in ("one", "other"))
    providers = [station.provider(shift_minutes=shift) for station in (one, other)]
    names = [f"c{n}" for n in range(3)]
    guide = [show for name in names for show in hourly(name, MIDNIGHT, 72)]
    for _ in range(6):
        text = guide_of(guide)
        runs = [one.take(text, providers[0]), other.take(text, providers[1], force=True)]
        assert runs[0].report == runs[1].report
        assert (runs[0].programs_imported, runs[0].programs_skipped) == (
            runs[1].programs_imported,
            runs[1].programs_skipped,
        )
        assert one.everything() == other.everything()
        assert stored_bodies(one) == stored_bodies(other)
        hours = chance.choice([0, 5, 24])
        for station in (one, other):
            station.clock.at += hours * HOUR
        if chance.random() < 0.3:
            for station, provider in zip((one, other), providers, strict=True):
                for mapped in station.it.channels.of_provider(provider.id).values():
                    station.it.programs.prune_past(mapped.id, station.clock.at - DAY)
        later = [
            show for name in names for show in hourly(name, max(s.stop for s in guide if s.channel == name), hours)
        ]
        kept = [show for show in guide if show.stop > one.clock.at - chance.choice([0, DAY, 2 * DAY])]
        guide = sorted(edited(kept + later, chance), key=lambda show: show.channel)
    for station in (one, other):
        station.close()
