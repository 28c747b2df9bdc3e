"""What an import costs beside a bare XML pass over the same file, in the same run: CPU seconds of whole processes.

    python -m benchmarks.imports [--programmes 100000]

Counted for us: the command `python -m epg_service import`, from its start to its published files, every child process
included. The floor is expat with three handlers that do nothing.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.guides import write_guide

ROOT = Path(__file__).resolve().parents[1]
FLOOR = """
import pyexpat, sys
parser = pyexpat.ParserCreate()
nothing = lambda *_: None
parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = nothing
with open(sys.argv[1], "rb") as stream:
    parser.ParseFile(stream)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU and wall seconds, peak memory of the largest process."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def measured(command: list[str], environ: dict[str, str]) -> Cost:
    """Runs a command to its end; its CPU is that of the process and everything it waited for."""
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=1800)
    if process.returncode:
        raise SystemExit(f"{command} failed:\n{errors.decode()[-2000:]}")
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - began, usage.ru_maxrss / 1024)


def in_a_child(command: list[str], environ: dict[str, str]) -> Cost:
    """`measured` in a fork of its own, so that usage of one command is not added to that of another."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        cost = measured(command, environ)
        os.write(writing, f"{cost.cpu_s} {cost.wall_s} {cost.peak_mb}".encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        text = stream.read()
    if status or not text:
        raise SystemExit(1)
    return Cost(*map(float, text.split()))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programmes", type=int, default=100_000)
    programmes = parser.parse_args().programmes
    folder = Path(tempfile.mkdtemp(prefix="aerial-bench-"))
    try:
        run(folder, programmes)
    finally:
        shutil.rmtree(folder)


def run(folder: Path, programmes: int) -> None:
    """Measures floor and imports one after the other, the floor before and after."""
    first, second = folder / "guide.xml", folder / "edited.xml"
    write_guide(first, programmes)
    write_guide(second, programmes, changed=0.05)
    size_mb = first.stat().st_size / 1e6
    environ = {
        **os.environ,
        "AERIAL_DATA_DIR": str(folder / "data"),
        "EPG_RETENTION_DAYS": "30",
        "EPG_LOG_LEVEL": "ERROR",
    }
    config = folder / "config.yaml"
    config.write_text("data_dir: data\n")

    def ours(file: Path) -> Cost:
        command = [
            sys.executable,
            "-m",
            "epg_service",
            "import",
            str(file),
            "--provider",
            "bench",
            "--config",
            str(config),
        ]
        return in_a_child(command, environ)

    floor_command = [sys.executable, "-c", FLOOR, str(first)]
    floor = in_a_child(floor_command, environ)
    rows = [
        ("first import", ours(first)),
        ("re-import, 5 % changed", ours(second)),
        ("the same file again", ours(second)),
    ]
    again = in_a_child(floor_command, environ)
    base = (floor.cpu_s + again.cpu_s) / 2
    database = folder / "data" / "epg.db"
    print(f"{programmes:,} programmes, {size_mb:.0f} MB; floor (expat, three empty handlers) {base:.2f} CPU s")
    print(f"{'':26}{'CPU s':>8}{'x floor':>9}{'wall s':>8}{'peak MB':>9}")
    for name, cost in rows:
        print(f"{name:26}{cost.cpu_s:8.2f}{cost.cpu_s / base:9.2f}{cost.wall_s:8.2f}{cost.peak_mb:9.0f}")
    print(f"database {database.stat().st_size / programmes:.0f} bytes a programme")


if __name__ == "__main__":
    main()
