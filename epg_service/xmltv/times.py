"""XMLTV times: the many ways feeds write an instant, read strictly; one way of writing it."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

MAX_EPOCH_S = 2**32 - 1
MAX_ENTRIES = 200_000
_MAX_UNKNOWN_ZONES = 20
_MAX_OFFSET_MIN = 15 * 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# 8, 10, 12 or 14 digits (a 13-digit time is a mistyped one, never "one digit of minutes"), then what follows.
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(?:(\d\d)(\d\d)?)?)?(?:\s*([^\d\s].*)|\s+(0))?", re.ASCII)
_USUAL = re.compile(r"(\d{8})([01]\d|2[0-3])([0-5]\d)([0-5]\d) ([+-])(0\d|1[0-4])([0-5]\d)", re.ASCII)
_OFFSET = re.compile(r"([+-])(?:(\d\d?):(\d\d)|(\d\d?)|(\d\d?)(\d\d))", re.ASCII)
_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z_]{0,30}(?:/[A-Za-z_+-]{1,30}){0,2}", re.ASCII)

# Names that feeds use for a fixed offset, in minutes. Names that mean several zones (IST: India, Ireland, Israel)
# are left out on purpose; BST is British, as in the example of the XMLTV DTD.
ZONE_MINUTES: dict[str, int] = {
    "Z": 0, "UTC": 0, "UT": 0, "GMT": 0, "WET": 0,
    "BST": 60, "WEST": 60, "CET": 60, "MET": 60, "MEZ": 60,
    "CEST": 120, "MEST": 120, "MESZ": 120, "EET": 120, "SAST": 120,
    "EEST": 180, "MSK": 180,
    "AWST": 480, "HKT": 480, "SGT": 480, "JST": 540, "KST": 540,
    "ACST": 570, "ACDT": 630, "AEST": 600, "AEDT": 660, "NZST": 720, "NZDT": 780,
    "NST": -210, "NDT": -150, "AST": -240, "ADT": -180,
    "EST": -300, "EDT": -240, "CST": -360, "CDT": -300, "MST": -420, "MDT": -360,
    "PST": -480, "PDT": -420, "AKST": -540, "AKDT": -480, "HST": -600,
}  # fmt: skip


def _offset_minutes(text: str) -> int | None:
    """Minutes east of UTC of `+hhmm`, `+hh:mm`, `+hh`, `+hmm`, any run of zeros; None when it is no offset."""
    match = _OFFSET.fullmatch(text)
    if not match:
        return None
    sign, colon_hours, colon_minutes, hours_only, hours, minutes = match.groups()
    total = int(colon_hours or hours_only or hours) * 60
    rest = int(colon_minutes or minutes or 0)
    if rest > 59 or total + rest > _MAX_OFFSET_MIN:
        raise ValueError(f"no place on Earth is {text} from UTC")
    return -(total + rest) if sign == "-" else total + rest


class Stamps(dict[str, int]):
    """Texts of XMLTV times to epoch seconds, remembered: `stamps[text]`.

    A guide repeats itself (one programme's stop is the next one's start), so a dictionary on the whole text is
    twenty times cheaper than any reading. It is emptied at 200,000 entries. `zone` is what a time without a zone
    means; the DTD says UTC, some providers mean their own. In the hour that clocks repeat, the first is meant.
    Raises ValueError, with the reason, for everything that is no instant between 1970 and 2106.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        super().__init__()
        self.zone = zone
        self.unknown_zones: set[str] = set()

    def __missing__(self, text: str) -> int:
        epoch_s = self.read(text)
        if len(self) >= MAX_ENTRIES:
            self.clear()
        self[text] = epoch_s
        return epoch_s

    def read(self, text: str) -> int:
        """One time, not remembered: for those who remember by themselves."""
        usual = _USUAL.fullmatch(text)
        epoch_s = _usual(usual) if usual else None
        return self._read(text) if epoch_s is None else epoch_s

    def _read(self, text: str) -> int:
        match = _STAMP.fullmatch(text.strip(" \t\r\n")) if len(text) <= 80 else None
        if not match:
            raise ValueError(f"{text[:80]!r} is not a time of 8, 10, 12 or 14 digits and a zone")
        *digits, zone, zero = match.groups()
        year, month, day, hour, minute, second = (int(part or 0) for part in digits)
        midnight = hour == 24 and minute == second == 0
        try:
            local = datetime(year, month, day, 0 if midnight else hour, minute, second)
            local += timedelta(days=midnight)
            epoch_s = self._placed(local, "+0" if zero else (zone or "").rstrip())
        except (ValueError, OverflowError) as reason:
            raise ValueError(f"{text[:80]!r}: {reason}") from None
        if not 0 <= epoch_s <= MAX_EPOCH_S:
            raise ValueError(f"{text[:80]!r} lies outside the years 1970 to 2106")
        return epoch_s

    def _placed(self, local: datetime, zone: str) -> int:
        """Epoch seconds of a wall-clock time in `zone`: an offset, a name, or nothing for the provider's own."""
        if not zone:
            return int(local.replace(tzinfo=self.zone).timestamp())
        minutes = ZONE_MINUTES.get(zone.upper())
        if minutes is None:
            minutes = _offset_minutes(zone)
        if minutes is None:
            return int(local.replace(tzinfo=self._named(zone)).timestamp())
        return int(local.replace(tzinfo=UTC).timestamp()) - minutes * 60

    def _named(self, name: str) -> tzinfo:
        """The zone of the tz database called so; the provider's own, and a note of it, when there is none."""
        if not _ZONE_NAME.fullmatch(name):
            raise ValueError(f"{name[:20]!r} is neither an offset nor the name of a zone")
        few = len(self.unknown_zones) < _MAX_UNKNOWN_ZONES  # each name that is none costs a look at the disk
        if "/" in name and (few or name in _names_of_zones()) and (zone := _zone_called(name)):
            return zone
        if few:
            self.unknown_zones.add(name)
        return self.zone


def _usual(match: re.Match[str]) -> int | None:
    """Epoch seconds of the text that nearly every feed writes; None where its day or the instant is none."""
    day, hours, minutes, seconds, sign, zone_hours, zone_minutes = match.groups()
    midnight = _midnight(day)
    if midnight is None:
        return None
    offset_s = int(zone_hours) * 3600 + int(zone_minutes) * 60
    clock_s = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    epoch_s = midnight + clock_s + (offset_s if sign == "-" else -offset_s)
    return epoch_s if 0 <= epoch_s <= MAX_EPOCH_S else None


@lru_cache(maxsize=1024)
def _midnight(day: str) -> int | None:
    """When a day (8 digits) begins in UTC."""
    try:
        return int(datetime(int(day[:4]), int(day[4:6]), int(day[6:]), tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return None


@cache
def _names_of_zones() -> frozenset[str]:
    """All of the tz database."""
    return frozenset(available_timezones())


@lru_cache(maxsize=256)
def _zone_called(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown, no name, or a directory of the database
        return None


@lru_cache(maxsize=65_536)
def text_utc(epoch_s: int) -> str:
    """`20261121201500 +0000`: 14 digits, a blank and a numeric offset, which every client reads."""
    day, second = divmod(epoch_s, 86_400)
    return _day_text(day) + _second_text(second)


@lru_cache(maxsize=65_536)
def bytes_utc(epoch_s: int) -> bytes:
    """The same as bytes."""
    return text_utc(epoch_s).encode()


@lru_cache(4096)
def _day_text(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).strftime("%Y%m%d")


@lru_cache(4096)
def _second_text(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%H%M%S +0000")
