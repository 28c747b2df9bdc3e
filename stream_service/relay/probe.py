"""What a channel really sends: a few seconds of it, looked at by ffprobe.

The seconds come from the hub, as a viewer's would: a channel that runs is asked for nothing more of its provider, one
that does not run is opened as for a viewer, within the same limits. What was found is kept for a while.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from servicekit.clock import Clock, iso
from servicekit.errors import BadAnswer
from stream_service.domain.model import ChannelTarget
from stream_service.relay.ffmpeg import Programs, output_of
from stream_service.relay.mpegts import PACKET_BYTES, Scanner
from stream_service.relay.segmenter import pts_of
from stream_service.relay.transcode import Follow

_PROBE_LIMIT_S = 15.0
_SAMPLE_S = 3.0
_SAMPLE_BYTES = 6 * 1024 * 1024
_KEPT_S = 600.0
_KEPT_CHANNELS = 500
_PTS_HZ = 90_000


@dataclass(frozen=True, slots=True)
class _Known:
    streams: tuple[int, ...]
    at_s: float
    found: dict[str, object]


class Prober:
    """Probes channels, one at a time."""

    def __init__(self, *, programs: Programs, follow: Follow, clock: Clock, sample_s: float = _SAMPLE_S) -> None:
        self._programs = programs
        self._follow = follow
        self._clock = clock
        self._sample_s = sample_s
        self._known: dict[str, _Known] = {}
        self._one = threading.Lock()

    def probe(self, target: ChannelTarget, *, again: bool = False) -> dict[str, object]:
        """What the channel sends; as found within the last ten minutes unless `again`.

        Raises `Unavailable` (no ffprobe, the channel does not come), `BadAnswer` (nothing that can be read).
        """
        streams = tuple(one.id for one in target.streams)
        with self._one:
            known = self._known.get(target.id)
            now_s = self._clock.monotonic()
            if not again and known is not None and known.streams == streams and now_s - known.at_s < _KEPT_S:
                return known.found | {"cached": True}
            program = self._programs.path("ffprobe")
            sample = self._sample(target)
            found = self._looked_at(program, target, sample)
            if len(self._known) >= _KEPT_CHANNELS:
                del self._known[next(iter(self._known))]
            self._known[target.id] = _Known(streams, now_s, found)
            return found | {"cached": False}

    def _sample(self, target: ChannelTarget) -> bytes:
        feed = self._follow(target, address="ffprobe", user_agent="probe")
        data = bytearray()
        until_s = self._clock.monotonic() + self._sample_s
        try:
            for piece in feed:
                data += piece
                if len(data) >= _SAMPLE_BYTES or self._clock.monotonic() >= until_s:
                    break
        finally:
            feed.close()
        return bytes(data)

    def _looked_at(self, program: str, target: ChannelTarget, sample: bytes) -> dict[str, object]:
        words = ["-v", "quiet", "-protocol_whitelist", "pipe", "-f", "mpegts", "-print_format", "json", "-show_streams"]
        said, _ = output_of([program, *words, "-i", "pipe:0"], sample, limit_s=_PROBE_LIMIT_S)
        try:
            streams = [_stream(one) for one in json.loads(said.decode("utf-8", "replace"))["streams"]]
        except (ValueError, LookupError, TypeError) as error:
            raise BadAnswer(f"channel {target.name}: ffprobe could not read its {len(sample)} bytes") from error
        if not streams:
            raise BadAnswer(f"channel {target.name}: its {len(sample)} bytes hold neither picture nor sound")
        bitrate = bitrate_bps(sample)
        return {
            "channel_id": target.id,
            "probed_at": iso(self._clock.now_s()),
            "bytes": len(sample),
            "bitrate_mbps": round(bitrate / 1e6, 3) if bitrate else None,
            "streams": streams,
        }


def bitrate_bps(packets: bytes) -> float | None:
    """Bits per second of whole packets, by the presentation times of their picture, or of their sound."""
    scanner = Scanner()
    scanner.feed(packets)
    times: dict[int, list[tuple[int, int]]] = {}
    for at in range(0, len(packets) - PACKET_BYTES + 1, PACKET_BYTES):
        if packets[at] == 0x47 and packets[at + 1] & 0x40 and (pts := pts_of(packets, at)) is not None:
            times.setdefault((packets[at + 1] & 0x1F) << 8 | packets[at + 2], []).append((at, pts))
    if not times:
        return None
    found = times.get(scanner.video_pid or -1) or max(times.values(), key=len)
    (first_at, _), (last_at, _) = found[0], found[-1]
    span = max(pts for _, pts in found) - min(pts for _, pts in found)
    return (last_at - first_at) * 8 * _PTS_HZ / span if span > 0 else None


_NUMBERS: dict[str, Callable[[Any], object]] = {
    "width": int, "height": int, "channels": int, "sample_rate": int, "bit_rate": int,
}  # fmt: skip


def _stream(said: dict[str, Any]) -> dict[str, object]:
    """One stream, without what ffprobe could not tell."""
    found: dict[str, object] = {"type": said.get("codec_type"), "codec": said.get("codec_name")}
    for key in ("profile", "pix_fmt", "field_order", "channel_layout"):
        if said.get(key) not in (None, "unknown"):
            found[key] = str(said[key])
    for key, read in _NUMBERS.items():
        if str(said.get(key, "")).isascii() and str(said.get(key, "")).isdigit():
            found[key] = read(said[key])
    rate = str(said.get("avg_frame_rate") or "0/0")
    above, _, below = rate.partition("/")
    if above.isdigit() and below.isdigit() and int(below) and int(above):
        found["fps"] = round(int(above) / int(below), 3)
    language = (said.get("tags") or {}).get("language")
    if language:
        found["language"] = str(language)
    return found
