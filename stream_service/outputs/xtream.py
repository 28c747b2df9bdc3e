"""A lineup as an Xtream panel tells it, with the types that apps crash without: text here, numbers there. Pure.

Long lists are rendered when a lineup is built and served as files; our own address stands in them as a token. What a
list of one category is, a reader cuts out of one file by its index, without reading the rest.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import orjson

from stream_service.domain.catchup import archive_days
from stream_service.domain.lineup import LineupView
from stream_service.domain.model import LineupChannel
from stream_service.domain.users import User
from stream_service.outputs import m3u
from stream_service.outputs.origin import ORIGIN, logo

NO_CATEGORY = "Uncategorised"
PIECE_RECORDS = 2_000
UNLIMITED = "100"
"""Connections of a user without a limit: apps compare with a number, and take 0 for none."""
_ORIGIN_IN_JSON = orjson.dumps(ORIGIN)[1:-1]
_CATEGORY_BITS = 31

ACTIONS_BY_NUMBER: Mapping[str, str] = {
    "200": "get_vod_categories",
    "201": "get_live_categories",
    "202": "get_live_streams",
    "203": "get_vod_streams",
    "204": "get_series_info",
    "205": "get_short_epg",
    "206": "get_series_categories",
    "207": "get_simple_data_table",
    "208": "get_series",
    "209": "get_vod_info",
}
"""How some old apps name actions."""


# ---- categories ------------------------------------------------------------------------------------------------------


def category_ids(names: Iterable[str]) -> dict[str, int]:
    """A number for each name, made of the name itself: the same at every build, whatever else comes and goes.

    Two names whose digests meet (one in a million for a thousand names) get neighbouring numbers in the names' order.
    """
    found: dict[str, int] = {}
    taken: set[int] = set()
    for name in sorted(set(names)):
        number = int.from_bytes(blake2b(name.encode(), digest_size=4).digest(), "big") >> (32 - _CATEGORY_BITS) or 1
        while number in taken:
            number += 1
        found[name] = number
        taken.add(number)
    return found


def categories(names: Iterable[str]) -> list[dict[str, Any]]:
    """Categories in the order in which their names come first."""
    order = list(dict.fromkeys(names))
    ids = category_ids(order)
    return [{"category_id": str(ids[one]), "category_name": one, "parent_id": 0} for one in order]


# ---- published lists -------------------------------------------------------------------------------------------------


def published(value: object) -> bytes:
    """JSON with our address as the token that is replaced later."""
    return _with_token(orjson.dumps(value))


def _with_token(text: bytes) -> bytes:
    return text.replace(_ORIGIN_IN_JSON, ORIGIN.encode())


def _record(values: Mapping[str, Any]) -> bytes:
    """JSON in exactly its own room: what orjson gives keeps a kilobyte, however short it is."""
    return b"%b" % orjson.dumps(values)


def _pieces(before: bytes, records: Iterable[bytes], behind: bytes) -> Iterator[bytes]:
    """Records with commas between them, some thousand a piece: none of these files is ever whole in memory."""
    yield _with_token(before)
    rest, comma = iter(records), b""
    while some := b",".join(islice(rest, PIECE_RECORDS)):
        yield comma + _with_token(some)
        comma = b","
    yield behind


def _cut_by_category(records: Iterable[bytes], groups: Iterable[str], ids: Mapping[str, int]) -> Iterator[bytes]:
    """As `by_category`, of records that are JSON already."""
    members: dict[str, list[bytes]] = {}
    for record, group in zip(records, groups, strict=True):
        members.setdefault(group, []).append(record)
    texts = ((str(ids[group]), _with_token(b"[%b]" % b",".join(some))) for group, some in members.items())
    return _indexed(texts)


def by_category(items: Iterable[Mapping[str, Any]]) -> bytes:
    """The same items grouped: a line that says where each category's part begins and ends, then the parts."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        groups.setdefault(item["category_id"], []).append(item)
    return b"".join(_indexed((category, published(members)) for category, members in groups.items()))


