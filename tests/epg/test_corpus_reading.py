"""Real guides: each is read whole, or refused with a reason; nothing else happens."""

import os
from itertools import groupby
from pathlib import Path

import pytest

from epg_service.domain.clean import clean
from epg_service.domain.losses import Losses
from epg_service.domain.timeline import timeline
from epg_service.importer.grouping import Gathered
from epg_service.providers.unpack import unpacked
from epg_service.xmltv import write
from epg_service.xmltv.details import details
from epg_service.xmltv.iterparse import iterparse
from epg_service.xmltv.records import Batch, ChannelElement, End
from epg_service.xmltv.times import Stamps
from servicekit.errors import AerialError

CORPUS = Path(os.environ.get("AERIAL_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
FILES = sorted([*CORPUS.rglob("*.xml"), *CORPUS.rglob("*.xml.gz")]) if CORPUS.is_dir() else []

pytestmark = pytest.mark.skipif(not FILES, reason="no corpus of real files beside the checkout (AERIAL_CORPUS)")


def read(path: Path, losses: Losses) -> tuple[list[ChannelElement], list[Batch], End]:
    with path.open("rb") as file, unpacked(file, max_bytes=2**30, losses=losses) as stream:
        items = list(iterparse(stream, stamps=Stamps(), losses=losses))
    end = items[-1]
    assert isinstance(end, End)
    channels = [item for item in items if isinstance(item, ChannelElement)]
    return channels, [item for item in items if isinstance(item, Batch)], end


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(CORPUS)) for path in FILES])
def test_a_real_guide_is_read_or_refused(path: Path) -> None:
    losses = Losses()
    try:
        channels, batches, end = read(path, losses)
    except AerialError as refusal:
        assert len(refusal.detail) > 10
        return
    assert end.channels >= len(channels)
    assert sum(map(len, batches)) + losses.total() == end.programmes
    for name, group in groupby(sorted(batches, key=lambda batch: batch.channel), key=lambda batch: batch.channel):
        gathered = Gathered(name)
        for batch in group:
            gathered.extend(batch)
        rows = clean(gathered.rows, losses=losses)
        for title, raw in zip(rows.titles, rows.raws, strict=True):
            assert title in (details(raw).title, "") or title == details(raw).titles[0].value
        for start, stop, _, _, raw in timeline(rows):
            assert write.programme(raw, start=start, stop=stop, channel_id=name, title_fallback="?")


KNOWN = {
    "XMLTV-xmltv/t/data/whitespace.xml": (5, {"double": 4}),
    "XMLTV-xmltv/t/data/empty.xml": (0, {}),
    "XMLTV-xmltv/t/data/test_livre.xml": (1, {}),
}


@pytest.mark.parametrize(("name", "expected"), KNOWN.items(), ids=KNOWN)
def test_known_files_give_what_is_known(name: str, expected: tuple[int, dict[str, int]]) -> None:
    if not (CORPUS / name).exists():
        pytest.skip(f"{name} is not in the corpus")
    losses = Losses()
    _, batches, end = read(CORPUS / name, losses)
    for batch in batches:
        gathered = Gathered(batch.channel)
        gathered.extend(batch)
        clean(gathered.rows, losses=losses)
    assert end == End(True, expected[0], 0)
    assert {kind: tally["count"] for kind, tally in losses.as_dict().items()} == expected[1]
