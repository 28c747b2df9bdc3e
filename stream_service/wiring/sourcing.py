"""Sources as the web process has them. Only `wiring` calls it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from servicekit.clock import Clock
from servicekit.metrics import Sample
from servicekit.store.sqlite import Connections
from stream_service.domain.calls import Call
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.domain.typed import TypedChannel, typed_of
from stream_service.guide.panels import GuideNotices
from stream_service.progress import Builds, Progress
from stream_service.sources.m3u import Playlist
from stream_service.sources.manual import written
from stream_service.store.guide_links import GuideLinks
from stream_service.store.library import Library
from stream_service.store.manual import ManualChannels
from stream_service.store.runs import Runs
from stream_service.store.sources import Sources
from stream_service.store.streams import Streams


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
    """What the views about sources are handed; `builds`: those since a moment."""
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


def guide_notices(connections: Connections, *, touch: Callable[[], None], clock: Clock) -> Callable[..., None]:
    """What the web process does when the guide service says that guides were imported, with keys of panels' ones."""
    links, sources = GuideLinks(connections, clock=clock), Sources(connections, clock=clock)
    notices = GuideNotices(links=links, sources=sources, runs=Runs(connections, clock=clock), clock=clock)

    def told(*keys: str) -> None:
        touch()
        if keys:
            notices.imported(keys)

    return told


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
