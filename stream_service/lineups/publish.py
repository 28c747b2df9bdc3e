"""Published texts of lineups: written once, by atomic rename, with a token where our own address stands.

DATA/published/stream/
    catalogue.jsonl                what viewers are served from (0600: it holds the providers' addresses)
    lineups/NAME/playlist.m3u      the M3U, origin token inside
    lineups/NAME/channels.json.gz  the lineup as the guide service gets it
    lineups/NAME/epg.xml[.gz]      the stream port's own copy of the lineup's guide
    rendered/…                     playlists with an origin put in
"""

import gzip
import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

from servicekit.files import atomic_write
from stream_service.domain.model import ChannelTarget, LineupChannel
from stream_service.outputs import m3u

GUIDE_LOGO_MAX_CHARS = 2_000


class PublishedFiles:
    """Where each published file stands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalogue = root / "catalogue.jsonl"
        self.rendered = root / "rendered"

    def playlist(self, lineup: str) -> Path:
        """The M3U of a lineup."""
        return self.root / "lineups" / lineup / "playlist.m3u"

    def channels(self, lineup: str) -> Path:
        """The lineup as the guide service gets it."""
        return self.root / "lineups" / lineup / "channels.json.gz"

    def guide(self, lineup: str, *, packed: bool) -> Path:
        """Our copy of a lineup's guide."""
        return self.root / "lineups" / lineup / ("epg.xml.gz" if packed else "epg.xml")


def publish_lineup(files: PublishedFiles, lineup: str, channels: Sequence[LineupChannel]) -> str:
    """Write what clients and the guide service get of a lineup; returns the digest of its channels.

    A file whose bytes would be the same is left alone, so that its ETag and time stay.
    """
    _put(files.playlist(lineup), "".join(m3u.write(lineup, channels)).encode())
    told = [
        {"id": c.id, "name": c.name, "tvg_id": c.tvg_id, "number": c.number, "group": c.group, "logo": _logo(c.logo)}
        for c in channels
    ]
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    digest = blake2b(text.encode(), digest_size=16).hexdigest()
    body = f'{{"digest":"{digest}","channels":{text}}}'.encode()
    _put(files.channels(lineup), gzip.compress(body, compresslevel=5, mtime=0))
    return digest


def publish_catalogue(files: PublishedFiles, channels: Iterable[LineupChannel]) -> None:
    """Write what viewers are served from, one channel a line; a channel that stands twice counts once."""
    by_id = {c.id: ChannelTarget(c.id, c.number, c.name, c.streams, c.delivery) for c in channels}
    lines = [_line(target) for target in by_id.values()]
    _put(files.catalogue, "".join(lines).encode(), mode=0o600)


def _logo(address: str) -> str:
    """A logo as the guide carries it: none where the address is absurdly long."""
    return address if len(address) <= GUIDE_LOGO_MAX_CHARS else ""


def _line(target: ChannelTarget) -> str:
    streams = [
        [s.id, s.source_id, s.url, dict(s.headers), s.private_ok, s.connection_limit, dict(s.timeouts)]
        for s in target.streams
    ]
    return json.dumps([target.id, target.number, target.name, streams, target.delivery], ensure_ascii=False) + "\n"


def _put(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    try:
        if path.read_bytes() == data:
            return
    except FileNotFoundError:
        pass
    atomic_write(path, data, mode=mode)
