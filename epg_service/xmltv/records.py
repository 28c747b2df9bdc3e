"""What the XMLTV reader yields: light records, columns of programmes that carry their element's bytes unread."""

from dataclasses import dataclass
from typing import TypeAlias

OF_TV = (
    "date", "source-info-url", "source-info-name", "source-data-url", "generator-info-name", "generator-info-url",
)  # fmt: skip
"""The attributes of `<tv>` that the DTD knows."""


@dataclass(frozen=True, slots=True)
class Head:
    """The attributes of `<tv>`."""

    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class ChannelElement:
    """One `<channel>`: its trimmed id, its names as `(lang, name)`, its first icon, its addresses, its bytes."""

    id: str
    raw: bytes
    display_names: list[tuple[str | None, str]]
    icon: str | None
    urls: list[str]


@dataclass(frozen=True, slots=True)
class Batch:
    """Programmes of one channel that stand one after the other in the file, as columns of equal length.

    `starts` and `stops` are epoch seconds; a stop of 0 is missing or unreadable. `titles` are the first titles,
    blanks folded, "" when there is none. `raws` are the whole elements in UTF-8, each well formed by itself; `digests`
    and `flags` what names and describes each of them (see `domain.days`).
    """

    channel: str
    starts: list[int]
    stops: list[int]
    titles: list[str]
    raws: list[bytes]
    digests: list[int]
    flags: list[int]

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True)
class Stretch:
    """All programmes of a channel, where they stand one after the other: how many, and the digest of their bytes.

    Comes before the first item that belongs to another channel; not for every channel.
    """

    channel: str
    programmes: int
    length: int
    digest: int


@dataclass(frozen=True, slots=True)
class Same:
    """In the place of a channel's batches: its programmes stand in the file byte for byte as they were recalled."""

    channel: str
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class End:
    """The last item: whether `</tv>` was seen, and how many elements the file held, lost ones included."""

    complete: bool
    programmes: int
    channels: int


Item: TypeAlias = Head | ChannelElement | Batch | Stretch | Same | End
