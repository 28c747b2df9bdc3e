"""What keeps viewers while a channel's stream is away: its slate, joined in the ring to what they saw last."""

from stream_service.relay.joint import Joint
from stream_service.relay.mpegts import Scanner, program_of
from stream_service.relay.ring import Ring
from stream_service.relay.slate import SlatePlayer
from tvkit.mpegts_loop import LoopedStream

_CLOCK_BLOBS = 10


def joint_behind(ring: Ring) -> Joint:
    """A joint for what follows the ring's newest blobs: their clock goes on, their PIDs stay."""
    return Joint(program_of(ring.tables), behind=b"".join(ring.latest(_CLOCK_BLOBS)))


class Bridge:
    """A slate that runs from `began_s` on behind what `ring` holds."""

    def __init__(self, slate: LoopedStream, ring: Ring, *, began_s: float) -> None:
        self._player = SlatePlayer(slate, began_s=began_s)
        self._scanner = Scanner()
        self._joint = joint_behind(ring)

    def play(self, ring: Ring, now_s: float) -> bool:
        """Append the packets that are due; True when the ring has a new blob."""
        data = self._player.due(now_s)
        blob = self._scanner.feed(data) if data else None
        if blob is None:
            return False
        ring.append(self._joint.feed(blob), now_s)
        return True
