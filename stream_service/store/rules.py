"""Rules: rows in an order, changed by people. Every write marks the lineups that it touches as to be built again."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import apsw

from servicekit.clock import Clock
from servicekit.errors import Invalid
from servicekit.store.sqlite import Connections
from stream_service.domain.rules import Domain, Rule
from stream_service.store.ordered import OrderedRows
from stream_service.store.shipped import unseen

_WRITABLE = (
    "name", "expression", "domain", "source_id", "lineup", "enabled", "stop", "description", "shipped",
)  # fmt: skip

Check = Callable[[Rule], None]
"""Raises `Invalid` for a rule that cannot be understood."""


class Rules:
    """All rules, in their order. `check` looks at every rule before it is written."""

    def __init__(self, connections: Connections, *, clock: Clock, check: Check) -> None:
        self._rows = OrderedRows(connections, clock=clock, table="rules", noun="rule", writable=_WRITABLE)
        self._check = check

    def all(self, *, domain: Domain | None = None) -> list[Rule]:
        """Every rule in its order, of one domain or of both."""
        return [_rule(row) for row in self._rows.select("?1 IS NULL OR domain = ?1", domain)]

    def of_lineup(self, lineup: str, *, domain: Domain = "stream") -> list[Rule]:
        """The rules that are switched on and take part in a lineup, in their order."""
        where = "domain = ? AND enabled = 1 AND (lineup IS NULL OR lineup = ?)"
        return [_rule(row) for row in self._rows.select(where, domain, lineup)]

    def get(self, rule_id: int) -> Rule:
        """One rule; raises `NotFound`."""
        return _rule(self._rows.one(rule_id))

    def create(self, values: Mapping[str, Any]) -> Rule:
        """A new rule behind all others; raises `Invalid`, `Conflict` when the name is taken."""
        new = Rule(id=0, **values)
        self._check(new)
        with self._rows.transaction() as connection:
            made = self._rows.insert(connection, _values(new))
            _stale(connection, [new])
        return self.get(made)

    def update(self, rule_id: int, values: Mapping[str, Any]) -> Rule:
        """Change what `values` names; raises `NotFound`, `Invalid`, `Conflict`."""
        before = self.get(rule_id)
        after = replace(before, **values)
        self._check(after)
        with self._rows.transaction() as connection:
            self._rows.update(connection, rule_id, values)
            _stale(connection, [before, after])
        return self.get(rule_id)

    def delete(self, rule_id: int) -> None:
        """Forget one; raises `NotFound`."""
        before = self.get(rule_id)
        with self._rows.transaction() as connection:
            self._rows.delete(connection, [rule_id])
            _stale(connection, [before])

    def reorder(self, ids: Sequence[int]) -> list[Rule]:
        """Let these stand in this order, in the places they hold; raises `NotFound`, `Invalid`. Returns all."""
        with self._rows.transaction() as connection:
            self._rows.reorder(connection, ids)
            _stale(connection, [rule for rule in self.all() if rule.id in ids])
        return self.all()

    def put_all(self, items: Sequence[tuple[int | None, Mapping[str, Any]]], *, gone: Iterable[int]) -> None:
        """Many changes as one: rows to change, or to make where there is no id, in the order they are to stand in.

        Raises `Invalid`, `NotFound`, `Conflict`, and changes nothing then.
        """
        removed, whole, touched = set(gone), list[tuple[int | None, Mapping[str, Any]]](), list[Rule]()
        for place, (ident, values) in enumerate(items):
            before = self.get(ident) if ident is not None else None
            after = replace(before, **values) if before else Rule(id=0, **values)
            self._checked(place, after)
            whole.append((ident, values if before else _values(after)))
            touched += [before, after] if before else [after]
        touched += [rule for rule in self.all() if rule.id in removed]
        with self._rows.transaction() as connection:
            self._rows.put_all(connection, whole, gone=removed)
            _stale(connection, touched)

    def _checked(self, place: int, one: Rule) -> None:
        try:
            self._check(one)
        except Invalid as error:
            raise Invalid(f"items.{place} ({one.name}): {error.detail}", item=place, **error.extra) from error

    def seed(self, shipped: Iterable[Mapping[str, Any]]) -> None:
        """Write down the shipped rules that this installation has not seen yet, switched off."""
        with self._rows.transaction() as connection:
            for values in unseen(connection, "rule", shipped):
                if not _name_taken(connection, values["name"]):
                    self._rows.insert(connection, _values(Rule(id=0, enabled=False, **values)))


def _name_taken(connection: apsw.Connection, name: str) -> bool:
    return bool(list(connection.execute("SELECT 1 FROM rules WHERE name = ? COLLATE NOCASE", (name,))))


def _stale(connection: apsw.Connection, touched: Iterable[Rule]) -> None:
    """Lets the lineups be built again that these rules work in (one for programmes goes out with its lineup)."""
    lineups = {rule.lineup for rule in touched if rule.enabled}
    connection.executemany(
        "UPDATE lineups SET stale = 1 WHERE ?1 IS NULL OR name = ?1", [(lineup,) for lineup in lineups]
    )


def _values(rule: Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in _WRITABLE}


def _rule(row: Sequence[Any]) -> Rule:
    ident, name, expression, domain, source_id, lineup, enabled, stop, description, shipped, position, made, at = row
    return Rule(
        ident, name, expression, domain, source_id, lineup, bool(enabled), bool(stop), description, shipped,
        position, made, at,
    )  # fmt: skip
