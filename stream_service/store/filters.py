"""Filters, and where they are attached: which lineup asks which filters, in which order, to include or to exclude."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apsw

from servicekit.clock import Clock
from servicekit.errors import Invalid, NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable
from stream_service.domain.rules import Action, Attached, Domain, Filter
from stream_service.store.ordered import OrderedRows
from stream_service.store.shipped import unseen

_WRITABLE = ("name", "expression", "domain", "action", "enabled", "description", "shipped")
MOST_ATTACHED = 200

Check = Callable[[Filter], None]
"""Raises `Invalid` for a filter that cannot be understood."""


class Filters:
    """All filters, in the order of the list that people see. `check` looks at every one before it is written."""

    def __init__(self, connections: Connections, *, clock: Clock, check: Check) -> None:
        self._connections = connections
        self._rows = OrderedRows(connections, clock=clock, table="filters", noun="filter", writable=_WRITABLE)
        self._check = check

    def all(self, *, domain: Domain | None = None) -> list[Filter]:
        """Every filter in its order, of one domain or of both."""
        return [_filter(row) for row in self._rows.select("?1 IS NULL OR domain = ?1", domain)]

    def get(self, filter_id: int) -> Filter:
        """One filter; raises `NotFound`."""
        return _filter(self._rows.one(filter_id))

    def create(self, values: Mapping[str, Any]) -> Filter:
        """A new filter, attached nowhere; raises `Invalid`, `Conflict` when the name is taken."""
        new = Filter(id=0, **values)
        self._check(new)
        with self._rows.transaction() as connection:
            made = self._rows.insert(connection, _values(new))
        return self.get(made)

    def update(self, filter_id: int, values: Mapping[str, Any]) -> Filter:
        """Change what `values` names; raises `NotFound`, `Invalid`, `Conflict`."""
        before = _values(self.get(filter_id))
        self._check(Filter(id=filter_id, **{**before, **values}))
        with self._rows.transaction() as connection:
            self._rows.update(connection, filter_id, values)
            _stale(connection, [filter_id])
        return self.get(filter_id)

    def delete(self, filter_id: int) -> None:
        """Forget one, wherever it is attached; raises `NotFound`."""
        self.get(filter_id)
        with self._rows.transaction() as connection:
            _stale(connection, [filter_id])
            self._rows.delete(connection, [filter_id])

    def reorder(self, ids: Sequence[int]) -> list[Filter]:
        """Let these stand in this order in the list (a lineup has its own); raises `NotFound`, `Invalid`."""
        with self._rows.transaction() as connection:
            self._rows.reorder(connection, ids)
        return self.all()

    def put_all(self, items: Sequence[tuple[int | None, Mapping[str, Any]]], *, gone: Iterable[int]) -> None:
        """Many changes as one: rows to change, or to make where there is no id, in the order they are to stand in.

        Raises `Invalid`, `NotFound`, `Conflict`, and changes nothing then.
        """
        removed, whole = list(gone), list[tuple[int | None, Mapping[str, Any]]]()
        for place, (ident, values) in enumerate(items):
            before = _values(self.get(ident)) if ident is not None else {}
            after = Filter(id=ident or 0, **{**before, **values})
            self._checked(place, after)
            whole.append((ident, _values(after) if ident is None else values))
        with self._rows.transaction() as connection:
            _stale(connection, [*removed, *(ident for ident, _ in items if ident is not None)])
            self._rows.put_all(connection, whole, gone=removed)

    def _checked(self, place: int, one: Filter) -> None:
        try:
            self._check(one)
        except Invalid as error:
            raise Invalid(f"items.{place} ({one.name}): {error.detail}", item=place, **error.extra) from error

    def seed(self, shipped: Iterable[Mapping[str, Any]]) -> None:
        """Write down the shipped filters that this installation has not seen yet; they are attached nowhere."""
        with self._rows.transaction() as connection:
            for values in unseen(connection, "filter", shipped):
                if not _name_taken(connection, values["name"]):
                    self._rows.insert(connection, _values(Filter(id=0, **values)))

    # ---- attached to lineups -----------------------------------------------------------------------------------------

    def attached(self, lineup: str, *, domain: Domain | None = None) -> list[Attached]:
        """The filters of a lineup in their order, also those that are switched off; raises `NotFound`."""
        query = "SELECT filter_id, action, enabled FROM lineup_filters WHERE lineup = ? ORDER BY position"
        with busy_as_unavailable():
            connection = self._connections.get()
            _lineup_there(connection, lineup)
            places = list(connection.execute(query, (lineup,)))
        known = {one.id: one for one in self.all(domain=domain)}
        return [Attached(known[ident], action, bool(enabled)) for ident, action, enabled in places if ident in known]

    def attach(self, lineup: str, wanted: Sequence[tuple[int, Action | None, bool]]) -> list[Attached]:
        """Let a lineup ask these (filter id, action or None for its usual one, enabled), in this order, and no others.

        Raises `NotFound` for the lineup, `Invalid` for a filter that is not there or stands twice.
        """
        ids = [ident for ident, _, _ in wanted]
        if len(set(ids)) != len(ids):
            raise Invalid("filters: one is named twice")
        if len(ids) > MOST_ATTACHED:
            raise Invalid(f"filters: at most {MOST_ATTACHED}")
        usual = {one.id: one.action for one in self.all()}
        if missing := [ident for ident in ids if ident not in usual]:
            raise Invalid(f"filters: there is no filter {missing[0]}")
        with self._rows.transaction() as connection:
            _lineup_there(connection, lineup)
            connection.execute("DELETE FROM lineup_filters WHERE lineup = ?", (lineup,))
            connection.executemany(
                "INSERT INTO lineup_filters (lineup, position, filter_id, action, enabled) VALUES (?, ?, ?, ?, ?)",
                [
                    (lineup, place, ident, action or usual[ident], int(enabled))
                    for place, (ident, action, enabled) in enumerate(wanted)
                ],
            )
            connection.execute("UPDATE lineups SET stale = 1 WHERE name = ?", (lineup,))
        return self.attached(lineup)

    def lineups_of(self, filter_id: int) -> list[str]:
        """The lineups that a filter is attached to."""
        query = "SELECT lineup FROM lineup_filters WHERE filter_id = ? ORDER BY lineup"
        with busy_as_unavailable():
            return [row[0] for row in self._connections.get().execute(query, (filter_id,))]


def _lineup_there(connection: apsw.Connection, lineup: str) -> None:
    if not list(connection.execute("SELECT 1 FROM lineups WHERE name = ? AND deleted = 0", (lineup,))):
        raise NotFound(f"there is no lineup {lineup!r}")


def _name_taken(connection: apsw.Connection, name: str) -> bool:
    return bool(list(connection.execute("SELECT 1 FROM filters WHERE name = ? COLLATE NOCASE", (name,))))


def _stale(connection: apsw.Connection, filter_ids: Iterable[int]) -> None:
    connection.executemany(
        "UPDATE lineups SET stale = 1 WHERE name IN (SELECT lineup FROM lineup_filters WHERE filter_id = ?)",
        [(ident,) for ident in filter_ids],
    )


def _values(one: Filter) -> dict[str, Any]:
    return {name: getattr(one, name) for name in _WRITABLE}


def _filter(row: Sequence[Any]) -> Filter:
    ident, name, expression, domain, action, enabled, description, shipped, position, made, at = row
    return Filter(ident, name, expression, domain, action, bool(enabled), description, shipped, position, made, at)
