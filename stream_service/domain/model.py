"""Values that cross rooms: what a viewer can be given."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """One address a channel can be taken from.

    `private_ok`: the address that the administrator typed and that led here is itself private, so this one may be too.
    """

    id: int
    source_id: int
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    private_ok: bool = False


@dataclass(frozen=True, slots=True)
class ChannelTarget:
    """A channel as the relay needs it: its permanent id and its streams in the order they are tried."""

    id: str
    number: str
    name: str
    streams: tuple[StreamAddress, ...]
