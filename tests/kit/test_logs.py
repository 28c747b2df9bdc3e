"""Logs tell no secrets, forge no lines, and are valid JSON when that is asked for."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from servicekit import logs
from servicekit.notify import LoggedEvents

SECRET = "S3CR3T-xyz"


class Log:
    """The logs of this process, caught."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    def lines(self) -> list[str]:
        return self._stream.getvalue().splitlines()


@pytest.fixture
def caught(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    stream = io.StringIO()
    root, gunicorn = logging.getLogger(), logging.getLogger("gunicorn.error")
    before = (root.handlers[:], root.level, gunicorn.handlers[:], gunicorn.propagate)
    monkeypatch.setattr("sys.stderr", stream)
    logs.set_up("DEBUG", getattr(request, "param", "text"))
    token = logs.request_id.set("-")
    yield Log(stream)
    logs.request_id.reset(token)
    root.handlers[:], root.level, gunicorn.handlers[:], gunicorn.propagate = before


both = pytest.mark.parametrize("caught", ["text", "json"], indirect=True)


@both
def test_no_secret_is_written(caught: Log) -> None:
    log = logging.getLogger("x")
    log.info("asked http://u:%s@h/get.php?password=%s", SECRET, SECRET)
    log.info("fields", extra={"url": f"http://h/live/{SECRET}/{SECRET}/1.ts", "more": [{"a": f"token={SECRET}"}]})
    log.info("odd", extra={"error": ValueError(f"http://u:{SECRET}@h")})
    try:
        raise RuntimeError(f"while asking http://h/x?token={SECRET}")
    except RuntimeError:
        log.exception("failed", stack_info=True)
    logging.getLogger("gunicorn.error").error("Error handling request /get.php?username=u&password=%s", SECRET)
    LoggedEvents(log).event("import_failed", "error", f"http://u:{SECRET}@h did not answer", provider=3)
    text = "\n".join(caught.lines())
    assert SECRET not in text
    assert "RuntimeError" in text
    assert text.count("***") >= 6


@both
def test_no_line_can_be_forged(caught: Log) -> None:
    log = logging.getLogger("x")
    log.info("name: %s", "a\n2026-11-21T00:00:00.000Z CRITICAL forged\x1b]0;title\x07\r\x85\u2028end")
    log.info("name: %s", "\u202eevil\u202c \u2066x\u2069")
    try:
        raise ValueError("b\n2026-11-21T00:00:00.000Z CRITICAL forged\x1b[2J")
    except ValueError:
        log.exception("failed")
    assert not [line for line in caught.lines() if line.startswith("2026-11-21T00:00:00.000Z CRITICAL")]
    assert not set("\x1b\u2028\u202e\u202c\u2066\u2069") & set("\n".join(caught.lines()))


@pytest.mark.parametrize("caught", ["json"], indirect=True)
def test_each_line_of_json_is_json_with_its_fields(caught: Log) -> None:
    token = logs.request_id.set("0123456789ab")
    try:
        logging.getLogger("web").warning('quote " and \\ and ä', extra={"provider": 3, "ratio": 0.5, "gone": None})
        try:
            raise ValueError("x")
        except ValueError:
            logging.getLogger("web").exception("failed")
    finally:
        logs.request_id.reset(token)
    records: list[dict[str, Any]] = [json.loads(line) for line in caught.lines()]
    assert records[0]["message"] == 'quote " and \\ and ä'
    assert {k: records[0][k] for k in ("level", "logger", "request_id", "provider", "ratio", "gone")} == {
        "level": "WARNING", "logger": "web", "request_id": "0123456789ab", "provider": 3, "ratio": 0.5, "gone": None,
    }  # fmt: skip
    assert records[0]["time"].endswith("Z")
    assert "ValueError: x" in records[1]["exc_info"]


@both
def test_a_slip_in_a_log_call_does_not_fail_what_it_tells_of(caught: Log) -> None:
    logging.getLogger("x").info("%d of %s", "three")  # noqa: PLE1206 - the slip is meant
    assert "three" in caught.lines()[0]


def test_the_request_and_the_level_are_in_each_line(caught: Log) -> None:
    logging.getLogger("x").info("hello")
    assert "INFO    x [-] hello" in caught.lines()[0]
    logs.set_level("ERROR")
    logging.getLogger("x").info("quiet")
    assert len(caught.lines()) == 1
