"""What the keeper does with rules beside the builds: trials, previews, explanations, what the guide service is told.

Only `wiring` calls it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from servicekit.clock import Clock
from servicekit.redact import redact
from servicekit.store.sqlite import Connections
from stream_service.domain.entities import Source
from stream_service.domain.merging import RuleKey
from stream_service.domain.model import LineupStream
from stream_service.errands import Handler
from stream_service.lineups.draft import Drafts
from stream_service.lineups.explain import Explanations
from stream_service.lineups.preview import Previews
from stream_service.lineups.trial import Trials
from stream_service.rules import shipped
from stream_service.rules.fields import SourceTexts
from stream_service.store.channels import Channels
from stream_service.store.filters import Filters
from stream_service.store.lineup_channels import LineupChannels
from stream_service.store.lineups import Lineups
from stream_service.store.rules import Rules
from stream_service.wiring.rulebook import filter_store, rule_store
from tvkit.expressions import Helpers

MOST_ASKED = 200
"""Channels of a lineup whose programmes rules are tried on."""


def write_down_shipped(connections: Connections, *, clock: Clock) -> None:
    """Writes down the rules and filters that came with the program and that this installation never had."""
    rule_store(connections, clock=clock).seed(shipped.RULES)
    filter_store(connections, clock=clock).seed(shipped.FILTERS)


def for_guide(connections: Connections, *, clock: Clock) -> Callable[[str], Mapping[str, object]]:
    """What the guide service gets of a lineup beside its channels: its rules and filters for programmes, in order."""
    rules, filters = rule_store(connections, clock=clock), filter_store(connections, clock=clock)

    def of_lineup(lineup: str) -> Mapping[str, object]:
        own = rules.of_lineup(lineup, domain="programme")
        attached = [one for one in filters.attached(lineup, domain="programme") if one.active]
        told = {
            "rules": [{"id": r.id, "name": r.name, "expression": r.expression, "stop": r.stop} for r in own],
            "filters": [
                {
                    "id": one.filter.id,
                    "name": one.filter.name,
                    "expression": one.filter.expression,
                    "action": one.action,
                }
                for one in attached
            ],
        }
        return {key: some for key, some in told.items() if some}

    return of_lineup


def source_texts(sources: Iterable[Source]) -> dict[int, SourceTexts]:
    """What the language may ask of each source."""
    return {one.id: SourceTexts(one.name, one.type, redact(one.url)) for one in sources}


def errands_of_rules(
    connections: Connections,
    *,
    rule_keys: Callable[[Sequence[str]], RuleKey],
    sources: Callable[[], Sequence[Source]],
    programmes: Callable[[str, Sequence[str]], Iterable[Mapping[str, str]]],
    helpers: Helpers,
    clock: Clock,
) -> dict[str, Handler]:
    """What the keeper does with rules and lineups when it is asked to.

    `programmes`: records of what some channels of a lineup show; see `guide.records`.
    """
    it = _Stores.of(connections, clock=clock)

    def texts() -> Mapping[int, SourceTexts]:
        return source_texts(sources())

    def shown(lineup: str) -> Iterable[Mapping[str, str]]:
        it.lineups.get(lineup)
        return programmes(lineup, [row.id for row, _ in it.lineup_channels.some(lineup, limit=MOST_ASKED)])

    trials = Trials(
        streams=it.streams, rules=it.rules, filters=it.filters, source_texts=texts, programmes=shown, helpers=helpers
    )
    drafts = Drafts(
        channels=it.channels,
        lineup_channels=it.lineup_channels,
        source_texts=texts,
        rule_keys=rule_keys,
        helpers=helpers,
    )
    return {"rules-test": trials.rule, "filters-test": trials.filter, **_looks(it, drafts)}


def _looks(it: "_Stores", drafts: Drafts) -> dict[str, Handler]:
    previews = Previews(
        drafts=drafts, lineups=it.lineups, lineup_channels=it.lineup_channels, rules=it.rules, filters=it.filters
    )
    explanations = Explanations(
        drafts=drafts,
        lineups=it.lineups,
        channels=it.channels,
        lineup_channels=it.lineup_channels,
        rules=it.rules,
        filters=it.filters,
    )
    return {"lineup-preview": previews.preview, "lineup-explain": explanations.explain}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stores:
    """What trials, previews and explanations read."""

    rules: Rules
    filters: Filters
    channels: Channels
    lineups: Lineups
    lineup_channels: LineupChannels

    @classmethod
    def of(cls, connections: Connections, *, clock: Clock) -> "_Stores":
        return cls(
            rules=rule_store(connections, clock=clock),
            filters=filter_store(connections, clock=clock),
            channels=Channels(connections, clock=clock),
            lineups=Lineups(connections, clock=clock),
            lineup_channels=LineupChannels(connections, clock=clock),
        )

    def streams(self, lineup: str | None) -> Iterable[LineupStream]:
        """The entries of a lineup's sources; of all, where none is named."""
        return self.channels.streams(self.lineups.get(lineup).options.sources if lineup is not None else None)
