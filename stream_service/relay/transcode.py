"""A channel through a profile: a channel of its own in the hub, whose upstream is ffmpeg fed by the first.

So everything that holds for a channel holds for it: one ffmpeg however many watch, started for the first viewer, ended
with the last, a ring with start points, reconnects. The channel that feeds it sees one viewer more, and the provider no
second connection.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

from servicekit.errors import NotFound, Unreachable
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.domain.profiles import Profile, arguments, wants_encoder
from stream_service.relay.codecs import program_codecs
from stream_service.relay.ffmpeg import Feed, FfmpegUpstream, Programs
from stream_service.relay.upstream import Upstream

_MARK = "~"
"""Between a channel's id and a profile's name; no id holds it."""


class Follow(Protocol):
    """The hub's `follow`."""

    def __call__(self, target: ChannelTarget, *, address: str, user_agent: str = "") -> Feed: ...


def through(target: ChannelTarget, profile: str) -> ChannelTarget:
    """The channel as this profile makes it."""
    ident = f"{target.id}{_MARK}{profile}"
    # Its own id, below all that the store gives, and its own host: what fails here is held against nothing else.
    number = -1 - zlib.crc32(ident.encode())
    address = StreamAddress(id=number, source_id=0, url=f"profile://{ident}", private_ok=True)
    return ChannelTarget(ident, target.number, f"{target.name} ({profile})", (address,))


class Transcoding:
    """Opens `profile://CHANNEL~NAME`, and says which profiles can be had."""

    def __init__(
        self,
        *,
        programs: Programs,
        profile: Callable[[str], Profile | None],
        target: Callable[[str], ChannelTarget | None],
        follow: Follow,
    ) -> None:
        self._programs = programs
        self._profile = profile
        self._target = target
        self._follow = follow

    def target(self, target: ChannelTarget, name: str) -> ChannelTarget:
        """The channel through a profile; raises `NotFound` (no such profile), `Unavailable` (no ffmpeg)."""
        profile = self._known(name)
        self._programs.path("ffmpeg")
        return through(target, profile.name)

    def open(self, address: StreamAddress) -> Upstream:
        """ffmpeg, fed by the channel. Waits for the channel; raises what following it raises."""
        channel, _, name = address.url.partition("://")[2].partition(_MARK)
        profile, program = self._known(name), self._programs.path("ffmpeg")
        target = self._target(channel)
        if target is None:
            raise NotFound(f"there is no channel {channel!r}")
        feed = self._follow(target, address="ffmpeg", user_agent=f"profile {profile.name}")
        try:
            first = next(feed, b"")
            if not first:
                raise Unreachable(f"channel {target.name} has ended")
            codecs = program_codecs(first)
            encoder = self._programs.encoder(profile) if wants_encoder(profile, codecs) else ""
            return FfmpegUpstream([program, *arguments(profile, encoder=encoder, codecs=codecs)], feed, first=first)
        except BaseException:
            feed.close()
            raise

    def _known(self, name: str) -> Profile:
        profile = self._profile(name)
        if profile is None:
            raise NotFound(f"there is no profile {name!r}")
        return profile
