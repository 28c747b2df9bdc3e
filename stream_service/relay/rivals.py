"""Who has to give a provider's connection up for somebody else: decided by looking at channels and their viewers."""

from collections.abc import Iterable
from typing import NamedTuple

from stream_service.relay.channel import Channel
from stream_service.relay.client import Client
from stream_service.relay.slots import account_of


class Loser(NamedTuple):
    """A channel that has to end, and why."""

    channel: Channel
    reason: str
    preempted: bool = False
    """True when its viewers still wanted it."""


def audience(channel: Channel) -> list[Client]:
    """Those who are served, then those who wait."""
    return [*channel.clients, *channel.waiting]


def by_number(client: Client) -> int:
    """Sorts clients in the order they came."""
    return client.number


def holders(channels: Iterable[Channel], account: str) -> list[Channel]:
    """The channels that hold a slot of the account, or are about to."""
    return [one for one in channels if _holds(one, account)]


def given_up(held: Iterable[Channel], wanting: Channel) -> Loser | None:
    """One that nobody misses: nobody watches it, or only viewers who have moved on to `wanting` since."""
    held = list(held)
    for one in held:
        if not one.wanted:
            return Loser(one, "its slot is needed")
    here = {client.viewer: client.number for client in sorted(audience(wanting), key=by_number)}
    for one in held:
        if all(here.get(client.viewer, -1) > client.number for client in audience(one)):
            return Loser(one, "its viewer has changed the channel")
    return None


def least_important(held: Iterable[Channel], wanting: Channel) -> Loser | None:
    """The one with the least important viewers, if they are less important than those of `wanting`."""
    least = min(held, key=_importance, default=None)
    if least is None or _importance(least) >= _importance(wanting):
        return None
    return Loser(least, "its slot was given to a more important viewer", preempted=True)


def _holds(channel: Channel, account: str) -> bool:
    if channel.line is not None:
        return channel.line.lease.account == account
    return channel.dialing and channel.address is not None and account_of(channel.address) == account


def _importance(channel: Channel) -> int:
    return max((client.viewer.priority for client in audience(channel)), default=-1)
