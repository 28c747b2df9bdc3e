"""Reading an M3U list of channels: bytes in, entries out, pure and in flat memory.

    chunks > text encoding > lines > directives and addresses > Entry

M3U was never specified and every provider writes its own. The reader takes what the known players take (attribute names
and precedence: Kodi's iptvsimple; channel numbers: Kodi, Jellyfin, Channels, tvheadend), keeps attributes it does not
know, and counts whatever it leaves out. One bad entry never damages the next.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urljoin, urlsplit

from servicekit.errors import BadAnswer
from stream_service.domain.identity import provider_id_of
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.domain.numbering import canonical_number
from stream_service.domain.text import clean
from stream_service.sources.text import HEAD_BYTES, Decoder, lines, refuse_other_formats, with_head

MAX_LINE_BYTES = 1 << 20
MAX_URL_CHARS = 16_384
MAX_NAME_CHARS = 512
MAX_VALUE_CHARS = 4_096
MAX_ATTRIBUTES = 64

_HTTP, _OTHERS = ("http", "https"), ("rtp", "udp", "srt", "rist")
_RTMP, _RTSP = ("rtmp", "rtmps", "rtmpe", "rtmpt", "rtmpte"), ("rtsp", "rtsps", "mms", "mmsh", "mmst")
SCHEMES = frozenset((*_HTTP, *_RTMP, *_RTSP, *_OTHERS))
"""What may stand in front of a stream's address. What can be relayed is the relay's affair; local things
(`file:`, `pipe:`, `plugin:`) never come from a list."""

_HEADER_OPTIONS = {
    "http-user-agent": "User-Agent",
    "user-agent": "User-Agent",
    "http-referrer": "Referer",
    "http-referer": "Referer",
    "referer": "Referer",
    "referrer": "Referer",
    "http-origin": "Origin",
    "origin": "Origin",
    "cookie": "Cookie",
    "accept": "Accept",
    "accept-language": "Accept-Language",
    "x-forwarded-for": "X-Forwarded-For",
}
"""Headers a list may set for its streams. Never Host, never Authorization."""

_DEFAULTS = ("catchup", "catchup-type", "catchup-days", "catchup-source", "catchup-correction", "tvg-shift")
"""What a list's first line may say of all its entries, as Kodi reads it."""
_NUMBER_KEYS = ("tvg-chno", "ch-number", "tvh-chnum", "channel-number")

_KEY = r"[A-Za-z_][\w.:-]*"
_EXTINF = re.compile(r"#EXTINF\s*:?", re.IGNORECASE)
_DURATION = re.compile(r"\s*[+-]?[0-9.]*(?:[eE][+-]?[0-9]+)?")
_TIDY = re.compile(rf'((?:\s+{_KEY}="[^"]*")*)\s*,(.*)')
_TIDY_ATTRIBUTE = re.compile(rf'({_KEY})="([^"]*)"')
_NEXT_KEY = re.compile(rf"\s*({_KEY})\s*=\s*")
_QUOTED_END = {q: re.compile(rf"(?<!\\){q}(?=\s*(?:$|,|{_KEY}\s*=))") for q in "\"'"}
_BARE_VALUE = re.compile(rf"[^,]*?(?=\s+{_KEY}\s*=|\s*,|\s*$)")
_AFTER_COMMA = re.compile(rf",\s*{_KEY}\s*=\s*[\"']")
_IN_NAME = re.compile(
    r"\s+(?=(?:tvg-[\w-]+|group-title|catchup[\w-]*|channel-id|radio|logo)\s*=\s*[\"'])", re.IGNORECASE
)
_WORD = re.compile(r"[^\s,]+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://|\\\\)", re.ASCII)
_PLAIN = re.compile(r"https?://[A-Za-z0-9._-]+(?::[0-9]{1,5})?/[^\\]*$", re.ASCII)
"""An address as nearly all are: a host that needs no second look."""
_ANY_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:", re.ASCII)
_RELATIVE = re.compile(r"(?:[/.?]|[\w~%-]+[\w~%.-]*[/.?])[^\s\[\]<>\"{}|\\^]*")
_HLS = ("#EXT-X-TARGETDURATION", "#EXT-X-STREAM-INF", "#EXT-X-MEDIA-SEQUENCE", "#EXT-X-I-FRAME")


