"""What taking in lists of channels costs: CPU seconds, entries a second, and the peak of memory of the process.

    python -m benchmarks.sources [--entries 500000] [--small 50000] [--panel 100000]

Each case runs in a process of its own, whose peak of resident memory is that of the case alone. Flat memory shows in
two lists of different length whose peaks are alike. Cases: a first refresh, the same list again, the same entries in
other bytes (twice: a provider who does so is known the second time), a list of which 5 % changed, a list whose every
address has a new token, and a panel's movies.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from servicekit.clock import SystemClock
from servicekit.store.sqlite import Connections
from stream_service.domain.losses import Losses
from stream_service.sources.m3u import Playlist
from stream_service.sources.objects import objects
from stream_service.store.connection import open_database
from stream_service.store.runs import Runs
from stream_service.store.sources import Sources
from stream_service.wiring.intake import intake
from stream_service.wiring.ways import ways_of

ROOT = Path(__file__).resolve().parents[1]
GROUPS = 400


class Silent:
    """Nobody is told."""

    def event(self, kind: str, level: str, message: str, **fields: object) -> None:
        """Nothing."""


def write_list(path: Path, entries: int, *, changed: float = 0.0, token: str = "") -> None:
    """An M3U list as providers write them; `changed`: the share of entries with another name."""
    every = int(1 / changed) if changed else 0
    with path.open("w") as file:
        file.write("#EXTM3U\n")
        for number in range(entries):
            word = " new" if every and number % every == 0 else ""
            file.write(
                f'#EXTINF:-1 tvg-id="ch{number}.example" tvg-name="Channel {number}" '
                f'tvg-logo="http://logos.example/{number}.png" group-title="Group {number % GROUPS}",'
                f"Channel {number} HD{word}\nhttp://streams.example:8080/c/{number}/index.m3u8?token={token}\n"
            )


class House:
    """A data directory and the keeper's side of sources."""

    def __init__(self, folder: Path) -> None:
        clock = SystemClock()
        self.connections: Connections = open_database(
            folder / "stream.db", backups=folder / "backups", lock=folder / "lock"
        )
        ways = ways_of(
            self.connections,
            fetcher=None,
            import_dir=folder,
            spool_dir=folder / "work",
            max_bytes=1 << 32,
            clock=clock,  # type: ignore[arg-type]
        )
        self.intake = intake(self.connections, ways=ways, notifier=Silent(), least_share=0.5, clock=clock)
        self.sources, self.runs = Sources(self.connections, clock=clock), Runs(self.connections, clock=clock)

    def refresh(self) -> dict[str, float]:
        """A refresh of the first source, measured."""
        run = self.runs.enqueue(1, reason="manual")
        self.runs.start(run.id)
        began, cpu = time.monotonic(), time.process_time()
        status = self.intake.refresh(run, self.sources.get(1))
        if status not in ("success", "unchanged"):
            raise SystemExit(self.runs.get(run.id).error_message)
        return {"cpu_s": time.process_time() - cpu, "wall_s": time.monotonic() - began,
                "streams": self.runs.get(run.id).streams}  # fmt: skip


def case_refreshes(folder: Path, entries: int) -> Iterator[tuple[str, dict[str, float]]]:
    """First, unchanged, 5 % changed, every address changed."""
    house, path = House(folder), folder / "list.m3u"
    house.sources.create({"name": "a", "type": "m3u", "url": "list.m3u"})
    write_list(path, entries)
    yield "first", house.refresh()
    yield "unchanged", house.refresh()
    with path.open("a") as file:
        file.write("# the same entries in other bytes\n")
    yield "other bytes", house.refresh()
    with path.open("a") as file:
        file.write("# and in others again\n")
    yield "other bytes", house.refresh()
    write_list(path, entries, changed=0.05)
    yield "5 % changed", house.refresh()
    write_list(path, entries, changed=0.05, token="b")  # noqa: S106
    yield "every address", house.refresh()


def case_first(folder: Path, entries: int) -> Iterator[tuple[str, dict[str, float]]]:
    """A first refresh alone, for its memory."""
    house = House(folder)
    house.sources.create({"name": "a", "type": "m3u", "url": "list.m3u"})
    write_list(folder / "list.m3u", entries)
    yield "first", house.refresh()


def case_read(folder: Path, entries: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Reading alone: no store."""
    path = folder / "list.m3u"
    write_list(path, entries)
    cpu = time.process_time()
    with path.open("rb") as stream:
        count = sum(1 for _ in Playlist(iter(lambda: stream.read(1 << 18), b""), losses=Losses()))
    yield "m3u read", {"cpu_s": time.process_time() - cpu, "streams": count}


def case_panel(folder: Path, entries: int) -> Iterator[tuple[str, dict[str, float]]]:
    """A panel's list of movies as JSON, read one object at a time."""
    path = folder / "vod.json"
    with path.open("w") as file:
        for number in range(entries):
            said = {"num": number, "name": f"Film {number} (1999)", "stream_type": "movie", "stream_id": number,
                    "stream_icon": f"http://l.example/{number}.jpg", "rating": "6.8", "rating_5based": 3.4,
                    "added": "1519215426", "category_id": str(number % 99), "container_extension": "mkv",
                    "custom_sid": "", "direct_source": ""}  # fmt: skip
            file.write(("[" if number == 0 else ",") + json.dumps(said))
        file.write("]")
    cpu = time.process_time()
    with path.open("rb") as stream:
        count = sum(1 for _ in objects(iter(lambda: stream.read(1 << 18), b"")))
    yield "panel read", {"cpu_s": time.process_time() - cpu, "streams": count}


CASES: dict[str, Callable[[Path, int], Iterator[tuple[str, dict[str, float]]]]] = {
    "refreshes": case_refreshes, "first": case_first, "read": case_read, "panel": case_panel,
}  # fmt: skip


def _run_case(name: str, entries: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for what, found in CASES[name](Path(folder), entries):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rate = found["streams"] / found["cpu_s"] if found["cpu_s"] else 0
            cost = f"{found['cpu_s']:7.2f} s CPU  {rate:>9,.0f} /s  peak {peak:5.0f} MB"
            print(f"{what:<14} {entries:>8,} entries  {cost}", flush=True)


def main() -> None:
    """Runs every case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=500_000)
    parser.add_argument("--small", type=int, default=50_000)
    parser.add_argument("--panel", type=int, default=100_000)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        _run_case(asked.case, asked.entries)
        return
    for case, entries in (
        ("read", asked.entries), ("first", asked.small), ("refreshes", asked.entries), ("panel", asked.panel),
    ):  # fmt: skip
        command = [sys.executable, "-m", "benchmarks.sources", "--case", case, "--entries", str(entries)]
        subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
