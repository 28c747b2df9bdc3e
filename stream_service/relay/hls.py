"""An HLS stream as an upstream: playlists followed, segments fetched, decrypted and given out as they play.

    playlist ── variants ── new segments ── fetch ── decrypt ── lumps with their duration ── the wheel drains
       ▲                                                   └── no transport stream? through ffmpeg, unchanged
       │      sound in a playlist of its own? a second reader, and ffmpeg joins the two, unchanged
       └── again after a target duration, half of it when nothing was new

A reader of its own (a thread, a greenlet under gevent) does the waiting. The address that was asked for is where every
connection begins, never one that a redirect or a master playlist led to. What a playlist names is content: it is
fetched through the same door as everything else, http(s) alone, and headers that may be secrets stay with their origin.

What ends it: the playlist's own end, a playlist that does not change for three target durations, three segments in a
row that cannot be had.
"""

import logging
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servicekit.clock import Clock
from servicekit.errors import AerialError, BadAnswer
from servicekit.redact import redact
from stream_service import native
from stream_service.domain.model import StreamAddress
from stream_service.relay.mpegts import find_sync, other_content
from stream_service.relay.pacing import PacedQueue
from stream_service.relay.playlist import (
    ByteRange,
    Init,
    Key,
    Master,
    Media,
    NewSegments,
    Segment,
    Variant,
    burst_s,
    choose,
    read_playlist,
)
from stream_service.relay.splice import discontinuity_packets
from stream_service.relay.upstream import OpenAddress, OpenAnswer, Upstream

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

log = logging.getLogger(__name__)

Repackage = Callable[[Upstream, bytes], Upstream]
"""Turns what an upstream gives, which starts with these bytes, into a transport stream (ffmpeg)."""

Join = Callable[[Upstream, bytes, Upstream, bytes], Upstream]
"""Makes one transport stream of a picture and its sound, each with its first bytes (ffmpeg)."""

_KEY_BYTES = 16
_KEYS_KEPT = 8
_TRIES = 2
_LOST_IN_A_ROW = 3
_DEEPEST = 2
_READ_BYTES = 65_536
_DECRYPT_BYTES = 512 * 1024
_LARGE_TEXT_CHARS = 32_768
_TEXT_SIGNS = (b"<", b"{", b"#", b"webvtt")
_FOR_ANY_ORIGIN = frozenset({"user-agent", "accept", "accept-language", "referer", "origin"})


@dataclass(frozen=True, slots=True)
class HlsSettings:
    """What an operator may tune, and bounds."""

    most_bandwidth_bps: int = 0
    """The best variant up to this is taken; 0: the best there is."""
    playlist_max_bytes: int = 8 * 1024 * 1024
    segment_max_bytes: int = 64 * 1024 * 1024
    queue_max_bytes: int = 32 * 1024 * 1024
    stall_targets: float = 3.0
    """A playlist that does not change for so many target durations has stopped."""
    stall_min_s: float = 6.0
    sound_wait_s: float = 15.0
    """How long the picture waits for the beginning of its sound."""
    retry_s: float = 0.5
    """The pause before a segment is asked for again."""


class _Stuck(BadAnswer):
    """The stream has stopped: no further try on this connection."""