class Playlist:
    """A list that is being read. Iterate it once; `guide_urls` and `encoding` are complete afterwards.

    `base_url`: where the list came from (after redirects), for addresses that are relative to it; '' for a file.
    Raises `BadAnswer`, saying what it is, when the body is no list of channels.
    """

    def __init__(self, chunks: Iterable[bytes], *, base_url: str = "", losses: Losses) -> None:
        self.guide_urls: tuple[str, ...] = ()
        self.encoding = "utf-8"
        self._chunks = chunks
        self._base_url = base_url
        self._losses = losses
        self._group = ""
        self._defaults: dict[str, str] = {}
        self._pending = _Pending()
        self._any_extinf = False
        self._words: tuple[tuple[str, Callable[[str], None]], ...] = (
            ("#EXTVLCOPT", self._take_option),
            ("#KODIPROP", self._take_option),
            ("#EXTGRP", self._take_group),
            ("#EXTM3U", self._take_header),
            ("#EXT-X-PLAYLIST-TYPE", self._take_type),
        )

    def __iter__(self) -> Iterator[Entry]:
        head, chunks = with_head(self._chunks, HEAD_BYTES)
        refuse_other_formats(head)
        decoder = Decoder(head, self._losses)
        self.encoding = decoder.encoding
        for raw in lines(decoder.unwrap(chunks), MAX_LINE_BYTES, self._losses):
            text = decoder.text(raw).strip()
            if not text:
                continue
            if text[0] == "#":
                self._directive(text)
            elif (entry := self._address(text)) is not None:
                yield entry
        self._forget_pending()
        self.encoding = decoder.encoding

    def _directive(self, line: str) -> None:
        if line[:7].upper() == "#EXTINF":
            self._forget_pending()
            self._any_extinf = True
            self._pending.begin(line, self._losses)
            return
        upper = line[:40].upper()
        for word, take in self._words:
            if upper.startswith(word):
                take(line)
                return
        if upper.startswith(_HLS):
            raise BadAnswer("this is the playlist of one HLS stream, not a list of channels")

    def _take_header(self, line: str) -> None:
        """Guides, and what holds for every entry that says nothing else of it."""
        attributes, _ = _read_attributes(line, len("#EXTM3U"))
        self._defaults = {key: attributes[key][:MAX_VALUE_CHARS] for key in _DEFAULTS if attributes.get(key)}
        told = f"{attributes.get('x-tvg-url', '')},{attributes.get('url-tvg', '')}".split(",")
        found = [url.strip() for url in told if url.strip().startswith(("http://", "https://"))]
        self.guide_urls = tuple(dict.fromkeys((*self.guide_urls, *found)))

    def _take_group(self, line: str) -> None:
        """Between EXTINF and address: the group of that entry; elsewhere: of all that follow, until the next."""
        group = clean(line.partition(":")[2])
        if self._pending.started:
            self._pending.group = group
        else:
            self._group = group

    def _take_type(self, line: str) -> None:
        """`#EXT-X-PLAYLIST-TYPE:VOD`, as Kodi reads it: the entry is a film, not a channel."""
        self._pending.playlist_type = clean(line.partition(":")[2])[:20]

    def _take_option(self, line: str) -> None:
        key, _, value = line.partition(":")[2].partition("=")
        self._pending.option(key.strip().lower(), value.strip().strip('"'))

    def _forget_pending(self) -> None:
        if self._pending.started:
            self._losses.lost("extinf_without_address", self._pending.name)
            self._pending = _Pending()

    def _address(self, line: str) -> Entry | None:
        address, _, pipe = line.partition("|")
        url = self._judge(address.strip(), line)
        if not url:
            return None
        pending, self._pending = self._pending, _Pending()
        if not pending.started and self._any_extinf:
            self._losses.lost("address_without_extinf", _shown(url))
            return None
        if pipe:
            pending.pipe_headers(pipe)
        for key, value in self._defaults.items():
            pending.attributes.setdefault(key, value)
        return pending.entry(url, inherited_group=self._group, base_url=self._base_url, losses=self._losses)

    def _judge(self, address: str, line: str) -> str:
        """The absolute address, or '' after counting why there is none."""
        if len(address) > MAX_URL_CHARS:
            return self._refuse("address_too_long", address)
        scheme = _SCHEME.match(address)
        if scheme is None:
            return self._relative(address, line)
        if scheme[1].lower() not in SCHEMES:
            return self._refuse("address_scheme", address)
        if _PLAIN.match(address):
            return address.replace(" ", "%20")
        address = address.replace("\\", "/").replace(" ", "%20")
        return address if _host(address) else self._refuse("address_without_host", address)

    def _relative(self, address: str, line: str) -> str:
        if _ANY_SCHEME.match(address) and not re.match(r"[\w.-]+:[0-9]", address):
            return self._refuse("address_scheme", line)
        if not self._pending.started or not _RELATIVE.fullmatch(address):
            return self._refuse("not_an_address", line)
        if not self._base_url:
            return self._refuse("relative_without_base", address)
        return urljoin(self._base_url, address)

    def _refuse(self, kind: str, sample: str) -> str:
        """Count a line that names no stream; the entry it would have ended is lost with it where one was begun.

        A line of text between entries ("=== sudan ===") costs nothing, and one between EXTINF and its address neither.
        """
        if kind == "not_an_address":
            self._losses.note(kind, clean(sample))
        else:
            self._losses.lost(kind, f"{self._pending.name}: {_shown(sample)}")
            self._pending = _Pending()
        return ""


