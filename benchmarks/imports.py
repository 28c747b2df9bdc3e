"""What an import costs beside a bare XML pass over the same file, in the same run: CPU seconds of whole processes.

    python -m benchmarks.imports [--programmes 100000] [--guide FILE --edited FILE]

Counted for us: the command `python -m epg_service import`, from its start to its published files, every child process
included. The floor F is expat with three handlers that do nothing, before and after each. Meanwhile another process of
house is played: a reader asks for a day of a channel, a writer for the write lock; the longest they waited is told.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from benchmarks.guides import END_TAG, write_guide

ROOT = Path(__file__).resolve().parents[1]
SIZES = (10_000, 100_000, 1_000_000)
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
    """CPU and wall seconds, peak memory of the largest process, and what others noticed meanwhile."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    lock_ms: float = 0.0
    read_ms: float = 0.0
    log_mb: float = 0.0


class Onlooker(threading.Thread):
    """Reads, asks for the write lock and looks at the log's size, every few milliseconds, until told to stop."""

    def __init__(self, database: Path) -> None:
        super().__init__()
        self._database = database
        self._log = database.with_name(database.name + "-wal")
        self._over = threading.Event()
        self.lock_ms = self.read_ms = self.log_mb = 0.0

    def run(self) -> None:
        while not self._database.exists() and not self._over.wait(0.01):
            pass
        if self._over.is_set():
            return
        connection = apsw.Connection(str(self._database))
        while not self._over.wait(0.005):
            try:
                self.read_ms = max(self.read_ms, _timed(lambda: self._read(connection)))
                self.lock_ms = max(self.lock_ms, _timed(lambda: self._lock(connection)))
            except (apsw.SQLError, apsw.BusyError):  # the tables are being made
                continue
            if self._log.exists():
                self.log_mb = max(self.log_mb, self._log.stat().st_size / 1e6)
        connection.close()

    def _read(self, connection: apsw.Connection) -> None:
        mapping = random.randrange(1, 500)
        query = "SELECT id, title FROM programs WHERE id BETWEEN ? << 35 AND (? << 35) + (1 << 34) LIMIT 25"
        connection.execute(query, (mapping, mapping)).fetchall()

    def _lock(self, connection: apsw.Connection) -> None:
        """Polled, because SQLite's own waiting sleeps up to 100 ms past the moment."""
        while not self._over.is_set():
            try:
                connection.execute("BEGIN IMMEDIATE")
            except apsw.BusyError:
                time.sleep(0.001)
            else:
                connection.execute("ROLLBACK")
                return

    def end(self) -> None:
        """Stops, and waits until it has stopped."""
        self._over.set()
        self.join()


def _timed(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1e3


def measured(command: list[str], environ: dict[str, str], database: Path | None = None) -> Cost:
    """Runs a command to its end; its CPU is that of the process and of everything it waited for."""
    onlooker = Onlooker(database) if database else None
    began = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=errors)
        if onlooker:
            onlooker.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.monotonic() - began
        if onlooker:
            onlooker.end()
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{command} failed:\n{errors.read().decode()[-2000:]}")
    seen = (onlooker.lock_ms, onlooker.read_ms, onlooker.log_mb) if onlooker else ()
    return Cost(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024, *seen)


@dataclass(frozen=True, slots=True)
class House:
    """A data directory of its own, with or without the search index."""

    folder: Path
    search: bool = False

    @property
    def database(self) -> Path:
        return self.folder / "data" / "epg.db"

    def taken(self, file: Path, *more: str) -> Cost:
        """The cost of importing a file."""
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "config.yaml"
        config.write_text(f"data_dir: data\nepg:\n  search:\n    enabled: {str(self.search).lower()}\n")
        environ = {
            **os.environ,
            "AERIAL_DATA_DIR": str(self.folder / "data"),
            "EPG_RETENTION_DAYS": "30",
            "EPG_LOG_LEVEL": "ERROR",
        }
        options = ["--provider", "bench", "--config", str(config), *more]
        return measured([sys.executable, "-m", "epg_service", "import", str(file), *options], environ, self.database)

    def bytes_in_all(self) -> int:
        """Database and search index, their logs included."""
        return sum(path.stat().st_size for path in (self.folder / "data").glob("*.db*"))


