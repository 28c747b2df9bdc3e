"""Fetches a provider's guide into a local file: from an address, or from the import directory."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Protocol

import xxhash

from epg_service.providers.arriving import Arriving, Following
from epg_service.providers.download import (
    PIECE_BYTES,
    Begun,
    Download,
    Progress,
    Sleep,
    Validators,
    WayOut,
    digest_text,
    of_size,
)
from servicekit.addresses import checked_url
from servicekit.errors import Invalid, NotFound


class Source(Protocol):
    """A feed's bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, all without a size; b"" at the end."""

    def tell(self) -> int:
        """How many were read."""


class Feed(Protocol):
    """A provider's guide as it was sent, packed or not; it may still be on its way."""

    @property
    def unchanged(self) -> bool:
        """Whether it is the one that is known: then it is not to be read."""

    @property
    def size(self) -> int | None:
        """Its bytes, as far as that is known."""

    @property
    def digest(self) -> str | None:
        """Names its content; to be asked when it was read."""

    @property
    def validators(self) -> Validators:
        """How to ask whether it changed; to be asked when it was read."""

    def open(self) -> AbstractContextManager[Source]:
        """Its bytes from the beginning, as often as asked. Reading raises what a download ended with, and
        `StartedAnew`."""


class LocalFeed:
    """A file that is there."""

    def __init__(self, path: Path, known: str | None) -> None:
        self._path = path
        self._digest = ""
        self.size = path.stat().st_size
        self.validators = Validators()
        self.unchanged = of_size(known, self.size) and self.digest == known

    @property
    def digest(self) -> str:
        """Names its content."""
        if not self._digest:
            with self.open():
                pass
        return self._digest

    @contextmanager
    def open(self) -> Iterator["_Digesting"]:
        """Its bytes from the beginning; the first time their digest is found on the way."""
        with self._path.open("rb") as stream:
            read = _Digesting(stream)
            yield read
            self._digest = self._digest or read.rest()


class _Digesting:
    """A stream, and the digest of what was read of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = xxhash.xxh3_128()
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        piece = self._stream.read(size)
        self._digest.update(piece)
        self._position += len(piece)
        return piece

    def tell(self) -> int:
        return self._position

    def rest(self) -> str:
        """The digest of all of it, what was not read included."""
        while self.read(PIECE_BYTES):
            pass
        return digest_text(self._digest.hexdigest(), self._position)


class DownloadedFeed:
    """A file that arrives while it is read; one that may be the known one is waited for, to be left unread."""

    def __init__(self, arriving: Arriving, path: Path, known: str | None) -> None:
        self._arriving = arriving
        self._path = path
        arriving.start()
        if of_size(known, arriving.total):
            arriving.whole()
        told = arriving.result
        self.unchanged = arriving.ended and not arriving.is_part and (told is None or told[0] == known)

    @property
    def size(self) -> int | None:
        """What the provider said it would send."""
        return self._arriving.total

    @property
    def digest(self) -> str | None:
        """Names its content; waits for the end."""
        self._arriving.whole()
        return self._arriving.result[0] if self._arriving.result else None

    @property
    def validators(self) -> Validators:
        """What the provider said."""
        self._arriving.whole()
        return self._arriving.result[1] if self._arriving.result else Validators()

    def open(self) -> Following:
        """Its bytes from the beginning, as they arrive."""
        return Following(self._arriving, self._path)


class Feeds:
    """Opens the guides of providers."""

    def __init__(
        self, *, fetcher: WayOut, import_dir: Path, work_dir: Path, max_bytes: int, sleep: Sleep = time.sleep
    ) -> None:
        self._fetcher = fetcher
        self._import_dir = import_dir
        self._work_dir = work_dir
        self._max_bytes = max_bytes
        self._sleep = sleep

    def check(self, address: str) -> str:
        """The address itself when it can be one of a guide; raises `Invalid`."""
        if _is_address(address):
            return checked_url(address)
        self._inside(address)
        return address

    @contextmanager
    def opened(
        self,
        address: str,
        validators: Validators,
        progress: Progress,
        *,
        known: str | None = None,
        part_will_do: bool = False,
    ) -> Iterator[Feed]:
        """The guide behind `address`; a download goes into a temporary file that goes away with the block.

        `known`: the digest of the last good file. `part_will_do`: there is none, so what came of a download that breaks
        off for good is better than nothing. `progress` hears of a download while somebody waits for it, and may raise.
        Raises `Unreachable`, `BadAnswer`, `Refused`, `NotFound` (no such file), `Invalid`.
        """
        if not _is_address(address):
            yield self._local(address, known)
            return
        self._work_dir.mkdir(parents=True, exist_ok=True)
        path = self._work_dir / f"feed-{time.time_ns()}"
        arriving = Arriving(
            partial(self._download, address, validators, path), waiting=progress, part_will_do=part_will_do
        )
        try:
            yield DownloadedFeed(arriving, path, known)
        finally:
            arriving.leave()
            path.unlink(missing_ok=True)

    def upload_path(self, provider_id: int) -> Path:
        """Where a provider's uploaded file stands."""
        return self._import_dir / f"provider-{provider_id}.xmltv"

    def _local(self, name: str, known: str | None) -> LocalFeed:
        path = self._inside(name)
        if not path.is_file():
            raise NotFound(f"there is no file {name!r} in {self._import_dir}")
        return LocalFeed(path, known)

    def _download(
        self, address: str, validators: Validators, path: Path, progress: Progress, begun: Begun
    ) -> tuple[str, Validators] | None:
        download = Download(
            self._fetcher, path=path, max_bytes=self._max_bytes, progress=progress, sleep=self._sleep, begun=begun
        )
        return download.run(address, validators)

    def _inside(self, name: str) -> Path:
        """The path of a bare file name in the import directory; anything that leads out of it is refused."""
        if not name or "\0" in name or len(name) > 255:
            raise Invalid("xmltv_url: an http(s) address, or the name of a file in the import directory, is needed")
        path = (self._import_dir / name).resolve()
        if not path.is_relative_to(self._import_dir.resolve()) or path == self._import_dir.resolve():
            raise Invalid(f"xmltv_url: {name!r} is not inside the import directory {self._import_dir}")
        return path


def _is_address(text: str) -> bool:
    """Whether this is meant as an address and no file name; `checked_url` tells what is wrong with it."""
    return "://" in text or text.partition(":")[0].lower() in ("http", "https")
