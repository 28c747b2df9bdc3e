"""The types of sources: one entry each. A type is a way to get a list and a reader of it; nothing else differs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import Invalid
from servicekit.fetch import Fetcher
from stream_service.domain.entities import Source
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.domain.titles import Episode, Title
from stream_service.domain.typed import TypedChannel
from stream_service.sources.access import Access
from stream_service.sources.manual import TypedAccess
from stream_service.sources.panel import Panels
from stream_service.sources.telling import Telling


class Listing(Protocol):
    """A list that is being read: iterate it once, then ask what it said besides."""

    guide_urls: tuple[str, ...]
    encoding: str

    def __iter__(self) -> Iterator[Entry | Title | Episode]: ...


class Fetched(Protocol):
    """What was got of a source, while it is open.

    `unchanged`: it is what was got last time. `private`: it came from a private address, or from nowhere. `trusted`:
    only the administrator can have made it shorter, so its length needs no verdict.
    """

    @property
    def unchanged(self) -> bool: ...
    @property
    def private(self) -> bool: ...
    @property
    def trusted(self) -> bool: ...
    @property
    def etag(self) -> str | None: ...
    @property
    def last_modified(self) -> str | None: ...
    @property
    def digest(self) -> str | None: ...
    def listing(self, losses: Losses, telling: Telling) -> Listing: ...


class Getting(Protocol):
    """A way to get lists."""

    def check_address(self, url: str) -> None:
        """Raises `Invalid` for an address that no source of this type may have."""
        ...

    def get(
        self, source: Source, *, force: bool = False, telling: Telling | None = None
    ) -> AbstractContextManager[Fetched]:
        """The source's list while the block runs; raises errors of ours."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the ways to get lists are made of."""

    fetcher: Fetcher
    import_dir: Path
    spool_dir: Path
    max_bytes: int
    clock: Clock
    typed_channels: Callable[[int], Sequence[TypedChannel]]


def _m3u(tools: Tools) -> Getting:
    return Access(
        fetcher=tools.fetcher, import_dir=tools.import_dir, spool_dir=tools.spool_dir, max_bytes=tools.max_bytes
    )


def _xtream(tools: Tools) -> Panels:
    return Panels(fetcher=tools.fetcher, spool_dir=tools.spool_dir, max_bytes=tools.max_bytes, clock=tools.clock)


def _manual(tools: Tools) -> Getting:
    return TypedAccess(tools.typed_channels)


SOURCE_TYPES: Mapping[str, Callable[[Tools], Getting]] = {"m3u": _m3u, "xtream": _xtream, "manual": _manual}


class Ways:
    """Every way to get lists, made once: panels are asked by one of it only, which keeps its requests apart."""

    def __init__(self, tools: Tools) -> None:
        self.panels = _xtream(tools)
        self._ways = {kind: make(tools) for kind, make in SOURCE_TYPES.items()} | {"xtream": self.panels}

    def check_address(self, url: str, kind: str = "m3u") -> None:
        """Raises `Invalid` for an address that no source of that type may have."""
        self._way(kind).check_address(url)

    def get(
        self, source: Source, *, force: bool = False, telling: Telling | None = None
    ) -> AbstractContextManager[Fetched]:
        """The source's list while the block runs; raises errors of ours."""
        return self._way(source.type).get(source, force=force, telling=telling)

    def _way(self, kind: str) -> Getting:
        if kind not in self._ways:
            raise Invalid(f"type: {', '.join(self._ways)} are the types of sources, not {kind!r}")
        return self._ways[kind]
