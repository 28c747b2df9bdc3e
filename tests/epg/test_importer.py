"""Imports through the whole pipe, from a file or a provider's answer to the rows of the guide."""

import gzip
import lzma
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epg_service.domain.entities import Provider, Run
from tests.epg.guidekit import DAY, HOUR, MIDNIGHT, NOON, Show, Station, guide_of, hourly, ids, lost
from tests.providerkit import HTML, ScriptedProvider
from tests.waiting import until

WIDE = {"retention": {"days": 3650}}


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    yield made
    made.close()


@pytest.fixture
def site() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        yield running


def counts(run: Run) -> tuple[str, int, int]:
    return run.status, run.programs_imported, run.programs_skipped


def week(channel: str = "one.tv", word: str = "Show") -> list[Show]:
    return hourly(channel, MIDNIGHT, 96, word)


# ---- what changes, and what does not ---------------------------------------------------------------------------------


def test_a_first_import_fills_the_guide(station: Station) -> None:
    run = station.take(guide_of([*week("one.tv"), *week("two.tv")], {"one.tv": "One", "two.tv": "Two", "3": "Empty"}))
    assert counts(run) == ("success", 192, 0)
    assert run.report["losses"] == {}
    assert [(c.name, c.display_name) for c in station.it.channels.all()] == [
        ("one.tv", "One"),
        ("two.tv", "Two"),
        ("3", "Empty"),
    ]
    assert station.titles("one.tv")[:2] == [one.title for one in week()[:2]]
    assert station.listings("two.tv")[0].raw == week("two.tv")[0].xml().encode()


def test_the_same_file_again_is_unchanged_and_tells_the_same_figures(station: Station) -> None:
    shows = [*week(), week()[0], Show("one.tv", NOON + 30 * DAY, NOON + 30 * DAY + HOUR, "Far")]
    first = station.take(guide_of(shows))
    before = station.everything()
    again = station.run(station.it.providers.all()[0])
    assert counts(first) == ("success", 96, 2)
    assert counts(again) == ("unchanged", 96, 2)
    assert lost(again) == 2
    assert again.report["losses"] == first.report["losses"]
    assert station.everything() == before


def test_a_server_that_says_304_is_asked_no_more(station: Station, site: ScriptedProvider) -> None:
    site.serve("/guide.xml", guide_of(week()), etag='"7"')
    provider = station.provider(address=site.url("/guide.xml"))
    assert counts(station.run(provider)) == ("success", 96, 0)
    assert counts(station.run(provider)) == ("unchanged", 96, 0)
    assert [asked.headers.get("If-None-Match") for asked in site.requests] == ["", '"7"']


def test_the_same_bytes_without_validators_are_unchanged(station: Station, site: ScriptedProvider) -> None:
    site.serve("/guide.xml", guide_of(week()))
    provider = station.provider(address=site.url("/guide.xml"))
    assert [station.run(provider).status for _ in range(2)] == ["success", "unchanged"]
    assert site.count("/guide.xml") == 2


def test_force_reads_the_same_file_again(station: Station, site: ScriptedProvider) -> None:
    site.serve("/guide.xml", guide_of(week()), etag='"7"')
    provider = station.provider(address=site.url("/guide.xml"))
    station.run(provider)
    assert counts(station.run(provider, force=True)) == ("success", 96, 0)
    assert site.requests[-1].headers.get("If-None-Match") == ""


def test_a_changed_title_changes_the_row_and_keeps_its_id(station: Station) -> None:
    shows = week()
    station.take(guide_of(shows))
    before = station.everything()["one.tv"]
    shows[20] = Show("one.tv", shows[20].start, shows[20].stop, "Renamed")
    run = station.take(guide_of(shows))
    after = station.everything()["one.tv"]
    assert run.report["changes"] == {"added": 0, "changed": 1, "removed": 0}
    assert ids(after) == ids(before)
    assert [row[3] for row in after if row not in before] == ["Renamed"]