def floor(file: Path) -> float:
    """CPU seconds of the bare pass."""
    return measured([sys.executable, "-c", FLOOR, str(file)], dict(os.environ)).cpu_s


def broken(source: Path, target: Path) -> None:
    """The guide with faults: 1 % bare `&`, 1 % HTML entities, 0.1 % lost end tags."""
    chance = random.Random("faults")
    with source.open("rb") as lines, target.open("wb") as out:
        for line in lines:
            draw = chance.random()
            if b"</title>" in line and draw < 0.02:
                out.write(line.replace(b"</title>", b" & so on</title>" if draw < 0.01 else b" caf&eacute;</title>"))
            elif END_TAG in line and draw < 0.001:
                out.write(line.replace(END_TAG, b""))
            else:
                out.write(line)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programmes", type=int, default=100_000)
    parser.add_argument("--guide", type=Path, help="a guide of that many programmes, instead of one made here")
    parser.add_argument("--edited", type=Path, help="the same guide, a part of it changed")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="aerial-bench-"))
    try:
        run(folder, options.programmes, options.guide, options.edited)
    finally:
        shutil.rmtree(folder)


def run(folder: Path, programmes: int, guide: Path | None, edited: Path | None) -> None:
    """Measures floor and imports in turn; then how the cost grows."""
    first = guide or folder / "guide.xml"
    second = edited or folder / "edited.xml"
    if guide is None:
        write_guide(first, programmes)
    if edited is None:
        write_guide(second, programmes, changed=0.05)
    again, faulty = folder / "again.xml", folder / "faulty.xml"
    shutil.copyfile(second, again)
    with again.open("ab") as out:
        out.write(b"\n")  # another digest, the same guide
    broken(first, faulty)
    turns = Turns(first)
    house = House(folder / "house")
    turns.measure("first import", lambda: house.taken(first))
    turns.measure("re-import, 5 % changed", lambda: house.taken(second))
    turns.measure("nothing changed, another file", lambda: house.taken(again))
    turns.measure("the same file (digest)", lambda: house.taken(again))
    turns.measure("first import, not well formed", lambda: House(folder / "other").taken(faulty))
    full = House(folder / "full", search=True)
    turns.measure("first import and search index", lambda: full.taken(first))
    bytes_first = full.bytes_in_all()
    turns.measure("re-import and search index", lambda: full.taken(second))
    bytes_after = full.bytes_in_all()
    size_mb = first.stat().st_size / 1e6
    print(
        f"{programmes:,} programmes, {size_mb:.0f} MB; F = {min(turns.floors):.2f} to {max(turns.floors):.2f} CPU s\n"
    )
    turns.print()
    print(
        f"\nbytes a programme with the index: {bytes_first / programmes:.0f}, {bytes_after / programmes:.0f} afterwards"
    )
    for size in SIZES:
        if size < programmes:
            part = folder / f"{size}.xml"
            write_guide(part, size)
            report(size, floor(part), House(folder / f"house-{size}").taken(part))
    report(programmes, turns.rows[0][2], turns.rows[0][1])


class Turns:
    """Measures one thing after the other, the floor before and after each: a machine's speed changes in minutes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.floors = [floor(file)]
        self.rows: list[tuple[str, Cost, float]] = []

    def measure(self, name: str, work: Callable[[], Cost]) -> None:
        """Does it once, and measures the floor again."""
        cost = work()
        self.floors.append(floor(self._file))
        self.rows.append((name, cost, sum(self.floors[-2:]) / 2))

    def print(self) -> None:
        """The table."""
        print("| | CPU s | F, CPU s | x F | wall s | peak MB | longest lock ms | longest read ms | log MB |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name, cost, floor_s in self.rows:
            print(
                f"| {name} | {cost.cpu_s:.2f} | {floor_s:.2f} | {cost.cpu_s / floor_s:.2f} | {cost.wall_s:.1f} "
                f"| {cost.peak_mb:.0f} | {cost.lock_ms:.0f} | {cost.read_ms:.0f} | {cost.log_mb:.0f} |"
            )


def report(size: int, floor_s: float, cost: Cost) -> None:
    """One line of how the cost grows."""
    print(f"{size:,}: {cost.cpu_s:.2f} CPU s, {cost.cpu_s / floor_s:.2f} F, {cost.peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
