"""The part of the composition that builds lineups. Only `wiring` calls it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from servicekit.clock import Clock
from servicekit.store.sqlite import Connections
from stream_service.domain.entities import Source
from stream_service.domain.lineup import LineupOptions
from stream_service.domain.merging import MERGE_KEY, RuleKey
from stream_service.domain.model import LineupStream
from stream_service.lineups.build import Builder, Dress, ForGuide, nothing_for_guide, undressed
from stream_service.lineups.guard import Busy, Guard, Patience
from stream_service.lineups.publish import PublishedFiles
from stream_service.rules.fields import SourceTexts, record_of
from stream_service.rules.selection import select
from stream_service.store.builds import Builds
from stream_service.store.channels import Channels
from stream_service.store.lineup_channels import LineupChannels
from stream_service.store.lineups import Lineups
from stream_service.store.linked_guides import LinkedGuides
from stream_service.store.runs import Runs
from stream_service.store.sources import Sources
from stream_service.wiring.rulebook import condition, filter_store, rule_store
from stream_service.wiring.trying import source_texts
from tvkit.expressions import Helpers


@dataclass(frozen=True, slots=True)
class Selected:
    """Streams after rules and filters, and what those did."""

    streams: list[LineupStream]
    told: Mapping[str, object]
    warnings: Sequence[str]


class Selector:
    """The stages map and filter: rules and filters as they stand when a build begins."""

    def __init__(
        self, connections: Connections, *, sources: Callable[[], Iterable[Source]], helpers: Helpers, clock: Clock
    ) -> None:
        self._rules = rule_store(connections, clock=clock)
        self._filters = filter_store(connections, clock=clock)
        self._sources = sources
        self._helpers = helpers

    def select(self, name: str, options: LineupOptions, streams: list[LineupStream]) -> Selected:
        """Raises `Invalid` or `OverBudget` for a filter that cannot be used; a rule that cannot is left out."""
        texts = source_texts(self._sources())
        rules = self._rules.of_lineup(name) if options.rules else []
        done = select(
            streams,
            rules=rules,
            filters=self._filters.attached(name, domain="stream"),
            source_of=lambda ident: texts.get(ident, SourceTexts()),
            helpers=self._helpers,
        )
        told = {
            "rules": {str(i): {"matched": c.matched, "changed": c.changed} for i, c in done.rules.items()},
            "filters": {str(i): {"matched": c.matched} for i, c in done.filters.items()},
        }
        names = {rule.id: rule.name for rule in rules}
        warnings = [f"rule {names.get(i, i)!r} was left out: {why}" for i, why in done.left_out.items()]
        return Selected(done.streams, told, warnings)


def rule_keys(expressions: Sequence[str]) -> RuleKey:
    """What entries are merged by: what the list says itself, else the first expression that matches.

    Raises `Invalid` for an expression that cannot be understood.
    """
    matching = [condition(text).matches for text in expressions]

    def key(stream: LineupStream) -> str:
        said = stream.attributes.get(MERGE_KEY, "")
        if said or not matching:
            return said and f"list {said}"
        record = record_of(stream)
        return next((f"rule {nth}" for nth, matches in enumerate(matching) if matches(record)), "")

    return key


def busy_here(runs: Runs, sources: Sources) -> Busy:
    """Names of the sources that are being refreshed."""

    def busy(source_ids: Sequence[int] | None) -> list[str]:
        running = {run.source_id for run in runs.running()}
        wanted = running if source_ids is None else running.intersection(source_ids)
        return [f"the refresh of {one.name!r}" for one in sources.all() if one.id in wanted] if wanted else []

    return busy


def busy_there(linked: LinkedGuides, importing: Callable[[], Collection[int]]) -> Busy:
    """Names of linked guides that the guide service is importing; it is asked only where there are any."""

    def busy(source_ids: Sequence[int] | None) -> list[str]:
        guides = linked.of(source_ids)
        if not guides:
            return []
        return [f"the guide of {guides[one]!r}" for one in sorted(guides.keys() & set(importing()))]

    return busy


def builder(
    *,
    connections: Connections,
    sources: Sources,
    runs: Runs,
    files: PublishedFiles,
    patience: Patience,
    importing: Callable[[], Collection[int]],
    clock: Clock,
    helpers: Helpers,
    dress: Dress = undressed,
    for_guide: ForGuide = nothing_for_guide,
    installation: str = "",
) -> Builder:
    """The builder with all its stages."""
    return Builder(
        channels=Channels(connections, clock=clock),
        lineups=Lineups(connections, clock=clock),
        lineup_channels=LineupChannels(connections, clock=clock),
        builds=Builds(connections, clock=clock),
        files=files,
        guard=Guard(
            patience, busy_here=busy_here(runs, sources), busy_there=busy_there(LinkedGuides(connections), importing)
        ),
        select=Selector(connections, sources=sources.all, helpers=helpers, clock=clock).select,
        dress=dress,
        rule_keys=rule_keys,
        for_guide=for_guide,
        installation=installation,
    )
