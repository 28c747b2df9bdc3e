"""What is switched on of discovery, on threads of the keeper; a port that is taken is tried again now and then."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

AGAIN_S = 30.0
END_S = 2.0

_log = logging.getLogger("discovery")


class Responder(Protocol):
    """Answers on a port."""

    @property
    def port(self) -> int: ...
    def run(self, stop: threading.Event) -> None: ...
    def close(self) -> None: ...


class Announcer:
    """`responders`: by name, how each takes its port (raises `OSError`)."""

    def __init__(self, responders: Mapping[str, Callable[[], Responder]], *, again_s: float = AGAIN_S) -> None:
        self._responders = responders
        self._again_s = again_s

    def start(self, stop: threading.Event) -> Callable[[], None]:
        """Begin, until `stop` is set; returns what waits for their goodbyes."""
        threads = [
            threading.Thread(target=self._keep, args=(name, take, stop), name=f"discovery-{name}", daemon=True)
            for name, take in self._responders.items()
        ]
        for thread in threads:
            thread.start()

        def wait() -> None:
            for thread in threads:
                thread.join(END_S)

        return wait

    def _keep(self, name: str, take: Callable[[], Responder], stop: threading.Event) -> None:
        told = False
        while not stop.is_set():
            try:
                responder = take()
            except OSError as error:
                if not told:
                    _log.error("%s discovery cannot take its port, it tries again: %s", name, error)
                told = True
                stop.wait(self._again_s)
                continue
            _log.info("%s discovery answers on port %d", name, responder.port)
            try:
                responder.run(stop)
            finally:
                responder.close()