def test_a_programme_that_vanished_is_gone(station: Station) -> None:
    shows = week()
    station.take(guide_of(shows))
    run = station.take(guide_of([*shows[:30], *shows[31:]]))
    assert run.report["changes"] == {"added": 0, "changed": 0, "removed": 1}
    assert shows[30].title not in station.titles("one.tv")
    assert len(station.titles("one.tv")) == 95


def test_history_before_the_first_programme_of_the_file_stays(station: Station) -> None:
    shows = week()
    station.take(guide_of(shows))
    run = station.take(guide_of(week(word="New")[30:]))
    assert counts(run) == ("success", 66, 0)
    titles = station.titles("one.tv")
    assert titles[:30] == [one.title for one in shows[:30]]
    assert titles[30].startswith("New")
    assert len(titles) == 96


def test_days_after_the_last_of_the_file_stay(station: Station) -> None:
    station.take(guide_of([*hourly("one.tv", MIDNIGHT, 96), *hourly("two.tv", MIDNIGHT, 96)]))
    run = station.take(guide_of([*hourly("one.tv", MIDNIGHT, 72), *hourly("two.tv", MIDNIGHT, 60)]))
    assert counts(run) == ("success", 132, 0)
    assert len(station.titles("one.tv")) == 96, "the file ends with the third day: it is no word about the fourth"
    # The second channel's programmes end within the third day, which the file covers.
    assert len(station.titles("two.tv")) == 60 + 24


def test_a_day_inside_the_file_that_a_channel_lacks_now_is_gone(station: Station) -> None:
    full = [*hourly("one.tv", MIDNIGHT, 96), *hourly("two.tv", MIDNIGHT, 96)]
    station.take(guide_of(full))
    holes = [one for one in full if not (one.channel == "two.tv" and MIDNIGHT + DAY <= one.start < MIDNIGHT + 2 * DAY)]
    assert counts(station.take(guide_of(holes))) == ("success", 168, 0)
    assert len(station.titles("two.tv")) == 72
    ends = [one for one in full if not (one.channel == "two.tv" and one.start >= MIDNIGHT + 2 * DAY)]
    station.take(guide_of(ends))
    assert len(station.titles("two.tv")) == 48, "other channels show that the file goes on"


def test_a_day_may_go_while_a_later_one_changes(station: Station) -> None:
    station.take(guide_of(hourly("one.tv", MIDNIGHT, 96)))
    later = hourly("one.tv", MIDNIGHT + 2 * DAY, 47, "New")
    run = station.take(guide_of([*hourly("one.tv", MIDNIGHT, 24), *later]))
    assert run.report["changes"] == {"added": 0, "changed": 47, "removed": 25}
    assert len(station.titles("one.tv")) == 24 + 47


def test_a_channel_that_the_file_lacks_keeps_its_programmes(station: Station) -> None:
    station.take(guide_of([*week("one.tv"), *week("two.tv")]))
    station.take(guide_of(week("one.tv")))
    assert len(station.titles("two.tv")) == 96


def test_a_day_that_was_emptied_beyond_the_file_leaves_the_run_unchanged(station: Station) -> None:
    station.take(guide_of(hourly("one.tv", MIDNIGHT, 96)))
    short = guide_of(hourly("one.tv", MIDNIGHT, 72))
    station.take(short)
    provider = station.it.providers.all()[0]
    station.it.providers.update(provider.id, {"retention_days": 6})  # the file is to be read, not compared as a whole
    assert station.take(short).status == "unchanged"
    assert len(station.titles("one.tv")) == 96


def test_a_file_ordered_by_time_gives_the_same_guide_as_one_ordered_by_channel(tmp_path: Path) -> None:
    shows = [*week("one.tv"), *week("two.tv"), *week("three.tv"), week("two.tv")[5]]
    channels = {"one.tv": "One", "two.tv": "Two", "three.tv": "Three"}
    grouped, timed = Station(tmp_path / "grouped"), Station(tmp_path / "timed")
    by_channel = grouped.take(guide_of(shows, channels))
    by_time = timed.take(guide_of(sorted(shows, key=lambda one: one.start), channels))
    assert counts(by_time) == counts(by_channel) == ("success", 288, 1)
    assert lost(by_time) == 1
    told = [{name: [row[1:] for row in rows] for name, rows in one.everything().items()} for one in (grouped, timed)]
    assert told[0] == told[1]
    assert timed.run(timed.it.providers.all()[0]).status == "unchanged"
    assert not list(timed.paths.work.glob("spool*"))
    grouped.close()
    timed.close()


