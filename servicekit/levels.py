"""The level of the logs, followed while the process runs: a runtime setting, or the configuration after a SIGHUP."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from servicekit import logs
from servicekit.errors import AerialError
from servicekit.marker import Marker
from servicekit.settings import Settings

LOOK_EVERY_S = 1.0
_log = logging.getLogger("config")


def ask_to_reload(marker: Path) -> None:
    """Tells every process that follows `marker` to read the configuration again."""
    Marker(marker).touch()


class LevelFollower:
    """Looks, at most once a second, whether another level is asked for, and sets it.

    `configured` reads the configuration again; where it is faulty the level stays.
    """

    def __init__(self, *, settings: Settings, marker: Path, configured: Callable[[], str], level: str) -> None:
        self._settings = settings
        self._marker = Marker(marker)
        self._configured = configured
        self._configured_level = level
        self._level = level
        self._next_look = 0.0

    def look(self) -> None:
        """Called often; costs a look at two files' time stamps each second."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY_S
        if self._marker.touched():
            try:
                self._configured_level = self._configured()
            except AerialError as error:
                _log.error("%s; the level stays", error.detail)
        wanted = str(self._settings.get("log_level")) or self._configured_level
        if wanted != self._level:
            self._level = wanted
            logs.set_level(wanted)
