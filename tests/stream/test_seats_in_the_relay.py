"""Connection limits of users over what the relay really carries."""

import pytest

from servicekit.errors import Forbidden
from stream_service.accounts.seats import Seats
from stream_service.domain.users import User
from stream_service.library.pump import Pump
from tests.stream.relaykit import packets as ts
from tests.stream.relaykit.house import House, house
from tests.stream.relaykit.upstream import live
from tests.stream.relaykit.viewers import HEAD, target, tcp_pair
from tests.stream.sourcekit import HeldClock
from tests.stream.test_library import TV, Line
from tests.waiting import until

ANN = User(1, "ann", connection_limit=1)


def join(there: House, name: str, user: str, agent: str) -> object:
    """A viewer of a user; returns the far end of the connection."""
    channel = target(there.provider.script(f"/{name}", [live()]), name=name)
    near, far = tcp_pair()
    there.hub.join(channel, near.detach(), address="192.0.2.7", user_agent=agent, user=user, head=HEAD)
    return far


def test_viewers_are_counted_by_user_and_one_can_be_ended_alone() -> None:
    with house() as there:
        ends = [join(there, "news", "ann", "tv"), join(there, "news", "ann", "phone"), join(there, "news", "bob", "tv")]
        held = there.hub.seats_of("ann")
        assert [(address, agent) for _, address, agent in held] == [("192.0.2.7", "tv"), ("192.0.2.7", "phone")]
        there.hub.let_go(held[0][0])
        there.hub.let_go(999)
        assert [agent for _, _, agent in there.hub.seats_of("ann")] == ["phone"]
        assert len(there.hub.seats_of("bob")) == 1
        data = bytearray()
        while piece := ends[0].recv(65_536):  # type: ignore[attr-defined]
            data += piece
        assert (len(data) - len(HEAD)) % ts.PACKET == 0
        for end in ends:
            end.close()  # type: ignore[attr-defined]


def test_the_same_player_zaps_within_its_limit_and_another_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_service.accounts.seats.WAIT_S", 0.0)
    with house() as there:
        seats = Seats(relay=there.hub, clock=HeldClock())
        first = join(there, "news", "ann", "tv")
        with pytest.raises(Forbidden):
            seats.make_room(ANN, address="192.0.2.7", user_agent="phone")
        seats.make_room(ANN, address="192.0.2.7", user_agent="tv")
        assert there.hub.seats_of("ann") == []
        second = join(there, "film", "ann", "tv")
        assert seats.used("ann") == 1
        second.close()  # type: ignore[attr-defined]
        until(lambda: there.hub.seats_of("ann") == [], what="the relay to see that the viewer has gone")
        seats.make_room(ANN, address="192.0.2.7", user_agent="phone")
        first.close()  # type: ignore[attr-defined]


def test_a_film_gets_the_slot_of_a_channel_that_nobody_watches_any_more() -> None:
    with house(grace_s=60.0) as there:
        channel = target(there.provider.script("/news", [live()]), name="news", limit=1)
        near, far = tcp_pair()
        there.hub.join(channel, near.detach(), address="192.0.2.7", head=HEAD)
        pump = Pump(
            open_range=lambda address, headers: Line(),
            slots=there.hub.slots,
            free_unwatched=there.hub.free_unwatched,
            clock=HeldClock(),
            slot_wait_s=0.0,
        )
        assert not there.hub.free_unwatched("source-1")
        far.close()
        until(lambda: not there.session()["clients"], what="the viewer to have gone")
        sending = pump.open(channel.streams[0], player=TV)
        assert there.hub.sessions() == []
        sending.close()
