"""Which stream of a channel is next, after how long a pause, and how patient to be with it.

Pure. The rules:

- A stream that had been stable and breaks is opened again at once: most breaks are short.
- Otherwise the next one of the pass follows at once: those that failed least lately, the last good one, then by rank.
- After a pass over all streams that gave nothing comes a pause, doubling from the shortest to the longest, with jitter.
- What was learned of a stream (failures, its longest pause) is remembered for a while, also when its channel rests.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

from stream_service.domain.model import StreamAddress

_MOST_STREAMS = 20_000
_MAX_PENALTY = 3
_MAX_DOUBLINGS = 8
_FIRST_BYTE_S = {"file": 1.0, "cdn": 10.0, "slow": 60.0}
_SLOW_HOSTS = ("archive.org", "plex.direct")
_CDN_HOSTS = (
    "akamaized.net", "akamaihd.net", "cloudfront.net", "fastly.net", "azureedge.net", "cdn77.org", "b-cdn.net",
    "googlevideo.com", "edgecastcdn.net", "llnwd.net",
)  # fmt: skip
_PLEX_PORT = 32400

K = TypeVar("K")
V = TypeVar("V")


class Trouble(StrEnum):
    """What kind of failure it was; a slate exists for each."""

    UNREACHABLE = "unreachable"
    """No connection, or no answer in time."""
    BROKEN = "broken"
    """The provider's server says that it failed (5xx)."""
    REFUSED = "refused"
    """The provider says no (4xx), or our own policy does."""
    CONTENT = "content"
    """What came is no stream."""
    ENDED = "ended"
    """It ended, or the connection broke."""
    STALLED = "stalled"
    """It fell silent."""
    BUSY = "busy"
    """All connections of the account are in use."""

    @property
    def is_the_hosts(self) -> bool:
        """Whether other streams of the host would fail as well."""
        return self in (Trouble.UNREACHABLE, Trouble.BROKEN)

    @property
    def is_the_providers(self) -> bool:
        """Whether the provider was asked at all."""
        return self is not Trouble.BUSY


@dataclass(frozen=True, slots=True)
class FailoverPolicy:
    """The figures; `relay.settings` says what each does."""

    stable_s: float = 10.0
    brief_s: float = 2.0
    backoff_min_s: float = 1.0
    backoff_max_s: float = 30.0
    forget_s: float = 600.0
    stall_min_s: float = 4.0
    stall_max_s: float = 12.0
    learn_s: float = 20.0


@dataclass(slots=True)
class _Learned:
    failures: int = 0
    failed_at_s: float = 0.0
    pause_s: float = 0.0
    known: bool = False


class Health:
    """What was learned of streams, by their ids; shared by all channels, bounded."""

    def __init__(self, policy: FailoverPolicy) -> None:
        self.policy = policy
        self._learned: OrderedDict[int, _Learned] = OrderedDict()
        self._last_good: OrderedDict[str, int] = OrderedDict()

    def failed(self, stream_id: int, now_s: float) -> None:
        """It gave nothing, or next to nothing."""
        of = self._of(stream_id)
        of.failures, of.failed_at_s = self.penalty(stream_id, now_s) + 1, now_s

    def good(self, channel_id: str, stream_id: int) -> None:
        """It was stable: nothing is held against it, and it is its channel's last good one."""
        self._of(stream_id).failures = 0
        _keep(self._last_good, channel_id, stream_id)

    def last_good(self, channel_id: str) -> int | None:
        """The stream of the channel that was stable last."""
        return self._last_good.get(channel_id)

    def penalty(self, stream_id: int, now_s: float) -> int:
        """How much is held against it, 0 to 3; forgotten after `forget_s`."""
        of = self._learned.get(stream_id)
        if of is None or now_s - of.failed_at_s > self.policy.forget_s:
            return 0
        return min(of.failures, _MAX_PENALTY)

    def paused(self, stream_id: int, pause_s: float, ran_s: float) -> None:
        """It was silent for `pause_s` and went on, `ran_s` after its start."""
        of = self._of(stream_id)
        of.pause_s = max(of.pause_s, pause_s)
        of.known = of.known or ran_s >= self.policy.learn_s

    def stall_s(self, address: StreamAddress) -> float:
        """Silence after which it is given up: its source's word, else three times its longest pause within bounds."""
        told = address.timeouts.get("stall_s")
        if told:
            return told
        of = self._learned.get(address.id)
        if of is None or not of.known:
            return self.policy.stall_max_s
        return min(self.policy.stall_max_s, max(self.policy.stall_min_s, 3 * of.pause_s))

    def _of(self, stream_id: int) -> _Learned:
        return _keep(self._learned, stream_id, self._learned.get(stream_id) or _Learned())


