"""Values that the rooms of the guide service share."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from epg_service.domain.pieces import Cut


class Readable(Protocol):
    """Something bytes are read from, piece by piece; an empty piece is the end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer at will."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Programmes of one channel as columns of equal length, in order of (start, ordinal).

    Times are epoch seconds; `ordinals` (0 to 7) tell programmes with one start apart; `raws` are whole XMLTV elements,
    `digests` and `flags` name and describe them (see `domain.days`; empty where nobody asks for them), as is `cut`, the
    pieces of each (see `domain.pieces`).
    """

    starts: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    ordinals: list[int] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    digests: list[int] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    cut: list[Cut] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int, int, str, bytes]]:
        return zip(self.starts, self.stops, self.ordinals, self.titles, self.raws, strict=True)

    def at(self, indexes: list[int]) -> "Rows":
        """These rows, in this order; the same object when that is all of them in their order."""
        if len(indexes) == len(self) and indexes == list(range(len(self))):
            return self
        columns = (self.starts, self.stops, self.ordinals, self.titles, self.raws, self.digests, self.flags, self.cut)
        return Rows(*([column[index] for index in indexes] if column else [] for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class GuideChannel:
    """A channel of the guide. `name` is its XMLTV id, which is unique in the guide.

    `ids` and `names` are those that all its `providers` gave it.
    """

    id: int
    name: str
    display_name: str
    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    providers: tuple[int, ...] = (0,)