@dataclass(slots=True)
class _Pending:
    """What was said about the entry whose address has not come yet."""

    started: bool = False
    name: str = ""
    group: str = ""
    playlist_type: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def begin(self, line: str, losses: Losses) -> None:
        """Read an EXTINF line. Options that stood before it are this entry's."""
        found = _EXTINF.match(line)
        start = _DURATION.match(line, found.end() if found else len("#EXTINF"))
        self.started = True
        attributes, name = _read_attributes(line, start.end() if start else len("#EXTINF"))
        if len(attributes) > MAX_ATTRIBUTES:
            losses.note("too_many_attributes", name)
            attributes = dict(list(attributes.items())[:MAX_ATTRIBUTES])
        for key, value in attributes.items():
            if len(value) > MAX_VALUE_CHARS:
                losses.note("value_too_long", f"{key}={value}")
                attributes[key] = value[:MAX_VALUE_CHARS]
        self.attributes, self.name = attributes, name[:MAX_NAME_CHARS]
        for key in ("user-agent", "http-user-agent", "http-referrer", "referrer"):
            if value := attributes.pop(key, ""):
                self.option(key, value)

    def option(self, key: str, value: str) -> None:
        """A header for the stream, when it is one that a list may set; other options belong to players."""
        header = _HEADER_OPTIONS.get(key)
        if header and value and value.isprintable() and len(value) <= MAX_VALUE_CHARS:
            self.headers.setdefault(header, value)

    def pipe_headers(self, pipe: str) -> None:
        """Headers behind the address, as Kodi writes them: `URL|User-Agent=...&Referer=...`, percent-encoded."""
        for key, value in parse_qsl(pipe):
            self.option(key.strip().lower(), value)

    def entry(self, url: str, *, inherited_group: str, base_url: str, losses: Losses) -> Entry:
        take = self.attributes.pop
        tvg_id, tvg_name = take("tvg-id", ""), take("tvg-name", "")
        if self.playlist_type:
            self.attributes["playlist-type"] = self.playlist_type
        group = take("group-title", "") or self.group or inherited_group
        numbers = [canonical_number(told) for key in _NUMBER_KEYS if (told := take(key, ""))]
        logos = [told for key in ("tvg-logo", "logo") if (told := take(key, ""))]
        logo = next((found for told in logos if (found := _logo(told, base_url, losses))), "")
        return Entry(
            url=url,
            name=self.name or tvg_name or tvg_id or _name_of(url),
            tvg_id=tvg_id[:MAX_NAME_CHARS],
            tvg_name=tvg_name[:MAX_NAME_CHARS],
            logo=logo,
            group=group[:MAX_NAME_CHARS],
            number=next((number for number in numbers if number), ""),
            provider_id=provider_id_of(url),
            headers=self.headers,
            attributes=self.attributes,
        )


