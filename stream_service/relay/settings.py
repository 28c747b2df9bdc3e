"""The relay's figures, with the defaults that were measured; wiring fills them from the configuration."""

from dataclasses import dataclass

from stream_service.domain.circuit import CircuitPolicy
from stream_service.domain.failover import FailoverPolicy


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What an operator may tune; every name carries its unit."""

    backlog_s: float = 5.0
    """How old a picture a joining client starts with, so that its player has a full buffer at once."""
    keyframe_interval_s: float = 3.0
    """The longest usual distance of keyframes: room in the ring for a start that lies between two of them."""
    lag_s: float = 5.0
    """How far a client may fall behind its starting distance before it jumps to the newest keyframe."""
    ring_max_bytes: int = 48 * 1024 * 1024
    """A channel's ring never holds more, whatever its bit rate."""
    tick_ms: int = 100
    """How often each channel is read and sent. Above 200 ms TCP restarts slowly after each pause."""
    turn_ms: int = 10
    """How often the wheel turns while somebody is behind; a tick's channels are spread over its turns."""
    connect_s: float = 5.0
    first_byte_s: float = 30.0
    """How long a new connection may stay without a packet, and how long a viewer waits for a channel to start; some
    kinds of addresses have a time of their own (`domain.failover.first_byte_s`)."""
    stall_notice_s: float = 3.0
    """Silence after which a running channel is called stalled."""
    stall_min_s: float = 4.0
    stall_s: float = 12.0
    """Silence after which the connection is given up: three times the stream's longest pause, between the two; the
    longer one until the pauses are known."""
    start_point_wait_s: float = 2.0
    """How long the first viewers wait for a keyframe once data flows; then they start where the ring starts."""
    grace_s: float = 10.0
    """How long the upstream stays open after the last client."""
    stable_s: float = 10.0
    """A connection that ran this long is opened again at once when it breaks; after a shorter one the next follows."""
    brief_s: float = 2.0
    """A connection that ran for less counts as a failure, and failures bring pauses."""
    backoff_min_s: float = 1.0
    backoff_max_s: float = 30.0
    """The pause after each vain pass over all addresses doubles from the one to the other."""
    slate_s: float = 60.0
    """How long viewers are kept, with a slate, while nothing works; then their streams end. 0: they end at once."""
    slate_after_s: float = 5.0
    """The slate comes when nothing has come for so long (a player's buffer is empty then), or after a vain pass."""
    slate_before_first_byte: bool = False
    """Show the slate also to viewers of a channel that never started, instead of refusing them."""
    breaker_failures: int = 5
    breaker_window_s: float = 300.0
    breaker_open_s: float = 30.0
    """So many failures of a stream or host within the window: nobody asks it for so long, then one tries."""
    slot_wait_s: float = 3.0
    """How long a connection may wait for the slot of one that is being given up."""
    preempt: bool = False
    """When an account has no free slot, take that of the channel with the least important viewers."""
    most_jumps: int = 5
    jumps_within_s: float = 60.0
    """A client that falls out of the ring so often within so long is dropped."""
    stuck_s: float = 30.0
    """A client that takes nothing for so long is dropped."""
    drain_s: float = 2.0
    """How long clients may take at shutdown to receive the rest of their packet."""

    @property
    def ring_span_s(self) -> float:
        """Seconds a ring holds: a client that is further behind than this has fallen out."""
        return self.backlog_s + self.keyframe_interval_s + self.lag_s

    @property
    def failover(self) -> FailoverPolicy:
        """The figures of the choice among streams."""
        return FailoverPolicy(
            stable_s=self.stable_s,
            brief_s=self.brief_s,
            backoff_min_s=self.backoff_min_s,
            backoff_max_s=self.backoff_max_s,
            stall_min_s=min(self.stall_min_s, self.stall_s),
            stall_max_s=self.stall_s,
        )

    @property
    def circuit(self) -> CircuitPolicy:
        """The figures of the breakers."""
        return CircuitPolicy(self.breaker_failures, self.breaker_window_s, self.breaker_open_s)