class HlsUpstream:
    """See the module's words. `first` is the open answer that turned out to be a playlist, None to ask anew.

    `join`: None where sound that stands apart cannot be joined. `is_sound`: this is such a sound; its bytes are passed
    on as they are, and its beginning is told to who waits for it (`wait_for_head`).
    """

    def __init__(
        self,
        address: StreamAddress,
        *,
        open_address: OpenAddress,
        clock: Clock,
        repackage: Repackage,
        join: Join | None = None,
        first: OpenAnswer | None = None,
        settings: HlsSettings | None = None,
        is_sound: bool = False,
    ) -> None:
        self.ended: str | None = None
        self.gaps = 0
        """Segments that could not be had, and numbers that were missing."""
        self.stall_s: float | None = None
        """Three target durations, once they are known: silence of less is no stall."""
        self._settings = settings or HlsSettings()
        self._clock = clock
        self._address = address
        self._open_address = open_address
        self._repackage = repackage
        self._join = join
        self._is_sound = is_sound
        self._sound: HlsUpstream | None = None
        self._head = b""
        self._over: str | None = None
        self._heard = threading.Event()
        self._queue = PacedQueue(clock=clock, max_bytes=self._settings.queue_max_bytes)
        self._door = _Door(address, open_address, self._queue, self._settings)
        self._inner: Upstream | None = None
        self._first = first
        self._new = NewSegments()
        self._init: Init | None = None
        self._begun = False
        self._lost = 0
        self._why_lost = ""
        native.spawn(self._read, name="hls reader")

    def drain(self, into: memoryview) -> int:
        inner = self._inner or self._queue
        filled = inner.drain(into)
        self.ended = inner.ended
        return filled

    def close(self) -> None:
        self._queue.close()
        self._door.wake()
        if self._inner is not None:
            self._inner.close()
        if self._sound is not None:
            self._sound.close()

    def wait_for_head(self, limit_s: float) -> bytes:
        """The stream's first bytes; raises `BadAnswer` when it ends, or none come, before."""
        self._heard.wait(limit_s)
        if not self._head:
            raise BadAnswer(f"the sound of the HLS stream cannot be had: {self._over or 'it does not come'}")
        return self._head

    # -- the reader

    def _read(self) -> None:
        failed = True
        try:
            reason = self._play()
            failed = False
        except (AerialError, OSError, ValueError) as error:
            reason = redact(str(error))
        except Exception:  # the channel has to hear of it, whatever it is
            log.exception("reading an HLS stream failed")
            reason = "an internal error while reading the HLS stream"
        finally:
            self._door.close()
        self._over = reason
        self._heard.set()
        if self._sound is not None and (failed or self._inner is None):
            self._sound.close()  # else ffmpeg would go on with the sound alone
        self._queue.finish(reason)

    def _play(self) -> str:
        variants, media = self._entered(self._door.playlist(self._first), 0)
        url = variants[0].url if variants else self._door.url
        self._read_sound_apart(variants)
        self._queue.burst_s = burst_s(self._new_of(media))
        changed_s = self._clock.monotonic()
        while True:
            limit_s = max(self._settings.stall_targets * media.target_s, self._settings.stall_min_s)
            self.stall_s = limit_s
            began_s = self._clock.monotonic()
            fresh = self._new_of(media, take=True)
            for segment in fresh:
                if not self._deliver(segment):
                    return "closed"
            if self._sound is not None and self._sound._over is not None and not media.ended:
                raise _Stuck(f"its sound has ended: {self._sound._over}")
            if media.ended:
                return "the playlist has ended (EXT-X-ENDLIST)"
            if fresh:
                changed_s = began_s
            elif self._clock.monotonic() - changed_s > limit_s:
                raise _Stuck(f"{redact(url)} did not change for {limit_s:g} s")
            pause_s = (media.target_s if fresh else media.target_s / 2) - (self._clock.monotonic() - began_s)
            if self._queue.pause(max(pause_s, 0.05)):
                return "closed"
            media = self._looked_again(url, media, changed_s + limit_s)

    def _read_sound_apart(self, variants: list[Variant]) -> None:
        """Begin to read the sound of the chosen variant, when it stands apart and can be joined."""
        url = variants[0].sound_url if variants else None
        if url is not None and self._join is not None:
            self._sound = self._reader_of(url)
            if self._queue.closed:
                self._sound.close()

    def _new_of(self, media: Media, *, take: bool = False) -> list[Segment]:
        if not take:
            return NewSegments().of(media)
        fresh = self._new.of(media)
        self.gaps = max(self.gaps, self._new.gaps)
        return fresh

    def _entered(self, found: Master | Media, depth: int) -> tuple[list[Variant], Media]:
        """The media playlist to follow; of a master's variants the first that can be had."""
        if isinstance(found, Media):
            return [], found
        if depth >= _DEEPEST:
            raise BadAnswer("the HLS playlists name one another and no segment")
        why: AerialError | None = None
        for variant in choose(found, self._settings.most_bandwidth_bps, joins_sound=self._join is not None):
            try:
                further, media = self._entered(self._door.playlist_at(variant.url), depth + 1)
            except AerialError as error:
                log.info("HLS variant %s: %s", redact(variant.url), redact(error.detail))
                why = error
                continue
            if variant.sound_url and self._join is None:
                log.warning("HLS variant %s: its sound stands apart; without ffmpeg there is none", redact(variant.url))
            return further or [variant], media
        raise why or BadAnswer("the HLS playlist names no stream")

    def _looked_again(self, url: str, before: Media, until_s: float) -> Media:
        """The playlist as it is now; faults are passed over until it would have stalled anyway.

        Not found or forbidden: what led here may lead elsewhere now, so the original address is asked once more.
        """
        try:
            found = self._door.playlist_at(url)
            if isinstance(found, Media):
                return found
            return self._entered(found, 1)[1]
        except AerialError as error:
            if self._queue.closed or self._clock.monotonic() > until_s:
                raise
            log.info("HLS playlist %s: %s", redact(url), redact(error.detail))
            if url != self._door.url and error.extra.get("status") in (401, 403, 404, 410):
                raise
            return replace(before, ended=False)

    # -- segments

    def _deliver(self, segment: Segment) -> bool:
        """Fetch a segment and queue it; False when nobody wants it. Raises after too many vain ones in a row."""
        data = b"" if segment.missing else self._fetched(segment)
        if self._queue.closed:
            return False
        if not data:
            self.gaps += 1
            self._lost += 1
            if self._lost >= _LOST_IN_A_ROW and not segment.missing:
                raise _Stuck(self._why_lost)
            return True
        if segment.discontinuity and self._begun and (self._sound is not None or self._is_sound):
            raise _Changed("the clock of the stream was set anew")  # which ffmpeg, joining two, could not follow
        torn, self._lost = self._lost > 0 or segment.discontinuity, 0
        if not self._begun:
            self._begin(data)
        elif torn and self._inner is None:
            data = discontinuity_packets(data) + data
        return self._queue.put(data, segment.duration_s)

    def _fetched(self, segment: Segment) -> bytes:
        """The plain bytes of a segment; empty when they cannot be had, the reason is kept."""
        for left in range(_TRIES - 1, -1, -1):
            try:
                data = self._door.segment(segment)
                return self._with_init(segment, data)
            except AerialError as error:
                self._why_lost = redact(error.detail)
                log.info("HLS segment %d: %s", segment.sequence, self._why_lost)
                if self._queue.closed or (left and self._queue.pause(self._settings.retry_s)):
                    break
        return b""

    def _with_init(self, segment: Segment, data: bytes) -> bytes:
        if segment.init is None or segment.init == self._init:
            return data
        if self._begun:
            raise _Changed("the stream's initialization section has changed")
        head = self._door.get(segment.init.url, segment.init.part, self._settings.segment_max_bytes)
        self._init = segment.init
        return head + data

    def _begin(self, data: bytes) -> None:
        """Judge the first segment: a transport stream is passed on, other media through ffmpeg."""
        self._begun = True
        if self._is_sound:
            self._head = data[:65_536]
            self._heard.set()
        elif self._sound is not None and self._join is not None:
            head = self._sound.wait_for_head(self._settings.sound_wait_s)
            self._inner = self._join(self._queue, data[:65_536], self._sound, head)
        elif find_sync(data[:65_536], 0) < 0:
            self._inner = self._repackage(self._queue, data[:65_536])
        if self._inner is not None and self._queue.closed:
            self._inner.close()  # nobody wanted it any more while it began

    def _reader_of(self, url: str) -> "HlsUpstream":
        """A second reader, for the sound; headers that may be secrets stay with their origin."""
        headers = _headers_for(self._address, url)
        return HlsUpstream(
            replace(self._address, url=url, headers=headers),
            open_address=self._open_address,
            clock=self._clock,
            repackage=self._repackage,
            settings=self._settings,
            is_sound=True,
        )


