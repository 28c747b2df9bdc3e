"""The ledger of what a run lost."""

import re
from pathlib import Path

import pytest

from epg_service.domain.losses import KINDS, NOTES, WARNINGS, Losses

ROOT = Path(__file__).resolve().parents[2]


def test_a_kind_is_counted_with_five_short_samples() -> None:
    losses = Losses()
    for n in range(9):
        losses.add("broken", f"{n}" + "x" * 500)
    tally = losses.as_dict()["broken"]
    assert tally["count"] == 9
    samples = tally["samples"]
    assert isinstance(samples, list)
    assert [len(sample) for sample in samples] == [200] * 5


def test_notes_are_no_losses() -> None:
    losses = Losses()
    losses.add("repaired")
    losses.add("double", n=3)
    losses.add("double", n=0)
    assert losses.total() == 3
    assert losses.as_dict() == {"double": {"count": 3, "samples": []}}
    assert losses.notes_dict() == {"repaired": {"count": 1, "samples": []}}
    assert losses.count("repaired") == 1
    assert losses.count("broken") == 0


def test_an_undocumented_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no documented kind"):
        Losses().add("whatever")


def test_no_word_stands_in_both_tables() -> None:
    assert not KINDS.keys() & NOTES.keys()


def test_every_word_of_warning_is_explained() -> None:
    files = [*(ROOT / "epg_service").rglob("*.py"), ROOT / "servicekit" / "unpack.py"]
    sources = "".join(path.read_text() for path in files).replace('f"several_{wanted.noun}s"', '"several_guides"')
    assert set(re.findall(r"(?:losses|told)\.warn\(\s*\"(\w+)\"", sources)) == set(WARNINGS)
    api = (ROOT / "docs" / "api.md").read_text()
    assert [word for word in WARNINGS if f"| `{word}` |" not in api] == []


def test_two_ledgers_merge_into_a_third() -> None:
    one, two = Losses(), Losses()
    one.add("broken", "a")
    one.warn("truncated", "first")
    two.add("broken", "b", n=2)
    two.warn("truncated", "second")
    two.warn("encoding")
    both = one.merged(two)
    assert both.as_dict() == {"broken": {"count": 3, "samples": ["a", "b"]}}
    assert both.warnings == ["truncated", "encoding"]
    assert both.warning_texts["truncated"] == "first"
    assert one.count("broken") == 1
