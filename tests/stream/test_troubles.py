"""More ways in which providers go wrong, and what of it viewers and people get to see."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from stream_service.relay.mpegts import program_of
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.house import House, house
from tests.stream.relaykit.upstream import (
    claims_length,
    cut_short,
    ends,
    hangs,
    live,
    needs_fresh_token,
    other_tables,
    sends,
    sends_with_token,
    status,
)
from tests.stream.relaykit.viewers import target
from tests.waiting import until

OTHER = {ts.PMT_PID: 0x30, ts.VIDEO_PID: 0x31}


@pytest.fixture
def there() -> Iterator[House]:
    with house() as built:
        yield built


def with_other_pids(data: bytes) -> bytes:
    """The same packets as another encoder of the provider's sends them."""
    section = ts.pmt(((0x1B, 0x31), (0x0F, 0x32)))
    out = []
    for one in ts.packets(data):
        pid = ts.pid_of(one)
        if pid == 0:
            out.append(ts.pat(0x30, counter=one[3] & 15))
        elif pid == ts.PMT_PID:
            out += ts.table_packets(0x30, section, one[3] & 15)
        else:
            new = OTHER.get(pid, pid)
            out.append(bytes((0x47, one[1] & 0xE0 | new >> 8, new & 0xFF)) + one[3:])
    return b"".join(out)


def test_a_token_that_has_expired_is_never_shown_again(there: House) -> None:
    there.provider.script(
        "/token", [needs_fresh_token(), sends(pictures=20), hangs(0.4), ends()], [needs_fresh_token(), live()]
    )
    url = there.provider.script("/a", [sends_with_token("/token")])
    viewer = there.viewer(target(url)).has(600)
    assert there.provider.opened("/a") == 2
    tokens = [request.split(" ")[1] for request in there.provider.paths["/token"].requests]
    assert len(tokens) == len(set(tokens)) == 2
    assert viewer.numbers() == sorted(set(viewer.numbers()))


def test_tables_that_change_in_the_middle_of_a_connection_reach_who_watches_and_who_joins() -> None:
    with house(backlog_s=0.0) as there:
        url = there.provider.script("/a", [sends(pictures=10), other_tables(with_other_pids)])
        viewer = there.viewer(target(url)).has(600)
        numbers = viewer.numbers()
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert {ts.pid_of(one) for one in ts.packets(viewer.body())} >= {0x30, 0x31}
        late = there.viewer(target(url)).has(50)
        first = list(ts.packets(late.body()[: 3 * ts.PACKET]))
        assert [ts.pid_of(one) for one in first] == [0, 0x30, 0x31]
        program = program_of(b"".join(first[:2]))
        assert program is not None
        assert program.pmt_pid == 0x30


def test_a_cut_in_the_middle_of_a_group_is_delivered_to_its_last_whole_packet(there: House) -> None:
    url = there.provider.script("/a", [cut_short(pictures=8), hangs(0.5), ends()], [live()])
    numbers = there.viewer(target(url)).has(500).numbers()
    (at,) = [at for at, (a, b) in enumerate(pairwise(numbers)) if b != a + 1]
    assert numbers[at] == 8 * ts.PICTURE_PACKETS - 2
    assert numbers[at + 1] % (5 * ts.PICTURE_PACKETS) == 0


@pytest.mark.parametrize("size", [40_000, 4_000_000], ids=["too short", "too long"])
def test_a_wrong_content_length_costs_a_reconnect_and_no_order(there: House, size: int) -> None:
    url = there.provider.script("/a", [claims_length(size, pictures=20), hangs(0.3), ends()], [live()])
    viewer = there.viewer(target(url)).has(600)
    assert viewer.numbers() == sorted(set(viewer.numbers()))
    assert there.session()["reconnects"] == 1


def test_every_move_is_counted_and_told(there: House) -> None:
    url = there.provider.script("/a", [sends(pictures=10), hangs(0.4), ends()], [status("403 No")], [live()])
    there.viewer(target(url)).has(300)
    moves = [said for kind, said in there.told if kind == "state"]
    assert all(said["reason"] and said["at"] for said in moves)
    figures = there.hub.figures()
    for state in {str(said["to"]) for said in moves}:
        assert figures[f"moves_to_{state}_total"] == sum(said["to"] == state for said in moves)
    assert figures["moves_total"] == len(moves)


def test_the_least_important_viewer_gives_its_slot_where_that_is_asked_for() -> None:
    with house(preempt=True) as there:
        low = target(there.provider.script("/low", [live()]), name="low", limit=1)
        high = target(there.provider.script("/high", [live()]), name="high", limit=1)
        loser = there.viewer(low, address="192.0.2.1", priority=1).has(100)
        there.viewer(high, address="192.0.2.2", priority=5).has(100)
        loser.wait_for_end()
        assert until(lambda: [one.end for one in there.viewings]) == ["slot_taken"]
        refused = there.viewer(low, address="192.0.2.3", priority=1).joined()
        assert refused.error is not None
        assert refused.error.extra["code"] == "no_slot"
        assert there.hub.figures()["preempted_total"] == 1
