"""Published texts of lineups: written once, by atomic rename, with a token where our own address stands.

DATA/published/stream/
    catalogue.jsonl                what viewers are served from (0600: it holds the providers' addresses)
    lineups/NAME/catalogue.part    the lineup's part of that
    lineups/NAME/playlist.m3u      the M3U, origin token inside
    lineups/NAME/hdhr/…            what it tells as an HDHomeRun tuner
    lineups/NAME/xtream-….json     what an Xtream panel tells of it, and its M3U with a place for name and password
    lineups/NAME/channels.json.gz  the lineup as the guide service gets it
    lineups/NAME/epg.xml[.gz]      the stream port's own copy of the lineup's guide
    rendered/…                     playlists with an origin put in

`RENDERINGS` and `FAMILIES` are the tables of what is made of a lineup: a new output is one more row of one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import orjson
from isal import igzip

from stream_service.domain.lineup import HDHR, M3U, XTREAM, LineupView
from stream_service.domain.model import LineupChannel
from stream_service.lineups.parts import MODE, PART, assemble, part
from stream_service.lineups.staging import Staging
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
}
"""File name in `lineups/NAME/` -> how it is made."""


@dataclass(frozen=True, slots=True)
class Family:
    """Files that are made together, of one pass over a lineup's channels."""

    output: str
    names: tuple[str, ...]
    render: Callable[[LineupView, Mapping[str, bytes]], Iterable[tuple[str, Iterable[bytes]]]]
    """The lineup, and its playlist if it has one, to the files' names and texts, in pieces: they are large."""


FAMILIES = (Family(HDHR, hdhr.FILES, hdhr.texts), Family(XTREAM, xtream.FILES, xtream.texts))


class PublishedFiles:
    """Where each published file stands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalogue = root / "catalogue.jsonl"
        self.rendered = root / "rendered"

    def folder(self, lineup: str) -> Path:
        """The directory of a lineup's files."""
        return self.root / "lineups" / lineup

    def of(self, lineup: str, name: str) -> Path:
        """A file of a lineup by its name, of `RENDERINGS` or `FAMILIES`."""
        return self.folder(lineup) / name

    def lineups(self) -> list[str]:
        """Lineups of which anything was published."""
        folder = self.root / "lineups"
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def playlist(self, lineup: str) -> Path:
        """The M3U of a lineup."""
        return self.of(lineup, PLAYLIST)

    def channels(self, lineup: str) -> Path:
        """The lineup as the guide service gets it."""
        return self.of(lineup, CHANNELS)

    def guide(self, lineup: str, *, packed: bool) -> Path:
        """Our copy of a lineup's guide."""
        return self.of(lineup, "epg.xml.gz" if packed else "epg.xml")


def render(view: LineupView, staging: Staging) -> str:
    """Stage what clients and the guide service get of a lineup; returns the digest of its channels.

    Files of outputs that are switched off are removed.
    """
    made: dict[str, bytes] = {}
    for name, rendering in RENDERINGS.items():
        if rendering.output in view.outputs:
            text = rendering.render(view)
            staging.put(name, (text,))
            if name == PLAYLIST:
                made[name] = text
        else:
            staging.drop(name)
    for family in FAMILIES:
        left = set(family.names)
        if family.output in view.outputs:
            for name, pieces in family.render(view, made):
                staging.put(name, pieces)
                left.discard(name)
        for name in sorted(left):
            staging.drop(name)
    return _render_channels(view, staging)


def _render_channels(view: LineupView, staging: Staging) -> str:
    told = [
        {"id": c.id, "name": c.name, "tvg_id": c.tvg_id, "number": c.number, "group": c.group, "logo": _logo(c)}
        for c in view.channels
    ]
    text = b'"channels":' + orjson.dumps(told)
    if view.for_guide:
        text += b"," + orjson.dumps(view.for_guide)[1:-1]
    digest = blake2b(text, digest_size=16).hexdigest()
    body = b'{"digest":"%s",%s}' % (digest.encode(), text)
    staging.put(CHANNELS, (igzip.compress(body, compresslevel=2, mtime=0),))
    return digest


def publish_lineup(files: PublishedFiles, view: LineupView) -> str:
    """Render a lineup, put its files and its part of the catalogue in their places; returns the channels' digest."""
    with Staging(files.folder(view.name)) as staging:
        digest = render(view, staging)
        staging.put(PART, part(view), mode=MODE)
        staging.publish()
    return digest


def publish_catalogue(files: PublishedFiles, names: Sequence[str]) -> None:
    """Let viewers be served from what these lineups published, in this order."""
    assemble([files.of(name, PART) for name in names], files.catalogue)


def _logo(channel: LineupChannel) -> str:
    """A logo as the guide carries it: none where the address is absurdly long."""
    address = channel.guide_logo if channel.logo.startswith("/") else channel.logo
    return address if len(address) <= GUIDE_LOGO_MAX_CHARS else ""