def _read_attributes(line: str, start: int) -> tuple[dict[str, str], str]:
    """Attributes and name of an EXTINF line, from `start`: (values by lower-case key, name).

    Where a key is given twice the first value that is not empty stays.
    """
    tidy = _TIDY.fullmatch(line, start)
    if tidy is not None and not _AFTER_COMMA.match(line, tidy.start(2) - 1):
        found: dict[str, str] = {}
        for key, value in _TIDY_ATTRIBUTE.findall(tidy[1]):
            _put(found, key, value)
        return _split_name(found, tidy[2])
    return _read_untidy(line, start)


def _read_untidy(line: str, at: int) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    stray: list[str] = []
    while at < len(line):
        if line[at] == "," and not _AFTER_COMMA.match(line, at):
            return _split_name(found, line[at + 1 :])
        key = _NEXT_KEY.match(line, at)
        if key is not None:
            value, at = _value(line, key.end())
            _put(found, key[1], value)
            stray.clear()
        elif (word := _WORD.match(line, at)) is not None:
            stray.append(word[0])
            at = word.end()
        else:
            at += 1
    return _split_name(found, " ".join(stray))


def _value(line: str, at: int) -> tuple[str, int]:
    """The value that starts at `at`, quoted either way or bare, and where it ends.

    A quote inside a quoted value is told from the closing one by what follows: the closing one stands before the end,
    a comma or the next key; where none does, the next quote has to do.
    """
    quote = line[at : at + 1]
    if quote in _QUOTED_END:
        end = _QUOTED_END[quote].search(line, at + 1)
        if end is not None:
            return line[at + 1 : end.start()].replace("\\" + quote, quote), end.end()
        at += 1
        if (plain_end := line.find(quote, at)) >= 0:
            return line[at:plain_end], plain_end + 1
    bare = _BARE_VALUE.match(line, at)
    return (bare[0], bare.end()) if bare else ("", len(line))


def _split_name(found: dict[str, str], name: str) -> tuple[dict[str, str], str]:
    """Some lists put the attributes behind the name: `#EXTINF:-1,Name tvg-id="x"`."""
    if not found and '="' in name and (behind := _IN_NAME.search(name)) is not None:
        found, _ = _read_untidy(name + ",", behind.start())
        name = name[: behind.start()]
    return found, clean(name)


def _put(found: dict[str, str], key: str, value: str) -> None:
    key, value = key.lower(), clean(value)
    if value and not found.get(key):
        found[key] = value


def _shown(address: str) -> str:
    """An address as a report may show it: providers keep passwords anywhere in it, so only where it leads."""
    found = _ANY_SCHEME.match(address)
    host = _host(address).rpartition("@")[2] if found else ""
    return f"{found[0]}//{host}/..." if found else "..." + clean(address)[-20:]


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _logo(told: str, base_url: str, losses: Losses) -> str:
    """A picture's address as players may be given it: http or https, else none."""
    if not told:
        return ""
    if told.startswith(("http://", "https://")):
        return told.replace(" ", "%20")
    if base_url and not _ANY_SCHEME.match(told) and _RELATIVE.fullmatch(told):
        return urljoin(base_url, told)
    losses.note("logo_refused", told)
    return ""


def _name_of(url: str) -> str:
    parts = urlsplit(url)
    return clean(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc.rpartition("@")[2] or "Channel"
