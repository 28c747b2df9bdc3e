"""Broadcasts of the past: how long a provider keeps them, and at which address it has a stretch of them. Pure.

The attributes are those of Kodi's iptvsimple, which others follow: `catchup` (or `catchup-type`) names the way,
`catchup-days` how long, `catchup-source` a template or what is put behind the stream's address.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from urllib.parse import urlsplit

USUAL_DAYS = 5
MOST_DAYS = 365
_XTREAM_PATH = re.compile(r"^/(?:live/)?([^/]+)/([^/]+)/(\d+)(?:\.\w+)?$")
_FLUSSONIC = re.compile(r"^(.*)/(?:(\w+)-)?(index|video|mono|mpegts)?(?:\.m3u8|\.ts)?$")
_NOT_KEPT = frozenset(("", "0", "disabled", "none", "false"))
_NUMBER = re.compile(r"-?\d{1,6}(?:\.\d+)?")
_WORDS = re.compile(
    r"\$\{(?P<dollar>[A-Za-z]+)(?::(?P<dollar_form>[^}]*))?\}|\{(?P<word>[A-Za-z-]+)(?::(?P<form>[^}]*))?\}"
)
_LETTERS = {"Y": "%Y", "m": "%m", "d": "%d", "H": "%H", "M": "%M", "S": "%S"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is asked for: epoch seconds. `zone`: in which the provider's server writes times of day."""

    start_s: int
    duration_s: int
    now_s: int
    zone: tzinfo = UTC

    @property
    def end_s(self) -> int:
        return self.start_s + self.duration_s


def archive_days(catchup: Mapping[str, str]) -> int:
    """For how many days the provider keeps the channel's broadcasts; 0 for not at all."""
    kind = _kind(catchup)
    told = catchup.get("catchup-days") or catchup.get("timeshift") or catchup.get("tvg-rec", "")
    if kind in _NOT_KEPT and not (catchup.get("timeshift") or catchup.get("tvg-rec")):
        return 0
    days = int(float(told)) if _NUMBER.fullmatch(told) else 0
    return min(days, MOST_DAYS) if days > 0 else USUAL_DAYS if kind not in _NOT_KEPT else 0


def archive_address(url: str, catchup: Mapping[str, str], stretch: Stretch) -> str | None:
    """Where the provider has the stretch; None when nothing that is known leads there.

    `xc` makes a panel's own address of the stream's; `default` and `vod` fill in a template; `append` and `shift` put
    something behind the stream's address; `flussonic` asks its server in its own way.
    """
    if not archive_days(catchup):
        return None
    kind, source = _kind(catchup), catchup.get("catchup-source", "")
    moved = _corrected(stretch, catchup)
    if kind in ("default", "vod") and source:
        whole = _filled(source, moved, catchup)
        return whole if "://" in whole else url + whole
    if kind == "append" and source:
        return url + _filled(source, moved, catchup)
    if kind in ("shift", "timeshift"):
        return url + ("&" if "?" in url else "?") + f"utc={moved.start_s}&lutc={moved.now_s}"
    if kind.startswith(("flussonic", "fs")):
        return _flussonic(url, moved)
    return _xtream(url, moved)


def _kind(catchup: Mapping[str, str]) -> str:
    return (catchup.get("catchup") or catchup.get("catchup-type", "")).strip().lower()


def _corrected(stretch: Stretch, catchup: Mapping[str, str]) -> Stretch:
    told = catchup.get("catchup-correction", "")
    by_s = round(float(told) * 3600) if _NUMBER.fullmatch(told) else 0
    return Stretch(stretch.start_s + by_s, stretch.duration_s, stretch.now_s, stretch.zone) if by_s else stretch


def _xtream(url: str, stretch: Stretch) -> str | None:
    """A panel's address of the past: minutes, and the start on the panel's own clock."""
    parts = urlsplit(url)
    found = _XTREAM_PATH.match(parts.path)
    if found is None:
        return None
    minutes = max(1, -(-stretch.duration_s // 60))
    start = datetime.fromtimestamp(stretch.start_s, stretch.zone).strftime("%Y-%m-%d:%H-%M")
    path = f"/timeshift/{found[1]}/{found[2]}/{minutes}/{start}/{found[3]}.ts"
    return parts._replace(path=path, fragment="").geturl()


def _flussonic(url: str, stretch: Stretch) -> str | None:
    """Its recorder gives a stretch as one transport stream."""
    parts = urlsplit(url)
    found = _FLUSSONIC.match(parts.path)
    if found is None or not found[1]:
        return None
    path = f"{found[1]}/archive-{stretch.start_s}-{stretch.duration_s}.ts"
    return parts._replace(path=path, fragment="").geturl()


def _filled(template: str, stretch: Stretch, catchup: Mapping[str, str]) -> str:
    start = datetime.fromtimestamp(stretch.start_s, UTC).astimezone(stretch.zone)

    def value(match: re.Match[str]) -> str:
        word = match["dollar"] or match["word"]
        form = match["dollar_form"] or match["form"] or ""
        if word in _LETTERS and not form:
            return start.strftime(_LETTERS[word])
        if word == "catchup-id":
            return catchup.get("catchup-id", "")
        moment = {"utc": stretch.start_s, "start": stretch.start_s, "utcend": stretch.end_s, "end": stretch.end_s,
                  "lutc": stretch.now_s, "now": stretch.now_s, "timestamp": stretch.now_s}.get(word)  # fmt: skip
        if moment is not None:
            return _written(moment, form)
        length = {"duration": stretch.duration_s, "offset": stretch.now_s - stretch.start_s}.get(word)
        if length is None:
            return match[0]
        return str(length // int(form)) if form.isdigit() and int(form) else str(length)

    return _WORDS.sub(value, template)


def _written(epoch_s: int, form: str) -> str:
    """A moment as seconds, or in a form of letters (`YmdHMS`), which is always UTC's."""
    if not form:
        return str(epoch_s)
    moment = datetime.fromtimestamp(epoch_s, UTC)
    return "".join(moment.strftime(_LETTERS[letter]) if letter in _LETTERS else letter for letter in form)


_START_FORMS = (
    re.compile(r"(\d{4})-(\d\d)-(\d\d)[:_ T](\d\d)[-:](\d\d)(?:[-:](\d\d))?", re.ASCII),
    re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?", re.ASCII),
)


def start_of(text: str) -> int | None:
    """The moment that a client wrote in UTC, the zone we tell: `Y-m-d:H-i`, with seconds, colons, or epoch seconds."""
    if re.fullmatch(r"\d{9,11}", text, re.ASCII):
        return int(text)
    for form in _START_FORMS:
        if found := form.fullmatch(text):
            try:
                year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
                moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
            except ValueError:
                return None
            return int(moment.timestamp())
    return None
