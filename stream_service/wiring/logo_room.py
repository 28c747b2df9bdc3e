"""The keeper's side of logos. Only `wiring` calls it."""

import logging
from collections.abc import Callable, Mapping

from servicekit.clock import Clock
from servicekit.errors import AerialError
from servicekit.fetch import Fetcher
from servicekit.settings import Settings
from servicekit.store.sqlite import Connections
from stream_service.logos.address import served
from stream_service.logos.drawing import Drawing
from stream_service.logos.dressing import Dressing, Wishes
from stream_service.logos.fetching import Fetching
from stream_service.logos.shelf import Shelf
from stream_service.logos.uploads import Uploads
from stream_service.store.logos import Logos

CACHE = "logos_cache_enabled"
INITIALS = "logos_initials_enabled"
FRESH_S = 2.0

_log = logging.getLogger("logos")


class LogoRoom:
    """The keeper's side of logos: the stage of a build, what is fetched behind it, uploads."""

    def __init__(
        self,
        connections: Connections,
        *,
        shelf: Shelf,
        fetcher: Fetcher,
        settings: Settings,
        public_url: str,
        changed: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._changed = changed
        self._seen = self.wishes()
        store, drawing = Logos(connections, clock=clock), Drawing()
        self.dressing = Dressing(store, wishes=self.wishes, now_s=clock.now_s, public_url=public_url)
        self.uploads = Uploads(store=store, shelf=shelf, drawing=drawing, changed=changed)
        self._fetching = Fetching(
            store=store,
            shelf=shelf,
            drawing=drawing,
            open_address=fetcher.open,
            wanted=self.dressing.drawn,
            changed=changed,
            clock=clock,
        )

    def wishes(self) -> Wishes:
        """What is switched on."""
        return Wishes(cache=bool(self._settings.get(CACHE)), initials=bool(self._settings.get(INITIALS)))

    def turn(self) -> None:
        """One look at what lineups miss; builds them again when the switches were changed."""
        wishes = self.wishes()
        if wishes != self._seen:
            self._seen = wishes
            self._changed()
        if not wishes.cache:
            return
        try:
            self._fetching.turn()
        except AerialError as error:  # a locked database, mostly
            _log.warning("logos are left for the next look: %s", error.detail)

    def sweep(self) -> None:
        """The daily clearing up."""
        self._fetching.sweep()


class LogoAddresses:
    """Addresses of uploaded logos for rules, which ask for every channel: read at most every other second."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._store = Logos(connections, clock=clock)
        self._clock = clock
        self._known: Mapping[str, str] = {}
        self._read_s = -FRESH_S

    def of(self, logo_id: str) -> str:
        """The address without our origin, '' when there is none of that id: `@logo:ID`."""
        now_s = self._clock.monotonic()
        if now_s - self._read_s >= FRESH_S:
            self._known, self._read_s = {one.id: served(one.picture) for one in self._store.all()}, now_s
        return self._known.get(logo_id.strip().lower(), "")
