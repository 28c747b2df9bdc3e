"""The limits of bandwidth as settings: read again and again, since the other service may change them too."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from servicekit.errors import AerialError
from stream_service import native
from stream_service.relay.bandwidth import Limits

log = logging.getLogger(__name__)

EVERY_S = 0.5
ENABLED = "bandwidth_throttling_enabled"
TOTAL = "bandwidth_global_limit_mbps"
EACH = "bandwidth_client_limit_mbps"


class Values(Protocol):
    """The runtime settings; see `servicekit.settings`."""

    def get(self, key: str) -> object: ...
    def update(self, changes: Mapping[str, object]) -> None: ...


class Limited(Protocol):
    """Whose viewers are limited: the hub."""

    def limit(self, limits: Limits) -> None: ...
    def bandwidth(self) -> dict[str, object]: ...


class LimitSettings:
    """Carries the settings to the relay."""

    def __init__(self, *, values: Values, relay: Limited) -> None:
        self._values = values
        self._relay = relay
        self._stopping = threading.Event()
        self._now = Limits()

    def stats(self) -> dict[str, object]:
        """The limits in force and what is sent now."""
        return self._relay.bandwidth()

    def configure(self, changes: Mapping[str, object]) -> None:
        """Keep these, then apply all; may wait for the file. Raises `Invalid`."""
        if changes:
            self._values.update(changes)
        self._apply(self._read())

    def look(self) -> None:
        """Apply the settings if they were changed; the file is read off the loop."""
        limits = native.call(self._read)
        if limits != self._now:
            self._apply(limits)

    def follow(self, *, every_s: float = EVERY_S) -> Callable[[], None]:
        """Look again and again on a thread; returns the way to stop it."""
        thread = threading.Thread(target=self._follow, args=(every_s,), name="bandwidth", daemon=True)
        thread.start()

        def stop() -> None:
            self._stopping.set()
            thread.join()

        return stop

    def _follow(self, every_s: float) -> None:
        while not self._stopping.wait(every_s):
            try:
                self.look()
            except (AerialError, OSError) as error:
                log.warning("the limits of bandwidth stay as they are: %s", error)

    def _read(self) -> Limits:
        get = self._values.get
        return Limits(bool(get(ENABLED)), float(str(get(TOTAL))), float(str(get(EACH))))

    def _apply(self, limits: Limits) -> None:
        log.info("bandwidth: %s", "limited" if limits.on else "not limited")
        self._now = limits
        self._relay.limit(limits)