def _indexed(parts: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    index: dict[str, tuple[int, int]] = {}
    body: list[bytes] = []
    at = 0
    for category, text in parts:
        index[category] = (at, at + len(text))
        at += len(text)
        body.append(text)
    yield orjson.dumps(index) + b"\n"
    yield from body


LIVE_CATEGORIES = "xtream-live-categories.json"
LIVE = "xtream-live.json"
LIVE_BY_CATEGORY = "xtream-live-by-category.json"
PANEL = "xtream-panel.json"
ARCHIVES = "xtream-archives.json"
PLAYLIST = "xtream-playlist.m3u"
FILES = (LIVE_CATEGORIES, LIVE, LIVE_BY_CATEGORY, PANEL, ARCHIVES, PLAYLIST)


def texts(view: LineupView, made: Mapping[str, bytes]) -> Iterator[tuple[str, Iterable[bytes]]]:
    """All published files of a lineup (`FILES`), one after the other. `made`: its M3U, if it has one.

    A channel's record is made once, and once written as JSON: files hold a hundred thousand of them.
    """
    kept = {one.xtream_id: catchup for one in view.channels if one.attributes and archive_days(catchup := one.catchup)}
    groups = [_group(one) for one in view.channels]
    named = categories(groups)
    ids = category_ids(groups)
    yield LIVE_CATEGORIES, (published(named),)
    yield ARCHIVES, (orjson.dumps({str(ident): catchup for ident, catchup in kept.items()}),)
    records = [
        _record(_stream(place, one, ids[group], archive_days(kept[one.xtream_id]) if one.xtream_id in kept else 0))
        for place, (one, group) in enumerate(zip(view.channels, groups, strict=True), 1)
    ]
    yield LIVE, _pieces(b"[", records, b"]")
    yield LIVE_BY_CATEGORY, _cut_by_category(records, groups, ids)
    yield PANEL, _panel_rest(records, groups, named)
    del records
    yield PLAYLIST, (playlist(made.get("playlist.m3u") or m3u.text(view), view),)


_STREAM_ID = b'"stream_id":'
_MORE_IN_PANELS = {"type_name": "Live Streams", "series_no": None, "live": "1", "container_extension": None}
NO_CATEGORIES: Mapping[str, list[object]] = {"live": [], "movie": [], "series": []}


def panel_head(account: Mapping[str, object]) -> bytes:
    """The beginning of `panel_api.php`'s answer; the lineup's file (`PANEL`) is its rest."""
    return orjson.dumps(account)[:-1] + b","


def _panel_rest(records: Iterable[bytes], groups: Iterable[str], named: list[dict[str, Any]]) -> Iterator[bytes]:
    """What `panel_api.php` says of channels, by their numbers as text: each record with some more fields."""
    more = {
        group: orjson.dumps({"category_name": group, **_MORE_IN_PANELS})[1:]
        for group in (str(one["category_name"]) for one in named)
    }

    def channels() -> Iterator[bytes]:
        for record, group in zip(records, groups, strict=True):
            before, key, rest = record.partition(_STREAM_ID)
            number, comma, rest = rest.partition(b",")
            yield b'"%b":%b%b"%b"%b%b,%b' % (number, before, key, number, comma, rest[:-1], more[group])

    head = orjson.dumps({"categories": {**NO_CATEGORIES, "live": named}})[1:-1]
    return _pieces(b'%b,"available_channels":{' % head, channels(), b"}}")


def _group(channel: LineupChannel) -> str:
    return channel.group.strip() or NO_CATEGORY


def _stream(place: int, channel: LineupChannel, category: int, days: int) -> dict[str, Any]:
    return {
        "num": int(channel.number) if channel.number.isdigit() else place,  # a whole number to every app
        "name": channel.name or channel.id,
        "stream_type": "live",
        "stream_id": channel.xtream_id,
        "stream_icon": logo(channel.logo),
        "epg_channel_id": channel.id,
        "added": "0",
        "is_adult": int(channel.is_adult),
        "category_id": str(category),
        "category_ids": [category],
        "custom_sid": "",
        "tv_archive": int(days > 0),
        "direct_source": "",
        "tv_archive_duration": days,
        "thumbnail": "",
    }


# ---- who is asking, and who answers ----------------------------------------------------------------------------------


def user_info(user: User, password: str, *, now_s: int, connections: int) -> dict[str, Any]:
    """The account, as apps show it after a login."""
    status = user.status(now_s)
    limit = user.connection_limit
    return {
        "username": user.name,
        "password": password,
        "message": "" if status == "Active" else f"This account is {status.lower()}.",
        "auth": 1,
        "status": status,
        "exp_date": None if user.expires_at is None else str(user.expires_at),
        "is_trial": "0",
        "active_cons": str(connections),
        "created_at": str(user.created_at),
        "max_connections": UNLIMITED if limit is None else str(limit),
        "allowed_output_formats": ["m3u8", "ts"],
    }


def server_info(origin: str, now_s: int) -> dict[str, Any]:
    """Where apps find streams: they build addresses from host, port and protocol. Times are told in UTC."""
    parts = urlsplit(origin)
    secure = parts.scheme == "https"
    port = str(parts.port or (443 if secure else 80))
    return {
        "url": _host(parts.hostname or ""),
        "port": "80" if secure else port,
        "https_port": port if secure else "443",
        "server_protocol": parts.scheme,
        "rtmp_port": "8880",
        "timezone": "UTC",
        "timestamp_now": now_s,
        "time_now": clock_text(now_s),
        "process": True,
    }


def clock_text(epoch_s: int) -> str:
    """A moment as panels write it, in UTC."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _host(name: str) -> str:
    return f"[{name}]" if ":" in name else name


# ---- playlists with a name and password ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Login:
    """Whose playlist it is, and how it is written: segments of HLS instead of one stream; names without attributes.

    `lineup`: where addresses with a name and password must say it, since they would lead another lineup's way.
    """

    name: str
    password: str
    hls: bool = False
    plain: bool = False
    lineup: str = ""

    def __call__(self, text: bytes) -> bytes:
        """The entries of a playlist for users, for this one. Names and passwords hold nothing to be escaped."""
        if self.plain:
            text = _EXTINF.sub(b"#EXTINF:-1,", text)
        form = "m3u8" if self.hls else "ts"
        for token, value in ((_NAME, self.name), (_PASSWORD, self.password), (_FORM, form)):
            text = text.replace(token, value.encode())
        return self._by_query(self._named(text) if self.lineup else text)

    def _named(self, text: bytes) -> bytes:
        """Addresses that say no lineup say this one."""
        said = b"?lineup=" + self.lineup.encode()

        def stream(match: "re.Match[bytes]") -> bytes:
            return match[1] + said + (b"\n" if match[2] == b"\n" else b"&")

        return _LIVE_ADDRESS.sub(stream, text)

    def _by_query(self, text: bytes) -> bytes:
        """In a plain playlist, which has no place for a name and password, they stand behind the addresses."""
        query = f"username={self.name}&password={self.password}".encode()

        def stream(match: "re.Match[bytes]") -> bytes:
            return match[0].removesuffix(match[2]) + b"?" + query + match[2].replace(b"?", b"&")

        text = _PLAIN_ADDRESS.sub(stream, text)
        return _PLAIN_GUIDE.sub(lambda match: match[0] + b"?" + query, text)


_PLAIN_GUIDE = re.compile(re.escape(ORIGIN).encode() + rb"/lineups/[A-Za-z0-9._-]+/epg\.xml\.gz(?=\")")
_PLAIN_ADDRESS = re.compile(
    re.escape(ORIGIN).encode() + rb"/stream/([A-Za-z0-9._-]+)\.ts(\n|\?(?:lineup=[\w.-]+(?=\n))?)"
)
_LIVE_ADDRESS = re.compile(
    b"(" + re.escape(ORIGIN).encode() + rb"/live/[^/\s]+/[^/\s]+/[\w.-]+\.\w+)(\n|\?(?!lineup=))"
)
_GUIDE = re.compile(rb'(x-tvg-url|url-tvg)="[^"]*"')
_EXTINF = re.compile(rb'^#EXTINF:-1 .*?",(?=[^"\n]*$)', re.MULTILINE)
_NAME, _PASSWORD, _FORM = b"\x01name\x01", b"\x01password\x01", b"\x01form\x01"


def playlist(text: bytes, view: LineupView) -> bytes:
    """A lineup's published M3U for users: addresses hold a name, a password and the permanent number as tokens."""
    numbers = {one.id.encode(): b"%d" % one.xtream_id for one in view.channels}

    def address(match: "re.Match[bytes]") -> bytes:
        form = b"ts" if match[2] == b"?" else _FORM  # a stretch of the past is one stream
        number = numbers.get(match[1], match[1])
        return ORIGIN.encode() + b"/live/" + _NAME + b"/" + _PASSWORD + b"/" + number + b"." + form + match[2]

    guide = ORIGIN.encode() + b"/xmltv.php?username=" + _NAME + b"&password=" + _PASSWORD
    guide += b"&lineup=" + view.name.encode()
    head, newline, rest = text.partition(b"\n")
    return _GUIDE.sub(lambda found: found[1] + b'="' + guide + b'"', head) + newline + _PLAIN_ADDRESS.sub(address, rest)


# ---- listings --------------------------------------------------------------------------------------------------------


def listings(
    programmes: Iterable[Mapping[str, Any]], *, stream_id: int, channel_id: str, now_s: int, archive_from_s: int | None
) -> list[dict[str, Any]]:
    """`epg_listings`: titles and descriptions in base64, moments twice. `archive_from_s`: since when the past is kept,
    None for the short form without archive marks."""
    found = []
    for one in programmes:
        start, stop = int(one["start"]), int(one["stop"])
        told = {
            "id": str(one["id"]),
            "epg_id": str(stream_id),
            "title": _base64(one.get("title")),
            "lang": one.get("lang") or "en",
            "start": clock_text(start),
            "end": clock_text(stop),
            "description": _base64(one.get("description")),
            "channel_id": channel_id,
            "start_timestamp": str(start),
            "stop_timestamp": str(stop),
        }
        if archive_from_s is None:
            told["stop"] = told["end"]
        else:
            told["now_playing"] = int(start <= now_s < stop)
            told["has_archive"] = int(archive_from_s <= start and stop <= now_s)
        found.append(told)
    return found


def _base64(text: object) -> str:
    return b64encode(str(text or "").encode("utf-8", "replace")).decode()
