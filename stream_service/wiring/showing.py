"""The part of the composition that serves Xtream clients and the library. Only `wiring` calls it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servicekit.clock import Clock
from servicekit.errors import NotFound
from servicekit.fetch import Answer, Fetcher
from stream_service import native
from stream_service.accounts.seats import Seats
from stream_service.domain.failover import first_byte_s
from stream_service.domain.model import ChannelTarget, StreamAddress
from stream_service.domain.titles import StoredEpisode
from stream_service.guide.listings import GuideListings
from stream_service.library.pump import Pump
from stream_service.library.shelf import Shelf
from stream_service.lineups.archives import Archives
from stream_service.lineups.catalogue import Catalogue
from stream_service.lineups.publish import PublishedFiles
from stream_service.relay.hub import Hub
from stream_service.store.library import Library
from stream_service.store.lineups import Lineups
from stream_service.store.sources import Sources
from stream_service.wiring.parts import library_root

PANEL_TYPE = "xtream"
FIRST_BYTE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What the views are handed; `api.xtream`, `api.xtream_streams` and `api.library` say what they ask of it."""

    listings: GuideListings
    library: Shelf
    titles: Library
    pump: Pump
    archives: Archives
    catalogue: Catalogue
    used: Callable[[str], int]
    lineups: Lineups
    clock: Clock

    @property
    def by_xtream_id(self) -> Callable[[int], ChannelTarget | None]:
        return self.catalogue.by_xtream_id

    @property
    def in_lineup(self) -> Callable[[str, str], bool]:
        return self.catalogue.in_lineup

    @property
    def as_in(self) -> Callable[[str, ChannelTarget], ChannelTarget]:
        return self.catalogue.as_in

    @property
    def catchup(self) -> Callable[[str, int], Mapping[str, str]]:
        return self.archives.of

    @property
    def archive(self) -> Callable[[str, ChannelTarget, int, int], StreamAddress | None]:
        return self.archives.address

    @property
    def episodes(self) -> Callable[[int], Sequence[StoredEpisode]]:
        return self.library.episodes

    @property
    def now_s(self) -> Callable[[], int]:
        return self.clock.now_s

    def delivery(self, lineup: str) -> str:
        """How a lineup's viewers get what they watch; raises `NotFound`."""
        return self.lineups.get(lineup).delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What it stands on."""

    files: PublishedFiles
    catalogue: Catalogue
    hub: Hub
    seats: Seats
    sources: Sources
    lineups: Lineups
    titles: Library
    ask: Callable[[str, Mapping[str, object]], Mapping[str, Any]]
    fetcher: Fetcher
    epg_url: str
    secret: str
    connect_s: float
    clock: Clock


def showing(around: Around) -> Showing:
    """The parts that serve Xtream clients and the library."""
    clock = around.clock

    def asks(source_id: int) -> bool:
        try:
            return around.sources.get(source_id).type == PANEL_TYPE
        except NotFound:
            return False

    return Showing(
        listings=GuideListings(asking=around.fetcher, epg_url=around.epg_url, secret=around.secret, clock=clock),
        library=Shelf(
            around.titles,
            library_root(around.files),
            call=native.call,
            ask=around.ask,
            asks=asks,
            clock=clock,
        ),
        titles=around.titles,
        pump=Pump(
            open_range=_open_range(around.fetcher, around.connect_s),
            slots=around.hub.slots,
            free_unwatched=around.hub.free_unwatched,
            enter=around.seats.enter,
            clock=clock,
        ),
        archives=Archives(
            around.files,
            zone_name=lambda source_id: around.sources.get(source_id).account.timezone,
            clock=clock,
        ),
        catalogue=around.catalogue,
        used=around.seats.used,
        lineups=around.lineups,
        clock=clock,
    )


def _open_range(fetcher: Fetcher, connect_s: float) -> Callable[[StreamAddress, Mapping[str, str]], Answer]:
    def opened(address: StreamAddress, headers: Mapping[str, str]) -> Answer:
        return fetcher.open(
            address.url,
            headers={"Accept-Encoding": "identity", **address.headers, **headers},  # a range is of the file's own bytes
            typed=False,
            private_ok=address.private_ok,
            timeout_s=address.timeouts.get("connect_s", connect_s),
            read_timeout_s=first_byte_s(address, FIRST_BYTE_S),
        )

    return opened
