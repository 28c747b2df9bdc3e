"""Which kind of upstream an address is: by its scheme, and for http(s) by what comes.

    udp: rtp:     a socket that listens
    file:         a file of the import directory
    profile:      our own channel through ffmpeg (never an address of a list: only `transcode` makes them)
    http(s):      the first bytes decide: packets are passed on, a playlist is followed, media in other containers go
                  through ffmpeg unchanged; anything else is passed on for the channel to judge and to name

Servers give wrong types often, in both directions, so a type is only a hint to look before the wheel does.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from servicekit.clock import Clock
from servicekit.errors import AerialError, BadAnswer, Invalid
from servicekit.redact import redact
from stream_service import native
from stream_service.domain.model import StreamAddress
from stream_service.domain.profiles import COPY, arguments, joined_arguments
from stream_service.relay import file_source, udp
from stream_service.relay.codecs import codecs_of, container_of, tagged_clock_s
from stream_service.relay.ffmpeg import DrainedFeed, FfmpegUpstream, Programs
from stream_service.relay.hls import HlsSettings, HlsUpstream
from stream_service.relay.mpegts import other_content
from stream_service.relay.playlist import looks_like_hls
from stream_service.relay.upstream import OpenAddress, OpenAnswer, QueuedUpstream, Upstream, open_upstream, usable

log = logging.getLogger(__name__)

_JUDGED_BYTES = 1024
_READ_BYTES = 65_536


class Opener:
    """Opens any address. `own` opens those of our own making (`profile:`)."""

    def __init__(
        self,
        *,
        open_address: OpenAddress,
        programs: Programs,
        clock: Clock,
        hls: HlsSettings | None = None,
        import_dir: Path | None = None,
        multicast_interface: str = "",
        own: Callable[[StreamAddress], Upstream] | None = None,
    ) -> None:
        self._open_address = open_address
        self._programs = programs
        self._clock = clock
        self._hls = hls
        self._import_dir = import_dir
        self._interface = multicast_interface
        self._own = own

    def open(self, address: StreamAddress) -> Upstream:
        """An open upstream. Raises `Refused`, `Unreachable`, `BadAnswer`, `Invalid`, `Unavailable`."""
        scheme = address.url.partition(":")[0].lower()
        if scheme in udp.SCHEMES:
            return udp.UdpUpstream(address, interface=self._interface)
        if scheme == file_source.SCHEME and self._import_dir is not None:
            return self._file(address, self._import_dir)
        if scheme == "profile" and self._own is not None and address.source_id == 0:
            return self._own(address)
        if scheme not in ("http", "https"):
            raise Invalid(f"{redact(address.url)}: addresses of this kind ({scheme!r}) cannot be streamed")
        return self._http(address)

    def repackaged(self, upstream: Upstream, head: bytes, *, realtime: bool = False) -> Upstream:
        """What `upstream` gives, which begins with `head`, as a transport stream.

        Raises `BadAnswer` when it is nothing that ffmpeg is let near, `Unavailable` without ffmpeg.
        """
        container = container_of(head)
        if container is None:
            what = other_content(head) or f"no stream that is known (it starts with {head[:16]!r})"
            raise BadAnswer(f"the provider sent {redact(what)}")
        words = arguments(COPY, codecs=codecs_of(head, container), container=container, realtime=realtime)
        return FfmpegUpstream([self._programs.path("ffmpeg"), *words], DrainedFeed(upstream))

    def joined(self, picture: Upstream, head: bytes, sound: Upstream, sound_head: bytes) -> Upstream:
        """A picture and the sound that belongs to it, which begin with these bytes, as one transport stream.

        Raises `BadAnswer` when one of them is nothing that ffmpeg is let near, `Unavailable` without ffmpeg.
        """
        container, sound_container = container_of(head), container_of(sound_head)
        if container is None or sound_container is None:
            what = "picture" if container is None else "sound"
            raise BadAnswer(f"the {what} of the HLS stream is no media that is known")
        words = joined_arguments(
            codecs_of(head, container),
            container=container,
            sound_container=sound_container,
            sound_later_s=tagged_clock_s(sound_head),
        )
        return FfmpegUpstream([self._programs.path("ffmpeg"), *words], DrainedFeed(picture), sound=DrainedFeed(sound))

    def _file(self, address: StreamAddress, import_dir: Path) -> Upstream:
        path = native.call(file_source.file_of, address, import_dir)
        head = file_source.head_of(path)
        if container_of(head) == "mpegts":
            return file_source.PacedFile(path, clock=self._clock)
        return self.repackaged(file_source.PlainFile(path), head, realtime=True)

    def _http(self, address: StreamAddress) -> Upstream:
        if not urlsplit(address.url).path.lower().endswith((".m3u8", ".m3u")):
            return Judged(open_upstream(address, open_address=self._open_address), address, self)
        answer = usable(self._open_address(address))
        try:
            begun = BegunAnswer(answer, answer.read1(_READ_BYTES))
        except BaseException:
            answer.close()
            raise
        if looks_like_hls(begun.head):
            return self.playlist(address, begun)
        return Judged(QueuedUpstream(begun), address, self)

    def playlist(self, address: StreamAddress, first: OpenAnswer | None = None) -> Upstream:
        """An HLS stream."""
        return HlsUpstream(
            address,
            open_address=self._open_address,
            clock=self._clock,
            repackage=self.repackaged,
            join=self.joined if self._programs.there() else None,
            first=first,
            settings=self._hls,
        )


class BegunAnswer:
    """An answer whose first bytes were read already; they come again."""

    def __init__(self, answer: OpenAnswer, head: bytes) -> None:
        self.head = head
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.url = answer.url
        self._answer = answer
        self._left = head

    def raw_socket(self) -> None:
        """Not to be had any more."""

    def read1(self, n: int = _READ_BYTES) -> bytes:
        if self._left:
            piece, self._left = self._left[:n], self._left[n:]
            return piece
        return self._answer.read1(n)

    def shutdown(self) -> None:
        self._answer.shutdown()

    def close(self) -> None:
        self._answer.close()


class Pushed:
    """An upstream, and bytes of it that were drained already and come again."""

    def __init__(self, upstream: Upstream, held: bytes) -> None:
        self.ended: str | None = None
        self._upstream = upstream
        self._held = held

    def drain(self, into: memoryview) -> int:
        count = min(len(self._held), len(into))
        into[:count] = self._held[:count]
        self._held = self._held[count:]
        if self._held:
            return count
        filled = count + (self._upstream.drain(into[count:]) if count < len(into) else 0)
        self.ended = self._upstream.ended
        return filled

    def close(self) -> None:
        self._upstream.close()


class Judged:
    """An upstream whose first bytes decide what it really is."""

    def __init__(self, upstream: Upstream, address: StreamAddress, opener: Opener) -> None:
        self.ended: str | None = None
        self._upstream = upstream
        self._address = address
        self._opener = opener
        self._head = b""
        self._decided = False
        self._turning = False
        self._closed = False

    @property
    def stall_s(self) -> float | None:
        """How long silence is normal, when the stream says so."""
        return getattr(self._upstream, "stall_s", None)

    def drain(self, into: memoryview) -> int:
        if self._turning:
            return 0
        filled = self._upstream.drain(into)
        if self._decided or not (filled or self._upstream.ended):
            self.ended = self._upstream.ended
            return filled
        self._head += bytes(into[:filled])
        return self._decide(into)

    def _decide(self, into: memoryview) -> int:
        """Give out what was held back when it is for the channel; else turn to what it really is."""
        head, container = self._head, container_of(self._head)
        if looks_like_hls(head) or container not in (None, "mpegts"):
            self._turning = True
            native.spawn(self._turn, name="upstream turns")
            return 0
        settled = container is not None or len(head) >= _JUDGED_BYTES or other_content(head) is not None
        if not settled and self._upstream.ended is None:
            return 0
        self._decided = True
        self._upstream, self._head = Pushed(self._upstream, head), b""
        filled = self._upstream.drain(into)
        self.ended = self._upstream.ended
        return filled

    def _turn(self) -> None:
        before, head = self._upstream, self._head
        try:
            if looks_like_hls(head):
                before.close()
                turned = self._opener.playlist(self._address)
            else:
                turned = self._opener.repackaged(Pushed(before, head), head)
        except (AerialError, OSError) as error:
            self.ended = redact(str(error))
            return
        self._upstream, self._decided, self._head = turned, True, b""
        self._turning = False
        if self._closed:
            turned.close()

    def close(self) -> None:
        self._closed = True
        self._upstream.close()
