"""One run of an import, drawn once as the pipe it is:

    feeds.opened > unpacked > xmltv.cut > grouping > clean > retention > compare > redo log
                 > verdict > decided (on the disk) > applied (short transactions) > finished

Nothing is visible before the verdict, nothing is half shown after it, and a run that was killed is either `interrupted`
(no verdict yet: nothing changed) or finished by the next keeper (`resume`).
"""

import dataclasses
import json
import logging
import shutil
import zoneinfo
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from epg_service.domain.clean import clean
from epg_service.domain.days import DAY_S, DayColumns, PackedDay
from epg_service.domain.entities import LastGoodFile, Mapped, Provider, Run, RunStatus
from epg_service.domain.losses import Losses
from epg_service.domain.model import Rows
from epg_service.domain.retention import Window, keep
from epg_service.domain.spelling import Spelling
from epg_service.domain.verdict import Found, LastGood, rejection
from epg_service.importer.compare import StoredChannel, changed_days
from epg_service.importer.grouping import Gathered, Ungrouped, direct, spooled
from epg_service.importer.redo import BrokenLog, ChannelNote, Decided, RedoLog, RedoWriter
from epg_service.xmltv.cut import cut, nothing_known
from epg_service.xmltv.elements import joined
from epg_service.xmltv.records import Batch, ChannelElement, End
from epg_service.xmltv.times import Stamps
from servicekit.clock import Clock
from servicekit.errors import AerialError, BadAnswer, Unavailable
from servicekit.notify import Notifier
from servicekit.redact import redact

PROGRESS_EVERY_S = 0.5
MINUTE_S = 60
KEPT_CHANNELS = 16
MAX_EPOCH_S = 2**32 - 1
_log = logging.getLogger("import")


class Cancelled(Exception):
    """The run was asked to stop."""


class Stopping(Exception):
    """The keeper is ending."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration says of imports."""

    window: Window
    min_share: float
    work_dir: Path
    redo_dir: Path
    max_unpacked_bytes: int


class FeedFile(Protocol):
    """A provider's file on the disk; `path` None when it has not changed since `validators`."""

    @property
    def path(self) -> Path | None: ...
    @property
    def digest(self) -> str | None: ...
    @property
    def validators(self) -> "Asked": ...


class Asked(Protocol):
    """How it was asked whether the file changed."""

    @property
    def etag(self) -> str | None: ...
    @property
    def last_modified(self) -> str | None: ...


class Source(Protocol):
    """Hands out a provider's file for the length of a block."""

    def __call__(
        self, provider: Provider, good: LastGoodFile, progress: Callable[[int, int | None], None], /
    ) -> AbstractContextManager[FeedFile]: ...


class Unpacked(Protocol):
    """Opens a packed or plain file as plain bytes."""

    def __call__(self, stream: BinaryIO, /, *, max_bytes: int, losses: Losses) -> BinaryIO: ...


class Stored(Protocol):
    """What the comparison asks of the store."""

    def contents_by_day(self, mapping_id: int) -> dict[int, bytes]: ...
    def day_columns(self, mapping_id: int, day: int) -> DayColumns: ...


class Mappings(Protocol):
    """A provider's channels that are mapped already."""

    def of_provider(self, provider_id: int) -> dict[str, Mapped]: ...


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


