"""Everything about sources, put together: for the web process, and for the keeper with its errands."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servicekit.clock import Clock
from servicekit.fetch import Fetcher
from servicekit.metrics import Sample
from servicekit.notify import Notifier
from servicekit.store.sqlite import Connections
from stream_service.domain.calls import Call
from stream_service.domain.entities import Run, RunStatus, Source
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.domain.typed import TypedChannel, typed_of
from stream_service.guide.panels import GuideNotices, PanelGuides
from stream_service.progress import Builds, Progress
from stream_service.sources.cleaning import Cleaning
from stream_service.sources.load import Refresher
from stream_service.sources.m3u import Playlist
from stream_service.sources.manual import written
from stream_service.sources.trial import Trial
from stream_service.sources.types import Tools, Ways
from stream_service.store.guide_links import GuideLinks
from stream_service.store.library import Library
from stream_service.store.library_intake import LibraryIntake
from stream_service.store.lists import Lists
from stream_service.store.manual import ManualChannels
from stream_service.store.runs import Runs
from stream_service.store.sources import Sources
from stream_service.store.streams import Streams

Handler = Callable[[Mapping[str, Any]], Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourcing:
    """What the views about sources are handed beside the stores."""

    sources: Sources
    runs: Runs
    typed: ManualChannels
    streams: Streams
    library: Library
    guides: GuideLinks
    progress: Progress
    call: Call
    import_dir: Path
    max_upload_bytes: int
    written: Callable[[Sequence[TypedChannel]], str] = written

    def read_m3u(self, body: bytes, losses: Losses) -> list[TypedChannel]:
        """An M3U list as typed channels; raises `BadAnswer`."""
        return [typed_of(entry) for entry in Playlist([body], losses=losses) if isinstance(entry, Entry)]

    def upload_path(self, source_id: int) -> Path:
        """Where a source's uploaded list stands."""
        return self.import_dir / f"source-{source_id}.m3u"


def sourcing(
    connections: Connections, *, builds: Builds, import_dir: Path, max_upload_bytes: int, clock: Clock, call: Call
) -> Sourcing:
    """The web process' side."""
    sources, runs = Sources(connections, clock=clock), Runs(connections, clock=clock)
    return Sourcing(
        sources=sources,
        runs=runs,
        typed=ManualChannels(connections),
        streams=Streams(connections),
        library=Library(connections),
        guides=GuideLinks(connections, clock=clock),
        progress=Progress(runs=runs, sources=sources, builds=builds, clock=clock, call=call),
        call=call,
        import_dir=import_dir,
        max_upload_bytes=max_upload_bytes,
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


def guide_notices(connections: Connections, *, touch: Callable[[], None], clock: Clock) -> Callable[..., None]:
    """What the web process does when the guide service says that guides were imported, with keys of panels' ones."""
    links, sources = GuideLinks(connections, clock=clock), Sources(connections, clock=clock)
    notices = GuideNotices(links=links, sources=sources, runs=Runs(connections, clock=clock), clock=clock)

    def told(*keys: str) -> None:
        touch()
        if keys:
            notices.imported(keys)

    return told


@dataclass(frozen=True, slots=True)
class Intake:
    """The keeper's side: how lists are got, refreshed and cleaned up, and errands by name."""

    ways: Ways
    refresh: Callable[[Run, Source], RunStatus]
    cleaning: Cleaning
    handlers: Mapping[str, Handler]


def ways_of(
    connections: Connections, *, fetcher: Fetcher, import_dir: Path, spool_dir: Path, max_bytes: int, clock: Clock
) -> Ways:
    """How the lists of sources are got."""
    return Ways(
        Tools(
            fetcher=fetcher,
            import_dir=import_dir,
            spool_dir=spool_dir,
            max_bytes=max_bytes,
            clock=clock,
            typed_channels=ManualChannels(connections).of,
        )
    )


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


def source_figures(sources: Sources, runs: Runs) -> list[Sample]:
    """What `/metrics` says of sources."""
    found: list[Sample] = []
    every = sources.all()
    last = runs.last_of_each([one.id for one in every])
    for one in every:
        labels = {"source": str(one.id)}
        streams, skipped = float(one.good.entries), float(one.good.skipped)
        found.append(("gauge", "aerial_stream_source_streams", "Streams of the last good list.", labels, streams))
        found.append(("gauge", "aerial_stream_source_skipped", "Entries it left out.", labels, skipped))
        run = last.get(one.id)
        failed = float(run is not None and run.status in ("failed", "rejected", "interrupted"))
        found.append(("gauge", "aerial_stream_source_failed", "1 when the last refresh failed.", labels, failed))
        if one.account.expires_at is not None:
            ends, told = float(one.account.expires_at), "When the panel's account ends, in epoch seconds."
            found.append(("gauge", "aerial_stream_account_expires_seconds", told, labels, ends))
    return found
