"""Logs as text or JSON on standard error: one filter redacts, escapes control characters and adds the request's id."""

import contextvars
import logging
import sys
import time
from collections.abc import Mapping

from pythonjsonlogger.json import JsonFormatter

from servicekit.redact import redact

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")
"""The id of the request being answered, `-` outside of one."""

_TEXT = "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s"
_ESCAPES: Mapping[int, str] = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9}


class _Clean(logging.Filter):
    """Makes every record safe to print: message formatted, secrets masked, control characters shown as text."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage()).translate(_ESCAPES)
        record.args = None
        record.request_id = request_id.get()
        for key, value in list(record.__dict__.items()):
            if isinstance(value, str) and key not in ("msg", "levelname", "name", "pathname"):
                record.__dict__[key] = redact(value)
        return True


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatException(self, ei: object) -> str:
        return redact(super().formatException(ei))  # type: ignore[arg-type]


class _JsonLines(JsonFormatter):
    converter = staticmethod(time.gmtime)

    def formatException(self, ei: object) -> str:
        return redact(super().formatException(ei))  # type: ignore[arg-type]


def set_up(level: str, form: str) -> None:
    """Directs all of logging to standard error in the given form (`text` or `json`), at `level`."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(
            _JsonLines(
                "{asctime}{levelname}{name}{request_id}{message}",
                style="{",
                rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
                datefmt="%Y-%m-%dT%H:%M:%SZ",
            )
        )
    else:
        handler.setFormatter(_TextFormatter(_TEXT))
    handler.addFilter(_Clean())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    for noisy in ("urllib3", "apscheduler", "werkzeug", "gunicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Changes the level of everything, at once."""
    logging.getLogger().setLevel(level)
