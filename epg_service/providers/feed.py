"""Fetches a provider's guide into a local file: from an address, or from the import directory."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import xxhash

from epg_service.providers.download import PIECE_BYTES, Download, Progress, Sleep, Validators
from servicekit.errors import Invalid, NotFound
from servicekit.fetch import Fetcher, checked_url


@dataclass(frozen=True, slots=True)
class Feed:
    """A guide on the disk (`path` None: not changed since the validators), as it was sent, packed or not."""

    path: Path | None
    digest: str | None
    validators: Validators


class Feeds:
    """Opens the guides of providers."""

    def __init__(
        self, *, fetcher: Fetcher, import_dir: Path, work_dir: Path, max_bytes: int, sleep: Sleep = time.sleep
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
    def opened(self, address: str, validators: Validators, progress: Progress) -> Iterator[Feed]:
        """The guide behind `address`, in a temporary file that goes away with the block.

        Raises `Unreachable`, `BadAnswer`, `Refused`, `NotFound` (no such file), `Invalid`.
        """
        if not _is_address(address):
            yield self._local(address, progress)
            return
        self._work_dir.mkdir(parents=True, exist_ok=True)
        path = self._work_dir / f"feed-{time.time_ns()}"
        try:
            yield self._downloaded(address, validators, path, progress)
        finally:
            path.unlink(missing_ok=True)

    def upload_path(self, provider_id: int) -> Path:
        """Where a provider's uploaded file stands."""
        return self._import_dir / f"provider-{provider_id}.xmltv"

    def _local(self, name: str, progress: Progress) -> Feed:
        path = self._inside(name)
        if not path.is_file():
            raise NotFound(f"there is no file {name!r} in {self._import_dir}")
        digest, size = xxhash.xxh3_128(), path.stat().st_size
        with path.open("rb") as stream:
            while piece := stream.read(PIECE_BYTES):
                digest.update(piece)
        progress(size, size)
        return Feed(path, digest.hexdigest(), Validators())

    def _downloaded(self, address: str, validators: Validators, path: Path, progress: Progress) -> Feed:
        download = Download(self._fetcher, path=path, max_bytes=self._max_bytes, progress=progress, sleep=self._sleep)
        found = download.run(address, validators)
        return Feed(None, None, validators) if found is None else Feed(path, *found)

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
