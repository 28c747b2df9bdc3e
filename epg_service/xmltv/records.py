"""What the XMLTV reader yields: light records, columns of programmes that carry their element's bytes unread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from epg_service.domain.parts import InFile
from epg_service.domain.pieces import Cut

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
    and `flags` what names and describes each of them (see `domain.days`). Of those that are known titles are `UNREAD`,
    and elements empty where a whole part is. `gap`: what stands between elements of the file; None: not looked at.
    `cut`: the pieces of each (`domain.pieces`); empty where they were not cut.
    """

    channel: str
    starts: list[int]
    stops: list[int]
    titles: list[str]
    raws: list[bytes]
    digests: list[int]
    flags: list[int]
    gap: bytes | None = None
    cut: Sequence[Cut] = ()

    def __len__(self) -> int:
        return len(self.starts)


KnownRows: TypeAlias = tuple[Sequence[int], Sequence[int], Sequence[str], Sequence[bytes], Sequence[int], Sequence[int]]
"""Programmes that need not be read, as the columns of `Batch` from starts to flags."""


class KnownPart(NamedTuple):
    """Programmes of one channel that stood one behind the other in an earlier file, were proven and are stored."""

    in_file: InFile
    columns: KnownRows
    """As the file says; titles are `UNREAD`, elements empty."""

    @property
    def starts(self) -> Sequence[int]:
        """When they start."""
        return self.columns[0]

    @property
    def digests(self) -> Sequence[int]:
        """What names each of them."""
        return self.columns[4]

    def stretch(self, first: int, raws: Sequence[bytes]) -> KnownRows:
        """Some of them, their elements at hand."""
        rows = slice(first, first + len(raws))
        starts, stops, titles, _, digests, flags = self.columns
        return starts[rows], stops[rows], titles[rows], raws, digests[rows], flags[rows]


@dataclass(frozen=True, slots=True)
class End:
    """The last item: whether `</tv>` was seen, and how many elements the file held, lost ones included."""

    complete: bool
    programmes: int
    channels: int


Item: TypeAlias = Head | ChannelElement | Batch | End
