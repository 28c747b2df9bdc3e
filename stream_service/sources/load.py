"""Refreshing one source.

    get > read > sort (channels | library) > stage > verdict > identity > swap > sweep

Until the swap nobody sees anything of it, and a list that is refused, broken or much too short changes nothing. Movies
and series have a verdict of their own: without them there are channels all the same.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Protocol

from servicekit.clock import Clock, iso
from servicekit.errors import AerialError, BadAnswer
from servicekit.notify import Notifier
from servicekit.redact import redact
from stream_service.domain.account import Account
from stream_service.domain.entities import LastGoodList, Run, RunStatus, Source
from stream_service.domain.identity import reconcile
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry, StreamKeys
from stream_service.domain.titles import Episode, Title
from stream_service.sources.shelving import shelved
from stream_service.sources.telling import Cancelled, RunTelling, Telling
from stream_service.sources.types import Fetched, Listing

TITLES_AT_A_TIME = 1_000
GROUP_WORTH_TELLING = 10
MOST_GROUPS_TOLD = 20
_log = logging.getLogger("sources")


class Getting(Protocol):
    """What a refresh asks of the ways out; see `sources.types`."""

    def get(
        self, source: Source, *, force: bool = False, telling: Telling | None = None
    ) -> AbstractContextManager[Fetched]: ...


class ListStore(Protocol):
    """What a refresh asks of the store of lists; see `store.lists`."""

    def begin(self, source_id: int, visible: int) -> int: ...
    def stage(self, source_id: int, generation: int, entries: Iterable[Entry]) -> int: ...
    def number_likes(self, source_id: int, generation: int) -> None: ...
    def match_unchanged(self, source_id: int, generation: int) -> int: ...
    def unmatched(self, source_id: int, generation: int) -> Iterable[StreamKeys]: ...
    def vanished(self, source_id: int, generation: int) -> Iterable[StreamKeys]: ...
    def retained(self, source_id: int) -> Iterable[StreamKeys]: ...
    def emptied(self, source_id: int, generation: int, *, least: int) -> list[tuple[str, int]]: ...
    def assign(self, source_id: int, generation: int, matches: Mapping[int, int]) -> int: ...
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
    ) -> bool: ...
    def differs(self, source_id: int, generation: int) -> bool: ...
    def keep(self, source_id: int, visible: int, good: LastGoodList) -> None: ...
    def sweep(self, source_id: int) -> int: ...


class TitleStore(Protocol):
    """What a refresh asks of the library; see `store.library_intake`."""

    def begin(self, source_id: int) -> None: ...
    def stage(self, source_id: int, first: int, titles: Sequence[Title | Episode]) -> None: ...
    def staged(self, source_id: int) -> Mapping[str, int]: ...
    def present(self, source_id: int) -> Mapping[str, int]: ...
    def drop_staged(self, source_id: int, kind: str) -> None: ...
    def apply(self, source_id: int) -> None: ...


class RunLog(Protocol):
    """What a refresh asks of the log of runs."""

    def tell(self, run_id: int, stage: str, progress: Mapping[str, object]) -> bool: ...
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


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...


class AccountBook(Protocol):
    """Where it is kept what a panel says of an account."""

    def note_account(self, source_id: int, account: Account) -> None: ...


@dataclass(frozen=True, slots=True)
class _Staged:
    """A list that stands in the store and that nobody sees yet. `titles`: kinds of titles that go with it."""

    generation: int
    entries: int
    losses: Losses
    listing: Listing
    titles: Sequence[str]
    library: Mapping[str, int]
    warnings: Sequence[str]
    content: str


class Refresher:
    """Runs refreshes. `least_share`: a list shorter than this share of the last good one is refused, unless forced."""

    def __init__(
        self,
        *,
        ways: Getting,
        lists: ListStore,
        titles: TitleStore,
        runs: RunLog,
        accounts: AccountBook,
        notifier: Notifier,
        clock: Clock,
        least_share: float,
    ) -> None:
        self._ways = ways
        self._lists = lists
        self._titles = titles
        self._runs = runs
        self._accounts = accounts
        self._notifier = notifier
        self._clock = clock
        self._least_share = least_share

    def refresh(self, run: Run, source: Source) -> RunStatus:
        """Do a run that is marked as running, to its end; returns how it ended. Raises nothing a provider can cause."""
        losses = Losses()
        try:
            status = self._refresh(run, source, losses)
        except AerialError as error:
            status = _status_of(error)
            said = redact(error.detail)
            later = getattr(error, "retry_after_s", None)
            report = {"losses": _shown(losses)} | ({"retry_after_s": later} if later else {})
            self._runs.finish(run.id, status, skipped=losses.entries_lost, error=said, report=report)
            if status != "cancelled":
                self._notifier.event(
                    "refresh_failed", "warning", f"source {source.name!r}: {said}; its channels stay as they were",
                    source_id=source.id, run_id=run.id,
                )  # fmt: skip
        return status

    def sweep(self, source_id: int) -> int:
        """Go on where a refresh that was killed stopped; returns how many streams are known as vanished now."""
        self._titles.apply(source_id)
        return self._lists.sweep(source_id)

    def _refresh(self, run: Run, source: Source, losses: Losses) -> RunStatus:
        self.sweep(source.id)
        telling = RunTelling(
            run.id, runs=self._runs, account=partial(self._note_account, source), monotonic=self._clock.monotonic
        )
        with self._ways.get(source, force=run.force, telling=telling) as fetched:
            if fetched.unchanged:
                good = source.good
                self._runs.finish(run.id, "unchanged", streams=good.entries, skipped=good.skipped)
                return "unchanged"
            if not run.force and (same := self._read_alone(source, fetched, telling)) is not None:
                self._lists.keep(source.id, source.generation, same)
                self._runs.finish(run.id, "unchanged", streams=same.entries, skipped=same.skipped)
                return "unchanged"
            staged = self._stage(source, fetched, losses, telling, force=run.force)
        if not fetched.trusted and not run.force:
            self._judge(source, staged)
        if not run.force and staged.content == source.good.content and fetched.private == source.good.private:
            return self._keep(run, source, fetched, staged)
        return self._make_visible(run, source, fetched, staged, telling)

    def _read_alone(self, source: Source, fetched: Fetched, telling: Telling) -> LastGoodList | None:
        """Of a provider who writes the same entries anew each time: read and not staged; None when they are others."""
        good = source.good
        if not good.rewrites or good.content is None or fetched.private != good.private:
            return None
        losses, content = Losses(), blake2b(digest_size=16)
        listing = fetched.listing(losses, telling)
        for _ in _noted(shelved(listing, source.options, losses), content):
            pass
        content.update(repr(sorted(getattr(listing, "kept", ()))).encode())
        if content.hexdigest() != good.content:
            return None
        asked = {"etag": fetched.etag, "last_modified": fetched.last_modified, "digest": fetched.digest}
        return replace(good, **asked, guide_urls=tuple(listing.guide_urls))  # type: ignore[arg-type]

    def _keep(self, run: Run, source: Source, fetched: Fetched, staged: _Staged) -> RunStatus:
        """Other bytes, the same entries: nothing is taken over, and no lineup is built for it."""
        self._lists.keep(source.id, source.generation, _good_of(fetched, staged))
        self._titles.begin(source.id)
        self._runs.finish(run.id, "unchanged", streams=staged.entries, skipped=staged.losses.entries_lost)
        return "unchanged"

    def _note_account(self, source: Source, account: Account) -> None:
        """Keep it, and say beforehand when it ends soon."""
        before = source.account
        if account.status == "limited" and not account.base_url:
            account = replace(account, base_url=before.base_url)
        self._accounts.note_account(source.id, account)
        now_s = self._clock.now_s()
        if account.status == "active" and account.expires_at is not None and account.expires_soon(now_s):
            days = max(0, (account.expires_at - now_s) // 86_400)
            self._notifier.event(
                "account_expires", "warning",
                f"the account of source {source.name!r} ends on {iso(account.expires_at)}, in {days} days",
                source_id=source.id, expires_at=iso(account.expires_at),
            )  # fmt: skip

    def _stage(self, source: Source, fetched: Fetched, losses: Losses, telling: Telling, *, force: bool) -> _Staged:
        telling.stage("reading")
        generation = self._lists.begin(source.id, source.generation)
        self._titles.begin(source.id)
        listing = fetched.listing(losses, telling)
        shelf, content = _Shelf(self._titles, source.id), blake2b(digest_size=16)
        sorted_out = shelf.taking(_noted(shelved(listing, source.options, losses), content))
        entries = self._lists.stage(source.id, generation, _counted(sorted_out, telling))
        shelf.flush()
        warnings = list(getattr(listing, "warnings", ()))
        kept = set(getattr(listing, "kept", ()))
        library = dict(self._titles.staged(source.id))
        before = self._titles.present(source.id)
        for kind in ("movie", "series"):
            if kind in kept or _switched_off(source, kind):
                continue
            if not (force or fetched.trusted) and library.get(kind, 0) < self._least_share * before.get(kind, 0):
                kept.add(kind)
                warnings.append(
                    f"{kind}: the list holds {library.get(kind, 0)} where {before[kind]} stood before, less than "
                    f"{self._least_share:.0%}; what there was is kept"
                )
        for kind in kept:
            self._titles.drop_staged(source.id, kind)
        titles = [kind for kind in ("movie", "series") if kind not in kept]
        if listing.encoding != "utf-8":
            warnings.append(f"encoding {listing.encoding}")
        for group, held in self._lists.emptied(source.id, generation, least=GROUP_WORTH_TELLING)[:MOST_GROUPS_TOLD]:
            warnings.append(f"group {group!r} held {held} entries and holds none now")
        content.update(repr(sorted(kept)).encode())
        return _Staged(
            *(generation, entries, losses, listing, titles, library, list(dict.fromkeys(warnings))), content.hexdigest()
        )

    def _judge(self, source: Source, staged: _Staged) -> None:
        """The verdict; raises `BadAnswer` when the list must not replace the last good one."""
        if not source.options.get("live", True):
            return
        before = source.good.entries
        if staged.entries == 0 and (before or not any(staged.library.values())):
            raise BadAnswer(
                f"the list holds no entry that can be used ({staged.losses.entries_lost} left out); "
                "refresh with force to take it anyway"
            )
        if staged.entries < self._least_share * before:
            raise BadAnswer(
                f"the list holds {staged.entries} entries where the last one held {before}, less than "
                f"{self._least_share:.0%}: the provider seems to be in trouble; refresh with force to take it anyway"
            )

    def _make_visible(self, run: Run, source: Source, fetched: Fetched, staged: _Staged, telling: Telling) -> RunStatus:
        telling.stage("comparing")
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
            "library": staged.library,
            "guide_urls": [redact(url) for url in staged.listing.guide_urls],
            "warnings": [redact(said) for said in staged.warnings],
        }
        good = _good_of(fetched, staged)
        telling.stage("taking over")
        differs = fetched.private != source.good.private or self._lists.differs(source.id, generation)
        if not self._lists.swap(run.id, source.id, generation, good, report, staged.titles, differs=differs):
            self._runs.finish(run.id, "cancelled", error="the source was deleted while it was being refreshed")
            return "cancelled"
        vanished = self.sweep(source.id)
        _log.info(
            "source %d: %d streams (%d unchanged, %d found again, %d new), %d vanished, %d left out; library %s",
            *(source.id, staged.entries, unchanged, len(found.matches), new, vanished, staged.losses.entries_lost),
            staged.library,
        )
        return "success"


def _good_of(fetched: Fetched, staged: _Staged) -> LastGoodList:
    return LastGoodList(
        *(fetched.etag, fetched.last_modified, fetched.digest, staged.entries, staged.losses.entries_lost),
        private=fetched.private,
        guide_urls=tuple(staged.listing.guide_urls),
        content=staged.content,
    )


def _noted(items: Iterable[Entry | Title | Episode], content: "_Hash") -> Iterator[Entry | Title | Episode]:
    """What passes by, told apart from other lists by what it says and not by how that is written."""
    for item in items:
        if isinstance(item, Entry):  # most are, and a dataclass takes long to write itself
            texts = (item.url, item.name, item.tvg_id, item.tvg_name, item.logo, item.group, item.number)
            said = "\0".join((*texts, item.provider_id, str(item.headers or ""), str(item.attributes or "")))
        else:
            said = repr(item)
        content.update(said.encode("utf-8", "replace"))
        yield item


def _switched_off(source: Source, kind: str) -> bool:
    """Whether the administrator wants no titles of this kind, so that none is no sign of trouble."""
    options = source.options
    return bool(options.get("vod_as_channels")) or not options.get("vod" if kind == "movie" else kind, True)


class _Shelf:
    """Takes the titles out of a list as it passes by, and stages them a thousand at a time."""

    def __init__(self, titles: TitleStore, source_id: int) -> None:
        self._titles = titles
        self._source_id = source_id
        self._waiting: list[Title | Episode] = []
        self._staged = 0

    def taking(self, items: Iterable[Entry | Title | Episode]) -> Iterator[Entry]:
        for item in items:
            if isinstance(item, Entry):
                yield item
                continue
            self._waiting.append(item)
            if len(self._waiting) >= TITLES_AT_A_TIME:
                self.flush()

    def flush(self) -> None:
        """Stage what waits."""
        if self._waiting:
            self._titles.stage(self._source_id, self._staged, self._waiting)
            self._staged += len(self._waiting)
            self._waiting = []


def _counted(entries: Iterable[Entry], telling: Telling) -> Iterator[Entry]:
    for number, entry in enumerate(entries, 1):
        yield entry
        if number % 1_000 == 0:
            telling.stage("reading", entries=number)


def _status_of(error: AerialError) -> RunStatus:
    """A provider that cannot be asked failed; one whose answer is no usable list is rejected."""
    if isinstance(error, Cancelled):
        return "cancelled"
    return "rejected" if isinstance(error, BadAnswer) and error.status is None else "failed"


def _shown(losses: Losses) -> dict[str, dict[str, object]]:
    """The report without secrets: providers write passwords into the oddest places."""
    return {
        kind: {"count": said["count"], "samples": [redact(str(one)) for one in said["samples"]]}  # type: ignore[attr-defined]
        for kind, said in losses.report().items()
    }