# ---- window, zone, shift ---------------------------------------------------------------------------------------------


def test_what_lies_outside_the_window_is_counted_and_never_stored(station: Station) -> None:
    shows = [
        Show("one.tv", NOON - 7 * DAY - HOUR, NOON - 7 * DAY, "over"),
        Show("one.tv", NOON - 7 * DAY - HOUR, NOON - 7 * DAY + 1, "running at the bound"),
        Show("one.tv", NOON, NOON + HOUR, "now"),
        Show("one.tv", NOON + 7 * DAY - 1, NOON + 8 * DAY, "last"),
        Show("one.tv", NOON + 7 * DAY, NOON + 8 * DAY, "after"),
    ]
    run = station.take(guide_of(shows))
    assert counts(run) == ("success", 3, 2)
    losses = run.report["losses"]
    assert isinstance(losses, dict)
    assert {kind: one["count"] for kind, one in losses.items()} == {
        "outside_retention_past": 1,
        "outside_retention_future": 1,
    }
    assert station.titles("one.tv") == ["running at the bound", "now", "last"]


def test_a_provider_may_have_its_own_window(station: Station) -> None:
    provider = station.provider(retention_days=1)
    run = station.take(guide_of(week()), provider)
    assert counts(run) == ("success", 36, 60)


def test_the_same_file_is_read_again_when_the_window_has_moved_over_it(
    station: Station, site: ScriptedProvider
) -> None:
    site.serve("/guide.xml", guide_of(hourly("one.tv", MIDNIGHT, 9 * 24)), etag='"7"')
    provider = station.provider(address=site.url("/guide.xml"))
    assert counts(station.run(provider)) == ("success", 180, 36)
    station.clock.at += HOUR + 1
    assert counts(station.run(provider)) == ("success", 182, 34)
    station.clock.at += 60
    assert counts(station.run(provider)) == ("unchanged", 182, 34)
    assert [bool(asked.headers.get("If-None-Match")) for asked in site.requests] == [False, False, True]


def test_what_retention_took_meanwhile_is_counted_as_not_in_the_guide(station: Station) -> None:
    station.take(guide_of(hourly("one.tv", MIDNIGHT, 48)))
    station.clock.at = MIDNIGHT + 8 * DAY
    station.keeper().prune()
    run = station.run(station.it.providers.all()[0], force=True)
    assert counts(run) == ("success", 24, 24)
    assert len(station.titles("one.tv")) == 24


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 0),
        ({"default_timezone": "Europe/Berlin"}, -HOUR),
        ({"shift_minutes": 90}, 90 * 60),
        ({"default_timezone": "America/New_York", "shift_minutes": -30}, 4 * HOUR - 30 * 60),
    ],
    ids=["utc", "zone", "shift", "both"],
)
def test_times_without_an_offset_are_the_providers(station: Station, values: dict[str, object], expected: int) -> None:
    data = guide_of([Show("one.tv", NOON, NOON + HOUR, "Lunch")]).replace(b" +0000", b"")
    provider = station.provider(**values)
    station.take(data, provider)
    (lunch,) = station.listings("one.tv")
    assert (lunch.start_s, lunch.stop_s) == (NOON + expected, NOON + HOUR + expected)


def test_a_new_zone_means_another_guide_of_the_same_file(station: Station) -> None:
    data = guide_of(hourly("one.tv", MIDNIGHT, 24)).replace(b" +0000", b"")
    provider = station.provider()
    station.take(data, provider)
    station.it.providers.update(provider.id, {"default_timezone": "Europe/Berlin"})
    assert station.take(data, provider).status == "success"
    assert station.listings("one.tv")[0].start_s == MIDNIGHT - HOUR


