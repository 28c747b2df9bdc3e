"""What a process loads: a command that imports a file, and a keeper, carry nothing that only others need."""

import time
from pathlib import Path

import pytest

from tests.epg.guidekit import HOUR, guide_of, hourly
from tests.loading import CLOCK, HTTP, WEB, loaded

RARE = {"rich", "chardet", "rapidfuzz", "tvkit.expressions", "lark", "regex", "pythonjsonlogger"}
WORK = {"epg_service.importer", "epg_service.lineups.publish", "epg_service.indexing", "epg_service.keeper"}


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        pytest.param("import epg_service.__main__", WEB | HTTP | RARE | CLOCK | WORK, id="the supervisor"),
        pytest.param("import epg_service.wsgi", RARE | CLOCK | HTTP, id="a web worker"),
        pytest.param(
            "import epg_service.__main__, epg_service.wiring.for_keeper, servicekit.timetable",
            WEB | HTTP | RARE,
            id="a keeper at rest",
        ),
    ],
)
def test_a_process_loads_what_it_needs(tmp_path: Path, code: str, unwanted: set[str]) -> None:
    (tmp_path / "config.yaml").write_text("data_dir: data\n")
    assert unwanted & loaded(code, tmp_path) == set()


def test_importing_a_file_loads_no_web_and_no_clock_and_one_that_did_not_change_no_http(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data_dir: data\n")
    (tmp_path / "one.xml").write_bytes(guide_of(hourly("one.example", int(time.time()) // HOUR * HOUR, 24)))
    run = "from epg_service.__main__ import main\nassert main(['import', 'one.xml']) == 0\n"
    unwanted = WEB | RARE | CLOCK
    assert (unwanted - {"chardet"}) & loaded(run, tmp_path) == set()  # comes with HTTP: the stream service is told
    assert (unwanted | HTTP) & loaded(run, tmp_path) == set()
