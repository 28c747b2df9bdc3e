"""The relay as a whole, with real sockets and threads and a provider that follows a script."""

import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from servicekit.errors import Unavailable
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.house import House, house
from tests.stream.relaykit.upstream import (
    Connection,
    Step,
    chunked,
    drips,
    ends,
    hangs,
    html,
    junk,
    live,
    redirects,
    resets,
    sends,
    status,
)
from tests.stream.relaykit.viewers import ViewerEnd, target
from tests.waiting import until


@pytest.fixture
def there() -> Iterator[House]:
    with house() as built:
        yield built


def in_order(numbers: list[int]) -> bool:
    return all(b == a + 1 for a, b in pairwise(numbers))


def start_of_group(number: int, gop: int = 5) -> bool:
    return number % (gop * ts.PICTURE_PACKETS) == 0


class TestOneUpstreamManyViewers:
    def test_five_viewers_share_one_connection_and_each_gets_everything_in_order(self, there: House) -> None:
        channel = target(there.provider.script("/a", [live()]))
        viewers = [there.viewer(channel).has(500) for _ in range(5)]
        assert there.provider.opened("/a") == 1
        for viewer in viewers:
            assert in_order(viewer.numbers())
            assert ts.starts_on_keyframe(viewer.body())

    def test_first_viewers_that_come_at_once_make_one_connection(self, there: House) -> None:
        channel = target(there.provider.script("/a", [live()]))
        viewers = [there.viewer(channel) for _ in range(8)]
        for viewer in viewers:
            assert viewer.has(100).error is None
        assert there.provider.opened("/a") == 1

    def test_a_viewer_who_joins_gets_the_backlog_at_once(self) -> None:
        with house(backlog_s=0.5) as there:
            channel = target(there.provider.script("/a", [sends(pictures=50), hangs()]))
            there.viewer(channel).has(1000)
            late = there.viewer(channel).has(100)
            assert start_of_group(late.numbers()[0])

    def test_channels_have_connections_of_their_own(self, there: House) -> None:
        one = there.viewer(target(there.provider.script("/a", [live()]), name="one"))
        two = there.viewer(target(there.provider.script("/b", [live()]), name="two"))
        one.has(100)
        two.has(100)
        assert {str(session["id"]) for session in there.hub.sessions()} == {"one", "two"}

    def test_the_upstream_is_closed_after_the_last_viewer_and_the_grace(self, there: House) -> None:
        channel = target(there.provider.script("/a", [live()]))
        viewer = there.viewer(channel).has(100)
        viewer.leave()
        there.wait_for_state("closing")
        there.wait_until_idle()
        until(lambda: there.provider.connected["/a"] == 0)

    def test_who_comes_back_within_the_grace_finds_the_same_connection(self) -> None:
        with house(grace_s=30.0) as there:
            channel = target(there.provider.script("/a", [live()]))
            there.viewer(channel).has(100).leave()
            there.wait_for_state("closing")
            there.viewer(channel).has(100)
            assert there.session()["state"] == "running"
            assert there.provider.opened("/a") == 1


