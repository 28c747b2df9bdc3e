"""Fetching logos, beside everything else: a few at a time, two of a host, hosts that do not answer aside.

    due addresses > fetch (limits, policy) > draw anew (a child) > shelf > noted, with the time to ask again
                                     └ reason > noted as gone or as trouble, with a growing pause

Nothing waits for it. When pictures came and no more are coming, the lineups are built again, once.
"""

import logging
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import AerialError, BadAnswer, Invalid, Unavailable, Unreachable
from servicekit.fetch import Answer
from stream_service.domain.logos import Due, Outcome
from stream_service.logos.drawing import MOST_BYTES, Drawing
from stream_service.logos.shelf import Shelf

AT_A_TIME = 8
OF_A_HOST = 2
MANY = 500
TOTAL_S = 20.0
CONNECT_S = 5.0
TURN_LIMIT_S = 60.0
LOOK_S = 0.25
AGAIN_S = 7 * 86_400
"""A picture that is there is asked for again, conditionally."""
GONE_AGAIN_S = 86_400
TROUBLE_AGAIN_S = 600
HOST_FAILURES = 3
HOST_REST_S = 60
LONGEST_PAUSE_S = 7 * 86_400
LONGEST_REST_S = 3600
WAITS_FOR_MORE_S = 2.0
TELL_EVERY_S = 60.0
TELL_RARELY_S = 900.0
UNUSED_S = 30 * 86_400
_NOT_MODIFIED = 304
_CLIENT_ERRORS = range(400, 500)
_PASSING = frozenset({408, 425, 429})

_log = logging.getLogger("logos")

Open = Callable[..., Answer]
"""Opens an address under the policy; see `servicekit.fetch.Fetcher.open`."""


class Store(Protocol):
    """What the fetching asks of the store; see `store.logos`."""

    def due(self, *, limit: int) -> Sequence[Due]: ...
    def note(self, url: str, outcome: Outcome) -> None: ...
    def rest(self, host: str, until: int) -> None: ...
    def forget(self, before: int) -> int: ...
    def pictures(self) -> set[str]: ...


