"""The scanner: packets out of any flow of bytes, tables kept, start points found."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_service.relay.mpegts import (
    Blob,
    Scanner,
    find_sync,
    first_program_map_pid,
    other_content,
    read_table,
    video_pid,
)
from tests.stream.relaykit import packets as ts


def fed(scanner: Scanner, data: bytes, sizes: list[int] | None = None) -> list[Blob]:
    blobs = []
    at = 0
    for size in sizes or [len(data)]:
        blobs.append(scanner.feed(memoryview(data)[at : at + size]))
        at += size
    if at < len(data):
        blobs.append(scanner.feed(data[at:]))
    return [blob for blob in blobs if blob is not None]


@given(st.lists(st.integers(0, 3000), max_size=30))
def test_however_the_bytes_are_cut_the_same_packets_come_out(sizes: list[int]) -> None:
    data = ts.Numbered().pictures(6)
    out = b"".join(blob.data for blob in fed(Scanner(), data, sizes))
    assert out == data


def test_every_start_point_is_a_keyframe_and_carries_its_tables() -> None:
    data = ts.Numbered(gop=3).pictures(9)
    (blob,) = fed(Scanner(), data)
    assert len(blob.starts) == 3
    for offset, tables in blob.starts:
        assert ts.starts_on_keyframe(tables + blob.data[offset : offset + 188])


def test_a_random_access_mark_on_another_pid_is_no_start_point() -> None:
    stream = ts.Numbered()
    audio = ts.packet(ts.AUDIO_PID, b"\x00" * 100, start=True, random_access=True)
    (blob,) = fed(Scanner(), stream.tables() + audio * 4)
    assert blob.starts == ()


def test_radio_is_known_to_have_no_video() -> None:
    scanner = Scanner()
    fed(scanner, ts.Numbered(video=False).pictures(2))
    assert scanner.without_video
    assert scanner.video_pid is None


def test_before_the_tables_came_nothing_is_said_about_video() -> None:
    scanner = Scanner()
    fed(scanner, ts.packet(ts.VIDEO_PID, b"\x00" * 184) * 5)
    assert scanner.locked
    assert not scanner.without_video


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(b"<br />\n<b>Warning</b>: stream in G.php on line 47<br />\n", id="a script's warning"),
        pytest.param(b"\x47" * 100, id="sync bytes that are none"),
        pytest.param(random.Random(7).randbytes(5000), id="noise"),
    ],
)
def test_junk_before_the_packets_is_left_out_and_counted(junk: bytes) -> None:
    data = ts.Numbered().pictures(3)
    scanner = Scanner()
    out = b"".join(blob.data for blob in fed(scanner, junk + data, [700] * 20))
    assert data.endswith(out)
    assert len(data) - len(out) <= 188
    assert scanner.junk_bytes == len(junk) + len(data) - len(out)


def test_bytes_lost_in_the_middle_cost_the_damaged_packets_only() -> None:
    data = ts.Numbered().pictures(10)
    broken = data[: 188 * 50 + 60] + data[188 * 52 + 30 :]
    out = b"".join(blob.data for blob in fed(Scanner(), broken))
    lost = set(ts.numbers(data)) - set(ts.numbers(out))
    assert len(lost) <= 4
    assert ts.numbers(out) == sorted(ts.numbers(out))


@given(st.binary(max_size=4000), st.integers(0, 700))
def test_whatever_comes_in_only_whole_packets_come_out(data: bytes, size: int) -> None:
    for blob in fed(Scanner(), data + ts.Numbered().pictures(1) + data, [size] * 12):
        list(ts.packets(blob.data))


def test_text_without_packets_is_never_kept_in_bulk() -> None:
    scanner = Scanner()
    for _ in range(100):
        assert scanner.feed(b"no packets here at all. " * 100) is None
    assert scanner.junk_bytes > 100 * 2300


def test_a_program_map_over_several_packets_is_kept_whole() -> None:
    long_map = ts.pmt(descriptors=b"\x09\x04" + b"\x00" * 4 + (b"\xc0\xfa" + b"\x00" * 250) * 2)
    map_packets = ts.table_packets(ts.PMT_PID, long_map)
    assert len(map_packets) > 2
    between = ts.packet(ts.AUDIO_PID, b"\x01" * 184)
    scanner = Scanner()
    fed(scanner, ts.pat() + between.join(map_packets) + between)
    assert scanner.video_pid == ts.VIDEO_PID
    assert scanner.tables.count(b"".join(map_packets)) == 1


def test_a_map_cut_by_the_end_of_a_read_is_taken_from_its_next_repetition() -> None:
    map_packets = ts.table_packets(ts.PMT_PID, ts.pmt(descriptors=b"\xc0\xfa" + b"\x00" * 250))
    other = ts.packet(ts.AUDIO_PID, b"\x01" * 184)
    scanner = Scanner()
    fed(scanner, other * 3 + ts.pat() + map_packets[0])
    assert scanner.tables == b""
    fed(scanner, map_packets[1] + other)
    fed(scanner, b"".join(map_packets) + other)
    assert scanner.tables


def test_new_tables_replace_the_former_for_later_start_points_only() -> None:
    first = ts.Numbered(gop=1)
    moved = ts.pat(0x200) + b"".join(ts.table_packets(0x200, ts.pmt(((0x24, ts.VIDEO_PID),))))
    key = ts.packet(ts.VIDEO_PID, b"\x00" * 100, start=True, random_access=True)
    (blob,) = fed(Scanner(), first.picture() + moved + key)
    assert len(blob.starts) == 2
    assert blob.starts[0][1] != blob.starts[1][1] == moved


@pytest.mark.parametrize(
    "section",
    [b"", b"\x00\xb0", b"\x00" * 11, b"\x02\xb0\xff" + b"\xff" * 40, ts.section(0, b"\x00\x00\xe0\x10")],
    ids=["empty", "cut", "zeros", "ones", "network only"],
)
def test_broken_tables_name_nothing(section: bytes) -> None:
    assert first_program_map_pid(section) in (None, 0x1FFF)
    assert video_pid(section) is None


@given(st.binary(min_size=184, max_size=184), st.booleans())
def test_reading_a_table_from_noise_never_fails(payload: bytes, start: bool) -> None:
    data = b"\x47\x40\x00" + (b"\x30" if start else b"\x10") + payload
    read_table(data * 3, 0, 0)
    scanner = Scanner()
    scanner.feed(data * 4 + ts.Numbered().pictures(1))


def test_two_sync_bytes_in_step_are_not_enough() -> None:
    data = bytearray(600)
    data[3::188] = b"\x47\x47\x00\x00"
    data[6::188] = b"\x10" * 4
    assert find_sync(bytes(data), 0) == -1
    data[3 + 376] = 0x47
    assert find_sync(bytes(data), 0) == 3


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\n<!DOCTYPE html><title>Login</title>", "web page"),
        (b"\xef\xbb\xbf#EXTM3U\n#EXT-X-VERSION:3", "HLS"),
        (b'{"error": "max connections"}', "JSON"),
        (b"\x00\x00\x00\x20ftypisom", "MP4"),
        (b"<br />\n<b>Warning</b>", None),
        (b"\x47\x40\x00\x10", None),
        (b"", None),
    ],
)
def test_other_content_is_named(head: bytes, what: str | None) -> None:
    found = other_content(head)
    assert found is None if what is None else what in (found or "")