class TestWhatProvidersSend:
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param([live()], id="plain"),
            pytest.param([chunked(), live()], id="chunked"),
            pytest.param([drips(pictures=30), hangs()], id="in drips"),
            pytest.param([chunked(), drips(pictures=30), hangs()], id="chunked in drips"),
            pytest.param([junk(), live()], id="junk first"),
            pytest.param([junk(b"\x47" * 900), live()], id="false sync first"),
        ],
    )
    def test_the_same_packets_come_out(self, there: House, script: list[Step]) -> None:
        viewer = there.viewer(target(there.provider.script("/a", script))).has(300)
        assert in_order(viewer.numbers())

    def test_a_redirect_is_followed_and_a_break_goes_back_to_the_first_address(self, there: House) -> None:
        there.provider.script("/token", [sends(pictures=20), ends()], [live()])
        url = there.provider.script("/a", [redirects("/token")])
        there.viewer(target(url)).has(600)
        assert there.provider.opened("/a") == 2

    def test_radio_starts_at_once(self, there: House) -> None:
        radio = ts.Numbered(video=False)
        viewer = there.viewer(target(there.provider.script("/a", [live()], stream=radio))).has(100)
        assert there.session()["start_points"] == 0
        assert in_order(viewer.numbers())

    def test_a_stream_without_keyframe_marks_starts_after_a_while(self, there: House) -> None:
        stream = ts.Numbered(marks=False)
        viewer = there.viewer(target(there.provider.script("/a", [live()], stream=stream))).has(100)
        assert in_order(viewer.numbers())

    @pytest.mark.parametrize(
        ("script", "words"),
        [
            pytest.param([html(), ends()], "web page", id="a page with status 200"),
            pytest.param([html(), hangs()], "web page", id="a page that never ends"),
            pytest.param([html("#EXTM3U\n#EXTINF:1,\nx.ts")], "playlist", id="a playlist"),
            pytest.param([html('{"error": 1}')], "JSON", id="JSON"),
            pytest.param([status("403 Forbidden")], "403", id="forbidden"),
            pytest.param([status("204 No Content")], "204", id="no content"),
            pytest.param([junk(b""), ends()], "before the first packet", id="an empty body"),
            pytest.param([junk(b"hello " * 60_000), hangs()], "no transport stream", id="text without end"),
            pytest.param([ends()], "", id="closed before the headers"),
        ],
    )
    def test_what_is_no_stream_is_refused_with_the_reason(self, there: House, script: list[Step], words: str) -> None:
        viewer = there.viewer(target(there.provider.script("/a", script))).joined()
        assert isinstance(viewer.error, Unavailable)
        assert words in viewer.error.detail
        assert viewer.error.retry_after_s >= 1
        assert not viewer.received
        assert there.events.kinds == ["stream_down"] or until(lambda: there.events.kinds == ["stream_down"])

    def test_no_byte_within_the_limit_is_refused(self) -> None:
        with house(first_byte_s=0.3) as there:
            viewer = there.viewer(target(there.provider.script("/a", [junk(b""), hangs()]))).joined()
            assert isinstance(viewer.error, Unavailable)

    def test_a_channel_without_an_address_is_refused(self, there: House) -> None:
        viewer = there.viewer(target()).joined()
        assert isinstance(viewer.error, Unavailable)
        assert "no address" in viewer.error.detail


class TestWhenTheProviderStumbles:
    @pytest.mark.parametrize("break_", [ends, resets, lambda: hangs(30)], ids=["ends", "resets", "goes silent"])
    def test_viewers_stay_and_get_whole_packets_when_it(self, there: House, break_: object) -> None:
        assert callable(break_)
        url = there.provider.script("/a", [sends(pictures=20), live(pictures=20), break_()], [live()])
        viewer = there.viewer(target(url)).has(1500)
        numbers = viewer.numbers()
        assert not viewer.ended
        assert numbers == sorted(set(numbers))
        assert there.session()["reconnects"] == 1
        until(lambda: there.events.kinds == ["stream_down", "stream_up"])

    def test_the_next_address_is_taken_when_one_fails_at_once(self, there: House) -> None:
        bad, good = there.provider.script("/bad", [status("502 Bad Gateway")]), there.provider.script("/good", [live()])
        there.viewer(target(bad, good)).has(100)
        assert str(there.session()["upstream"]).endswith("/good")

    def test_a_failed_channel_refuses_at_once_until_its_pause_is_over(self) -> None:
        with house(backoff_min_s=30.0, backoff_max_s=60.0) as there:
            channel = target(there.provider.script("/a", [status("500 Oops")]))
            for _ in range(3):
                viewer = there.viewer(channel).joined()
                assert isinstance(viewer.error, Unavailable)
                assert viewer.error.retry_after_s >= 10
            assert there.provider.opened("/a") == 1
            assert there.session()["state"] == "failed"

    def test_after_the_pause_a_failed_channel_is_tried_again(self, there: House) -> None:
        channel = target(there.provider.script("/a", [status("500 Oops")], [live()]))
        assert there.viewer(channel).joined().error
        until(lambda: there.viewer(channel).joined().error is None)

    def test_a_channel_that_fails_while_watched_is_tried_for_ever(self, there: House) -> None:
        url = there.provider.script("/a", [sends(pictures=10), ends()], *[[status("500 Oops")]] * 4, [live()])
        viewer = there.viewer(target(url)).has(600)
        assert not viewer.ended
        assert there.provider.opened("/a") == 6

    def test_a_silent_channel_is_called_stalled_and_then_reconnected(self) -> None:
        with house(stall_s=1.0) as there:
            url = there.provider.script("/a", [sends(pictures=10), hangs()], [live()])
            viewer = there.viewer(target(url)).has(100)
            there.wait_for_state("stalled")
            viewer.has(400)


