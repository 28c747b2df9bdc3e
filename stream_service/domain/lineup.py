"""A lineup as values: what a person sets of it and of single channels in it, and what is published of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from stream_service.domain.model import RELAY, LineupChannel

M3U = "m3u"
HDHR = "hdhr"
XTREAM = "xtream"
OUTPUTS = (M3U, HDHR, XTREAM)
"""What a lineup can be published as; each can be switched off."""
DEFAULT = "default"
"""The lineup that is always there."""
DEFAULT_TUNERS = 4
MOST_TUNERS = 32

TvgId = Literal["own", "source"]
Order = Literal["number", "name", "group", "source"]
Merge = Literal["off", "id", "name", "all"]
NumberingMode = Literal["preserve", "sequential", "group"]


@dataclass(frozen=True, slots=True)
class Numbering:
    """How new channels get their numbers, counted from `first`.

    `preserve`: the provider's number where it is free, else the next free one. `sequential`: the next free one.
    `group`: each group has a range of `range_size` numbers of its own.
    """

    mode: NumberingMode = "preserve"
    first: int = 1
    range_size: int = 100


@dataclass(frozen=True, slots=True)
class LineupOptions:
    """What a person sets of a lineup.

    `sources`: ids in the order of their rank, None for all by id. `rules`: whether data mapping applies. `merge`: what
    makes channels of different sources one; `merge_rules`: expressions, all channels that one of them matches become
    one, those of one source too. `tuner_count`: None for as many as the sources allow connections. `logos`: whether
    logos are served by us. For the others see `LineupView`.
    """

    title: str = ""
    sources: tuple[int, ...] | None = None
    rules: bool = True
    order: Order = "number"
    numbering: Numbering = field(default_factory=Numbering)
    merge: Merge = "all"
    merge_rules: tuple[str, ...] = ()
    outputs: tuple[str, ...] = OUTPUTS
    tvg_id: TvgId = "own"
    catchup: bool = True
    tuner_count: int | None = None
    logos: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Its values as JSON knows them."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "LineupOptions":
        """Read from what `as_dict` gave; names that are not known (of a newer program) are left out."""
        known = {one.name: values[one.name] for one in fields(cls) if one.name in values}
        for name in ("sources", "merge_rules", "outputs"):
            if isinstance(known.get(name), list):
                known[name] = tuple(known[name])
        if isinstance(known.get("numbering"), dict):
            known["numbering"] = Numbering(**known["numbering"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Override:
    """What a person set of one channel in a lineup; None where the channel's own value stands.

    `order`: channels that have one stand first, the lowest at the top.
    """

    number: str | None = None
    name: str | None = None
    logo: str | None = None
    group: str | None = None
    tvg_id: str | None = None
    hidden: bool = False
    order: int | None = None


@dataclass(frozen=True, slots=True)
class LineupView:
    """A built lineup as the outputs read it: its options, and its channels in the order they stand.

    `tvg_id`: whether outputs name a channel's guide by our own id or by the provider's. `tuner_count`: as it was set,
    or how many connections its sources allow. `outputs`: which of `OUTPUTS` are published. `catchup`: whether the
    provider's catch-up attributes are passed on. `aliases`: ids of channels that were merged away -> the channel that
    stands for them; `alias_numbers`: what Xtream clients know those by. `installation`: what this installation is known
    by, for ever. `for_guide`: what the guide service gets beside the channels. `plain_delivery`: how `default`
    delivers, which is where an address that names no lineup leads.
    """

    name: str
    channels: Sequence[LineupChannel]
    title: str = ""
    tvg_id: TvgId = "own"
    tuner_count: int = DEFAULT_TUNERS
    outputs: frozenset[str] = frozenset(OUTPUTS)
    catchup: bool = True
    delivery: str = RELAY
    plain_delivery: str = RELAY
    aliases: Mapping[str, str] = field(default_factory=dict)
    alias_numbers: Mapping[str, int] = field(default_factory=dict)
    installation: str = ""
    for_guide: Mapping[str, object] = field(default_factory=dict)

    def guide_id(self, channel: LineupChannel) -> str:
        """The id under which clients look for the channel's programmes."""
        return (channel.tvg_id or channel.id) if self.tvg_id == "source" else channel.id


def names_itself(lineup: str, delivery: str, plain_delivery: str) -> bool:
    """Whether the addresses of a lineup's streams must say its name (`?lineup=`) to be delivered as it delivers.

    Those of one that relays beside a `default` that relays never do, so that they stay what players know. All others
    do, also where both are alike: a change of `default` changes no address of theirs.
    """
    return lineup != DEFAULT and not delivery == plain_delivery == RELAY


def way_of(lineup: str, delivery: str, plain_delivery: str) -> str:
    """What the addresses of a lineup's streams end with, for good: nothing, or that they lead this lineup's way."""
    return f"?lineup={lineup}" if names_itself(lineup, delivery, plain_delivery) else ""


def tuners(asked: int | None, limits: Mapping[int, int | None]) -> int:
    """How many tuners a lineup shows: as asked for, else the connections its sources (id -> limit) allow together."""
    if asked is not None:
        return asked
    known = [limit for limit in limits.values() if limit is not None]
    return min(sum(known), MOST_TUNERS) if known and len(known) == len(limits) else DEFAULT_TUNERS
