"""What programmes are asked for."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from epg_service.domain.terms import Terms


@dataclass(frozen=True, slots=True)
class Wanted:
    """What programmes must have; None: anything. `words` are folded and stand somewhere in the title."""

    words: tuple[str, ...] = ()
    category: str | None = None
    new: bool | None = None
    premiere: bool | None = None

    @property
    def needs_elements(self) -> bool:
        """Whether the titles alone do not decide."""
        return not (self.category is None and self.new is None and self.premiere is None)

    def fits(self, *, categories: Collection[str], new: bool, premiere: bool) -> bool:
        """Whether a programme with these has what it must have; categories are compared without case."""
        if self.category is not None and self.category.casefold() not in {one.casefold() for one in categories}:
            return False
        return self.new in (None, new) and self.premiere in (None, premiere)


@dataclass(frozen=True, slots=True)
class Wish:
    """What to search for, and where; None: anywhere."""

    terms: Terms
    wanted: Wanted
    from_s: int
    to_s: int
    channel_ids: Sequence[int] | None = None