@pytest.mark.parametrize("minutes", [-20_000, 20_000])
def test_a_shift_past_the_ends_of_time_is_no_fault(tmp_path: Path, minutes: int) -> None:
    station = Station(tmp_path, WIDE)
    shows = [Show("one.tv", 0, NOON, "from the beginning"), Show("one.tv", NOON, 2**32 - 1, "to the end")]
    run = station.take(guide_of(shows), station.provider(shift_minutes=minutes))
    assert counts(run) == ("success", 2, 0)
    station.close()


# ---- the verdict -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (HTML, "HTML"),
        (b"<rss><channel/></rss>", "rss"),
        (b"<?xml version='1.0'?><ProgramGuide/>", "ProgramGuide"),
        (b"<tv></tv>", "no programme"),
        (b'<!DOCTYPE tv [<!ENTITY a "b">]><tv></tv>', "entit"),
        (b"\x1f\x8b\x08 not really gzip", "gzip"),
        (guide_of(hourly("one.tv", MIDNIGHT - 3 * DAY, 60)), "over"),
        (guide_of(week()[:40]), "at least 50%"),
        (guide_of(week(), end="")[:-300], "breaks off"),
    ],
    ids=["empty", "blank", "html", "rss", "root", "nothing", "entities", "gzip", "past", "shrunk", "truncated"],
)
def test_a_bad_file_says_why_and_leaves_the_last_good_guide(station: Station, data: bytes, word: str) -> None:
    station.take(guide_of(week()))
    before = station.everything()
    good = station.it.providers.all()[0].good
    run = station.take(data)
    assert run.status in ("failed", "rejected")
    assert run.error_message is not None
    assert word in run.error_message
    if run.status == "rejected":
        assert lost(run) == run.programs_skipped == data.count(b"<programme ")
    assert station.everything() == before
    assert station.it.providers.all()[0].good == good
    assert not list(station.paths.redo.glob("*"))


def test_force_takes_a_smaller_file_but_never_an_empty_one(station: Station) -> None:
    station.take(guide_of(week()))
    assert station.take(guide_of(week()[:10]), force=True).status == "success"
    assert station.take(b"<tv></tv>", force=True).status == "rejected"


