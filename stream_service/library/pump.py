"""Files of providers to players: films, episodes, and broadcasts of the past. Each player has a connection of its own.

    seat (the user's limit) > slot (the account's limit) > connection, with the player's range > piece by piece

A file that breaks off goes on where it stopped. Nothing is kept ahead: the next piece is read when the player has taken
the last one. A slot is held as long as the connection is; a player that seeks opens a new connection before it closes
the old one, so its own old one makes room.
"""

import itertools
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from servicekit.clock import Clock
from servicekit.errors import AerialError, BadAnswer, Unavailable
from servicekit.redact import redact
from stream_service import native
from stream_service.domain.model import StreamAddress
from stream_service.domain.sending import Known, Player
from stream_service.domain.slots import Lease
from stream_service.relay.slots import RENEW_EVERY_S, Slots, account_of
from stream_service.relay.upstream import OpenAnswer

PIECE_BYTES = 128 * 1024
SLOT_WAIT_S = 5.0
SLOT_PAUSE_S = 0.1
RESUMES = 5
"""How often a file that breaks off is asked for the rest."""
RESUME_PAUSE_S = 0.5
MOST_KNOWN = 1_000
NO_SLOT = "no_slot"
NOT_SATISFIABLE = 416
PARTIAL = 206
_PASSED_ON = ("Content-Type", "Content-Length", "Content-Range", "Last-Modified", "ETag")
_RANGE = re.compile(r"bytes=(?:\d{1,18}-\d{0,18}|-\d{1,18})")
_TOTAL = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:(\d{1,18})|\*)")
_TEXTS = ("text/html", "text/plain", "application/json")
_log = logging.getLogger("library")

OpenRange = Callable[[StreamAddress, Mapping[str, str]], OpenAnswer]
"""Opens an address with headers more, redirects followed; raises `Refused`, `Unreachable`, `BadAnswer`, `Invalid`."""


class Enter(Protocol):
    """Takes a seat of a user's for a file; see `accounts.seats`."""

    def __call__(
        self, user: str, *, address: str, user_agent: str, end: Callable[[], object]
    ) -> Callable[[], None]: ...


def _nothing() -> None:
    """What is left to do where no seat was taken."""


@dataclass(eq=False, slots=True)
class Sending(Iterator[bytes]):
    """An open file: status and headers as the provider gave them, and its bytes; `close` ends it."""

    status: int
    headers: Mapping[str, str]
    player: Player
    lease: Lease
    number: int
    answer: OpenAnswer
    release: Callable[["Sending"], None]
    reopen: Callable[[str], OpenAnswer]
    """Asks for a range of the same file."""
    position: int
    """Of the next byte in the whole file."""
    end: int | None
    """Behind the last byte that was promised; None where no length was told."""
    leave: Callable[[], None] = _nothing
    tries: int = RESUMES
    ended: bool = field(default=False, init=False)

    def __next__(self) -> bytes:
        while not self.ended:
            time.sleep(0)  # everybody else's turn: a fast provider and a fast player would never let go of the loop
            if piece := self._read():
                self.position += len(piece)
                return piece
            if not self._went_on():
                break
        self.close()
        raise StopIteration

    def _read(self) -> bytes:
        """What comes next; nothing at the end, also at one that comes too early."""
        try:
            return self.answer.read1(PIECE_BYTES)
        except (AerialError, OSError, ValueError) as error:
            _log.info("a file broke off at byte %d: %s", self.position, redact(str(error)))
            return b""

    def _went_on(self) -> bool:
        """After a break: connect again for the rest, where the end is known; False when nothing more can be had."""
        while not self.ended and self.end is not None and self.position < self.end and self.tries:
            self.tries -= 1
            self.answer.close()
            try:
                answer = self.reopen(f"bytes={self.position}-{self.end - 1}")
            except AerialError as error:
                _log.info("the rest of a file does not come: %s", error.detail)
                time.sleep(RESUME_PAUSE_S * 2 ** (RESUMES - self.tries - 1))
                continue
            self.answer = answer
            if answer.status == PARTIAL and not self.ended:
                return True
            break
        return False

    def stop(self) -> None:
        """End it from elsewhere: whoever reads finds the end, the slot is free at once."""
        self.ended = True
        self.answer.shutdown()
        self.release(self)

    def close(self) -> None:
        """May be called twice."""
        self.ended = True
        self.answer.close()
        self.release(self)


