"""Building lineups. The pipe is drawn once, in `Builder._pipe`:

    guard > load > map > filter > merge > number > logos > render > publish > swap > clean

What clients get changes at the publishing, file by file, each by an atomic rename; nobody sees half a lineup. Identity
and numbers are written before that, so whatever was published once is remembered.
"""

import gc
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from servicekit.errors import AerialError
from stream_service.domain.lineup import DEFAULT, LineupOptions, LineupView, Override, tuners
from stream_service.domain.merging import MERGE_KEY, Merged, RuleKey, merged, resolved
from stream_service.domain.model import LineupChannel, LineupStream
from stream_service.lineups.guard import Guard
from stream_service.lineups.linking import ChannelStore, linked
from stream_service.lineups.numbers import Numbered, Placed, numbered
from stream_service.lineups.parts import MODE, PART, part
from stream_service.lineups.publish import PublishedFiles, publish_catalogue, render
from stream_service.lineups.report import Report
from stream_service.lineups.staging import Staging
from stream_service.store.builds import Build, BuildReason, BuildStatus
from stream_service.store.lineup_channels import ShownChannel, Standing
from stream_service.store.lineups import Lineup

_log = logging.getLogger("lineups")


class StreamStore(ChannelStore, Protocol):
    """What a build asks of the store of channels; see `store.channels`."""

    def streams(self, source_ids: Sequence[int] | None = None) -> Iterator[LineupStream]: ...
    def remember_texts(self, source_ids: Sequence[int]) -> int: ...


class LineupStore(Protocol):
    """What a build asks of the store of lineups."""

    def all(self) -> Sequence[Lineup]: ...
    def get(self, name: str) -> Lineup: ...
    def built(self, name: str, *, digest: str, channels: int) -> None: ...
    def renumbered(self, name: str) -> None: ...
    def mark(self, name: str | None, *, stale: bool) -> None: ...


class LineupChannelStore(Protocol):
    """What a build asks of the store of channels in lineups."""

    def standing(self, lineup: str) -> Standing: ...
    def overrides(self, lineup: str) -> dict[str, Override]: ...
    def show(self, lineup: str, channels: Sequence[ShownChannel], before: Standing) -> None: ...
    def forget_numbers(self, lineup: str, standing: Standing) -> None: ...
    def lead(self, lineup: str, aliases: Mapping[str, str], before: Mapping[str, str]) -> None: ...
    def keep_ranges(self, lineup: str, ranges: Mapping[str, Sequence[int]]) -> None: ...


class BuildLog(Protocol):
    """What a build asks of the log."""

    def begin(self, lineup: str, reason: BuildReason) -> Build: ...
    def stage(self, build_id: int, stage: str) -> None: ...
    def end(
        self,
        build_id: int,
        status: BuildStatus,
        *,
        channels: int = 0,
        error: str | None = None,
        report: Mapping[str, object] | None = None,
    ) -> None: ...


class Selection(Protocol):
    """Streams after rules and filters, and what those did; see `rules.selection`."""

    @property
    def streams(self) -> list[LineupStream]: ...
    @property
    def told(self) -> Mapping[str, object]:
        """For the report: JSON."""
        ...

    @property
    def warnings(self) -> Sequence[str]: ...


Select = Callable[[str, LineupOptions, list[LineupStream]], Selection]
"""Name and options of a lineup, and its streams, through rules (map) and filters (filter)."""
Dress = Callable[[Sequence[LineupChannel], bool], Sequence[LineupChannel]]
"""The stage of logos: the same channels with the logos that clients get; and whether we serve those of providers."""
ForGuide = Callable[[str], Mapping[str, object]]
"""What the guide service gets of a lineup beside its channels: rules and filters for programmes, as JSON."""
RuleKeys = Callable[[Sequence[str]], RuleKey]
"""Merge rules to what they say of a stream; raises `AerialError` for one that cannot be understood."""


@dataclass(frozen=True, slots=True)
class Everything:
    """A selection that leaves nothing out."""

    streams: list[LineupStream]
    told: Mapping[str, object]
    warnings: Sequence[str] = ()


def everything(name: str, options: LineupOptions, streams: list[LineupStream]) -> Everything:
    """No rules, no filters."""
    return Everything(streams, {})


def undressed(channels: Sequence[LineupChannel], cached: bool) -> Sequence[LineupChannel]:
    """Logos as the providers gave them."""
    return channels


