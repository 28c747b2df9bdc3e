"""Who watched what: told as it happens, written down when it is over, kept for a while, counted."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from servicekit import web
from servicekit.errors import Unavailable
from servicekit.health import Checks, State
from servicekit.metrics import Metrics
from servicekit.settings import Settings
from servicekit.sse import Audience, Event
from stream_service.api.watching import blueprint
from stream_service.domain.watching import Course, End, Via, Watched
from stream_service.relay.hls_audience import HlsAudience
from stream_service.relay.journal import Journal
from stream_service.relay.retention import KeptLog
from stream_service.store.sessions_log import SessionsLog
from tests.stream.relaykit.house import house
from tests.stream.relaykit.upstream import ends, holds, live, sends, status
from tests.stream.relaykit.viewers import target
from tests.stream.sourcekit import START_S, HeldClock, House
from tests.waiting import until

VIEWING = Watched(
    channel_id="news",
    channel="News",
    lineup="default",
    profile="",
    via=Via.TS,
    user="ann",
    address="192.0.2.7",
    user_agent="Kodi/21",
    source_id=1,
    stream_id=7,
    started_at=START_S,
    duration_s=600,
    wait_ms=40,
    bytes_sent=600_000_000,
    jumps=1,
    switches=2,
    slates=0,
    end=End.LEFT,
)


# ---- the relay tells -------------------------------------------------------------------------------------------------


class TestTheRelayTells:
    def test_who_came_who_left_and_every_move_of_the_channel(self) -> None:
        with house() as there:
            viewer = there.viewer(target(there.provider.script("/a", [live()]))).has(100)
            viewer.leave()
            there.wait_until_idle()
            kinds = [kind for kind, _ in there.told]
            assert kinds[:3] == ["state", "state", "join"]
            moves = [(said["from"], said["to"]) for kind, said in there.told if kind == "state"]
            assert moves == [
                ("idle", "connecting"),
                ("connecting", "running"),
                ("running", "closing"),
                ("closing", "idle"),
            ]
            (left,) = [said for kind, said in there.told if kind == "leave"]
            assert (left["end"], left["address"], left["channel_id"]) == ("left", "192.0.2.7", "news")
            (viewing,) = until(lambda: there.viewings)
            assert (viewing.channel_id, viewing.end, viewing.user_agent) == ("news", End.LEFT, "test")
            assert viewing.bytes_sent >= 100 * 188
            figures = there.hub.figures()
            assert figures["moves_to_running_total"] == figures["moves_to_idle_total"] == 1

    def test_how_often_its_channel_was_switched(self) -> None:
        with house() as there:
            watched = threading.Event()  # what was switched before a viewer's first byte is not counted as his
            bad = there.provider.script("/bad", [sends(pictures=20), holds(watched), ends()], [status("404 Gone")])
            good = there.provider.script("/good", [live()])
            viewer = there.viewer(target(bad, good)).has(1)
            watched.set()
            until(lambda: str(there.session()["upstream"]).endswith("/good"))
            viewer.leave()
            (viewing,) = until(lambda: there.viewings)
            assert viewing.switches == 1

    def test_how_the_channel_goes_for_a_reader_of_ours(self) -> None:
        with house() as there:
            read = threading.Event()
            bad = there.provider.script("/bad", [sends(pictures=20), holds(read), ends()], [status("404 Gone")])
            good = there.provider.script("/good", [live()])
            channel = target(bad, good)
            with there.hub.follow(channel, address="hls", inside=True) as reader:
                assert reader.course.switches == 0
                read.set()
                until(lambda: next(reader) and reader.course.stream_id == channel.streams[1].id)
                assert reader.course.switches == 1
                assert reader.course.source_id == channel.streams[1].source_id

    @pytest.mark.parametrize("end", [End.STUCK, End.STOPPED, End.FAILED])
    def test_why_it_ended(self, end: End) -> None:
        with house(stuck_s=0.3 if end is End.STUCK else 30.0, slate_s=0.0, backoff_min_s=0.2) as there:
            last = [live(every_s=0.005)] if end is not End.FAILED else [sends(pictures=20), ends()]
            channel = target(there.provider.script("/a", last, [status("404 Gone")]))
            viewer = there.viewer(channel, reads=end is not End.STUCK).joined()
            if end is End.STOPPED:
                there.hub.drain()
            (viewing,) = until(lambda: there.viewings)
            assert viewing.end is end
            viewer.leave()

    def test_a_reader_of_ours_is_no_viewing(self) -> None:
        with house() as there:
            channel = target(there.provider.script("/a", [live()]))
            there.hub.follow(channel, address="ffmpeg", inside=True).close()
            there.hub.follow(channel, address="192.0.2.9", lineup="kids", user="ann").close()
            (viewing,) = until(lambda: there.viewings)
            assert (viewing.lineup, viewing.user) == ("kids", "ann")


# ---- the journal -----------------------------------------------------------------------------------------------------


class TestTheJournal:
    def test_viewings_are_written_in_batches_and_nothing_is_left_running(self) -> None:
        batches: list[int] = []
        before = threading.active_count()
        journal = Journal(write=lambda batch: batches.append(len(batch)), batch_s=0.05)
        for _ in range(1_200):
            journal.watched(VIEWING)
        until(lambda: sum(batches) == 1_200)
        assert max(batches) <= 500
        until(lambda: threading.active_count() == before)

    def test_what_could_not_be_written_is_written_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("stream_service.relay.journal.AGAIN_S", 0.02)
        written: list[Watched] = []
        locked = iter((True, True, False))

        def write(batch: Sequence[Watched]) -> None:
            if next(locked, False):
                raise Unavailable("locked")
            written.extend(batch)

        journal = Journal(write=write, batch_s=0.01)
        journal.watched(VIEWING)
        until(lambda: written == [VIEWING])
        assert journal.lost == 0

    def test_the_end_writes_what_waits_and_counts_what_is_lost(self) -> None:
        written: list[Watched] = []
        journal = Journal(write=written.extend, batch_s=60.0)
        journal.watched(VIEWING)
        journal.close()
        assert written == [VIEWING]

        def refuse(batch: Sequence[Watched]) -> None:
            raise Unavailable("locked")

        journal = Journal(write=refuse, batch_s=60.0)
        journal.watched(VIEWING)
        journal.close()
        assert journal.lost == 1


# ---- the store -------------------------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SessionsLog]:
    connections = House(tmp_path).connections
    yield SessionsLog(connections)
    connections.close()


def test_what_is_written_is_read_newest_first(log: SessionsLog) -> None:
    other = replace(VIEWING, channel_id="kids", source_id=None, stream_id=None, via=Via.HLS, end=End.STUCK)
    log.write([VIEWING, other])
    assert log.page(limit=5) == [(2, other), (1, VIEWING)]
    assert log.page(limit=5, before=2) == [(1, VIEWING)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"equal": {"channel_id": "kids"}}, [2]),
        ({"equal": {"user": "ann", "end": "left"}}, [1]),
        ({"equal": {"source_id": 1}}, [3, 1]),
        ({"since": START_S + 1}, [3]),
        ({"until": START_S + 1}, [2, 1]),
        ({"equal": {"channel_id": "none"}}, []),
        ({"equal": {"1=1; DROP TABLE sessions_log": "x"}}, [3, 2, 1]),
    ],
    ids=["channel", "user and end", "source", "since", "until", "none", "no column"],
)
def test_the_log_is_filtered(log: SessionsLog, wanted: dict[str, object], found: list[int]) -> None:
    kids = replace(VIEWING, channel_id="kids", user="", source_id=2)
    log.write([VIEWING, kids, replace(VIEWING, started_at=START_S + 500, end=End.FAILED)])
    assert [number for number, _ in log.page(limit=10, **wanted)] == found  # type: ignore[arg-type]


def test_popularity_is_watched_time_and_zaps_do_not_count(log: SessionsLog) -> None:
    zap = replace(VIEWING, channel_id="zapped", duration_s=2)
    kids = replace(VIEWING, channel_id="kids", duration_s=400, address="192.0.2.8", lineup="kids")
    log.write([VIEWING, kids, kids, zap, zap, replace(VIEWING, channel_id="old", started_at=START_S - 9_000)])
    found = log.popular(since=START_S, limit=10, least_s=10)
    assert [(one.channel_id, one.sessions, one.viewers, one.watched_s) for one in found] == [
        ("kids", 2, 1, 800),
        ("news", 1, 1, 600),
    ]
    assert [one.channel_id for one in log.popular(since=0, limit=10, lineup="kids")] == ["kids"]


def test_the_log_is_kept_for_as_many_days_as_the_setting_says(log: SessionsLog) -> None:
    clock, days = HeldClock(), [10]
    kept = KeptLog(log, days=lambda: days[0], clock=clock)
    log.write([replace(VIEWING, started_at=START_S - 11 * 86_400), replace(VIEWING, started_at=START_S - 86_400)])
    kept.write([VIEWING])
    assert len(log.page(limit=10)) == 2
    days[0] = 0
    clock.s += 4_000
    kept.write([VIEWING])
    assert log.page(limit=10) == []


# ---- HLS -------------------------------------------------------------------------------------------------------------


def test_players_of_hls_come_by_asking_and_leave_by_asking_no_more() -> None:
    clock = HeldClock()
    audience = HlsAudience("news", "News", profile="", clock=clock, course=Course)
    assert audience.asked("192.0.2.1", "VLC", user="ann", lineup="")
    clock.s += 2
    audience.got("192.0.2.1", "VLC", 1_000)
    clock.s += 10
    assert audience.asked("192.0.2.1", "VLC", user="ann", lineup="") is None
    assert audience.gone(5.0) == []
    assert [one["bytes"] for one in audience.shown()] == [1_000]
    clock.s += 6
    ((who, over),) = audience.gone(5.0)
    assert who["user"] == over.user == "ann"
    assert (over.duration_s, over.wait_ms, over.bytes_sent, over.via) == (10, 2_000, 1_000, Via.HLS)
    assert audience.shown() == []


def test_what_happens_to_the_channel_is_written_down_of_players_of_hls_too() -> None:
    clock = HeldClock()
    course = [Course(jumps=3, switches=2, slates=1, source_id=1, stream_id=11)]
    audience = HlsAudience("news", "News", profile="", clock=clock, course=lambda: course[0])
    for agent in ("early", "late", "never"):
        audience.asked("192.0.2.1", agent, user="", lineup="kids")
    audience.got("192.0.2.1", "early", 1_000)
    course[0] = Course(jumps=4, switches=4, slates=2, source_id=2, stream_id=22)
    audience.got("192.0.2.1", "late", 1_000)
    audience.missed("192.0.2.1", "late")
    audience.missed("192.0.2.1", "late")  # the next one of the same gap
    audience.got("192.0.2.1", "late", 1_000)
    audience.missed("192.0.2.1", "late")
    audience.missed("192.0.2.1", "never")
    assert [one["jumps"] for one in audience.shown()] == [1, 2, 0]
    over = {told.user_agent: told for _, told in audience.gone(0.0)}
    assert {agent: (one.jumps, one.switches, one.slates) for agent, one in over.items()} == {
        "early": (1, 2, 1),
        "late": (2, 0, 0),
        "never": (0, 0, 0),
    }
    assert {(one.source_id, one.stream_id, one.lineup) for one in over.values()} == {(2, 22, "kids")}


# ---- the API ---------------------------------------------------------------------------------------------------------


class Told:
    """What the views are handed."""

    def __init__(self, log: SessionsLog) -> None:
        self.log = log
        self.events = Audience()

    def now(self) -> Iterable[Event]:
        return [Event("sessions", {"items": []})]

    def now_s(self) -> int:
        return START_S + 3_600


@pytest.fixture
def told(log: SessionsLog) -> Told:
    return Told(log)


@pytest.fixture
def client(told: Told, tmp_path: Path) -> Iterator[FlaskClient]:
    app = web.make_app(
        "watching",
        title="Watching",
        door=web.Door(admin_token="t", internal_secret="s"),
        metrics=Metrics("watching", figures=list),
        settings=Settings(tmp_path / "settings.json", lock=tmp_path / "settings.lock"),
        checks=Checks(state=State, not_ready=lambda: None),
    )
    app.register_api(blueprint(told, call=lambda fn, *a, **k: fn(*a, **k)))
    yield app.test_client()


def test_the_log_comes_in_pages(client: FlaskClient, log: SessionsLog) -> None:
    log.write([replace(VIEWING, stream_id=n) for n in range(5)])
    first = client.get("/api/v1/relay/log?limit=3").get_json()
    assert [one["stream_id"] for one in first["items"]] == [4, 3, 2]
    second = client.get(f"/api/v1/relay/log?limit=3&cursor={first['next']}").get_json()
    assert [one["stream_id"] for one in second["items"]] == [1, 0]
    assert second["next"] is None
    one = first["items"][0]
    assert (one["started_at"], one["duration_s"], one["end"]) == ("2026-11-21T12:00:00Z", 600, "left")


@pytest.mark.parametrize("query", ["since=2026-11-21T12:00:00Z", "since=2026-11-21T13:00:00+01:00", "end=left&via=ts"])
def test_filters_of_the_log_are_understood(client: FlaskClient, log: SessionsLog, query: str) -> None:
    log.write([VIEWING, replace(VIEWING, started_at=START_S - 1, end=End.STUCK)])
    assert len(client.get(f"/api/v1/relay/log?{query}").get_json()["items"]) == 1


@pytest.mark.parametrize("query", ["since=yesterday", "end=tired", "cursor=x", "source=0", "limit=0", "via=udp"])
def test_filters_that_are_none_are_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"/api/v1/relay/log?{query}").status_code == 400


def test_popular_channels_are_listed(client: FlaskClient, log: SessionsLog) -> None:
    log.write([VIEWING])
    (one,) = client.get("/api/v1/relay/popular").get_json()["items"]
    assert (one["channel_id"], one["watched_s"], one["viewers"]) == ("news", 600, 1)
    assert client.get("/api/v1/relay/popular?days=0.001").get_json()["items"] == []


def test_listeners_hear_what_runs_and_then_what_happens(client: FlaskClient, told: Told) -> None:
    with client.get("/api/v1/relay/events") as answer:
        assert answer.content_type.startswith("text/event-stream")
        told.events.publish(Event("join", {"channel_id": "news"}))
        pieces = answer.iter_encoded()
        said = b"".join(next(pieces) for _ in range(3)).decode()
    assert "event: sessions" in said
    assert 'event: join\ndata: {"channel_id":"news"}' in said
