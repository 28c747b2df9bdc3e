"""One run of an import, drawn once as the pipe it is:

    feeds.opened > unpacked > xmltv.cut > grouping > clean > retention > compare > redo log
                 > verdict > decided (on the disk) > applied (short transactions) > finished

Nothing is visible before the verdict, nothing is half shown after it, and a run that was killed is either `interrupted`
(no verdict yet: nothing changed) or finished by the next keeper (`resume`).
"""

import dataclasses
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from epg_service.domain.days import PackedDay
from epg_service.domain.entities import LastGoodFile, Provider, Run, RunStatus
from epg_service.domain.losses import Losses
from epg_service.domain.verdict import Found, LastGood, Share, rejection
from epg_service.importer.basis import basis_of, moves_times
from epg_service.importer.progress import Cancelled, Progress, Stopping
from epg_service.importer.reading import Limits, Mappings, Reading, Readings, Stored, Tally, Task, Unpacked
from epg_service.importer.redo import BrokenLog, ChannelNote, Decided, RedoLog
from servicekit.clock import Clock
from servicekit.errors import AerialError, BadAnswer
from servicekit.notify import Notifier
from servicekit.redact import redact

_log = logging.getLogger("import")


class Asked(Protocol):
    """How it was asked whether the file changed."""

    @property
    def etag(self) -> str | None: ...
    @property
    def last_modified(self) -> str | None: ...


class Feed(Readings, Protocol):
    """A provider's file, which may still be on its way; `unchanged`: the one that is known. What it is called by is
    asked when it was read."""

    @property
    def unchanged(self) -> bool: ...
    @property
    def digest(self) -> str | None: ...
    @property
    def validators(self) -> Asked: ...


class Source(Protocol):
    """Hands out a provider's file for the length of a block."""

    def __call__(
        self, provider: Provider, good: LastGoodFile, progress: Callable[[int, int | None], None], /
    ) -> AbstractContextManager[Feed]: ...


class Visible(Protocol):
    """Writes a decided import into the guide."""

    def apply(
        self,
        *,
        provider_id: int,
        provider_name: str,
        days: Iterator[tuple[str, list[PackedDay]]],
        channels: Mapping[str, ChannelNote],
    ) -> Mapping[str, int]: ...

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
    ) -> None: ...


class Log(Protocol):
    """The run's row."""

    def progress(self, run_id: int, progress: Mapping[str, object]) -> bool: ...
    def finish(
        self,
        run_id: int,
        status: RunStatus,
        *,
        imported: int = 0,
        skipped: int = 0,
        error: str | None = None,
        report: Mapping[str, object] | None = None,
    ) -> None: ...


