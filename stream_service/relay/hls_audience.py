"""Who watches a channel as HLS: players ask for a playlist and for segments, and leave by asking no more."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from servicekit.clock import Clock, iso
from stream_service.domain.watching import Course, End, Via, Watched

_MOST = 1_000
"""Players of a channel that are told apart; whoever invents names of programs fills no memory."""


@dataclass(slots=True)
class _Player:
    user: str
    lineup: str
    number: int
    since: int
    first_s: float
    last_s: float
    bytes_sent: int = 0
    started_s: float | None = None
    """When it had its first segment."""
    began: Course | None = None
    """How the channel had gone at that moment."""
    missed: int = 0
    """How often it asked for what had gone already, one such gap counted once."""
    behind: bool = False

    def course(self, now: Course) -> Course:
        """What came about since its first segment."""
        since = now.since(self.began or now)
        return replace(since, jumps=since.jumps + self.missed)


class HlsAudience:
    """The players of one channel, by address and program. Its caller holds a lock.

    `course`: how the channel has gone for the reader behind it.
    """

    def __init__(
        self, channel_id: str, channel: str, *, profile: str, clock: Clock, course: Callable[[], Course]
    ) -> None:
        self._channel_id = channel_id
        self._channel = channel
        self._profile = profile
        self._clock = clock
        self._course = course
        self._players: dict[tuple[str, str], _Player] = {}
        self._last_number = 0

    def asked(self, address: str, user_agent: str, *, user: str, lineup: str) -> dict[str, object] | None:
        """A player asked for the playlist; what to tell of it when it is a new one."""
        now_s = self._clock.monotonic()
        player = self._players.get((address, user_agent))
        if player is not None:
            player.last_s = now_s
            return None
        if len(self._players) >= _MOST:
            return None
        self._last_number += 1
        player = _Player(user, lineup, self._last_number, self._clock.now_s(), now_s, now_s)
        self._players[address, user_agent] = player
        return self._who(address, user_agent, player)

    def got(self, address: str, user_agent: str, count: int) -> None:
        """A player asked for a segment of so many bytes."""
        player = self._players.get((address, user_agent))
        if player is not None:
            player.last_s = self._clock.monotonic()
            player.bytes_sent += count
            player.behind = False
            if player.started_s is None:
                player.started_s, player.began = player.last_s, self._course()

    def missed(self, address: str, user_agent: str) -> None:
        """A player asked for a segment that has gone."""
        player = self._players.get((address, user_agent))
        if player is not None and player.started_s is not None:
            player.missed += not player.behind
            player.behind = True

    def gone(self, idle_s: float, end: End = End.LEFT) -> list[tuple[dict[str, object], Watched]]:
        """Forget those who have asked for nothing for so long: what to tell and to write down of each."""
        now_s = self._clock.monotonic()
        left = [key for key, player in self._players.items() if now_s - player.last_s >= idle_s]
        return [self._over(*key, self._players.pop(key), end) for key in left]

    def shown(self) -> list[dict[str, object]]:
        """The players as they are listed."""
        now = self._course()
        return [
            {
                "address": address,
                "user_agent": user_agent,
                "user": player.user or None,
                "lineup": player.lineup or None,
                "via": str(Via.HLS),
                "jumps": player.course(now).jumps,
                "bytes": player.bytes_sent,
                "since": iso(player.since),
            }
            for (address, user_agent), player in self._players.items()
        ]

    def _who(self, address: str, user_agent: str, player: _Player) -> dict[str, object]:
        return {
            "channel_id": self._channel_id,
            "channel": self._channel,
            "number": player.number,
            "address": address,
            "user_agent": user_agent,
            "user": player.user or None,
            "lineup": player.lineup or None,
            "via": str(Via.HLS),
        }

    def _over(self, address: str, user_agent: str, player: _Player, end: End) -> tuple[dict[str, object], Watched]:
        started_s = player.first_s if player.started_s is None else player.started_s
        course = player.course(self._course())
        over = Watched(
            channel_id=self._channel_id,
            channel=self._channel,
            lineup=player.lineup,
            profile=self._profile,
            via=Via.HLS,
            user=player.user,
            address=address,
            user_agent=user_agent,
            source_id=course.source_id,
            stream_id=course.stream_id,
            started_at=player.since + round(started_s - player.first_s),
            duration_s=round(player.last_s - started_s),
            wait_ms=round((started_s - player.first_s) * 1000),
            bytes_sent=player.bytes_sent,
            jumps=course.jumps,
            switches=course.switches,
            slates=course.slates,
            end=end,
        )
        return self._who(address, user_agent, player), over
