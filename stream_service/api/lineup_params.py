"""What requests about lineups carry, checked."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from servicekit.web import PageQuery, Shape
from stream_service.api.params import Number
from stream_service.domain.lineup import MOST_TUNERS
from stream_service.domain.numbering import canonical_number
from stream_service.domain.text import clean

MOST_RULES = 50
MAX_EXPRESSION_CHARS = 4_096


def _line(value: str) -> str:
    if clean(value) != value.strip() or not value.isprintable():
        raise ValueError("one line of text is needed")
    return value.strip()


def _number(value: str) -> str:
    number = canonical_number(value)
    if not number:
        raise ValueError("a channel number is 1 to 9999999, with at most one minor part such as 5.1")
    return number


def _logo(value: str) -> str:
    value = _line(value)
    if value and not value.startswith(("http://", "https://", "@logo:", "/logos/")):
        raise ValueError("an http(s) address, @logo:ID of an uploaded logo, or '' for none")
    return value


def _once(values: list[Any] | None) -> list[Any] | None:
    if values is not None and len(set(values)) < len(values):
        raise ValueError("each may stand there once")
    return values


Line = Annotated[str, Field(max_length=500), AfterValidator(_line)]
LineupName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$")]
Delivery = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,40}$")]
ChannelNumber = Annotated[str, Field(max_length=20), AfterValidator(_number)]
Output = Literal["m3u", "hdhr", "xtream"]
Expression = Annotated[str, Field(min_length=1, max_length=MAX_EXPRESSION_CHARS)]


class LineupPath(Shape):
    name: Annotated[str, Field(max_length=64)]


class LineupChannelPath(Shape):
    name: Annotated[str, Field(max_length=64)]
    channel_id: Annotated[str, Field(max_length=200)]


class NumberingShape(Shape):
    """How new channels get their numbers. A change gives all channels new ones, unless `keep_numbers` is sent too."""

    mode: Literal["preserve", "sequential", "group"] | None = Field(
        None,
        description="preserve: the provider's, else the next free one; sequential: the next free one; group: each "
        "group has a range of its own.",
    )
    first: Annotated[int, Field(ge=1, le=9_000_000)] | None = None
    range_size: Annotated[int, Field(ge=1, le=100_000)] | None = Field(None, description="Numbers of a group's range.")


class ChangedLineup(Shape):
    title: Line | None = None
    sources: Annotated[list[Number], AfterValidator(_once), Field(max_length=1_000)] | None = Field(
        None, description="Ids in the order of their rank; null: all that are enabled."
    )
    rules: bool | None = Field(None, description="Whether data mapping rules apply.")
    order: Literal["number", "name", "group", "source"] | None = None
    numbering: NumberingShape | None = None
    keep_numbers: bool = Field(False, description="With another numbering: channels that have a number keep it.")
    merge: Literal["off", "id", "name", "all"] | None = Field(
        None, description="What makes channels of different sources one: equal tvg-ids, equal names, both."
    )
    merge_rules: Annotated[list[Expression], Field(max_length=MOST_RULES)] | None = Field(
        None, description="Conditions; all entries that one of them matches are one channel, those of one source too."
    )
    outputs: Annotated[list[Output], AfterValidator(_once)] | None = Field(None, description="What is published.")
    tvg_id: Literal["own", "source"] | None = Field(
        None, description="Under which id clients look for programmes: ours, or the provider's for another guide."
    )
    catchup: bool | None = Field(None, description="Pass on the provider's catch-up attributes.")
    tuner_count: Annotated[int, Field(ge=1, le=MOST_TUNERS)] | None = Field(
        None, description="Tuners that are shown; null: as many as the sources allow connections."
    )
    logos: bool | None = Field(None, description="Serve logos from here.")
    delivery: Delivery | None = Field(
        None, description="How viewers get its channels: relay, redirect, or the name of a profile."
    )


class NewLineup(ChangedLineup):
    name: LineupName


class OverrideShape(Shape):
    """What is set of one channel; what is left out or null is the channel's own again."""

    number: ChannelNumber | None = None
    name: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_line)] | None = None
    logo: Annotated[str, Field(max_length=4_000), AfterValidator(_logo)] | None = None
    group: Line | None = None
    tvg_id: Line | None = None
    hidden: bool = False
    order: Annotated[int, Field(ge=0, le=9_999_999)] | None = Field(
        None, description="Channels that have one stand first, the lowest at the top."
    )


class LineupChannelsQuery(PageQuery):
    q: str = Field("", max_length=200, description="Part of the name, the whole number, or the whole id.")
    group: str | None = Field(None, max_length=500)
    sort: Literal["number", "name", "group", "order"] = "number"
    hidden: bool = Field(False, description="Hidden channels too.")
