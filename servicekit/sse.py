"""Server-sent events (WHATWG HTML, 9.2): what happens, told to whoever listens, over one endless answer each.

    look (while somebody listens) > publish > each listener's own queue > its answer

A listener that is slow loses nothing of others: its queue is bounded, and one that overflows ends, so that its browser
comes again and starts from the present state. Everything waits on `threading`, so under gevent nothing holds the loop;
`publish` never waits.
"""

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from flask import Response, request

from servicekit.errors import AerialError, Unavailable

HEARTBEAT_S = 15.0
MOST_LISTENERS = 50
BACKLOG_EVENTS = 512
COME_AGAIN_MS = 3_000
_HEARTBEAT = b": still here\n\n"
_log = logging.getLogger("events")


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its kind, what is said (anything JSON takes), and an id for `Last-Event-ID` where one is useful."""

    kind: str
    data: object
    id: str = ""

    def encoded(self) -> bytes:
        """As it goes over the wire: the JSON has no line breaks, so one data line holds it."""
        text = json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.kind}\ndata: {text}\n\n".encode("utf-8", "replace")


class Audience:
    """Everyone who listens to one stream of events.

    `look`: asked every `every_s` seconds, while somebody listens, for what happened since it was asked last; without
    it whoever knows calls `publish`. An `AerialError` of `look` is logged and the next turn asks again.
    """

    def __init__(
        self,
        *,
        look: Callable[[], Sequence[Event]] | None = None,
        every_s: float = 0.5,
        most: int = MOST_LISTENERS,
        heartbeat_s: float = HEARTBEAT_S,
        backlog: int = BACKLOG_EVENTS,
    ) -> None:
        self._look = look
        self._every_s = every_s
        self._most = most
        self._heartbeat_s = heartbeat_s
        self._backlog = backlog
        self._listeners: set[_Listener] = set()
        self._lock = threading.Lock()
        self._looking = False

    def __len__(self) -> int:
        return len(self._listeners)

    def publish(self, event: Event) -> None:
        """Tell everybody; returns at once."""
        with self._lock:
            listeners = list(self._listeners)
        if listeners:
            said = event.encoded()
            for one in listeners:
                one.tell(said)

    def join(self, first: Callable[[], Iterable[Event]]) -> Iterator[bytes]:
        """A new listener's bytes, with `close`; `first`: what it hears first, asked once it cannot miss what follows.

        Raises `Unavailable` when as many listen as may.
        """
        listener = _Listener(heartbeat_s=self._heartbeat_s, backlog=self._backlog, leave=self._leave)
        with self._lock:
            if len(self._listeners) >= self._most:
                raise Unavailable(f"{self._most} are listening already; ask for the snapshot instead", retry_after_s=30)
            self._listeners.add(listener)
        try:
            listener.begin(first())
        except BaseException:
            listener.close()
            raise
        self._start_looking()
        return listener

    def end(self) -> None:
        """Ends every answer: the service is going."""
        with self._lock:
            listeners = list(self._listeners)
        for one in listeners:
            one.stop()

    def _leave(self, listener: "_Listener") -> None:
        with self._lock:
            self._listeners.discard(listener)

    def _start_looking(self) -> None:
        with self._lock:
            if self._look is None or self._looking:
                return
            self._looking = True
        threading.Thread(target=self._watch, args=(self._look,), name="events", daemon=True).start()

    def _watch(self, look: Callable[[], Sequence[Event]]) -> None:
        pause = threading.Event()
        while True:
            with self._lock:
                if not self._listeners:
                    self._looking = False
                    return
            try:
                for event in look():
                    self.publish(event)
            except AerialError as error:
                _log.warning("the events of this turn are told later: %s", error.detail)
            except BaseException:
                self._looking = False
                raise
            pause.wait(self._every_s)


def event_stream(audience: Audience, first: Callable[[], Iterable[Event]] = tuple) -> Response:
    """The answer that tells `first()` and then all that `audience` hears, with a comment every 15 s of silence.

    Raises `Unavailable` when as many listen as may.
    """
    listener = audience.join(first) if request.method != "HEAD" else ()  # nobody iterates, or closes, a HEAD's body
    return Response(
        listener,
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        direct_passthrough=True,
    )


class _Listener(Iterator[bytes]):
    """One answer: an iterator that waits for the next event, or for the time of a heartbeat."""

    def __init__(self, *, heartbeat_s: float, backlog: int, leave: Callable[["_Listener"], None]) -> None:
        self._heartbeat_s = heartbeat_s
        self._backlog = backlog
        self._leave = leave
        self._told: deque[bytes] = deque()
        self._early: deque[bytes] = deque()
        self._open = True
        self._news = threading.Condition()

    def begin(self, first: Iterable[Event]) -> None:
        """What is heard before everything that was told since the listener joined."""
        hello = f"retry: {COME_AGAIN_MS}\n\n".encode()
        self._early.extend((hello, *(event.encoded() for event in first)))

    def tell(self, said: bytes) -> None:
        """Queue what was said; a listener that is too far behind ends."""
        with self._news:
            behind = len(self._told) >= self._backlog
            if behind:
                self._open = False
                self._told.clear()
            elif self._open:
                self._told.append(said)
            self._news.notify()
        if behind:
            self._leave(self)

    def stop(self) -> None:
        """End after what is queued."""
        with self._news:
            self._open = False
            self._news.notify()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._early:
            return self._early.popleft()
        with self._news:
            if not self._told and self._open:
                self._news.wait(self._heartbeat_s)
            if self._told:
                return self._told.popleft()
            if self._open:
                return _HEARTBEAT
        raise StopIteration

    def close(self) -> None:
        """The client went, or the answer ended."""
        self.stop()
        self._leave(self)
