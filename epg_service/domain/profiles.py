"""How a published guide can be asked for: clients' profiles, windows, parts, languages.

What each profile does is what is known of its client; `standard` is what every client reads, `full` is what the
providers said.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from servicekit.errors import Invalid

STANDARD = "standard"
FULL = "full"
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")
MAX_DAYS = 366
MAX_NAMES = 5_000


@dataclass(frozen=True, slots=True)
class Profile:
    """What is done to a guide for one kind of reader."""

    name: str
    overlaps: bool = False
    """Everything that is stored, overlaps and programmes with one start included."""
    as_it_came: bool = False
    """Nothing is made up where the DTD can do without, and nothing left out that it allows."""
    both_numbers: bool = True
    """Episode numbers in both systems, one made from the other."""
    plain_numbers: bool = False
    """The on-screen number as SxxExx, whatever the provider wrote."""
    number_first: bool = False
    """A channel is called "5 Name", "5", "Name": the client shows and matches the first."""
    urls: bool = True
    left_out: frozenset[str] = frozenset()
    """Children of a programme that the client does not read."""
    poster_icon: bool = False
    """A picture is an <icon>, the poster first: <image> is not read."""
    repeats_told: bool = False
    """What is no first showing says so: the client takes silence for "new"."""
    new_by_date: bool = False
    """A new programme carries its day as <date>: the client tells by it."""
    kinds: bool = False
    """Series and films carry the English category that the client sorts by."""
    placeholders: bool = False
    past_days: int | None = None

    @property
    def shapes(self) -> bool:
        """Whether elements are looked into, beyond their episode numbers."""
        return bool(
            self.plain_numbers or not self.urls or self.left_out or self.poster_icon or self.repeats_told
            or self.new_by_date or self.kinds
        )  # fmt: skip


_UNREAD_BY_KODI = ("keyword", "language", "orig-language", "length", "url", "country", "video", "audio", "subtitles",
                   "review", "image")  # fmt: skip

PROFILES = {
    one.name: one
    for one in (
        Profile(STANDARD),
        Profile(FULL, overlaps=True, as_it_came=True, both_numbers=False),
        Profile(
            "plex", plain_numbers=True, number_first=True, urls=False, poster_icon=True, repeats_told=True, kinds=True,
            placeholders=True,
        ),
        # Reads the file once for every channel, so it is kept small.
        Profile("jellyfin", plain_numbers=True, left_out=frozenset(("url", "review", "keyword")), past_days=1),
        # Holds the whole file in memory.
        Profile(
            "kodi", plain_numbers=True, urls=False, left_out=frozenset(_UNREAD_BY_KODI), poster_icon=True,
            new_by_date=True,
        ),
        Profile("tivimate", plain_numbers=True, left_out=frozenset(("review", "keyword")), poster_icon=True),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """What a guide is asked for. Canonical: what means the same is equal."""

    profile: str
    days: int | None = None
    past_days: int | None = None
    channels: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    extras: bool = False
    placeholders: bool = False

    @property
    def rules(self) -> Profile:
        """The profile's rules."""
        return PROFILES[self.profile]

    @property
    def timed(self) -> bool:
        """Whether the same guide is another file at another time."""
        return self.days is not None or self.past_days is not None or self.placeholders

    def key(self) -> str:
        """A text that tells it apart from all that mean something else."""
        return repr(self)


def options(
    *,
    usual: str,
    profile: str | None = None,
    days: int | None = None,
    past_days: int | None = None,
    channels: Iterable[str] = (),
    groups: Iterable[str] = (),
    languages: Iterable[str] = (),
    extras: bool = False,
    placeholders: bool = False,
) -> Options:
    """What was asked for, in canonical form; `usual` is the profile where none is named. Raises `Invalid`."""
    name = profile.strip().casefold() if profile is not None else usual
    if name not in PROFILES:
        raise Invalid(f"profile: there is no {profile!r}; one of {', '.join(sorted(PROFILES))} is needed")
    rules = PROFILES[name]
    for what, value, least in (("days", days, 1), ("past_days", past_days, 0)):
        if value is not None and not least <= value <= MAX_DAYS:
            raise Invalid(f"{what}: found {value}; {least} to {MAX_DAYS} is allowed")
    asked = Options(
        profile=name,
        days=days,
        past_days=rules.past_days if past_days is None else past_days,
        channels=_names("channels", channels),
        groups=tuple(sorted({one.casefold() for one in _names("group", groups)})),
        languages=tuple(dict.fromkeys(_languages(languages))),
        extras=extras,
        placeholders=placeholders or rules.placeholders,
    )
    return replace(asked, placeholders=False) if rules.overlaps else asked


def _names(what: str, texts: Iterable[str]) -> tuple[str, ...]:
    found = sorted({one.strip() for text in texts for one in text.split(",")} - {""})
    if len(found) > MAX_NAMES:
        raise Invalid(f"{what}: at most {MAX_NAMES} names are allowed")
    return tuple(found)


def _languages(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        for one in filter(None, map(str.strip, text.split(","))):
            if not _LANGUAGE.fullmatch(one):
                raise Invalid(f"lang: found {one!r}; a language code such as de or en-GB is needed")
            yield one.casefold().replace("_", "-")
