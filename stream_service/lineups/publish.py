"""Published texts of lineups: written once, by atomic rename, with a token where our own address stands.

DATA/published/stream/
    catalogue.jsonl                what viewers are served from (0600: it holds the providers' addresses)
    lineups/NAME/playlist.m3u      the M3U, origin token inside
    lineups/NAME/hdhr/…            what it tells as an HDHomeRun tuner
    lineups/NAME/xtream-….json     what an Xtream panel tells of it, and its M3U with a place for name and password
    lineups/NAME/channels.json.gz  the lineup as the guide service gets it
    lineups/NAME/epg.xml[.gz]      the stream port's own copy of the lineup's guide
    rendered/…                     playlists with an origin put in

`RENDERINGS` is the table of what is made of a lineup: a new output is one more row of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import orjson
from isal import igzip

from servicekit.files import atomic_write
from stream_service.domain.lineup import HDHR, M3U, XTREAM, LineupView
from stream_service.domain.model import LineupChannel
from stream_service.outputs import hdhr, m3u, xtream

GUIDE_LOGO_MAX_CHARS = 2_000
CHANNELS = "channels.json.gz"
PLAYLIST = "playlist.m3u"

Renderer = Callable[[LineupView], bytes]
"""Makes a published text of a lineup, our own address as `outputs.origin.ORIGIN`; pure, the same bytes each time."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """A file that is made of each lineup for which `output` (one of `domain.lineup.OUTPUTS`) is switched on."""

    output: str
    render: Renderer


RENDERINGS: Mapping[str, Rendering] = {
    PLAYLIST: Rendering(M3U, m3u.text),
    hdhr.DISCOVER: Rendering(HDHR, hdhr.discover),
    hdhr.LINEUP_JSON: Rendering(HDHR, hdhr.lineup_json),
    hdhr.LINEUP_XML: Rendering(HDHR, hdhr.lineup_xml),
    hdhr.LINEUP_M3U: Rendering(HDHR, hdhr.lineup_m3u),
    hdhr.DEVICE_XML: Rendering(HDHR, hdhr.device_xml),
}
"""File name in `lineups/NAME/` -> how it is made."""


@dataclass(frozen=True, slots=True)
class Family:
    """Files that are made together, of one pass over a lineup's channels."""

    output: str
    names: tuple[str, ...]
    render: Callable[[LineupView, Mapping[str, bytes]], Mapping[str, bytes]]
    """The lineup, and what was made of it already, to the files' texts."""


FAMILIES = (Family(XTREAM, xtream.FILES, xtream.texts),)


class PublishedFiles:
    """Where each published file stands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalogue = root / "catalogue.jsonl"
        self.rendered = root / "rendered"

    def of(self, lineup: str, name: str) -> Path:
        """A file of a lineup by its name, one of `RENDERINGS`."""
        return self.root / "lineups" / lineup / name

    def playlist(self, lineup: str) -> Path:
        """The M3U of a lineup."""
        return self.of(lineup, PLAYLIST)

    def channels(self, lineup: str) -> Path:
        """The lineup as the guide service gets it."""
        return self.of(lineup, CHANNELS)

    def guide(self, lineup: str, *, packed: bool) -> Path:
        """Our copy of a lineup's guide."""
        return self.of(lineup, "epg.xml.gz" if packed else "epg.xml")


def publish_lineup(files: PublishedFiles, view: LineupView) -> str:
    """Write what clients and the guide service get of a lineup; returns the digest of its channels.

    A file whose bytes would be the same is left alone, so that its ETag and time stay. Files of outputs that are
    switched off are removed.
    """
    texts: dict[str, bytes] = {}
    for name, rendering in RENDERINGS.items():
        if rendering.output in view.outputs:
            texts[name] = rendering.render(view)
            put(files.of(view.name, name), texts[name])
        else:
            files.of(view.name, name).unlink(missing_ok=True)
    for family in FAMILIES:
        made = family.render(view, texts) if family.output in view.outputs else {}
        for name in family.names:
            if name in made:
                put(files.of(view.name, name), made[name])
            else:
                files.of(view.name, name).unlink(missing_ok=True)
    return _publish_channels(files, view)


def _publish_channels(files: PublishedFiles, view: LineupView) -> str:
    told = [
        {"id": c.id, "name": c.name, "tvg_id": c.tvg_id, "number": c.number, "group": c.group, "logo": _logo(c)}
        for c in view.channels
    ]
    text = orjson.dumps(told)
    digest = blake2b(text, digest_size=16).hexdigest()
    body = b'{"digest":"%s","channels":%s}' % (digest.encode(), text)
    put(files.channels(view.name), igzip.compress(body, compresslevel=2, mtime=0))
    return digest


def publish_catalogue(files: PublishedFiles, views: Sequence[LineupView]) -> None:
    """Write what viewers are served from: each lineup's name, then its channels, one a line (`catalogue` reads it).

    A channel that stood in a lineup before says only its number in this one.
    """
    told: set[str] = set()
    lines: list[bytes] = []
    for view in views:
        lines.append(orjson.dumps({"lineup": view.name}))
        for channel in view.channels:
            lines.append(orjson.dumps([channel.id, channel.number]) if channel.id in told else _line(channel))
            told.add(channel.id)
    put(files.catalogue, b"".join(line + b"\n" for line in lines), mode=0o600)


def _logo(channel: LineupChannel) -> str:
    """A logo as the guide carries it: none where the address is absurdly long."""
    address = channel.guide_logo if channel.logo.startswith("/") else channel.logo
    return address if len(address) <= GUIDE_LOGO_MAX_CHARS else ""


def _line(channel: LineupChannel) -> bytes:
    streams = [
        [s.id, s.source_id, s.url, dict(s.headers), s.private_ok, s.connection_limit, dict(s.timeouts)]
        for s in channel.streams
    ]
    return orjson.dumps([channel.id, channel.number, channel.name, streams, channel.delivery, channel.xtream_id])


def put(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a published file by atomic rename, unless it holds these bytes already."""
    try:
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            return
    except FileNotFoundError:
        pass
    atomic_write(path, data, mode=mode)
