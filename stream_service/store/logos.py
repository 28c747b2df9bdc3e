"""Logos: those that people uploaded, and the addresses that sources name, with what became of each."""

from collections.abc import Iterable
from typing import Any

from servicekit.clock import Clock
from servicekit.errors import NotFound
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.logos import AddressRow, Due, Known, Logo, Outcome
from stream_service.store.batches import write_batches

STEP_ROWS = 2_000


class Logos:
    """The rows; pictures themselves are files (`logos.shelf`)."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    # ---- uploaded

    def all(self) -> list[Logo]:
        """Every uploaded logo by id."""
        return [Logo(*row) for row in self._rows(f"SELECT {_LOGO} FROM logos ORDER BY id")]

    def page(self, *, limit: int, after: str, q: str = "") -> list[Logo]:
        """Uploaded logos by id, from behind `after`; `q`: only those whose name or id contains it."""
        like = "%" + q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        query = (
            f"SELECT {_LOGO} FROM logos WHERE id > ?1 AND (name LIKE ?2 ESCAPE '\\' OR id LIKE ?2 ESCAPE '\\') "
            "ORDER BY id LIMIT ?3"
        )
        return [Logo(*row) for row in self._rows(query, after, like, limit)]

    def get(self, logo_id: str) -> Logo:
        """One uploaded logo; raises `NotFound`."""
        rows = self._rows(f"SELECT {_LOGO} FROM logos WHERE id = ?", logo_id)
        if not rows:
            raise NotFound(f"there is no logo {logo_id!r}", id=logo_id)
        return Logo(*rows[0])

    def put(self, logo_id: str, name: str, picture: str, *, width: int, height: int, size_bytes: int) -> Logo:
        """A new logo, or another picture (and name) for one that is there."""
        now = self._clock.now_s()
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "INSERT INTO logos (id, name, picture, width, height, size_bytes, created_at, updated_at) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (id) DO UPDATE SET name = ?2, picture = ?3, "
                "width = ?4, height = ?5, size_bytes = ?6, updated_at = ?7",
                (logo_id, name, picture, width, height, size_bytes, now),
            )
        return self.get(logo_id)

    def delete(self, logo_id: str) -> None:
        """Forget it; its picture is swept later. Raises `NotFound`."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute("DELETE FROM logos WHERE id = ?", (logo_id,))
            if not connection.changes():
                raise NotFound(f"there is no logo {logo_id!r}", id=logo_id)

    # ---- addresses

    def known(self) -> list[Known]:
        """Every address."""
        query = "SELECT url, coalesce(picture, ''), gone, private_ok, wanted_at FROM logo_addresses"
        return [
            Known(url, picture, bool(gone), bool(private), at) for url, picture, gone, private, at in self._rows(query)
        ]

    def want(self, addresses: Iterable[tuple[str, str, bool]]) -> None:
        """Note addresses (url, host, private_ok) that a lineup uses now; new ones are due at once."""
        now = self._clock.now_s()
        statement = (
            "INSERT INTO logo_addresses (url, host, private_ok, wanted_at) VALUES (?1, ?2, ?3, ?4) "
            "ON CONFLICT (url) DO UPDATE SET wanted_at = ?4, private_ok = max(private_ok, ?3)"
        )
        rows = [(url, host, int(private), now) for url, host, private in addresses]
        write_batches(self._connections, statement, rows)

    def due(self, *, limit: int) -> list[Due]:
        """Addresses whose time has come, the first of every host before the second of any."""
        query = (
            "SELECT url, host, private_ok, coalesce(picture, ''), gone, failures, etag, last_modified FROM ("
            "SELECT *, row_number() OVER (PARTITION BY host ORDER BY due_at, url) AS turn "
            "FROM logo_addresses WHERE due_at <= ?) ORDER BY turn, url LIMIT ?"
        )
        rows = self._rows(query, self._clock.now_s(), limit)
        return [
            Due(url, host, bool(private), picture, bool(gone), *rest)
            for url, host, private, picture, gone, *rest in rows
        ]

    def note(self, url: str, outcome: Outcome) -> None:
        """Keep what an attempt brought; a picture that was there stays when none came."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE logo_addresses SET picture = coalesce(nullif(?2, ''), picture), due_at = ?3, failures = ?4, "
                "gone = ?5, reason = ?6, etag = ?7, last_modified = ?8 WHERE url = ?1",
                (url, outcome.picture, outcome.due_at, outcome.failures, int(outcome.gone), outcome.reason,
                 outcome.etag, outcome.last_modified),
            )  # fmt: skip

    def rest(self, host: str, until: int) -> None:
        """Nothing of this host is due before that moment."""
        self._in_steps(
            "UPDATE logo_addresses SET due_at = ?2 WHERE url IN "
            "(SELECT url FROM logo_addresses WHERE host = ?3 AND due_at < ?2 LIMIT ?1)",
            until,
            host,
        )

    def retry(self) -> int:
        """Everything that has no picture is due at once; returns how many."""
        return self._in_steps(
            "UPDATE logo_addresses SET due_at = 0, failures = 0 WHERE url IN "
            "(SELECT url FROM logo_addresses WHERE picture IS NULL AND (due_at > 0 OR failures > 0) LIMIT ?1)"
        )

    def addresses(self, *, limit: int, start: int, failed: bool) -> list[AddressRow]:
        """Addresses in their order, from the `start`-th on; `failed`: only those whose last attempt failed."""
        query = (
            "SELECT url, coalesce(picture, ''), failures, reason, due_at FROM logo_addresses "
            "WHERE failures > 0 OR NOT ? ORDER BY url LIMIT ? OFFSET ?"
        )
        return [AddressRow(*row) for row in self._rows(query, int(failed), limit, start)]

    def counts(self) -> dict[str, int]:
        """How many there are of what."""
        query = (
            "SELECT (SELECT count(*) FROM logos), count(*), count(picture), "
            "coalesce(sum(picture IS NULL AND failures > 0), 0) FROM logo_addresses"
        )
        uploaded, addresses, cached, failed = self._rows(query)[0]
        return {"uploaded": uploaded, "addresses": addresses, "cached": cached, "failed": failed}

    def forget(self, before: int) -> int:
        """Forget addresses that no lineup used since; returns how many."""
        return self._in_steps(
            "DELETE FROM logo_addresses WHERE url IN (SELECT url FROM logo_addresses WHERE wanted_at < ?2 LIMIT ?1)",
            before,
        )

    def pictures(self) -> set[str]:
        """The names of all pictures that something leads to."""
        query = "SELECT picture FROM logos UNION SELECT picture FROM logo_addresses WHERE picture IS NOT NULL"
        return {row[0] for row in self._rows(query)}

    def _in_steps(self, statement: str, *values: object) -> int:
        """The same statement until it changes nothing; ?1 is how many rows it may change: nobody waits long for it."""
        connection, changed = self._connections.get(), 0
        while True:
            with writing(connection):
                connection.execute(statement, (STEP_ROWS, *values))
                done = connection.changes()
            changed += done
            if done < STEP_ROWS:
                return changed

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, values))


_LOGO = "id, name, picture, width, height, size_bytes, created_at, updated_at"
