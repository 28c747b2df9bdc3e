"""What the stream service keeps: sources, and the runs that refresh them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from stream_service.domain.account import Account

RunStatus = Literal["queued", "running", "success", "failed", "rejected", "interrupted", "unchanged", "cancelled"]
Reason = Literal["manual", "schedule", "catch-up", "retry", "linked", "command"]


@dataclass(frozen=True, slots=True)
class LastGoodList:
    """What is remembered of the last list that was accepted.

    `private`: the address it came from is a private one (or a file), so what it names may be private too. `content`:
    a digest of its entries, which stays when nothing but a time in the file's first line changes. `rewrites`: that is
    what happened last, so the next list is read before it is staged.
    """

    etag: str | None = None
    last_modified: str | None = None
    digest: str | None = None
    entries: int = 0
    skipped: int = 0
    private: bool = False
    guide_urls: tuple[str, ...] = ()
    content: str | None = None
    rewrites: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A place that channels come from.

    `url`: an address, or the name of a file in the import directory. `schedule`: a cron expression, None for the daily
    default. `headers` and `user_agent` go to the provider with the list's and the streams' requests.
    `timeouts`: seconds by `connect_s`, `read_s`, `total_s`, the configuration's where none is given. `generation`: of
    its visible list. `username`, `password`, `backup_urls` are a panel's; `options` switches `live`, `vod` and `series`
    off, and lets `vod_as_channels` stay channels. `auto_epg`: its guide is linked at the guide service.
    """

    id: int
    name: str
    type: str
    url: str
    enabled: bool
    schedule: str | None
    connection_limit: int | None
    user_agent: str | None
    headers: Mapping[str, str]
    timeouts: Mapping[str, float]
    created_at: int
    updated_at: int
    generation: int
    good: LastGoodList = field(default_factory=LastGoodList)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    backup_urls: tuple[str, ...] = ()
    options: Mapping[str, bool] = field(default_factory=dict)
    auto_epg: bool = True
    account: Account = field(default_factory=Account)


@dataclass(frozen=True, slots=True)
class Run:
    """One refresh of one source: asked for, running, done. `report` holds losses, warnings, how streams were found.

    `stage` and `progress` (percent, counts) say what it is doing. `cancel`: somebody asked it to end.
    """

    id: int
    source_id: int
    status: RunStatus
    queued_at: int
    started_at: int | None
    completed_at: int | None
    streams: int
    entries_skipped: int
    error_message: str | None
    reason: Reason
    attempt: int
    force: bool
    stage: str
    report: Mapping[str, object]
    progress: Mapping[str, object] = field(default_factory=dict)
    cancel: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status not in ("queued", "running")
