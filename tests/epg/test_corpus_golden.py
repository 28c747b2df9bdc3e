"""Real guides through the whole import, counts pinned: what was read once is read the same for ever.

The clock stands at the end of each file, retention is as wide as it gets. `AERIAL_GOLDEN=write` pins anew what changed;
look at the difference before it is kept.
"""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from epg_service.domain.entities import Run
from epg_service.wiring import for_keeper
from servicekit.errors import AerialError
from tests.epg.guidekit import HeldClock, Station
from tests.epg.readingkit import CORPUS, FIXTURES, read

GOLDEN = FIXTURES / "corpus.json"
WIDE = {"retention": {"days": 3650}}
FILES = sorted([*CORPUS.rglob("*.xml"), *CORPUS.rglob("*.xml.gz")]) if CORPUS.is_dir() else []
NAMES = [str(path.relative_to(CORPUS)) for path in FILES]
PINNED: dict[str, Any] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}

pytestmark = pytest.mark.skipif(not FILES, reason="no corpus of real files beside the checkout (AERIAL_CORPUS)")


def counts(run: Run, channels: int) -> dict[str, object]:
    """What is pinned of a run."""
    told: dict[str, object] = {"status": run.status, "imported": run.programs_imported, "skipped": run.programs_skipped}
    for part in ("losses", "notes"):
        tallies = run.report.get(part)
        if isinstance(tallies, dict) and tallies:
            told[part] = {kind: tally["count"] for kind, tally in tallies.items()}
    if warnings := run.report.get("warnings"):
        told["warnings"] = warnings
    return {**told, "channels": channels}


def end_of(data: bytes) -> int:
    """A second before the last programme ends."""
    try:
        found = read(data)
    except AerialError:
        return HeldClock().at
    return max((max(rows.stops) for rows in found.rows.values()), default=HeldClock().at) - 1


def pin(name: str, told: dict[str, object]) -> None:
    if os.environ.get("AERIAL_GOLDEN") == "write":
        kept = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
        lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in sorted({**kept, name: told}.items()))
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        return
    if name not in PINNED:
        pytest.skip("a file that was not there when the counts were pinned")
    assert told == PINNED[name]


@pytest.mark.parametrize(("name", "path"), list(zip(NAMES, FILES, strict=True)), ids=NAMES)
def test_a_real_guide_gives_what_it_gave(name: str, path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    station = Station(tmp_path, WIDE, HeldClock(end_of(data)))
    try:
        run = station.take(data)
        pin(name, counts(run, station.it.channels.count()))
        if run.status != "success":
            assert run.error_message
            assert not station.everything()
            return
        losses: Any = run.report["losses"]
        assert sum(tally["count"] for tally in losses.values()) == run.programs_skipped
        before = station.everything()
        assert sum(map(len, before.values())) == run.programs_imported
        again = station.take((gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data) + b"\n")
        assert again.report["changes"] == {"added": 0, "changed": 0, "removed": 0}
        assert station.everything() == before
        check_exported(station, before)
    finally:
        station.close()


def check_exported(station: Station, before: dict[str, list[tuple[int, int, int, str, bytes]]]) -> None:
    """The exported guide holds the same programmes for any reader of XMLTV."""
    exported = read(b"".join(for_keeper.publishing(station.config, station.it).exported()))
    assert exported.losses.warnings == []
    for channel, rows in before.items():
        if rows:
            found = exported.rows[channel.strip()]
            assert [(start, stop) for _, start, stop, _, _ in rows] == list(zip(found.starts, found.stops, strict=True))
