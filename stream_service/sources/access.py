"""How a source's list is got: from the address an administrator typed, or from a file in the import directory."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from servicekit.addresses import checked_url
from servicekit.errors import BadAnswer, Invalid
from servicekit.fetch import Fetcher
from stream_service.domain.entities import Source
from stream_service.domain.losses import Losses
from stream_service.sources.m3u import Playlist
from stream_service.sources.telling import Telling, Untold, percent_of
from stream_service.sources.unpack import unpacked

UNPACKED_FACTOR = 4
_CHUNK_BYTES = 262_144
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was got. `unchanged`: the provider says, or its bytes say, that it is the list of last time.

    `base_url`: where it came from after redirects, '' for a file. `private`: that address is private, or a file.
    `trusted`: nobody but the administrator can have made it shorter.
    """

    unchanged: bool
    base_url: str = ""
    etag: str | None = None
    last_modified: str | None = None
    digest: str | None = None
    private: bool = False
    body: Path | None = None
    max_bytes: int = 0
    trusted: bool = False

    def listing(self, losses: Losses, telling: Telling) -> Playlist:
        """The list, to be read once; raises `BadAnswer` when it cannot be."""
        return Playlist(self._chunks(telling), base_url=self.base_url, losses=losses)

    def _chunks(self, telling: Telling) -> Iterator[bytes]:
        if self.body is None:
            return
        size, done = self.body.stat().st_size, 0
        with self.body.open("rb") as stream:

            def counted() -> Iterator[bytes]:
                nonlocal done
                for chunk in _read(stream):
                    yield chunk
                    done += len(chunk)
                    telling.stage("reading", percent=percent_of(done, size))

            yield from unpacked(counted(), max_bytes=UNPACKED_FACTOR * self.max_bytes)


class Access:
    """Gets lists within limits. The body goes to a file first: the provider's connection is never held by our work."""

    def __init__(
        self, *, fetcher: Fetcher, import_dir: Path, spool_dir: Path, max_bytes: int, total_s: float = 3600
    ) -> None:
        self._fetcher = fetcher
        self._import_dir = import_dir
        self._spool_dir = spool_dir
        self.max_bytes = max_bytes
        self._total_s = total_s

    def check_address(self, url: str) -> None:
        """Raises `Invalid` unless `url` is an http(s) address or a file name that stays in the import directory."""
        if _ADDRESS.match(url):
            checked_url(url)
        else:
            self._file(url)

    @contextlib.contextmanager
    def get(self, source: Source, *, force: bool = False, telling: Telling | None = None) -> Iterator[Fetched]:
        """The source's list while the block runs. `force`: whole, whatever was got last time.

        Raises `Invalid`, `Refused`, `Unreachable`, `BadAnswer`.
        """
        telling = telling or Untold()
        if not _ADDRESS.match(source.url):
            yield self._from_file(source, force=force)
            return
        self._spool_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._spool_dir, prefix="list-") as spool:
            yield self._from_address(source, spool, Path(spool.name), force=force, telling=telling)  # type: ignore[arg-type]

    def _from_file(self, source: Source, *, force: bool) -> Fetched:
        path = self._file(source.url)
        if not path.is_file():
            raise Invalid(f"there is no file {source.url!r} in the import directory {self._import_dir}")
        with path.open("rb") as stream:
            digest = _digest(_read(stream))
        same = not force and digest == source.good.digest
        return Fetched(unchanged=same, digest=digest, private=True, body=path, max_bytes=self.max_bytes)

    def _from_address(self, source: Source, spool: BinaryIO, path: Path, *, force: bool, telling: Telling) -> Fetched:
        good = source.good
        headers = {**({"User-Agent": source.user_agent} if source.user_agent else {}), **source.headers}
        if not force and good.digest:
            headers |= {"If-None-Match": good.etag} if good.etag else {}
            headers |= {"If-Modified-Since": good.last_modified} if good.last_modified else {}
        with self._fetcher.open(
            source.url,
            headers=headers,
            typed=True,
            timeout_s=source.timeouts.get("connect_s"),
            read_timeout_s=source.timeouts.get("read_s"),
            max_bytes=self.max_bytes,
            total_s=source.timeouts.get("total_s", self._total_s),
        ) as answer:
            if answer.status == 304:
                return Fetched(unchanged=True, private=answer.private)
            if answer.status != 200:
                raise BadAnswer(f"the provider answered {answer.status}; only 200 holds a list", status=answer.status)
            digest, done, size = blake2b(digest_size=16), 0, answer.left_bytes
            for chunk in answer.chunks(_CHUNK_BYTES):
                digest.update(chunk)
                spool.write(chunk)
                done += len(chunk)
                telling.stage("fetching", percent=percent_of(done, size), bytes=done)
            spool.flush()
            return Fetched(
                unchanged=not force and digest.hexdigest() == good.digest,
                base_url=answer.url,
                etag=answer.headers.get("ETag"),
                last_modified=answer.headers.get("Last-Modified"),
                digest=digest.hexdigest(),
                private=answer.private,
                body=path,
                max_bytes=self.max_bytes,
            )

    def _file(self, name: str) -> Path:
        if not name.strip() or "\0" in name:
            raise Invalid("url: an http(s) address or the name of a file in the import directory is needed")
        root = self._import_dir.resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root) or path == root:
            raise Invalid(f"url: {name!r} leads out of the import directory {self._import_dir}")
        return path


def _read(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _digest(chunks: Iterator[bytes]) -> str:
    digest = blake2b(digest_size=16)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