class TestViewersThatBehaveBadly:
    def test_one_that_never_reads_hurts_nobody_and_is_dropped(self) -> None:
        with house(stuck_s=0.5) as there:
            channel = target(there.provider.script("/a", [live(every_s=0.005)]))
            good = there.viewer(channel)
            bad = there.viewer(channel, reads=False)
            until(lambda: there.hub.figures()["stuck_total"] == 1)
            good.has(len(good.numbers()) + 500)
            assert in_order(good.numbers())
            assert bad.joined().error is None
            assert len(there.hub.sessions()[0]["clients"]) == 1  # type: ignore[arg-type]

    def test_a_slow_one_jumps_and_starts_again_on_tables_and_keyframe(self) -> None:
        with house(backlog_s=0.1, keyframe_interval_s=0.1, lag_s=0.2) as there:
            channel = target(there.provider.script("/a", [live(every_s=0.002)]))
            fast = there.viewer(channel).has(200)
            slow = there.viewer(channel, reads=False).joined()
            fast.has(len(fast.numbers()) + 8000)
            slow.read()
            until(lambda: there.hub.figures()["jumps_total"] >= 1)
            slow.has(len(slow.numbers()) + 2000)
            numbers = slow.numbers()
            assert numbers == sorted(set(numbers))
            cuts = [b for a, b in pairwise(numbers) if b != a + 1]
            assert cuts
            assert all(start_of_group(b) for b in cuts)
            assert in_order(fast.numbers())

    def test_one_that_leaves_while_it_waits_is_forgotten(self, there: House) -> None:
        viewer = there.viewer(target(there.provider.script("/a", [junk(b""), hangs()])), reads=False)
        until(lambda: there.session().get("waiting") == 1)
        viewer.far.close()
        assert "gone" in str(viewer.joined().error)
        there.wait_until_idle()

    def test_one_that_resets_is_forgotten(self, there: House) -> None:
        channel = target(there.provider.script("/a", [live()]))
        viewer = there.viewer(channel, reads=False).joined()
        viewer.far.close()  # with unread bytes: a reset
        there.wait_until_idle()

    def test_zapping_leaves_nothing_behind(self, there: House) -> None:
        channels = [target(there.provider.script(f"/{n}", [live()]), name=f"c{n}") for n in range(4)]
        for turn in range(12):
            there.viewer(channels[turn % 4]).has(20).leave()
        there.wait_until_idle()
        until(lambda: not any(there.provider.connected.values()))


