"""Channels typed by hand, as values: how two lists of them become one. Pure."""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

from stream_service.domain.model import Entry

LOGO = re.compile(r"(?:https?://\S+|@logo:[A-Za-z0-9._-]{1,200})?")


@dataclass(frozen=True, slots=True)
class TypedChannel:
    """A channel as it was typed. `id` is 0 for one that is new; `url` is '' for one that has no stream yet."""

    name: str
    url: str = ""
    id: int = 0
    enabled: bool = True
    tvg_id: str = ""
    tvg_name: str = ""
    group: str = ""
    number: str = ""
    logo: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


def typed_of(entry: Entry) -> TypedChannel:
    """An entry of an M3U list as if it had been typed."""
    return TypedChannel(
        name=entry.name,
        url=entry.url,
        tvg_id=entry.tvg_id,
        tvg_name=entry.tvg_name,
        group=entry.group,
        number=entry.number,
        logo=entry.logo,
        headers=entry.headers,
        attributes=entry.attributes,
    )


_RULES: tuple[Callable[[TypedChannel], Hashable | None], ...] = (
    lambda channel: channel.url or None,
    lambda channel: channel.tvg_id.casefold() or None,
    lambda channel: (channel.name.casefold(), channel.group.casefold()),
)


def merged(kept: Iterable[TypedChannel], brought: Iterable[TypedChannel]) -> list[TypedChannel]:
    """`kept` with what `brought` says of them, and those that are new behind.

    Two are the same channel by address, else by tvg-id, else by name and group, where that names exactly one.
    """
    channels = list(kept)
    known = [_Index(rule, channels) for rule in _RULES]
    for new in brought:
        place = next((found for index in known if (found := index.place_of(new)) is not None), None)
        if place is None:
            channels.append(new)
        else:
            channels[place] = _joined(channels[place], new)
    return channels


def _joined(old: TypedChannel, new: TypedChannel) -> TypedChannel:
    """What `new` says, and what only `old` knows."""
    return TypedChannel(
        name=new.name,
        url=new.url or old.url,
        id=old.id,
        enabled=old.enabled,
        tvg_id=new.tvg_id or old.tvg_id,
        tvg_name=new.tvg_name or old.tvg_name,
        group=new.group or old.group,
        number=new.number or old.number,
        logo=new.logo or old.logo,
        headers=new.headers or old.headers,
        attributes={**old.attributes, **new.attributes},
    )


class _Index:
    """Where the channels stand that were there, by what one rule compares; only what stands once is found, and once."""

    def __init__(self, rule: Callable[[TypedChannel], Hashable | None], channels: list[TypedChannel]) -> None:
        self._rule = rule
        self._places: dict[Hashable, int | None] = {}
        for place, one in enumerate(channels):
            key = rule(one)
            if key is not None:
                self._places[key] = None if key in self._places else place

    def place_of(self, new: TypedChannel) -> int | None:
        key = self._rule(new)
        return None if key is None else self._places.get(key)
