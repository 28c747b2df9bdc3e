"""Refreshing one source.

    get > read > stage > verdict > identity > swap > sweep

Until the swap nobody sees anything of it, and a list that is refused, broken or much too short changes nothing.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from servicekit.errors import AerialError, BadAnswer
from servicekit.notify import Notifier
from servicekit.redact import redact
from stream_service.domain.entities import LastGoodList, Run, RunStatus, Source
from stream_service.domain.identity import reconcile
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry, StreamKeys
from stream_service.sources.access import Fetched
from stream_service.sources.types import SOURCE_TYPES

UNPACKED_FACTOR = 4
_log = logging.getLogger("sources")


class Getting(Protocol):
    """What a refresh asks of the way out."""

    max_bytes: int

    def get(self, source: Source, *, force: bool = False) -> AbstractContextManager[Fetched]: ...


class ListStore(Protocol):
    """What a refresh asks of the store of lists; see `store.lists`."""

    def begin(self, source_id: int, visible: int) -> int: ...
    def stage(self, source_id: int, generation: int, entries: Iterable[Entry]) -> int: ...
    def number_likes(self, source_id: int, generation: int) -> None: ...
    def match_unchanged(self, source_id: int, generation: int) -> int: ...
    def unmatched(self, source_id: int, generation: int) -> list[StreamKeys]: ...
    def vanished(self, source_id: int, generation: int) -> list[StreamKeys]: ...
    def retained(self, source_id: int) -> list[StreamKeys]: ...
    def assign(self, source_id: int, generation: int, matches: Mapping[int, int]) -> int: ...
    def swap(
        self, run_id: int, source_id: int, generation: int, good: LastGoodList, report: Mapping[str, object]
    ) -> bool: ...
    def sweep(self, source_id: int) -> int: ...


class RunLog(Protocol):
    """What a refresh asks of the log of runs."""

    def stage(self, run_id: int, stage: str) -> None: ...
    def finish(
        self,
        run_id: int,
        status: RunStatus,
        *,
        streams: int = 0,
        skipped: int = 0,
        error: str | None = None,
        report: Mapping[str, object] | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class _Staged:
    """A list that stands in the store and that nobody sees yet."""

    generation: int
    entries: int
    losses: Losses
    guide_urls: Sequence[str]
    encoding: str


class Refresher:
    """Runs refreshes. `least_share`: a list shorter than this share of the last good one is refused, unless forced."""

    def __init__(
        self, *, access: Getting, lists: ListStore, runs: RunLog, notifier: Notifier, least_share: float
    ) -> None:
        self._access = access
        self._lists = lists
        self._runs = runs
        self._notifier = notifier
        self._least_share = least_share

    def refresh(self, run: Run, source: Source) -> RunStatus:
        """Do a run that is marked as running, to its end; returns how it ended. Raises nothing a provider can cause."""
        losses = Losses()
        try:
            status = self._refresh(run, source, losses)
        except AerialError as error:
            status = _status_of(error)
            said = redact(error.detail)
            self._runs.finish(
                run.id, status, skipped=losses.entries_lost, error=said, report={"losses": _shown(losses)}
            )
            self._notifier.event(
                "refresh_failed", "warning", f"source {source.name!r}: {said}; its channels stay as they were",
                source_id=source.id, run_id=run.id,
            )  # fmt: skip
        return status

    def _refresh(self, run: Run, source: Source, losses: Losses) -> RunStatus:
        self._lists.sweep(source.id)
        with self._access.get(source, force=run.force) as fetched:
            if fetched.unchanged:
                good = source.good
                self._runs.finish(run.id, "unchanged", streams=good.entries, skipped=good.skipped)
                return "unchanged"
            staged = self._stage(run, source, fetched, losses)
        self._judge(source, staged, force=run.force)
        return self._make_visible(run, source, fetched, staged)

    def _stage(self, run: Run, source: Source, fetched: Fetched, losses: Losses) -> _Staged:
        self._runs.stage(run.id, "reading")
        generation = self._lists.begin(source.id, source.generation)
        chunks = fetched.chunks(UNPACKED_FACTOR * self._access.max_bytes)
        listing = SOURCE_TYPES[source.type](chunks, fetched.base_url, losses)
        entries = self._lists.stage(source.id, generation, listing)
        return _Staged(generation, entries, losses, listing.guide_urls, listing.encoding)

    def _judge(self, source: Source, staged: _Staged, *, force: bool) -> None:
        """The verdict; raises `BadAnswer` when the list must not replace the last good one."""
        if force:
            return
        if staged.entries == 0:
            raise BadAnswer(
                f"the list holds no entry that can be used ({staged.losses.entries_lost} left out); "
                "refresh with force to take it anyway"
            )
        before = source.good.entries
        if staged.entries < self._least_share * before:
            raise BadAnswer(
                f"the list holds {staged.entries} entries where the last one held {before}, less than "
                f"{self._least_share:.0%}: the provider seems to be in trouble; refresh with force to take it anyway"
            )

    def _make_visible(self, run: Run, source: Source, fetched: Fetched, staged: _Staged) -> RunStatus:
        self._runs.stage(run.id, "comparing")
        generation = staged.generation
        self._lists.number_likes(source.id, generation)
        unchanged = self._lists.match_unchanged(source.id, generation)
        found = reconcile(
            self._lists.vanished(source.id, generation),
            self._lists.unmatched(source.id, generation),
            retained=self._lists.retained(source.id),
        )
        new = self._lists.assign(source.id, generation, {place: stream for place, (stream, _) in found.matches.items()})
        report = {
            "losses": _shown(staged.losses),
            "streams": {"unchanged": unchanged, "found_again": found.by_rule(), "new": new},
            "guide_urls": [redact(url) for url in staged.guide_urls],
            "warnings": [] if staged.encoding == "utf-8" else [f"encoding {staged.encoding}"],
        }
        good = LastGoodList(
            *(fetched.etag, fetched.last_modified, fetched.digest, staged.entries, staged.losses.entries_lost),
            private=fetched.private,
            guide_urls=tuple(staged.guide_urls),
        )
        if not self._lists.swap(run.id, source.id, generation, good, report):
            self._runs.finish(run.id, "cancelled", error="the source was deleted while it was being refreshed")
            return "cancelled"
        vanished = self._lists.sweep(source.id)
        _log.info(
            "source %d: %d streams (%d unchanged, %d found again, %d new), %d vanished, %d left out",
            *(source.id, staged.entries, unchanged, len(found.matches), new, vanished, staged.losses.entries_lost),
        )
        return "success"


def _status_of(error: AerialError) -> RunStatus:
    """A provider that cannot be asked failed; one whose answer is no usable list is rejected."""
    return "rejected" if isinstance(error, BadAnswer) and error.status is None else "failed"


def _shown(losses: Losses) -> dict[str, dict[str, object]]:
    """The report without secrets: providers write passwords into the oddest places."""
    return {
        kind: {"count": said["count"], "samples": [redact(str(one)) for one in said["samples"]]}  # type: ignore[attr-defined]
        for kind, said in losses.report().items()
    }
