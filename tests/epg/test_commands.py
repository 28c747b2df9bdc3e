"""`python -m epg_service COMMAND`: what a person types, with its exit code and words."""

import os
import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from servicekit.files import run_lock
from servicekit.store.sqlite import integrity
from tests.epg.guidekit import DAY, HOUR, REPOSITORY, Show, Station, guide_of, hourly
from tests.providerkit import ScriptedProvider
from tests.waiting import until

MIDNIGHT = (int(time.time()) // DAY - 20) * DAY
NOON = MIDNIGHT + 12 * HOUR
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path, {"retention": {"days": 3650}, "server": {"host": "127.0.0.1"}})
    yield made
    made.close()


@pytest.fixture
def command(station: Station, tmp_path: Path) -> Command:
    def run(*words: str, config: Path | None = None) -> "subprocess.CompletedProcess[str]":
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("AERIAL_", "EPG_", "STREAM_"))}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free = str(probe.getsockname()[1])
        return subprocess.run(
            [sys.executable, "-m", "epg_service", *words, "--config", str(config or station.file)],
            cwd=REPOSITORY,
            env=clean if config else {**clean, "EPG_SERVER_PORT": free},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


# ---- check -----------------------------------------------------------------------------------------------------------


def test_check_says_that_all_is_well(command: Command) -> None:
    done = command("check")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "all is well"), done.stdout + done.stderr


def broken_database(station: Station) -> None:
    station.close()
    station.paths.database.write_bytes(b"no database at all, but long enough to be looked at" * 50)


def foreign_database(station: Station) -> None:
    station.close()
    station.paths.database.unlink()
    other = apsw.Connection(str(station.paths.database))
    other.execute("PRAGMA application_id = 7; CREATE TABLE x (y)")
    other.close()


def newer_database(station: Station) -> None:
    station.it.connections.get().execute("PRAGMA user_version = 999")


