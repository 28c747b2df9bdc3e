"""After an import: holds the provider's times against those of other providers of the same channels, and tells."""

import logging
from collections.abc import Iterator, Mapping
from typing import Protocol

from epg_service.domain.entities import Listing, Mapped, Provider, Run
from epg_service.domain.shift import Shift, Starts, shift_between
from servicekit.clock import Clock
from servicekit.notify import Notifier

SPAN_S = 36 * 3600
MOST_CHANNELS = 200
_log = logging.getLogger("times")


class Mappings(Protocol):
    """Which providers have a channel."""

    def shared(self, provider_id: int, limit: int) -> list[int]: ...
    def mappings(self, channel_id: int) -> list[Mapped]: ...


class Windows(Protocol):
    """What a provider has of a channel."""

    def window(self, mapped: Mapped, from_s: int, to_s: int) -> list[Listing]: ...


class Log(Protocol):
    """The run's row."""

    def annotate(self, run_id: int, more: Mapping[str, object]) -> None: ...


class TimesWatch:
    """Looks at one provider at a time; a shift is told in the run's report and as an event, never mended in silence."""

    def __init__(self, *, mappings: Mappings, programs: Windows, log: Log, clock: Clock, notifier: Notifier) -> None:
        self._mappings = mappings
        self._programs = programs
        self._log = log
        self._clock = clock
        self._notifier = notifier

    def look(self, run: Run, provider: Provider) -> Shift | None:
        """Tells whether the provider's times look shifted against the other providers'."""
        shift = shift_between(self._common(provider))
        if shift is None:
            return None
        self._log.annotate(
            run.id,
            {"times_shifted": {"minutes": shift.minutes, "pairs": shift.pairs, "share": round(shift.share, 2)}},
        )
        self._notifier.event(
            "times_shifted",
            "warning",
            f"{provider.name}: {shift.share:.0%} of {shift.pairs} programmes are {shift.minutes:+d} minutes from the "
            f"other providers'; if this one is wrong, set its shift_minutes to {-shift.minutes} or its zone",
            provider_id=provider.id,
            run_id=run.id,
        )
        return shift

    def _common(self, provider: Provider) -> Iterator[tuple[Starts, Starts]]:
        for channel_id in self._mappings.shared(provider.id, MOST_CHANNELS):
            found = self._mappings.mappings(channel_id)
            ours = [one for one in found if one.provider_id == provider.id]
            others = [one for one in found if one.provider_id != provider.id]
            if ours and others:  # somebody may have parted them meanwhile
                yield self._starts(ours[0]), self._starts(others[0])

    def _starts(self, mapped: Mapped) -> Starts:
        now = self._clock.now_s()
        found: dict[str, list[int]] = {}
        for one in self._programs.window(mapped, max(0, now - SPAN_S), now + SPAN_S):
            found.setdefault(one.title.casefold(), []).append(one.start_s)
        return found
