"""The guide of a logical channel: one provider's rows as they are, or several providers' merged."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from epg_service.domain.days import StoredDay
from epg_service.domain.entities import Channel, Listing, Mapped
from epg_service.domain.merging import merged
from epg_service.store.channels import Channels
from epg_service.store.programs import Programs

PAGE = 200


class Guide:
    """Answers by channel; only a channel with several mappings pays for the merge."""

    def __init__(self, *, channels: Channels, programs: Programs) -> None:
        self._channels = channels
        self._programs = programs

    def listings(
        self, channel_id: int, from_s: int, to_s: int, *, with_raw: bool = False, shift_s: int = 0
    ) -> list[Listing]:
        """A channel's programmes in a window, the one running at its start included; the best first, gaps filled.

        Every time is moved by the channel's and the mapping's own shift and by `shift_s` ("+1" of this channel);
        the window is meant after the move. The elements (`raw`) keep the times that the provider wrote.
        """
        return merged(
            [
                self._moved(mapped, from_s, to_s, mapped.shift_s + shift_s, with_raw=with_raw)
                for mapped in self._channels.mappings(channel_id)
            ]
        )

    def _moved(self, mapped: Mapped, from_s: int, to_s: int, by_s: int, *, with_raw: bool) -> list[Listing]:
        found = self._programs.window(mapped, max(0, from_s - by_s), max(0, to_s - by_s), with_raw=with_raw)
        if not by_s:
            return found
        return [replace(one, start_s=max(0, one.start_s + by_s), stop_s=max(0, one.stop_s + by_s)) for one in found]

    def days(self, channel_id: int) -> list[tuple[Mapped, list[StoredDay]]]:
        """All that a channel's providers have, the best provider's first, as it is stored (times not moved)."""
        return [(mapped, list(self._programs.days(mapped))) for mapped in self._channels.mappings(channel_id)]

    def every_channel(self) -> Iterator[Channel]:
        """All channels by id, read a page at a time."""
        last = 0
        while page := self._channels.all(after=last, limit=PAGE):
            yield from page
            last = page[-1].id

    def source(self, channels: Sequence[int] | None = None) -> dict[str, str]:
        """What the one file says of itself that all programmes of some channels (by default all) come from."""
        return self._channels.source(channels)

    def elements(self, channel_ids: Sequence[int]) -> Iterator[list[bytes]]:
        """Of each of some channels the <channel> elements of its providers, the best provider's first."""
        return self._channels.elements(channel_ids)
