"""The stage of a build that gives channels their numbers and their place, with all that a person set of them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream_service.domain.lineup import LineupOptions, Order, Override
from stream_service.domain.model import LineupChannel, LineupStream
from stream_service.domain.numbering import Given, Wish, give_by_group, give_numbers, number_key
from stream_service.domain.values import many

_NOTHING = Override()


class Standing(Protocol):
    """What the lineup held before; see `store.lineup_channels`."""

    @property
    def numbers(self) -> Mapping[str, str]: ...
    @property
    def ranges(self) -> Mapping[str, Sequence[int]]: ...


@many(frozen=True, slots=True)
class Placed:
    """A channel with its permanent number and its place; `hidden` ones are known to the lineup but not published."""

    channel: LineupChannel
    number: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Numbered:
    """The channels in the order of the lineup; what was given just now."""

    placed: list[Placed]
    given: Given = field(default_factory=lambda: Given({}))


Channels = Mapping[str, Sequence[LineupStream]]


def numbered(
    channels: Channels,
    *,
    standing: Standing,
    overrides: Mapping[str, Override],
    options: LineupOptions,
    xtream_ids: Mapping[str, int],
    delivery: str,
) -> Numbered:
    """Number, place and dress up the channels: those with a number keep it, the others are given one."""
    given = _given(channels, standing, overrides, options)
    placed = []
    for ident, streams in channels.items():
        own = overrides.get(ident, _NOTHING)
        number = given.numbers.get(ident) or standing.numbers[ident]
        channel = _channel(ident, streams, own, own.number or number, xtream_ids[ident], delivery)
        placed.append(Placed(channel, number, own.hidden))
    return Numbered(_in_order(placed, options.order, overrides), given)


def _given(channels: Channels, standing: Standing, overrides: Mapping[str, Override], options: LineupOptions) -> Given:
    by_hand = {own.number: ident for ident, own in overrides.items() if own.number is not None}
    wishes = []
    for ident, streams in channels.items():
        number = standing.numbers.get(ident)
        if number is None or by_hand.get(number, ident) != ident:  # a person gave its number to another one
            own = overrides.get(ident, _NOTHING)
            group = streams[0].group if own.group is None else own.group
            wishes.append(Wish(ident, next((s.wanted_number for s in streams if s.wanted_number), ""), group))
    if not wishes:
        return Given({})
    wishes = _as_ordered(wishes, channels, options.order)
    taken = [*standing.numbers.values(), *by_hand]
    rule = options.numbering
    if rule.mode == "group":
        return give_by_group(wishes, taken, standing.ranges, first=rule.first, size=rule.range_size)
    return give_numbers(wishes, taken, first=rule.first, preserve=rule.mode == "preserve")


def _as_ordered(wishes: list[Wish], channels: Channels, order: Order) -> list[Wish]:
    """Numbers are given in the order that the lineup has, where that does not follow from the numbers themselves."""
    if order == "name":
        return sorted(wishes, key=lambda wish: channels[wish.channel_id][0].name.casefold())
    if order == "group":
        return sorted(wishes, key=lambda wish: wish.group.casefold())
    return wishes


def _channel(
    ident: str, streams: Sequence[LineupStream], own: Override, number: str, xtream_id: int, delivery: str
) -> LineupChannel:
    """A channel's texts are those of its first stream, where a person set none."""
    first = streams[0]
    return LineupChannel(
        ident,
        number,
        first.name if own.name is None else own.name,
        first.tvg_id if own.tvg_id is None else own.tvg_id,
        first.group if own.group is None else own.group,
        first.logo if own.logo is None else own.logo,
        first.attributes,
        (first.stream,) if len(streams) == 1 else tuple(stream.stream for stream in streams),
        delivery,
        xtream_id,
    )


def _in_order(placed: list[Placed], order: Order, overrides: Mapping[str, Override]) -> list[Placed]:
    if order == "number":
        placed.sort(key=lambda one: (number_key(one.channel.number), one.channel.id))
    elif order == "name":
        placed.sort(key=lambda one: (one.channel.name.casefold(), number_key(one.channel.number)))
    elif order == "group":
        placed.sort(key=lambda one: (one.channel.group.casefold(), number_key(one.channel.number)))
    first = {ident: own.order for ident, own in overrides.items() if own.order is not None}
    if first:
        placed.sort(key=lambda one: (one.channel.id not in first, first.get(one.channel.id, 0)))
    return placed
