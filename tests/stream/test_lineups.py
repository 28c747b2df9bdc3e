"""Lineups as named things: what is set of them, how they are numbered, what stays for ever, what a person set."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from servicekit.errors import Conflict, Invalid, NotFound
from servicekit.store.sqlite import writing
from stream_service.domain.lineup import LineupOptions, Numbering, Override, tuners
from stream_service.lineups.catalogue import Catalogue
from stream_service.lineups.guard import Guard, Patience
from stream_service.lineups.staging import Staging
from stream_service.store.lineup_channels import Page
from stream_service.store.linked_guides import LinkedGuides
from stream_service.wiring.building import busy_there
from tests.stream.sourcekit import House, playlist
from tests.waiting import until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.connections.close()


def source(house: House, source_id: int, *entries: dict[str, str] | str) -> None:
    """Refreshes a source with these entries; made when it is not there."""
    name = house.put(playlist(entries), name=f"list{source_id}.m3u")
    if source_id not in {one.id for one in house.sources.all()}:
        assert house.add(name, name=f"source {source_id}").id == source_id
    assert house.refresh(source_id, force=True).status == "success"


def change(house: House, name: str = "default", **options: Any) -> None:
    house.lineups.change(name, lambda before: replace(before, **options))


def made(house: House, name: str, **options: Any) -> None:
    house.lineups.create(name, replace(LineupOptions(), **options))


def names(house: House, lineup: str = "default", **asked: Any) -> list[str]:
    return [row.name for row, _ in house.lineup_channels.page(lineup, Page(**asked), limit=500)]


def addresses(house: House, channel_id: str) -> list[str]:
    """What viewers of a channel are served from."""
    catalogue = Catalogue(house.files.catalogue)
    catalogue.look()
    target = catalogue.get(channel_id)
    return [] if target is None else [stream.url.rpartition("/")[2] for stream in target.streams]


def entry(name: str, url: str = "", **attributes: str) -> dict[str, str]:
    more = {key.replace("_", "-"): value for key, value in attributes.items()}
    return {"name": name, "url": f"http://streams.example/{url or name.replace(' ', '-')}", **more}


# ---- named things ----------------------------------------------------------------------------------------------------


def test_each_lineup_has_its_sources_numbers_and_files(house: House) -> None:
    source(house, 1, "A", "B")
    source(house, 2, "C")
    made(house, "two", sources=(2,), title="Only two", numbering=Numbering("sequential", 100))
    house.build()
    house.build("two")
    assert (house.numbers(), house.numbers("two")) == ({"A": "1", "B": "2", "C": "3"}, {"C": "100"})
    assert b",C\n" in house.files.playlist("two").read_bytes()
    assert b",A\n" not in house.files.playlist("two").read_bytes()
    assert [lineup.channels for lineup in house.lineups.all()] == [3, 1]


def test_channels_of_all_lineups_can_be_watched_and_one_that_is_gone_leaves_nothing(house: House) -> None:
    source(house, 1, "A")
    source(house, 2, "C")
    change(house, sources=(1,))
    made(house, "two", sources=(2,))
    house.build("two")
    house.build()
    assert (addresses(house, "A"), addresses(house, "C")) == (["A.ts"], ["C.ts"])
    house.lineups.delete("two")
    assert house.builder.tidy() == ["two"]
    assert not house.files.folder("two").exists()
    assert (addresses(house, "A"), addresses(house, "C")) == (["A.ts"], [])
    with pytest.raises(NotFound):
        house.lineups.get("two")


def test_the_rank_of_sources_is_the_rank_of_streams_and_of_texts(house: House) -> None:
    source(house, 1, entry("News", "one", tvg_id="news.uk"))
    source(house, 2, entry("News HD", "two", tvg_id="news.uk"))
    house.build()
    assert (addresses(house, "news.uk"), names(house)) == (["one", "two"], ["News"])
    change(house, sources=(2, 1))
    house.build()
    assert (addresses(house, "news.uk"), names(house)) == (["two", "one"], ["News HD"])


def test_the_default_lineup_is_always_there_and_names_are_given_once(house: House) -> None:
    with pytest.raises(Conflict):
        house.lineups.delete("default")
    made(house, "Kids")
    with pytest.raises(Conflict):
        made(house, "kids")
    house.lineups.delete("Kids")
    made(house, "kids")
    assert [one.name for one in house.lineups.all()] == ["default", "kids"]


def test_every_change_is_built_and_none_is_not(house: House) -> None:
    source(house, 1, "A")
    house.lineups.mark(None, stale=False)
    change(house, title="")
    assert house.lineups.stale() == []
    change(house, title="Mine")
    assert house.lineups.stale() == ["default"]


def test_outputs_that_are_switched_off_are_not_published(house: House) -> None:
    source(house, 1, "A")
    house.build()
    there = {path.name for path in house.files.folder("default").rglob("*") if path.is_file()}
    assert {"playlist.m3u", "xtream-live.json", "lineup.json"} <= there
    change(house, outputs=("hdhr",))
    house.build()
    there = {path.name for path in house.files.folder("default").rglob("*") if path.is_file()}
    assert "lineup.json" in there
    assert not {"playlist.m3u", "xtream-live.json"} & there


@pytest.mark.parametrize(
    ("asked", "limits", "count"),
    [(3, {1: 9}, 3), (None, {1: 2, 2: 3}, 5), (None, {1: 2, 2: None}, 4), (None, {}, 4), (None, {1: 900}, 32)],
)
def test_tuners_are_as_many_as_connections(asked: int | None, limits: dict[int, int | None], count: int) -> None:
    assert tuners(asked, limits) == count


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_numbers_in_sequence_whatever_the_provider_says(house: House) -> None:
    change(house, numbering=Numbering("sequential", 10), order="name")
    source(house, 1, {"name": "B", "tvg-chno": "3"}, "A")
    house.build()
    assert house.numbers() == {"A": "10", "B": "11"}
    source(house, 1, {"name": "B", "tvg-chno": "3"}, "A", "0")
    house.build()
    assert house.numbers() == {"A": "10", "B": "11", "ch-0": "12"}


def test_numbers_by_group_and_a_range_that_is_too_small_is_told(house: House) -> None:
    change(house, numbering=Numbering("group", 100, 2))
    source(house, 1, *({"name": name, "group-title": "Sport"} for name in "abc"), {"name": "n", "group-title": "News"})
    house.build()
    assert house.numbers() == {"n": "100", "a": "102", "b": "103", "c": "104"}
    last = house.builds.last("default")
    assert last is not None
    assert last.report["overflow"] == {"Sport": 1}
    assert "Sport" in str(last.report["warnings"])
    source(house, 1, {"name": "z", "group-title": "Arts"}, {"name": "n", "group-title": "News"})
    house.build()
    assert house.numbers() == {"n": "100", "z": "106"}


def test_another_numbering_gives_new_numbers_once_unless_they_are_to_stay(house: House) -> None:
    source(house, 1, "A", "B")
    house.build()
    house.lineups.change("default", lambda o: replace(o, numbering=Numbering("sequential", 50)), keep_numbers=True)
    house.build()
    assert house.numbers() == {"A": "1", "B": "2"}
    change(house, numbering=Numbering("sequential", 70))
    house.build()
    assert house.numbers() == {"A": "70", "B": "71"}
    source(house, 1, "B", "C")
    house.build()
    source(house, 1, "A", "B", "C")
    house.build()
    assert house.numbers() == {"A": "70", "B": "71", "C": "72"}


# ---- identity --------------------------------------------------------------------------------------------------------


def test_merging_on_and_off_changes_no_id_and_no_number(house: House) -> None:
    source(house, 1, entry("News", "one", tvg_id="news.uk"), "Other")
    source(house, 2, entry("News", "two", tvg_id="news.uk"))
    change(house, merge="off")
    house.build()
    apart = house.numbers()
    assert apart == {"news.uk": "1", "Other": "2", "news.uk-2": "3"}
    change(house, merge="all")
    house.build()
    assert house.numbers() == {"news.uk": "1", "Other": "2"}
    change(house, merge="off")
    house.build()
    assert house.numbers() == apart


def test_an_id_that_was_merged_away_still_plays(house: House) -> None:
    change(house, merge="off")
    source(house, 1, entry("News", "one", tvg_id="news.uk"))
    source(house, 2, entry("News", "two", tvg_id="news.uk"))
    house.build()
    assert addresses(house, "news.uk-2") == ["two"]
    change(house, merge="id")
    house.build()
    assert addresses(house, "NEWS.uk-2") == addresses(house, "news.uk") == ["one", "two"]
    catalogue = Catalogue(house.files.catalogue)
    catalogue.look()
    assert catalogue.by_xtream_id(2) is catalogue.by_xtream_id(1) is catalogue.get("news.uk")


def test_a_merged_channel_keeps_its_id_while_its_first_source_is_away(house: House) -> None:
    source(house, 1, entry("News", "one", tvg_id="news.uk"), "Other")
    source(house, 2, entry("News", "two", tvg_id="news.uk"))
    house.build()
    before = house.numbers()
    house.sources.update(1, {"enabled": False})
    house.build()
    assert house.numbers() == {"news.uk": before["news.uk"]}
    assert addresses(house, "news.uk") == ["two"]
    house.sources.update(1, {"enabled": True})
    house.build()
    assert house.numbers() == before
    assert addresses(house, "news.uk") == ["one", "two"]


def test_a_rule_of_the_lineup_merges_and_a_list_says_so_itself(house: House) -> None:
    change(house, merge_rules=('channel_name starts_with "Arena"',))
    source(house, 1, entry("Arena 1"), entry("Arena 2"), entry("X", merge_key="x"), entry("Y", merge_key="x"), "Z")
    house.build()
    assert names(house) == ["Arena 1", "X", "Z"]
    assert addresses(house, "Arena-1") == ["Arena-1", "Arena-2"]


def test_a_rule_that_cannot_be_understood_fails_the_build_and_the_lineup_stays(house: House) -> None:
    source(house, 1, "A")
    house.build()
    text = house.files.playlist("default").read_bytes()
    change(house, merge_rules=("nonsense",))
    source(house, 1, "A", "B")
    with pytest.raises(Invalid):
        house.build()
    last = house.builds.last("default")
    assert last is not None
    assert last.status == "failed"
    assert last.error_message
    assert house.files.playlist("default").read_bytes() == text
    assert not (house.files.folder("default") / ".staged").exists()


# ---- what a person set -----------------------------------------------------------------------------------------------


def test_what_a_person_set_of_a_channel_survives_every_refresh(house: House) -> None:
    source(house, 1, {"name": "A", "tvg-id": "a", "group-title": "G"}, "B")
    house.build()
    mine = Override(number="500", name="Mine", logo="http://l/x.png", group="Best", tvg_id="mine.uk", order=1)
    house.lineup_channels.override("default", "a", mine)
    house.build()
    source(house, 1, "B", {"name": "A2", "tvg-id": "a", "group-title": "H", "tvg-chno": "9"})
    house.build()
    assert house.numbers() == {"B": "2", "a": "500"}
    row = house.lineup_channels.get("default", "a")
    assert (row.name, row.group, row.logo, row.tvg_id) == ("Mine", "Best", "http://l/x.png", "mine.uk")
    first, second = (line for line in house.files.playlist("default").read_text().split("\n") if "EXTINF" in line)
    assert 'tvg-chno="500"' in first and 'group-title="Best"' in first and first.endswith(",Mine")
    assert second.endswith(",B")
    house.lineup_channels.override("default", "a", Override())
    house.build()
    assert (house.numbers(), names(house)) == ({"a": "1", "B": "2"}, ["A2", "B"])


def test_a_hidden_channel_is_published_nowhere_and_comes_back_as_it_was(house: House) -> None:
    source(house, 1, "A", "B")
    house.build()
    house.lineup_channels.override("default", "A", Override(hidden=True))
    house.build()
    assert names(house) == ["B"]
    assert names(house, hidden=True) == ["A", "B"]
    assert b",A\n" not in house.files.playlist("default").read_bytes()
    assert addresses(house, "A") == []
    house.lineup_channels.override("default", "A", Override())
    house.build()
    assert house.numbers() == {"A": "1", "B": "2"}


def test_a_number_is_one_channels_at_a_time(house: House) -> None:
    source(house, 1, "A", "B", "C")
    house.build()
    with pytest.raises(Conflict, match="A"):
        house.lineup_channels.override("default", "B", Override(number="1"))
    house.lineup_channels.override("default", "A", Override(number="9"))  # makes way
    house.lineup_channels.override("default", "B", Override(number="1"))
    house.build()
    assert house.numbers() == {"B": "1", "C": "3", "A": "9"}
    house.lineup_channels.override("default", "A", Override())
    house.build()  # its own number is somebody else's by now
    assert house.numbers() == {"B": "1", "C": "3", "A": "4"}


def test_the_number_of_a_channel_that_is_away_may_be_taken_by_hand(house: House) -> None:
    source(house, 1, "A", "B")
    house.build()
    source(house, 1, "B")
    house.build()
    house.lineup_channels.override("default", "B", Override(number="1"))
    source(house, 1, "A", "B")
    house.build()
    assert house.numbers() == {"B": "1", "A": "3"}


def test_a_channel_that_was_never_in_the_lineup_cannot_be_set(house: House) -> None:
    with pytest.raises(NotFound):
        house.lineup_channels.override("default", "none", Override(name="x"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["b1", "A2", "c3"]), ({"sort": "name"}, ["A2", "b1", "c3"]), ({"sort": "group"}, ["c3", "A2", "b1"]),
        ({"search": "B1"}, ["b1"]), ({"search": "3"}, ["c3"]), ({"group": "y"}, ["A2"]),
        ({"sort": "order"}, ["b1", "A2", "c3"]),
    ],
)  # fmt: skip
def test_channels_are_searched_chosen_and_sorted(house: House, asked: dict[str, Any], expected: list[str]) -> None:
    groups = (("b1", "z"), ("A2", "y"), ("c3", "x"))
    source(house, 1, *({"name": name, "group-title": group} for name, group in groups))
    house.build()
    assert names(house, **asked) == expected
    page, after = [], None
    while found := house.lineup_channels.page("default", Page(**asked, after=after), limit=1):
        page.append(found[0][0].name)
        after = found[0][1]
    assert page == expected


# ---- builds ----------------------------------------------------------------------------------------------------------


def test_a_build_is_logged_with_what_each_stage_counted(house: House) -> None:
    source(house, 1, "A", entry("News", tvg_id="n.uk"))
    source(house, 2, entry("News", tvg_id="n.uk"))
    asked = house.builds.ask("default")
    assert house.builds.ask("default") == asked
    house.build()
    done = house.builds.last("default")
    assert done is not None
    assert (done.id, done.status, done.reason, done.channels) == (asked.id, "success", "manual", 2)
    stages = done.report["stages"]
    assert isinstance(stages, dict)
    assert list(stages) == ["guard", "load", "map and filter", "merge", "number", "logos", "render", "publish", "swap"]
    assert stages["load"]["streams"] == 3
    assert stages["merge"]["merged_away"] == 1
    house.build()
    assert [build.id for build in house.builds.page("default", limit=9)] == [asked.id + 1, asked.id]


def test_staged_files_are_seen_only_when_they_are_published(tmp_path: Path) -> None:
    with Staging(tmp_path) as staging:
        staging.put("a/one", (b"1", b"2"))
        assert not (tmp_path / "a").exists()
        assert staging.publish() == 1
    assert (tmp_path / "a" / "one").read_bytes() == b"12"
    with pytest.raises(ZeroDivisionError), Staging(tmp_path) as staging:
        staging.put("a/one", (b"3",))
        raise ZeroDivisionError
    assert (tmp_path / "a" / "one").read_bytes() == b"12"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


class Busy:
    """Is busy so many times it is asked."""

    def __init__(self, times: int, name: str = "one") -> None:
        self.times = times
        self.name = name
        self.asked = 0

    def __call__(self, source_ids: object) -> list[str]:
        self.asked += 1
        return [self.name] if self.asked <= self.times else []


def guard(here: Busy, there: Busy, *, enabled: bool = True, attempts: int = 3) -> Guard:
    return Guard(Patience(enabled, 0.001, attempts), busy_here=here, busy_there=there)


def test_the_guard_waits_until_nothing_comes_in(house: House) -> None:
    told: list[str] = []
    assert guard(Busy(1), Busy(2, "guide")).wait(None, told.append) == []
    assert told == ["waits for one, guide (1 of 3)", "waits for guide (2 of 3)"]


def test_the_guard_goes_on_after_its_patience_and_says_what_it_waited_for() -> None:
    told: list[str] = []
    assert guard(Busy(99), Busy(0)).wait([1], told.append) == ["one"]
    assert len(told) == 3


def test_the_guard_can_be_switched_off() -> None:
    here = Busy(9)
    assert guard(here, Busy(9), enabled=False).wait(None, print) == []
    assert here.asked == 0


def test_a_build_waits_for_its_own_sources_only(tmp_path: Path) -> None:
    house = House(tmp_path, patience=Patience(True, 0.001, 2))
    source(house, 1, "A")
    source(house, 2, "B")
    made(house, "two", sources=(2,))
    run = house.runs.enqueue(1, reason="manual")
    house.runs.start(run.id)
    house.build("two")
    house.build()
    of_two, of_all = house.builds.last("two"), house.builds.last("default")
    assert of_two is not None and of_all is not None
    assert of_two.report["warnings"] == []
    assert "'source 1'" in str(of_all.report["warnings"])
    house.connections.close()


def test_a_lineup_that_is_deleted_while_it_is_built_is_no_fault(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    source(house, 1, "A")
    made(house, "two")
    overrides = house.lineup_channels.overrides

    def deleting(lineup: str) -> dict[str, Override]:
        house.lineups.delete(lineup)
        return overrides(lineup)

    monkeypatch.setattr(type(house.lineup_channels), "overrides", lambda self, lineup: deleting(lineup))
    with pytest.raises(NotFound):
        house.build("two")


def test_linked_guides_that_are_being_imported_are_waited_for(house: House) -> None:
    source(house, 1, "A")
    source(house, 2, "B")
    with writing(house.connections.get()):
        house.connections.get().execute("INSERT INTO guide_links (source_id, key, provider_id) VALUES (1, 'k', 7)")
    busy = busy_there(LinkedGuides(house.connections), lambda: {7, 8})
    assert busy(None) == busy([1]) == ["the guide of 'source 1'"]
    assert busy([2]) == []


def test_what_changes_while_the_guard_waits_is_in_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path, patience=Patience(True, 0.001, 2))
    source(house, 1, "A")
    run = house.runs.enqueue(1, reason="manual")
    house.runs.start(run.id)
    told: list[str] = []
    log = house.builds.stage

    def stage(build_id: int, text: str) -> None:
        if "waits" in text:
            change(house, outputs=("hdhr",))
            house.runs.finish(run.id, "success")
            told.append(text)
        log(build_id, text)

    monkeypatch.setattr(house.builder._builds, "stage", stage)
    house.build()
    assert told
    assert house.lineups.stale() == []
    assert not house.files.playlist("default").exists()
    house.connections.close()


# ---- disasters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"#EXTM3U\n", "no entry", id="an empty list"),
        pytest.param(playlist([f"C{n}" for n in range(4)]).encode(), "less than", id="a half list"),
        pytest.param(b"<!DOCTYPE html><html><body>Login</body></html>", "", id="an HTML page"),
        pytest.param(b"", "", id="nothing"),
    ],
)
def test_a_providers_disaster_changes_no_lineup(house: House, body: bytes, says: str) -> None:
    source(house, 1, *(f"C{n}" for n in range(10)))
    house.build()
    house.lineups.mark(None, stale=False)
    before, text = house.numbers(), house.files.playlist("default").read_bytes()
    house.put(body, name="list1.m3u")
    run = house.refresh(1)
    assert run.status in ("failed", "rejected")
    assert run.error_message and says in run.error_message
    assert house.lineups.stale() == []
    house.build()
    assert house.numbers() == before
    assert house.files.playlist("default").read_bytes() == text


def test_a_provider_that_cannot_be_reached_changes_no_lineup(house: House) -> None:
    source(house, 1, "A", "B")
    house.build()
    before = house.numbers()
    house.sources.update(1, {"url": "http://127.0.0.1:9/list.m3u"})
    assert house.refresh(1).status == "failed"
    house.build()
    assert house.numbers() == before


def test_another_host_and_other_tokens_change_no_channel_and_no_playlist(house: House) -> None:
    source(house, 1, *(entry(f"C{n}", f"live/u/p/{n}.ts") for n in range(10)))
    house.build()
    before, text = house.numbers(), house.files.playlist("default").read_bytes()
    moved = [{"name": f"C{n}", "url": f"http://other.example:8080/live/user/secret/{n}.ts"} for n in range(10)]
    source(house, 1, *moved)
    house.build()
    assert house.numbers() == before
    assert house.files.playlist("default").read_bytes() == text
    catalogue = Catalogue(house.files.catalogue)
    catalogue.look()
    target = catalogue.get("C3")
    assert target is not None
    assert target.streams[0].url == moved[3]["url"]


def test_our_own_playlist_as_a_source_gives_the_same_lineup(house: House, tmp_path: Path) -> None:
    source(
        house, 1, {"name": 'The "A", b', "tvg-id": "a.uk", "tvg-chno": "5.1", "group-title": "News", "tvg-logo": "http://l"},
        {"name": "Radio", "radio": "true", "catchup": "default", "catchup-days": "3"}, "Ünïcode",
        {"name": "X", "tvg-chno": "7"},
    )  # fmt: skip
    house.build()
    text = house.files.playlist("default").read_bytes()
    (tmp_path / "second").mkdir()
    other = House(tmp_path / "second")
    other.add(other.put(text.replace(b"\x01origin\x01", b"http://first:8081")))
    assert other.refresh().status == "success"
    other.build()
    assert other.numbers() == house.numbers()
    assert other.files.playlist("default").read_bytes() == text
    other.connections.close()


def test_a_lineup_that_is_being_built_can_be_asked_for_again(house: House) -> None:
    source(house, 1, "A")
    house.build()
    until(lambda: house.builds.last("default"), what="the log")
    again = house.builds.ask("default")
    assert again.status == "queued"
    assert house.lineups.stale() == ["default"]


def test_a_refresh_that_brings_nothing_new_builds_nothing_and_one_builds_only_its_lineups(house: House) -> None:
    source(house, 1, "A", "B")
    source(house, 2, "C")
    made(house, "two", sources=(2,))
    house.lineups.mark(None, stale=False)
    source(house, 1, "A", "B")
    assert house.lineups.stale() == []
    source(house, 1, "B", "A")
    assert house.lineups.stale() == ["default"]
    source(house, 2, {"name": "C", "tvg-logo": "http://l/c.png"})
    assert house.lineups.stale() == ["default", "two"]
    house.lineups.mark(None, stale=False)
    source(house, 1, "B")
    assert house.lineups.stale() == ["default"]
