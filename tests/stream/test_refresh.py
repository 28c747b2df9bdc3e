"""Refreshing a source: what becomes visible, what keeps its identity, and what a bad answer may never do."""

import gzip
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from servicekit.errors import Unavailable
from servicekit.store.sqlite import writing
from tests.providerkit import ScriptedProvider
from tests.stream.sourcekit import House, playlist

SECRET = "S3CR3T-xyz"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.connections.close()


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        yield running


def test_a_first_refresh_makes_every_entry_visible(house: House, provider: ScriptedProvider) -> None:
    provider.serve("/list.m3u", playlist(["A", "B", {"name": "C", "tvg-chno": "7"}]))
    source = house.add(provider.url("/list.m3u"))
    run = house.refresh()
    assert (run.status, run.streams, run.entries_skipped, run.error_message) == ("success", 3, 0, None)
    assert list(house.streams()) == ["A", "B", "C"]
    assert house.sources.get(source.id).good.entries == 3
    assert house.lineups.stale() == ["default"]


def test_what_is_left_out_is_counted_by_kind(house: House) -> None:
    house.add(house.put(playlist(["A"]) + "#EXTINF:-1,B\nfile:///etc/passwd\n#EXTINF:-1,C\n"))
    run = house.refresh()
    assert (run.streams, run.entries_skipped) == (1, 2)
    losses = run.report["losses"]
    assert isinstance(losses, dict)
    assert {kind: said["count"] for kind, said in losses.items()} == {
        "address_scheme": 1,
        "extinf_without_address": 1,
    }


BEFORE = [
    {"name": "One", "tvg-id": "one.uk", "group-title": "G", "url": "http://h/live/u/p/1.ts"},
    {"name": "Two", "tvg-id": "two.uk", "group-title": "G", "url": "http://h/two?token=1"},
    {"name": "Three", "group-title": "G", "url": "http://h/three/index.m3u8?token=1"},
    {"name": "Four", "tvg-id": "four.uk", "url": "http://h/4"},
    {"name": "Five", "url": "http://h/5"},
]
Entries = list[dict[str, str]]


def with_entry(place: int, **changes: str) -> Entries:
    entries = [dict(entry) for entry in BEFORE]
    entries[place] |= changes
    return entries


@pytest.mark.parametrize(
    ("after", "place", "rule"),
    [
        pytest.param(
            with_entry(0, name="Uno", **{"tvg-id": "x"}), 0, "provider-id", id="renamed, the panel's id stays"
        ),
        pytest.param(with_entry(0, url="https://new/live/a/b/1.m3u8"), 0, "provider-id", id="new host and login"),
        pytest.param(with_entry(1, url="http://other/two?token=2"), 1, "kind", id="a new address"),
        pytest.param(with_entry(1, name="Two HD", url="http://h/other"), 1, "tvg-id", id="a new name and address"),
        pytest.param(
            with_entry(3, url="http://h/four", **{"tvg-id": "4.uk"}), 3, "name", id="a new tvg-id and address"
        ),
        pytest.param(
            with_entry(2, name="Drei", url="http://h/three/index.m3u8?token=2"), 2, "path", id="the path stays"
        ),
        pytest.param(list(reversed(BEFORE)), 1, None, id="another order"),
        pytest.param([*BEFORE[1:], {"name": "New", "url": "http://h/new"}], 1, None, id="one went, one came"),
    ],
)
def test_a_stream_that_is_the_same_keeps_its_id(house: House, after: Entries, place: int, rule: str | None) -> None:
    house.add(house.put(playlist(BEFORE)))
    house.refresh()
    before = house.streams()
    house.put(playlist(after))
    run = house.refresh()
    assert run.status == "success"
    now = house.streams()
    wanted = BEFORE[place]["name"]
    found = now[after[place]["name"]] if rule else now[wanted]
    assert found == before[wanted]
    report = run.report["streams"]
    assert isinstance(report, dict)
    assert report["found_again"] == ({rule: 1} if rule else {})


def test_likes_keep_their_ids_when_all_addresses_change(house: House) -> None:
    house.add(house.put(playlist([{"name": "A", "url": f"http://h/{n}?t=1"} for n in range(3)])))
    house.refresh()
    before = [stream.stream.id for stream in house.channels.streams()]
    house.put(playlist([{"name": "A", "url": f"http://new/{n}?t=2"} for n in range(3)]))
    house.refresh()
    assert [stream.stream.id for stream in house.channels.streams()] == before


