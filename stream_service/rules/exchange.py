"""Rules and filters as one JSON document, and what an import of one would do: worked out before anything is written.

    {"format": "aerial-rules", "version": 1, "items": [{"name", "expression", "domain", …}]}

Ids and positions stay at home: an item is known by its shipped key, else by its name. Sources go by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from servicekit.errors import Invalid
from stream_service.domain.rules import Filter, Rule

VERSION = 1
MOST_ITEMS = 1_000
Mode = Literal["merge", "replace"]
"""merge: what is not in the document stays; replace: it goes."""

_RULE_KEYS = ("name", "expression", "domain", "lineup", "enabled", "stop", "description", "shipped")
_FILTER_KEYS = ("name", "expression", "domain", "action", "enabled", "description", "shipped")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done. `items`, in the order of the document: the row's id and what changes of it; a new row has no
    id, one that is the same already nothing to change. `gone`: rows to forget.
    """

    items: list[tuple[int | None, dict[str, Any]]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many of each."""
        created = sum(ident is None for ident, _ in self.items)
        updated = sum(ident is not None and bool(values) for ident, values in self.items)
        same = len(self.items) - created - updated
        return {"created": created, "updated": updated, "unchanged": same, "deleted": len(self.gone)}


def rules_document(rules: Sequence[Rule], source_names: Mapping[int, str]) -> dict[str, object]:
    """The document of some rules, in their order. Those of a source that is being deleted are left out."""
    items = [
        {**{key: getattr(rule, key) for key in _RULE_KEYS}, "source": source_names.get(rule.source_id or 0)}
        for rule in rules
        if rule.source_id is None or rule.source_id in source_names
    ]
    return {"format": "aerial-rules", "version": VERSION, "items": items}


def filters_document(filters: Sequence[Filter]) -> dict[str, object]:
    """The document of some filters, in their order."""
    items = [{key: getattr(one, key) for key in _FILTER_KEYS} for one in filters]
    return {"format": "aerial-filters", "version": VERSION, "items": items}


def plan_rules(
    items: Sequence[Mapping[str, Any]], rules: Sequence[Rule], source_ids: Mapping[str, int], *, mode: Mode
) -> Plan:
    """What an import of these items would do. `source_ids`: by the casefolded name. Raises `Invalid`."""
    values = []
    for place, item in enumerate(items):
        row = {key: value for key, value in item.items() if key != "source"}
        if "source" in item:
            row["source_id"] = _source_id(item["source"], source_ids, place)
        values.append(row)
    return _planned(values, {rule.id: _of(rule, (*_RULE_KEYS, "source_id")) for rule in rules}, mode)


def plan_filters(items: Sequence[Mapping[str, Any]], filters: Sequence[Filter], *, mode: Mode) -> Plan:
    """What an import of these items would do. Raises `Invalid`."""
    return _planned([dict(item) for item in items], {one.id: _of(one, _FILTER_KEYS) for one in filters}, mode)


def plan_restored(shipped: Sequence[Mapping[str, Any]], rows: Sequence[Rule] | Sequence[Filter]) -> Plan:
    """What brings shipped rows back: one that is there gets its words back, one that is gone comes switched off
    (a rule) or attached nowhere (a filter).
    """
    known = {row.shipped: row for row in rows if row.shipped}
    items: list[tuple[int | None, dict[str, Any]]] = []
    for one in shipped:
        row = known.get(one["shipped"])
        if row is None:
            items.append((None, {**one} if "action" in one else {**one, "enabled": False}))
        else:
            items.append((row.id, {key: value for key, value in one.items() if getattr(row, key) != value}))
    return Plan(items)


def _source_id(name: str | None, source_ids: Mapping[str, int], place: int) -> int | None:
    if name is None:
        return None
    found = source_ids.get(name.casefold())
    if found is None:
        raise Invalid(f"items.{place}.source: there is no source {name!r}; make it first, or leave this out")
    return found


def _of(row: Rule | Filter, keys: Sequence[str]) -> dict[str, Any]:
    return {key: getattr(row, key) for key in keys}


def _planned(items: list[dict[str, Any]], known: Mapping[int, Mapping[str, Any]], mode: Mode) -> Plan:
    by_key = {row["shipped"]: ident for ident, row in known.items() if row["shipped"]}
    by_name = {str(row["name"]).casefold(): ident for ident, row in known.items()}
    planned: list[tuple[int | None, dict[str, Any]]] = []
    met: set[int] = set()
    names: set[str] = set()
    for place, item in enumerate(items):
        if (name := str(item["name"]).casefold()) in names:
            raise Invalid(f"items.{place}.name: {item['name']!r} stands in the list twice")
        names.add(name)
        ident = by_key.get(item.get("shipped"), by_name.get(name))
        before: Mapping[str, Any] = {}
        if ident is not None and ident not in met:
            met.add(ident)
            before = known[ident]
        else:
            ident = None
        changed = {key: value for key, value in item.items() if key not in before or before[key] != value}
        planned.append((ident, changed))
    return Plan(planned, [ident for ident in known if ident not in met] if mode == "replace" else [])
