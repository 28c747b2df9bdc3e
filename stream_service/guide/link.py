"""The link to the guide service: it gets our lineups, we get a copy of the guide it makes of them.

Nobody counts messages. Each side says by a digest what it has; what differs is sent again, so a restart, a restore or
a first start in any order needs no other rule. The guide service being away is no fault: the copy lives on.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import BinaryIO, Protocol

from isal import igzip

from servicekit.errors import AerialError, BadAnswer
from servicekit.fetch import Answer
from servicekit.files import atomic_file, atomic_write
from stream_service.guide.asking import Asking, internal_headers
from stream_service.lineups.publish import PublishedFiles
from stream_service.sources.unpack import unpacked

ANSWER_MAX_BYTES = 1 << 20
GUIDE_MAX_BYTES = 2 << 30
TIMEOUT_S = 10.0
PUT_TIMEOUT_S = 60.0

_log = logging.getLogger("guide_link")


class Lineup(Protocol):
    """A lineup as it was last published."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...


class GuideLink:
    """Keeps the guide service and the copies of its guides in step with the published lineups.

    `lineups` lists them with their digests, '' for one that was never built.
    """

    def __init__(
        self,
        *,
        asking: Asking,
        epg_url: str,
        secret: str,
        lineups: Callable[[], Sequence[Lineup]],
        files: PublishedFiles,
    ) -> None:
        self._asking = asking
        self._base = f"{epg_url}/internal/v1/lineups"
        self._activity = f"{epg_url}/internal/v1/activity"
        self._headers = internal_headers(secret)
        self._lineups = lineups
        self._files = files
        self._away = False

    def reconcile(self) -> bool:
        """Send what the guide service does not have, get what it has newer.

        True when both are in step; False when something was just sent or fetched, or the guide service cannot be asked.
        """
        in_step = True
        try:
            for lineup in self._lineups():
                if lineup.digest:
                    in_step = not self._send(lineup) and in_step
                    in_step = not self._get_guide(lineup.name) and in_step
        except (AerialError, OSError, ValueError) as error:
            said = error.detail if isinstance(error, AerialError) else str(error)
            _log.log(logging.DEBUG if self._away else logging.WARNING, "the guide service cannot be asked: %s", said)
            self._away = True
            return False
        if self._away:
            _log.info("the guide service answers again")
        self._away = False
        return in_step

    def forget(self, lineup: str) -> None:
        """Tell the guide service that a lineup has no channels any more; one that is away is not told again."""
        body = igzip.compress(b'{"digest":"gone","channels":[]}')
        headers = {**self._headers, "Content-Type": "application/json", "Content-Encoding": "gzip"}
        try:
            with self._asking.open(
                f"{self._base}/{lineup}", headers=headers, read_timeout_s=TIMEOUT_S, max_bytes=ANSWER_MAX_BYTES,
                method="PUT", body=body,
            ):  # fmt: skip
                _log.info("the guide service makes no guide of lineup %s any more", lineup)
        except (AerialError, OSError) as error:
            _log.warning("the guide service was not told that lineup %s is gone: %s", lineup, error)

    def importing(self) -> frozenset[int]:
        """The providers whose guides the guide service is importing; none when it cannot be asked."""
        try:
            with self._asking.open(
                self._activity, headers=self._headers, read_timeout_s=TIMEOUT_S, max_bytes=ANSWER_MAX_BYTES
            ) as answer:
                said = json.loads(_whole(answer))
            return frozenset(int(one["provider_id"]) for one in said["imports"])
        except (AerialError, OSError, ValueError, KeyError, TypeError) as error:
            _log.debug("what the guide service imports is not known: %s", error)
            return frozenset()

    def _send(self, lineup: Lineup) -> bool:
        """True when it had to be sent."""
        url = f"{self._base}/{lineup.name}"
        if self._digest_there(url) == lineup.digest:
            return False
        body = self._files.channels(lineup.name).read_bytes()
        headers = {**self._headers, "Content-Type": "application/json", "Content-Encoding": "gzip"}
        with self._asking.open(
            url, headers=headers, read_timeout_s=PUT_TIMEOUT_S, max_bytes=ANSWER_MAX_BYTES, method="PUT", body=body
        ):
            _log.info("lineup %s sent to the guide service (%d bytes)", lineup.name, len(body))
        return True

    def _digest_there(self, url: str) -> str:
        """The digest of what the guide service has; '' when it has nothing."""
        try:
            with self._asking.open(
                url, headers=self._headers, read_timeout_s=TIMEOUT_S, max_bytes=ANSWER_MAX_BYTES
            ) as answer:
                said = json.loads(_whole(answer))
        except BadAnswer as error:
            if error.status == 404:
                return ""
            raise
        return str(said.get("digest", "")) if isinstance(said, dict) else ""

    def _get_guide(self, lineup: str) -> bool:
        """Copy the lineup's guide if it is another than ours: packed as it came, and unpacked beside it; True then."""
        packed = self._files.guide(lineup, packed=True)
        tag_file = packed.with_name("epg.etag")
        headers = {**self._headers, "Accept-Encoding": "identity"}
        if packed.exists() and tag_file.exists():
            headers["If-None-Match"] = tag_file.read_text()
        try:
            with self._asking.open(
                f"{self._base}/{lineup}/guide.xml.gz",
                headers=headers,
                read_timeout_s=PUT_TIMEOUT_S,
                max_bytes=GUIDE_MAX_BYTES,
            ) as answer:
                if answer.status != 200:
                    return False
                tag_file.unlink(missing_ok=True)  # a copy that is cut off here is asked for whole the next time
                self._copy(answer, lineup)
                atomic_write(tag_file, answer.headers.get("ETag", "").encode())
        except BadAnswer as error:
            if error.status != 404:
                raise
            return False
        return True

    def _copy(self, answer: Answer, lineup: str) -> None:
        """Both forms of the guide, put in their places only when the whole of it came and unpacks."""
        plain, packed = self._files.guide(lineup, packed=False), self._files.guide(lineup, packed=True)
        with contextlib.ExitStack() as both:
            packed_file = both.enter_context(atomic_file(packed))
            plain_file = both.enter_context(atomic_file(plain))
            pieces = iter(partial(answer.read1, 1 << 18), b"")
            for text in unpacked(_written(pieces, packed_file), max_bytes=GUIDE_MAX_BYTES):
                plain_file.write(text)
        _log.info("guide of lineup %s copied (%d bytes)", lineup, plain.stat().st_size)


def _written(pieces: Iterator[bytes], to: BinaryIO) -> Iterator[bytes]:
    for piece in pieces:
        to.write(piece)
        yield piece


def _whole(answer: Answer) -> bytes:
    parts = []
    while piece := answer.read1(1 << 16):
        parts.append(piece)
    return b"".join(parts)
