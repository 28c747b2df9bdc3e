"""Logs as text or JSON on standard error: one filter redacts, escapes control characters and adds the request's id."""

import contextvars
import logging
import sys
import time
from collections.abc import Mapping

from servicekit.redact import redact

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")
"""The id of the request being answered, `-` outside of one."""

_TEXT = "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s"
_LINES_AND_DIRECTIONS = (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
_ESCAPES: Mapping[int, str] = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 9},
    **{code: f"\\u{code:04x}" for code in _LINES_AND_DIRECTIONS},  # nor may a line read other than it is
}
_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
"""What every record has; all else came from the call's `extra`."""


class _Clean(logging.Filter):
    """Makes every record safe to print: message formatted, secrets masked, control characters shown as text."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError) as error:  # a slip in a log call must not fail what it tells of
            message = f"{record.msg!r} with {record.args!r} ({error})"
        record.msg = redact(message).translate(_ESCAPES)
        record.args = None
        record.request_id = request_id.get()
        for key, value in list(record.__dict__.items()):
            if key not in _OWN:
                record.__dict__[key] = _clean(value)
        return True


def _clean(value: object) -> object:
    """A field of a record with every text in it redacted; what JSON does not know is made text."""
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redact(str(key)): _clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(one) for one in value]
    return redact(str(value))


def _indented(trace: str) -> str:
    """A trace whose lines cannot pass for log lines of their own, whatever the error's text holds."""
    return "\n".join("  | " + line.translate(_ESCAPES) for line in redact(trace).split("\n"))


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def formatException(self, ei: object) -> str:
        return _indented(super().formatException(ei))  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:
        return _indented(stack_info)


def _json_lines() -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter  # logs are text unless asked for; every command would load it

    class JsonLines(JsonFormatter):
        converter = staticmethod(time.gmtime)

        def formatException(self, ei: object) -> str:
            return redact(super().formatException(ei))  # type: ignore[arg-type]

        def formatStack(self, stack_info: str) -> str:
            return redact(str(super().formatStack(stack_info)))

    return JsonLines(
        "{asctime}{levelname}{name}{request_id}{message}",
        style="{",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        datefmt="%Y-%m-%dT%H:%M:%SZ",
    )


def set_up(level: str, form: str) -> None:
    """Directs all of logging to standard error in the given form (`text` or `json`), at `level`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_lines() if form == "json" else _TextFormatter(_TEXT))
    handler.addFilter(_Clean())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    # gunicorn tells of a request that failed with its whole address, by a handler of its own: ours redacts.
    for served in ("gunicorn.error", "gunicorn.access"):
        logging.getLogger(served).handlers[:] = []
        logging.getLogger(served).propagate = True
    for noisy in ("urllib3", "apscheduler", "werkzeug", "gunicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Changes the level of everything, at once."""
    logging.getLogger().setLevel(level)
