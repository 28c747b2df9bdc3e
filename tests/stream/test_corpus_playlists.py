"""Real playlists: every one is read without loss, or refused with a reason."""

import os
import re
import time
from pathlib import Path

import pytest

from servicekit.errors import BadAnswer
from stream_service.domain.losses import Losses
from stream_service.sources.m3u import Playlist

CORPUS = Path(os.environ.get("AERIAL_CORPUS", Path(__file__).resolve().parents[2].parent / "shared" / "corpus"))
LISTS = sorted((*CORPUS.rglob("*.m3u"), *CORPUS.rglob("*.m3u8")))
SECONDS = 5

pytestmark = pytest.mark.skipif(not LISTS, reason="there is no corpus of real files beside this checkout")


@pytest.mark.parametrize("path", LISTS, ids=lambda path: str(path.relative_to(CORPUS)))
def test_every_list_is_read_or_refused_with_a_reason(path: Path) -> None:
    """Nothing is lost silently: each EXTINF is an entry or is counted."""
    losses = Losses()
    began_s = time.process_time()
    try:
        entries = list(Playlist([path.read_bytes()], base_url="http://lists.example/a/list.m3u", losses=losses))
    except BadAnswer as refusal:
        assert len(refusal.detail) > 10
        return
    assert time.process_time() - began_s < SECONDS
    announced = len(re.findall(rb"(?im)^\s*#EXTINF", path.read_bytes()))
    unannounced = losses.count("address_without_extinf")
    named = [entry for entry in entries if announced]
    assert len(named) + losses.entries_lost - unannounced == announced
    assert all(entry.name and entry.url for entry in entries)


def test_the_large_list_loses_nothing() -> None:
    path = CORPUS / "_derived" / "iptv-org-streams-all.m3u"
    if not path.exists():
        pytest.skip("the large list is not in this corpus")
    losses = Losses()
    assert len(list(Playlist([path.read_bytes()], losses=losses))) == 17_986
    assert losses.report() == {}
