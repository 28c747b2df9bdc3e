"""HLS playlists (RFC 8216) as plain values: what to fetch, how to decrypt it, and what is new since the last look.

The `m3u8` library reads the text after it was tidied: real playlists hold bad dates, cue marks of advertisement
servers, durations without numbers, bare carriage returns. Only lines that matter here are handed to it, so that nothing
else can make it fail. Every address is resolved against the address that the playlist really came from, after
redirects; whether it may be fetched is judged where it is fetched.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

import m3u8

from servicekit.errors import BadAnswer
from servicekit.redact import redact

LIVE_SEGMENTS = 4
"""A live playlist is entered so many segments before its end: three to fill players, one in hand against late ones."""
MAX_TARGET_S = 60.0
_DEFAULT_TARGET_S = 6.0
_TAG = re.compile(r"#(EXT[A-Z0-9-]*)(?::(.*))?", re.ASCII)
_DURATION = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]*)?(?:[eE][0-9]+)?)", re.ASCII)
_WHOLE = re.compile(r"\s*-?[0-9]{1,18}\s*", re.ASCII)
_BYTE_RANGE = re.compile(r"\s*\"?([0-9]{1,15})(?:@([0-9]{1,15}))?\"?\s*", re.ASCII)
_IV = re.compile(r"0[xX][0-9a-fA-F]{1,32}", re.ASCII)
_BANDWIDTH = re.compile(r"(?:^|,)BANDWIDTH=[0-9]+", re.ASCII)
_PLAIN_TAGS = frozenset(
    {
        "EXTM3U", "EXT-X-DISCONTINUITY", "EXT-X-ENDLIST", "EXT-X-GAP", "EXT-X-I-FRAMES-ONLY", "EXT-X-KEY", "EXT-X-MAP",
        "EXT-X-MEDIA", "EXT-X-BYTERANGE",
    }
)  # fmt: skip
_NUMBER_TAGS = frozenset({"EXT-X-TARGETDURATION", "EXT-X-MEDIA-SEQUENCE"})


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Part of a resource: `length` bytes from byte `start`."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Key:
    """AES-128: where the key is, and the initialization vector when the playlist gives one."""

    url: str
    iv: bytes | None = None


@dataclass(frozen=True, slots=True)
class Init:
    """The initialization section (EXT-X-MAP) of fragmented MP4."""

    url: str
    part: ByteRange | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of media. `discontinuity`: what comes does not continue what came before it."""

    url: str
    sequence: int
    duration_s: float
    part: ByteRange | None = None
    key: Key | None = None
    init: Init | None = None
    discontinuity: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Media:
    """A playlist of segments. `numbered`: it says where its first segment stands."""

    target_s: float
    segments: tuple[Segment, ...]
    ended: bool
    numbered: bool


@dataclass(frozen=True, slots=True)
class Variant:
    """One rendition of a master playlist. `sound_url`: the playlist of its sound when that stands apart."""

    url: str
    bandwidth_bps: int
    has_video: bool
    sound_url: str | None = None


@dataclass(frozen=True, slots=True)
class Master:
    """A playlist of playlists."""

    variants: tuple[Variant, ...]


