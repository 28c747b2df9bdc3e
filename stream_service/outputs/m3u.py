"""Writing a lineup as M3U, for Kodi, Jellyfin, Plex, Emby, Channels, TiviMate, tvheadend and VLC. Pure.

Byte-stable: the same lineup gives the same bytes. Jellyfin names a channel by the hash of its address, so an address
holds nothing but our origin and the permanent id.
"""

from collections.abc import Iterable, Iterator

from stream_service.domain.model import LineupChannel
from stream_service.domain.text import clean
from stream_service.outputs.origin import ORIGIN, logo


def write(lineup: str, channels: Iterable[LineupChannel]) -> Iterator[str]:
    """The list's lines, each with its end. `channels` in the order of the list; `lineup` is its name.

    Both spellings of the guide's address stand in the header: iptvsimple looks for `x-tvg-url` first, others read
    `url-tvg`. An entry always says -1 and its tvg-id: without one iptvsimple takes the duration for the id.
    """
    guide = f"{ORIGIN}/lineups/{lineup}/epg.xml.gz"
    yield f'#EXTM3U x-tvg-url="{guide}" url-tvg="{guide}"\n'
    for channel in channels:
        yield _entry(channel)


def _entry(channel: LineupChannel) -> str:
    name = written(channel.name) or channel.id
    attributes = {
        "tvg-id": channel.id,
        "tvg-name": name,  # the whole name again, for readers that take it from behind the last comma
        "tvg-chno": channel.number,
        "channel-id": channel.id,
        "tvg-logo": logo(written(channel.logo)),
        "group-title": written(channel.group).replace(",", " "),  # a comma would end the attributes for some readers
        "radio": "true" if channel.attributes.get("radio", "").lower() == "true" else "",
    }
    said = " ".join(f'{key}="{value}"' for key, value in attributes.items() if value)
    return f"#EXTINF:-1 {said},{name}\n{ORIGIN}/stream/{channel.id}.ts\n"


def written(text: str) -> str:
    """A value that can stand between quotes: one line, no double quote (no reader knows an escape)."""
    return clean(text.replace('"', "'"))
