"""Guides of panels: each Xtream source's guide is a provider of the guide service, with the same login.

Like the link of lineups it counts no messages: what the guide service was told last is kept as a digest, and whatever
makes another one (a new login, another host, a source that is switched off or deleted) is told again. Refreshing one
side refreshes the other, unless that was done within the grace; what one side did for the other calls nobody back.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import AerialError, BadAnswer
from servicekit.notify import Notifier
from servicekit.redact import redact
from stream_service.domain.entities import Reason, Run, RunStatus, Source
from stream_service.guide.asking import Asking, internal_headers
from stream_service.store.guide_links import LinkState, PanelGuide

GRACE_S = 300
TIMEOUT_S = 10.0
ANSWER_MAX_BYTES = 1 << 16
TRY_AGAIN_S = (15, 60, 300, 3600)
NO_GUIDE_AGAIN_S = 86_400
_log = logging.getLogger("panel_guides")


class Panels(Protocol):
    """What is asked of panels; see `sources.panel`."""

    def guide_url(self, source: Source) -> str: ...
    def has_guide(self, source: Source) -> bool: ...


class Sources(Protocol):
    """The sources that are not deleted."""

    def all(self) -> Sequence[Source]: ...


class Runs(Protocol):
    """The log of refreshes."""

    def enqueue(self, source_id: int, *, reason: Reason) -> Run: ...
    def waiting(self, source_id: int) -> bool: ...
    def asked_since(self, source_id: int, moment: int) -> bool: ...


class Links(Protocol):
    """What the guide service was told; see `store.guide_links`."""

    def all(self) -> Sequence[PanelGuide]: ...
    def of(self, source_id: int) -> PanelGuide | None: ...
    def with_key(self, key: str) -> PanelGuide | None: ...
    def add(self, source_id: int) -> PanelGuide: ...
    def note(
        self, source_id: int, state: LinkState, *, digest: str, next_at: int, provider_id: int | None = None,
        detail: str = "",
    ) -> None: ...  # fmt: skip
    def forget(self, source_id: int) -> None: ...


class PanelGuides:
    """Keeps the guide service in step with the panels that sources name."""

    def __init__(
        self,
        *,
        asking: Asking,
        epg_url: str,
        secret: str,
        panels: Panels,
        sources: Sources,
        links: Links,
        clock: Clock,
        notifier: Notifier,
    ) -> None:
        self._asking = asking
        self._url = f"{epg_url}/internal/v1/providers/linked"
        self._headers = {**internal_headers(secret), "Content-Type": "application/json"}
        self._panels = panels
        self._sources = sources
        self._links = links
        self._clock = clock
        self._notifier = notifier
        self._tries: dict[int, int] = {}

    def look(self) -> None:
        """One look at all panels: what the guide service does not know yet is told, what fails is told later."""
        panels = {one.id: one for one in self._sources.all() if one.type == "xtream" and one.auto_epg}
        known = {one.source_id: one for one in self._links.all()}
        now = self._clock.now_s()
        for source_id, source in panels.items():
            link = known.get(source_id) or self._links.add(source_id)
            digest = self._digest(source)
            if link.digest != digest and now >= link.next_at:
                self._tell(source, link, digest)
        for source_id, link in known.items():
            if source_id not in panels and now >= link.next_at:
                self._take_back(link)

    def refreshed(self, run: Run, source: Source, status: RunStatus) -> None:
        """After a refresh: has the panel's guide imported as well, unless it was the guide that asked for this."""
        if run.reason == "linked" or status not in ("success", "unchanged") or source.type != "xtream":
            return
        link = self._links.of(source.id)
        if link is None or link.state != "linked":
            return
        try:
            self._send("POST", f"{self._url}/import", {"key": link.key, "grace_s": GRACE_S})
        except AerialError as error:
            _log.info("the guide of source %d was not asked for: %s", source.id, redact(error.detail))

    def _digest(self, source: Source) -> str:
        said = f"{self._panels.guide_url(source)}\0{int(source.enabled)}"
        return blake2b(said.encode(), digest_size=16).hexdigest()

    def _tell(self, source: Source, link: PanelGuide, digest: str) -> None:
        if not source.enabled and not link.digest:
            return
        body = {
            "key": link.key,
            "name": source.name,
            "xmltv_url": self._panels.guide_url(source),
            "enabled": source.enabled,
        }
        try:
            if source.enabled and (why := self._without_guide(source)):
                later = self._clock.now_s() + NO_GUIDE_AGAIN_S
                self._links.note(source.id, "no_guide", digest=link.digest, detail=why, next_at=later)
                return
            answer = self._send("PUT", self._url, body)
        except AerialError as error:
            self._failed(link, error)
            return
        self._tries.pop(source.id, None)
        told = answer.get("provider_id")
        provider_id = told if isinstance(told, int) else None
        self._links.note(source.id, "linked", digest=digest, next_at=0, provider_id=provider_id)
        if not link.digest:
            self._notifier.event(
                "guide_linked", "info", f"the guide of source {source.name!r} is a provider of the guide service now",
                source_id=source.id, provider_id=provider_id,
            )  # fmt: skip

    def _without_guide(self, source: Source) -> str:
        """Why the panel gives no guide; '' when it does. Panels that cannot be asked raise."""
        try:
            return "" if self._panels.has_guide(source) else "the panel's xmltv.php answers, but not with a guide"
        except BadAnswer as error:
            return redact(error.detail)

    def _take_back(self, link: PanelGuide) -> None:
        """The source was deleted, or its guide is not wanted any more: the login leaves the guide service too."""
        try:
            if link.digest:
                self._send("PUT", self._url, {"key": link.key, "deleted": True})
        except AerialError as error:
            self._failed(link, error)
            return
        self._links.forget(link.source_id)

    def _failed(self, link: PanelGuide, error: AerialError) -> None:
        tries = self._tries.get(link.source_id, 0)
        self._tries[link.source_id] = tries + 1
        pause_s = TRY_AGAIN_S[min(tries, len(TRY_AGAIN_S) - 1)]
        later_s = getattr(error, "retry_after_s", None) or 0
        _log.info("the guide of source %d is linked later: %s", link.source_id, redact(error.detail))
        self._links.note(link.source_id, "failed", digest=link.digest, detail=redact(error.detail),
                         next_at=self._clock.now_s() + max(pause_s, later_s))  # fmt: skip

    def _send(self, method: str, url: str, body: Mapping[str, object]) -> Mapping[str, object]:
        with self._asking.open(
            url,
            headers=self._headers,
            read_timeout_s=TIMEOUT_S,
            max_bytes=ANSWER_MAX_BYTES,
            method=method,
            body=json.dumps(body).encode(),
        ) as answer:
            try:
                said = json.loads(b"".join(answer.chunks()) or b"{}")
            except ValueError as error:
                raise BadAnswer("the guide service's answer is no JSON") from error
            return said if isinstance(said, dict) else {}


class GuideNotices:
    """The other way: a panel's guide was imported, so its source is refreshed, unless it was within the grace."""

    def __init__(self, *, links: Links, sources: Sources, runs: Runs, clock: Clock) -> None:
        self._links = links
        self._sources = sources
        self._runs = runs
        self._clock = clock

    def imported(self, keys: Sequence[str]) -> list[int]:
        """The sources that are refreshed now."""
        enabled = {one.id for one in self._sources.all() if one.enabled}
        found = []
        for key in keys:
            link = self._links.with_key(key)
            if link is None or link.source_id not in enabled or self._runs.waiting(link.source_id):
                continue
            if not self._runs.asked_since(link.source_id, self._clock.now_s() - GRACE_S):
                self._runs.enqueue(link.source_id, reason="linked")
                found.append(link.source_id)
        return found
