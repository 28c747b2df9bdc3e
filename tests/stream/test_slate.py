"""Switches from one source to another, and the slate between them, as players see them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stream_service.domain.failover import Trouble
from stream_service.relay.joint import Joint
from stream_service.relay.mpegts import Scanner, crc32, program_of
from stream_service.relay.reclock import decoding_times
from stream_service.relay.slate import SlatePlayer, Slates, make_slates
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.house import house
from tests.stream.relaykit.upstream import Step, ends, hangs, live, redirects, sends, status
from tests.stream.relaykit.viewers import target
from tests.stream.test_live import need_ffmpeg
from tests.waiting import until
from tvkit.mpegts_loop import LoopedStream

MARK = 0x80


def fed(joint: Joint, *parts: bytes) -> bytes:
    scanner = Scanner()
    out = []
    for part in parts:
        blob = scanner.feed(part)
        assert blob is not None
        out.append(joint.feed(blob).data)
    return b"".join(out)


def tables_of(data: bytes) -> bytes:
    scanner = Scanner()
    scanner.feed(data)
    return scanner.tables


def marks(data: bytes) -> list[int]:
    """PIDs of the packets that carry the discontinuity indicator."""
    return [ts.pid_of(one) for one in ts.packets(data) if one[3] & 0x20 and one[4] and one[5] & MARK]


def counters_hold(data: bytes) -> bool:
    """True when every counter goes on from the packet before, but at marks."""
    last: dict[int, int] = {}
    for one in ts.packets(data):
        pid, counter, payload = ts.pid_of(one), one[3] & 0x0F, bool(one[3] & 0x10)
        marked = bool(one[3] & 0x20 and one[4] and one[5] & MARK)
        if pid in last and not marked and counter != (last[pid] + payload) & 0x0F:
            return False
        last[pid] = counter
    return True


def other_pids(stream: ts.Numbered, pictures: int) -> bytes:
    """The same kind of stream as another provider sends it: other PIDs, another program map."""
    moved = {ts.PMT_PID: 0x30, ts.VIDEO_PID: 0x31}
    section = ts.pmt(((0x1B, 0x31), (0x0F, 0x32)))
    out = []
    for one in ts.packets(stream.pictures(pictures)):
        pid = ts.pid_of(one)
        if pid == 0:
            out.append(ts.pat(0x30, counter=one[3] & 15))
        elif pid == ts.PMT_PID:
            out += ts.table_packets(0x30, section, one[3] & 15)
        else:
            new = moved.get(pid, pid)
            out.append(bytes((0x47, one[1] & 0xE0 | new >> 8, new & 0xFF)) + one[3:])
    return b"".join(out)


class TestJoints:
    def test_the_next_source_starts_on_tables_and_keyframe_and_each_pid_is_marked_before_its_first_packet(self) -> None:
        before, after = ts.Numbered(), ts.Numbered(number=ts.PICTURE_PACKETS)  # begins inside a group
        first = before.pictures(6)
        joint = Joint(program_of(tables_of(first)))
        second = fed(joint, ts.Numbered().tables() + after.pictures(12))
        assert ts.numbers(second)[0] % (5 * ts.PICTURE_PACKETS) == 0
        assert counters_hold(first + second)
        seen: set[int] = set()
        for one in ts.packets(second):
            if ts.pid_of(one) not in seen:
                seen.add(ts.pid_of(one))
                assert one[3] & 0x20
                assert one[5] & MARK
        assert {0, ts.PMT_PID, ts.VIDEO_PID} <= seen

    def test_a_source_with_the_same_tables_passes_untouched_afterwards(self) -> None:
        stream = ts.Numbered()
        joint = Joint(program_of(tables_of(stream.pictures(1))))
        scanner = Scanner()
        for _ in range(3):
            blob = scanner.feed(stream.pictures(5) + ts.packet(ts.AUDIO_PID, b"sound" * 20))
            assert blob is not None
            passed = joint.feed(blob)
        assert passed is blob

    def test_another_sources_streams_take_over_the_pids_that_players_know(self) -> None:
        first = ts.Numbered().pictures(5)
        before = program_of(tables_of(first))
        stream = ts.Numbered()
        second = fed(Joint(before), other_pids(stream, 10), other_pids(stream, 5))
        assert {ts.pid_of(one) for one in ts.packets(second)} == {0, ts.PMT_PID, ts.VIDEO_PID}
        assert ts.numbers(second) == list(range(15 * ts.PICTURE_PACKETS))
        assert counters_hold(first + second)
        after = program_of(tables_of(second))
        assert before is not None
        assert after is not None
        assert after.streams == before.streams
        assert crc32(after.section) == 0

    def test_tables_that_say_something_new_get_the_next_version(self) -> None:
        before = program_of(tables_of(ts.Numbered().pictures(5)))
        radio = ts.Numbered(video=False, marks=False)
        after = program_of(tables_of(fed(Joint(before), radio.pictures(5))))
        assert before is not None
        assert after is not None
        assert after.version == before.version + 1

    def test_tables_that_change_in_the_middle_are_followed(self) -> None:
        before = program_of(tables_of(ts.Numbered().pictures(1)))
        stream = ts.Numbered()
        joint = Joint(before)
        second = fed(joint, stream.pictures(5), other_pids(stream, 10))
        assert ts.numbers(second) == list(range(15 * ts.PICTURE_PACKETS))
        assert {ts.pid_of(one) for one in ts.packets(second)} == {0, ts.PMT_PID, ts.VIDEO_PID}

    def test_without_tables_before_or_after_packets_pass(self) -> None:
        assert ts.numbers(fed(Joint(None), ts.Numbered(marks=False).pictures(2)))
        blind = b"".join(ts.packet(0x55, b"x" * 184) for _ in range(10))
        assert len(fed(Joint(None), blind)) >= len(blind)


class TestSlates:
    def test_the_bundled_one_can_be_looped_and_is_small(self) -> None:
        slate = Slates().of(Trouble.ENDED)
        assert slate.duration_ticks == 3.2 * 90_000
        player = SlatePlayer(slate, began_s=10.0)
        first, second = player.due(11.0), player.due(30.0)
        assert counters_hold(first + second)
        assert len(first + second) < 500_000
        assert player.due(30.0) == b""

    def test_its_clock_goes_on_from_the_stream_before(self) -> None:
        slate = Slates().of(Trouble.ENDED)
        before = SlatePlayer(slate, began_s=0.0).due(30.0)
        data = SlatePlayer(slate, began_s=0.0).due(1.0)
        joined = fed(Joint(program_of(tables_of(before)), behind=before), data)
        assert min(decoding_times(joined)) == max(decoding_times(before)) + 3_600

    def test_what_players_missed_meanwhile_comes_at_once(self) -> None:
        player = SlatePlayer(Slates().of(Trouble.ENDED), began_s=5.0)
        times = decoding_times(player.due(10.0))
        assert 4.0 < (max(times) - min(times)) / 90_000 < 6.5

    def test_a_card_is_made_once_for_each_reason_and_read(self, tmp_path: Path) -> None:
        need_ffmpeg()
        assert make_slates(tmp_path) == len(Trouble)
        assert make_slates(tmp_path) == 0
        slates = Slates(tmp_path)
        bundled = slates.of(Trouble.BUSY)
        slates.look()
        assert slates.of(Trouble.BUSY) is not bundled

    def test_a_broken_card_is_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "busy.ts").write_bytes(b"nonsense")
        slates = Slates(tmp_path)
        slates.look()
        assert isinstance(slates.of(Trouble.BUSY), LoopedStream)

    def test_without_ffmpeg_none_is_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda name: None)
        assert make_slates(tmp_path) == 0


class TestInTheRelay:
    def test_the_switch_loses_nothing_that_came_and_starts_on_a_keyframe(self) -> None:
        with house() as there:
            first = there.provider.script("/a", [sends(pictures=7), hangs(0.3), ends()], [status("403 Forbidden")])
            second = there.provider.script("/b", [live()], stream=ts.Numbered(number=100_020))
            viewer = there.viewer(target(first, second)).has(700)
            numbers = viewer.numbers()
            assert numbers[: 7 * ts.PICTURE_PACKETS] == list(range(7 * ts.PICTURE_PACKETS))
            after = numbers[7 * ts.PICTURE_PACKETS :]
            assert after == list(range(100_100, 100_100 + len(after)))  # the first keyframe of the second
            assert counters_hold(viewer.body())
            assert there.session()["switches"] == 1
            assert not viewer.ended

    def test_an_expired_redirect_token_is_never_used_again(self) -> None:
        with house() as there:
            there.provider.script("/token1", [sends(pictures=10), ends()], [status("403 Forbidden")])
            there.provider.script("/token2", [live()])
            url = there.provider.script("/a", [redirects("/token1")], [redirects("/token2")])
            there.viewer(target(url)).has(600)
            assert there.provider.opened("/token1") == 1

    def test_viewers_get_a_slate_while_nothing_works_and_the_stream_when_it_is_back(self) -> None:
        with house(slate_after_s=0.2) as there:
            gone: list[list[Step]] = [[status("500 Oops")]] * 4
            url = there.provider.script("/a", [sends(pictures=10), ends()], *gone, [live()])
            viewer = there.viewer(target(url)).has(10 * ts.PICTURE_PACKETS)
            until(lambda: there.session().get("slates") == 1)
            viewer.has(600)
            assert counters_hold(viewer.body())
            assert not viewer.ended
            states = [move["to"] for move in there.session()["moves"]]  # type: ignore[attr-defined]
            assert states == ["connecting", "running", "switching", "running"]

    def test_after_a_time_of_slate_the_stream_ends_on_a_packet(self) -> None:
        with house(slate_after_s=0.1, slate_s=0.8) as there:
            url = there.provider.script("/a", [sends(pictures=10), ends()], [status("500 Oops")])
            viewer = there.viewer(target(url)).has(200).wait_for_end()
            assert len(viewer.received[len(b"HTTP/1.1 200 OK\r\n\r\n") :]) % ts.PACKET == 0
            assert there.session()["state"] == "failed"
            assert there.viewer(target(url)).joined().error is not None

    def test_who_joins_during_the_slate_gets_it(self) -> None:
        with house(slate_after_s=0.1, backoff_min_s=30.0, backoff_max_s=30.0, backlog_s=0.0) as there:
            url = there.provider.script("/a", [sends(pictures=10), hangs(0.4), ends()], [status("500 Oops")])
            there.viewer(target(url)).has(50)
            until(lambda: there.session().get("slate") == "broken")
            late = there.viewer(target(url)).joined()
            assert late.error is None
            until(lambda: len(late.body()) > 20 * ts.PACKET)

    def test_a_channel_that_never_started_shows_one_where_that_is_asked_for(self) -> None:
        with house(slate_before_first_byte=True, slate_s=1.0) as there:
            viewer = there.viewer(target(there.provider.script("/a", [status("500 Oops")]))).joined()
            assert viewer.error is None
            viewer.wait_for_end()
            assert tables_of(viewer.body())


@pytest.mark.parametrize("kind", ["another source", "the slate"])
def test_ffmpeg_goes_on_without_a_complaint_across(kind: str, tmp_path: Path) -> None:
    need_ffmpeg()
    films = [_film(tmp_path / f"{n}.ts", start_pid) for n, start_pid in enumerate((0x100, 0x200))]
    with house(slate_after_s=0.1, slate_s=3.0, backlog_s=0.0) as there:
        steps: list[list[Step]] = [[lambda c: c.body(films[0]), hangs(0.5), ends()], [status("403 Forbidden")]]
        first = there.provider.script("/a", *steps)
        second = there.provider.script("/b", [lambda c: c.body(films[1]), hangs(0.5), ends()], [status("403 No")])
        channel = target(first, second) if kind == "another source" else target(first)
        viewer = there.viewer(channel).wait_for_end()
        body = viewer.body()
    path = tmp_path / "seen.ts"
    path.write_bytes(body)
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", "-stats", "-i", str(path), "-map", "0:v", "-map", "0:a", "-f", "null", "-"],
        capture_output=True,
        timeout=100,
        check=True,
    ).stderr.decode()
    complaints = [line for line in re.split(r"[\r\n]+", decoded) if line and not line.startswith(("frame=", "size="))]
    assert complaints == []
    frames = int(re.findall(r"frame=\s*(\d+)", decoded)[-1])
    assert frames > (90 if kind == "another source" else 70)


def _film(path: Path, start_pid: int) -> bytes:
    """Two seconds of picture and sound."""
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=25", "-f", "lavfi", "-i", "sine"),
            *("-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"),
            *("-mpegts_start_pid", str(start_pid), "-mpegts_pmt_start_pid", str(start_pid + 0x50)),
            *("-f", "mpegts", str(path)),
        ],
        timeout=120,
        check=True,
    )
    return path.read_bytes()
