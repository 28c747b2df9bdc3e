"""A lineup as an HDHomeRun tuner, for Plex, Jellyfin, Emby, Channels and Kodi. Pure.

The forms are SiliconDust's: field names and types of `discover.json` and `lineup.json` as clients read them (Jellyfin's
reader throws on a number where text is meant), the checksum of a device's id as libhdhomerun proves it. The `default`
lineup answers at the root of our origin, every other one under `/hdhr/NAME`.
"""

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from html import escape

import orjson

from stream_service.domain.lineup import DEFAULT, LineupView
from stream_service.domain.text import clean
from stream_service.outputs.origin import ORIGIN

DISCOVER = "hdhr/discover.json"
LINEUP_JSON = "hdhr/lineup.json"
LINEUP_XML = "hdhr/lineup.xml"
LINEUP_M3U = "hdhr/lineup.m3u"
DEVICE_XML = "hdhr/device.xml"
FILES = (DISCOVER, LINEUP_JSON, LINEUP_XML, LINEUP_M3U, DEVICE_XML)
"""Names of the published files, beside the lineup's others."""
MODEL = "HDHR5-4US"
"""A model that does not transcode: with an "HDTC" clients would ask for it."""
FIRMWARE = "hdhomerun5_atsc"
FIRMWARE_VERSION = "20190621"
DEVICE_AUTH = "aerial"
TUNED_LIKE_A_DEVICE = frozenset(
    {"none", "heavy", "mobile", "internet720", "internet540", "internet480", "internet360", "internet240"}
)
"""The words of `transcode=` that devices know."""

