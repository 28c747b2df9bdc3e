"""The part of the composition for what clients get beside playlists: tuners and logos. Only `wiring` calls it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servicekit.clock import Clock
from servicekit.store.sqlite import Connections
from stream_service.domain.model import ChannelTarget
from stream_service.lineups.catalogue import Catalogue
from stream_service.lineups.devices import Devices
from stream_service.lineups.publish import PublishedFiles
from stream_service.logos.shelf import Shelf
from stream_service.outputs.hdhr import Device
from stream_service.relay.hub import Hub
from stream_service.relay.tuners import Scans, Tuners
from stream_service.store.logos import Logos

CACHE = "logos_cache_enabled"
INITIALS = "logos_initials_enabled"
FRESH_S = 2.0

_log = logging.getLogger("logos")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunable:
    """Lineups as tuners; `api.hdhr` and `api.tuning` say what they ask of it."""

    tuners: Tuners
    scans: Scans
    device: Callable[[str], Device | None]
    count: Callable[[str], int]
    channel: Callable[[str, str], ChannelTarget | None]


def tunable(files: PublishedFiles, catalogue: Catalogue, hub: Hub, clock: Clock) -> Tunable:
    """The tuners of all lineups."""
    return Tunable(
        tuners=Tuners(hub, clock=clock),
        scans=Scans(clock=clock),
        device=Devices(files).of,
        count=catalogue.count,
        channel=catalogue.tuned,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoDesk:
    """Logos as the views ask for them; see `api.logos`."""

    store: Logos
    shelf: Shelf
    ask: Callable[[str, Mapping[str, object]], dict[str, Any]]
    changed: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlets:
    """What the web process offers of both."""

    tunable: Tunable
    logos: LogoDesk


def outlets(
    connections: Connections,
    *,
    files: PublishedFiles,
    catalogue: Catalogue,
    hub: Hub,
    pictures: Path,
    ask: Callable[[str, Mapping[str, object]], dict[str, Any]],
    changed: Callable[[], None],
    clock: Clock,
) -> Outlets:
    """`pictures`: where those of logos stand; `changed`: lineups have to be built again."""
    return Outlets(
        tunable=tunable(files, catalogue, hub, clock),
        logos=LogoDesk(store=Logos(connections, clock=clock), shelf=Shelf(pictures), ask=ask, changed=changed),
    )
