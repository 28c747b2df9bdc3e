"""Broadcasts of the past: which channels have an archive at their provider, and at which address a stretch of it is."""

import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, tzinfo

import orjson

from servicekit.clock import Clock
from servicekit.errors import NotFound
from stream_service.domain.catchup import Stretch, archive_address
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.lineups.publish import PublishedFiles
from stream_service.outputs import xtream

_Kept = Mapping[str, Mapping[str, str]]
_NOTHING: Mapping[str, str] = {}


class Archives:
    """Reads published files, each once as long as it stays the same. Every call may wait for a disk.

    `zone_name`: the zone in which a source's panel writes times of day, '' where it told none; raises `NotFound`.
    """

    def __init__(self, files: PublishedFiles, *, zone_name: Callable[[int], str], clock: Clock) -> None:
        self._files = files
        self._zone_name = zone_name
        self._clock = clock
        self._read: dict[str, tuple[tuple[int, int], _Kept]] = {}

    def of(self, lineup: str, xtream_id: int) -> Mapping[str, str]:
        """The catch-up attributes of a channel; none where its provider keeps nothing."""
        path = self._files.of(lineup, xtream.ARCHIVES)
        try:
            state = path.stat()
        except FileNotFoundError:
            return _NOTHING
        stamp = (state.st_mtime_ns, state.st_ino)
        known = self._read.get(lineup)
        if known is None or known[0] != stamp:
            known = (stamp, orjson.loads(path.read_bytes()))
            self._read[lineup] = known
        return known[1].get(str(xtream_id), _NOTHING)

    def address(self, lineup: str, target: ChannelTarget, start_s: int, duration_s: int) -> StreamAddress | None:
        """Where the channel's provider has a stretch of the past; None where it has none."""
        catchup = self.of(lineup, target.xtream_id)
        if not catchup:
            return None
        for stream in target.streams:
            zone = self._zone(stream.source_id)
            url = archive_address(stream.url, catchup, Stretch(start_s, duration_s, self._clock.now_s(), zone))
            if url is not None:
                return replace(stream, url=url)
        return None

    def _zone(self, source_id: int) -> tzinfo:
        try:
            return zoneinfo.ZoneInfo(self._zone_name(source_id) or "UTC")
        except (NotFound, zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return UTC  # a panel that names no zone there is: most of them mean UTC
