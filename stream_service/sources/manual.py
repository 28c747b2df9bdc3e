"""Channels typed by hand: rows in, entries out, and as an M3U list for taking away.

A channel has a permanent id of its own, so whatever is changed of it, it is the same stream.
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b

from stream_service.domain.entities import Source
from stream_service.domain.losses import Losses
from stream_service.domain.model import Entry
from stream_service.domain.numbering import canonical_number
from stream_service.domain.text import clean
from stream_service.domain.typed import TypedChannel
from stream_service.sources.telling import Telling


@dataclass(frozen=True, slots=True)
class TypedFetched:
    """The channels as they stand in the store."""

    unchanged: bool
    digest: str
    channels: Sequence[TypedChannel]
    private: bool = True
    etag: str | None = None
    last_modified: str | None = None
    trusted: bool = True

    def listing(self, losses: Losses, telling: Telling) -> "TypedListing":
        """Their list, to be read once."""
        return TypedListing(self.channels, losses)


class TypedAccess:
    """Gets what was typed. `channels`: those of a source by its id."""

    def __init__(self, channels: Callable[[int], Sequence[TypedChannel]]) -> None:
        self._channels = channels

    def check_address(self, url: str) -> None:
        """A manual source has no address of its own; whatever stands there is a note of its owner's."""

    @contextlib.contextmanager
    def get(self, source: Source, *, force: bool = False, telling: Telling | None = None) -> Iterator[TypedFetched]:
        """The source's channels."""
        channels = self._channels(source.id)
        said = json.dumps([asdict(one) for one in channels], sort_keys=True)
        digest = blake2b(said.encode("utf-8", "replace"), digest_size=16).hexdigest()
        yield TypedFetched(not force and digest == source.good.digest, digest, channels)


@dataclass(slots=True)
class TypedListing:
    """The enabled channels of a source, being read."""

    channels: Iterable[TypedChannel]
    losses: Losses
    guide_urls: tuple[str, ...] = ()
    encoding: str = "utf-8"

    def __iter__(self) -> Iterator[Entry]:
        for one in self.channels:
            if not one.enabled:
                self.losses.note("switched_off", one.name)
                continue
            yield Entry(
                url=one.url,
                name=one.name,
                tvg_id=one.tvg_id,
                tvg_name=one.tvg_name,
                logo=one.logo,
                group=one.group,
                number=canonical_number(one.number),
                provider_id=f"manual:{one.id}",
                headers=one.headers,
                attributes=one.attributes,
            )


def written(channels: Iterable[TypedChannel]) -> str:
    """The channels as an M3U list that can be read back: all of them, in their order."""
    return "#EXTM3U\n" + "".join(_written(one) for one in channels)


def _written(one: TypedChannel) -> str:
    said = {
        "tvg-id": one.tvg_id, "tvg-name": one.tvg_name, "tvg-logo": one.logo, "group-title": one.group,
        "tvg-chno": one.number, **one.attributes,
    }  # fmt: skip
    attributes = "".join(f' {key}="{_value(value)}"' for key, value in said.items() if value)
    options = "".join(f"#EXTVLCOPT:http-{_OPTIONS[k.lower()]}={_value(v)}\n" for k, v in one.headers.items()
                      if k.lower() in _OPTIONS)  # fmt: skip
    return f"#EXTINF:-1{attributes},{clean(one.name)}\n{options}{one.url or '# no address yet'}\n"


_OPTIONS = {"user-agent": "user-agent", "referer": "referrer", "origin": "origin"}


def _value(text: str) -> str:
    return clean(text).replace('"', "'")