def test_doubles_word_for_word_stay_apart_and_stay_themselves(house: House) -> None:
    double = {"name": "A", "url": "http://h/1"}
    house.add(house.put(playlist([double, double, {"name": "B", "url": "http://h/2"}])))
    house.refresh()
    before = [stream.stream.id for stream in house.channels.streams()]
    assert len(set(before)) == 3
    house.put(playlist([{"name": "New", "url": "http://h/0"}, double, double, {"name": "B", "url": "http://h/2"}]))
    house.refresh()
    assert [stream.stream.id for stream in house.channels.streams()][1:] == before


def test_a_stream_that_vanished_comes_back_as_itself(house: House) -> None:
    house.add(house.put(playlist(BEFORE)))
    house.refresh()
    before = house.streams()
    house.put(playlist(BEFORE[1:]))
    house.refresh()
    assert "One" not in house.streams()
    house.put(playlist(BEFORE))
    run = house.refresh()
    assert house.streams() == before
    assert run.report["streams"] == {"unchanged": 4, "found_again": {"provider-id": 1}, "new": 0}


def test_a_stream_that_vanished_long_ago_is_forgotten(house: House) -> None:
    house.add(house.put(playlist(BEFORE)))
    house.refresh()
    house.put(playlist(BEFORE[1:]))
    house.refresh()
    assert house.lists.purge_vanished(house.clock.now_s()) == 0
    assert house.lists.purge_vanished(house.clock.now_s() + 1) == 1
    assert list(house.lists.retained(1)) == []


GOOD = playlist(["A", "B", "C", "D"])

DISASTERS = [
    pytest.param(lambda p: p.serve("/list.m3u", b""), "rejected", "empty", id="an empty answer"),
    pytest.param(lambda p: p.serve("/list.m3u", "#EXTM3U\n"), "rejected", "no entry", id="no entries"),
    pytest.param(lambda p: p.serve("/list.m3u", playlist(["A"])), "rejected", "50%", id="a quarter of the list"),
    pytest.param(lambda p: p.html("/list.m3u"), "rejected", "web page.*Portal", id="a login page"),
    pytest.param(lambda p: p.serve("/list.m3u", '{"user_info":{"auth":0}}'), "rejected", "JSON", id="a panel's word"),
    pytest.param(lambda p: p.serve("/list.m3u", "no", 404), "failed", "404", id="404"),
    pytest.param(lambda p: p.serve("/list.m3u", "", 458), "failed", "458", id="458"),
    pytest.param(lambda p: p.cut("/list.m3u", GOOD.encode(), 40), "failed", "", id="a download cut short"),
    pytest.param(
        lambda p: p.serve("/list.m3u", gzip.compress(GOOD.encode())[:-20]), "rejected", "end early", id="cut gzip"
    ),
    pytest.param(lambda p: p.stop(), "failed", "", id="nobody there"),
    pytest.param(lambda p: p.redirect("/list.m3u", "http://169.254.169.254/x"), "failed", "169.254", id="metadata"),
]


@pytest.mark.parametrize(("script", "status", "says"), DISASTERS)
def test_a_bad_answer_changes_nothing_and_says_why(
    house: House, provider: ScriptedProvider, script: Callable[[ScriptedProvider], object], status: str, says: str
) -> None:
    provider.serve("/list.m3u", GOOD)
    house.add(provider.url("/list.m3u"))
    house.refresh()
    house.build()
    before, numbers, published = house.streams(), house.numbers(), house.files.playlist("default").read_bytes()
    script(provider)
    run = house.refresh()
    assert run.status == status
    assert run.error_message
    assert re.search(says, run.error_message)
    house.build()
    assert (house.streams(), house.numbers()) == (before, numbers)
    assert house.files.playlist("default").read_bytes() == published
    assert house.events.kinds == ["refresh_failed"]


def test_force_takes_a_short_list(house: House) -> None:
    house.add(house.put(GOOD))
    house.refresh()
    house.put("#EXTM3U\n")
    assert house.refresh().status == "rejected"
    assert house.refresh(force=True).status == "success"
    assert house.streams() == {}


def test_an_unchanged_list_is_asked_for_by_its_validators(house: House, provider: ScriptedProvider) -> None:
    provider.serve("/list.m3u", GOOD, etag='"1"', last_modified="Sat, 21 Nov 2026 10:00:00 GMT")
    source = house.add(provider.url("/list.m3u"))
    house.refresh()
    run = house.refresh()
    assert (run.status, run.streams) == ("unchanged", 4)
    assert provider.requests[-1].headers["If-None-Match"] == '"1"'
    house.sources.update(source.id, {"url": provider.url("/list.m3u?x")})
    assert house.refresh().status == "success"
    assert provider.requests[-1].headers.get("If-None-Match") == ""


def test_the_same_bytes_are_unchanged_without_validators_too(house: House, provider: ScriptedProvider) -> None:
    provider.serve("/list.m3u", GOOD)
    house.add(provider.url("/list.m3u"))
    house.refresh()
    assert house.refresh().status == "unchanged"
    assert house.refresh(force=True).status == "success"


