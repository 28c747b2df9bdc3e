"""The states of a channel, and the moves between them.

Every move is logged with its reason, kept for people to read, and told to the hub:

    state       meaning                                          moves to
    idle        nothing is open; only a moment                   connecting
    connecting  nobody has had a byte: a stream is being opened, running (packets came), failed (the whole list in
                waits for its first packets, or the pause        vain), switching (the same, but a slate is to be
                before the next try runs                         shown), closing (nobody is left)
    running     packets come                                     stalled, switching (ended, bad), closing
    stalled     open, but silent for `stall_notice_s`            running, switching (silent for too long), closing
    switching   viewers have had bytes, the stream is lost: the  running, failed (nothing came for `slate_s`), closing
                next is sought, soon with a slate for viewers
    closing     no client is left; open for the grace            running, connecting, switching (a client came), idle
    failed      nothing works; viewers are refused, those who    connecting (a client came after the pause), idle
                are left are ended, until the pause is over
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """See the table above."""

    IDLE = "idle"
    CONNECTING = "connecting"
    RUNNING = "running"
    STALLED = "stalled"
    SWITCHING = "switching"
    CLOSING = "closing"
    FAILED = "failed"


MOVES: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.CONNECTING}),
    State.CONNECTING: frozenset({State.RUNNING, State.SWITCHING, State.FAILED, State.CLOSING}),
    State.RUNNING: frozenset({State.STALLED, State.SWITCHING, State.CLOSING}),
    State.STALLED: frozenset({State.RUNNING, State.SWITCHING, State.CLOSING}),
    State.SWITCHING: frozenset({State.RUNNING, State.FAILED, State.CLOSING}),
    State.CLOSING: frozenset({State.RUNNING, State.CONNECTING, State.SWITCHING, State.IDLE}),
    State.FAILED: frozenset({State.CONNECTING, State.IDLE}),
}


@dataclass(frozen=True, slots=True)
class Move:
    """A move that was made, `at_s` by the monotonic clock."""

    at_s: float
    before: State
    after: State
    reason: str
