"""Fetches a provider's guide into a local file: from an address, or from the import directory."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servicekit.errors import BadAnswer, Invalid, NotFound
from servicekit.fetch import Fetcher, checked_url

PIECE_BYTES = 256 * 1024
TOTAL_LIMIT_S = 3600.0

Progress = Callable[[int, int | None], None]
"""Told the bytes so far and the bytes in all, where they are known; may raise to stop."""


@dataclass(frozen=True, slots=True)
class Validators:
    """How to ask whether a guide changed."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """A guide on the disk (`path` None: not changed since the validators), as it was sent, packed or not."""

    path: Path | None
    digest: str | None
    validators: Validators


class Feeds:
    """Opens the guides of providers."""

    def __init__(self, *, fetcher: Fetcher, import_dir: Path, work_dir: Path, max_bytes: int) -> None:
        self._fetcher = fetcher
        self._import_dir = import_dir
        self._work_dir = work_dir
        self._max_bytes = max_bytes

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
        digest, size = hashlib.blake2b(digest_size=16), path.stat().st_size
        with path.open("rb") as stream:
            while piece := stream.read(PIECE_BYTES):
                digest.update(piece)
        progress(size, size)
        return Feed(path, digest.hexdigest(), Validators())

    def _downloaded(self, address: str, validators: Validators, path: Path, progress: Progress) -> Feed:
        headers = {}
        if validators.etag:
            headers["If-None-Match"] = validators.etag
        if validators.last_modified:
            headers["If-Modified-Since"] = validators.last_modified
        with self._fetcher.open(
            address, headers=headers, typed=True, max_bytes=self._max_bytes, total_s=TOTAL_LIMIT_S
        ) as answer:
            if answer.status == 304:
                return Feed(None, None, validators)
            if answer.status != 200:
                raise BadAnswer(f"the provider answered {answer.status}; only 200 holds a guide", status=answer.status)
            length = answer.headers.get("Content-Length", "")
            total = int(length) if length.isascii() and length.isdigit() else None
            digest, done = hashlib.blake2b(digest_size=16), 0
            with path.open("wb") as stream:
                for piece in answer.chunks(PIECE_BYTES):
                    stream.write(piece)
                    digest.update(piece)
                    done += len(piece)
                    progress(done, total)
            if done == 0:
                raise BadAnswer("the provider sent an empty answer")
            found = Validators(answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
        return Feed(path, digest.hexdigest(), found)

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
