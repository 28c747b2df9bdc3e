"""One statement for many rows, in transactions too short for anyone to wait on."""

from collections.abc import Sequence
from typing import Any

from servicekit.store.sqlite import Connections, writing

BATCH = 2_000


def write_batches(connections: Connections, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run the statement for each row, some thousand rows to a transaction."""
    connection = connections.get()
    for start in range(0, len(rows), BATCH):
        with writing(connection):
            connection.executemany(statement, rows[start : start + BATCH])