@dataclass(slots=True)
class _Tally:
    """What a file held, counted while it is read."""

    channels: dict[str, ChannelNote] = field(default_factory=dict)
    kept: int = 0
    channels_kept: int = 0
    latest_stop_s: int = 0
    last_day: int = 0
    changed_days: int = 0
    fresh_until: int = MAX_EPOCH_S
    emptied_days: Counter[int] = field(default_factory=Counter)
    """How many channels have nothing on a day any more on which they had something."""
    losses: Losses = field(default_factory=Losses)
    end: End = field(default_factory=lambda: End(complete=False, programmes=0, channels=0))

    def changes_nothing(self) -> bool:
        """Whether the guide would be the same after the file as before it."""
        return not self.changed_days and not any(day <= self.last_day for day in self.emptied_days)


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
        self._unpacked = unpacked
        self._stored = stored
        self._mappings = mappings
        self._visible = visible
        self._log = log
        self._clock = clock
        self._notifier = notifier
        self._limits = limits
        self._stopping = stopping

    def run(self, run: Run, provider: Provider) -> RunStatus:
        """Imports one provider, writes the end of the run and returns its status; a bad feed raises nothing.

        What fails after the verdict (a database locked or full) rises: the log stays, to be applied by `resume`.
        """
        redo = RedoLog(self._limits.redo_dir, run.id)
        progress = _Progress(self._log, run.id, self._clock, self._stopping)
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
        for directory in (self._limits.work_dir, self._limits.redo_dir):
            shutil.rmtree(directory, ignore_errors=True)

    def _decide(self, run: Run, provider: Provider, redo: RedoLog, progress: "_Progress") -> Decided | RunStatus:
        """From the feed to what is to be applied; the status when nothing is, with the end of the run written."""
        basis = self._basis(provider)
        comparable = provider.good.basis == basis and self._clock.now_s() < provider.good.fresh_until
        good = provider.good if comparable and not run.force else LastGoodFile()
        progress.stage("download")
        with self._source(provider, good, progress.bytes) as feed:
            if feed.path is None or (good.digest is not None and feed.digest == good.digest):
                self._log.finish(run.id, "unchanged", imported=good.kept, skipped=good.skipped, report={**good.report})
                return "unchanged"
            progress.stage("read")
            tally = self._read(feed.path, provider, redo, progress)
        progress.stage("verdict")
        if reason := self._rejection(tally, run, provider):
            redo.remove()
            return self._failed(
                run, provider, "rejected", f"{reason}; the guide stays as it was", _report(tally.losses)
            )
        taken = LastGoodFile(
            etag=feed.validators.etag,
            last_modified=feed.validators.last_modified,
            digest=feed.digest,
            basis=basis,
            fresh_until=tally.fresh_until,
            kept=tally.kept,
            channels=tally.channels_kept,
            skipped=tally.end.programmes - tally.kept,
            report=_report(tally.losses),
            at=self._clock.now_s(),
        )
        decided = _decided(run, provider, tally, taken)
        progress.stage("apply")
        redo.decide(decided)
        return decided

    def _rejection(self, tally: "_Tally", run: Run, provider: Provider) -> str | None:
        found = Found(
            complete=tally.end.complete,
            programmes=tally.end.programmes,
            kept=tally.kept,
            channels=tally.channels_kept,
            latest_stop_s=tally.latest_stop_s,
        )
        last = LastGood(provider.good.kept, provider.good.channels) if provider.good.at else None
        reason = rejection(found, last, min_share=self._limits.min_share, now_s=self._clock.now_s())
        return None if run.force and tally.kept else reason

    def _read(self, path: Path, provider: Provider, redo: RedoLog, progress: "_Progress") -> _Tally:
        """Reads the file into the redo log; a file that is not grouped by channel is read again through a spool."""
        try:
            return self._read_once(path, provider, redo, progress, direct, known=True)
        except Ungrouped:
            directory = self._limits.work_dir / f"spool-{provider.id}"
            try:
                # No use of what is known: asking for it anew with every programme would cost more than the proof.
                by_channel = partial(spooled, directory=directory)
                return self._read_once(path, provider, redo, progress, by_channel, known=False)
            finally:
                shutil.rmtree(directory, ignore_errors=True)

    def _read_once(
        self,
        path: Path,
        provider: Provider,
        redo: RedoLog,
        progress: "_Progress",
        grouped: Callable[[Iterator[Batch]], Iterator[Gathered]],
        *,
        known: bool,
    ) -> _Tally:
        tally = _Tally()
        before = _Before(self._mappings.of_provider(provider.id), self._stored)
        flags = before.flags if known else nothing_known
        size = path.stat().st_size
        with path.open("rb") as packed_stream, redo.writer() as writer:
            stream = self._unpacked(packed_stream, max_bytes=self._limits.max_unpacked_bytes, losses=tally.losses)
            items = cut(stream, stamps=Stamps(_zone(provider)), losses=tally.losses, known=flags)
            for gathered in grouped(_batches(items, tally)):
                progress.count(tally, packed_stream.tell(), size)
                tally.channels.setdefault(gathered.channel, ChannelNote(gathered.channel, None, None, None))
                rows = self._kept(_cleaned(gathered, provider, tally.losses), provider, tally)
                if rows.starts:
                    self._compare(rows, before.channel(gathered.channel), writer, tally)
        return tally

    def _kept(self, rows: Rows, provider: Provider, tally: _Tally) -> Rows:
        """What the provider's window holds of a channel; notes when it will hold something else."""
        window = self._window(provider)
        bounds = window.bounds(self._clock.now_s())
        kept = rows.at(keep(rows.starts, rows.stops, bounds, losses=tally.losses, titles=rows.titles))
        first_after = bisect_left(rows.starts, bounds[1])
        if first_after < len(rows):
            tally.fresh_until = min(tally.fresh_until, rows.starts[first_after] - int(window.future_days * DAY_S) + 1)
        if kept.stops:
            tally.fresh_until = min(tally.fresh_until, min(kept.stops) + int(window.past_days * DAY_S))
        return kept

    def _compare(self, rows: Rows, before: StoredChannel, writer: RedoWriter, tally: _Tally) -> None:
        tally.kept += len(rows)
        tally.channels_kept += 1
        tally.latest_stop_s = max(tally.latest_stop_s, *rows.stops)
        tally.last_day = max(tally.last_day, rows.starts[-1] // DAY_S)
        for day in changed_days(rows, before, lambda day: self._stored.day_columns(before.mapping_id, day)):
            writer.add(before.name, day)
            if day.contents:
                tally.changed_days += 1
            else:
                tally.emptied_days[day.day] += 1

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
        self, run: Run, provider: Provider, status: RunStatus, why: str, report: Mapping[str, object] | None
    ) -> RunStatus:
        self._log.finish(run.id, status, error=why, report=report)
        self._notifier.event(
            f"import_{status}", "warning", f"{provider.name}: {why}", provider_id=provider.id, run_id=run.id
        )
        return status

    def _basis(self, provider: Provider) -> str:
        """What a file is read with."""
        window = self._window(provider)
        return json.dumps([provider.default_timezone, provider.shift_minutes, window.past_days, window.future_days])

    def _window(self, provider: Provider) -> Window:
        days = provider.retention_days
        return self._limits.window if days is None else Window(days, days)


