"""Who watches a channel as HLS: players ask for a playlist and for segments, and leave by asking no more."""

from dataclasses import dataclass

from servicekit.clock import Clock, iso
from stream_service.domain.watching import End, Via, Watched

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


class HlsAudience:
    """The players of one channel, by address and program. Its caller holds a lock."""

    def __init__(self, channel_id: str, channel: str, *, profile: str, clock: Clock) -> None:
        self._channel_id = channel_id
        self._channel = channel
        self._profile = profile
        self._clock = clock
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
            if player.started_s is None:
                player.started_s = player.last_s

    def gone(self, idle_s: float, end: End = End.LEFT) -> list[tuple[dict[str, object], Watched]]:
        """Forget those who have asked for nothing for so long: what to tell and to write down of each."""
        now_s = self._clock.monotonic()
        left = [key for key, player in self._players.items() if now_s - player.last_s >= idle_s]
        return [self._over(*key, self._players.pop(key), end) for key in left]

    def shown(self) -> list[dict[str, object]]:
        """The players as they are listed."""
        return [
            {
                "address": address,
                "user_agent": user_agent,
                "user": player.user or None,
                "lineup": player.lineup or None,
                "via": str(Via.HLS),
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
        over = Watched(
            channel_id=self._channel_id,
            channel=self._channel,
            lineup=player.lineup,
            profile=self._profile,
            via=Via.HLS,
            user=player.user,
            address=address,
            user_agent=user_agent,
            source_id=None,
            stream_id=None,
            started_at=player.since + round(started_s - player.first_s),
            duration_s=round(player.last_s - started_s),
            wait_ms=round((started_s - player.first_s) * 1000),
            bytes_sent=player.bytes_sent,
            jumps=0,
            switches=0,
            slates=0,
            end=end,
        )
        return self._who(address, user_agent, player), over