def file_in_the_way(station: Station) -> None:
    station.paths.import_dir.rmdir()
    station.paths.import_dir.write_text("a file")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (broken_database, "database"),
        (foreign_database, "another program"),
        (newer_database, "newer than this program"),
        (file_in_the_way, "cannot be made"),
    ],
    ids=["broken", "foreign", "newer", "directory"],
)
def test_check_names_each_fault(
    station: Station, command: Command, fault: Callable[[Station], None], words: str
) -> None:
    fault(station)
    done = command("check")
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(words in line for line in done.stdout.splitlines() if line.startswith("wrong: ")), done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epg: {server: {port: 99999}}", "epg.server.port"),
        ("epg: {retention: {days: seven}}", "epg.retention.days"),
        ("epg: {scheduler: {timezone: Mars/Olympus}}", "epg.scheduler.timezone"),
        ("epg: {nothing: 1}", "epg.nothing"),
        ("server: {port: 80}", "move it under `epg:`"),
        ("epg: [", "config.yaml"),
    ],
)
def test_check_names_the_key_that_is_wrong(tmp_path: Path, command: Command, text: str, words: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    done = command("check", config=tmp_path / "config.yaml")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_check_names_a_port_that_is_taken(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "epg_service", "check", "--config", str(tmp_path / "config.yaml")],
            cwd=REPOSITORY,
            env={**os.environ, "EPG_SERVER_PORT": str(port)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert f"port {port}" in done.stdout


# ---- import ----------------------------------------------------------------------------------------------------------


def test_a_file_is_imported_without_a_running_service(station: Station, command: Command, tmp_path: Path) -> None:
    guide = tmp_path / "my guide.xml"
    guide.write_bytes(guide_of(hourly("x", MIDNIGHT, 24)))
    done = command("import", str(guide))
    assert (done.returncode, done.stdout) == (0, "my guide: success, 24 programmes in the guide, 0 not\n"), done.stderr
    assert len(station.titles("x")) == 24
    again = command("import", str(guide))
    assert (again.returncode, again.stdout) == (0, "my guide: unchanged, 24 programmes in the guide, 0 not\n")
    guide.write_bytes(guide_of(hourly("x", MIDNIGHT, 2)))
    assert "rejected" in command("import", str(guide)).stdout
    forced = command("import", str(guide), "--force", "--provider", "MY GUIDE")
    assert "success, 2 programmes" in forced.stdout
    assert [one.name for one in station.it.providers.all()] == ["my guide"]


def test_an_address_is_imported_without_a_running_service(station: Station, command: Command) -> None:
    with ScriptedProvider() as provider:
        provider.serve("/epg.xml.gz", guide_of(hourly("x", MIDNIGHT, 24)))
        done = command("import", provider.url("/epg.xml.gz"))
        assert (done.returncode, done.stdout) == (0, "epg: success, 24 programmes in the guide, 0 not\n"), done.stderr
        failed = command("import", provider.url("/none.xml?password=CANARY"), "--provider", "other")
    assert failed.returncode == 1
    assert "404" in failed.stdout
    assert "CANARY" not in failed.stdout + failed.stderr


FAULTY = """
import sys
from epg_service import __main__ as commands
from epg_service.keeper import Keeper
from servicekit.errors import Unavailable

def locked(keeper):
    raise Unavailable("the database is locked")

Keeper.work_off = locked
sys.exit(commands.main(sys.argv[1:]))
"""


def test_an_import_whose_work_ends_in_a_fault_ends_with_it(station: Station, tmp_path: Path) -> None:
    file = tmp_path / "guide.xml"
    file.write_bytes(guide_of(hourly("one", MIDNIGHT, 3)))
    done = subprocess.run(
        [sys.executable, "-c", FAULTY, "import", str(file), "--config", str(station.file)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (2, "epg_service: the database is locked\n")


def test_a_guide_that_is_not_there_is_told(command: Command) -> None:
    done = command("import", "/nowhere/guide.xml")
    assert (done.returncode, done.stderr) == (2, "epg_service: there is no file /nowhere/guide.xml\n")
    refused = command("import", "ftp://joe:CANARY@e.x/guide.xml")
    assert refused.returncode == 2
    assert "CANARY" not in refused.stdout + refused.stderr


def test_an_import_beside_a_running_keeper_is_done_by_that_keeper(station: Station, command: Command) -> None:
    station.lay(guide_of(hourly("x", MIDNIGHT, 24)))
    keeper = subprocess.Popen(
        [sys.executable, "-m", "epg_service", "keeper", "--config", str(station.file)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(station.paths.heartbeat.exists, what="the keeper")
    done = command("import", str(station.paths.import_dir / "sample.xml"))
    assert done.returncode == 0, done.stdout + done.stderr
    keeper.terminate()
    told, _ = keeper.communicate(timeout=30)
    assert keeper.returncode == 0
    assert "importing sample" in told
    assert not station.paths.heartbeat.exists()


# ---- the rest --------------------------------------------------------------------------------------------------------


def test_export_writes_everything_to_a_file_or_to_standard_output(
    station: Station, command: Command, tmp_path: Path
) -> None:
    shows = [*hourly("x", MIDNIGHT, 24), Show("x", NOON, NOON + HOUR, "beside it", "<desc>Überall</desc>")]
    station.take(guide_of(shows))
    target = tmp_path / "out.xml"
    done = command("export", str(target))
    assert (done.returncode, done.stdout) == (0, f"written to {target}\n"), done.stderr
    assert len(list(ET.parse(target).getroot().iter("programme"))) == 25
    piped = command("export")
    assert piped.stdout.encode() == target.read_bytes()
    other = Station(tmp_path / "other", {"retention": {"days": 3650}})
    other.take(target.read_bytes())
    assert [(one.start_s, one.stop_s, one.title) for one in other.listings("x")] == [
        (one.start_s, one.stop_s, one.title) for one in station.listings("x")
    ]
    other.close()
    refused = command("export", str(target / "below a file.xml"))
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr


def test_prune_deletes_what_is_older_than_the_retention_and_disturbs_no_import(
    station: Station, command: Command, tmp_path: Path
) -> None:
    station.take(guide_of(hourly("x", MIDNIGHT, 24)))
    download = station.paths.work / "feed-1"
    download.parent.mkdir(parents=True)
    download.write_bytes(b"of the keeper that runs")
    station.file.write_text(station.file.read_text().replace("3650", "7"))
    done = command("prune")
    assert (done.returncode, done.stdout) == (0, "24 programmes deleted\n"), done.stderr
    assert station.titles("x") == []
    assert download.exists()


def test_a_backup_taken_while_others_write_can_be_restored(station: Station, command: Command, tmp_path: Path) -> None:
    station.take(guide_of(hourly("x", MIDNIGHT, 24)))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            station.it.imports.enqueue(1, reason="manual", not_before=1 << 40)
        station.it.connections.close()

    writer = threading.Thread(target=write)
    writer.start()
    copy = tmp_path / "copy.db"
    done = command("backup", str(copy))
    stop.set()
    writer.join(20)
    assert (done.returncode, done.stdout) == (0, f"written to {copy}\n"), done.stderr
    assert integrity(copy) == []
    station.it.providers.delete(1)
    station.close()
    station.paths.redo.mkdir(parents=True, exist_ok=True)
    (station.paths.redo / "1.json").write_text("{}")
    restored = command("restore", str(copy))
    assert restored.returncode == 0, restored.stderr
    assert "the one before is kept as" in restored.stdout
    assert len(station.titles("x")) == 24
    assert not station.paths.redo.exists()


def test_restore_refuses_what_is_no_copy_and_a_service_that_runs(
    station: Station, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "text.db").write_text("no database")
    before = station.paths.database.read_bytes()
    refused = command("restore", str(tmp_path / "text.db"))
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert station.paths.database.read_bytes() == before
    done = command("backup")
    assert done.returncode == 0
    (copy,) = station.paths.backups.glob("epg-*.db")
    with run_lock(station.paths.keeper_lock):
        running = command("restore", str(copy))
    assert running.returncode == 2
    assert "running" in running.stderr


@pytest.mark.parametrize("words", [["--help"], ["import", "--help"]], ids=" ".join)
def test_help_is_given(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "epg_service", *words], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0
    assert "usage: epg_service" in done.stdout


@pytest.mark.parametrize("words", [["check", "--nothing"], ["import"], ["restore"]], ids=" ".join)
def test_a_command_that_is_none_is_told(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "epg_service", *words], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage: epg_service" in done.stderr


def test_a_dry_run_tells_every_loss_and_changes_nothing(station: Station, command: Command, tmp_path: Path) -> None:
    now = int(time.time()) // HOUR * HOUR
    shows = hourly("x", now, 10)
    guide = tmp_path / "rehearsed.xml"
    guide.write_bytes(guide_of([*shows, shows[0]]))
    done = command("import", str(guide), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would be success: 10 programmes in the guide, 1 not" in done.stdout
    assert '"double"' in done.stdout
    assert station.it.providers.all() == []
    assert station.it.imports.latest(limit=9) == []
    assert station.it.channels.all() == []


def test_a_dry_run_of_a_guide_that_cannot_be_used_says_why(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.xml"
    page.write_text("<html><head><title>Portal</title></head></html>")
    done = command("import", str(page), "--dry-run")
    assert done.returncode == 1
    assert "would be failed" in done.stdout
    assert "Portal" in done.stdout