class Pump:
    """Opens files. `free_unwatched` ends a channel that holds a slot of an account for nobody."""

    def __init__(
        self,
        *,
        open_range: OpenRange,
        slots: Slots,
        free_unwatched: Callable[[str], bool],
        clock: Clock,
        enter: Enter | None = None,
        slot_wait_s: float = SLOT_WAIT_S,
    ) -> None:
        self._open_range = open_range
        self._slots = slots
        self._free_unwatched = free_unwatched
        self._clock = clock
        self._enter = enter
        self._slot_wait_s = slot_wait_s
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: dict[int, Sending] = {}
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._renewing = False
        self._none_left = threading.Event()

    def open(self, address: StreamAddress, *, player: Player, asked_range: str = "") -> Sending:
        """The file, or the one range of it that was asked for (other ranges are passed over).

        Raises `Unavailable` (all connections of the account are in use: `code` is "no_slot"), `BadAnswer` (with the
        provider's status: 404, 416 …), `Unreachable`, `Refused`, `Invalid`.
        """
        lease = self._leased(address, player)
        try:
            answer = self._asked(address, asked_range)
        except BaseException:
            self._slots.release(lease)
            raise
        begin, end = _promised(answer)
        sending = Sending(
            status=answer.status,
            headers={name: answer.headers[name] for name in _PASSED_ON if name in answer.headers},
            player=player,
            lease=lease,
            number=next(self._numbers),
            answer=answer,
            release=self._ended,
            reopen=lambda rest: self._asked(address, rest),
            position=begin,
            end=end,
        )
        if self._enter is not None and player.user:
            sending.leave = self._enter(
                player.user, address=player.address, user_agent=player.user_agent, end=sending.stop
            )
        with self._lock:
            self._open[sending.number] = sending
            self._none_left.clear()
        self._remember(address, answer)
        self._keep_leases()
        return sending

    def look(self, address: StreamAddress) -> Known:
        """Length and type, for who asks before playing; from memory, else by one byte of the file when a slot is free.

        Nobody's stream ends for it: nothing is known when all connections are in use. Raises as `open`.
        """
        with self._lock:
            known = self._known.get(address.url)
        if known is not None:
            return known
        lease = self._slots.acquire(account_of(address), f"look {address.id}", limit=address.connection_limit)
        if lease is None:
            return Known(None, "")
        try:
            answer = self._asked(address, "bytes=0-0")
            answer.close()
            return self._remember(address, answer)
        finally:
            self._slots.release(lease)

    def sendings(self) -> list[Sending]:
        """What is being sent now."""
        with self._lock:
            return list(self._open.values())

    def end(self) -> None:
        """The service is stopping."""
        for one in self.sendings():
            one.stop()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _asked(self, address: StreamAddress, asked_range: str) -> OpenAnswer:
        headers = {"Range": asked_range} if _RANGE.fullmatch(asked_range) else {}
        answer = self._open_range(address, headers)
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind.endswith("mpegurl"):
            answer.close()
            raise BadAnswer(f"{redact(answer.url)} is a playlist of segments, which cannot be sent as one file")
        if answer.status not in (200, PARTIAL) or kind in _TEXTS:
            answer.close()
            raise BadAnswer(f"{redact(answer.url)} answered {answer.status} {kind}, which is no film", status=404)
        return answer

    def _remember(self, address: StreamAddress, answer: OpenAnswer) -> Known:
        said = answer.headers.get("Content-Range" if answer.status == PARTIAL else "Content-Length", "")
        total = _TOTAL.fullmatch(said)
        digits = (total[3] or "") if total else said
        known = Known(
            int(digits) if digits.isascii() and digits.isdigit() else None, answer.headers.get("Content-Type", "")
        )
        with self._lock:
            self._known[address.url] = known
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return known

    def _leased(self, address: StreamAddress, player: Player) -> Lease:
        account = account_of(address)
        until_s = self._clock.monotonic() + self._slot_wait_s
        while True:
            lease = self._slots.acquire(account, f"file {address.id}", limit=address.connection_limit)
            if lease is not None:
                return lease
            if self._end_own(account, player) or self._free_unwatched(account):
                continue
            if self._clock.monotonic() >= until_s:
                raise Unavailable(f"all {address.connection_limit} connections of the account are in use", code=NO_SLOT)
            time.sleep(SLOT_PAUSE_S)

    def _end_own(self, account: str, player: Player) -> bool:
        """End the oldest file that the same player has from the account; False when it has none."""
        with self._lock:
            own = [one for one in self._open.values() if one.player == player and one.lease.account == account]
        for one in own[:1]:
            one.stop()
        return bool(own)

    def _ended(self, sending: Sending) -> None:
        with self._lock:
            self._open.pop(sending.number, None)
            if not self._open:
                self._none_left.set()
        self._slots.release(sending.lease)
        sending.leave()

    def _keep_leases(self) -> None:
        with self._lock:
            if self._renewing:
                return
            self._renewing = True
        native.spawn(self._renew, name="library leases")

    def _renew(self) -> None:
        """While anything is sent: a paused film holds its connection, so it holds its slot."""
        while True:
            self._none_left.wait(RENEW_EVERY_S)
            with self._lock:
                sendings = list(self._open.values())
                if not sendings:
                    self._renewing = False
                    return
            for one in sendings:
                self._slots.renew(one.lease)


def _promised(answer: OpenAnswer) -> tuple[int, int | None]:
    """Where an answer begins in its file, and behind which byte it ends; None where it does not tell."""
    told = _TOTAL.fullmatch(answer.headers.get("Content-Range", "")) if answer.status == PARTIAL else None
    if told is not None:
        return int(told[1]), int(told[2]) + 1
    length = answer.headers.get("Content-Length", "")
    known = answer.status != PARTIAL and length.isascii() and length.isdigit()
    return 0, int(length) if known else None
