"""Real guides through the whole importer: taken or refused with a reason; the same again changes nothing."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from epg_service.domain.losses import Losses
from epg_service.providers.unpack import unpacked
from epg_service.xmltv.iterparse import iterparse
from epg_service.xmltv.records import Batch
from epg_service.xmltv.times import Stamps
from servicekit.errors import AerialError
from servicekit.store.sqlite import integrity
from tests.epg.guidekit import HeldClock, Station, lost

CORPUS = Path(os.environ.get("AERIAL_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
FILES = sorted([*CORPUS.rglob("*.xml"), *CORPUS.rglob("*.xml.gz")]) if CORPUS.is_dir() else []
GOLDEN = Path(__file__).with_name("corpus_golden.json")

pytestmark = pytest.mark.skipif(not FILES, reason="no corpus of real files beside the checkout (AERIAL_CORPUS)")


def middle(path: Path) -> int:
    """The median start of a file's programmes: the clock is set there."""
    losses = Losses()
    starts: list[int] = []
    try:
        with path.open("rb") as file, unpacked(file, max_bytes=2**30, losses=losses) as stream:
            for item in iterparse(stream, stamps=Stamps(), losses=losses):
                if isinstance(item, Batch):
                    starts += item.starts
    except AerialError:
        pass  # it is refused: the importer says why
    return sorted(starts)[len(starts) // 2] if starts else int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def told(path: Path, folder: Path) -> dict[str, Any]:
    """What the importer makes of a file."""
    station = Station(folder, {"retention": {"days": 3650}}, clock=HeldClock(middle(path)))
    data = path.read_bytes()
    run = station.take(data)
    assert run.status in ("success", "failed", "rejected")
    if run.status != "success":
        assert len(str(run.error_message)) > 10
    else:
        before = station.everything()
        stored = sum(map(len, before.values()))
        assert stored == run.programs_imported == station.it.programs.stats().total_programs
        assert run.programs_skipped == lost(run)
        again = station.take(data)
        assert (again.status, again.programs_imported, again.programs_skipped) == (
            "unchanged", run.programs_imported, run.programs_skipped,
        )  # fmt: skip
        forced = station.take(data, force=True)
        assert forced.report["changes"] == {"added": 0, "changed": 0, "removed": 0}
        assert station.everything() == before
    assert integrity(station.paths.database) == []
    channels = len(station.it.channels.all())
    station.close()
    losses: Any = run.report.get("losses", {})
    return {
        "status": run.status,
        "channels": channels,
        "imported": run.programs_imported,
        "skipped": run.programs_skipped,
        "losses": {kind: one["count"] for kind, one in losses.items()},
        "warnings": run.report.get("warnings", []),
    }


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(CORPUS)) for path in FILES])
def test_a_real_guide_is_imported_or_refused(path: Path, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    name = str(path.relative_to(CORPUS))
    if name not in golden:
        pytest.skip(f"{name} is not in {GOLDEN.name}")
    assert told(path, tmp_path) == golden[name]
