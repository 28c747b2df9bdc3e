"""Seats: how many streams a user may have at a time, counted over what really runs.

    relay's viewers of the user + HLS viewers that asked within 15 s + files being sent

A player that changes the channel opens the next stream before it closes the last one, so the oldest stream of the same
player makes room first; only when others hold all seats is anybody refused.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import Forbidden
from stream_service.domain.users import User

HLS_IDLE_S = 15.0
WAIT_S = 1.5
PAUSE_S = 0.05
USER_LIMIT = "user_limit"
"""The word for "all connections of the user are in use" among an error's fields (`code`)."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stream that runs: whose player it is of, and how it is ended."""

    address: str
    user_agent: str
    number: int
    end: Callable[[], object]


class Relay(Protocol):
    """What is asked of the relay's hub."""

    def seats_of(self, user: str) -> Sequence[tuple[int, str, str]]:
        """The viewers of a user: number (the oldest has the lowest), address, user agent."""
        ...

    def let_go(self, number: int) -> None:
        """End the viewer of that number; nothing when it has gone."""
        ...


class Seats:
    """Every call answers at once. In the web process nothing switches between a look and the entry that follows."""

    def __init__(self, *, relay: Relay, clock: Clock) -> None:
        self._relay = relay
        self._clock = clock
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._files: dict[int, tuple[str, Place]] = {}
        self._hls: dict[tuple[str, str, str], float] = {}

    def used(self, user: str) -> int:
        """How many streams of the user run."""
        return len(self._relay.seats_of(user)) + len(self._own(user)) + len(self._watching_hls(user))

    def make_room(self, user: User | None, *, address: str, user_agent: str) -> None:
        """See that the player can have one more stream; raises `Forbidden` when others hold all seats."""
        if user is None:
            return
        until_s = time.monotonic() + WAIT_S
        while user.connection_limit is not None and not self._has_room(
            user, user.connection_limit, address, user_agent
        ):
            if time.monotonic() > until_s:
                raise Forbidden(f"all {user.connection_limit} connections of {user.name} are in use", code=USER_LIMIT)
            time.sleep(PAUSE_S)  # a player that has just gone is noticed with the next packet
        with self._lock:
            self._hls.pop((user.name, address, user_agent), None)

    def _has_room(self, user: User, most: int, address: str, user_agent: str) -> bool:
        """Whether one more stream fits, after the player's own oldest ones ended for it; False while others sit."""
        held = self._held(user.name)
        others_hls = [one for one in self._watching_hls(user.name) if one != (user.name, address, user_agent)]
        while len(held) + len(others_hls) >= most:
            own = next((one for one in held if (one.address, one.user_agent) == (address, user_agent)), None)
            if own is None:
                return False
            own.end()
            held.remove(own)
        return True

    def watch_hls(self, user: User | None, *, address: str, user_agent: str) -> None:
        """A player asked for a playlist or a segment: it holds a seat until it has not asked for 15 s.

        Also where there is no limit: one that is set while it watches counts it at once.
        """
        if user is None:
            return
        mine = (user.name, address, user_agent)
        if mine not in self._watching_hls(user.name):
            self.make_room(user, address=address, user_agent=user_agent)
        with self._lock:
            self._hls[mine] = self._clock.monotonic() + HLS_IDLE_S

    def enter(self, user: str, *, address: str, user_agent: str, end: Callable[[], object]) -> Callable[[], None]:
        """A file is being sent to a player; returns what gives the seat back (may be called twice)."""
        with self._lock:
            number = next(self._numbers)
            self._files[number] = (user, Place(address, user_agent, number, end))

        def leave() -> None:
            with self._lock:
                self._files.pop(number, None)

        return leave

    def _held(self, user: str) -> list[Place]:
        """The oldest first: files, then the relay's viewers."""
        live = [
            Place(address, agent, number, lambda number=number: self._relay.let_go(number))  # type: ignore[misc]
            for number, address, agent in self._relay.seats_of(user)
        ]
        return self._own(user) + live

    def _own(self, user: str) -> list[Place]:
        with self._lock:
            return [place for name, place in self._files.values() if name == user]

    def _watching_hls(self, user: str) -> list[tuple[str, str, str]]:
        now_s = self._clock.monotonic()
        with self._lock:
            self._hls = {mine: until_s for mine, until_s in self._hls.items() if until_s > now_s}
            return [mine for mine in self._hls if mine[0] == user]
