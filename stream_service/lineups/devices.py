"""The tuners that lineups are published as, read from what was published, by all who answer as one or tell of them."""

import logging
from collections.abc import Callable
from pathlib import Path

from stream_service.lineups.publish import PublishedFiles
from stream_service.outputs import hdhr
from stream_service.outputs.hdhr import Device

_log = logging.getLogger("devices")

Read = Callable[[Path], bytes | None]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


class Devices:
    """Every call reads files: in the web process it is made off the loop."""

    def __init__(self, files: PublishedFiles) -> None:
        self._files = files

    def of(self, lineup: str) -> Device | None:
        """The lineup's device; None when it has none, or is not published yet."""
        text = _read(self._files.of(lineup, hdhr.DISCOVER))
        if text is None:
            return None
        try:
            return hdhr.read_device(lineup, text)
        except (ValueError, KeyError, TypeError) as error:
            _log.error("the published device of the lineup %s cannot be read: %s", lineup, error)
            return None

    def all(self) -> list[Device]:
        """All devices by the names of their lineups."""
        names = sorted(path.parent.parent.name for path in self._files.root.glob(f"lineups/*/{hdhr.DISCOVER}"))
        return [device for name in names if (device := self.of(name)) is not None]
