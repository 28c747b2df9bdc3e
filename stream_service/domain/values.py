"""Values of which a hundred thousand are made at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

__all__ = ["many"]
T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import dataclass as many
else:

    def many(*, frozen: bool, slots: bool) -> Callable[[type[T]], type[T]]:
        """`dataclass` as the type checker sees it, which refuses changes; nothing does when the program runs.

        The constructor of a class that is frozen then too costs five times as much: 0.4 s of a build of 100,000.
        """
        return dataclass(slots=slots, unsafe_hash=frozen)