def looks_like_hls(head: bytes) -> bool:
    """True when the first bytes of an answer are an HLS playlist; a plain M3U list, without tags of HLS, is none.

    Comments and blank lines may stand before `#EXTM3U`, which some servers send late or not at all.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"#") and b"#EXT-X-" in text


def read_playlist(text: str, url: str) -> Master | Media:
    """The playlist that came from `url`. Raises `BadAnswer` for what is none, or what cannot be played."""
    if not looks_like_hls(text[:4096].encode("utf-8", "replace")):
        raise BadAnswer(f"{redact(url)} sent no HLS playlist (it starts with {redact(text[:40])!r})")
    tags = set(re.findall(r"^\s*#(EXT-X-[A-Z0-9-]+)", text, re.MULTILINE))
    if "EXT-X-I-FRAMES-ONLY" in tags:
        raise BadAnswer(f"{redact(url)} is a playlist of single pictures (I-frames only), which is no stream")
    try:
        found = m3u8.loads("\n".join(_tidied(text)))
        if found.is_variant:
            return _master(found, url)
        return _media(found, url, numbered="EXT-X-MEDIA-SEQUENCE" in tags)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadAnswer(f"the HLS playlist of {redact(url)} cannot be read: {redact(str(error))}") from error


def choose(master: Master, most_bps: int, *, joins_sound: bool = True) -> list[Variant]:
    """The variants in the order they are to be tried: the best one first.

    With video before without, sound within before sound apart unless that can be joined, then the highest bandwidth
    that is not over `most_bps` (0: no limit), then, for want of better, the others from the lowest up.
    """

    def rank(one: Variant) -> tuple[bool, bool, bool, int]:
        over = bool(most_bps) and one.bandwidth_bps > most_bps
        silent = one.sound_url is not None and not joins_sound
        return not one.has_video, silent, over, one.bandwidth_bps if over else -one.bandwidth_bps

    return sorted(master.variants, key=rank)


class NewSegments:
    """Which segments of each look at a live playlist were not there before."""

    def __init__(self) -> None:
        self.gaps = 0
        """How often segments were missing between two looks."""
        self._last: Segment | None = None
        self._behind = 0

    def of(self, media: Media) -> list[Segment]:
        """The new ones, in order; the first one is marked when it does not continue the one before.

        The first look at a live playlist takes its last few, at one that has ended all. Numbers that fall far back
        are a restart of the server's; a little back is an old copy from a cache, which is left out.
        """
        fresh, continues = self._fresh(media)
        if not fresh:
            return []
        if self._last is not None and not continues:
            self.gaps += 1
            fresh[0] = replace(fresh[0], discontinuity=True)
        self._last = fresh[-1]
        self._behind = 0
        return fresh

    def _fresh(self, media: Media) -> tuple[list[Segment], bool]:
        segments = list(media.segments)
        last = self._last
        if not segments:
            return [], True
        if last is None:
            return (segments if media.ended else segments[-LIVE_SEGMENTS:]), True
        if not media.numbered:
            return _behind_address(segments, last)
        newest = segments[-1].sequence
        if newest < last.sequence:
            self._behind += 1
            if newest + len(segments) >= last.sequence and self._behind < 3:
                return [], True  # an older copy
            return segments[-LIVE_SEGMENTS:], False
        fresh = [one for one in segments if one.sequence > last.sequence]
        return fresh, bool(fresh) and fresh[0].sequence == last.sequence + 1


def _behind_address(segments: list[Segment], last: Segment) -> tuple[list[Segment], bool]:
    """Those behind the last one taken, found by its address, for playlists that do not number."""
    for at in range(len(segments) - 1, -1, -1):
        if segments[at].url == last.url and segments[at].part == last.part:
            return segments[at + 1 :], True
    return segments[-LIVE_SEGMENTS:], False


def _tidied(text: str) -> Iterator[str]:
    """The lines that matter, each in a form the library can read."""
    yield "#EXTM3U"
    for raw in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        line = raw.strip(" \t\ufeff\0")
        if not line.startswith("#"):
            if line:
                yield line.replace(" ", "%20")
            continue
        found = _TAG.fullmatch(line)
        if found is not None and (kept := _tidied_tag(found[1], found[2] or "")) is not None:
            yield kept


def _tidied_tag(name: str, value: str) -> str | None:
    if name == "EXTINF":
        duration = _DURATION.match(value)
        return f"#EXTINF:{duration[1] if duration else 0},"
    if name in _NUMBER_TAGS:
        return f"#{name}:{value.strip()}" if _WHOLE.fullmatch(value) else None
    if name == "EXT-X-STREAM-INF":
        return f"#{name}:{value}" if _BANDWIDTH.search(value) else f"#{name}:BANDWIDTH=0,{value}"
    if name == "EXT-X-BYTERANGE" and not _BYTE_RANGE.fullmatch(value):
        return None
    return (f"#{name}:{value}" if value else f"#{name}") if name in _PLAIN_TAGS and name != "EXTM3U" else None


def _master(found: Any, url: str) -> Master:
    variants = []
    for one in found.playlists:
        info = one.stream_info
        if not one.uri:
            continue
        codecs = (info.codecs or "").lower()
        video = not codecs or bool(info.resolution) or any(mark in codecs for mark in ("avc", "hvc", "hev", "mp4v"))
        variants.append(Variant(urljoin(url, one.uri), info.bandwidth or 0, video, _sound(one, url)))
    if not variants:
        raise BadAnswer(f"the HLS playlist of {redact(url)} names no stream")
    return Master(tuple(variants))


def _sound(variant: Any, url: str) -> str | None:
    """The playlist of the sound that belongs to a variant: the group's default, else its first; None within it."""
    group = [one for one in variant.media if one.type == "AUDIO"]
    chosen = next((one for one in group if one.default == "YES"), group[0] if group else None)
    if chosen is None or not chosen.uri:
        return None
    sound_url = urljoin(url, chosen.uri)
    return sound_url if sound_url != urljoin(url, variant.uri) else None


