"""Errands: what a request asks of the keeper, because it walks a playlist or waits for somebody else's server.

    web    ask > a row > look again and again, off the loop > the result, or the error as it was raised
    keeper look > a thread (four at most, one at a time of each kind) > the row's end

The loop that carries the streams neither computes nor waits for a lock meanwhile. Rows go when their answer was read;
those that nobody came for are swept after ten minutes.
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from servicekit import errors
from servicekit.clock import Clock
from servicekit.errors import AerialError, NotFound, TooLarge, Unavailable
from stream_service.domain.calls import Call
from stream_service.store.errands import ErrandQueue

LOOK_S = 0.2
WAIT_S = 30.0
LIMIT_S = 60.0
"""Longer than anyone waits: an errand that runs on is given up, its kind begins no other until it ends."""
AT_A_TIME = 4
KEPT_S = 600
SWEEP_S = 60.0
MAX_RESULT_BYTES = 1 << 20
_STEPS_S = (0.05, 0.05, 0.1, 0.1, 0.2)

_KINDS: Mapping[str, type[AerialError]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, AerialError)
}  # fmt: skip
_SAID_APART = ("retry_after_s",)
_FAULT = "fault"

_log = logging.getLogger("errands")

Handler = Callable[[Mapping[str, Any]], Mapping[str, object]]
"""Does an errand: parameters in, an answer for JSON out; raises errors of ours."""


class KeeperFault(Exception):
    """A handler of the keeper failed by a fault of ours."""


class Errands:
    """The asking side. `call` takes work with the database off the loop (`native.call`)."""

    def __init__(
        self, queue: ErrandQueue, *, call: Call, keeper_lives: Callable[[], bool], wait_s: float = WAIT_S
    ) -> None:
        self._queue = queue
        self._call = call
        self._keeper_lives = keeper_lives
        self._wait_s = wait_s

    def ask(self, kind: str, params: Mapping[str, object]) -> dict[str, Any]:
        """The keeper's answer. Raises what its handler raised, `KeeperFault` for a fault of ours in it, and
        `Unavailable` when it does not come in time.
        """
        if not self._keeper_lives():
            raise Unavailable("the keeper is not running, and this is for it to do; it is started again by itself")
        errand_id = self._call(self._queue.add, kind, params)
        end = time.monotonic() + self._wait_s
        steps = iter(_STEPS_S)
        while time.monotonic() < end:
            time.sleep(next(steps, _STEPS_S[-1]))
            if self._call(self._queue.status, errand_id) in ("done", "failed"):
                return self._answer(errand_id)
        self._call(self._queue.withdraw, errand_id)
        raise Unavailable(f"the keeper did not come to this within {self._wait_s:g} s; try again", retry_after_s=10)

    def _answer(self, errand_id: int) -> dict[str, Any]:
        ended = self._call(self._queue.get, errand_id)
        with contextlib.suppress(Unavailable):  # else it is swept
            self._call(self._queue.forget, errand_id)
        if ended.status == "failed":
            if ended.error.get("kind") == _FAULT:
                raise KeeperFault(f"{ended.error['detail']}; see the keeper's log")
            raise unpacked(ended.error)
        return dict(ended.result)


class ErrandRunner:
    """The answering side: `handlers` by kind, each called on a thread of the keeper."""

    def __init__(
        self, queue: ErrandQueue, *, handlers: Mapping[str, Handler], clock: Clock, limit_s: float = LIMIT_S
    ) -> None:
        self._queue = queue
        self._handlers = handlers
        self._clock = clock
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._running: dict[str, tuple[int, float]] = {}
        self._next_sweep = 0.0

    def start(self, stop: threading.Event) -> threading.Thread:
        """Look for errands on a thread until `stop`; returns the thread."""
        thread = threading.Thread(target=self._follow, args=(stop,), name="errands", daemon=True)
        thread.start()
        return thread

    def turn(self) -> None:
        """One look: begin what can begin, give up what takes too long."""
        for errand in self._queue.queued():
            if self._clock.now_s() - errand.asked_at > self._limit_s:
                self._queue.failed(errand.id, packed(Unavailable("nobody waits for this any more")))
            elif self._free(errand.kind) and self._queue.start(errand.id):
                with self._lock:
                    self._running[errand.kind] = (errand.id, self._clock.monotonic())
                arguments = (errand.id, errand.kind, errand.params)
                threading.Thread(target=self._do, args=arguments, name=f"errand-{errand.kind}", daemon=True).start()
        self._give_up()
        if self._clock.monotonic() >= self._next_sweep:
            self._next_sweep = self._clock.monotonic() + SWEEP_S
            self._queue.sweep(self._clock.now_s() - KEPT_S)

    def _follow(self, stop: threading.Event) -> None:
        self._tried(lambda: self._queue.cut_off(packed(Unavailable("the keeper was started anew; try again"))))
        while not stop.is_set():
            self._ended.wait(LOOK_S)  # what waits behind an errand of its kind begins when that has ended
            self._ended.clear()
            self._tried(self.turn)

    def _tried(self, work: Callable[[], object]) -> None:
        try:
            work()
        except AerialError as error:  # a locked database, mostly
            _log.warning("this look is left out: %s", error.detail)
        except Exception:  # noqa: BLE001 - logged whole; without this thread nobody would be answered any more
            _log.exception("this look failed")

    def _free(self, kind: str) -> bool:
        with self._lock:
            return kind not in self._running and len(self._running) < AT_A_TIME

    def _give_up(self) -> None:
        with self._lock:
            late = [
                (kind, ident)
                for kind, (ident, began) in self._running.items()
                if self._clock.monotonic() - began > self._limit_s
            ]
        for kind, ident in late:
            if self._queue.failed(ident, packed(Unavailable(f"this took over {self._limit_s:g} s and was given up"))):
                _log.warning("an errand (%s) took over %g s", kind, self._limit_s)

    def _do(self, errand_id: int, kind: str, params: Mapping[str, Any]) -> None:
        try:
            self._queue.done(errand_id, self._result(kind, params))
        except AerialError as error:
            self._queue.failed(errand_id, packed(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this errand, not the keeper; it is told whole
            _log.exception("the errand %s failed", kind)
            self._queue.failed(errand_id, {"kind": _FAULT, "detail": f"{kind}: {type(error).__name__}"})
        finally:
            with self._lock:
                self._running.pop(kind, None)
            self._ended.set()

    def _result(self, kind: str, params: Mapping[str, Any]) -> str:
        handler = self._handlers.get(kind)
        if handler is None:
            raise NotFound(f"the keeper knows no errand {kind!r}")
        text = json.dumps(handler(params), ensure_ascii=False, separators=(",", ":"))
        if len(text) > MAX_RESULT_BYTES:
            raise TooLarge(f"the answer has over {MAX_RESULT_BYTES} characters: ask for less")
        return text


def packed(error: AerialError) -> dict[str, object]:
    """An error as it travels: the nearest kind that both sides know, its words and extras."""
    kind = next(one.__name__ for one in type(error).__mro__ if one.__name__ in _KINDS)
    apart = {name: value for name in _SAID_APART if (value := getattr(error, name, None)) is not None}
    return {"kind": kind, "detail": error.detail, "extra": error.extra, "apart": apart}


def unpacked(told: Mapping[str, Any]) -> AerialError:
    """The error that `packed` made this of."""
    kind = _KINDS.get(str(told.get("kind")), AerialError)
    return kind(str(told.get("detail", "")), **told.get("extra", {}), **told.get("apart", {}))
