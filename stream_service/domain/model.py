"""Values that cross rooms: what a source's list held, and what a viewer can be given."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stream_service.domain.values import many

RELAY = "relay"
"""Delivery through us, the usual one."""
REDIRECT = "redirect"
"""Delivery by sending viewers to the stream's own address."""

CATCHUP_KEYS = (
    "catchup", "catchup-type", "catchup-days", "catchup-source", "catchup-correction", "catchup-id", "timeshift",
    "tvg-rec",
)  # fmt: skip
"""Attributes by which players find what was broadcast before (Kodi's iptvsimple, TiviMate, SIPTV)."""
_YES = frozenset(("true", "1", "yes"))


@many(frozen=True, slots=True)
class StreamAddress:
    """One address a channel can be taken from.

    `private_ok`: the address that the administrator typed and that led here is itself private, so this one may be too.
    `connection_limit`: of its source's account, None when not known. `timeouts`: its source's, in seconds, by
    `connect_s`, `first_byte_s`, `stall_s` (the relay's own where none is given).
    """

    id: int
    source_id: int
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    private_ok: bool = False
    connection_limit: int | None = None
    timeouts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChannelTarget:
    """A channel as the relay needs it: its permanent id and its streams in the order they are tried.

    `delivery`: how viewers get it, `relay` (through us), `redirect` (they are sent to the stream's own address) or the
    name of a profile. `xtream_id` is its permanent whole number, one in the installation.
    """

    id: str
    number: str
    name: str
    streams: tuple[StreamAddress, ...]
    delivery: str = RELAY
    xtream_id: int = 0


@many(frozen=True, slots=True)
class Entry:
    """One entry of a source's list, as read and cleaned, before anyone knows which stream it is.

    `number` is the provider's channel number in canonical text ("7", "5.1"), empty when it gave none that can be
    used. `provider_id` is the provider's own id of the stream ("live:1234"), empty when none is known. `attributes`
    are those the reader has no field for, keys in lower case, in the order of the list.
    """

    url: str
    name: str
    tvg_id: str = ""
    tvg_name: str = ""
    logo: str = ""
    group: str = ""
    number: str = ""
    provider_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


@many(frozen=True, slots=True)
class StreamKeys:
    """What tells one stream from another when a list is refreshed.

    `id` is the stream's permanent id for a stream that is known, and the place in the list for an entry that is new.
    """

    id: int
    provider_id: str
    tvg_id: str
    name: str
    group: str
    url: str


@many(frozen=True, slots=True)
class LineupStream:
    """A stream that takes part in a lineup: the entry's texts, and the channel it already belongs to, if any.

    `xtream_id`: that channel's permanent whole number, 0 without a channel.
    """

    stream: StreamAddress
    channel_id: str | None
    tvg_id: str
    name: str
    group: str
    logo: str
    wanted_number: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    tvg_name: str = ""
    xtream_id: int = 0


@many(frozen=True, slots=True)
class LineupChannel:
    """A channel of a built lineup: everything an output may need to say about it.

    `id` is the permanent id, `tvg_id` the provider's own (which guide channels are matched by), `number` is permanent
    within the lineup, `xtream_id` is the permanent whole number by which Xtream clients know it, one in the whole
    installation. `attributes` are those of its first stream, keys in lower case. A `logo` that begins with `/logos/` is
    one of ours (`outputs.origin.logo` writes it whole); `guide_logo` is then what its guide carries instead.
    """

    id: str
    number: str
    name: str
    tvg_id: str = ""
    group: str = ""
    logo: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    streams: tuple[StreamAddress, ...] = ()
    delivery: str = RELAY
    xtream_id: int = 0
    guide_logo: str = ""

    @property
    def radio(self) -> bool:
        """Whether it has no picture."""
        return self.attributes.get("radio", "").lower() in _YES

    @property
    def is_adult(self) -> bool:
        """Whether its source says that it is for adults."""
        said = self.attributes
        return (said.get("is-adult") or said.get("is_adult") or said.get("adult", "")).lower() in _YES

    @property
    def catchup(self) -> dict[str, str]:
        """What its source says of broadcasts that can be watched later: some of `CATCHUP_KEYS`, or nothing."""
        return {key: value for key in CATCHUP_KEYS if (value := self.attributes.get(key))}