def nothing_for_guide(name: str) -> Mapping[str, object]:
    """Nothing but channels."""
    return {}


def by_merge_key(rules: Sequence[str]) -> RuleKey:
    """Only what lists say themselves (`merge-key`)."""
    return lambda stream: stream.attributes.get(MERGE_KEY, "")


@dataclass(slots=True)
class _Work:
    """A build under way."""

    lineup: Lineup
    report: Report
    build: Build


class Builder:
    """Builds lineups. Guards of several may wait at a time; the work itself is done for one lineup after the other."""

    def __init__(
        self,
        *,
        channels: StreamStore,
        lineups: LineupStore,
        lineup_channels: LineupChannelStore,
        builds: BuildLog,
        files: PublishedFiles,
        guard: Guard,
        select: Select = everything,
        dress: Dress = undressed,
        rule_keys: RuleKeys = by_merge_key,
        for_guide: ForGuide = nothing_for_guide,
        installation: str = "",
    ) -> None:
        self._channels = channels
        self._lineups = lineups
        self._lineup_channels = lineup_channels
        self._builds = builds
        self._files = files
        self._guard = guard
        self._select = select
        self._dress = dress
        self._rule_keys = rule_keys
        self._for_guide = for_guide
        self._installation = installation
        self._one_at_a_time = threading.Lock()

    def build(self, name: str = DEFAULT, reason: BuildReason = "change") -> str:
        """Build and publish a lineup; returns the digest of its channels. What is published stays after an error.

        Raises `NotFound` for a lineup that is not there, or not any more.
        """
        work = _Work(self._lineups.get(name), Report(), self._builds.begin(name, reason))
        try:
            digest, channels = self._pipe(work)
        except BaseException as error:
            told = error.detail if isinstance(error, AerialError) else f"a fault of this program: {error!r}"
            self._builds.end(work.build.id, "failed", error=told, report=work.report.as_dict())
            self._lineups.get(name)  # deleted meanwhile: that is no fault, and told as what it is
            raise
        self._builds.end(work.build.id, "success", channels=channels, report=work.report.as_dict())
        _log.info("lineup %s: %d channels", name, channels)
        return digest

    def _pipe(self, work: _Work) -> tuple[str, int]:
        self._wait(work)
        with self._one_at_a_time, _collecting_later(), Staging(self._files.folder(work.lineup.name)) as staging:
            self._lineups.mark(work.lineup.name, stale=False)  # what changes from here on is for the next build
            work.lineup = self._lineups.get(work.lineup.name)  # as it is after the wait
            streams = self._load(work)
            streams = self._map_and_filter(work, streams)
            standing = self._lineup_channels.standing(work.lineup.name)
            channels = self._merge(work, streams, standing)
            del streams
            placed = self._number(work, channels, standing)
            view = self._view(work, placed, channels)
            del placed, standing
            digest = self._render(work, view, staging)
            self._publish(work, staging)
            self._swap(work, view, digest)
            return digest, len(view.channels)

    # ---- the stages --------------------------------------------------------------------------------------------------

    def _wait(self, work: _Work) -> None:
        with self._stage(work, "guard"):
            still = self._guard.wait(
                work.lineup.options.sources, lambda told: self._builds.stage(work.build.id, f"guard: {told}")
            )
            if still:
                work.report.warn(f"built while {', '.join(still)} was still being brought in: the guard waited in vain")

    def _load(self, work: _Work) -> list[LineupStream]:
        with self._stage(work, "load"):
            sources = work.lineup.options.sources
            streams, new = linked(self._channels, list(self._channels.streams(sources)))
            if new < len(streams):  # channels that were just made know what they are called
                self._channels.remember_texts(sorted({stream.stream.source_id for stream in streams}))
            work.report.count(streams=len(streams), new=new)
            return streams

    def _map_and_filter(self, work: _Work, streams: list[LineupStream]) -> list[LineupStream]:
        with self._stage(work, "map and filter"):
            entered = len(streams)
            selection = self._select(work.lineup.name, work.lineup.options, streams)
            work.report.count(entered=entered, left_out=entered - len(selection.streams))
            work.report.details.update(selection.told)
            for warning in selection.warnings:
                work.report.warn(warning)
            return selection.streams

    def _merge(self, work: _Work, streams: Sequence[LineupStream], standing: Standing) -> Merged:
        with self._stage(work, "merge"):
            done, away = merged(
                streams,
                work.lineup.options,
                aliases=standing.aliases,
                shown=standing.present,
                rule_keys=self._rule_keys,
            )
            work.report.count(channels=len(done.channels), merged_away=away)
            self._lineup_channels.lead(work.lineup.name, done.aliases, standing.aliases)
            return done

    def _number(self, work: _Work, joined: Merged, standing: Standing) -> Numbered:
        with self._stage(work, "number"):
            name, before = work.lineup.name, standing
            if work.lineup.renumber:
                self._lineup_channels.forget_numbers(name, standing)
            done = numbered(
                joined.channels,
                standing=standing,
                overrides=self._lineup_channels.overrides(name),
                options=work.lineup.options,
                xtream_ids=self._xtream_ids(joined),
                delivery=work.lineup.delivery,
            )
            self._lineup_channels.keep_ranges(name, done.given.ranges)
            self._lineup_channels.show(name, [_shown(at, one) for at, one in enumerate(done.placed)], before)
            if work.lineup.renumber:
                self._lineups.renumbered(name)
            work.report.count(new_numbers=len(done.given.numbers), hidden=sum(one.hidden for one in done.placed))
            for group, count in done.given.overflow.items():
                work.report.warn(
                    f"{count} channels of group {group!r} found its range full: they are numbered above it"
                )
            if done.given.overflow:
                work.report.details["overflow"] = done.given.overflow
            return done

    def _view(self, work: _Work, done: Numbered, joined: Merged) -> LineupView:
        options, name = work.lineup.options, work.lineup.name
        channels: Sequence[LineupChannel] = [one.channel for one in done.placed if not one.hidden]
        with self._stage(work, "logos"):
            channels = self._dress(channels, options.logos)
        aliases = resolved(joined.aliases, joined.channels)
        limits = {one.source_id: one.connection_limit for channel in channels for one in channel.streams}
        return LineupView(
            name=name,
            channels=channels,
            title=options.title,
            tvg_id=options.tvg_id,
            tuner_count=tuners(options.tuner_count, limits),
            outputs=frozenset(options.outputs),
            catchup=options.catchup,
            delivery=work.lineup.delivery,
            plain_delivery=self._lineups.get(DEFAULT).delivery,
            aliases=aliases,
            alias_numbers=self._channels.xtream_ids(aliases) if aliases else {},
            installation=self._installation,
            for_guide=self._for_guide(name),
        )

    def _render(self, work: _Work, view: LineupView, staging: Staging) -> str:
        with self._stage(work, "render"):
            digest = render(view, staging)
            staging.put(PART, part(view), mode=MODE)
            return digest

    def _publish(self, work: _Work, staging: Staging) -> None:
        with self._stage(work, "publish"):
            work.report.count(files=staging.publish())

    def _swap(self, work: _Work, view: LineupView, digest: str) -> None:
        """From here on viewers are served from it, and the guide service is told."""
        with self._stage(work, "swap"):
            self._assemble()
            self._lineups.built(view.name, digest=digest, channels=len(view.channels))

    # ---- beside them -------------------------------------------------------------------------------------------------

    def tidy(self) -> list[str]:
        """Remove the files of lineups that are there no more; returns their names."""
        there = {lineup.name for lineup in self._lineups.all()}
        gone = [name for name in self._files.lineups() if name not in there]
        with self._one_at_a_time:
            for name in gone:
                shutil.rmtree(self._files.folder(name), ignore_errors=True)
            if gone:
                self._assemble()
        return gone

    def _assemble(self) -> None:
        publish_catalogue(self._files, [lineup.name for lineup in self._lineups.all()])

    def _xtream_ids(self, joined: Merged) -> dict[str, int]:
        """Those of the channels that stand for others while their own streams are away are asked for."""
        found = {
            ident: next((s.xtream_id for s in streams if s.channel_id == ident), 0)
            for ident, streams in joined.channels.items()
        }
        missing = [ident for ident, number in found.items() if not number]
        return {**found, **self._channels.xtream_ids(missing)} if missing else found

    @contextmanager
    def _stage(self, work: _Work, name: str) -> Iterator[None]:
        self._builds.stage(work.build.id, name)
        with work.report.stage(name):
            yield


def _shown(position: int, placed: Placed) -> ShownChannel:
    channel = placed.channel
    texts = (channel.name, channel.group, channel.logo, channel.tvg_id)
    return ShownChannel(channel.id, placed.number, channel.number, placed.hidden, position, *texts)


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Without Python's cycle collector: a build makes a million objects and no cycle, and each pass looks at all."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
