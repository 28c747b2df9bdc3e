"""Views by noun: parse the request, call one method, shape the answer.

`Collaborators` is all that views are handed; they import no store, no importer and no keeper.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from servicekit.clock import Clock

if TYPE_CHECKING:
    from epg_service.lineups.published import PublishedGuides
    from epg_service.lineups.variants import Variants
    from epg_service.providers.feed import Feeds
    from epg_service.store.browse import Browse
    from epg_service.store.channels import Channels
    from epg_service.store.guide import Guide
    from epg_service.store.imports import ImportLog
    from epg_service.store.lineups import Lineups
    from epg_service.store.mappings import Mappings
    from epg_service.store.programs import Programs
    from epg_service.store.providers import Providers
    from epg_service.store.search import Search


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """What the views call."""

    providers: "Providers"
    imports: "ImportLog"
    channels: "Channels"
    programs: "Programs"
    guide: "Guide"
    lineups: "Lineups"
    mappings: "Mappings"
    browse: "Browse"
    search: "Search | None"
    """None: switched off."""
    published: "PublishedGuides"
    variants: "Variants"
    feeds: "Feeds"
    clock: Clock
    main_guide: str
    """`auto`, `all` or the name of a lineup: what `/epg.xml` is."""
    max_upload_bytes: int
    stream_port: int
    """Where people find the stream service on this host, when the two do not share one address."""
