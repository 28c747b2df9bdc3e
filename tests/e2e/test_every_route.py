"""Every route of both services, asked with requests made up from its description: no answer is our own fault."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.transport import Response

from tests.e2e.running import Pair

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ENDLESS = ("/stream/", "/events", "/auto/", "/tuner", "/live/", "/movie/", "/series/", "/timeshift/", "/metrics")
"""Parts of the paths whose answers have no end, or are not ours to read whole."""
NOT_TRIED = ("/api/v1/backup", "/api/v1/database")
SERVERS_FAULT = 500
HOLD = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.set_busy_timeout(20_000)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""
SAYING_SO = (501, 502, 503, 504)
"""What says that something behind us, or not yet there, is at fault."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("routes"))
    made.wait_until_ready()
    yield made
    made.end()


def check(case: Any, answer: Response) -> None:
    told = f"{case.method} {case.formatted_path} -> {answer.status_code} {answer.content[:300]!r}"
    assert answer.status_code < SERVERS_FAULT or answer.status_code in SAYING_SO, told
    if answer.status_code >= 400 and case.path.startswith("/api/"):
        assert answer.headers["content-type"][0].startswith("application/problem+json"), told


def operations(pair: Pair, name: str) -> list[Any]:
    schema = schemathesis.openapi.from_url(getattr(pair, name).url("/api/v1/openapi.json"))
    found = [one.ok() for one in schema.get_all_operations()]
    return [one for one in found if not any(part in one.path for part in (*ENDLESS, *NOT_TRIED))]


@pytest.mark.parametrize("examples", [5, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["guide", "streams"])
def test_no_request_is_answered_with_500(pair: Pair, name: str, examples: int) -> None:
    found = operations(pair, name)
    assert len(found) > 20
    for operation in found:

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            check(case, case.call(timeout=60))

        ask()


@pytest.mark.parametrize("name", ["guide", "streams"])
def test_no_write_is_answered_with_500_while_the_database_is_locked(pair: Pair, name: str) -> None:
    writes = [one for one in operations(pair, name) if one.method.upper() != "GET"]
    database = pair.folder / "data" / {"guide": "epg.db", "streams": "stream.db"}[name]
    held = subprocess.Popen([sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert held.stdin
    assert held.stdout
    assert held.stdout.readline() == b"held\n"

    @settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(cases=st.tuples(*[one.as_strategy() for one in writes]))
    def ask(cases: tuple[Any, ...]) -> None:
        with ThreadPoolExecutor(16) as pool:
            # Some of these ask the keeper, which waits for the same lock, and all share ten threads: they queue.
            for case, answer in zip(cases, pool.map(lambda case: case.call(timeout=300), cases), strict=True):
                check(case, answer)
                assert answer.status_code != 503 or answer.headers["retry-after"]

    try:
        ask()
    finally:
        held.stdin.close()
        held.wait(20)
        held.stdout.close()