def test_the_source_s_headers_go_to_the_provider_and_relative_addresses_follow_redirects(
    house: House, provider: ScriptedProvider
) -> None:
    provider.redirect("/get.php", "/real/list.m3u")
    provider.serve("/real/list.m3u", "#EXTM3U\n#EXTINF:-1,A\nstreams/a.ts\n", gzip_by="coding")
    house.add(provider.url("/get.php?username=u&password=p"), user_agent="VLC/3", headers={"X-Key": SECRET})
    assert house.refresh().status == "success"
    assert provider.requests[0].headers["User-Agent"] == "VLC/3"
    assert provider.requests[0].headers["X-Key"] == SECRET
    (stream,) = house.channels.streams()
    assert stream.stream.url == provider.url("/real/streams/a.ts")
    assert stream.stream.headers == {"User-Agent": "VLC/3", "X-Key": SECRET}
    assert stream.stream.private_ok


def test_secrets_stay_out_of_messages_and_reports(house: House, provider: ScriptedProvider) -> None:
    provider.serve("/get.php", "no", 403)
    house.add(provider.url(f"/get.php?username=u&password={SECRET}"))
    run = house.refresh()
    assert run.status == "failed"
    assert SECRET not in f"{run} {house.events.messages}"


@pytest.mark.parametrize("name", ["../stream.db", "/etc/passwd", "missing.m3u", "."])
def test_a_file_is_read_from_the_import_directory_only(house: House, name: str) -> None:
    house.add(name)
    run = house.refresh()
    assert run.status == "failed"
    assert "import" in (run.error_message or "")


def test_a_link_out_of_the_import_directory_is_refused(house: House, tmp_path: Path) -> None:
    (tmp_path / "secret.m3u").write_text(GOOD)
    (house.import_dir / "link.m3u").symlink_to(tmp_path / "secret.m3u")
    house.add("link.m3u")
    assert house.refresh().status == "failed"


def test_a_list_over_the_limit_is_refused(tmp_path: Path, provider: ScriptedProvider) -> None:
    house = House(tmp_path, max_bytes=2_000)
    provider.serve("/bomb", gzip.compress(b"#EXTM3U\n" + b"#" * 1_000_000))
    provider.serve("/long", b"#EXTM3U\n" + b"#" * 3_000)
    house.add(provider.url("/bomb"), name="bomb")
    house.add(provider.url("/long"), name="long")
    assert "larger than" in str(house.refresh(1).error_message)
    assert "more than 2000" in str(house.refresh(2).error_message)
    house.connections.close()


def test_what_a_killed_refresh_left_is_neither_seen_nor_kept(house: House) -> None:
    house.add(house.put(playlist(["A", "B"])))
    house.refresh()
    source = house.sources.get(1)
    generation = house.lists.begin(1, source.generation)
    house.lists.stage(1, generation, [])
    connection = house.connections.get()
    connection.execute(
        "INSERT INTO entries SELECT source_id, generation + 1, position, NULL, fingerprint, nth, provider_id, tvg_id, "
        "tvg_name, 'staged', channel_group, number, logo, url, headers, attributes FROM entries"
    )
    assert list(house.streams()) == ["A", "B"]
    house.put(playlist(["A", "B", "C"]))
    assert house.refresh().streams == 3
    assert list(house.streams()) == ["A", "B", "C"]


def test_a_sweep_that_was_cut_off_is_finished_by_the_next(house: House) -> None:
    house.add(house.put(playlist(["A", "B", "C"])))
    house.refresh()
    before = house.streams()
    house.put(playlist(["A", "B"]))
    run = house.runs.enqueue(1, reason="manual")
    house.runs.start(run.id)
    house.lists.sweep = lambda source_id: 0  # type: ignore[method-assign]
    house.refresher.refresh(run, house.sources.get(1))
    del house.lists.sweep
    assert list(house.streams()) == ["A", "B"]
    house.put(playlist(["A", "B", "C"]))
    house.refresh()
    assert house.streams() == before


def test_a_source_deleted_meanwhile_shows_nothing(house: House) -> None:
    house.add(house.put(GOOD))
    run = house.runs.enqueue(1, reason="manual")
    house.runs.start(run.id)
    source = house.sources.get(1)
    house.sources.delete(1)
    house.refresher.refresh(run, source)
    assert house.runs.get(run.id).status == "cancelled"
    assert house.streams() == {}
    house.lists.purge_source(1)
    assert house.connections.get().execute("SELECT count(*) FROM entries").fetchall() == [(0,)]