class TestTheEnd:
    def test_drain_ends_everybody_on_a_packet_boundary(self, there: House) -> None:
        channel = target(there.provider.script("/a", [live(every_s=0.005)]))
        viewers = [there.viewer(channel).has(50) for _ in range(6)]
        assert there.hub.drain(2.0) == 0
        for viewer in viewers:
            viewer.wait_for_end()
            assert len(viewer.received[len(b"HTTP/1.1 200 OK\r\n\r\n") :]) % ts.PACKET == 0
        assert there.hub.sessions() == []

    def test_drain_lets_a_slow_one_finish_its_packet(self, there: House) -> None:
        channel = target(there.provider.script("/a", [live(every_s=0.002)]))
        slow = there.viewer(channel, reads=False).joined()
        fast = there.viewer(channel).has(4000)
        ended = threading.Thread(target=there.hub.drain, args=(10.0,))
        ended.start()
        slow.read()
        ended.join()
        for viewer in (slow, fast):
            viewer.wait_for_end()
            assert len(viewer.received[len(b"HTTP/1.1 200 OK\r\n\r\n") :]) % ts.PACKET == 0

    def test_drain_gives_up_on_who_never_reads(self, there: House) -> None:
        channel = target(there.provider.script("/a", [live(every_s=0.002)]))
        there.viewer(channel, reads=False).joined()
        there.viewer(channel).has(4000)
        assert there.hub.drain(0.1) <= 1

    def test_after_the_drain_nobody_is_taken(self, there: House) -> None:
        there.hub.drain()
        viewer: ViewerEnd = there.viewer(target(there.provider.script("/a", [live()]))).joined()
        assert isinstance(viewer.error, Unavailable)
        assert there.provider.opened("/a") == 0

    def test_who_waits_is_refused_by_the_drain(self, there: House) -> None:
        viewer = there.viewer(target(there.provider.script("/a", [junk(b""), hangs()])))
        until(lambda: there.session().get("waiting") == 1)
        there.hub.drain()
        assert isinstance(viewer.joined().error, Unavailable)


class TestFollowing:
    def test_a_follower_gets_whole_packets_in_order(self, there: House) -> None:
        channel = target(there.provider.script("/a", [live()]))
        with there.hub.follow(channel, address="192.0.2.8") as pieces:
            data = b"".join(next(pieces) for _ in range(10))
        assert ts.starts_on_keyframe(data)
        assert in_order(ts.numbers(data))
        there.wait_until_idle()

    def test_a_follower_that_is_never_read_leaves_too(self, there: House) -> None:
        there.hub.follow(target(there.provider.script("/a", [live()])), address="192.0.2.8").close()
        there.wait_until_idle()

    def test_a_follower_ends_with_the_relay(self, there: House) -> None:
        pieces = there.hub.follow(target(there.provider.script("/a", [live()])), address="192.0.2.8")
        threading.Timer(0.2, there.hub.drain).start()
        data = b"".join(pieces)
        assert len(data) % ts.PACKET == 0
        pieces.close()


def test_sessions_say_what_runs_without_secrets(there: House) -> None:
    url = there.provider.script("/live/joe/s3cret/1.ts", [live()])
    there.viewer(target(url)).has(500)
    session = there.session()
    assert "s3cret" not in str(there.hub.sessions())
    assert session["state"] == "running"
    clients = session["clients"]
    assert isinstance(clients, list)
    (client,) = clients
    assert client["address"] == "192.0.2.7"
    assert client["bytes"] >= 500 * ts.PACKET
    figures = there.hub.figures()
    assert figures["clients"] == figures["channels_running"] == figures["joins_total"] == 1