def _media(found: Any, url: str, *, numbered: bool) -> Media:
    durations = [one.duration for one in found.segments if one.duration and 0 < one.duration <= MAX_TARGET_S]
    target_s = float(found.target_duration or 0) or max(durations, default=_DEFAULT_TARGET_S)
    target_s = min(max(target_s, 0.1), MAX_TARGET_S)
    first = found.media_sequence or 0
    segments: list[Segment] = []
    ends: dict[str, int] = {}
    for at, one in enumerate(found.segments):
        address = urljoin(url, one.uri)
        duration_s = one.duration if one.duration and 0 < one.duration <= 2 * target_s + 1 else target_s
        segments.append(
            Segment(
                url=address,
                sequence=first + at,
                duration_s=float(duration_s),
                part=_part(one.byterange, address, ends),
                key=_key(one.key, url),
                init=_init(one.init_section, url),
                discontinuity=bool(one.discontinuity),
                missing=bool(one.gap_tag),
            )
        )
    return Media(target_s, tuple(segments), bool(found.is_endlist), numbered)


def _part(text: str | None, address: str, ends: dict[str, int]) -> ByteRange | None:
    """A byte range; without a start it follows the one before of the same resource (`ends`, which is kept up)."""
    found = _BYTE_RANGE.fullmatch(text) if text else None
    if found is None:
        return None
    part = ByteRange(int(found[2]) if found[2] else ends.get(address, 0), int(found[1]))
    ends[address] = part.start + part.length
    return part


def _key(key: Any, url: str) -> Key | None:
    if key is None or not key.method or key.method == "NONE":
        return None
    if key.method != "AES-128" or (key.keyformat or "identity") != "identity":
        raise BadAnswer(f"the stream of {redact(url)} is protected by {key.method}: only AES-128 can be decrypted")
    if not key.uri:
        raise BadAnswer(f"the HLS playlist of {redact(url)} names a key without its address")
    iv = int(key.iv, 16).to_bytes(16, "big") if key.iv and _IV.fullmatch(key.iv) else None
    return Key(urljoin(url, key.uri), iv)


def _init(section: Any, url: str) -> Init | None:
    if section is None or not section.uri:
        return None
    address = urljoin(url, section.uri)
    return Init(address, _part(section.byterange, address, {}))


def burst_s(segments: Sequence[Segment]) -> float:
    """How much of the first look may be passed on at once: all but the last segment, which is kept in hand."""
    return sum(one.duration_s for one in segments[:-1]) if len(segments) > 1 else sum(s.duration_s for s in segments)
