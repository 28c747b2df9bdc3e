"""What a stream holds, read from its own first bytes: the container, and the codecs that the tables name. Pure."""

from stream_service.domain.profiles import Codecs
from stream_service.relay.mpegts import PACKET_BYTES, Scanner, find_sync, read_table

# Stream types of ISO/IEC 13818-1 table 2-34, ATSC A/53 and A/52.
_VIDEO = {0x01: "mpeg1video", 0x02: "mpeg2video", 0x10: "mpeg4", 0x1B: "h264", 0x24: "hevc", 0x33: "vvc", 0xEA: "vc1"}
_AUDIO = {0x03: "mp2", 0x04: "mp2", 0x0F: "aac", 0x11: "aac_latm", 0x81: "ac3", 0x87: "eac3"}
_DESCRIBED = {0x6A: "ac3", 0x7A: "eac3", 0x7B: "dts"}
_PRIVATE = 0x06
_CLOCK_TAG = b"com.apple.streaming.transportStreamTimestamp\0"
_FLV_VIDEO, _FLV_AVC, _FLV_HEVC = 9, 7, 12


def container_of(head: bytes) -> str | None:
    """The container that a stream begins with, in ffmpeg's words; None when it is none we know."""
    if find_sync(head, 0) >= 0:
        return "mpegts"
    if head[4:8] in (b"ftyp", b"styp", b"moof", b"moov", b"sidx"):
        return "mp4"
    signs = ((b"FLV\x01", "flv"), (b"\x1a\x45\xdf\xa3", "matroska"), (b"OggS", "ogg"), (b"ID3", _after_tag(head)))
    for sign, name in signs:
        if head.startswith(sign):
            return name
    return _bare_audio(head)


def codecs_of(head: bytes, container: str) -> Codecs:
    """The codecs of a stream that begins with `head`, as far as its first bytes tell."""
    if container == "mpegts":
        return program_codecs(head)
    if container in ("aac", "mp3"):
        return Codecs("", container)
    if container == "flv":
        return Codecs(_flv_video(head), None)
    marks = (
        ("h264", (b"avc1", b"avc3", b"V_MPEG4/ISO/AVC")),
        ("hevc", (b"hvc1", b"hev1", b"V_MPEGH/ISO/HEVC")),
    )
    video = next((name for name, words in marks if any(word in head for word in words)), None)
    audio = "aac" if b"mp4a" in head or b"A_AAC" in head else None
    return Codecs(video, audio)


def program_codecs(packets: bytes) -> Codecs:
    """The codecs that the first program map among transport stream packets names."""
    start = find_sync(packets, 0)
    if start < 0:
        return Codecs()
    scanner = Scanner()
    scanner.feed(packets[start:])
    tables = scanner.tables
    for at in range(0, len(tables), PACKET_BYTES):
        found = read_table(tables, at, 0x02)
        if found is not None:
            return _of_map(found[1])
    return Codecs()


def _of_map(section: bytes) -> Codecs:
    video, audio = "", ""
    at = 12 + ((section[10] & 0x0F) << 8 | section[11])
    while at + 5 <= len(section) - 4:
        kind, more = section[at], (section[at + 3] & 0x0F) << 8 | section[at + 4]
        video = video or _VIDEO.get(kind, "")
        audio = audio or _AUDIO.get(kind, "")
        if kind == _PRIVATE:
            audio = audio or _described(section[at + 5 : at + 5 + more])
        at += 5 + more
    return Codecs(video, audio)


def _described(descriptors: bytes) -> str:
    """The audio codec that descriptors of a private stream name (DVB)."""
    at = 0
    while at + 2 <= len(descriptors):
        if descriptors[at] in _DESCRIBED:
            return _DESCRIBED[descriptors[at]]
        if descriptors[at] == 0x05 and descriptors[at + 2 : at + 6] in (b"Opus", b"HEVC"):
            return "opus" if descriptors[at + 2 : at + 6] == b"Opus" else ""
        at += 2 + descriptors[at + 1]
    return ""


def _flv_video(head: bytes) -> str | None:
    at = 13
    while at + 12 <= len(head):
        size = int.from_bytes(head[at + 1 : at + 4], "big")
        if head[at] == _FLV_VIDEO:
            return {_FLV_AVC: "h264", _FLV_HEVC: "hevc"}.get(head[at + 11] & 0x0F)
        at += 11 + size + 4
    return None


def tagged_clock_s(head: bytes) -> float:
    """When a bare sound segment of HLS begins on its stream's clock, from its ID3 tag (RFC 8216, 3.4); 0 without."""
    at = head.find(_CLOCK_TAG) + len(_CLOCK_TAG)
    if not head.startswith(b"ID3") or at < len(_CLOCK_TAG) or len(head) < at + 8:
        return 0.0
    return (int.from_bytes(head[at : at + 8], "big") & (1 << 33) - 1) / 90_000


def _after_tag(head: bytes) -> str:
    """What follows an ID3 tag: MP3 or AAC."""
    if len(head) < 10:
        return "mp3"
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return _bare_audio(head[10 + size :]) or "mp3"


def _bare_audio(head: bytes) -> str | None:
    if len(head) >= 2 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:
            return "aac"
        if head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
            return "mp3"
    return None
