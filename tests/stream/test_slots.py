"""Slots of accounts: leases, and who gives way when none is free."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import Unavailable
from stream_service.api.live import hdhomerun_error
from stream_service.domain.model import ChannelTarget
from stream_service.domain.slots import Lease, LeaseTable
from tests.stream.relaykit.house import House, house
from tests.stream.relaykit.upstream import ends, hangs, junk, live, sends, status
from tests.stream.relaykit.viewers import target
from tests.waiting import until


def test_no_more_leases_than_the_limit_and_one_given_back_is_free() -> None:
    table = LeaseTable(ttl_s=30.0)
    one = table.acquire("a", "news", limit=2, now_s=0.0)
    two = table.acquire("a", "film", limit=2, now_s=0.0)
    assert one and two
    assert table.acquire("a", "more", limit=2, now_s=0.0) is None
    assert table.acquire("b", "more", limit=2, now_s=0.0) is not None
    table.release(one)
    table.release(one)
    assert table.acquire("a", "more", limit=2, now_s=0.0) is not None
    assert table.acquire("a", "again", limit=2, now_s=0.0) is None


def test_a_lease_that_is_not_renewed_ends() -> None:
    table = LeaseTable(ttl_s=30.0)
    lease = table.acquire("a", "news", limit=1, now_s=0.0)
    assert lease
    assert table.renew(lease, 20.0)
    assert table.acquire("a", "film", limit=1, now_s=40.0) is None
    assert table.acquire("a", "film", limit=1, now_s=50.0) is not None
    assert not table.renew(lease, 50.0)


@given(st.lists(st.tuples(st.sampled_from("arx"), st.integers(0, 5), st.floats(0, 20)), max_size=60))
def test_whatever_happens_no_account_holds_more_than_its_limit(steps: list[tuple[str, int, float]]) -> None:
    table, held, now_s = LeaseTable(ttl_s=30.0), list[Lease](), 0.0
    for what, which, after_s in steps:
        now_s += after_s
        if what == "a":
            lease = table.acquire(f"account-{which % 2}", str(which), limit=2, now_s=now_s)
            held += [lease] if lease else []
        elif held and what == "r":
            table.release(held[which % len(held)])
        elif held:
            table.renew(held[which % len(held)], now_s)
        counts = [lease.account for lease in table.held(now_s)]
        assert all(counts.count(account) <= 2 for account in counts)


class TestInTheRelay:
    def channel(self, there: House, name: str, *, limit: int | None = 1, **script: object) -> ChannelTarget:
        return target(there.provider.script(f"/{name}", [live()]), name=name, limit=limit)

    def test_a_running_channel_holds_one_slot_however_many_watch(self) -> None:
        with house() as there:
            news = self.channel(there, "news")
            viewers = [there.viewer(news).has(50) for _ in range(3)]
            assert [lease.owner for lease in there.hub.leases()] == ["news"]
            for viewer in viewers:
                viewer.leave()
            there.wait_until_idle()
            assert there.hub.leases() == []

    def test_another_viewer_is_refused_when_the_account_is_full(self) -> None:
        with house() as there:
            there.viewer(self.channel(there, "news")).has(50)
            refused = there.viewer(self.channel(there, "film"), address="192.0.2.8").joined()
            assert isinstance(refused.error, Unavailable)
            assert "in use" in refused.error.detail
            assert refused.error.retry_after_s >= 1
            assert hdhomerun_error(refused.error) == "805 All Tuners In Use"
            assert there.provider.opened("/film") == 0
            assert there.hub.figures()["no_slot_total"] == 1

    def test_the_same_viewer_who_changes_the_channel_gives_its_slot_up_first(self) -> None:
        with house(grace_s=30.0) as there:
            first = there.viewer(self.channel(there, "news")).has(50)
            second = there.viewer(self.channel(there, "film")).has(50)
            first.wait_for_end()
            assert [lease.owner for lease in there.hub.leases()] == ["film"]
            assert second.error is None

    def test_a_channel_that_nobody_watches_any_more_gives_way_at_once(self) -> None:
        with house(grace_s=30.0) as there:
            there.viewer(self.channel(there, "news")).has(50).leave()
            there.wait_for_state("closing")
            there.viewer(self.channel(there, "film"), address="192.0.2.8").has(50)

    def test_an_attempt_that_was_given_up_gives_its_slot_back(self) -> None:
        with house(grace_s=30.0, slot_wait_s=10.0) as there:
            slow = target(there.provider.script("/slow", [hangs(0.5), live()]), name="slow", limit=1)
            waiting = there.viewer(slow)
            until(lambda: there.provider.opened("/slow") == 1)
            there.viewer(self.channel(there, "film")).has(50)
            assert "gone" in str(waiting.joined().error)

    def test_a_more_important_viewer_takes_the_slot_where_that_is_asked_for(self) -> None:
        with house(preempt=True) as there:
            first = there.viewer(self.channel(there, "news"), address="192.0.2.8").has(50)
            there.viewer(self.channel(there, "film"), address="192.0.2.9", priority=5).has(50)
            first.wait_for_end()
            assert there.hub.figures()["preempted_total"] == 1
            refused = there.viewer(self.channel(there, "more"), address="192.0.2.10", priority=5).joined()
            assert isinstance(refused.error, Unavailable)

    def test_a_stream_of_another_account_is_taken_when_one_is_full(self) -> None:
        with house() as there:
            there.viewer(self.channel(there, "news")).has(50)
            urls = there.provider.script("/full", [live()]), there.provider.script("/free", [live()])
            film = target(*urls, name="film", limit=1, sources=(1, 2))
            there.viewer(film, address="192.0.2.8").has(50)
            assert there.provider.opened("/full") == 0
            assert {lease.account for lease in there.hub.leases()} == {"source-1", "source-2"}

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param([status("403 Forbidden")], id="refused"),
            pytest.param([sends(pictures=5), ends()], id="ends"),
            pytest.param([junk(b"x" * 400_000), hangs()], id="junk"),
            pytest.param([ends()], id="closed"),
        ],
    )
    def test_failures_leave_no_slot_behind(self, script: list[object]) -> None:
        with house(slate_s=0.0, grace_s=0.1) as there:
            bad = target(there.provider.script("/bad", script), name="bad", limit=1)  # type: ignore[arg-type]
            viewer = there.viewer(bad)
            until(lambda: viewer.error is not None or viewer.ended)
            viewer.leave()
            there.wait_until_idle()
            until(lambda: there.hub.leases() == [])

    def test_zapping_over_an_account_of_one_connection_always_ends_on_a_picture(self) -> None:
        with house(grace_s=30.0, slot_wait_s=10.0) as there:
            channels = [self.channel(there, f"c{n}") for n in range(4)]
            for turn in range(12):
                viewer = there.viewer(channels[turn % 4])
                # Each comes on a thread of its own: not before the one before it was there.
                until(lambda came=turn + 1: any(number == came for number, *_ in there.hub.seats_of("")))
                if turn % 3 == 0:
                    viewer.has(30)
            viewer.has(100)
            assert [lease.owner for lease in there.hub.leases()] == [channels[11 % 4].id]