class Importer:
    """Runs imports, one at a time; every collaborator is handed in."""

    def __init__(
        self,
        *,
        source: Source,
        unpacked: Unpacked,
        stored: Stored,
        mappings: Mappings,
        visible: Visible,
        log: Log,
        clock: Clock,
        notifier: Notifier,
        limits: Limits,
        stopping: Callable[[], bool],
    ) -> None:
        self._source = source
        self._reading = Reading(unpacked=unpacked, stored=stored, mappings=mappings, clock=clock, limits=limits)
        self._visible = visible
        self._log = log
        self._clock = clock
        self._notifier = notifier
        self._limits = limits
        self._stopping = stopping

    def run(self, run: Run, provider: Provider, meanwhile: Callable[[], None] = lambda: None) -> RunStatus:
        """Imports one provider, writes the end of the run and returns its status; a bad feed raises nothing.

        What fails after the verdict (a database locked or full) rises: the log stays, to be applied by `resume`.
        """
        redo = RedoLog(self._limits.redo_dir, run.id)
        progress = Progress(self._log, run.id, self._clock, self._stopping, meanwhile)
        try:
            decided = self._decide(run, provider, redo, progress)
        except Cancelled:
            redo.remove()
            self._log.finish(run.id, "cancelled", error="stopped on request; the guide is as it was")
            return "cancelled"
        except Stopping:
            redo.remove()
            self._log.finish(
                run.id, "interrupted", error="the service was stopped while this import ran; the guide is as it was"
            )
            return "interrupted"
        except (AerialError, OSError) as error:
            redo.remove()
            later_s = error.retry_after_s if isinstance(error, BadAnswer) else None
            report = None if later_s is None else {"retry_after_s": later_s}
            return self._failed(run, provider, "failed", redact(str(error)) or type(error).__name__, report)
        return decided if isinstance(decided, str) else self._apply(redo, decided)

    def resume(self, run: Run, provider: Provider | None) -> RunStatus:
        """Ends a run that a keeper before this one left: applied when its verdict was given, else `interrupted`."""
        redo = RedoLog(self._limits.redo_dir, run.id)
        decided = redo.decided()
        if decided is None or provider is None:
            redo.remove()
            self._log.finish(
                run.id, "interrupted", error="the service ended while this import ran; the guide is as it was"
            )
            return "interrupted"
        try:
            return self._apply(redo, decided)
        except (BrokenLog, FileNotFoundError) as error:
            redo.remove()
            self._log.finish(run.id, "interrupted", error=f"the service ended while this import ran: {error}")
            return "interrupted"

    # ---- the pipe ----------------------------------------------------------------------------------------------------

    def tidy(self) -> None:
        """Removes what no run needs any more: downloads and spools of a keeper that was killed, logs of ended runs."""
        for directory in (self._limits.work_dir, self._limits.redo_dir, self._limits.pieces_dir):
            if directory is not None:
                shutil.rmtree(directory, ignore_errors=True)

    def _decide(self, run: Run, provider: Provider, redo: RedoLog, progress: Progress) -> Decided | RunStatus:
        """From the feed to what is to be applied; the status when nothing is, with the end of the run written."""
        basis = basis_of(provider, self._limits.window_of(provider))
        comparable = provider.good.basis == basis and self._clock.now_s() < provider.good.fresh_until
        good = provider.good if comparable and not run.force else LastGoodFile()
        progress.stage("download")
        with self._source(provider, good, progress.bytes) as feed:
            if feed.unchanged:
                return self._unchanged(run, good)
            progress.stage("read")
            stale = moves_times(provider.good.basis, basis)
            tally = self._reading.read(Task(feed, provider, redo, progress, run.force, stale))
            digest, asked = feed.digest, feed.validators
        if good.digest is not None and digest == good.digest:  # of one whose size nobody said, only its end tells
            redo.remove()
            return self._unchanged(run, good)
        progress.stage("verdict")
        if reason := self._rejection(tally, run, _last(provider.good, digest, basis)):
            redo.remove()
            tally.losses.add("rejected", reason, tally.end.programmes - tally.losses.total())
            why, held = f"{reason}; the guide stays as it was", tally.end.programmes
            return self._failed(run, provider, "rejected", why, _report(tally.losses), skipped=held)
        if tally.latest_stop_s <= self._clock.now_s():
            tally.losses.warn("stale", "every programme of the file is over")
        taken = _taken(tally, asked, digest, basis, self._clock.now_s())
        decided = _decided(run, provider, tally, taken)
        progress.stage("apply")
        redo.decide(decided)
        return decided

    def _unchanged(self, run: Run, good: LastGoodFile) -> RunStatus:
        self._log.finish(run.id, "unchanged", imported=good.kept, skipped=good.skipped, report={**good.report})
        return "unchanged"

    def _rejection(self, tally: Tally, run: Run, last: LastGood | None) -> str | None:
        found = Found(
            complete=tally.end.complete,
            whole=Share(tally.end.programmes, tally.channels_read),
            kept=Share(tally.kept, tally.channels_kept),
            latest_stop_s=tally.latest_stop_s,
        )
        reason = rejection(found, last, min_share=self._limits.min_share, now_s=self._clock.now_s())
        return None if run.force and tally.kept else reason

    def _apply(self, redo: RedoLog, decided: Decided) -> RunStatus:
        change = self._visible.apply(
            provider_id=decided.provider_id,
            provider_name=decided.provider_name,
            days=redo.days(decided.last_day),
            channels={note.id: note for note in decided.channels},
        )
        self._visible.finish(
            run_id=decided.run_id,
            provider_id=decided.provider_id,
            status=decided.status,
            imported=decided.imported,
            skipped=decided.skipped,
            report={**decided.report, "changes": change},
            good=LastGoodFile(**decided.good),  # type: ignore[arg-type]
        )
        redo.remove()
        _log.info("%s: %d programmes in the guide, %d not", decided.provider_name, decided.imported, decided.skipped)
        return decided.status

    # ---- ends --------------------------------------------------------------------------------------------------------

    def _failed(
        self,
        run: Run,
        provider: Provider,
        status: RunStatus,
        why: str,
        report: Mapping[str, object] | None,
        *,
        skipped: int = 0,
    ) -> RunStatus:
        self._log.finish(run.id, status, skipped=skipped, error=why, report=report)
        self._notifier.event(
            f"import_{status}", "warning", f"{provider.name}: {why}", provider_id=provider.id, run_id=run.id
        )
        return status


def _last(good: LastGoodFile, digest: str | None, basis: str) -> LastGood | None:
    """What a file is held against."""
    if good.at is None:
        return None
    return LastGood(
        whole=Share(good.kept + good.skipped, good.channels + good.channels_skipped),
        kept=Share(good.kept, good.channels),
        same_window=good.basis == basis,
        same_file=good.digest is not None and good.digest == digest,
    )


def _taken(tally: Tally, asked: Asked, digest: str | None, basis: str, now_s: int) -> LastGoodFile:
    """What is remembered of a file that was accepted."""
    return LastGoodFile(
        etag=asked.etag,
        last_modified=asked.last_modified,
        digest=digest,
        basis=basis,
        fresh_until=tally.fresh_until,
        kept=tally.kept,
        channels=tally.channels_kept,
        skipped=tally.end.programmes - tally.kept,
        report=_report(tally.losses),
        at=now_s,
        channels_skipped=tally.channels_read - tally.channels_kept,
        source=tally.source,
    )


def _decided(run: Run, provider: Provider, tally: Tally, taken: LastGoodFile) -> Decided:
    same = taken.digest == provider.good.digest and tally.changes_nothing() and not run.force
    return Decided(
        run_id=run.id,
        provider_id=provider.id,
        provider_name=provider.name,
        status="unchanged" if same else "success",
        imported=taken.kept,
        skipped=taken.skipped,
        good=dataclasses.asdict(taken),
        last_day=tally.last_day,
        report=_report(tally.losses),
        channels=tuple(tally.channels.values()),
    )


def _report(losses: Losses) -> dict[str, object]:
    return {"losses": losses.as_dict(), "notes": losses.notes_dict(), "warnings": losses.warnings}
