"""What a large playlist costs the keeper: CPU seconds and memory of refreshing it and building its lineup.

    python -m benchmarks.lineups [--entries 100000] [--rules 50] [--large 500000]

Two playlists are made here (three fifths and two fifths of the entries; half of the second are channels of the first).
The keeper's own work is done in a child process: first as new lists, then with nothing changed but a line that says
nothing, then with other tokens in every address. `--large`: one list of so many entries is refreshed by another child,
for its memory. The floor reads every stored entry once and writes it as the two lines that it is in a playlist.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from servicekit.clock import SystemClock
from stream_service import wiring
from stream_service.wiring.for_keeper import keeper as keeper_of
from stream_service.wiring.rulebook import rule_store

ROOT = Path(__file__).resolve().parents[1]
WORDS = ("Sport", "News", "Kids", "Movie", "Music", "Nature", "Arena", "Plus", "Gold", "Extra")
STEPS = ("first", "unchanged", "other tokens")


def entries(first: int, count: int, *, token: str, provider: str) -> Iterator[str]:
    """Lines of a playlist as providers write them."""
    yield "#EXTM3U"
    for n in range(first, first + count):
        name = f"UK: {WORDS[n % 10]} Channel {n} HD"
        yield (
            f'#EXTINF:-1 tvg-id="ch{n}.uk" tvg-name="{name}" tvg-logo="http://logos.example/{provider}/{n}.png" '
            f'group-title="{WORDS[n % 10]} {n % 400}" tvg-chno="{n + 1}",{name}'
        )
        yield f"http://{provider}.example:8080/live/user{token}/pass/{n}.ts"


def rules(count: int) -> Iterator[dict[str, object]]:
    """Rules of the kinds that people write: words, patterns with captures, groups, ids."""
    for n in range(count):
        word = WORDS[n % 10]
        text = (
            f'channel_name contains "{word} Channel {n}" SET group_title = "{word}"',
            f'channel_name matches "^UK: ({word}) Channel ([0-9]*{n})\\\\b" SET group_title = "$1 $2"',
            f'group_title equals "{word} {n}" SET group_title = "Group {n}"',
            f'channel_name ends_with "{n} HD" AND group_title contains "9" SET tvg_shift = "1"',
            f'tvg_id starts_with "ch{n}9" OR tvg_id ends_with "{n}7.uk" SET channel_name += " ({n})"',
        )[n % 5]
        yield {"name": f"rule {n}", "expression": text, "domain": "stream", "enabled": True}


class House:
    """A data directory with its sources and rules, and the keeper that works in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        file = folder / "config.yaml"
        if not file.exists():
            file.write_text("data_dir: data\nstream:\n  ingestion_guard: {enabled: false}\n")
        self.config = wiring.configuration(str(file), {})
        self.it = wiring.stores(self.config)
        self.lists = wiring.paths_of(self.config).import_dir
        self.lists.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, lines: Iterator[str], *, note: str = "") -> None:
        """A list in the import directory."""
        with (self.lists / name).open("w") as file:
            file.writelines(f"{line}\n" for line in lines)
            file.write(note)

    def put(self, count: int, step: str) -> None:
        """Both lists as they are at a step."""
        token, note = ("x" if step == "other tokens" else ""), ("#NOTE\n" if step == "unchanged" else "")
        most = count * 3 // 5
        self.write("one.m3u", entries(0, most, token=token, provider="one"), note=note)
        self.write("two.m3u", entries(most - count // 5, count - most, token=token, provider="two"), note=note)

    def ready(self, count: int, rule_count: int) -> None:
        """Sources and rules; nothing is refreshed yet."""
        for name in ("one", "two"):
            self.it.sources.create({"name": name, "type": "m3u", "url": f"{name}.m3u"})
        book = rule_store(self.it.connections, clock=SystemClock())
        for values in rules(rule_count):
            book.create(values)
        self.put(count, "first")


def spent() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mib() -> int:
    """The most memory it ever took."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def work(folder: Path, count: int) -> None:
    """The keeper's work, in the child: one line of JSON for each step."""
    house = House(folder)
    keeper = keeper_of(house.config)
    keeper.recover()
    for step in STEPS:
        if step != "first":
            house.put(count, step)
        for source in house.it.sources.all():
            house.it.runs.enqueue(source.id, reason="manual")
        began = spent()
        for run in house.it.runs.due():
            keeper.do_run(run)
        refreshed = spent()
        keeper.do_waiting()
        built = spent()
        last = house.it.builds.last("default")
        stages = last.report["stages"] if last else {}
        told = {"step": step, "refresh_s": refreshed - began, "build_s": built - refreshed, "peak_mib": peak_mib()}
        print(json.dumps({**told, "channels": last.channels if last else 0, "stages": stages}))


def ingest(folder: Path) -> None:
    """One large list, refreshed in the child."""
    house = House(folder)
    keeper = keeper_of(house.config)
    (source,) = house.it.sources.all()
    run = house.it.runs.enqueue(source.id, reason="manual")
    empty, began = peak_mib(), spent()
    keeper.do_run(run)
    done = house.it.runs.get(run.id)
    print(json.dumps({"status": done.status, "streams": done.streams, "cpu_s": spent() - began, "peak_mib": peak_mib(),
                      "before_mib": empty}))  # fmt: skip


def in_a_child(*arguments: str) -> list[dict[str, object]]:
    """Runs this program for one part of the work."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.lineups", *arguments], cwd=ROOT, check=True,
                          stdout=subprocess.PIPE, text=True)  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def floor_s(house: House) -> float:
    """Reading what is stored of every entry, and writing it as the two lines that it is in a playlist."""
    began = time.process_time()
    query = "SELECT tvg_id, name, number, logo, channel_group, stream_id FROM entries"
    with (house.folder / "floor.m3u").open("w") as out:
        for tvg_id, name, number, logo, group, ident in house.it.connections.get().execute(query):
            out.write(
                f'#EXTINF:-1 tvg-id="{tvg_id}" tvg-name="{name}" tvg-chno="{number}" tvg-logo="{logo}" '
                f'group-title="{group}",{name}\nhttp://localhost/stream/{ident}.ts\n'
            )
    return time.process_time() - began


def _lineup(folder: Path, count: int, rule_count: int) -> None:
    house = House(folder)
    house.ready(count, rule_count)
    found = in_a_child("--work", str(folder), "--entries", str(count))
    floor = floor_s(house)
    channels = found[0]["channels"]
    print(f"{count:,} entries of two sources through {rule_count} rules, {channels:,} channels; floor {floor:.2f} s\n")
    print("| | refresh, CPU s | build, CPU s | together | x floor | peak MiB |\n|---|---|---|---|---|---|")
    for one in found:
        refresh_s, build_s = float(str(one["refresh_s"])), float(str(one["build_s"]))
        both = refresh_s + build_s
        times = f"{refresh_s:.2f} | {build_s:.2f} | {both:.2f} | {both / floor:.0f}"
        print(f"| {one['step']} | {times} | {one['peak_mib']} |")
    stages = found[0]["stages"]
    if isinstance(stages, dict):
        print(
            "\nStages of the first build: " + ", ".join(f"{name} {said['cpu_s']:.2f}" for name, said in stages.items())
        )


def _large(folder: Path, count: int) -> None:
    house = House(folder)
    house.it.sources.create({"name": "large", "type": "m3u", "url": "large.m3u"})
    house.write("large.m3u", entries(0, count, token="", provider="one"))
    (said,) = in_a_child("--ingest", str(folder))
    print(f"\n{said['streams']:,} entries in one list: {said['status']}, {float(str(said['cpu_s'])):.1f} CPU s, peak "
          f"{said['peak_mib']} MiB ({said['before_mib']} before)")  # fmt: skip


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--rules", type=int, default=50)
    parser.add_argument("--large", type=int, default=500_000)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ingest", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work or options.ingest:
        work(options.work, options.entries) if options.work else ingest(options.ingest)
        return
    parts: list[tuple[str, Callable[[Path], None]]] = [
        ("lineup", lambda folder: _lineup(folder, options.entries, options.rules)),
        ("large", lambda folder: _large(folder, options.large) if options.large else None),
    ]
    for name, part in parts:
        folder = Path(tempfile.mkdtemp(prefix=f"aerial-bench-{name}-"))
        try:
            part(folder)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
