"""The ring: bounds, start points, and cursors that only ever see whole packets."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_service.relay.mpegts import Scanner
from stream_service.relay.ring import Cursor, Position, Ring
from tests.stream.relaykit import packets as ts


def ring_of(seconds: int, *, gop: int = 2, marks: bool = True, span_s: float = 13.0, max_bytes: int = 10**9) -> Ring:
    """One picture a second, arriving at 0, 1, 2 …"""
    ring, scanner, stream = Ring(span_s=span_s, max_bytes=max_bytes), Scanner(), ts.Numbered(gop=gop, marks=marks)
    for now_s in range(seconds):
        blob = scanner.feed(stream.picture())
        assert blob is not None
        ring.append(blob, float(now_s))
    return ring


def everything(ring: Ring, cursor: Cursor, rng: random.Random | None = None, blobs: int = 8) -> bytes:
    """What a client gets that takes all, or pieces of random size."""
    out = bytearray()
    while pieces := ring.gather(cursor, blobs):
        data = b"".join(pieces)
        sent = rng.randint(1, len(data)) if rng else len(data)
        out += data[:sent]
        ring.advance(cursor, sent)
    return bytes(out)


def test_the_ring_keeps_its_seconds_and_no_more() -> None:
    ring = ring_of(100)
    assert ring.span_s == 13.0
    assert ring.head - ring.tail == 14


def test_the_ring_keeps_its_bytes_and_no_more() -> None:
    ring = ring_of(100, max_bytes=20_000)
    assert ring.size_bytes <= 20_000
    assert ring.start_points >= 1


def test_one_blob_over_the_bound_is_still_held() -> None:
    assert ring_of(3, max_bytes=10).head - ring_of(3, max_bytes=10).tail == 1


@pytest.mark.parametrize(("backlog_s", "index"), [(0.0, 18), (1.5, 16), (5.0, 14), (9.0, 10), (11.0, 10), (100.0, 8)])
def test_a_start_is_the_newest_keyframe_of_the_asked_age(backlog_s: float, index: int) -> None:
    ring = ring_of(20)  # keyframes at even seconds; newest 18, ring from 6 on
    if backlog_s == 100.0:
        assert ring.start_position(19.0, backlog_s).index == ring.newest_start().index - 12
        return
    assert ring.start_position(19.0, backlog_s).index == index


def test_a_keyframe_that_is_about_to_leave_is_passed_over_for_a_newer_one() -> None:
    ring = ring_of(20, gop=9)  # keyframes at 9 and 18
    assert ring.start_position(19.0, 5.0).index == 9
    assert ring.start_position(21.0, 5.0).index == 18


def test_without_marks_a_start_is_a_blob_of_the_asked_age() -> None:
    ring = ring_of(20, marks=False)
    assert ring.start_points == 0
    assert ring.start_position(19.0, 5.0) == Position(14, 0, ring.start_position(19.0, 5.0).tables)
    assert ring.start_position(19.0, 99.0).index == ring.tail


def test_an_empty_ring_has_no_start() -> None:
    with pytest.raises(IndexError):
        Ring(span_s=1, max_bytes=1).start_position(0.0, 0.0)


def test_a_client_starts_on_tables_and_keyframe_and_gets_every_packet_once() -> None:
    ring = ring_of(12)
    out = everything(ring, Cursor(ring.start_position(11.0, 5.0)))
    assert ts.starts_on_keyframe(out)
    assert ts.numbers(out) == list(range(6 * ts.PICTURE_PACKETS, 12 * ts.PICTURE_PACKETS))


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_whatever_the_sends_take_nothing_is_lost_or_doubled(seed: int, blobs: int) -> None:
    ring = ring_of(6)
    cursor = Cursor(ring.start_position(5.0, 5.0), before=b"")
    out = everything(ring, cursor, random.Random(seed), blobs)
    assert ts.numbers(out) == list(range(6 * ts.PICTURE_PACKETS))
    assert ring.level(cursor)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9000)), max_size=60))
def test_a_client_that_falls_out_gets_whole_packets_and_goes_on_at_a_keyframe(steps: list[tuple[int, int]]) -> None:
    ring, scanner, stream = Ring(span_s=3.0, max_bytes=10**9), Scanner(), ts.Numbered(gop=2)
    out, now_s, cursor = bytearray(), 0.0, None
    for pictures, take in [(2, 0), *steps]:
        for _ in range(pictures):
            blob = scanner.feed(stream.picture())
            assert blob is not None
            ring.append(blob, now_s)
            now_s += 1
        cursor = cursor or Cursor(ring.start_position(now_s, 5.0))
        data = b"".join(ring.gather(cursor, 8))[:take]
        out += data
        ring.advance(cursor, len(data))
    assert cursor is not None
    out += cursor.pending
    cursor.pending = b""
    got = ts.numbers(bytes(out))
    assert got == sorted(set(got))
    breaks = [b for a, b in pairwise(got) if b != a + 1]
    assert len(breaks) <= cursor.jumps
    assert all(b % (2 * ts.PICTURE_PACKETS) == 0 for b in breaks)


def test_a_cursor_always_stands_between_packets() -> None:
    ring = ring_of(6)
    cursor = Cursor(ring.start_position(5.0, 5.0))
    ring.gather(cursor, 8)
    ring.advance(cursor, len(cursor.pending) + 188 * 3 + 50)
    assert cursor.offset % 188 == 0
    assert len(cursor.pending) == 138


def test_lag_is_counted_in_seconds_of_arrival() -> None:
    ring = ring_of(10)
    cursor = Cursor(Position(4, 0, b""))
    assert ring.lag_s(cursor) == 5.0
    everything(ring, cursor)
    assert ring.lag_s(cursor) == 0.0
    assert ring.lag_s(Cursor(Position(-50, 0, b""))) == 9.0


def test_the_bit_rate_is_that_of_what_is_held() -> None:
    ring = ring_of(10)
    assert ring.bitrate_bps() == pytest.approx(ts.PICTURE_PACKETS * 188 * 8, rel=0.1)
    assert ring_of(1).bitrate_bps() == 0.0
