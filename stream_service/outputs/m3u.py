"""Writing a lineup as M3U, for Kodi, Jellyfin, Plex, Emby, Channels, TiviMate, tvheadend and VLC. Pure.

Byte-stable: the same lineup gives the same bytes. Jellyfin names a channel by the hash of its address, so an address
holds nothing but our origin and the permanent id.
"""

from collections.abc import Iterator
from itertools import islice

from stream_service.domain.lineup import LineupView
from stream_service.domain.model import LineupChannel
from stream_service.domain.text import clean
from stream_service.outputs.origin import ORIGIN, logo

PIECE_LINES = 2_000
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
    lines = write(view)
    return b"".join(iter(lambda: "".join(islice(lines, PIECE_LINES)).encode(), b""))


def _entry(view: LineupView, channel: LineupChannel) -> str:
    name = written(channel.name) or channel.id
    said = [f'tvg-id="{channel.id if view.tvg_id == "own" else written(view.guide_id(channel))}"']
    own_name = written(channel.attributes.get("tvg-name", "")) if channel.attributes else ""
    said.append(f'tvg-name="{own_name or name}"')  # the whole name again, for readers that take it from the last comma
    said.append(f'tvg-chno="{channel.number}" channel-id="{channel.id}"')
    if picture := logo(written(channel.logo)):
        said.append(f'tvg-logo="{picture}"')
    if group := written(channel.group).replace(",", " "):  # a comma would end the attributes for some readers
        said.append(f'group-title="{group}"')
    if channel.attributes:
        said += _passed_on(view, channel)
    return f"#EXTINF:-1 {' '.join(said)},{name}\n{ORIGIN}/stream/{channel.id}.ts\n"


def _passed_on(view: LineupView, channel: LineupChannel) -> list[str]:
    """What the provider said of the channel and players understand."""
    said = {"radio": "true"} if channel.radio else {}
    said |= {key: value for key in PASSED_ON if (value := channel.attributes.get(key))}
    if view.catchup:
        said |= channel.catchup
    texts = {key: text for key, value in said.items() if (text := written(value))}
    if "://" in texts.get("catchup-source", ""):  # the provider's own address, with its login: ours leads there too
        texts["catchup-source"] = f"{ORIGIN}/stream/{channel.id}.ts?utc={{utc}}&duration={{duration}}"
    return [f'{key}="{text}"' for key, text in texts.items()]


def written(text: str) -> str:
    """A value that can stand between quotes: one line, no double quote (no reader knows an escape)."""
    return clean(text.replace('"', "'") if '"' in text else text)