def _keep(of: OrderedDict[K, V], key: K, value: V) -> V:
    of[key] = value
    of.move_to_end(key)
    if len(of) > _MOST_STREAMS:
        of.popitem(last=False)
    return value


class Failover:
    """One channel's choice among its streams."""

    def __init__(self, channel_id: str, *, health: Health, jitter: Callable[[], float]) -> None:
        self._channel_id = channel_id
        self._health = health
        self._policy = health.policy
        self._jitter = jitter
        self._tried: set[int] = set()
        self._vain_passes = 0
        self._again: int | None = None
        self.current: StreamAddress | None = None
        self.why = ""
        """Why the current stream was chosen."""
        self.switches = 0
        """How often another stream than before was chosen."""

    def choose(
        self, streams: Sequence[StreamAddress], now_s: float, *, ready: Callable[[StreamAddress], bool]
    ) -> StreamAddress | None:
        """The stream to try now, None when none may be tried (`ready` says no to all that are left)."""
        chosen = next((one for one in streams if one.id == self._again and ready(one)), None)
        if chosen is not None:
            why = "the same again, it had been stable"
        else:
            self._tried &= {one.id for one in streams}
            left = [one for one in streams if one.id not in self._tried and ready(one)]
            if not left:
                return None
            last_good = self._health.last_good(self._channel_id)
            chosen = min(left, key=lambda one: (self._health.penalty(one.id, now_s), one.id != last_good))
            why = self._reason(chosen, streams, last_good)
        self._again = None
        if self.current is not None and self.current.id != chosen.id:
            self.switches += 1
        self.current, self.why = chosen, why
        return chosen

    def _reason(self, chosen: StreamAddress, streams: Sequence[StreamAddress], last_good: int | None) -> str:
        if chosen.id == streams[0].id:
            return "first by rank"
        return "the last good one" if chosen.id == last_good else "those before it failed"

    def steady(self) -> None:
        """The current stream has run long enough to be trusted: what was held against others in this pass is over."""
        self._tried.clear()
        self._vain_passes = 0
        if self.current is not None:
            self._health.good(self._channel_id, self.current.id)

    def lost(self, streams: Sequence[StreamAddress], ran_s: float, now_s: float, *, blame: bool = True) -> float:
        """The current stream is over after `ran_s` seconds; seconds to wait before the next try.

        `blame`: it was the stream's fault. A positive pause says that the whole list was tried in vain.
        """
        current = self.current
        if current is None:
            return self._vain_pass()
        if ran_s >= self._policy.stable_s:
            self.steady()
            self._again = current.id
            return 0.0
        self._tried.add(current.id)
        all_tried = self._tried >= {one.id for one in streams}
        if ran_s >= self._policy.brief_s:
            self._vain_passes = 0
            if all_tried:
                self._tried.clear()
            return 0.0
        if blame:
            self._health.failed(current.id, now_s)
        return self._vain_pass() if all_tried else 0.0

    def _vain_pass(self) -> float:
        self._tried.clear()
        self._vain_passes += 1
        doubled = self._policy.backoff_min_s * 2.0 ** min(self._vain_passes - 1, _MAX_DOUBLINGS)
        return min(self._policy.backoff_max_s, doubled) * (0.75 + 0.5 * self._jitter())

    def none_ready(self) -> float:
        """No stream may be tried: a vain pass; seconds to wait at least."""
        return self._vain_pass()


def first_byte_s(address: StreamAddress, default_s: float) -> float:
    """How long the first byte may take: its source's word, else by kind (file 1, CDN 10, archive and Plex 60)."""
    told = address.timeouts.get("first_byte_s")
    return told or _FIRST_BYTE_S.get(_kind(address.url), default_s)


def _kind(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return ""
    if parts.scheme in ("", "file"):
        return "file"
    if port == _PLEX_PORT or _under(host, _SLOW_HOSTS):
        return "slow"
    return "cdn" if _under(host, _CDN_HOSTS) else ""


def _under(host: str, domains: Sequence[str]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)
