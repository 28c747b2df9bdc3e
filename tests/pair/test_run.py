"""Starting and ending the pair, with stand-ins for the two services."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.waiting import until

Start = Callable[..., "Started"]

ANY_PORTS = ("--guide-port", "0", "--stream-port", "0")
REPOSITORY = Path(__file__).resolve().parents[2]


class Started:
    """`python -m pair …` as a process of its own, with what it printed."""

    stand_ins = True

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        for name in ("epg_service", "stream_service") if self.stand_ins else ():
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "__init__.py").touch()
            (folder / name / "__main__.py").write_text(f"from tests.pair.stand_in import main\n\nmain({name!r})\n")
        self._out = (folder / "out.txt").open("w+")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AERIAL_", "EPG_", "STREAM_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pair", *arguments],
            cwd=folder,
            env={**clean, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(folder), **environ},
            stdout=self._out,
            stderr=subprocess.STDOUT,
        )

    def printed(self) -> str:
        self._out.flush()
        return Path(self._out.name).read_text()

    def wait_for(self, text: str) -> str:
        until(lambda: text in self.printed() or self.process.poll() is not None, limit_s=60, what=text)
        assert text in self.printed(), self.printed()
        return self.printed()

    def tree(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._out.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Started] = []

    def make(*arguments: str, **environ: str) -> Started:
        made.append(Started(tmp_path, *arguments, **environ))
        return made[-1]

    yield make
    for one in made:
        one.close()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that nobody has buried yet does not."""
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def configure(folder: Path, guide: int, streams: int) -> Path:
    file = folder / "config.yaml"
    places = {"epg": guide, "stream": streams}
    file.write_text("".join(f"{key}: {{server: {{host: 127.0.0.1, port: {port}}}}}\n" for key, port in places.items()))
    return file


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_run_starts_both_prints_the_addresses_and_ends_both(start: Start, tmp_path: Path, number: int) -> None:
    guide, streams = free_ports()
    configure(tmp_path, guide, streams)
    pair = start("run")
    printed = pair.wait_for("Aerial is running")
    pair.wait_for("Bearer")
    assert f"http://127.0.0.1:{guide}/epg.xml" in printed
    assert f"http://127.0.0.1:{streams}/playlist.m3u" in printed
    assert (tmp_path / "data" / "admin.token").read_text().strip() in pair.printed()
    processes = pair.tree()
    assert len(processes) == 2
    assert pair.end(number) == 0
    assert not alive(processes)


def test_each_service_is_told_where_the_other_one_listens(start: Start, tmp_path: Path) -> None:
    guide, streams = free_ports()
    configure(tmp_path, guide, streams)
    start("run", "config.yaml").wait_for("Aerial is running")
    assert json.loads((tmp_path / "epg_service.json").read_text())["EPG_STREAM_URL"] == f"http://127.0.0.1:{streams}"
    assert json.loads((tmp_path / "stream_service.json").read_text())["STREAM_EPG_URL"] == f"http://127.0.0.1:{guide}"


def test_an_address_that_the_reader_set_is_left_alone(start: Start, tmp_path: Path) -> None:
    guide, streams = free_ports()
    configure(tmp_path, guide, streams)
    start("run", STREAM_EPG_URL="http://guide.home.arpa:9").wait_for("Aerial is running")
    assert json.loads((tmp_path / "stream_service.json").read_text())["STREAM_EPG_URL"] == "http://guide.home.arpa:9"


def test_nothing_is_left_when_the_pair_itself_is_killed(start: Start, tmp_path: Path) -> None:
    configure(tmp_path, *free_ports())
    pair = start("run")
    pair.wait_for("Aerial is running")
    processes = pair.tree()
    pair.end(signal.SIGKILL)
    until(lambda: not alive(processes), what="the services to end with the pair")


def test_a_service_that_ends_takes_the_pair_with_it(start: Start, tmp_path: Path) -> None:
    configure(tmp_path, *free_ports())
    pair = start("run")
    pair.wait_for("Aerial is running")
    os.kill(json.loads((tmp_path / "epg_service.json").read_text())["pid"], signal.SIGKILL)
    assert pair.process.wait(20) != 0


def test_a_taken_port_is_named_with_the_key_to_change(start: Start, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        configure(tmp_path, free_ports()[0], port)
        pair = start("run")
        assert pair.process.wait(20) == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in pair.printed()
    assert "stream.server.port" in pair.printed()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("epg: {server: {port: 99999}}", "epg.server.port"),
        ("epg: {server: {port: 9000}}\nstream: {server: {port: 9000}}", "each needs its own"),
        ("server: {port: 1}", "move it under `epg:`"),
    ],
    ids=["an impossible port", "one port for both", "a file of the single service"],
)
def test_a_configuration_that_cannot_work_is_refused(start: Start, tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    pair = start("run")
    assert pair.process.wait(20) == 2
    assert complaint in pair.printed()
    assert "Traceback" not in pair.printed()


def test_the_demo_fills_both_services_says_how_to_watch_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    demo = start("demo", *ANY_PORTS)
    printed = demo.wait_for("The demo is running")
    assert "ffplay http://127.0.0.1:" in printed
    assert "/stream/one.aerial.example.ts" in printed
    assert len(demo.tree()) == 4  # provider, two services, tour
    assert list(tmp_path.glob("aerial-demo-*"))
    processes = demo.tree()
    assert demo.end(signal.SIGINT) == 0
    assert not alive(processes)
    assert not list(tmp_path.glob("aerial-demo-*"))
    assert "its data is gone" in demo.printed()


def test_the_demo_takes_another_port_when_the_usual_one_is_taken(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        printed = start("demo", "--guide-port", str(port), "--stream-port", "0").wait_for("The demo is running")
    assert f"Port {port} is taken; the demo uses" in printed
    assert f"http://127.0.0.1:{port}/" not in printed


def test_the_demo_says_what_was_refused_and_ends(start: Start, tmp_path: Path) -> None:
    demo = start("demo", *ANY_PORTS, STAND_IN_REFUSES="1")
    assert demo.process.wait(60) == 1
    assert "refused with 400" in demo.printed()
    assert "the stand-in refuses" in demo.printed()
    assert not list(tmp_path.glob("aerial-demo-*"))


def test_the_reader_s_own_settings_do_not_reach_the_demo(start: Start, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    demo = start("demo", *ANY_PORTS, AERIAL_DATA_DIR=str(mine), EPG_SERVER_PORT="1")
    demo.wait_for("The demo is running")
    assert not mine.exists()