class TestScriptedTroubles:
    def test_403_after_a_time_goes_on_with_the_next_stream(self, there: House) -> None:
        first = there.provider.script("/a", [sends(pictures=10), hangs(0.6), ends()], [status("403 Forbidden")])
        second = there.provider.script("/b", [live()], stream=ts.Numbered(number=5000))
        viewer = there.viewer(target(first, second)).has(500)
        numbers = viewer.numbers()
        assert numbers[:200] == list(range(200))
        assert numbers[200:] == list(range(5000, 5000 + len(numbers) - 200))
        assert there.session()["why"] == "those before it failed"

    def test_a_cut_inside_a_packet_and_a_group_is_never_seen(self, there: House) -> None:
        def cut(c: Connection) -> None:
            c.body(c.path.stream.pictures(8)[:-77])

        url = there.provider.script("/a", [cut, hangs(0.5), ends()], [live()])
        viewer = there.viewer(target(url)).has(500)
        numbers = viewer.numbers()
        (break_,) = [at for at, (a, b) in enumerate(pairwise(numbers)) if b != a + 1]
        assert numbers[break_] == 8 * ts.PICTURE_PACKETS - 2
        assert start_of_group(numbers[break_ + 1])

    def test_a_wrong_content_length_ends_the_stream_and_the_next_connection_follows(self, there: House) -> None:
        def short(c: Connection) -> None:
            c.head("Content-Type: video/mp2t", "Content-Length: 40000")
            c.sock.sendall(c.path.stream.pictures(20))

        url = there.provider.script("/a", [short, hangs(0.3), ends()], [live()])
        viewer = there.viewer(target(url)).has(600)
        numbers = viewer.numbers()
        assert numbers == sorted(set(numbers))

    def test_tables_that_change_in_the_middle_reach_who_joins_later(self) -> None:
        with house(backlog_s=0.0) as there:
            other = ts.Numbered(number=1000, video=True, gop=5)

            def change(c: Connection) -> None:
                for _ in range(2000):
                    c.body(other.picture())
                    if c.closing.wait(0.02):
                        return

            url = there.provider.script("/a", [sends(pictures=10), change])
            viewer = there.viewer(target(url)).has(400)
            late = there.viewer(target(url)).has(50)
            assert ts.starts_on_keyframe(late.body())
            assert viewer.numbers() == sorted(set(viewer.numbers()))

    def test_a_slow_drip_is_no_stall(self, there: House) -> None:
        url = there.provider.script("/a", [sends(pictures=6), drips(size=188, every_s=0.05, pictures=3), hangs()])
        viewer = there.viewer(target(url)).has(8 * ts.PICTURE_PACKETS)
        assert in_order(viewer.numbers())
        assert there.session()["reconnects"] == 0

    def test_a_stream_that_fails_again_and_again_is_left_alone_until_its_breaker_lets_one_try(self) -> None:
        with house(breaker_failures=2, breaker_open_s=60.0, backoff_max_s=0.1) as there:
            channel = target(there.provider.script("/a", [status("404 Not Found")]))
            until(lambda: bool(there.viewer(channel).joined().error) and there.provider.opened("/a") >= 2)
            for _ in range(3):
                assert there.viewer(channel).joined().error
            assert there.provider.opened("/a") == 2
            names = {str(one["name"]): one["state"] for one in there.hub.circuits.items()}
            assert sorted(names.values()) == ["closed", "open"]
            there.hub.circuits.reset(next(name for name in names if name.startswith("stream-")))
            there.viewer(channel).joined()  # at once: what the channel waited for is over
            until(lambda: there.provider.opened("/a") == 3)

    def test_who_falls_out_again_and_again_is_dropped(self) -> None:
        with house(backlog_s=0.1, keyframe_interval_s=0.1, lag_s=0.2, most_jumps=3) as there:
            channel = target(there.provider.script("/a", [live(every_s=0.002)]))
            there.viewer(channel).has(200)
            slow = there.viewer(channel, reads=False).joined()

            def sips() -> bool:
                slow.far.recv(65_536)
                return there.hub.figures()["too_slow_total"] == 1

            until(sips)
            assert len(there.hub.sessions()[0]["clients"]) == 1  # type: ignore[arg-type]

    def test_a_source_may_say_how_patient_to_be(self, there: House) -> None:
        url = there.provider.script("/a", [sends(pictures=10), hangs()], [live()])
        viewer = there.viewer(target(url, stall_s=0.3))
        viewer.has(400)
        assert there.session()["reconnects"] == 1

    def test_moves_are_told_with_their_reasons(self, there: House) -> None:
        url = there.provider.script("/a", [sends(pictures=10), hangs(0.3), ends()], [live()])
        there.viewer(target(url)).has(400)
        moves = there.session()["moves"]
        assert isinstance(moves, list)
        assert [(move["from"], move["to"]) for move in moves][:4] == [
            ("idle", "connecting"),
            ("connecting", "running"),
            ("running", "stalled"),
            ("stalled", "switching"),
        ]
        assert all(move["reason"] for move in moves)

    def test_streams_that_a_lineup_gets_while_watched_count_from_the_next_connection_on(self, there: House) -> None:
        old = there.provider.script("/old", [sends(pictures=10), live(pictures=40), ends()], [status("404 Gone")])
        new = there.provider.script("/new", [live()], stream=ts.Numbered(number=9000))
        viewer = there.viewer(target(old)).has(200)
        there.viewer(target(new)).has(50)
        viewer.has(1100)
        assert viewer.numbers()[-1] >= 9000
        assert not viewer.ended
