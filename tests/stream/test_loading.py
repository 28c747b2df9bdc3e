"""What a process loads: the supervisor and the commands, the keeper, and the web worker carry nothing of the others."""

from pathlib import Path

import pytest

from tests.loading import CLOCK, HTTP, WEB, loaded

RULES = {"tvkit.expressions", "stream_service.rules.check"}
WORK = {
    "stream_service.keeper",
    "stream_service.lineups.build",
    "stream_service.sources.load",
    "stream_service.library.keeping",
    "stream_service.discovery",
}
RELAY = {"stream_service.relay.hub", "stream_service.relay.hls", "gevent"}
SEEN = {"stream_service.progress", "stream_service.accounts.access", "stream_service.lineups.catalogue"}


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        pytest.param(
            "import stream_service.__main__", WEB | HTTP | CLOCK | RULES | WORK | RELAY | SEEN, id="the supervisor"
        ),
        pytest.param("import stream_service.wsgi", CLOCK | WORK | {"cryptography"}, id="the web worker"),
        pytest.param(
            "import stream_service.__main__, stream_service.wiring.for_keeper, servicekit.timetable",
            WEB | RELAY | SEEN,
            id="the keeper",
        ),
    ],
)
def test_a_process_loads_what_it_needs(tmp_path: Path, code: str, unwanted: set[str]) -> None:
    (tmp_path / "config.yaml").write_text("data_dir: data\n")
    assert unwanted & loaded(code, tmp_path) == set()


def test_a_command_that_only_reads_the_store_loads_no_more(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("data_dir: data\n")
    run = "from stream_service.__main__ import main\nassert main(['backup', 'copy.db']) == 0\n"
    assert (WEB | HTTP | CLOCK | RULES | WORK | RELAY | SEEN) & loaded(run, tmp_path) == set()
