"""One time line over several sources: stamps and references of the next source go on from the last ones."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_service.relay.reclock import Reclock, decoding_times
from tests.programs import needs
from tests.stream import hlskit
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.house import house
from tests.stream.relaykit.upstream import ends, hangs, status
from tests.stream.relaykit.viewers import target
from tests.waiting import until
from tvkit.mpegts_clock import CLOCK_WRAP, read_stamp, write_stamp

VIDEO = 0x100


def stamped(*ticks: int, kind: int = 0xE0) -> bytes:
    """One packet for each stamp, in which a unit with that PTS begins."""
    out = []
    for one in ticks:
        head = bytearray(b"\x00\x00\x01" + bytes((kind,)) + b"\x00\x00\x80\x80\x05\x21\x00\x01\x00\x01" + bytes(150))
        write_stamp(head, 9, one)
        out.append(ts.packet(VIDEO, bytes(head), start=True))
    return b"".join(out)


@given(st.integers(0, CLOCK_WRAP - 1), st.integers(0, CLOCK_WRAP - 1))
def test_the_first_stamp_stands_behind_the_last_and_distances_stay(last: int, first: int) -> None:
    behind = stamped(last - 3_600, last)
    after = stamped(first, first + 3_600, first + 7_200)
    moved = decoding_times(Reclock(behind).feed(after))
    assert moved == [(last + 3_600 * n) % CLOCK_WRAP for n in (1, 2, 3)]


def test_what_follows_later_is_moved_by_as_much() -> None:
    clock = Reclock(stamped(900_000))
    clock.feed(stamped(0))
    assert decoding_times(clock.feed(stamped(90_000))) == [903_600 + 90_000]


def test_pictures_out_of_order_stay_behind_what_was() -> None:
    moved = decoding_times(Reclock(stamped(500_000, 507_200, 503_600)).feed(stamped(20_000, 13_000, 16_600)))
    assert min(moved) > 507_200


@pytest.mark.parametrize(
    ("sound_behind", "sound_after", "first_picture"),
    [(90_000, 500, 103_600), (101_000, 90, 103_600), (90_000, 1_000_000, 103_600), (160_000, 400, 162_200)],
    ids=["sound late", "a little over", "sound much later", "sound far ahead"],
)
def test_the_next_picture_leaves_no_hole_unless_the_sound_would_be_played_twice(
    sound_behind: int, sound_after: int, first_picture: int
) -> None:
    clock = Reclock(stamped(96_400, 100_000) + stamped(sound_behind - 1_800, sound_behind, kind=0xC0))
    moved = clock.feed(stamped(0) + stamped(sound_after, kind=0xC0))
    assert decoding_times(moved)[0] == pytest.approx(first_picture, abs=1_000)


def test_sound_that_would_be_played_over_the_old_one_is_left_out_and_counters_hold() -> None:
    clock = Reclock(stamped(96_400, 100_000) + stamped(108_000, 110_000, kind=0xC0))
    sound = b""
    for counter, at in enumerate((0, 2_000, 9_000, 11_000)):
        one = stamped(at, kind=0xC0)
        sound += bytes((0x47, 0x41, 0x01, one[3] & 0xF0 | counter)) + one[4:]
    moved = list(ts.packets(clock.feed(stamped(0) + sound)))
    assert [bool(one[3] & 0x10) for one in moved] == [True, False, False, True, True]
    assert all(one[5] & 0x80 for one in moved[1:3])
    assert [one[3] & 15 for one in moved[1:]] == [0, 1, 2, 3]


def test_the_time_of_a_picture_is_that_of_the_stream_before() -> None:
    behind = stamped(*range(0, 18_000, 1_800))
    assert decoding_times(Reclock(behind).feed(stamped(777)))[0] == 16_200 + 1_800


@pytest.mark.parametrize("behind", [b"", ts.Numbered().tables()], ids=["nothing", "tables alone"])
def test_without_a_stamp_before_nothing_is_moved(behind: bytes) -> None:
    data = stamped(5)
    assert Reclock(behind).feed(data) is data


def test_packets_without_stamps_are_passed_untouched() -> None:
    data = ts.Numbered().pictures(2)
    assert Reclock(stamped(5)).feed(data) is data


@given(st.binary(min_size=188, max_size=188 * 4))
def test_noise_between_the_packets_breaks_nothing(noise: bytes) -> None:
    noise = noise[: len(noise) // 188 * 188]
    moved = Reclock(stamped(5)).feed(stamped(1_000) + noise)
    assert len(moved) == 188 + len(noise)
    assert read_stamp(moved, moved.find(b"\x00\x00\x01\xe0") + 9) == 3_605


def seen_of_two(films: list[bytes]) -> bytes:
    """What a viewer gets of two providers, the second after the first has ended."""
    with house(backlog_s=0.0) as there:
        first = there.provider.script("/a", [lambda c: c.body(films[0]), hangs(0.4), ends()], [status("403 No")])
        second = there.provider.script("/b", [lambda c: c.body(films[1]), hangs(30)])
        viewer = there.viewer(target(first, second))
        size = sum(map(len, films))
        until(lambda: len(viewer.body()) > size * 0.9)
        return viewer.body()


@pytest.mark.parametrize(
    "codecs",
    [
        pytest.param(hlskit.H264, id="H.264 and AAC"),
        pytest.param(hlskit.HEVC, id="HEVC and AAC"),
        pytest.param(hlskit.MPEG2, id="MPEG-2 and MP2"),
        pytest.param(["-vn", "-c:a", "mp2"], id="radio"),
    ],
)
def test_real_streams_of_two_providers_have_one_clock(tmp_path: Path, codecs: list[str]) -> None:
    """The second one's clock is an hour behind; what a viewer got decodes whole, its time never goes back."""
    needs("ffmpeg", "ffprobe")
    films = []
    for at, offset_s in enumerate(("3600", "0")):
        words = (*hlskit.picture_and_sound(3), *codecs, "-output_ts_offset", offset_s, "-f", "mpegts")
        films.append(hlskit.made(tmp_path / f"{at}.ts", *words).read_bytes())
    # What was got so far may end in the midst of a picture; a viewer who falls behind is moved on. Then once more.
    for _ in range(3):
        body = seen_of_two(films)
        if not hlskit.decode_errors(body):
            break
    (tmp_path / "seen.ts").write_bytes(body)
    assert hlskit.decode_errors(body) == ""
    kind = "a" if "-vn" in codecs else "v"
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", kind, "-show_entries", "packet=dts_time", "-of", "csv=p=0",
         str(tmp_path / "seen.ts")], capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    times = [float(one) for one in re.findall(r"[\d.]+", told)]
    assert len(times) > 120
    assert all(0 < b - a < 0.5 for a, b in pairwise(times))