class _Before:
    """What is stored of the provider's channels: of the last few that were asked for, by the reader (which is a stretch
    ahead) and by the comparison."""

    def __init__(self, mappings: Mapping[str, Mapped], stored: Stored) -> None:
        self._mappings = mappings
        self._stored = stored
        self._kept: dict[str, StoredChannel] = {}

    def channel(self, name: str) -> StoredChannel:
        """One channel; empty when it is new."""
        if name not in self._kept:
            mapped = self._mappings.get(name)
            contents = self._stored.contents_by_day(mapped.id) if mapped else {}
            if len(self._kept) >= KEPT_CHANNELS:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = StoredChannel(name, mapped.id if mapped else 0, contents)
        return self._kept[name]

    def flags(self, name: str) -> dict[int, int]:
        """The digests of a channel's elements that were proven, and their flags."""
        return self.channel(name).flags


class _Progress:
    """Shows how far a run is, at most twice a second, and hears whether it is to stop."""

    def __init__(self, log: Log, run_id: int, clock: Clock, stopping: Callable[[], bool]) -> None:
        self._log = log
        self._run_id = run_id
        self._clock = clock
        self._stopping = stopping
        self._said = 0.0
        self._stage = ""

    def stage(self, name: str) -> None:
        """The next part of the pipe."""
        self._stage = name
        self._say({"stage": name}, now=True)

    def bytes(self, done: int, total: int | None) -> None:
        """How much of the file is here."""
        percent = round(100 * done / total, 1) if total else None
        self._say({"stage": self._stage, "bytes": done, "total_bytes": total, "percent": percent})

    def count(self, tally: _Tally, done: int, total: int) -> None:
        """How much of the file was read."""
        percent = round(100 * done / total, 1) if total else None
        self._say({"stage": self._stage, "programmes": tally.kept, "channels": tally.channels_kept, "percent": percent})

    def _say(self, progress: Mapping[str, object], *, now: bool = False) -> None:
        moment = self._clock.monotonic()
        if self._stopping():
            raise Stopping
        if now or moment - self._said >= PROGRESS_EVERY_S:
            self._said = moment
            try:
                cancelled = self._log.progress(self._run_id, progress)
            except Unavailable as error:
                _log.info("progress of run %d is not shown: %s", self._run_id, error.detail)
                return
            if cancelled:
                raise Cancelled


def _batches(items: Iterator[object], tally: _Tally) -> Iterator[Batch]:
    """The programmes of a file; what else it says goes into the tally on the way."""
    spelling = Spelling()
    for item in items:
        if isinstance(item, Batch):
            name = spelling.used(item.channel)
            yield item if name == item.channel else dataclasses.replace(item, channel=name)
        elif isinstance(item, ChannelElement) and item.id:
            _note(item, spelling.declared(item.id), tally)
        elif isinstance(item, End):
            tally.end = item


def _note(item: ChannelElement, name: str, tally: _Tally) -> None:
    """What a channel element says; a channel that stands twice keeps its first name and all others beside it."""
    shown = item.display_names[0][1] if item.display_names else None
    element = item.raw.decode("utf-8", "replace")
    before = tally.channels.get(name)
    if before is not None and before.element is not None:
        shown, icon = before.display_name or shown, before.icon_url or item.icon
        tally.channels[name] = ChannelNote(name, shown, icon, joined(before.element, element))
    else:
        tally.channels[name] = ChannelNote(name, shown, item.icon, element)


def _cleaned(gathered: Gathered, provider: Provider, losses: Losses) -> Rows:
    starts, stops = gathered.starts, gathered.stops
    if shift_s := provider.shift_minutes * MINUTE_S:
        starts = [_within(start + shift_s) for start in starts]
        stops = [_within(stop + shift_s) if stop else 0 for stop in stops]
    return clean(starts, stops, gathered.titles, gathered.raws, losses=losses)


def _within(epoch_s: int) -> int:
    return min(max(0, epoch_s), MAX_EPOCH_S)


def _zone(provider: Provider) -> tzinfo:
    return zoneinfo.ZoneInfo(provider.default_timezone) if provider.default_timezone else UTC


def _decided(run: Run, provider: Provider, tally: _Tally, taken: LastGoodFile) -> Decided:
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
