"""Guides are read while they are still on their way: nothing is read twice, missed, or taken for the end."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from epg_service.providers.ahead import PIECES, Ahead
from epg_service.providers.arriving import Arriving, Following, StartedAnew
from epg_service.providers.download import Begun, Progress, Validators
from epg_service.providers.feed import LocalFeed
from servicekit.errors import Unreachable
from tests.epg.guidekit import MIDNIGHT, Station, guide_of, hourly
from tests.providerkit import Asked, Reply, ScriptedProvider
from tests.waiting import until

Told = tuple[str, Validators]


class Script:
    """A download in steps that the test takes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.steps: list[Callable[[Progress, Begun], None]] = []
        self.go = threading.Semaphore(0)
        self.heard: list[tuple[int, int | None]] = []
        self.arriving = Arriving(self._run, waiting=lambda done, total: self.heard.append((done, total)))

    def _run(self, progress: Progress, begun: Begun) -> Told | None:
        for step in self.steps:
            self.go.acquire()
            step(progress, begun)
        return "digest", Validators('"1"')

    def begins(self, total: int | None) -> None:
        def step(progress: Progress, begun: Begun) -> None:
            self.path.write_bytes(b"")
            begun(total)

        self.steps.append(step)

    def sends(self, data: bytes) -> None:
        def step(progress: Progress, begun: Begun) -> None:
            with self.path.open("ab") as stream:
                stream.write(data)
            progress(self.path.stat().st_size, None)

        self.steps.append(step)

    def fails(self) -> None:
        def step(progress: Progress, begun: Begun) -> None:
            raise Unreachable("gone")

        self.steps.append(step)

    def following(self) -> Following:
        self.go.release()
        self.arriving.start()
        return Following(self.arriving, self.path)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    made = Script(tmp_path / "feed")
    made.begins(10)
    yield made
    made.go.release(20)
    made.arriving.leave()


def test_what_is_there_is_read_before_the_rest_has_come(script: Script) -> None:
    script.sends(b"hello ")
    script.sends(b"world")
    with script.following() as stream:
        script.go.release()
        assert stream.read(100) == b"hello "
        assert (stream.tell(), script.arriving.total) == (6, None)
        script.go.release()
        assert (stream.read(3), stream.read(100), stream.read(100)) == (b"wor", b"ld", b"")
    assert script.arriving.result == ("digest", Validators('"1"'))


def test_who_waits_hears_of_a_download_that_drips(script: Script) -> None:
    for _ in range(10):
        script.sends(b"drop")
    with script.following() as stream:
        for _ in range(10):
            threading.Timer(0.05, script.go.release).start()
            assert stream.read(100) == b"drop"
    assert [done for done, _ in script.heard if done], "some were waited for"


def test_who_waits_hears_how_far_it_is_and_may_end_it(script: Script) -> None:
    class Enough(Exception):
        pass

    def enough(done: int, total: int | None) -> None:
        raise Enough

    script.sends(b"never")
    with script.following() as stream:
        script.arriving._waiting = enough
        with pytest.raises(Enough):
            stream.read(1)


def test_a_download_that_fails_fails_the_reading(script: Script) -> None:
    script.sends(b"half")
    script.fails()
    with script.following() as stream:
        script.go.release(2)
        until(lambda: script.arriving.ended)
        with pytest.raises(Unreachable, match="gone"):
            stream.read(100)


def test_where_a_part_will_do_the_end_of_a_failed_download_is_an_end(script: Script) -> None:
    script.arriving._part_will_do = True
    script.sends(b"half")
    script.fails()
    with script.following() as stream:
        script.go.release(2)
        until(lambda: script.arriving.ended)
        assert (stream.read(100), stream.read(100)) == (b"half", b"")
    assert (script.arriving.is_part, script.arriving.result) == (True, None)


def test_where_nothing_came_there_is_no_part(script: Script) -> None:
    script.arriving._part_will_do = True
    script.fails()
    with script.following() as stream:
        script.go.release()
        with pytest.raises(Unreachable, match="gone"):
            stream.read(100)


