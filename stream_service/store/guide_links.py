"""What the guide service was told of panels' guides; a row outlives its source until the guide service knows."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from servicekit.clock import Clock
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing

LinkState = Literal["waiting", "linked", "no_guide", "failed"]
_COLUMNS = "source_id, key, digest, state, provider_id, detail, tried_at, next_at"


@dataclass(frozen=True, slots=True)
class PanelGuide:
    """A panel's guide. `key`: what the guide service knows it by. `digest`: of what it was told last, '' for nothing.

    `next_at`: no attempt before. `detail`: why it is not linked.
    """

    source_id: int
    key: str
    digest: str
    state: LinkState
    provider_id: int | None
    detail: str
    tried_at: int
    next_at: int


class GuideLinks:
    """A row for each panel whose guide was ever looked for."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def all(self) -> list[PanelGuide]:
        """Every link by source."""
        return self._select("ORDER BY source_id")

    def of(self, source_id: int) -> PanelGuide | None:
        """The link of a source, if its guide was ever looked for."""
        found = self._select("WHERE source_id = ?", source_id)
        return found[0] if found else None

    def with_key(self, key: str) -> PanelGuide | None:
        """The link the guide service knows by that key."""
        found = self._select("WHERE key = ?", key)
        return found[0] if found else None

    def add(self, source_id: int) -> PanelGuide:
        """The link of a source, made when it is not there yet."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "INSERT INTO guide_links (source_id, key) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (source_id, uuid.uuid4().hex),
            )
        return self._select("WHERE source_id = ?", source_id)[0]

    def note(
        self, source_id: int, state: LinkState, *, digest: str, next_at: int, provider_id: int | None = None,
        detail: str = "",
    ) -> None:  # fmt: skip
        """How an attempt ended."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE guide_links SET state = ?, digest = ?, next_at = ?, provider_id = coalesce(?, provider_id), "
                "detail = ?, tried_at = ? WHERE source_id = ?",
                (state, digest, next_at, provider_id, detail, self._clock.now_s(), source_id),
            )

    def hurry(self, source_id: int) -> None:
        """Let it be looked for again now."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("UPDATE guide_links SET next_at = 0, digest = '' WHERE source_id = ?", (source_id,))

    def forget(self, source_id: int) -> None:
        """The guide service knows that it is gone."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("DELETE FROM guide_links WHERE source_id = ?", (source_id,))

    def _select(self, where: str, *values: object) -> list[PanelGuide]:
        with busy_as_unavailable():
            rows = self._connections.get().execute(f"SELECT {_COLUMNS} FROM guide_links {where}", values)
            return [_link(row) for row in rows]


def _link(row: Sequence[Any]) -> PanelGuide:
    return PanelGuide(*row)
