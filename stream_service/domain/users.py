"""People who may watch: what is known of a user, and which names and passwords can stand in an address. Pure."""

import re
from dataclasses import dataclass

from servicekit.errors import Invalid

MAX_NAME_CHARS = 64
LEAST_PASSWORD_CHARS = 8
MAX_PASSWORD_CHARS = 128

RESERVED = frozenset(
    {
        "api", "internal", "stream", "streaming", "live", "movie", "series", "timeshift", "hdhr", "lineups", "logos",
        "auto", "hls", "static", "guide", "vod", "health", "metrics", "ready", "panel_api.php", "player_api.php",
        "get.php", "xmltv.php", "timeshift.php",
    }
)  # fmt: skip
"""First parts of our own addresses: a user called so could not be told from them in `/NAME/PASSWORD/ID`."""

_PLAIN = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a password. `lineups`: the names of those that may be watched, None for all.

    `connection_limit`: streams at a time, None for any number. `expires_at`: epoch seconds, None for never.
    `priority`: of two users who want one connection of a provider, the greater one gets it where that is switched on.
    """

    id: int
    name: str
    enabled: bool = True
    lineups: tuple[str, ...] | None = None
    connection_limit: int | None = None
    expires_at: int | None = None
    priority: int = 0
    library: bool = True
    created_at: int = 0
    updated_at: int = 0

    def expired(self, now_s: int) -> bool:
        """Whether the time is over."""
        return self.expires_at is not None and self.expires_at <= now_s

    def status(self, now_s: int) -> str:
        """In the words that Xtream clients know."""
        if not self.enabled:
            return "Disabled"
        return "Expired" if self.expired(now_s) else "Active"

    def may_watch(self, lineup: str) -> bool:
        """Whether the lineup is one of theirs."""
        return self.lineups is None or lineup in self.lineups


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who was let in: a user, or somebody of the home network without one (None)."""

    user: User | None = None
    password: str = ""
    """What the user showed; stands in the addresses that are handed to them."""

    @property
    def name(self) -> str:
        """The user's name, '' without one."""
        return self.user.name if self.user is not None else ""

    @property
    def priority(self) -> int:
        return self.user.priority if self.user is not None else 0

    def may_watch(self, lineup: str) -> bool:
        """Whether the lineup is one of theirs."""
        return self.user is None or self.user.may_watch(lineup)


ANYBODY = Visitor()


def is_reserved(segment: str) -> bool:
    """Whether `/segment/…` is an address of ours, whatever the case of its letters."""
    folded = segment.casefold()
    return folded in RESERVED or folded.startswith("tuner")


def checked_name(name: str) -> str:
    """The name itself; raises `Invalid` unless it can stand in an address and is none of our own."""
    if len(name) > MAX_NAME_CHARS or not _fits_a_path(name):
        raise Invalid(f"name: 1 to {MAX_NAME_CHARS} of A-Z a-z 0-9 . _ ~ - are allowed, since it stands in addresses")
    if is_reserved(name):
        raise Invalid(f"name: {name!r} is the beginning of an address of ours; choose another one")
    return name


def checked_password(password: str) -> str:
    """The password itself; raises `Invalid`, without repeating it, unless it can stand in an address."""
    if not LEAST_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS or not _fits_a_path(password):
        raise Invalid(
            f"password: {LEAST_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} of A-Z a-z 0-9 . _ ~ - are allowed: players "
            "write it into addresses as it stands"
        )
    return password


def _fits_a_path(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and text.strip(".") != ""
