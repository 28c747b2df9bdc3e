"""The stage of a build that gives channels their logos: what is there already, at once; what is not, later.

A build never waits for a picture: an address that has none yet stays the provider's own, is noted, and the keeper
fetches it afterwards (`fetching`), which makes the lineup stale once.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from stream_service.domain.logos import Known, Logo
from stream_service.domain.model import LineupChannel
from stream_service.logos import initials
from stream_service.logos.address import HELPER, PREFIX, can_be_fetched, host_of, served

NOTED_AGAIN_S = 86_400
"""That an address is still in use is written down this often."""


class Store(Protocol):
    """What the stage asks of the store; see `store.logos`."""

    def all(self) -> Sequence[Logo]: ...
    def known(self) -> Sequence[Known]: ...
    def want(self, addresses: Iterable[tuple[str, str, bool]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is switched on. `cache`: logos are served by us; `initials`: and drawn where there is none."""

    cache: bool = True
    initials: bool = True


class Dressing:
    """The stage. `public_url`: our address outside, '' when it is not known."""

    def __init__(
        self, store: Store, *, wishes: Callable[[], Wishes], now_s: Callable[[], int], public_url: str = ""
    ) -> None:
        self._store = store
        self._wishes = wishes
        self._now_s = now_s
        self._public_url = public_url
        self._lock = threading.Lock()  # lineups are built at the same time
        self._drawn: set[str] = set()

    def uploads(self) -> dict[str, str]:
        """Address of each uploaded logo, without our origin, by its id: what `@logo:ID` stands for."""
        return {one.id: served(one.picture) for one in self._store.all()}

    def dress(self, channels: Sequence[LineupChannel], cached: bool = True) -> list[LineupChannel]:
        """The channels of a lineup with their logos; unless `cached`, the providers' own and those of `@logo:`."""
        wishes = self._wishes() if cached else Wishes(cache=False)
        work = _Dressing(wishes, self.uploads(), {one.url: one for one in self._store.known()}, self._public_url)
        dressed = [work.dressed(channel) for channel in channels]
        if wishes.cache:
            self._store.want(work.to_note(self._now_s() - NOTED_AGAIN_S))
        with self._lock:
            self._drawn |= work.drawn
        return dressed

    def drawn(self) -> frozenset[str]:
        """Names of the pictures that builds wanted drawn."""
        with self._lock:
            return frozenset(self._drawn)


class _Dressing:
    """One build's work."""

    def __init__(self, wishes: Wishes, uploads: Mapping[str, str], known: Mapping[str, Known], public_url: str) -> None:
        self._wishes = wishes
        self._uploads = uploads
        self._known = known
        self._public_url = public_url
        self._met: dict[str, bool] = {}
        self.drawn: set[str] = set()

    def dressed(self, channel: LineupChannel) -> LineupChannel:
        """The channel with the logo that clients get, and the one that its guide carries."""
        named = channel.logo
        if named.startswith(HELPER):
            named = self._uploads.get(named.removeprefix(HELPER).strip(), "")
        ours = self._ours(named, channel)
        if ours == channel.logo and not ours.startswith(PREFIX):
            return channel
        if not ours.startswith(PREFIX):
            return replace(channel, logo=ours)
        provider = "" if named.startswith(PREFIX) else named
        return replace(channel, logo=ours, guide_logo=self._public_url + ours if self._public_url else provider)

    def _ours(self, named: str, channel: LineupChannel) -> str:
        if named.startswith(PREFIX) or not self._wishes.cache:
            return named
        if not named:
            return self._initials(channel.name)
        if not can_be_fetched(named):
            return named
        private = any(stream.private_ok for stream in channel.streams)
        self._met[named] = self._met.get(named, False) or private
        known = self._known.get(named)
        if known is None:
            return named
        if known.picture:
            return served(known.picture)
        return self._initials(channel.name) or named if known.gone else named

    def _initials(self, name: str) -> str:
        picture = initials.picture_of(name) if self._wishes.initials else ""
        if not picture:
            return ""
        self.drawn.add(picture)
        return served(picture)

    def to_note(self, before: int) -> list[tuple[str, str, bool]]:
        """Addresses (with host, and whether they may be private) that are new, or were noted too long ago."""
        found = []
        for url, private in self._met.items():
            known = self._known.get(url)
            if known is None or known.wanted_at < before or (private and not known.private_ok):
                found.append((url, host_of(url), private))
        return found
