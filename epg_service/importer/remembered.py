"""What is remembered of a provider's last good file: the stretch of each channel, and what became of it.

A channel whose bytes stand in the next file again needs no reading: its programmes are in the guide already. That holds
only for channels of which nothing was lost, noted or swept, and only as long as the last good file is the one that
this was written for (`mark`). It is a file beside the database that may be deleted at any time.
"""

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from epg_service.xmltv.records import Stretch
from servicekit.files import atomic_write

MAX_STRETCH_BYTES = 4 * 1024 * 1024
"""A longer stretch is not remembered: to be compared it has to be held in memory whole."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A channel's stretch, and the ends of its programmes in epoch seconds."""

    programmes: int
    length: int
    digest: str
    latest_start_s: int
    earliest_stop_s: int
    latest_stop_s: int

    def stretch(self, channel: str) -> Stretch:
        """The stretch, to be looked for in another file."""
        return Stretch(channel, self.programmes, self.length, int(self.digest, 16))

    def inside(self, bounds: tuple[int, int]) -> bool:
        """Whether all its programmes lie in a window; none was swept then, and none is to be left out."""
        return self.earliest_stop_s > bounds[0] and self.latest_start_s < bounds[1]


class Memory:
    """The files of all providers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, provider_id: int, mark: str) -> dict[str, Outcome]:
        """What is remembered of the channels of a file; nothing when it is another file's."""
        try:
            found = json.loads(self._path(provider_id).read_text("utf-8"))
            if found["mark"] != mark:
                return {}
            return {name: Outcome(*values) for name, values in found["channels"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # gone or damaged: everything is read
            return {}

    def write(self, provider_id: int, mark: str, outcomes: Mapping[str, Outcome]) -> None:
        """Remembers a file in the place of the one before."""
        channels = {name: astuple(one) for name, one in outcomes.items()}
        text = json.dumps({"mark": mark, "channels": channels}, ensure_ascii=False)
        atomic_write(self._path(provider_id), text.encode("utf-8", "replace"), mode=0o600)

    def _path(self, provider_id: int) -> Path:
        return self._directory / f"{provider_id}.json"
