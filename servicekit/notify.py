"""Events that a person may want to hear of. Today they are logged; senders stand behind the same call later."""

import logging
from typing import Protocol

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Notifier(Protocol):
    """Whom the parts tell what happened."""

    def event(self, kind: str, level: str, message: str, **fields: object) -> None:
        """`kind` is a stable word (`import_failed`), `level` one of info, warning, error."""
        ...


class LoggedEvents:
    """Writes each event to the log, with its fields."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def event(self, kind: str, level: str, message: str, **fields: object) -> None:
        self._logger.log(_LEVELS[level], "%s: %s", kind, message, extra={"event": kind, **fields})
