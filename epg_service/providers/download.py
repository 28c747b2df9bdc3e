"""One polite download: asks whether anything changed, tries again after a stumble, goes on where it broke off.

    ask (validators) > 304: nothing to do
                     > 200: write, hash > broke off > wait (growing, with jitter) > ask for the rest (Range, If-Range)

What is worth another try within the run: no answer, a break, 429 and 5xx; as long as some bytes come each time, else
three times in a row. A provider that asks for a longer pause than a run can wait is left alone: the error carries its
word, and the keeper comes back then.
"""

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import xxhash
from tenacity import RetryCallState, Retrying, retry_if_exception

from servicekit.errors import BadAnswer, Unreachable

if TYPE_CHECKING:  # what speaks HTTP is heavy, and a command that reads a file does without it
    from servicekit.fetch import Answer

PIECE_BYTES = 256 * 1024
TOTAL_LIMIT_S = 3600.0
VAIN_ATTEMPTS = 3
MOST_ATTEMPTS = 20
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
STEP_S = 0.2

Progress = Callable[[int, int | None], None]
"""Told the bytes so far and the bytes in all, where they are known; may raise to stop."""
Begun = Callable[[int | None], None]
Sleep = Callable[[float], None]

_log = logging.getLogger("download")


@dataclass(frozen=True, slots=True)
class Validators:
    """How to ask whether a guide changed."""

    etag: str | None = None
    last_modified: str | None = None

    def asking(self) -> dict[str, str]:
        """The headers of a conditional GET (RFC 9110, 13.1)."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value}

    def continuing(self) -> str | None:
        """What If-Range may say: a strong ETag, else the date (RFC 9110, 13.1.5)."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified


def digest_text(digest: str, size: int) -> str:
    """What is kept of a file to know it again: a file of another size needs no second look."""
    return f"{digest}-{size}"


def of_size(digest: str | None, size: int | None) -> bool:
    """Whether a file of this size may be the one of the digest."""
    return digest is not None and size is not None and digest.endswith(f"-{size}")


class WayOut(Protocol):
    """How a provider is asked; see `servicekit.fetch`."""

    def open(
        self, url: str, *, headers: Mapping[str, str], typed: bool, max_bytes: int, total_s: float
    ) -> "Answer": ...


class Download:
    """Fetches one address into one file; `run` may be called once."""

    def __init__(
        self,
        fetcher: WayOut,
        *,
        path: Path,
        max_bytes: int,
        progress: Progress,
        sleep: Sleep,
        begun: Begun = lambda total: None,
    ) -> None:
        """`begun` is told of each beginning of the file, with its bytes where they are known: another version may
        begin in the place of the first."""
        self._begun = begun
        self._fetcher = fetcher
        self._path = path
        self._max_bytes = max_bytes
        self._progress = progress
        self._sleep = sleep
        self._done = 0
        self._vain = 0
        self._total: int | None = None
        self._digest = xxhash.xxh3_128()
        self._found = Validators()

    def run(self, address: str, validators: Validators) -> tuple[str, Validators] | None:
        """The digest of the file and its validators; None when nothing changed since `validators`.

        Raises `Unreachable`, `BadAnswer` (with `retry_after_s` when the provider said one), `Refused`, `Invalid`.
        """
        tries = Retrying(
            stop=lambda state: self._vain >= VAIN_ATTEMPTS or state.attempt_number >= MOST_ATTEMPTS,
            retry=retry_if_exception(_worth_another_try),
            wait=self._pause_s,
            sleep=self._wait,
            reraise=True,
        )
        for attempt in tries:
            with attempt:
                before, self._vain = self._done, self._vain + 1
                try:
                    if not self._attempt(address, validators):
                        return None
                finally:
                    self._vain = 0 if self._done > before else self._vain
        if self._done == 0:
            raise BadAnswer("the provider sent an empty answer")
        return digest_text(self._digest.hexdigest(), self._done), self._found

    def _attempt(self, address: str, validators: Validators) -> bool:
        """One request; False on 304. What was written stays for the next attempt."""
        headers = validators.asking()
        if self._done and (condition := self._found.continuing()):
            headers = {"Range": f"bytes={self._done}-", "If-Range": condition}
        with self._fetcher.open(
            address, headers=headers, typed=True, max_bytes=self._max_bytes, total_s=TOTAL_LIMIT_S
        ) as answer:
            if answer.status == 304:
                return False
            self._begin(answer)
            with self._path.open("ab", buffering=0) as stream:  # others read it meanwhile
                for piece in self._pieces(answer):
                    self._keep(stream, piece)
        return True

    def _begin(self, answer: "Answer") -> None:
        """Goes on where it broke off when the answer is the rest of the same file; starts anew otherwise."""
        length = answer.headers.get("Content-Length", "")
        coming = int(length) if length.isascii() and length.isdigit() else None
        if answer.status == 206 and _first_byte(answer) == self._done > 0:
            _log.info("the download goes on at byte %d", self._done)
            self._total = None if coming is None else self._done + coming
            return
        if answer.status != 200:
            raise BadAnswer(f"the provider answered {answer.status}; only 200 holds a guide", status=answer.status)
        self._path.write_bytes(b"")
        self._done, self._total, self._digest = 0, coming, xxhash.xxh3_128()
        self._found = Validators(answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
        self._begun(coming)

    def _pieces(self, answer: "Answer") -> Iterator[bytes]:
        for piece in answer.chunks(PIECE_BYTES):
            if self._done + len(piece) > self._max_bytes:
                raise BadAnswer(f"the provider sent more than {self._max_bytes} bytes (fetch.max_bytes)")
            yield piece

    def _keep(self, stream: IO[bytes], piece: bytes) -> None:
        stream.write(piece)
        self._digest.update(piece)
        self._done += len(piece)
        self._progress(self._done, self._total)

    def _pause_s(self, state: RetryCallState) -> float:
        """Twice as long each vain time, with jitter, so that a crowd spreads; what the provider asked for at least."""
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, BadAnswer) and error.retry_after_s else 0
        longest: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** max(0, self._vain - 1))
        return max(asked_s, longest * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing

    def _wait(self, seconds: float) -> None:
        """Waits in small steps, so that whoever cancels the run is heard."""
        _log.info("the download stumbled; another try in %.1f s", seconds)
        while seconds > 0:
            self._progress(self._done, self._total)
            self._sleep(min(STEP_S, seconds))
            seconds -= STEP_S


def _worth_another_try(error: BaseException) -> bool:
    if isinstance(error, BadAnswer):
        later = error.retry_after_s
        return error.status in (429, 500, 502, 503, 504) and (later is None or later <= LONGEST_WAIT_S)
    return isinstance(error, Unreachable)


def _first_byte(answer: "Answer") -> int:
    """Where a 206 begins (`bytes 500-999/1000`); -1 when it does not say."""
    unit, _, span = answer.headers.get("Content-Range", "").partition(" ")
    first = span.partition("-")[0]
    return int(first) if unit == "bytes" and first.isascii() and first.isdigit() else -1
