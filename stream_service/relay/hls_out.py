"""A channel as HLS: one reader follows the channel as a viewer does, cuts segments, keeps the last few in memory.

However many players ask, there is one reader a channel, one viewer more in the hub and no second upstream. The reader
lives while playlists or segments are asked for. Segment addresses carry the channel's id and a token that only the
playlist tells, so that a playlist which was refused cannot be walked around.
"""

import logging
import math
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import AerialError, NotFound, Unavailable
from stream_service import native
from stream_service.domain.model import ChannelTarget
from stream_service.domain.watching import Course, End
from stream_service.relay.ffmpeg import Feed
from stream_service.relay.hls_audience import HlsAudience
from stream_service.relay.journal import Journal
from stream_service.relay.report import how_well
from stream_service.relay.segmenter import Cut, Segmenter

log = logging.getLogger(__name__)

_TOKEN_BYTES = 12
_LOOK_S = 0.5
_SEGMENT_SHARE = 4


@dataclass(frozen=True, slots=True)
class HlsOutSettings:
    """The figures of HLS output."""

    segment_s: float = 4.0
    listed: int = 5
    """Segments in a playlist."""
    kept: int = 9
    """Segments in memory: who has just read a playlist may ask for its oldest one a while longer (RFC 8216, 6.2.2)."""
    max_bytes: int = 64 * 1024 * 1024
    """A channel's segments never take more."""
    idle_s: float = 30.0
    """A channel that nobody asks for is left after so long."""
    wait_s: float = 30.0
    """How long the first playlist waits for the first segment."""


class Followed(Feed, Protocol):
    """A channel that is followed, and how it goes."""

    @property
    def course(self) -> Course: ...


class Follow(Protocol):
    """The hub's `follow`."""

    def __call__(self, target: ChannelTarget, *, address: str, user_agent: str = "") -> Followed: ...


Paced = Callable[[bytes, object], Iterable[bytes]]
"""A segment in pieces for somebody, as the limits of bandwidth allow."""


def _whole(data: bytes, who: object) -> Iterable[bytes]:
    return (data,)


@dataclass(frozen=True, slots=True)
class _Held:
    number: int
    cut: Cut


class HlsOutput:
    """Playlists and segments of channels."""

    def __init__(
        self,
        *,
        follow: Follow,
        clock: Clock,
        settings: HlsOutSettings | None = None,
        journal: Journal | None = None,
        paced: Paced = _whole,
    ) -> None:
        self._follow = follow
        self._journal = journal or Journal()
        self._paced = paced
        self._clock = clock
        self._settings = settings or HlsOutSettings()
        self._readers: dict[str, _Reader] = {}
        self._lock = threading.Lock()

    def playlist(
        self, target: ChannelTarget, *, address: str, user_agent: str = "", user: str = "", lineup: str = ""
    ) -> str:
        """The playlist of the channel now; the first asker waits for the first segment.

        Raises `Unavailable` with the reason when the channel does not come.
        """
        with self._lock:
            reader = self._readers.get(target.id)
            if reader is None or reader.ended:
                reader = _Reader(target, self._follow, self._clock, self._settings, self._gone, self._journal)
                self._readers[target.id] = reader
                native.spawn(lambda: reader.run(address, user_agent), name="hls output")
        return reader.playlist(address, user_agent, user=user, lineup=lineup)

    def audience(self) -> dict[str, list[dict[str, object]]]:
        """The players by the id of the channel that they watch."""
        with self._lock:
            readers = list(self._readers.values())
        return {one.key: one.audience() for one in readers}

    def paced(self, data: bytes, *, address: str, user_agent: str = "") -> Iterable[bytes]:
        """A segment in pieces for a player, as the limits of bandwidth allow."""
        return self._paced(data, (address, user_agent))

    def segment(self, channel_id: str, token: str, number: int, *, address: str = "", user_agent: str = "") -> bytes:
        """A segment that a playlist named; raises `NotFound` when it has gone, or never was."""
        with self._lock:
            readers = [one for one in self._readers.values() if one.channel_id == channel_id]
        for reader in readers:
            if secrets.compare_digest(reader.token.encode(), token.encode("utf-8", "replace")):
                return reader.segment(number, address, user_agent)
        raise NotFound("there is no such segment: ask for the playlist again")

    def _gone(self, reader: "_Reader") -> None:
        with self._lock:
            if self._readers.get(reader.key) is reader:
                del self._readers[reader.key]