def test_another_version_voids_what_was_read(script: Script) -> None:
    script.sends(b"old")
    script.begins(3)
    script.sends(b"new")
    with script.following() as stream:
        script.go.release()
        assert stream.read(100) == b"old"
        script.go.release()
        with pytest.raises(StartedAnew):
            stream.read(100)
    script.go.release()
    with Following(script.arriving, script.path) as again:
        assert (again.read(100), again.read(1)) == (b"new", b"")


# ---- local files -----------------------------------------------------------------------------------------------------


def test_a_local_file_is_read_once_for_its_guide_and_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 600_000)
    feed = LocalFeed(path, None)
    with feed.open() as stream:
        assert stream.read(10) == b"x" * 10
    whole = feed.digest
    assert not feed.unchanged
    assert whole.endswith("-600000")
    assert LocalFeed(path, whole).unchanged
    path.write_bytes(b"y" * 600_000)
    assert not LocalFeed(path, whole).unchanged


# ---- reading ahead ---------------------------------------------------------------------------------------------------


class Stream:
    def __init__(self, pieces: list[bytes | Exception]) -> None:
        self.pieces = pieces

    def read(self, size: int, /) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece


def test_what_is_read_ahead_is_the_stream() -> None:
    with Ahead(Stream([b"abc", b"defg"])) as ahead:
        assert [ahead.read(2) for _ in range(6)] == [b"ab", b"c", b"de", b"fg", b"", b""]


def test_a_fault_rises_where_it_was_met() -> None:
    with Ahead(Stream([b"abc", Unreachable("gone")])) as ahead:
        assert ahead.read(9) == b"abc"
        with pytest.raises(Unreachable):
            ahead.read(9)
        assert ahead.read(9) == b""


def test_who_stops_reading_leaves_no_thread() -> None:
    ahead = Ahead(Stream([b"x"] * (PIECES * 3)))
    until(ahead._pieces.full)
    ahead.close()
    assert not ahead._thread.is_alive()


# ---- imports ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as running:
        yield running


def test_an_import_whose_download_begins_anew_holds_the_new_version(tmp_path: Path, provider: ScriptedProvider) -> None:
    old, new = (guide_of(hourly("a", MIDNIGHT, 2_000, word)) for word in ("Old", "Young"))
    state = {"asked": 0}

    def answer(asked: Asked) -> Reply:
        state["asked"] += 1
        if state["asked"] == 1:
            return Reply(headers={"ETag": '"1"'}, body=old[:150_000], length=len(old))
        return Reply(headers={"ETag": '"2"'}, body=new)

    provider.script("/g", answer)
    station = Station(tmp_path, {"retention": {"days": 400}}, shared={"fetch": {"allow": ["127.0.0.0/8"]}})
    run = station.run(station.provider(address=provider.url("/g")))
    assert (run.status, run.programs_imported, state["asked"]) == ("success", 2_000, 2)
    assert {one.title.split()[0] for one in station.listings("a")} == {"Young"}
    again = station.run(station.it.providers.all()[0])
    assert (again.status, state["asked"]) == ("unchanged", 3)
    station.close()


def test_a_download_that_always_breaks_off_is_better_than_no_guide_but_replaces_none(
    tmp_path: Path, provider: ScriptedProvider
) -> None:
    guide = guide_of(hourly("a", MIDNIGHT, 2_000))
    answers = {
        "whole": Reply(headers={"ETag": '"1"'}, body=guide),
        "part": Reply(body=guide[:150_000], length=len(guide)),
    }
    sent = ["part"]
    provider.script("/g", lambda asked: answers[sent[0]])
    station = Station(tmp_path, {"retention": {"days": 400}}, shared={"fetch": {"allow": ["127.0.0.0/8"]}})
    made = station.provider(address=provider.url("/g"))
    first = station.run(made)
    assert (first.status, first.report["warnings"]) == ("success", ["truncated"])
    assert 0 < first.programs_imported < 2_000
    sent[0] = "whole"
    assert station.run(station.it.providers.get(made.id)).programs_imported == 2_000
    sent[0] = "part"
    again = station.run(station.it.providers.get(made.id))
    assert again.status == "failed"
    assert "the connection ended before the answer was whole" in str(again.error_message)
    assert len(station.listings("a")) == 2_000
    station.close()
