"""The types of sources: one entry each. A type reads what was fetched and yields entries; nothing else differs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.sources.m3u import Playlist


class Listing(Protocol):
    """A list that is being read: iterate it once, then ask what it said besides."""

    guide_urls: tuple[str, ...]
    encoding: str

    def __iter__(self) -> Iterator[Entry]: ...


Reader = Callable[[Iterable[bytes], str, Losses], Listing]
"""(chunks, the address they came from, where to count losses) -> the list."""


def _m3u(chunks: Iterable[bytes], base_url: str, losses: Losses) -> Listing:
    return Playlist(chunks, base_url=base_url, losses=losses)


SOURCE_TYPES: Mapping[str, Reader] = {"m3u": _m3u}
