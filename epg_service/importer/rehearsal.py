"""An import that changes nothing: the same pipe to the same verdict, with nobody behind it who writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from epg_service.domain.days import PackedDay
from epg_service.domain.entities import LastGoodFile, Provider, Run, RunStatus
from epg_service.importer.redo import ChannelNote

NO_RUN = 0


@dataclass(slots=True)
class Rehearsal:
    """Stands where the run's row and the guide would be, and keeps what they were to be told."""

    status: str = "failed"
    imported: int = 0
    skipped: int = 0
    error: str | None = None
    report: Mapping[str, object] = field(default_factory=dict)

    def progress(self, run_id: int, progress: Mapping[str, object]) -> bool:
        """Nobody looks, nobody cancels."""
        return False

    def finish(
        self,
        run_id: int,
        status: RunStatus,
        *,
        imported: int = 0,
        skipped: int = 0,
        error: str | None = None,
        report: Mapping[str, object] | None = None,
    ) -> None:
        """The end of a run that came to no change."""
        self.status, self.imported, self.skipped, self.error = status, imported, skipped, error
        self.report = report or {}

    def run_for(self, provider: Provider, *, force: bool, now_s: int) -> Run:
        """A run that stands in no log."""
        return Run(
            NO_RUN, provider.id, "running", now_s, now_s, None, 0, 0, None, "command", 0, force, progress={}, report={}
        )


class Unheard:
    """Whom a rehearsal tells what happened: nobody is woken for it."""

    def event(self, kind: str, level: str, message: str, **fields: object) -> None:
        """Tells nobody."""


class Unwritten:
    """The guide's side of a rehearsal: counts the days that would be replaced."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal

    def apply(
        self,
        *,
        provider_id: int,
        provider_name: str,
        days: Iterator[tuple[str, list[PackedDay]]],
        channels: Mapping[str, ChannelNote],
    ) -> Mapping[str, int]:
        """How many channels and days are not as they are stored."""
        changed = [len(packed) for _, packed in days]
        return {"channels": len(changed), "days": sum(changed)}

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
        """What the run's row would say."""
        it = self._rehearsal
        it.status, it.imported, it.skipped, it.error, it.report = status, imported, skipped, None, report
