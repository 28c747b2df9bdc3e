"""Writing a lineup as M3U, for Kodi, Jellyfin, Plex, Emby, Channels, TiviMate, tvheadend and VLC. Pure.

Byte-stable: the same lineup gives the same bytes. Jellyfin names a channel by the hash of its address, so an address
holds nothing but our origin and the permanent id.
"""

from collections.abc import Iterator

from stream_service.domain.lineup import LineupView
from stream_service.domain.model import LineupChannel
from stream_service.domain.text import clean
from stream_service.outputs.origin import ORIGIN, logo

PASSED_ON = ("tvg-shift", "tvg-language", "tvg-country", "tvc-guide-stationid")
"""Attributes of the provider that say something of the channel itself, not of its address."""


def write(view: LineupView) -> Iterator[str]:
    """The list's lines, each with its end.

    Both spellings of the guide's address stand in the header: iptvsimple looks for `x-tvg-url` first, others read
    `url-tvg`. An entry always says -1 and its tvg-id: without one iptvsimple takes the duration for the id.
    """
    guide = f"{ORIGIN}/lineups/{view.name}/epg.xml.gz"
    yield f'#EXTM3U x-tvg-url="{guide}" url-tvg="{guide}"\n'
    for channel in view.channels:
        yield _entry(view, channel)


def text(view: LineupView) -> bytes:
    """The whole list."""
    return "".join(write(view)).encode()


def _entry(view: LineupView, channel: LineupChannel) -> str:
    name = written(channel.name) or channel.id
    attributes = {
        "tvg-id": written(view.guide_id(channel)),
        "tvg-name": name,  # the whole name again, for readers that take it from behind the last comma
        "tvg-chno": channel.number,
        "channel-id": channel.id,
        "tvg-logo": logo(written(channel.logo)),
        "group-title": written(channel.group).replace(",", " "),  # a comma would end the attributes for some readers
        "radio": "true" if channel.radio else "",
    }
    if channel.attributes:
        attributes |= {key: written(value) for key in PASSED_ON if (value := channel.attributes.get(key))}
        if view.catchup:
            attributes |= {key: written(value) for key, value in channel.catchup.items()}
    said = " ".join(f'{key}="{value}"' for key, value in attributes.items() if value)
    return f"#EXTINF:-1 {said},{name}\n{ORIGIN}/stream/{channel.id}.ts\n"


def written(text: str) -> str:
    """A value that can stand between quotes: one line, no double quote (no reader knows an escape)."""
    return clean(text.replace('"', "'"))
