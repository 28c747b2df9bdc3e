"""The lists of sources: staged unseen, made visible in one step, swept afterwards. No rule about identity stands here.

begin > stage (many) > number_likes > match_unchanged > unmatched + vanished + retained > assign (many) > swap > sweep

Indexes are named in the queries that look into a list for each entry of another one: without statistics SQLite takes
the first two columns of the primary key for selective, reads the whole list each time, and a refresh takes minutes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice

from servicekit.clock import Clock
from servicekit.store.sqlite import Connections, busy_as_unavailable, writing
from stream_service.domain.entities import LastGoodList
from stream_service.domain.model import Entry, StreamKeys

BATCH = 2_000
_KEYS = "provider_id, tvg_id, name, channel_group, url"
_SAID = "stream_id, provider_id, tvg_id, tvg_name, name, channel_group, number, logo, url, headers, attributes"
_STALE = (
    "UPDATE lineups SET stale = 1 WHERE json_type(options, '$.sources') IS NOT 'array' "
    "OR EXISTS (SELECT 1 FROM json_each(options, '$.sources') WHERE value = ?)"
)
_INSERT = (
    "INSERT INTO entries (source_id, generation, position, fingerprint, provider_id, tvg_id, tvg_name, name, "
    "channel_group, number, logo, url, headers, attributes) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)


class Lists:
    """Entries of sources, by generation. A source is refreshed by one at a time; sources do not disturb each other."""

    def __init__(self, connections: Connections, *, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock

    def begin(self, source_id: int, visible: int) -> int:
        """The generation to stage under, after clearing away what an interrupted refresh left of it."""
        self._delete_entries(source_id, visible)
        return visible + 1

    def stage(self, source_id: int, generation: int, entries: Iterable[Entry]) -> int:
        """Write entries in the order of the list, a few at a time; returns how many. Nobody sees them yet."""
        connection = self._connections.get()
        staged = 0
        numbered = enumerate(entries)
        while batch := list(islice(numbered, BATCH)):
            rows = [(source_id, generation, position, *_row(entry)) for position, entry in batch]
            with writing(connection):
                connection.executemany(_INSERT, rows)
            staged += len(batch)
        return staged

    def number_likes(self, source_id: int, generation: int) -> None:
        """Tell entries that are alike in everything apart by their place among their likes."""
        connection = self._connections.get()
        query = (
            "SELECT fingerprint FROM entries WHERE source_id = ? AND generation = ? GROUP BY fingerprint "
            "HAVING count(*) > 1"
        )
        with busy_as_unavailable():
            likes = [int(str(row[0])) for row in connection.execute(query, (source_id, generation))]
        for some in _batches(likes, 200):
            with writing(connection):
                for fingerprint in some:
                    self._number(source_id, generation, fingerprint)

    def _number(self, source_id: int, generation: int, fingerprint: int) -> None:
        connection = self._connections.get()
        where = (source_id, generation, fingerprint)
        query = (
            "SELECT position FROM entries WHERE source_id = ? AND generation = ? AND fingerprint = ? ORDER BY position"
        )
        positions = [int(str(row[0])) for row in connection.execute(query, where)]
        connection.executemany(
            "UPDATE entries SET nth = ? WHERE source_id = ? AND generation = ? AND position = ?",
            [(nth, source_id, generation, position) for nth, position in enumerate(positions)],
        )

    def match_unchanged(self, source_id: int, generation: int) -> int:
        """Give entries that are word for word those of the list before their streams; returns how many there are."""
        connection = self._connections.get()
        update = (
            "UPDATE entries SET stream_id = (SELECT old.stream_id FROM entries AS old "
            "INDEXED BY entries_fingerprint WHERE old.source_id = ?1 "
            "AND old.generation = ?2 - 1 AND old.fingerprint = entries.fingerprint AND old.nth = entries.nth) "
            "WHERE source_id = ?1 AND generation = ?2 AND position BETWEEN ?3 AND ?4"
        )
        query = "SELECT max(position) FROM entries WHERE source_id = ? AND generation = ?"
        last = _number_of(connection.execute(query, (source_id, generation)).fetchone())
        for first in range(0, last + 1, BATCH):
            with writing(connection):
                connection.execute(update, (source_id, generation, first, first + BATCH - 1))
        query = "SELECT count(stream_id) FROM entries WHERE source_id = ? AND generation = ?"
        return _number_of(connection.execute(query, (source_id, generation)).fetchone())

    def unmatched(self, source_id: int, generation: int) -> Iterable[StreamKeys]:
        """Staged entries that are not known to be any stream, by their position."""
        where = "source_id = ? AND generation = ? AND stream_id IS NULL ORDER BY position"
        return self._keys(f"SELECT position, {_KEYS} FROM entries WHERE {where}", source_id, generation)

    def vanished(self, source_id: int, generation: int) -> Iterable[StreamKeys]:
        """Streams of the visible list that no staged entry has, in the order of that list."""
        query = (
            f"SELECT stream_id, {_KEYS} FROM entries AS old WHERE source_id = ?1 AND generation = ?2 - 1 "
            "AND NOT EXISTS (SELECT 1 FROM entries AS new INDEXED BY entries_stream "
            "WHERE new.stream_id = old.stream_id AND new.source_id = ?1 AND new.generation = ?2) ORDER BY position"
        )
        return self._keys(query, source_id, generation)

    def retained(self, source_id: int) -> Iterable[StreamKeys]:
        """Streams that vanished before and are kept for their return."""
        where = "source_id = ? AND vanished_at IS NOT NULL ORDER BY id"
        return self._keys(f"SELECT id, {_KEYS} FROM streams WHERE {where}", source_id)

    def emptied(self, source_id: int, generation: int, *, least: int) -> list[tuple[str, int]]:
        """Groups that held at least `least` entries in the visible list and hold none in the staged one."""
        query = (
            "SELECT channel_group, count(*) FROM entries WHERE source_id = ?1 AND generation = ?2 - 1 "
            "AND channel_group NOT IN (SELECT channel_group FROM entries WHERE source_id = ?1 AND generation = ?2) "
            "GROUP BY channel_group HAVING count(*) >= ?3 ORDER BY 2 DESC"
        )
        with busy_as_unavailable():
            rows = self._connections.get().execute(query, (source_id, generation, least))
            return [(str(row[0]), int(str(row[1]))) for row in rows]

    def assign(self, source_id: int, generation: int, matches: Mapping[int, int]) -> int:
        """Give staged entries the streams that were found (position -> stream), and make streams for all others.

        Returns how many streams are new.
        """
        connection = self._connections.get()
        update = "UPDATE entries SET stream_id = ? WHERE source_id = ? AND generation = ? AND position = ?"
        for some in _batches(list(matches.items()), BATCH):
            with writing(connection):
                connection.executemany(update, [(stream, source_id, generation, place) for place, stream in some])
        made, last = 0, -1
        while some_places := self._new_places(source_id, generation, last):
            with writing(connection):
                for place in some_places:
                    connection.execute(
                        "INSERT INTO streams (source_id, first_seen) VALUES (?, ?)", (source_id, self._clock.now_s())
                    )
                    connection.execute(update, (connection.last_insert_rowid(), source_id, generation, place))
            made += len(some_places)
            last = some_places[-1]
        return made

    def _new_places(self, source_id: int, generation: int, after: int) -> list[int]:
        query = (
            "SELECT position FROM entries WHERE source_id = ? AND generation = ? AND position > ? "
            "AND stream_id IS NULL ORDER BY position LIMIT ?"
        )
        with busy_as_unavailable():
            rows = self._connections.get().execute(query, (source_id, generation, after, BATCH))
            return [int(str(row[0])) for row in rows]

    def differs(self, source_id: int, generation: int) -> bool:
        """Whether the staged list holds anything else than the visible one, or in another order."""
        said = [f"{{0}}.{column}" for column in _SAID.split(", ")]
        new, old = (", ".join(said).format(table) for table in ("n", "o"))
        query = (
            "SELECT EXISTS (SELECT 1 FROM entries AS n LEFT JOIN entries AS o ON o.source_id = n.source_id "
            "AND o.generation = n.generation - 1 AND o.position = n.position "
            f"WHERE n.source_id = ?1 AND n.generation = ?2 AND ({new}) IS NOT ({old})) "
            "OR (SELECT count(*) FROM entries WHERE source_id = ?1 AND generation = ?2) != "
            "(SELECT count(*) FROM entries WHERE source_id = ?1 AND generation = ?2 - 1)"
        )
        with busy_as_unavailable():
            return bool(_number_of(self._connections.get().execute(query, (source_id, generation)).fetchone()))

    def swap(
        self,
        run_id: int,
        source_id: int,
        generation: int,
        good: LastGoodList,
        report: Mapping[str, object],
        titles: Sequence[str] = (),
        *,
        differs: bool = True,
    ) -> bool:
        """Make the staged list the visible one, end the run and mark its lineups stale: one tiny transaction.

        `differs`: whether it is another list than the visible one; where it is not, no lineup has to be built.
        `titles`: the kinds of staged movies and series that are accepted with it, to be taken over. False when the
        source was deleted meanwhile: nothing is made visible then.
        """
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE sources SET generation = ?, etag = ?, last_modified = ?, digest = ?, good_entries = ?, "
                "good_skipped = ?, private = ?, guide_urls = ?, content = ?, rewrites = 0, "
                "library_waiting = ? "
                "WHERE id = ? AND deleted = 0",
                (
                    *(generation, good.etag, good.last_modified, good.digest, good.entries, good.skipped),
                    *(int(good.private), json.dumps(good.guide_urls), good.content, json.dumps(list(titles))),
                    source_id,
                ),
            )
            if connection.changes() == 0:
                return False
            connection.execute(
                "UPDATE runs SET status = 'success', completed_at = ?, streams = ?, entries_skipped = ?, report = ?, "
                "stage = '', progress = '{}' WHERE id = ?",
                (self._clock.now_s(), good.entries, good.skipped, json.dumps(report), run_id),
            )
            if differs:
                connection.execute(_STALE, (source_id,))
        return True

    def keep(self, source_id: int, visible: int, good: LastGoodList) -> None:
        """What was staged is what is visible: clear it away, and keep only how the list is asked for the next time."""
        connection = self._connections.get()
        with writing(connection):
            connection.execute(
                "UPDATE sources SET etag = ?, last_modified = ?, digest = ?, guide_urls = ?, rewrites = 1 WHERE id = ?",
                (good.etag, good.last_modified, good.digest, json.dumps(good.guide_urls), source_id),
            )
        self._delete_entries(source_id, visible)

    def sweep(self, source_id: int) -> int:
        """Note which streams vanished or came back, and delete what older generations held; returns how many vanished.

        In small steps, each complete in itself: the next sweep goes on where a killed one stopped.
        """
        connection = self._connections.get()
        visible = self._visible(source_id)
        came_back = (
            "UPDATE streams SET vanished_at = NULL WHERE source_id = ?1 AND vanished_at IS NOT NULL AND EXISTS "
            "(SELECT 1 FROM entries INDEXED BY entries_stream WHERE stream_id = streams.id "
            "AND entries.source_id = ?1 AND generation = ?2)"
        )
        with writing(connection):
            connection.execute(came_back, (source_id, visible))
        vanished = 0
        while rows := self._old_rows(source_id, visible):
            gone = [row for row in rows if not row[7]]
            with writing(connection):
                connection.executemany(
                    "UPDATE streams SET vanished_at = ?, provider_id = ?, tvg_id = ?, name = ?, channel_group = ?, "
                    "url = ? WHERE id = ?",
                    [(self._clock.now_s(), *row[3:7], row[8], row[2]) for row in gone],
                )
                connection.executemany(
                    "DELETE FROM entries WHERE source_id = ? AND generation = ? AND position = ?",
                    [(source_id, row[0], row[1]) for row in rows],
                )
            vanished += len(gone)
        return vanished

    def purge_vanished(self, before: int) -> int:
        """Forget streams that vanished before `before`. Their channels, ids and numbers stay for ever."""
        connection = self._connections.get()
        purged = 0
        while True:
            with writing(connection):
                connection.execute(
                    "DELETE FROM streams WHERE id IN (SELECT id FROM streams WHERE vanished_at < ? LIMIT ?)",
                    (before, BATCH),
                )
                changed = connection.changes()
            purged += changed
            if changed < BATCH:
                return purged

    def purge_source(self, source_id: int) -> None:
        """Delete a source that was hidden: its entries, streams, runs and itself, in small steps."""
        connection = self._connections.get()
        self._delete_entries(source_id, -1)
        changed = BATCH
        while changed == BATCH:
            with writing(connection):
                connection.execute(
                    "DELETE FROM streams WHERE id IN (SELECT id FROM streams WHERE source_id = ? LIMIT ?)",
                    (source_id, BATCH),
                )
                changed = connection.changes()
        with writing(connection):
            connection.execute("DELETE FROM sources WHERE id = ? AND deleted = 1", (source_id,))

    def _delete_entries(self, source_id: int, above: int) -> None:
        connection = self._connections.get()
        query = (
            "SELECT generation, max(position) FROM entries WHERE source_id = ? AND generation > ? GROUP BY generation"
        )
        with busy_as_unavailable():
            found = [(int(str(row[0])), int(str(row[1]))) for row in connection.execute(query, (source_id, above))]
        for generation, last in found:
            for first in range(0, last + 1, BATCH):
                with writing(connection):
                    connection.execute(
                        "DELETE FROM entries WHERE source_id = ? AND generation = ? AND position BETWEEN ? AND ?",
                        (source_id, generation, first, first + BATCH - 1),
                    )

    def _old_rows(self, source_id: int, visible: int) -> list[tuple[object, ...]]:
        query = (
            "SELECT generation, position, stream_id, provider_id, tvg_id, name, channel_group, EXISTS (SELECT 1 FROM "
            "entries AS new INDEXED BY entries_stream "
            "WHERE new.stream_id = old.stream_id AND new.source_id = ?1 AND new.generation = ?2), url "
            "FROM entries AS old WHERE source_id = ?1 AND generation < ?2 ORDER BY generation, position LIMIT ?3"
        )
        with busy_as_unavailable():
            return list(self._connections.get().execute(query, (source_id, visible, BATCH)))

    def _visible(self, source_id: int) -> int:
        query = "SELECT generation FROM sources WHERE id = ?"
        with busy_as_unavailable():
            return _number_of(self._connections.get().execute(query, (source_id,)).fetchone())

    def _keys(self, query: str, *values: int) -> "_Keys":
        return _Keys(self._connections, query, values)


class _Keys:
    """Keys of streams, asked for anew each time they are iterated: a list of them would be the greatest thing here."""

    def __init__(self, connections: Connections, query: str, values: Sequence[int]) -> None:
        self._connections = connections
        self._query = query
        self._values = tuple(values)

    def __iter__(self) -> Iterator[StreamKeys]:
        with busy_as_unavailable():
            for row in self._connections.get().execute(self._query, self._values):
                yield StreamKeys(*row)


def fingerprint(entry: Entry) -> int:
    """A number that two entries share when tvg-id, name, group and address are the same."""
    said = "\0".join((entry.tvg_id, entry.name, entry.group, entry.url)).encode("utf-8", "replace")
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big", signed=True)


def _row(entry: Entry) -> tuple[object, ...]:
    return (
        *(fingerprint(entry), entry.provider_id, entry.tvg_id, entry.tvg_name, entry.name, entry.group),
        *(entry.number, entry.logo, entry.url),
        json.dumps(dict(entry.headers), ensure_ascii=False) if entry.headers else "{}",
        json.dumps(dict(entry.attributes), ensure_ascii=False) if entry.attributes else "{}",
    )


def _batches(items: Sequence[object], size: int) -> Iterator[Sequence]:  # type: ignore[type-arg]
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _number_of(row: Sequence[object] | None) -> int:
    return -1 if row is None or row[0] is None else int(str(row[0]))
