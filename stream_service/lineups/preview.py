"""What a lineup would become with other options, rules or filters, beside what is published now."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from servicekit.errors import Invalid
from stream_service.domain.lineup import LineupOptions
from stream_service.domain.numbering import number_key
from stream_service.domain.rules import Attached, Domain, Filter, Rule
from stream_service.lineups.draft import Drafted, Drafts
from stream_service.lineups.numbers import Placed
from stream_service.rules.check import check_filter, check_rule
from stream_service.store.lineup_channels import LineupRow
from stream_service.store.lineups import Lineup


class LineupStore(Protocol):
    """What a preview asks of the store of lineups."""

    def get(self, name: str) -> Lineup: ...


class ShownStore(Protocol):
    """What a preview asks of the channels of a lineup."""

    def get(self, lineup: str, channel_id: str) -> LineupRow: ...


class RuleStore(Protocol):
    """What a preview asks of the store of rules."""

    def get(self, rule_id: int) -> Rule: ...
    def of_lineup(self, lineup: str, *, domain: Domain = "stream") -> list[Rule]: ...


class FilterStore(Protocol):
    """What a preview asks of the store of filters."""

    def get(self, filter_id: int) -> Filter: ...
    def attached(self, lineup: str, *, domain: Domain | None = None) -> list[Attached]: ...


class Previews:
    """The errand `lineup-preview`."""

    def __init__(
        self,
        *,
        drafts: Drafts,
        lineups: LineupStore,
        lineup_channels: ShownStore,
        rules: RuleStore,
        filters: FilterStore,
    ) -> None:
        self._drafts = drafts
        self._lineups = lineups
        self._lineup_channels = lineup_channels
        self._rules = rules
        self._filters = filters

    def preview(self, params: Mapping[str, Any]) -> dict[str, object]:
        """Counts, the first channels, and what would be new or gone. Raises `Invalid`, `NotFound`."""
        lineup = self._lineups.get(params["lineup"])
        options = _changed(lineup.options, params["options"] or {})
        drafted = self._drafts.draft(lineup, options, self._rules_of(params), self._filters_of(params))
        return self._told(lineup.name, drafted, params["limit"])

    # ---- the draft ---------------------------------------------------------------------------------------------------

    def _rules_of(self, params: Mapping[str, Any]) -> list[Rule]:
        if params["rules"] is None:
            return self._rules.of_lineup(params["lineup"])
        return [self._rule(one, -place) for place, one in enumerate(params["rules"], 1)]

    def _rule(self, asked: Mapping[str, Any], ident: int) -> Rule:
        """A rule that is written down, or one that is not and goes by a negative number."""
        if asked["id"] is not None:
            return self._rules.get(asked["id"])
        rule = Rule(id=ident, name=f"rule {-ident} of the draft", expression=asked["expression"],
                    source_id=asked["source_id"], stop=asked["stop"])  # fmt: skip
        check_rule(rule)
        return rule

    def _filters_of(self, params: Mapping[str, Any]) -> list[Attached]:
        if params["filters"] is None:
            return self._filters.attached(params["lineup"], domain="stream")
        return [self._filter(one, -place) for place, one in enumerate(params["filters"], 1)]

    def _filter(self, asked: Mapping[str, Any], ident: int) -> Attached:
        if asked["id"] is not None:
            known = self._filters.get(asked["id"])
            return Attached(known, asked["action"] or known.action)
        new = Filter(id=ident, name=f"filter {-ident} of the draft", expression=asked["expression"])
        check_filter(new)
        return Attached(new, asked["action"] or "include")

    # ---- telling -----------------------------------------------------------------------------------------------------

    def _told(self, lineup: str, drafted: Drafted, limit: int) -> dict[str, object]:
        standing, selection = drafted.standing, drafted.selection
        placed = [one for one in drafted.numbered.placed if not one.hidden]
        here = {one.channel.id for one in drafted.numbered.placed}
        new = [one for one in placed if one.channel.id not in standing.present]
        gone = sorted(standing.present - here, key=lambda ident: (number_key(standing.numbers[ident]), ident))
        renumbered = sum(standing.numbers.get(one.channel.id, one.number) != one.number for one in placed)
        return {
            "counts": {
                "entries": drafted.entered,
                "kept": len(selection.streams),
                "taken_out": drafted.entered - len(selection.streams),
                "channels": len(placed),
                "hidden": len(here) - len(placed),
                "published": len(standing.present),
                "new": len(new),
                "gone": len(gone),
                "renumbered": renumbered,
            },
            **selection.told,
            "channels": [_channel(one) for one in placed[:limit]],
            "new": [_channel(one) for one in new[:limit]],
            "gone": [self._gone(lineup, ident) for ident in gone[:limit]],
        }

    def _gone(self, lineup: str, ident: str) -> dict[str, object]:
        row = self._lineup_channels.get(lineup, ident)
        return {"id": row.id, "number": row.number, "name": row.name, "group": row.group}


def _channel(placed: Placed) -> dict[str, object]:
    one = placed.channel
    return {
        "id": one.id, "number": one.number, "name": one.name, "tvg_id": one.tvg_id, "group": one.group,
        "logo": one.logo, "streams": len(one.streams),
    }  # fmt: skip


def _changed(options: LineupOptions, said: Mapping[str, Any]) -> LineupOptions:
    """The lineup's options with those of the draft; raises `Invalid` for one that is none."""
    if strange := sorted(set(said) - set(options.as_dict())):
        raise Invalid(f"options: there is no option {strange[0]!r}")
    wanted = LineupOptions.of({**options.as_dict(), **{key: said[key] for key in said if key != "numbering"}})
    return replace(wanted, numbering=replace(options.numbering, **said.get("numbering", {})))
