"""Who watched what, when and how well: one value for each viewing that is over, and how viewings end. Pure."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Via(StrEnum):
    """How a stream reaches whoever asked for it."""

    TS = "ts"
    """One endless transport stream."""
    HLS = "hls"
    """A playlist and its segments."""
    INSIDE = "inside"
    """Not a person: the reader behind HLS output, ffmpeg of a profile, a probe."""


class End(StrEnum):
    """Why a viewing ended."""

    LEFT = "left"
    """The viewer closed the connection, or asked for no more segments."""
    STUCK = "stuck"
    """It took nothing for `stuck_s`."""
    TOO_SLOW = "too_slow"
    """It fell out of the ring again and again."""
    FAILED = "failed"
    """No stream of the channel worked any more."""
    SLOT_TAKEN = "slot_taken"
    """The connection to the provider was needed for somebody else, or for another channel of the same viewer."""
    SEAT_TAKEN = "seat_taken"
    """Another viewer of the same user took the place: the user may watch no more than so many at a time."""
    STOPPED = "stopped"
    """The service was stopped."""


@dataclass(frozen=True, slots=True)
class Course:
    """How a channel goes for whoever follows it: jumps, switches and slates so far, and what is in use now."""

    jumps: int = 0
    switches: int = 0
    slates: int = 0
    source_id: int | None = None
    stream_id: int | None = None

    def since(self, before: "Course") -> "Course":
        """What came about since then."""
        return replace(
            self,
            jumps=self.jumps - before.jumps,
            switches=self.switches - before.switches,
            slates=self.slates - before.slates,
        )


@dataclass(frozen=True, slots=True)
class Watched:
    """One viewing, from the first byte to its end.

    `profile`: through which the channel was watched, empty for none. `source_id`, `stream_id`: what was in use at the
    end, None when nothing was. `started_at`: epoch seconds. `wait_ms`: from asking to the first byte. `jumps`: how
    often the viewer fell out of the ring (of HLS: the reader behind it did, or the player asked for segments that had
    gone already). `switches`, `slates`: the channel's while it was watched.
    """

    channel_id: str
    channel: str
    lineup: str
    profile: str
    via: Via
    user: str
    address: str
    user_agent: str
    source_id: int | None
    stream_id: int | None
    started_at: int
    duration_s: int
    wait_ms: int
    bytes_sent: int
    jumps: int
    switches: int
    slates: int
    end: End
