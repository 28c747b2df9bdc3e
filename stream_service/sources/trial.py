"""Looking before leaping: what a source would give, without keeping any of it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from servicekit.clock import Clock
from servicekit.errors import AerialError, Invalid
from servicekit.redact import redact
from stream_service.domain.account import Account
from stream_service.domain.entities import Source
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.domain.titles import Title
from stream_service.sources.shelving import shelved
from stream_service.sources.telling import Cancelled
from stream_service.sources.types import Ways

LIMIT_S = 25.0
SAMPLES = 10
MOST_GROUPS = 200


class Sources(Protocol):
    """What is asked of the store of sources."""

    def get(self, source_id: int) -> Source: ...


class Trial:
    """Tries sources that are not kept yet, or other settings of one that is."""

    def __init__(self, *, ways: Ways, sources: Sources, clock: Clock, limit_s: float = LIMIT_S) -> None:
        self._ways = ways
        self._sources = sources
        self._clock = clock
        self._limit_s = limit_s

    def test(self, params: Mapping[str, Any]) -> dict[str, object]:
        """`values` of a source (over those of `source_id` when one is named): counts, groups, samples, the account.

        What a provider does wrong is an answer with `ok` false, not an error. Raises `NotFound`, `Invalid`.
        """
        source = self._source(params.get("source_id"), params.get("values") or {})
        telling = _Watch(self._clock.monotonic, self._limit_s)
        losses = Losses()
        found = _Findings()
        began_s = self._clock.monotonic()
        answer: dict[str, object] = {"ok": True, "error": None, "truncated": False, "warnings": []}
        try:
            with self._ways.get(source, force=True, telling=telling) as fetched:
                listing = fetched.listing(losses, telling)
                found.take(shelved(listing, source.options, losses), telling)
                answer["guide_urls"] = [redact(url) for url in listing.guide_urls]
                answer["warnings"] = [redact(said) for said in getattr(listing, "warnings", ())]
        except Cancelled:
            answer["truncated"] = True
            if not found.counts:
                answer |= {"ok": False, "error": f"nothing of the list could be read within {self._limit_s:g} s"}
        except AerialError as error:
            answer |= {"ok": False, "error": redact(error.detail)}
        return answer | found.shown() | {
            "losses": losses.report(),
            "account": telling.last.as_dict() if telling.last else None,
            "took_s": round(self._clock.monotonic() - began_s, 2),
        }  # fmt: skip

    def _source(self, source_id: object, values: Mapping[str, Any]) -> Source:
        known = {"type", "url", "username", "password", "backup_urls", "options", "user_agent", "headers", "timeouts"}
        changes = {key: value for key, value in values.items() if key in known}
        if isinstance(changes.get("backup_urls"), list):
            changes["backup_urls"] = tuple(changes["backup_urls"])
        if isinstance(source_id, int):
            before = self._sources.get(source_id)
        else:
            if not changes.get("type"):
                raise Invalid("type: a source's type is needed")
            before = Source(0, "", "", "", True, None, None, None, {}, {}, 0, 0, 0)
        source = replace(before, **changes)
        limits = {"connect_s": 10.0, "read_s": self._limit_s, **source.timeouts, "total_s": self._limit_s}
        return replace(source, timeouts=limits)


class _Watch:
    """Listens to a trial, and ends it when its time is over."""

    def __init__(self, monotonic: Callable[[], float], limit_s: float) -> None:
        self._monotonic = monotonic
        self._end_s = monotonic() + limit_s
        self.last: Account | None = None

    def stage(self, stage: str, *, percent: float | None = None, **counts: int) -> None:
        """Raises `Cancelled` when the time is over."""
        if self._monotonic() > self._end_s:
            raise Cancelled("the time of this test is over")

    def account(self, account: Account) -> None:
        """Kept for the answer."""
        self.last = account


class _Findings:
    """What was met, counted, with the first of it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._groups: Counter[str] = Counter()
        self._sample: list[dict[str, object]] = []

    def take(self, items: Any, telling: _Watch) -> None:
        """Count everything."""
        for number, item in enumerate(items):
            if isinstance(item, Entry):
                self.counts["live"] += 1
                self._groups[item.group] += 1
                if len(self._sample) < SAMPLES:
                    self._sample.append(
                        {"name": item.name, "group": item.group or None, "tvg_id": item.tvg_id or None,
                         "number": item.number or None, "url": redact(item.url)}
                    )  # fmt: skip
            else:
                self.counts[item.kind if isinstance(item, Title) else "episode"] += 1
            if number % 1_000 == 0:
                telling.stage("reading")

    def shown(self) -> dict[str, object]:
        """Counts, the greatest groups, samples."""
        groups = [{"name": name, "streams": count} for name, count in self._groups.most_common(MOST_GROUPS)]
        return {"counts": dict(self.counts), "groups": groups, "sample": self._sample}
