"""Server-sent events: what listeners hear, how many there may be, and what a slow one costs."""

import json
import threading
from collections.abc import Iterator

import pytest
from flask import Flask

from servicekit.errors import Unavailable
from servicekit.sse import Audience, Event, event_stream
from tests.waiting import until


def heard(listener: Iterator[bytes]) -> tuple[str, object]:
    """The next event's kind and data."""
    lines = dict(line.split(": ", 1) for line in next(listener).decode().strip().splitlines())
    return lines["event"], json.loads(lines["data"])


def test_a_listener_hears_the_present_state_and_then_what_happens() -> None:
    audience = Audience()
    listener = audience.join(lambda: [Event("state", {"runs": []})])
    audience.publish(Event("run", {"id": 1}))
    assert next(listener) == b"retry: 3000\n\n"
    assert heard(listener) == ("state", {"runs": []})
    assert heard(listener) == ("run", {"id": 1})


def test_an_event_that_holds_line_breaks_stays_one_event() -> None:
    said = Event("run", {"name": "a\nb\r\nevent: forged"}, id="7").encoded()
    assert said.startswith(b"id: 7\nevent: run\ndata: {")
    assert said.count(b"\n") == 4


def test_silence_is_filled_with_comments() -> None:
    listener = Audience(heartbeat_s=0.01).join(tuple)
    next(listener)
    assert next(listener).startswith(b":")


def test_only_so_many_listen_and_a_place_is_free_again_when_one_goes() -> None:
    audience = Audience(most=1)
    first = audience.join(tuple)
    with pytest.raises(Unavailable):
        audience.join(tuple)
    first.close()  # type: ignore[attr-defined]
    audience.join(tuple)
    assert len(audience) == 1


def test_a_listener_that_reads_nothing_ends_and_the_others_lose_nothing() -> None:
    audience = Audience(backlog=3)
    slow, quick = audience.join(tuple), audience.join(tuple)
    next(slow), next(quick)
    for number in range(10):
        audience.publish(Event("run", number))
        assert heard(quick) == ("run", number)
    assert list(slow) == []
    assert len(audience) == 1


def test_somebody_looks_only_while_somebody_listens() -> None:
    looked = threading.Event()

    def look() -> list[Event]:
        looked.set()
        return [Event("run", "new")]

    audience = Audience(look=look, every_s=0.01)
    assert not looked.is_set()
    listener = audience.join(tuple)
    next(listener)
    assert heard(listener) == ("run", "new")
    listener.close()  # type: ignore[attr-defined]
    until(lambda: not any(thread.name == "events" for thread in threading.enumerate()))


def test_the_end_of_the_service_ends_every_answer() -> None:
    audience = Audience()
    listener = audience.join(tuple)
    audience.end()
    assert list(listener) == [b"retry: 3000\n\n"]


def test_the_answer_is_kept_by_no_cache_and_held_back_by_no_proxy() -> None:
    app, audience = Flask("events"), Audience()
    app.add_url_rule("/events", view_func=lambda: event_stream(audience, lambda: [Event("state", 1)]))
    answer = app.test_client().get("/events", buffered=False)
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    pieces = answer.iter_encoded()
    assert b"event: state" in next(pieces) + next(pieces)
    answer.close()
    assert len(audience) == 0


def test_head_takes_no_place() -> None:
    app, audience = Flask("events"), Audience()
    app.add_url_rule("/events", view_func=lambda: event_stream(audience))
    assert app.test_client().head("/events").status_code == 200
    assert len(audience) == 0
