"""How work that may wait is called from the process whose one loop carries the streams."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Call(Protocol):
    """Runs a function where it may wait on a lock or a disk, and returns what it returns; see `native.call`."""

    def __call__(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
