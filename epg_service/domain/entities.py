"""The nouns of the guide as values: providers, runs of imports, channels, programmes, lineups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

RunStatus = Literal["queued", "running", "success", "failed", "rejected", "interrupted", "unchanged", "cancelled"]
OPEN: frozenset[str] = frozenset({"queued", "running"})
GOOD: frozenset[str] = frozenset({"success", "unchanged"})
Reason = Literal["manual", "schedule", "catch-up", "retry", "linked", "command"]


@dataclass(frozen=True, slots=True)
class LastGoodFile:
    """The last accepted file of a provider: how to ask whether it changed, and what it held."""

    etag: str | None = None
    last_modified: str | None = None
    digest: str | None = None
    basis: str | None = None
    """What the file was read with (window, zone, shift). Under another basis the same file means another guide."""
    fresh_until: int = 0
    """From this instant on the window holds another part of the file, so the same file means another guide."""
    kept: int = 0
    channels: int = 0
    skipped: int = 0
    report: Mapping[str, object] = field(default_factory=dict)
    """Its losses, notes and warnings."""
    at: int | None = None
    channels_skipped: int = 0
    """Channels that it had programmes of, none of which were kept."""
    source: Mapping[str, str] = field(default_factory=dict)
    """What its `<tv>` says of where it comes from: attributes of the DTD, without secrets."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a guide comes from. `xmltv_url` is an http(s) address, or the name of a file in the import directory."""

    id: int
    name: str
    xmltv_url: str
    enabled: bool
    created_at: int
    updated_at: int
    priority: int = 0
    schedule: str | None = None
    default_timezone: str | None = None
    shift_minutes: int = 0
    retention_days: int | None = None
    good: LastGoodFile = field(default_factory=LastGoodFile)
    linked: str | None = None
    """What the stream service calls it when it is the guide of a panel: its address holds that panel's login."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an import, from the moment it was asked for."""

    id: int
    provider_id: int
    status: RunStatus
    queued_at: int
    started_at: int | None
    completed_at: int | None
    programs_imported: int
    programs_skipped: int
    error_message: str | None
    reason: Reason
    attempt: int
    force: bool
    progress: Mapping[str, object]
    report: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Channel:
    """A logical channel. `name` is its XMLTV id; the display name and icon are a person's, else the provider's.

    `hidden` ones stand in no list and no published guide; `shift_minutes` are added to times on the way out.
    """

    id: int
    name: str
    display_name: str
    icon_url: str | None
    hidden: bool = False
    shift_minutes: int = 0


@dataclass(frozen=True, slots=True)
class Mapped:
    """A provider's channel that belongs to a logical channel."""

    id: int
    provider_id: int
    provider_channel_id: str
    channel_id: int
    how: str
    longest_s: int
    shift_s: int = 0
    """The channel's and the mapping's own shift together: added to every time that is asked for or published."""


@dataclass(frozen=True, slots=True)
class ProviderChannel:
    """A provider's channel, the logical channel it belongs to, and how that was decided."""

    id: int
    provider_id: int
    provider: str
    provider_channel_id: str
    display_name: str | None
    channel_id: int
    channel: str
    how: str
    shift_minutes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """One programme as it stands in the guide; `raw` is its element's bytes where they were asked for."""

    id: int
    channel_id: int
    provider_id: int
    start_s: int
    stop_s: int
    title: str
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class LineupChannel:
    """A channel of a lineup as the stream service sent it, and the guide channel it was matched to."""

    id: str
    name: str
    tvg_id: str | None = None
    number: str | None = None
    logo: str | None = None
    group: str | None = None
    channel_id: int | None = None
    method: str | None = None
    score: float | None = None
    shift_minutes: int = 0
    """Added to the guide channel's times: a "+1" that has no guide of its own shows the base channel's."""


@dataclass(frozen=True, slots=True)
class NearChannel:
    """A guide channel that was near a lineup channel; `name` is its XMLTV id."""

    channel_id: int
    name: str
    score: float


@dataclass(frozen=True, slots=True)
class LineupMatch:
    """What a lineup channel was matched to, for those who look after it; `guide_name` is the guide channel's name."""

    channel: LineupChannel
    guide_name: str | None
    pinned: bool
    runners_up: Sequence[NearChannel] = ()


@dataclass(frozen=True, slots=True)
class Lineup:
    """What stands of a lineup: the digest of what was sent, when it came, when it was matched and published."""

    name: str
    digest: str
    received_at: int
    matched_at: int | None
    basis: str | None = None
    """Digest of all that its matches were decided from; None: they are to be decided again."""
    channels: Sequence[LineupChannel] = ()
