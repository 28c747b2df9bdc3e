"""Which guide at the guide service belongs to which source."""

from collections.abc import Sequence

from servicekit.store.sqlite import Connections, busy_as_unavailable


class LinkedGuides:
    """Guides that were linked, by source."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def of(self, source_ids: Sequence[int] | None) -> dict[int, str]:
        """Provider at the guide service -> name of its source, of these sources or of all that are enabled."""
        query = (
            "SELECT g.provider_id, s.name, s.id FROM guide_links AS g JOIN sources AS s ON s.id = g.source_id "
            "WHERE g.provider_id IS NOT NULL AND s.enabled = 1 AND s.deleted = 0"
        )
        with busy_as_unavailable():
            rows = [(int(str(row[0])), str(row[1]), row[2]) for row in self._connections.get().execute(query)]
        return {provider: name for provider, name, ident in rows if source_ids is None or ident in source_ids}
