"""Makes a decided import visible: channel by channel, each whole at every instant, no lock held long."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Protocol

import apsw

from epg_service.domain.days import ROW_BYTES, PackedDay
from epg_service.domain.entities import LastGoodFile, Mapped
from epg_service.store.channels import ChannelBook
from epg_service.store.programs import Change, replace_days
from epg_service.store.providers import write_good
from servicekit.clock import Clock
from servicekit.store.sqlite import Connections, truncate_wal, writing

LOCK_S = 0.08
"""A transaction takes in no further channel after this long; the longest one measured stays far below 250 ms."""
PAUSE_S = 0.005
"""Between two transactions, so that other writers get their turn: SQLite asks for the lock every millisecond."""
MOST_AT_ONCE = 20_000
"""Programmes of one channel in a transaction, some 60 ms of work; real channels have fewer, and are written in one."""
MAX_LOG_BYTES = 32 << 20
"""SQLite's own checkpoints keep the log near 8 MB while nobody reads for long."""
WAIT_S = 60.0
"""So long an import waits for slow readers in all; then it goes on, and the log grows."""


class DeclaredChannel(Protocol):
    """A channel as a provider's file declares it; `element` (XML) None when the file only uses it."""

    @property
    def id(self) -> str: ...
    @property
    def display_name(self) -> str | None: ...
    @property
    def icon_url(self) -> str | None: ...
    @property
    def element(self) -> str | None: ...


class Applying:
    """Writes the changes of one import."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def apply(
        self,
        *,
        provider_id: int,
        provider_name: str,
        days: Iterable[tuple[str, Sequence[PackedDay]]],
        channels: Mapping[str, DeclaredChannel],
    ) -> dict[str, int]:
        """Replaces the days; can be done again from the start after it was cut off. Returns what it did to the rows."""
        connection = self._connections.get()
        book = ChannelBook(connection, provider_id=provider_id, provider_name=provider_name, now_s=self._clock.now_s())
        total = Change()
        patience_s = WAIT_S
        waiting = _steps(days)
        following = next(waiting, None)
        while following is not None:
            with writing(connection):
                end = time.monotonic() + LOCK_S
                for name, packed_days in chain([following], waiting):
                    mapped = _mapping(book, name, channels.get(name))
                    _add(total, replace_days(connection, mapped, packed_days))
                    if time.monotonic() >= end:
                        break
            time.sleep(PAUSE_S)
            patience_s -= self._wait_for_readers(connection, patience_s)
            following = next(waiting, None)
        self._declare(connection, book, channels)
        return {"added": total.added, "changed": total.changed, "removed": total.removed}

    def _wait_for_readers(self, connection: apsw.Connection, at_most_s: float) -> float:
        """While a slow reader keeps SQLite from emptying its log, the log grows: waits for it; returns how long."""
        log = self._connections.path.with_name(self._connections.path.name + "-wal")
        began = time.monotonic()
        while log.stat().st_size > MAX_LOG_BYTES and time.monotonic() - began < at_most_s:
            truncate_wal(connection)
            time.sleep(PAUSE_S)
        return time.monotonic() - began

    def _declare(self, connection: apsw.Connection, book: ChannelBook, channels: Mapping[str, DeclaredChannel]) -> None:
        waiting = list(channels.values())
        for at in range(0, len(waiting), 500):
            with writing(connection):
                for declared in waiting[at : at + 500]:
                    mapped = _mapping(book, declared.id, declared)
                    if declared.element is not None:
                        name = declared.display_name or declared.id
                        book.describe(mapped, name, declared.icon_url, declared.element.encode())

    def finish(
        self,
        *,
        run_id: int,
        provider_id: int,
        status: str,
        imported: int,
        skipped: int,
        report: Mapping[str, object],
        good: LastGoodFile,
    ) -> None:
        """Ends the run and remembers the file it took, in one transaction; then gives the log space back."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE import_log SET status = ?, completed_at = ?, programs_imported = ?, programs_skipped = ?, "
                "error_message = NULL, report = ? WHERE id = ?",
                (status, self._clock.now_s(), imported, skipped, json.dumps(report), run_id),
            )
            write_good(connection, provider_id, good)
        truncate_wal(connection)


def _steps(days: Iterable[tuple[str, Sequence[PackedDay]]]) -> Iterator[tuple[str, Sequence[PackedDay]]]:
    """A channel at a time; one that would hold the lock for long in several steps of some days."""
    for name, of_channel in days:
        step, programmes = list[PackedDay](), 0
        for day in of_channel:
            size = len(day.contents) // ROW_BYTES
            if step and programmes + size > MOST_AT_ONCE:
                yield name, step
                step, programmes = [], 0
            step.append(day)
            programmes += size
        if step:
            yield name, step


def _mapping(book: ChannelBook, name: str, declared: DeclaredChannel | None) -> Mapped:
    return book.mapping(name, declared.display_name if declared else None, declared.icon_url if declared else None)


def _add(total: Change, one: Change) -> None:
    total.added += one.added
    total.changed += one.changed
    total.removed += one.removed
