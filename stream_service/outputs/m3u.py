"""Writing a lineup as M3U, for Kodi, Jellyfin, Plex, Emby, Channels, TiviMate, tvheadend and VLC. Pure.

Byte-stable: the same lineup gives the same bytes. Jellyfin names a channel by the hash of its address, so an address
holds nothing but our origin and the permanent id.
"""

from collections.abc import Iterator, Mapping
from itertools import islice

from stream_service.domain.catchup import archive_days
from stream_service.domain.lineup import LineupView, way_of
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
    return f"#EXTINF:-1 {' '.join(said)},{name}\n{ORIGIN}/stream/{channel.id}.ts{_way(view)}\n"


def _way(view: LineupView) -> str:
    return way_of(view.name, view.delivery, view.plain_delivery)


def _passed_on(view: LineupView, channel: LineupChannel) -> list[str]:
    """What the provider said of the channel and players understand."""
    said = {"radio": "true"} if channel.radio else {}
    said |= {key: value for key in PASSED_ON if (value := channel.attributes.get(key))}
    texts = {key: written(value) for key, value in said.items()} | (_past(channel, _way(view)) if view.catchup else {})
    return [f'{key}="{text}"' for key, text in texts.items() if text]


def _past(channel: LineupChannel, way: str) -> dict[str, str]:
    """How players ask for what was on, where the provider keeps it.

    The provider's words are passed on where they hold for our addresses too. Other ways are for its own addresses, and
    its template may hold its login: then one of ours stands there, behind which all of them are known.
    """
    told = channel.catchup
    days = archive_days(told)
    if not days:
        return {}
    if not way and _holds_here(told):
        return {key: written(value) for key, value in told.items()}
    template = f"{ORIGIN}/stream/{channel.id}.ts{f'{way}&' if way else '?'}utc={{utc}}&duration={{duration}}"
    return {"catchup": "default", "catchup-days": str(days), "catchup-source": template}


def _holds_here(told: Mapping[str, str]) -> bool:
    """Whether a player that follows these words asks us in the way that we know; we correct times ourselves."""
    kind = (told.get("catchup") or told.get("catchup-type", "")).strip().lower()
    asked = "?utc={utc}" if kind == "shift" else told.get("catchup-source", "") if kind == "append" else ""
    return asked.startswith(("?utc={utc}", "?utc=${start}")) and "catchup-correction" not in told


def written(text: str) -> str:
    """A value that can stand between quotes: one line, no double quote (no reader knows an escape)."""
    return clean(text.replace('"', "'") if '"' in text else text)
