"""What publishing costs beside reading and writing the same bytes: CPU seconds of this process, programmes a second.

    python -m benchmarks.publishing [--programmes 100000]

A guide made here is imported; then its files are made: the whole guide, a lineup of all its channels under other ids,
the same for a client whose elements are written anew. Text and gzip are made in one go, so both are counted. The floor
reads what is stored (and, for gzip, packs the text at once), and writes it.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from isal import isal_zlib

from benchmarks.guides import write_guide
from epg_service import wiring
from epg_service.domain.days import inflated
from epg_service.domain.entities import LineupChannel
from epg_service.domain.profiles import FULL, STANDARD, options
from epg_service.domain.rules import ProgrammeRules
from epg_service.lineups.publish import WHOLE, Contents, lineup_publication
from epg_service.lineups.published import PublishedGuides
from epg_service.wiring import for_keeper

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3


NEVER = [f'programme_title matches "^Never {n}: (.+)$" SET programme_title = $1' for n in range(10)]
SOME = [*NEVER[1:], 'programme_category contains "News" SET programme_category += ", Current affairs"']
EVERY = [*NEVER[1:], 'programme_title not_equals "" APPEND programme_title = " *"']


def rules(expressions: Sequence[str]) -> ProgrammeRules:
    """Rules as a lineup is sent with them."""
    return ProgrammeRules({"rules": [{"expression": one} for one in expressions]}, now_s=lambda: int(time.time()))


class House:
    """A data directory with an imported guide and a lineup of all its channels."""

    def __init__(self, folder: Path, programmes: int) -> None:
        guide, file = folder / "guide.xml", folder / "config.yaml"
        write_guide(guide, programmes)
        file.write_text("data_dir: data\nepg:\n  retention: {days: 30}\n")
        command = [sys.executable, "-m", "epg_service", "import", str(guide), "--provider", "bench"]
        subprocess.run([*command, "--config", str(file)], cwd=ROOT, check=True, capture_output=True)
        self.config = wiring.configuration(str(file), {})
        self.it = wiring.stores(self.config)
        self.contents = Contents(guide=self.it.guide, lineups=self.it.lineups)
        self.published = PublishedGuides(folder / "made")
        names = [one.name for one in self.it.channels.all()]
        channels = [LineupChannel(f"ch.{at}", name, name, str(at)) for at, name in enumerate(names, 1)]
        self.it.lineups.put("default", "1", channels, {})
        for_keeper.publishing(self.config, self.it).lineup("default")

    def publish(self, name: str, profile: str) -> None:
        """Makes the two files of a publication, whatever is there already."""
        asked = options(usual=profile)
        made = self.published.publish("bench", self.contents.pieces(name, asked, int(time.time())))
        for path in (made.plain, made.packed):
            path.unlink()

    def publish_ruled(self, ruled: ProgrammeRules) -> None:
        """The lineup's two files, its programmes through rules."""
        now_s, channels = int(time.time()), self.it.lineups.channels("default")
        pieces = self.contents.lineup(channels, options(usual=STANDARD), now_s, ruled)
        made = self.published.publish("bench", pieces)
        for path in (made.plain, made.packed):
            path.unlink()

    def floor(self, target: Path, *, packed: bool) -> None:
        """Reads every stored day, unpacks it and writes it; with `packed` also as one deflated text."""
        packer = isal_zlib.compressobj(2, isal_zlib.DEFLATED, -15)
        with target.open("wb") as out, target.with_suffix(".gz").open("wb") as gzip:
            for channel in self.it.guide.every_channel():
                for _, days in self.it.guide.days(channel.id):
                    for day in days:
                        text = inflated(day.body)
                        out.write(text)
                        gzip.write(packer.compress(text) if packed else day.body)


def cpu_s(action: Callable[[], None]) -> float:
    """The least CPU seconds of some rounds."""
    costs = []
    for _ in range(ROUNDS):
        began = time.process_time()
        action()
        costs.append(time.process_time() - began)
    return min(costs)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programmes", type=int, default=100_000)
    programmes = parser.parse_args().programmes
    folder = Path(tempfile.mkdtemp(prefix="aerial-bench-"))
    try:
        house = House(folder, programmes)
        count = house.it.programs.stats().total_programs
        lineup = lineup_publication("default")
        floors = [cpu_s(lambda packed=packed: house.floor(folder / "floor", packed=packed)) for packed in (False, True)]  # type: ignore[misc]
        rows: list[tuple[str, float, float]] = [
            ("floor: stored days read, unpacked, written", floors[0], floors[0]),
            ("floor: the same, and packed anew", floors[1], floors[1]),
            ("whole guide (copied)", cpu_s(lambda: house.publish(WHOLE, FULL)), floors[0]),
            ("lineup (ids replaced)", cpu_s(lambda: house.publish(lineup, STANDARD)), floors[1]),
            ("lineup, 10 rules that match nothing", cpu_s(lambda: house.publish_ruled(rules(NEVER))), floors[1]),
            ("lineup, 10 rules, one in eight changed", cpu_s(lambda: house.publish_ruled(rules(SOME))), floors[1]),
            ("lineup, 10 rules, every title changed", cpu_s(lambda: house.publish_ruled(rules(EVERY))), floors[1]),
            ("lineup for Jellyfin (written anew)", cpu_s(lambda: house.publish(lineup, "jellyfin")), floors[1]),
            ("lineup for Plex (written anew)", cpu_s(lambda: house.publish(lineup, "plex")), floors[1]),
        ]
        print(f"{count:,} programmes, text and gzip\n\n| | CPU s | programmes/s | x floor |\n|---|---|---|---|")
        for name, cost_s, floor_s in rows:
            print(f"| {name} | {cost_s:.2f} | {count / cost_s:,.0f} | {cost_s / floor_s:.2f} |")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