_text = partial(escape, quote=False)
"""As that of `xml.sax.saxutils`, which loads HTTP and TLS."""
_ORIGIN_IN_JSON = orjson.dumps(ORIGIN)[1:-1]
_CHECK = (0xA, 0x5, 0xF, 0x6, 0x7, 0xC, 0x1, 0xB, 0x9, 0x2, 0x8, 0xD, 0x4, 0x3, 0xE, 0x0)
_UNIQUE_NAMES = uuid.UUID("6e6bb4b6-8cb8-4f0c-9a5c-1d1f0a1a7a10")
_HIGH_DEFINITION = re.compile(r"\b(?:F?HD|UHD|4K|8K|2160p|1080[pi]|720p)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Device:
    """A lineup as a tuner. `id`: eight upper-case hex digits with a valid checksum."""

    lineup: str
    id: str
    tuners: int
    title: str = ""

    @property
    def friendly_name(self) -> str:
        """The name that clients show."""
        name = clean(self.title) or ("" if self.lineup == DEFAULT else self.lineup)
        return f"Aerial {name}".strip()

    @property
    def base(self) -> str:
        """The path under our origin, '' for the root."""
        return "" if self.lineup == DEFAULT else f"/hdhr/{self.lineup}"

    @property
    def udn(self) -> str:
        """The unique name of UPnP: the same for ever, as the id is."""
        return f"uuid:{uuid.uuid5(_UNIQUE_NAMES, self.id)}"


def device_of(view: LineupView) -> Device:
    """A built lineup as a tuner."""
    return Device(view.name, device_id(view.installation, view.name), view.tuner_count, view.title)


def device_id(installation: str, lineup: str) -> str:
    """The id of a lineup's device: always the same for an installation and a lineup's name, else another one.

    It begins 13 to 1F: libhdhomerun takes some ids of 100 to 122 for old devices, which have no HTTP.
    """
    digest = int.from_bytes(blake2b(f"{installation}\n{lineup}".encode(), digest_size=8).digest(), "big")
    nibbles = [1, 3 + digest % 13, *((digest >> shift) & 0xF for shift in range(8, 28, 4))]
    return "".join(f"{nibble:X}" for nibble in [*nibbles, _check_digit(nibbles)])


def valid_device_id(text: str) -> bool:
    """Whether these are eight hex digits with a right checksum, as libhdhomerun proves it."""
    if re.fullmatch(r"[0-9A-Fa-f]{8}", text, re.ASCII) is None:
        return False
    nibbles = [int(digit, 16) for digit in text]
    return _check_digit(nibbles[:7]) == nibbles[7]


def _check_digit(first: Sequence[int]) -> int:
    """The eighth digit: the XOR over all is to be 0, every other one (from the first on) looked up in the table."""
    check = 0
    for place, nibble in enumerate(first):
        check ^= nibble if place % 2 else _CHECK[nibble]
    return check


def discover(view: LineupView) -> bytes:
    """`discover.json`."""
    device = device_of(view)
    base = ORIGIN + device.base
    return _json(
        {
            "FriendlyName": device.friendly_name,
            "Manufacturer": "Silicondust",
            "ModelNumber": MODEL,
            "FirmwareName": FIRMWARE,
            "FirmwareVersion": FIRMWARE_VERSION,
            "DeviceID": device.id,
            "DeviceAuth": DEVICE_AUTH,
            "TunerCount": device.tuners,
            "BaseURL": base,
            "LineupURL": f"{base}/lineup.json",
        }
    )


def read_device(lineup: str, text: bytes) -> Device:
    """The device of a published `discover.json`; raises `ValueError`, `KeyError`."""
    said = json.loads(text, strict=False)  # the token for our origin holds control characters
    return Device(lineup, str(said["DeviceID"]), int(said["TunerCount"]))


Row = tuple[str, str, bool, str]
"""Number, name, whether the name promises high definition, and address of a channel."""


def texts(view: LineupView, made: Mapping[str, bytes]) -> Iterator[tuple[str, tuple[bytes]]]:
    """All published files of a lineup (`FILES`). What they say of its channels is put together once."""
    said = list(rows(view))
    yield DISCOVER, (discover(view),)
    yield LINEUP_JSON, (lineup_json(said),)
    yield LINEUP_XML, (lineup_xml(said),)
    yield LINEUP_M3U, (lineup_m3u(said),)
    yield DEVICE_XML, (device_xml(view),)


def lineup_json(channels: Iterable[Row]) -> bytes:
    """`lineup.json`: all channels; numbers are text, addresses have no query (Emby puts its own behind)."""
    return _json(
        [
            {"GuideNumber": number, "GuideName": name, "HD": 1, "URL": url}
            if hd
            else {"GuideNumber": number, "GuideName": name, "URL": url}
            for number, name, hd, url in channels
        ]
    )


def lineup_xml(channels: Iterable[Row]) -> bytes:
    """`lineup.xml`."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>\n<Lineup>\n']
    for number, name, hd, url in channels:
        mark = "<HD>1</HD>" if hd else ""
        fields = f"<GuideNumber>{number}</GuideNumber><GuideName>{_text(name)}</GuideName>{mark}<URL>{_text(url)}</URL>"
        lines.append(f"<Program>{fields}</Program>\n")
    return "".join([*lines, "</Lineup>\n"]).encode()


def lineup_m3u(channels: Iterable[Row]) -> bytes:
    """`lineup.m3u`."""
    lines = ["#EXTM3U\n"]
    for number, name, _, url in channels:
        quoted = name.replace('"', "'")
        said = f'channel-id="{number}" channel-number="{number}" tvg-name="{quoted}"'
        lines.append(f"#EXTINF:-1 {said},{number} {name}\n{url}\n")
    return "".join(lines).encode()


def rows(view: LineupView) -> Iterator[Row]:
    base, promises = f"{ORIGIN}{device_of(view).base}/auto/v", _HIGH_DEFINITION.search
    for channel in view.channels:
        name = clean(channel.name) or channel.id
        yield channel.number, name, promises(name) is not None, base + channel.number


def device_xml(view: LineupView) -> bytes:
    """`device.xml`, the description that UPnP asks for."""
    device = device_of(view)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<root xmlns="urn:schemas-upnp-org:device-1-0">\n'
        "<specVersion><major>1</major><minor>0</minor></specVersion>\n"
        f"<URLBase>{ORIGIN}{device.base}</URLBase>\n"
        "<device>\n"
        "<deviceType>urn:schemas-upnp-org:device:MediaServer:1</deviceType>\n"
        f"<friendlyName>{_text(device.friendly_name)}</friendlyName>\n"
        "<manufacturer>Silicondust</manufacturer>\n"
        "<manufacturerURL>http://www.silicondust.com/</manufacturerURL>\n"
        f"<modelDescription>{MODEL} HDHomeRun</modelDescription>\n"
        f"<modelName>{MODEL}</modelName>\n"
        f"<modelNumber>{MODEL}</modelNumber>\n"
        f"<serialNumber>{device.id}</serialNumber>\n"
        f"<UDN>{device.udn}</UDN>\n"
        f"<presentationURL>{ORIGIN}/</presentationURL>\n"
        "</device>\n</root>\n"
    ).encode()


def _json(value: object) -> bytes:
    return orjson.dumps(value).replace(_ORIGIN_IN_JSON, ORIGIN.encode())
