"""Why a channel is in a lineup as it is, or why it is not: which rule did what, what the filters said, what number."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from servicekit.errors import NotFound
from stream_service.domain.lineup import LineupOptions, Override
from stream_service.domain.model import LineupStream
from stream_service.lineups.draft import Drafts
from stream_service.lineups.preview import FilterStore, LineupStore, RuleStore
from stream_service.rules.engine import Chain, Mapped, Sieve, Step, Verdict
from stream_service.rules.fields import SourceTexts, record_of
from stream_service.store.lineup_channels import LineupRow, Standing


class KnownChannels(Protocol):
    """What an explanation asks of the store of channels."""

    def get(self, channel_id: str) -> tuple[Any, Sequence[object]]: ...


class ShownStore(Protocol):
    """What an explanation asks of the channels of a lineup."""

    def get(self, lineup: str, channel_id: str) -> LineupRow: ...


class Explanations:
    """The errand `lineup-explain`."""

    def __init__(
        self,
        *,
        drafts: Drafts,
        lineups: LineupStore,
        channels: KnownChannels,
        lineup_channels: ShownStore,
        rules: RuleStore,
        filters: FilterStore,
    ) -> None:
        self._drafts = drafts
        self._lineups = lineups
        self._channels = channels
        self._lineup_channels = lineup_channels
        self._rules = rules
        self._filters = filters

    def explain(self, params: Mapping[str, Any]) -> dict[str, object]:
        """Everything that makes a channel what it is in a lineup; raises `NotFound`."""
        lineup = self._lineups.get(params["lineup"])
        row, _ = self._channels.get(params["channel"])
        standing, overrides = self._drafts.standing(lineup.name)
        leads_to = standing.aliases.get(row.id)
        taken = sorted(ident for ident, home in standing.aliases.items() if home == row.id)
        streams = self._streams(lineup.name, lineup.options, {row.id, *taken})
        own = overrides.get(row.id)
        shown = self._shown(lineup.name, row.id)
        return {
            "lineup": lineup.name,
            "channel": row.id,
            "shown": _row(shown) if shown and row.id in standing.present and not shown.hidden else None,
            "because": _because(row.id, streams, standing, own, leads_to),
            "entries": streams,
            "merged": {"leads_to": leads_to, "stands_for": taken},
            "number": _number(row.id, streams, standing, own, lineup.options),
            "set_by_hand": asdict(own) if own else None,
        }

    def _shown(self, lineup: str, channel_id: str) -> LineupRow | None:
        try:
            return self._lineup_channels.get(lineup, channel_id)
        except NotFound:
            return None

    def _streams(self, lineup: str, options: LineupOptions, idents: set[str]) -> list[dict[str, Any]]:
        """The entries of these channels, each with its way through rules and filters."""
        rules = self._rules.of_lineup(lineup) if options.rules else []
        chain = Chain(rules, helpers=self._drafts.helpers)
        sieve = Sieve(self._filters.attached(lineup, domain="stream"), helpers=self._drafts.helpers)
        source_of = self._drafts.source_of()
        told = []
        for stream in self._drafts.streams(options):
            if stream.channel_id in idents:
                source = source_of(stream.stream.source_id)
                mapped, steps = chain.explain(stream, source)
                told.append(_entry(stream, source, mapped, steps, sieve.verdict(mapped.record)))
        return told


def _entry(
    stream: LineupStream, source: SourceTexts, mapped: Mapped, steps: Sequence[Step], verdict: Verdict
) -> dict[str, Any]:
    by = verdict.by
    return {
        "stream_id": stream.stream.id,
        "source_id": stream.stream.source_id,
        "source": source.name,
        "channel_id": stream.channel_id,
        "listed_as": _said(record_of(stream, source)),
        "rules": [_step(step) for step in steps],
        "becomes": _said(record_of(mapped.done(), source)),
        "kept": verdict.kept,
        "filter": {"id": by.filter.id, "name": by.filter.name, "action": by.action} if by else None,
    }


def _said(record: Mapping[str, str]) -> dict[str, str]:
    """What a record says, without the address: it may hold a password."""
    return {name: value for name, value in record.items() if value and name not in ("stream_url", "source_url")}


def _step(step: Step) -> dict[str, object]:
    return {
        "id": step.rule.id,
        "name": step.rule.name,
        "applies": step.applies,
        "matched": step.matched,
        "changes": [{"field": one.field, "before": one.before, "after": one.after} for one in step.changes],
    }


def _row(row: LineupRow) -> dict[str, object]:
    return {
        "number": row.number, "name": row.name, "group": row.group, "logo": row.logo, "tvg_id": row.tvg_id,
    }  # fmt: skip


def _because(
    ident: str, entries: Sequence[Mapping[str, Any]], standing: Standing, own: Override | None, leads_to: str | None
) -> str:
    """Why it is there or not, in a sentence."""
    if leads_to is not None:
        return f"it is one channel with {leads_to} in this lineup, which stands for both"
    if not entries:
        return "no enabled source of this lineup lists it at present"
    if own is not None and own.hidden:
        return "it is hidden by hand"
    if not any(entry["kept"] for entry in entries):
        by = entries[0]["filter"]
        if by is None:
            return "no include filter of this lineup lets it in"
        return f"the filter {by['name']!r} takes it out"
    if ident not in standing.present:
        return "it comes with the next build"
    return "its source lists it and no filter takes it out"


def _number(
    ident: str, entries: Sequence[Mapping[str, Any]], standing: Standing, own: Override | None, options: LineupOptions
) -> dict[str, object]:
    """The number and how it came about."""
    permanent = standing.numbers.get(ident)
    wanted = next((number for one in entries if (number := one["becomes"].get("tvg_chno"))), None)
    if own is not None and own.number is not None:
        how = "set by hand"
    elif permanent is None:
        how = "none yet: it is given when the channel comes into the lineup for the first time"
    elif permanent == wanted and options.numbering.mode == "preserve":
        how = "the one its source asks for, kept for ever"
    elif options.numbering.mode == "group":
        how = "given from the range of its group, kept for ever"
    else:
        how = "the next one that was free when it came, kept for ever"
    number = own.number if own is not None and own.number is not None else permanent
    return {"number": number, "permanent": permanent, "asked_for": wanted, "how": how}
