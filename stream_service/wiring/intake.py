"""The keeper's side of sources: how lists are got and refreshed, errands about them, panels' guides.

Only `wiring` calls it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from servicekit.clock import Clock
from servicekit.fetch import Fetcher
from servicekit.notify import Notifier
from servicekit.store.sqlite import Connections
from stream_service.domain.entities import Run, RunStatus, Source
from stream_service.errands import Handler
from stream_service.guide.panels import PanelGuides
from stream_service.sources.cleaning import Cleaning
from stream_service.sources.load import Refresher
from stream_service.sources.trial import Trial
from stream_service.sources.types import Ways
from stream_service.store.guide_links import GuideLinks
from stream_service.store.library_intake import LibraryIntake
from stream_service.store.lists import Lists
from stream_service.store.manual import ManualChannels
from stream_service.store.runs import Runs
from stream_service.store.sources import Sources


@dataclass(frozen=True, slots=True)
class Intake:
    """The keeper's side: how lists are got, refreshed and cleaned up, and errands by name."""

    ways: Ways
    refresh: Callable[[Run, Source], RunStatus]
    cleaning: Cleaning
    handlers: Mapping[str, Handler]


def intake(connections: Connections, *, ways: Ways, notifier: Notifier, least_share: float, clock: Clock) -> Intake:
    """The keeper's side. A process has one of it, so that a panel is asked by one at a time."""
    sources, lists = Sources(connections, clock=clock), Lists(connections, clock=clock)
    titles = LibraryIntake(connections, clock=clock)
    refresher = Refresher(
        ways=ways,
        lists=lists,
        titles=titles,
        runs=Runs(connections, clock=clock),
        accounts=sources,
        notifier=notifier,
        clock=clock,
        least_share=least_share,
    )
    trial = Trial(ways=ways, sources=sources, clock=clock)
    return Intake(
        ways=ways,
        refresh=refresher.refresh,
        cleaning=Cleaning(lists=lists, titles=titles, typed=ManualChannels(connections)),
        handlers={"source-test": trial.test},
    )


def panel_guides(
    connections: Connections,
    *,
    ways: Ways,
    asking: Fetcher,
    epg_url: str,
    secret: str,
    notifier: Notifier,
    clock: Clock,
) -> PanelGuides:
    """The keeper's link of panels' guides to the guide service."""
    return PanelGuides(
        asking=asking,
        epg_url=epg_url,
        secret=secret,
        panels=ways.panels,
        sources=Sources(connections, clock=clock),
        links=GuideLinks(connections, clock=clock),
        clock=clock,
        notifier=notifier,
    )