class _Changed(_Stuck):
    """What comes needs a new beginning."""


class _Door:
    """Fetches what playlists name, one answer at a time, within bounds, and can be woken from it."""

    def __init__(
        self, address: StreamAddress, open_address: OpenAddress, queue: PacedQueue, settings: HlsSettings
    ) -> None:
        self.url = address.url
        self._address = address
        self._open_address = open_address
        self._queue = queue
        self._settings = settings
        self._answer: OpenAnswer | None = None
        self._keys: dict[str, bytes] = {}

    def playlist(self, answer: OpenAnswer | None) -> Master | Media:
        """The playlist of the original address, from an answer that is open already if there is one."""
        if answer is None:
            return self.playlist_at(self._address.url)
        return self._read_playlist(answer)

    def playlist_at(self, url: str) -> Master | Media:
        """A playlist; raises `BadAnswer` and what fetching raises."""
        return self._read_playlist(self._open(url))

    def segment(self, segment: Segment) -> bytes:
        """A segment's bytes, decrypted. Raises `BadAnswer` when it is empty, a page or cannot be decrypted."""
        data = self.get(segment.url, segment.part, self._settings.segment_max_bytes)
        if segment.key is not None:
            data = self._decrypted(data, segment.key, segment.sequence)
        if not data:
            raise BadAnswer(f"{redact(segment.url)} is empty")
        start = data[:256].lstrip()[:16].lower()
        if start.startswith(_TEXT_SIGNS):
            what = other_content(data[:256]) or "text"
            raise BadAnswer(f"{redact(segment.url)} is {what}, no segment")
        return data

    def get(self, url: str, part: ByteRange | None, most_bytes: int) -> bytes:
        """The bytes at an address, or a part of them (a server that knows no ranges sends all)."""
        answer = self._open(url, {"Range": f"bytes={part.start}-{part.start + part.length - 1}"} if part else None)
        body = self._body(answer, most_bytes)
        if part is not None and answer.status != 206:
            body = body[part.start : part.start + part.length]
        return body

    def wake(self) -> None:
        """End what is being read, from another thread."""
        answer = self._answer
        if answer is not None:
            answer.shutdown()

    def close(self) -> None:
        """Nothing stays open."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def _open(self, url: str, more: dict[str, str] | None = None) -> OpenAnswer:
        headers = _headers_for(self._address, url)
        return self._open_address(replace(self._address, url=url, headers={**headers, **(more or {})}))

    def _body(self, answer: OpenAnswer, most_bytes: int) -> bytes:
        self._answer = answer
        try:
            pieces, size = [], 0
            while piece := answer.read1(_READ_BYTES):
                if self._queue.closed:
                    raise BadAnswer("closed")
                pieces.append(piece)
                size += len(piece)
                if size > most_bytes:
                    raise BadAnswer(f"{redact(answer.url)} sent more than {most_bytes} bytes")
            return b"".join(pieces)
        finally:
            self.close()

    def _read_playlist(self, answer: OpenAnswer) -> Master | Media:
        body = self._body(answer, self._settings.playlist_max_bytes)
        if body.startswith(b"\x1f\x8b"):
            body = zlib.decompressobj(wbits=31).decompress(body, self._settings.playlist_max_bytes)
        text = body.decode("utf-8", "replace")
        if len(text) > _LARGE_TEXT_CHARS:
            return native.call(read_playlist, text, answer.url)
        return read_playlist(text, answer.url)

    def _decrypted(self, data: bytes, key: Key, sequence: int) -> bytes:
        iv = key.iv if key.iv is not None else (sequence % (1 << 128)).to_bytes(16, "big")
        secret = self._key(key.url)
        if len(data) % 16:
            raise BadAnswer(f"an encrypted segment of {len(data)} bytes is not whole (no multiple of 16)")
        decryptor = native.call(_aes)(secret, iv)
        plain = bytearray()
        for at in range(0, len(data), _DECRYPT_BYTES):
            plain += decryptor.update(data[at : at + _DECRYPT_BYTES])
            time.sleep(0)  # a large segment takes milliseconds, which belong to others too
        padding = plain[-1] if plain else 0
        if 1 <= padding <= 16 and plain.endswith(bytes((padding,)) * padding):
            del plain[-padding:]
        elif find_sync(bytes(plain[:4096]), 0) != 0:
            raise BadAnswer("a segment does not decrypt with the key that the playlist names")
        return bytes(plain)

    def _key(self, url: str) -> bytes:
        if url not in self._keys:
            secret = self.get(url, None, 4096)
            if len(secret) != _KEY_BYTES:
                what = other_content(secret) or f"{len(secret)} bytes"
                raise BadAnswer(f"the key at {redact(url)} is {what} instead of {_KEY_BYTES} bytes")
            if len(self._keys) >= _KEYS_KEPT:
                del self._keys[next(iter(self._keys))]
            self._keys[url] = secret
        return self._keys[url]


def _headers_for(address: StreamAddress, url: str) -> dict[str, str]:
    """The headers of `address` that may go to `url`: all to its own origin, to others those that are no secret."""
    if _origin(url) == _origin(address.url):
        return dict(address.headers)
    return {name: value for name, value in address.headers.items() if name.lower() in _FOR_ANY_ORIGIN}


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", url
    return parts.scheme.lower(), parts.netloc.lower()


@cache
def _aes() -> Callable[[bytes, bytes], "CipherContext"]:
    """(key, first vector) -> what decrypts AES-128 in CBC. Loading it takes 40 ms: not on the loop."""
    # 8 MB, a tenth of the worker: one whose providers encrypt nothing lives without it.
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    return lambda key, iv: Cipher(AES(key), CBC(iv)).decryptor()