def test_a_locked_database_is_told_as_such(house: House) -> None:
    house.add(house.put(GOOD))
    house.connections.get().set_busy_timeout(0)
    other = apsw.Connection(str(house.connections.path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable), writing(house.connections.get()):
        raise AssertionError("the lock was had")
    other.execute("ROLLBACK")
    other.close()


def test_readers_see_a_whole_list_while_another_is_loaded(house: House, tmp_path: Path) -> None:
    house.add(house.put(playlist([f"A{n}" for n in range(3_000)])))
    house.refresh()
    stop, seen = threading.Event(), set[int]()

    def read() -> None:
        while not stop.is_set():
            query = (
                "SELECT count(*) FROM entries AS e JOIN sources AS s ON s.id = e.source_id "
                "AND s.generation = e.generation"
            )
            seen.add(int(str(house.connections.get().execute(query).fetchall()[0][0])))
        house.connections.close()

    reader = threading.Thread(target=read)
    reader.start()
    house.put(playlist([f"B{n}" for n in range(4_000)]))
    assert house.refresh().status == "success"
    stop.set()
    reader.join()
    assert seen <= {3_000, 4_000}


def test_a_refresh_costs_as_much_for_each_entry_in_a_long_list_as_in_a_short_one(house: House) -> None:
    """Counted in SQLite's own steps, not in time: a query that reads the list again for each entry is found at once."""
    name = house.put("#EXTM3U\n")
    house.add(name)
    steps = []
    for size in (400, 1_600):
        counted = [0]

        def count(counted: list[int] = counted) -> bool:
            counted[0] += 1
            return False

        house.put(playlist([{"name": f"{size}-{n}", "url": f"http://h/live/u/p/{size}{n}.ts"} for n in range(size)]))
        house.refresh(force=True)
        connection = house.connections.get()
        connection.set_progress_handler(count, 1_000)
        entries = [{"name": f"{size}-{n}", "url": f"http://new/live/u/p/{size}{n}.ts"} for n in range(size)]
        house.put(playlist(entries))
        assert house.refresh().streams == size
        connection.set_progress_handler(None)
        steps.append(counted[0] / size)
    assert steps[1] < 2 * steps[0]


def test_a_group_that_is_empty_all_at_once_is_told(house: House) -> None:
    def entries(*groups: str) -> str:
        return playlist([{"name": f"{group} {n}", "group-title": group} for group in groups for n in range(12)])

    house.add(house.put(entries("News", "Sport", "Films")))
    house.refresh()
    house.put(entries("News", "Sport"))
    run = house.refresh()
    assert (run.status, run.report["warnings"]) == ("success", ["group 'Films' held 12 entries and holds none now"])


def test_the_same_entries_in_other_bytes_are_unchanged_and_no_lineup_is_built(house: House) -> None:
    text = playlist([{"name": "A", "group-title": "G"}, "B"])
    house.add(house.put(text))
    house.refresh()
    house.lineups.mark(None, stale=False)
    house.put(text.replace("#EXTM3U", '#EXTM3U made="now" x-tvg-url="http://g/new.xml"') + "# a word\n")
    run = house.refresh()
    assert (run.status, run.streams, house.lineups.stale()) == ("unchanged", 2, [])
    assert house.sources.get(1).good.guide_urls == ("http://g/new.xml",)
    assert house.refresh().status == "unchanged"
    house.put(text + "# another word\n")
    assert (house.refresh().status, house.sources.get(1).good.guide_urls, house.lineups.stale()) == (
        "unchanged",
        (),
        [],
    )
    assert house.sources.get(1).good.rewrites
    house.put(text + "#EXTINF:-1,C\nhttp://h/c\n")
    assert (house.refresh().status, list(house.streams())) == ("success", ["A", "B", "C"])
    assert not house.sources.get(1).good.rewrites
    house.put(text)
    assert house.refresh().streams == 2
    rows = house.connections.get().execute("SELECT count(*), count(DISTINCT generation) FROM entries")
    assert next(iter(rows)) == (2, 1)


@pytest.mark.parametrize(
    "changed",
    [{"group-title": "H"}, {"tvg-logo": "http://l/1.png"}, {"catchup": "xc"}, {"url": "http://other/1.ts"}],
    ids=["a group", "a logo", "an attribute", "an address"],
)
def test_whatever_is_said_of_an_entry_counts(house: House, changed: dict[str, str]) -> None:
    house.add(house.put(playlist([{"name": "A", "group-title": "G"}, "B"])))
    house.refresh()
    house.lineups.mark(None, stale=False)
    house.put(playlist([{"name": "A", "group-title": "G"} | changed, "B"]))
    assert house.refresh().status == "success"
    assert house.lineups.stale() == ["default"]
