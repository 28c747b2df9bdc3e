"""A stored day taken apart."""

from itertools import accumulate, pairwise

from epg_service.domain.days import StoredDay
from epg_service.domain.parts import parts_of


def bodies_of(day: StoredDay) -> list[bytes]:
    """A day's body cut into its parts."""
    ends = accumulate((part.body_bytes for part in parts_of(day.parts)), initial=0)
    return [day.body[begin:end] for begin, end in pairwise(ends)]
