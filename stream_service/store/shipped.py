"""What came with the program and was written down once: deleted by a person, it stays deleted until it is restored."""

from collections.abc import Iterable, Mapping
from typing import Any

import apsw


def unseen(connection: apsw.Connection, kind: str, shipped: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those this installation never had, noted as seen from now on; inside the caller's transaction."""
    seen = {row[0] for row in connection.execute("SELECT key FROM shipped_seen WHERE kind = ?", (kind,))}
    new = [one for one in shipped if one["shipped"] not in seen]
    connection.executemany(
        "INSERT INTO shipped_seen (kind, key) VALUES (?, ?)", [(kind, one["shipped"]) for one in new]
    )
    return new