class _Reader:
    """Follows one channel."""

    def __init__(
        self,
        target: ChannelTarget,
        follow: Follow,
        clock: Clock,
        settings: HlsOutSettings,
        gone: Callable[["_Reader"], None],
        journal: Journal,
    ) -> None:
        self.key = target.id
        self.channel_id, _, profile = target.id.partition("~")
        self._audience = HlsAudience(self.channel_id, target.name, profile=profile, clock=clock, course=self._course)
        self._journal = journal
        self.token = secrets.token_urlsafe(_TOKEN_BYTES)
        self.ended = False
        self._target = target
        self._follow = follow
        self._clock = clock
        self._settings = settings
        self._gone = gone
        self._held: deque[_Held] = deque()
        self._next = 0
        self._torn = 0
        """Discontinuities among the segments that have left."""
        self._longest_s = settings.segment_s
        self._asked_s = clock.monotonic()
        self._change = threading.Condition()
        self._idle = False
        self._refusal: AerialError | None = None
        self._feed: Followed | None = None

    # -- askers

    def playlist(self, address: str, user_agent: str, *, user: str, lineup: str) -> str:
        with self._change:
            self._asked_s = self._clock.monotonic()
            if new := self._audience.asked(address, user_agent, user=user, lineup=lineup):
                self._journal.happened("join", **new)
            self._change.wait_for(lambda: self._held or self.ended, self._settings.wait_s)
            if self._held:
                return self._text()
        if self._refusal is not None:
            raise self._refusal
        raise Unavailable(f"channel {self._target.name} has sent no picture yet")

    def segment(self, number: int, address: str, user_agent: str) -> bytes:
        with self._change:
            self._asked_s = self._clock.monotonic()
            for held in self._held:
                if held.number == number:
                    self._audience.got(address, user_agent, len(held.cut.data))
                    return held.cut.data
            if number < self._next:
                self._audience.missed(address, user_agent)
        raise NotFound("the segment has gone: ask for the playlist again")

    def _course(self) -> Course:
        return Course() if self._feed is None else self._feed.course

    def audience(self) -> list[dict[str, object]]:
        with self._change:
            return self._audience.shown()

    def _text(self) -> str:
        listed = list(self._held)[-self._settings.listed :]
        left = list(self._held)[: len(self._held) - len(listed)]
        torn = self._torn + sum(one.cut.discontinuity for one in left)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            f"#EXT-X-TARGETDURATION:{math.ceil(self._longest_s)}",
            f"#EXT-X-MEDIA-SEQUENCE:{listed[0].number}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{torn}",
        ]
        for held in listed:
            if held.cut.discontinuity:
                lines.append("#EXT-X-DISCONTINUITY")
            lines += [
                f"#EXTINF:{held.cut.duration_s:.3f},",
                f"{self.channel_id}/hls/{self.token}/{held.number}.ts",
            ]
        return "\n".join((*lines, ""))

    # -- the reader

    def run(self, address: str, user_agent: str) -> None:
        """Follow until nobody asks, or the channel ends."""
        try:
            self._feed = self._follow(self._target, address=address, user_agent=f"HLS {user_agent}".strip())
            native.spawn(self._watch, name="hls output idle")
            self._read(self._feed)
        except AerialError as error:
            self._refusal = error
        except Exception:
            log.exception("HLS of channel %s failed", self._target.id)
        finally:
            if self._feed is not None:
                self._feed.close()
            self._gone(self)
            with self._change:
                self.ended = True
                self._say_goodbye(0.0, End.LEFT if self._idle else End.FAILED)
                self._change.notify_all()

    def _say_goodbye(self, idle_s: float, end: End) -> None:
        for who, over in self._audience.gone(idle_s, end):
            self._journal.happened("leave", **who, **how_well(over))
            if over.bytes_sent:
                self._journal.watched(over)

    def _read(self, feed: Feed) -> None:
        segmenter = Segmenter(target_s=self._settings.segment_s, most_bytes=self._settings.max_bytes // _SEGMENT_SHARE)
        for data in feed:
            cuts = segmenter.feed(data, self._clock.monotonic())
            if cuts:
                with self._change:
                    for cut in cuts:
                        self._keep(cut)
                    self._change.notify_all()

    def _keep(self, cut: Cut) -> None:
        self._held.append(_Held(self._next, cut))
        self._next += 1
        self._longest_s = max(self._longest_s, cut.duration_s)
        size_bytes = sum(len(one.cut.data) for one in self._held)
        while len(self._held) > 1 and (len(self._held) > self._settings.kept or size_bytes > self._settings.max_bytes):
            left = self._held.popleft()
            size_bytes -= len(left.cut.data)
            self._torn += left.cut.discontinuity

    def _watch(self) -> None:
        """End the reading when nobody has asked for a while; the reader itself may be waiting for a picture."""
        feed = self._feed
        while True:
            with self._change:
                if self._change.wait_for(lambda: self.ended, _LOOK_S):
                    return
                self._say_goodbye(self._settings.idle_s, End.LEFT)
                idle = self._clock.monotonic() - self._asked_s > self._settings.idle_s
                self._idle = idle
            if idle and feed is not None:
                log.info("HLS of channel %s: nobody asks any more", self._target.id)
                feed.close()
                return