def test_a_truncated_first_file_is_better_than_nothing(station: Station) -> None:
    data = guide_of(week())
    run = station.take(data[: len(data) // 2])
    assert run.status == "success"
    assert run.report["warnings"]
    assert run.programs_skipped == lost(run) == 1
    assert 40 < len(station.titles("one.tv")) < 50


def test_a_file_that_holds_nothing_at_all_is_refused_at_first_too(station: Station) -> None:
    run = station.take(b"<tv><channel id='a'/></tv>")
    assert (run.status, run.error_message) == ("rejected", "the file holds no programme; the guide stays as it was")
    assert station.it.channels.all() == []


def test_a_first_file_that_is_over_is_taken_and_says_so(station: Station) -> None:
    run = station.take(guide_of(hourly("one.tv", NOON - DAY, 24)))
    assert (counts(run), run.report["warnings"]) == (("success", 24, 0), ["stale"])
    run = station.take(guide_of(hourly("one.tv", NOON - DAY, 25)))
    assert (counts(run), run.report["warnings"]) == (("success", 25, 0), [])


def test_a_first_file_of_which_nothing_can_be_kept_says_so(station: Station) -> None:
    run = station.take(guide_of(hourly("one.tv", NOON - 30 * DAY, 5)))
    assert run.status == "rejected"
    assert "none of the file's 5 programmes can be kept" in str(run.error_message)
    assert lost(run) == 5
    assert station.it.channels.all() == []


def test_everything_that_a_file_holds_is_imported_or_told_as_lost(station: Station) -> None:
    shows = week()
    crowd = [Show("one.tv", NOON, NOON + HOUR, f"Clump {n}") for n in range(12)]
    broken = ['<programme channel="one.tv"><title>no start</title></programme>',
              '<programme start="20261301000000" channel="one.tv"><title>month 13</title></programme>',
              '<programme start="20260310120000"><title>nowhere</title></programme>',
              '<programme start="20260310120000" channel="one.tv"><title>bad</desc></programme>']  # fmt: skip
    data = guide_of([*shows, *shows[:3], *crowd]).replace(b"</tv>", "\n".join(broken).encode() + b"\n</tv>")
    run = station.take(data)
    total = 96 + 3 + 12 + 4
    assert run.status == "success"
    assert run.programs_imported + run.programs_skipped == total
    assert run.programs_skipped == lost(run)
    assert len(station.titles("one.tv")) == run.programs_imported


# ---- transport -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gz", "xz"])
@pytest.mark.parametrize("name", ["/guide.xml", "/guide.bin"])
def test_what_a_file_is_packed_in_is_told_by_its_bytes(
    station: Station, site: ScriptedProvider, pack: Callable[[bytes], bytes], name: str
) -> None:
    site.serve(name, pack(guide_of(week())), content_type="text/plain")
    assert counts(station.run(station.provider(address=site.url(name)))) == ("success", 96, 0)


def test_a_packed_answer_is_unpacked_once_by_http_and_once_by_content(station: Station, site: ScriptedProvider) -> None:
    site.serve("/guide.xml.gz", gzip.compress(guide_of(week())), gzip_by="coding")
    assert counts(station.run(station.provider(address=site.url("/guide.xml.gz")))) == ("success", 96, 0)


def test_an_answer_over_the_limit_of_bytes_is_refused(tmp_path: Path, site: ScriptedProvider) -> None:
    station = Station(tmp_path, shared={"fetch": {"max_bytes": 4096}})
    site.serve("/guide.xml", guide_of(week()))
    run = station.run(station.provider(address=site.url("/guide.xml")))
    assert run.status == "failed"
    assert "4,096" in str(run.error_message) or "4096" in str(run.error_message)
    station.close()


def test_a_guide_over_the_limit_when_unpacked_is_refused(tmp_path: Path) -> None:
    station = Station(tmp_path, shared={"fetch": {"max_bytes": 4096}})
    run = station.take(gzip.compress(guide_of([*week("one.tv"), *week("two.tv")])))
    assert run.status == "failed"
    assert "16,384" in str(run.error_message)
    station.close()


@pytest.mark.parametrize("after_head", [False, True], ids=["no answer", "no body"])
def test_a_provider_that_hangs_is_given_up_with_a_reason(
    tmp_path: Path, site: ScriptedProvider, after_head: bool
) -> None:
    station = Station(tmp_path, shared={"fetch": {"timeout_s": 0.3}})
    site.hang("/guide.xml", after_head=after_head)
    run = station.run(station.provider(address=site.url("/guide.xml")))
    assert run.status == "failed"
    assert run.error_message
    assert not list(station.paths.work.glob("*"))
    station.close()


@pytest.mark.parametrize("status", [204, 206, 404, 500, 503])
def test_an_answer_that_is_no_file_is_told(station: Station, site: ScriptedProvider, status: int) -> None:
    site.serve("/guide.xml", guide_of(week()), status)
    run = station.run(station.provider(address=site.url("/guide.xml")))
    assert run.status == "failed"
    assert str(status) in str(run.error_message)


def test_a_download_that_breaks_off_is_told_and_changes_nothing(station: Station, site: ScriptedProvider) -> None:
    data = guide_of(week())
    site.serve("/guide.xml", data)
    provider = station.provider(address=site.url("/guide.xml"))
    station.run(provider)
    before = station.everything()
    site.cut("/guide.xml", data + b" ", after=len(data) // 2)
    assert station.run(provider).status in ("failed", "rejected")
    assert station.everything() == before


def test_an_address_with_a_password_is_never_told(
    station: Station, site: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    address = site.url("/get.php?username=joe&password=CANARY").replace("http://", "http://joe:CANARY@")
    run = station.run(station.provider(address=address))
    assert run.status == "failed"
    assert "CANARY" not in str(run.error_message)
    assert "CANARY" not in caplog.text
    assert site.count("/get.php") == 1


# ---- while it runs ---------------------------------------------------------------------------------------------------


def slowly(site: ScriptedProvider, data: bytes) -> None:
    site.drip("/guide.xml", data, piece=2_000, pause_s=0.02)


def beside(station: Station, provider: Provider) -> "tuple[threading.Thread, Run]":
    """An import on a thread of its own, as the keeper has one."""
    run = station.it.imports.enqueue(provider.id, reason="manual")
    assert station.it.imports.start(run.id)

    def work() -> None:
        station.importer.run(run, provider)
        station.it.connections.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread, run


def test_progress_is_seen_while_an_import_runs_and_it_can_be_stopped(station: Station, site: ScriptedProvider) -> None:
    slowly(site, guide_of([*week("one.tv"), *week("two.tv")]) * 20)
    thread, run = beside(station, station.provider(address=site.url("/guide.xml")))
    seen = until(lambda: station.it.imports.get(run.id).progress.get("bytes"), what="progress")
    assert isinstance(seen, int)
    assert station.it.imports.cancel(run.id).status == "running"
    thread.join(20)
    ended = station.it.imports.get(run.id)
    assert ended.status == "cancelled"
    assert ended.completed_at == NOON
    assert station.it.channels.all() == []
    assert not list(station.paths.work.glob("*"))


def test_a_keeper_that_ends_leaves_its_import_interrupted(station: Station, site: ScriptedProvider) -> None:
    slowly(site, guide_of(week()) * 50)
    thread, run = beside(station, station.provider(address=site.url("/guide.xml")))
    until(lambda: station.it.imports.get(run.id).progress.get("bytes"), what="progress")
    station.stopping.set()
    thread.join(20)
    assert station.it.imports.get(run.id).status == "interrupted"
    assert station.it.imports.get(run.id).error_message


def test_nothing_shows_before_the_verdict(station: Station, site: ScriptedProvider) -> None:
    data = guide_of([*week("one.tv"), *week("two.tv")])

    class Watching:
        """Stands between the importer and its log: whenever progress is told, somebody looks at the guide."""

        def __init__(self) -> None:
            self.seen: list[tuple[str, int, int]] = []

        def progress(self, run_id: int, progress: "dict[str, object]") -> bool:
            stats = station.it.programs.stats()
            self.seen.append((str(progress["stage"]), stats.total_programs, len(station.it.channels.all())))
            return station.it.imports.progress(run_id, progress)

        def __getattr__(self, name: str) -> object:
            return getattr(station.it.imports, name)

    watching = Watching()
    station.importer._log = watching  # type: ignore[assignment]
    run = station.take(data)
    assert counts(run) == ("success", 192, 0)
    assert {stage for stage, *_ in watching.seen} == {"download", "read", "verdict", "apply"}
    assert {(programmes, channels) for _, programmes, channels in watching.seen} == {(0, 0)}


def test_a_reader_never_sees_a_channel_half_imported(station: Station) -> None:
    channels = [f"c{number}.tv" for number in range(60)]
    old = [one for name in channels for one in week(name, "Old")]
    new = [one for name in channels for one in week(name, "New")]
    station.take(guide_of(old))
    numbers = {one.name: one.id for one in station.it.channels.all()}
    mixed: list[str] = []
    looks = [0]
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for name, number in numbers.items():
                words = {one.title.split()[0] for one in station.it.guide.listings(number, 0, 1 << 32)}
                looks[0] += 1
                if len(words) != 1:
                    mixed.append(f"{name}: {words}")
        station.it.connections.close()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for one in readers:
        one.start()
    until(lambda: looks[0] > 5, what="readers at work")
    run = station.take(guide_of(new))
    done.set()
    for one in readers:
        one.join(20)
    assert counts(run) == ("success", 60 * 96, 0)
    assert mixed == []
    assert {title.split()[0] for title in station.titles("c59.tv")} == {"New"}