class Fetching:
    """Brings what lineups miss. `changed` is called when pictures came; `wanted` names pictures to be drawn."""

    def __init__(
        self,
        *,
        store: Store,
        shelf: Shelf,
        drawing: Drawing,
        open_address: Open,
        wanted: Callable[[], Iterable[str]],
        changed: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._store = store
        self._shelf = shelf
        self._drawing = drawing
        self._open = open_address
        self._wanted = wanted
        self._clock = clock
        self._news = _News(changed, clock)
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter()
        """Failures of a host in a row."""
        self._undrawable: set[str] = set()
        self._resting: dict[str, float] = {}
        """Until when a host is left alone, by the monotonic clock."""

    def turn(self) -> int:
        """Draw and fetch what is wanted now, for a minute at most; returns how many new pictures came."""
        try:
            self._draw()
            due = self._store.due(limit=MANY)
            came = self._all(due) if due else 0
        finally:
            self._drawing.close()  # an idle child would keep its memory
        if len(due) < MANY:
            self._news.tell()
        return came

    def _draw(self) -> None:
        """The pictures of names; one that cannot be drawn is told of once."""
        for name in sorted(set(self._wanted()) - self._undrawable):
            if self._shelf.drawn(name):
                continue
            try:
                self._shelf.keep_drawn(name, self._drawing.initials(name).png)
            except AerialError as error:
                self._undrawable.add(name)
                _log.error("the initials %s cannot be drawn: %s", name, error.detail)

    def sweep(self) -> None:
        """Forget addresses that no lineup used for a month, and pictures that nothing leads to."""
        forgotten = self._store.forget(self._clock.now_s() - UNUSED_S)
        removed = self._shelf.sweep(self._store.pictures())
        if forgotten or removed:
            _log.info("swept %d addresses of logos and %d pictures", forgotten, removed)

    def _all(self, due: Sequence[Due]) -> int:
        """Fetches at most so many at a time and of a host; tells of new ones when it is quiet, or is done."""
        end_s, before = self._clock.monotonic() + TURN_LIMIT_S, self._news.total
        turn = _Turn(due, rests=self._rests)
        # Threads that nobody waits for when the process ends: a server that drips would hold it up.
        workers = [
            threading.Thread(target=self._work, args=(turn,), name=f"logo-{number}", daemon=True)
            for number in range(min(AT_A_TIME, len(due)))
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(LOOK_S)
                self._news.tell_if_quiet()
                if self._clock.monotonic() > end_s:
                    turn.begin_no_more()
        return self._news.total - before

    def _work(self, turn: "_Turn") -> None:
        while (one := turn.next()) is not None:
            try:
                self._news.came(self._one(one))
            except AerialError as error:  # a locked database, mostly: it is due the next time again
                _log.warning("what came of a logo could not be noted: %s", error.detail)
            finally:
                turn.ended(one)

    def _rests(self, host: str) -> bool:
        return self._resting.get(host, 0.0) > self._clock.monotonic()

    def _one(self, due: Due) -> bool:
        """One address; True when the lineup looks another way by it."""
        try:
            outcome = self._fetched(due)
            with self._lock:
                self._failures.pop(due.host, None)
        except (Unreachable, Unavailable) as error:
            outcome = self._trouble(due, error, None)
        except BadAnswer as error:
            gone = error.status in _CLIENT_ERRORS and error.status not in _PASSING
            outcome = self._gone(due, error) if gone else self._trouble(due, error, error.retry_after_s)
        except AerialError as error:  # no picture, or refused by the policy
            outcome = self._gone(due, error)
        self._store.note(due.url, outcome)
        if outcome.picture:
            return outcome.picture != due.picture
        return outcome.gone and not due.gone and not due.picture

    def _fetched(self, due: Due) -> Outcome:
        """Raises errors of ours when no picture comes."""
        validators = {"If-None-Match": due.etag, "If-Modified-Since": due.last_modified} if due.picture else {}
        headers = {"Accept-Encoding": "identity", "Accept": "image/*", **{k: v for k, v in validators.items() if v}}
        with self._open(
            due.url, headers=headers, typed=False, private_ok=due.private_ok,
            timeout_s=CONNECT_S, read_timeout_s=TOTAL_S, total_s=TOTAL_S, max_bytes=MOST_BYTES,
        ) as answer:  # fmt: skip
            later = self._clock.now_s() + AGAIN_S
            etag, modified = answer.headers.get("ETag", "")[:500], answer.headers.get("Last-Modified", "")[:100]
            if answer.status == _NOT_MODIFIED:
                return Outcome(picture=due.picture, due_at=later, etag=due.etag, last_modified=due.last_modified)
            data = _unpacked(b"".join(answer.chunks()))
        picture = self._shelf.keep(self._drawing.redraw(data).png)
        return Outcome(picture=picture, due_at=later, etag=etag, last_modified=modified)

    def _gone(self, due: Due, error: AerialError) -> Outcome:
        pause_s = min(GONE_AGAIN_S << min(due.failures, 3), LONGEST_PAUSE_S)
        return Outcome(
            due_at=self._clock.now_s() + pause_s, failures=due.failures + 1, gone=True, reason=error.detail[:500]
        )

    def _trouble(self, due: Due, error: AerialError, retry_after_s: int | None) -> Outcome:
        """The host gave no answer that says anything of the picture; after some of these it is left alone."""
        now_s = self._clock.now_s()
        with self._lock:
            self._failures[due.host] += 1
            rounds, rest = divmod(self._failures[due.host], HOST_FAILURES)
            if rest == 0:
                pause_s = min(HOST_REST_S << min(rounds - 1, 6), LONGEST_REST_S)
                self._resting[due.host] = self._clock.monotonic() + pause_s
                self._store.rest(due.host, now_s + pause_s)
                _log.info("%s: %d failures in a row, its logos wait %d s", due.host, self._failures[due.host], pause_s)
        pause_s = max(min(TROUBLE_AGAIN_S << min(due.failures, 8), 86_400), retry_after_s or 0)
        return Outcome(
            due_at=now_s + min(pause_s, LONGEST_PAUSE_S), failures=due.failures + 1, gone=due.gone,
            reason=error.detail[:500],
        )  # fmt: skip


class _Turn:
    """What is to be fetched in one turn, handed out to several threads: two of a host at a time, none that rests."""

    def __init__(self, due: Sequence[Due], *, rests: Callable[[str], bool]) -> None:
        self._waiting = list(due)
        self._rests = rests
        self._busy: Counter[str] = Counter()
        self._changed = threading.Condition()

    def next(self) -> Due | None:
        """The next one that can begin; waits for a host to be free. None: nothing is left to begin."""
        with self._changed:
            while True:
                self._waiting = [one for one in self._waiting if not self._rests(one.host)]
                if not self._waiting:
                    return None
                found = next((one for one in self._waiting if self._busy[one.host] < OF_A_HOST), None)
                if found is not None:
                    self._waiting.remove(found)
                    self._busy[found.host] += 1
                    return found
                self._changed.wait(LOOK_S)

    def ended(self, one: Due) -> None:
        """It came, or did not."""
        with self._changed:
            self._busy[one.host] -= 1
            self._changed.notify_all()

    def begin_no_more(self) -> None:
        """The turn is over but for what runs."""
        with self._changed:
            self._waiting = []
            self._changed.notify_all()


class _News:
    """Tells that pictures came: when no more came for a moment, or at the end.

    While they keep coming, as after the first import of a long list, it tells more and more rarely: all is built anew
    each time.
    """

    def __init__(self, changed: Callable[[], None], clock: Clock) -> None:
        self._changed = changed
        self._clock = clock
        self._lock = threading.Lock()
        self._untold = 0
        self._last_s = 0.0
        self._told_s = clock.monotonic()
        self._pause_s = TELL_EVERY_S
        self.total = 0

    def came(self, new: bool) -> None:
        """The outcome of one address."""
        if new:
            with self._lock:
                self._untold += 1
                self.total += 1
                self._last_s = self._clock.monotonic()

    def tell_if_quiet(self) -> None:
        """Tell, unless more are coming; in that case when it is long since."""
        now_s = self._clock.monotonic()
        if self._untold and now_s - self._last_s > WAITS_FOR_MORE_S:
            self.tell()
        elif self._untold and now_s - self._told_s > self._pause_s:
            pause_s = min(self._pause_s * 2, TELL_RARELY_S)
            self.tell()
            self._pause_s = pause_s

    def tell(self) -> None:
        """Tell, if there is anything."""
        with self._lock:
            untold, self._untold = self._untold, 0
        self._told_s, self._pause_s = self._clock.monotonic(), TELL_EVERY_S
        if untold:
            self._changed()


def _unpacked(data: bytes) -> bytes:
    """A picture that came packed though nobody asked for it (`.svgz`, a server that always does)."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    unpacking = zlib.decompressobj(31)
    try:
        found = unpacking.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise Invalid(f"it is packed and cannot be unpacked: {error}") from error
    if unpacking.unconsumed_tail:
        raise Invalid("unpacked it is too large")
    return found
